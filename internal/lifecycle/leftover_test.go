package lifecycle_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/fleet"
	"github.com/nhi-labs/terraform-provider-nhi/internal/lifecycle"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
	"github.com/nhi-labs/terraform-provider-nhi/internal/rotation"
)

// holder is a platform that keeps under an account's name what it holds, and from which not all of that can be taken.
type holder struct {
	plain
	// stuck is what our admin account may not take away.
	stuck *string
	// unreadable is set if what accounts hold cannot be read.
	unreadable *bool
}

func (h holder) ReadAccount(ctx context.Context, ref nhi.Ref) (nhi.Account, error) {
	a, err := h.plain.ReadAccount(ctx, ref)
	if err == nil && *h.unreadable {
		return nhi.Account{}, driver.Errorf(driver.PermissionDenied, "what %q holds cannot be read", ref.Name)
	}
	return a, err
}

func (h holder) ReadMark(ctx context.Context, ref nhi.Ref) (nhi.Account, error) {
	a, err := h.plain.ReadAccount(ctx, ref)
	a.Entitlements = nil
	return a, err
}

func (h holder) Revoke(ctx context.Context, ref nhi.Ref, es []nhi.Entitlement) error {
	if *h.stuck != "" {
		return driver.Errorf(driver.PermissionDenied, "%s cannot be revoked", *h.stuck)
	}
	return h.plain.Revoke(ctx, ref, es)
}

func (h holder) DeleteAccount(ctx context.Context, ref nhi.Ref) error {
	if err := h.plain.DeleteAccount(ctx, ref); err != nil {
		return err
	}
	if *h.stuck != "" || *h.unreadable {
		return &driver.LeftoverError{Err: driver.Errorf(driver.PermissionDenied, "the binding %q is left", *h.stuck)}
	}
	return nil
}

// newHolder makes the platform "k" with the account of settled, which holds what cannot be taken away.
func newHolder(t *testing.T) (h holder, open func() *fleet.Fleet, settled lifecycle.Identity, records map[string]lifecycle.Record) {
	t.Helper()
	h = holder{plain{newMemory("k")}, new(string), new(bool)}
	grammar := nhi.Grammar{Types: []nhi.EntitlementType{{Name: "role", Example: "role:x"}}}
	open = func() *fleet.Fleet {
		return fleet.New("payments", nil, []fleet.Config{{
			Name: "k", Spec: driver.Spec{Kind: "holder", Grammar: grammar, NameHolds: true},
			Open: func() (driver.Driver, error) { return h, nil },
		}})
	}
	settled = identity(map[string]lifecycle.Account{"k": {Name: "billing"}})
	records, problems := lifecycle.CreateIdentity(t.Context(), open(), settled)
	must(t, problems)
	h.m.edit("billing", func(a *nhi.Account) { a.Entitlements = roles("admin") })
	*h.stuck = "by-hand"
	return h, open, settled, records
}

// wantLeft fails the test unless exactly the platform says what is left, and the record says that the account is gone.
func wantLeft(t *testing.T, what string, left map[string]lifecycle.Record, problems lifecycle.Problems) {
	t.Helper()
	if !slices.Equal(problems.Platforms(), []string{"k"}) || !strings.Contains(problems.Error(), "is left") {
		t.Errorf("%s: problems %v", what, problems)
	}
	if left["k"].Status != lifecycle.Deleted || left["k"].ID != "k-1" {
		t.Errorf("%s: recorded %+v", what, left)
	}
}

