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

// directory finds by name only what is below its base, and by id everything, as LDAP does.
type directory struct {
	full
	// outside is the id of the account that was moved out of the base.
	outside *string
}

func (d directory) ReadAccount(ctx context.Context, ref nhi.Ref) (nhi.Account, error) {
	a, err := d.full.ReadAccount(ctx, ref)
	if err != nil || ref.ID != "" || *d.outside == "" {
		return a, err
	}
	for _, a := range d.m.all() {
		if a.Name == ref.Name && a.ID != *d.outside {
			return a, nil
		}
	}
	return nhi.Account{}, driver.Errorf(driver.NotFound, "there is no account %q below the base", ref.Name)
}

// newDirectory makes the platform "k" with the account of "billing", which a grant gave role:admin and a rotation the credential c1.
func newDirectory(t *testing.T) (d directory, open func() *fleet.Fleet, g lifecycle.Grant) {
	t.Helper()
	d = directory{full{plain{newMemory("k")}}, new(string)}
	grammar := nhi.Grammar{Types: []nhi.EntitlementType{{Name: "role", Example: "role:x"}}}
	open = func() *fleet.Fleet {
		return fleet.New("payments", nil, []fleet.Config{{
			Name: "k", Spec: driver.Spec{Kind: "directory", Grammar: grammar, Capabilities: []driver.Capability{driver.CanSuspend, driver.CanIssue}},
			Open: func() (driver.Driver, error) { return d, nil },
		}})
	}
	_, problems := lifecycle.CreateIdentity(t.Context(), open(), identity(map[string]lifecycle.Account{"k": {Name: "billing"}}))
	must(t, problems)
	g = grant(lifecycle.Entitlements{"k": roles("admin")})
	_, g.AccountIDs, problems = lifecycle.CreateGrant(t.Context(), open(), g)
	must(t, problems)
	d.m.edit("billing", func(a *nhi.Account) { a.Credentials = []nhi.Credential{{ID: "c1"}} })
	return d, open, g
}

// byID returns the account with an id.
func (d directory) byID(t *testing.T, id string) nhi.Account {
	t.Helper()
	for _, a := range d.m.all() {
		if a.ID == id {
			return a
		}
	}
	t.Fatalf("there is no account %s", id)
	return nhi.Account{}
}

// away are the ways in which the name of an account does not lead to it any more. other is the mark of the one that has
// taken the name, nil if there is none.
var away = map[string]struct {
	moved bool
	name  string
	other *nhi.Mark
}{
	"moved":                        {true, "billing", nil},
	"renamed":                      {false, "renamed", nil},
	"moved and renamed":            {true, "renamed", nil},
	"moved, and the name is taken": {true, "billing", &nhi.Mark{}},
	"replaced by a stranger":       {false, "renamed", &nhi.Mark{}},
	"replaced by another stack's":  {false, "renamed", &theirs},
	"replaced by another of ours":  {false, "renamed", &ours},
}

// takeAway makes the account be away. It returns who has taken its name and must stay as it is.
func (d directory) takeAway(how string) []nhi.Account {
	way := away[how]
	d.m.edit("billing", func(a *nhi.Account) { a.Name = way.name })
	if way.moved {
		*d.outside = "k-1"
	}
	if way.other != nil {
		d.m.put(nhi.Account{
			Ref: nhi.Ref{Name: "billing"}, Mark: *way.other, Entitlements: roles("admin"), Credentials: []nhi.Credential{{ID: "c1"}},
		})
	}
	return d.others()
}

// others returns every account but the one with the id k-1.
func (d directory) others() []nhi.Account {
	return slices.DeleteFunc(d.m.all(), func(a nhi.Account) bool { return a.ID == "k-1" })
}

