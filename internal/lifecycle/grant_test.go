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
)

// holders makes the accounts of settledIdentity, each holding something already.
func holders(t *testing.T, w *world) {
	create(t, w, settledIdentity())
	for _, m := range w.all {
		m.edit("billing", func(a *nhi.Account) { a.Entitlements = roles("before", "kept") })
	}
}

func onAll(names ...string) lifecycle.Entitlements {
	return lifecycle.Entitlements{"a": roles(names...), "b": roles(names...), "c": roles(names...)}
}

func grant(declared lifecycle.Entitlements) lifecycle.Grant {
	return lifecycle.Grant{Identity: "billing", Declared: declared, Exclusive: true}
}

// wantHeld fails the test unless the accounts on every platform hold exactly this.
func wantHeld(t *testing.T, w *world, names ...string) {
	t.Helper()
	for platform, accounts := range w.own() {
		if diff := cmp.Diff(nhi.Texts(roles(names...)), nhi.Texts(accounts[0].Entitlements)); diff != "" {
			t.Errorf("held on %s (-want +got):\n%s", platform, diff)
		}
	}
}

func TestCreateGrantIsAllOrNothing(t *testing.T) {
	declared := onAll("before", "new1", "new2")
	disturb(t, []mode{refused, lost, cancelled, dead, panics}, holders, func(t *testing.T, ctx context.Context, w *world, f fault) {
		left, _, problems := lifecycle.CreateGrant(ctx, w.fleet(), grant(declared))
		f.checkProblems(t, problems)
		f.settleIn(w)
		if len(problems) == 0 {
			if diff := cmp.Diff(declared, left); diff != "" || *f.reached && f.mode != cancelled {
				t.Errorf("recorded (-want +got):\n%s", diff)
			}
			wantHeld(t, w, "before", "kept", "new1", "new2")
			return
		}
		if f.mode != dead {
			if len(left) > 0 {
				t.Errorf("left %v", left)
			}
			wantHeld(t, w, "before", "kept")
			return
		}
		for platform, accounts := range w.own() {
			surplus := nhi.Without(accounts[0].Entitlements, roles("before", "kept"))
			if len(nhi.Without(surplus, left[platform])) > 0 || platform != f.platform && len(left[platform])+len(surplus) > 0 {
				t.Errorf("%s holds %v too many, recorded are %v", platform, surplus, left[platform])
			}
		}
		_, problems = lifecycle.DeleteGrant(t.Context(), w.fleet(), grant(nil), left, nil)
		must(t, problems)
		wantHeld(t, w, "before", "kept")
	})
}

func TestCreateGrantRefuses(t *testing.T) {
	for name, want := range map[string]string{
		"bystander": "is managed by nobody", "foreign": `belongs to the stack "other"`, "nobody": "no account",
	} {
		w := newWorld()
		holders(t, w)
		g := grant(onAll("new"))
		g.AccountNames = map[string]string{"b": name}
		left, _, problems := lifecycle.CreateGrant(t.Context(), w.fleet(), g)
		if len(problems) != 1 || problems[0].Platform != "b" || !strings.Contains(problems.Error(), want) || len(left) > 0 {
			t.Errorf("%s: left %v, problems %v", name, left, problems)
		}
		wantHeld(t, w, "before", "kept")
		w.checkForeign(t)
	}
}

// lieAbout makes every op on the account of "billing" succeed and change nothing, as the next operation sees.
func (m *memory) lieAbout(op string) {
	undo := func() {}
	m.refuse = func(called string) error {
		undo()
		undo = func() {}
		if called == op {
			before, _ := m.find(nhi.Ref{Name: "billing"})
			undo = func() {
				now, _ := m.find(nhi.Ref{Name: "billing"})
				now.Entitlements = before.Entitlements
				m.accounts[now.ID] = now
			}
		}
		return nil
	}
}