// TestLeftoversAreNotForgotten: the account is gone at once. What its name still holds is told by every run, and no account
// of that name is made, until it is taken away.
func TestLeftoversAreNotForgotten(t *testing.T) {
	h, open, settled, records := newHolder(t)
	left, problems := lifecycle.DeleteIdentity(t.Context(), open(), settled, records, false)
	wantLeft(t, "deletion", left, problems)
	if there := h.m.all(); len(there) > 0 {
		t.Fatalf("the account is not gone: %v", there)
	}
	seen, problems := lifecycle.Observe(t.Context(), open(), settled, left, true, nil)
	must(t, problems)
	if diff := cmp.Diff(left, seen.Records); diff != "" || len(seen.Pending) != 1 || !strings.Contains(seen.Pending[0], `"billing" is deleted`) {
		t.Errorf("pending %q, records (-recorded +seen):\n%s", seen.Pending, diff)
	}
	for what, id := range map[string]lifecycle.Identity{
		"the same account": settled, "none": identity(nil), "another account": identity(map[string]lifecycle.Account{"k": {Name: "other"}}),
	} {
		after, problems := lifecycle.UpdateIdentity(t.Context(), open(), id, left)
		wantLeft(t, "update to "+what, after, problems)
	}
	for _, suspendOnly := range []bool{false, true} {
		after, problems := lifecycle.DeleteIdentity(t.Context(), open(), settled, left, suspendOnly)
		wantLeft(t, "second deletion", after, problems)
	}
	if there := h.m.all(); len(there) > 0 {
		t.Errorf("an account was made: %v", there)
	}

	*h.stuck = "" // Somebody takes it away.
	made, problems := lifecycle.UpdateIdentity(t.Context(), open(), settled, left)
	if must(t, problems); made["k"].ID != "k-2" || made["k"].Status != nhi.Active {
		t.Errorf("made again: %+v", made)
	}
	left, problems = lifecycle.DeleteIdentity(t.Context(), open(), settled, left, false)
	if must(t, problems); len(left) > 0 {
		t.Errorf("left %v", left)
	}
}

// TestLeftoversOfAnAccountThatIsGone: something else deleted it before its turn came.
func TestLeftoversOfAnAccountThatIsGone(t *testing.T) {
	h, open, settled, records := newHolder(t)
	h.m.drop("billing")
	left, problems := lifecycle.DeleteIdentity(t.Context(), open(), settled, records, false)
	wantLeft(t, "deletion", left, problems)
	left, problems = lifecycle.DeleteIdentity(t.Context(), open(), settled, records, true)
	if must(t, problems); len(left) > 0 {
		t.Errorf("left %v although there is nothing to suspend", left)
	}
}

// TestLeftoversOfACreationTakenBack: an account that was made and taken back stays in the records, too.
func TestLeftoversOfACreationTakenBack(t *testing.T) {
	w := newWorld()
	w.a.refuse = func(op string) error {
		if op == "create" {
			return driver.Errorf(driver.PermissionDenied, "not allowed")
		}
		return nil
	}
	h := holder{plain{newMemory("k")}, new(string), new(bool)}
	*h.stuck = "by-hand"
	spec := driver.Spec{Kind: "holder", NameHolds: true}
	f := fleet.New("payments", nil, []fleet.Config{
		{Name: "a", Spec: driver.Spec{Kind: "plain"}, Open: func() (driver.Driver, error) { return plain{w.a}, nil }},
		{Name: "k", Spec: spec, Open: func() (driver.Driver, error) { return h, nil }},
	})
	id := identity(map[string]lifecycle.Account{"a": {Name: "billing"}, "k": {Name: "billing"}})
	left, problems := lifecycle.CreateIdentity(t.Context(), f, id)
	if len(left) != 1 || left["k"].Status != lifecycle.Deleted || !strings.Contains(problems.Error(), "is left") {
		t.Errorf("recorded %+v, problems %v", left, problems)
	}
}