// TestDeleteGrantOfAMovedAccount: access is taken from the account that the grant was about, wherever it is and whatever it is
// called now, and from no other one.
func TestDeleteGrantOfAMovedAccount(t *testing.T) {
	for how := range away {
		d, open, g := newDirectory(t)
		others := d.takeAway(how)
		left, problems := lifecycle.DeleteGrant(t.Context(), open(), g, g.Declared, nil)
		if must(t, problems); len(left) > 0 || len(d.byID(t, "k-1").Entitlements) > 0 {
			t.Errorf("%s: left %v, the account holds %v", how, left, d.byID(t, "k-1").Entitlements)
		}
		if diff := cmp.Diff(others, d.others()); diff != "" {
			t.Errorf("%s: the other account (-before +after):\n%s", how, diff)
		}
	}
}

// TestDeleteGrantOfAMovedAccountThatCannotBeRead: not seen by its name is not gone.
func TestDeleteGrantOfAMovedAccountThatCannotBeRead(t *testing.T) {
	for how := range away {
		d, open, g := newDirectory(t)
		d.takeAway(how)
		reads := 0
		d.m.refuse = func(op string) error {
			if op == "read" {
				reads++
			}
			if reads > 1 {
				return driver.Errorf(driver.PermissionDenied, "not to be seen")
			}
			return nil
		}
		left, problems := lifecycle.DeleteGrant(t.Context(), open(), g, g.Declared, nil)
		if len(problems) != 1 || !cmp.Equal(left, g.Declared) {
			t.Errorf("%s: left %v, problems %v", how, left, problems)
		}
	}
}

// TestRemovalsTakeNothingFromStrangers: without our mark and under another name, an account with the id that was recorded may be
// anybody's, after a migration at the latest.
func TestRemovalsTakeNothingFromStrangers(t *testing.T) {
	for _, madeAgain := range []bool{false, true} {
		d, open, g := newDirectory(t)
		d.m.edit("billing", func(a *nhi.Account) { a.Name, a.Mark = "somebody", nhi.Mark{} })
		if madeAgain {
			d.m.put(nhi.Account{Ref: nhi.Ref{Name: "billing"}, Mark: ours, Entitlements: roles("admin"), Credentials: []nhi.Credential{{ID: "c1"}}})
		}
		before := d.byID(t, "k-1")
		left, problems := lifecycle.DeleteGrant(t.Context(), open(), g, g.Declared, nil)
		r := lifecycle.Rotation{Identity: "billing", Platform: "k", AccountIDs: g.AccountIDs}
		record, more := lifecycle.DeleteRotation(t.Context(), open(), r, lifecycle.RotationRecord{Credentials: rotation.Record{{ID: "c1"}}})
		if diff := cmp.Diff(before, d.byID(t, "k-1")); diff != "" {
			t.Errorf("the stranger's account (-before +after):\n%s", diff)
		}
		if !madeAgain {
			if len(problems) != 1 || len(more) != 1 || !cmp.Equal(left, g.Declared) || len(record.Credentials) != 1 {
				t.Errorf("left %v and %v, problems %v", left, record.Credentials, append(problems, more...))
			}
			continue
		}
		must(t, append(problems, more...))
		if again := d.others(); len(again[0].Entitlements)+len(again[0].Credentials)+len(left)+len(record.Credentials) > 0 {
			t.Errorf("ours, made again: %+v, left %v and %v", again, left, record.Credentials)
		}
	}
}

// TestDeleteRotationOfAMovedAccount is TestDeleteGrantOfAMovedAccount for credentials.
func TestDeleteRotationOfAMovedAccount(t *testing.T) {
	for how := range away {
		d, open, g := newDirectory(t)
		others := d.takeAway(how)
		r := lifecycle.Rotation{Identity: "billing", Platform: "k", AccountIDs: g.AccountIDs}
		record := lifecycle.RotationRecord{Credentials: rotation.Record{{ID: "c1"}}, AccountID: "k-1"}
		left, problems := lifecycle.DeleteRotation(t.Context(), open(), r, record)
		if must(t, problems); len(left.Credentials) > 0 || len(d.byID(t, "k-1").Credentials) > 0 {
			t.Errorf("%s: left %v, the account logs in with %v", how, left.Credentials, d.byID(t, "k-1").Credentials)
		}
		if diff := cmp.Diff(others, d.others()); diff != "" {
			t.Errorf("%s: the other account (-before +after):\n%s", how, diff)
		}
	}
}