// TestPlatformsThatLie accept everything and do nothing.
func TestPlatformsThatLie(t *testing.T) {
	for op, want := range map[string]string{"grant": "does not show role:new", "revoke": "it still holds role:before"} {
		w := newWorld()
		holders(t, w)
		w.a.lieAbout(op)
		_, _, problems := lifecycle.UpdateGrant(t.Context(), w.fleet(), grant(onAll("new")), onAll("before"), nil)
		if len(problems) != 1 || problems[0].Platform != "a" || !strings.Contains(problems.Error(), want) {
			t.Errorf("%s: problems %v", op, problems)
		}
	}
}

// TestGrantThatIsOnlySaidToBeTakenBack: what the account still holds is recorded, and nothing else.
func TestGrantThatIsOnlySaidToBeTakenBack(t *testing.T) {
	w := newWorld()
	holders(t, w)
	w.a.lieAbout("revoke")
	w.b.refuse = func(op string) error {
		if op == "grant" {
			return errRefused
		}
		return nil
	}
	left, _, problems := lifecycle.CreateGrant(t.Context(), w.fleet(), grant(onAll("before", "new")))
	if !slices.Equal(problems.Platforms(), []string{"a", "b"}) || !strings.Contains(problems.Error(), "it still holds role:new") {
		t.Errorf("problems %v", problems)
	}
	if diff := cmp.Diff(lifecycle.Entitlements{"a": roles("new")}, left); diff != "" {
		t.Errorf("left (-want +got):\n%s", diff)
	}
}

func TestUpdateGrantRevokesOnlyWhatWasShown(t *testing.T) {
	disturb(t, []mode{refused, lost, cancelled, dead, panics}, func(t *testing.T, w *world) {
		holders(t, w)
		for _, m := range w.all {
			m.edit("billing", func(a *nhi.Account) { a.Entitlements = roles("before", "kept", "late", "other") })
		}
	}, func(t *testing.T, ctx context.Context, w *world, f fault) {
		g, shown := grant(onAll("kept", "new")), onAll("before", "kept", "other")
		g.Tolerated = onAll("other")
		want := []string{"kept", "late", "new", "other"}
		now, _, problems := lifecycle.UpdateGrant(ctx, w.fleet(), g, shown, nil)
		f.checkProblems(t, problems)
		f.settleIn(w)
		for platform, accounts := range w.own() {
			held := accounts[0].Entitlements
			if !slices.Contains(problems.Platforms(), platform) {
				if !slices.Equal(held, roles(want...)) || !slices.Equal(now[platform], roles("kept", "new")) {
					t.Errorf("%s holds %v, recorded are %v", platform, held, now[platform])
				}
				continue
			}
			// What we did is recorded, and what has to be revoked is, too; else nobody would look for it.
			if lost := nhi.Without(nhi.Intersect(held, roles("before", "kept", "new")), now[platform]); len(lost) > 0 {
				t.Errorf("%s holds %v, but recorded are %v", platform, held, now[platform])
			}
		}
		now, _, problems = lifecycle.UpdateGrant(t.Context(), w.fleet(), g, now, nil)
		must(t, problems)
		if diff := cmp.Diff(onAll("kept", "new"), now); diff != "" {
			t.Errorf("recorded (-want +got):\n%s", diff)
		}
		wantHeld(t, w, want...)
	})
}

func TestGrantBeforeRevoke(t *testing.T) {
	w := newWorld()
	holders(t, w)
	w.disarm()
	_, _, problems := lifecycle.UpdateGrant(t.Context(), w.fleet(), grant(onAll("new")), onAll("before"), nil)
	must(t, problems)
	if got := strings.Join(w.a.ops, " "); got != "probe read grant revoke read" {
		t.Errorf("operations: %s", got)
	}
	w.disarm()
	_, _, problems = lifecycle.UpdateGrant(t.Context(), w.fleet(), grant(onAll("new")), onAll("new"), nil)
	must(t, problems)
	if got := strings.Join(w.a.ops, " "); got != "probe read" {
		t.Errorf("operations when there is nothing to do: %s", got)
	}
}