// TestDeleteWhatCannotBeReadWhole: that what the account holds is unknown keeps no login alive. Whose it is must be known.
func TestDeleteWhatCannotBeReadWhole(t *testing.T) {
	h, open, settled, records := newHolder(t)
	*h.unreadable = true
	h.m.edit("billing", func(a *nhi.Account) { a.Mark = theirs })
	left, problems := lifecycle.DeleteIdentity(t.Context(), open(), settled, records, false)
	if len(problems) != 1 || !strings.Contains(problems.Error(), `belongs to the stack "other"`) || left["k"] != records["k"] {
		t.Errorf("recorded %v, problems %v", left, problems)
	}
	h.m.edit("billing", func(a *nhi.Account) { a.Mark = ours })
	left, problems = lifecycle.DeleteIdentity(t.Context(), open(), settled, records, false)
	wantLeft(t, "deletion", left, problems)
	if there := h.m.all(); len(there) > 0 {
		t.Errorf("the account is not gone: %v", there)
	}
}

// forgetful is a holder whose answers to deletions may be lost.
type forgetful struct {
	holder
	lost func() bool
}

func (f forgetful) DeleteAccount(ctx context.Context, ref nhi.Ref) error {
	err := f.holder.DeleteAccount(ctx, ref)
	if f.lost() {
		return driver.Errorf(driver.Unknown, "request timed out")
	}
	return err
}

// TestLeftoversOfALostAnswer: the account is gone, and the answer that would have named what is left is lost.
func TestLeftoversOfALostAnswer(t *testing.T) {
	for what, test := range map[string]struct {
		lost               int
		interrupted, blind bool // blind: the first reading after that fails
		want               string
	}{
		"one answer":                  {1, false, false, "is left"},
		"one answer, interrupted":     {1, true, false, "is left"},
		"one answer, not read back":   {1, false, true, "is left"},
		"every answer":                {9, false, false, "request timed out"},
		"every answer, interrupted":   {9, true, false, "request timed out"},
		"every answer, not read back": {9, false, true, "request timed out"},
	} {
		h, _, settled, records := newHolder(t)
		ctx, interrupt := context.WithCancel(t.Context())
		calls, blind := 0, false
		f := forgetful{h, func() bool {
			if calls++; test.interrupted {
				interrupt()
			}
			blind = test.blind && calls == 1
			return calls <= test.lost
		}}
		h.m.refuse = func(op string) error {
			if !blind || op != "read" {
				return nil
			}
			blind = false
			return driver.Errorf(driver.Unknown, "cannot be read")
		}
		pool := fleet.New("payments", nil, []fleet.Config{{
			Name: "k", Spec: driver.Spec{Kind: "holder", NameHolds: true}, Open: func() (driver.Driver, error) { return f, nil },
		}})
		left, problems := lifecycle.DeleteIdentity(ctx, pool, settled, records, false)
		interrupt()
		if r := left["k"]; r.Status != lifecycle.Deleted || r.ID != "k-1" || !strings.Contains(problems.Error(), test.want) {
			t.Errorf("%s: recorded %+v, problems %v", what, left, problems)
		}
		if there := h.m.all(); len(there) > 0 {
			t.Errorf("%s: the account is not gone: %v", what, there)
		}
	}
}

// outlived is a platform on which credentials log in without their account.
type outlived struct {
	full
	// logins are the credentials by the id of their account.
	logins map[string][]string
}

func (o outlived) ReadAccount(ctx context.Context, ref nhi.Ref) (nhi.Account, error) {
	a, err := o.full.ReadAccount(ctx, ref)
	if driver.CodeOf(err) == driver.NotFound && len(o.logins[ref.ID]) > 0 {
		err = &driver.LeftoverError{Err: driver.Errorf(driver.NotFound, "%v is left: %w", o.logins[ref.ID], err)}
	}
	for _, id := range o.logins[a.ID] {
		a.Credentials = append(a.Credentials, nhi.Credential{ID: id})
	}
	return a, err
}

func (o outlived) RevokeCredential(_ context.Context, ref nhi.Ref, id string) error {
	o.logins[ref.ID] = slices.DeleteFunc(o.logins[ref.ID], func(other string) bool { return other == id })
	return nil
}