// TestMovedAccountKeepsItsGrant: under its name it is the account that it was. Under another one every refresh tells, unless another
// account of ours has the name now; and what is declared waits for an account of the declared name.
func TestMovedAccountKeepsItsGrant(t *testing.T) {
	for how, way := range away {
		d, open, g := newDirectory(t)
		others := d.takeAway(how)
		more := g
		more.Declared = lifecycle.Entitlements{"k": roles("admin", "more")}
		seen, observing := lifecycle.ObserveGrant(t.Context(), open(), g, g.Declared, nil)
		_, _, updating := lifecycle.UpdateGrant(t.Context(), open(), more, g.Declared, nil)
		r := lifecycle.Rotation{Identity: "billing", Platform: "k", AccountIDs: g.AccountIDs}
		view, planning := lifecycle.PlanRotation(t.Context(), open(), r, lifecycle.RotationRecord{}, nil, someday)
		if way.other == &ours {
			must(t, slices.Concat(observing, updating, planning))
			if held := d.others()[0].Entitlements; !cmp.Equal(held, roles("admin", "more")) || !cmp.Equal(d.byID(t, "k-1").Entitlements, roles("admin")) {
				t.Errorf("%s: the one that is declared now holds %v, the one before %v", how, held, d.byID(t, "k-1").Entitlements)
			}
			continue
		}
		if way.name == "billing" {
			must(t, slices.Concat(observing, updating, planning))
			if !cmp.Equal(seen.Visible, g.Declared) || !cmp.Equal(seen.AccountIDs, g.AccountIDs) || view.AccountID != "k-1" ||
				!cmp.Equal(d.byID(t, "k-1").Entitlements, roles("admin", "more")) {
				t.Errorf("%s: seen %v, %+v, held %v", how, seen, view, d.byID(t, "k-1").Entitlements)
			}
		} else {
			if len(observing) != 1 || !strings.Contains(observing.Error(), `renamed to "renamed"`) || len(updating) != 1 {
				t.Errorf("%s: refresh %v, update %v", how, observing, updating)
			}
			if view.AccountID != "" || len(planning) > 0 && way.other != &theirs {
				t.Errorf("%s: the name may be a new one, and the rotation's plan is %+v, %v", how, view, planning)
			}
		}
		if diff := cmp.Diff(others, d.others()); diff != "" {
			t.Errorf("%s: the other account (-before +after):\n%s", how, diff)
		}
	}
}

// TestExpiryOfAMovedAccountsGrant: the end of a grant does not wait until an account has its name back.
func TestExpiryOfAMovedAccountsGrant(t *testing.T) {
	for how := range away {
		d, open, g := newDirectory(t)
		others := d.takeAway(how)
		g.Expired = true
		seen, problems := lifecycle.ObserveGrant(t.Context(), open(), g, g.Declared, nil)
		if must(t, problems); len(seen.Pending) != 1 || !cmp.Equal(seen.AccountIDs, g.AccountIDs) {
			t.Errorf("%s: seen %+v", how, seen)
		}
		_, _, problems = lifecycle.UpdateGrant(t.Context(), open(), g, g.Declared, nil)
		if must(t, problems); len(d.byID(t, "k-1").Entitlements) > 0 {
			t.Errorf("%s: the account holds %v", how, d.byID(t, "k-1").Entitlements)
		}
		if diff := cmp.Diff(others, d.others()); diff != "" {
			t.Errorf("%s: the other account (-before +after):\n%s", how, diff)
		}
	}
}