// The account of a grant that is deleted may be deleted at the same time, by an identity that the grant does not refer to.
func TestDeleteGrantWhileItsAccountGoes(t *testing.T) {
	w := newWorld()
	w.a.put(nhi.Account{Ref: nhi.Ref{Name: "billing"}, Mark: ours, Entitlements: roles("x")})
	w.a.refuse = func(op string) error {
		if op == "revoke" {
			w.a.accounts = map[string]nhi.Account{}
		}
		return nil
	}
	left, problems := lifecycle.DeleteGrant(t.Context(), w.fleet(), lifecycle.Grant{Identity: "billing", Exclusive: true},
		lifecycle.Entitlements{"a": roles("x")}, nil)
	if len(problems) > 0 || len(left) > 0 {
		t.Errorf("left %v, %v", left, problems)
	}
}

func TestDeleteGrant(t *testing.T) {
	disturb(t, []mode{refused, lost, cancelled, dead, panics}, holders, func(t *testing.T, ctx context.Context, w *world, f fault) {
		left, problems := lifecycle.DeleteGrant(ctx, w.fleet(), grant(onAll("before")), onAll("before"), nil)
		f.checkProblems(t, problems)
		f.settleIn(w)
		if diff := cmp.Diff(problems.Platforms(), names(left)); diff != "" {
			t.Errorf("left (-problems +left):\n%s", diff)
		}
		left, problems = lifecycle.DeleteGrant(t.Context(), w.fleet(), grant(onAll("before")), left, nil)
		if must(t, problems); len(left) > 0 {
			t.Errorf("left %v", left)
		}
		wantHeld(t, w, "kept")
	})
}

func TestGrantOfAnAccountThatIsGone(t *testing.T) {
	w := newWorld()
	holders(t, w)
	w.b.drop("billing")
	left, problems := lifecycle.DeleteGrant(t.Context(), w.fleet(), grant(nil), onAll("before"), nil)
	if must(t, problems); len(left) > 0 {
		t.Errorf("left %v", left)
	}
	_, _, problems = lifecycle.UpdateGrant(t.Context(), w.fleet(), grant(onAll("before")), onAll("before"), nil)
	if len(problems) != 1 || problems[0].Platform != "b" || driver.CodeOf(problems[0].Err) != driver.NotFound {
		t.Errorf("problems %v", problems)
	}
	seen, problems := lifecycle.ObserveGrant(t.Context(), w.fleet(), grant(onAll("before")), onAll("before"), nil)
	must(t, problems)
	if len(seen.Visible["b"]) > 0 {
		t.Errorf("seen %v", seen.Visible)
	}
}

// TestGrantOfAnAccountWhoseNameIsTaken: an account without a mark under the name of one that is gone is a stranger's, also
// when a refresh had seen the name free in between.
func TestGrantOfAnAccountWhoseNameIsTaken(t *testing.T) {
	w := newWorld()
	holders(t, w)
	g := grant(onAll("before"))
	seen, problems := lifecycle.ObserveGrant(t.Context(), w.fleet(), g, g.Declared, nil)
	must(t, problems)
	g.AccountIDs = seen.AccountIDs
	w.b.drop("billing")
	seen, problems = lifecycle.ObserveGrant(t.Context(), w.fleet(), g, g.Declared, nil)
	must(t, problems)
	g.AccountIDs = seen.AccountIDs
	w.b.put(nhi.Account{Ref: nhi.Ref{Name: "billing"}, Entitlements: roles("before", "theirs")})
	before := w.b.all()
	seen, problems = lifecycle.ObserveGrant(t.Context(), w.fleet(), g, seen.Visible, nil)
	if must(t, problems); len(seen.Visible["b"]) > 0 {
		t.Errorf("seen %v", seen.Visible)
	}
	if _, _, problems = lifecycle.UpdateGrant(t.Context(), w.fleet(), g, seen.Visible, nil); len(problems) != 1 || problems[0].Platform != "b" ||
		!strings.Contains(problems.Error(), "managed by nobody") {
		t.Errorf("problems %v", problems)
	}
	_, problems = lifecycle.DeleteGrant(t.Context(), w.fleet(), g, seen.Visible, nil)
	must(t, problems)
	if diff := cmp.Diff(before, w.b.all()); diff != "" {
		t.Errorf("the stranger's account (-before +after):\n%s", diff)
	}
}