func (o outlived) DeleteAccount(ctx context.Context, ref nhi.Ref) error {
	if err := o.m.refuse("unbind"); err != nil {
		return &driver.LeftoverError{Err: err}
	}
	delete(o.logins, ref.ID)
	return o.full.DeleteAccount(ctx, ref)
}

// newOutlived makes the platform "k" with the account of settled, which somebody deletes and whose credential logs in.
func newOutlived(t *testing.T) (o outlived, open func() *fleet.Fleet, settled lifecycle.Identity, records map[string]lifecycle.Record) {
	t.Helper()
	o = outlived{full{plain{newMemory("k")}}, map[string][]string{}}
	o.m.refuse = func(string) error { return nil }
	open = func() *fleet.Fleet {
		return fleet.New("payments", nil, []fleet.Config{{
			Name: "k", Spec: driver.Spec{Kind: "outlived", Capabilities: []driver.Capability{driver.CanIssue}, NameHolds: true},
			Open: func() (driver.Driver, error) { return o, nil },
		}})
	}
	settled = identity(map[string]lifecycle.Account{"k": {Name: "billing"}})
	records, problems := lifecycle.CreateIdentity(t.Context(), open(), settled)
	must(t, problems)
	o.logins["k-1"] = []string{"c1", "c2"}
	o.m.drop("billing")
	return o, open, settled, records
}

// TestCredentialsThatOutliveTheirAccount: a refresh does not forget them, and the next apply or deletion takes them away, also one
// without a refresh.
func TestCredentialsThatOutliveTheirAccount(t *testing.T) {
	type records = map[string]lifecycle.Record
	changes := map[string]func(f *fleet.Fleet, id lifecycle.Identity, r records) (records, lifecycle.Problems){
		"deletion": func(f *fleet.Fleet, id lifecycle.Identity, r records) (records, lifecycle.Problems) {
			return lifecycle.DeleteIdentity(t.Context(), f, id, r, false)
		},
		"suspension instead": func(f *fleet.Fleet, id lifecycle.Identity, r records) (records, lifecycle.Problems) {
			return lifecycle.DeleteIdentity(t.Context(), f, id, r, true)
		},
		"removed account": func(f *fleet.Fleet, _ lifecycle.Identity, r records) (records, lifecycle.Problems) {
			return lifecycle.UpdateIdentity(t.Context(), f, identity(nil), r)
		},
	}
	for what, change := range changes {
		for _, refreshed := range []bool{true, false} {
			o, open, settled, recorded := newOutlived(t)
			if refreshed {
				recorded = wantRemembered(t, open(), settled, recorded)
			}
			o.m.refuse = func(op string) error {
				if op == "unbind" {
					return driver.Errorf(driver.PermissionDenied, "[c1 c2] is left")
				}
				return nil
			}
			left, problems := change(open(), settled, recorded)
			wantLeft(t, what, left, problems)
			o.m.refuse = func(string) error { return nil }
			left, problems = change(open(), settled, left)
			if must(t, problems); len(left) > 0 || len(o.logins) > 0 {
				t.Errorf("%s, refreshed %t: left %v, logins %v", what, refreshed, left, o.logins)
			}
		}
	}
}

func wantRemembered(t *testing.T, f *fleet.Fleet, id lifecycle.Identity, records map[string]lifecycle.Record) map[string]lifecycle.Record {
	t.Helper()
	seen, problems := lifecycle.Observe(t.Context(), f, id, records, true, nil)
	must(t, problems)
	if r := seen.Records["k"]; r.Status != lifecycle.Deleted || r.ID != "k-1" || len(seen.Accounts) > 0 || len(seen.Pending) != 1 {
		t.Errorf("seen %+v", seen)
	}
	return seen.Records
}

// TestNoSuccessorBesideOldCredentials: an account is made again when those are gone, and not in an apply whose plan did not
// show them.
func TestNoSuccessorBesideOldCredentials(t *testing.T) {
	o, open, settled, records := newOutlived(t)
	left, problems := lifecycle.UpdateIdentity(t.Context(), open(), settled, records)
	if !strings.Contains(problems.Error(), "is left") || left["k"] != records["k"] || len(o.m.all()) > 0 || len(o.logins["k-1"]) != 2 {
		t.Fatalf("recorded %v, problems %v, accounts %v, logins %v", left, problems, o.m.all(), o.logins)
	}
	made, problems := lifecycle.UpdateIdentity(t.Context(), open(), settled, wantRemembered(t, open(), settled, records))
	if must(t, problems); made["k"].ID != "k-2" || made["k"].Status != nhi.Active || len(o.logins) > 0 {
		t.Errorf("made again: %+v, logins %v", made, o.logins)
	}
}

// TestRotationOfAnAccountThatIsGone: its credentials are revoked by the id of the account, whoever has the name now.
func TestRotationOfAnAccountThatIsGone(t *testing.T) {
	for _, successor := range []bool{false, true} {
		o, open, settled, _ := newOutlived(t)
		if successor {
			_, problems := lifecycle.CreateIdentity(t.Context(), open(), settled)
			must(t, problems)
			o.logins["k-2"] = []string{"c1"}
		}
		r := lifecycle.Rotation{
			Identity: settled.Name, AccountNames: map[string]string{"k": "billing"}, AccountIDs: map[string]string{"k": "k-1"}, Platform: "k",
		}
		record := lifecycle.RotationRecord{Credentials: rotation.Record{{ID: "c2"}}}
		left, problems := lifecycle.DeleteRotation(t.Context(), open(), r, record)
		if must(t, problems); len(left.Credentials) > 0 || !slices.Equal(o.logins["k-1"], []string{"c1"}) || successor && len(o.logins["k-2"]) != 1 {
			t.Errorf("left %v, logins %v", left, o.logins)
		}
	}
}

// unseen is a platform that was configured so that it shows no credentials, and that cannot revoke any then.
type unseen struct{ outlived }

func (u unseen) ReadAccount(ctx context.Context, ref nhi.Ref) (nhi.Account, error) {
	return u.full.ReadAccount(ctx, ref)
}

func (u unseen) RevokeCredential(context.Context, nhi.Ref, string) error {
	return driver.Errorf(driver.Unsupported, "not configured")
}

// TestRotationThatIsNotSeen: what state records of a rotation and its account does not show is revoked, or stays in state.
func TestRotationThatIsNotSeen(t *testing.T) {
	o, open, settled, _ := newOutlived(t)
	_, problems := lifecycle.CreateIdentity(t.Context(), open(), settled)
	must(t, problems)
	o.logins["k-2"] = []string{"c1"}
	blind := fleet.New("payments", nil, []fleet.Config{{
		Name: "k", Spec: driver.Spec{Kind: "outlived", Capabilities: []driver.Capability{driver.CanIssue}, NameHolds: true},
		Open: func() (driver.Driver, error) { return unseen{o}, nil },
	}})
	r := lifecycle.Rotation{
		Identity: settled.Name, AccountNames: map[string]string{"k": "billing"}, AccountIDs: map[string]string{"k": "k-2"}, Platform: "k",
	}
	record := lifecycle.RotationRecord{Credentials: rotation.Record{{ID: "c1"}, {ID: "c2"}}}
	left, problems := lifecycle.DeleteRotation(t.Context(), blind, r, record)
	if len(left.Credentials) != 2 || !strings.Contains(problems.Error(), "not configured") {
		t.Errorf("without a view: left %v, problems %v", left.Credentials, problems)
	}
	left, problems = lifecycle.DeleteRotation(t.Context(), open(), r, left)
	if must(t, problems); len(left.Credentials) > 0 || len(o.logins["k-2"]) > 0 {
		t.Errorf("left %v, logins %v", left.Credentials, o.logins)
	}
}