func TestGrantOfAnotherStacksAccount(t *testing.T) {
	w := newWorld()
	holders(t, w)
	w.b.edit("billing", func(a *nhi.Account) { a.Mark = theirs })
	before := w.b.all()
	g, shown := grant(onAll("new")), onAll("before")
	_, _, updating := lifecycle.UpdateGrant(t.Context(), w.fleet(), g, shown, nil)
	left, deleting := lifecycle.DeleteGrant(t.Context(), w.fleet(), g, shown, nil)
	_, observing := lifecycle.ObserveGrant(t.Context(), w.fleet(), g, shown, nil)
	for how, problems := range map[string]lifecycle.Problems{"update": updating, "delete": deleting, "observe": observing} {
		if len(problems) != 1 || problems[0].Platform != "b" || !strings.Contains(problems.Error(), `belongs to the stack "other"`) {
			t.Errorf("%s: %v", how, problems)
		}
	}
	if diff := cmp.Diff(before, w.b.all()); diff != "" || !slices.Equal(left["b"], roles("before")) {
		t.Errorf("left %v (-before +after):\n%s", left, diff)
	}
}

// TestGrantReachesANewPlatform: an update that names a platform for the first time is a creation there.
func TestGrantReachesANewPlatform(t *testing.T) {
	w := newWorld()
	holders(t, w)
	w.b.edit("billing", func(a *nhi.Account) { a.Mark = nhi.Mark{} })
	shown := lifecycle.Entitlements{"a": roles("before")}
	now, _, problems := lifecycle.UpdateGrant(t.Context(), w.fleet(), grant(onAll("new")), shown, nil)
	if len(problems) != 1 || problems[0].Platform != "b" || !strings.Contains(problems.Error(), "is managed by nobody") {
		t.Errorf("problems %v", problems)
	}
	if _, recorded := now["b"]; recorded || !slices.Equal(w.own()["b"][0].Entitlements, roles("before", "kept")) {
		t.Errorf("recorded %v; b holds %v", now, w.own()["b"])
	}
	if !slices.Equal(w.own()["c"][0].Entitlements, roles("before", "kept", "new")) {
		t.Errorf("c holds %v", w.own()["c"])
	}
}

func TestExpiredGrant(t *testing.T) {
	w := newWorld()
	holders(t, w)
	g := grant(onAll("before"))
	g.Exclusive, g.Expired = false, true
	seen, problems := lifecycle.ObserveGrant(t.Context(), w.fleet(), g, onAll("before"), nil)
	must(t, problems)
	if len(seen.AccountIDs) != 3 || seen.Targets["b"] != "target-b" {
		t.Errorf("seen %+v", seen)
	}
	seen.AccountIDs, seen.Targets = nil, nil
	if diff := cmp.Diff(lifecycle.GrantObservation{Visible: onAll("before"), Pending: []string{
		"a: revoke role:before (expired)", "b: revoke role:before (expired)", "c: revoke role:before (expired)",
	}}, seen); diff != "" {
		t.Errorf("seen (-want +got):\n%s", diff)
	}
	w.b.drop("billing") // who is gone holds nothing
	now, _, problems := lifecycle.UpdateGrant(t.Context(), w.fleet(), g, onAll("before"), nil)
	must(t, problems)
	if diff := cmp.Diff(onAll("before"), now); diff != "" {
		t.Errorf("recorded (-want +got):\n%s", diff)
	}
	wantHeld(t, w, "kept")
	seen, problems = lifecycle.ObserveGrant(t.Context(), w.fleet(), g, now, nil)
	if must(t, problems); len(seen.Pending) > 0 {
		t.Errorf("pending %v", seen.Pending)
	}
	if now, _, problems := lifecycle.CreateGrant(t.Context(), w.fleet(), g); len(problems) > 0 || !cmp.Equal(now, g.Declared) {
		t.Errorf("creation: %v, %v", now, problems)
	}
	wantHeld(t, w, "kept")
}

func TestObserveGrant(t *testing.T) {
	for _, test := range []struct {
		name      string
		exclusive bool
		tolerated lifecycle.Entitlements
		want      []string
	}{
		{"exclusive", true, nil, []string{"before", "kept"}},
		{"exclusive, tolerating", true, onAll("kept", "before"), []string{"before"}},
		{"not exclusive", false, nil, []string{"before"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld()
			holders(t, w)
			g := lifecycle.Grant{Identity: "billing", Tolerated: test.tolerated, Exclusive: test.exclusive}
			seen, problems := lifecycle.ObserveGrant(t.Context(), w.fleet("c"), g, onAll("before", "vanished"), nil)
			must(t, problems)
			if diff := cmp.Diff(lifecycle.Entitlements{"a": roles(test.want...), "b": roles(test.want...)}, seen.Visible); diff != "" {
				t.Errorf("visible (-want +got):\n%s", diff)
			}
		})
	}
	disturb(t, []mode{refused, panics, cancelled}, holders, func(t *testing.T, ctx context.Context, w *world, f fault) {
		seen, problems := lifecycle.ObserveGrant(ctx, w.fleet(), grant(nil), onAll("before"), nil)
		f.checkProblems(t, problems)
		f.settleIn(w)
		if len(seen.Visible)+len(problems) != 3 {
			t.Errorf("visible %v, problems %v", seen.Visible, problems)
		}
	})
}

// TestGrantOutOfView: what state records and the platform is configured not to show is not gone. It stays in state, and nothing
// is said to be revoked; with the account it ends.
func TestGrantOutOfView(t *testing.T) {
	w := newWorld()
	holders(t, w)
	narrow := func() *fleet.Fleet {
		spec := driver.Spec{Kind: "plain", CheckView: func(e nhi.Entitlement) error {
			if e.Target == "before" {
				return driver.Errorf(driver.Invalid, "it is not looked at")
			}
			return nil
		}}
		return fleet.New("payments", nil, []fleet.Config{{
			Name: "a", Spec: spec, Open: func() (driver.Driver, error) { return plain{w.a}, nil },
		}})
	}
	w.a.edit("billing", func(a *nhi.Account) { a.Entitlements = roles("kept") })
	recorded := lifecycle.Entitlements{"a": roles("before", "kept")}
	_, problems := lifecycle.ObserveGrant(t.Context(), narrow(), grant(recorded), recorded, nil)
	if !strings.Contains(problems.Error(), "role:before is not seen") {
		t.Errorf("refresh: %v", problems)
	}
	for what, declared := range map[string][]nhi.Entitlement{"deletion": nil, "update": roles("kept", "new")} {
		left, _, problems := lifecycle.UpdateGrant(t.Context(), narrow(), grant(lifecycle.Entitlements{"a": declared}), recorded, nil)
		if diff := cmp.Diff(recorded, left); diff != "" || !strings.Contains(problems.Error(), "role:before is not seen") {
			t.Errorf("%s: problems %v, recorded (-want +got):\n%s", what, problems, diff)
		}
	}
	if got := nhi.JoinTexts(w.own()["a"][0].Entitlements); got != "role:kept" {
		t.Errorf("held: %s", got)
	}
	w.a.edit("billing", func(a *nhi.Account) { a.Entitlements = roles("before") })
	seen, problems := lifecycle.ObserveGrant(t.Context(), narrow(), grant(recorded), recorded, nil)
	if must(t, problems); nhi.JoinTexts(seen.Visible["a"]) != "role:before" {
		t.Errorf("what is seen all the same: %v", seen.Visible)
	}
	w.a.drop("billing")
	left, problems := lifecycle.DeleteGrant(t.Context(), narrow(), grant(nil), recorded, nil)
	if must(t, problems); len(left) > 0 {
		t.Errorf("without the account: %v", left)
	}
}
