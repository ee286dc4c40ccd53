package lifecycle_test

import (
	"context"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/fleet"
	"github.com/nhi-labs/terraform-provider-nhi/internal/lifecycle"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
)

// newcomer makes accounts on a and c, and adopts one on b that differs from it in everything.
func newcomer() lifecycle.Identity {
	id := identity(map[string]lifecycle.Account{
		"a": {Name: "billing", Settings: map[string]string{"note": "made"}},
		"b": {Name: "legacy", Adopt: true, Settings: map[string]string{"note": "adopted"}},
		"c": {Name: "T_BILLING"},
	})
	id.ExpiresAt = someday
	return id
}

func withLegacy(_ *testing.T, w *world) {
	w.b.put(nhi.Account{
		Ref: nhi.Ref{Name: "legacy"}, Status: nhi.Suspended, Entitlements: roles("old"), Credentials: []nhi.Credential{{ID: "k"}},
		Settings: map[string]string{"note": "before"}, ExpiresAt: someday.AddDate(1, 0, 0),
	})
}

func created() map[string][]nhi.Account {
	return map[string][]nhi.Account{
		"a": {{Ref: nhi.Ref{Name: "billing"}, Mark: ours, Status: nhi.Active, Settings: map[string]string{"note": "made"}, ExpiresAt: someday}},
		"b": {{
			Ref: nhi.Ref{Name: "legacy"}, Mark: ours, Status: nhi.Active, Settings: map[string]string{"note": "adopted"}, ExpiresAt: someday,
			Entitlements: roles("old"), Credentials: []nhi.Credential{{ID: "k"}},
		}},
		"c": {{Ref: nhi.Ref{Name: "T_BILLING"}, Mark: ours, Status: nhi.Active, Settings: map[string]string{"note": ""}}},
	}
}

func TestCreate(t *testing.T) {
	w := newWorld()
	withLegacy(t, w)
	w.checkRecords(t, create(t, w, newcomer()))
	if diff := cmp.Diff(created(), w.own()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	w.checkForeign(t)
}

// TestCreateIsAllOrNothing disturbs every operation once.
func TestCreateIsAllOrNothing(t *testing.T) {
	for name, id := range map[string]func() lifecycle.Identity{"active": newcomer, "suspended": func() lifecycle.Identity {
		id := newcomer()
		id.Suspended = true
		return id
	}} {
		t.Run(name, func(t *testing.T) {
			prepare := func(t *testing.T, w *world) {
				withLegacy(t, w)
				if name == "suspended" {
					w.b.edit("legacy", func(a *nhi.Account) { a.Status = nhi.Active })
				}
			}
			disturb(t, []mode{refused, lost, cancelled, panics}, prepare, func(t *testing.T, ctx context.Context, w *world, f fault) {
				before := w.snapshot()
				records, problems := lifecycle.CreateIdentity(ctx, w.fleet(), id())
				f.checkProblems(t, problems)
				f.settleIn(w)
				if len(problems) == 0 {
					w.checkRecords(t, records)
					if *f.reached && f.mode == refused {
						t.Error("a refusal went unnoticed")
					}
					return
				}
				if len(records) > 0 {
					t.Errorf("records are left: %v", records)
				}
				if diff := cmp.Diff(before, w.snapshot()); diff != "" {
					t.Errorf("not taken back after %v (-before +after):\n%s", problems, diff)
				}
			})
		})
	}
}

// TestCreateThatCannotBeTakenBack lets a platform die in the middle. What stays there is recorded or carries our mark,
// and the next run finishes.
func TestCreateThatCannotBeTakenBack(t *testing.T) {
	disturb(t, []mode{dead}, withLegacy, func(t *testing.T, ctx context.Context, w *world, f fault) {
		before := w.snapshot()
		records, problems := lifecycle.CreateIdentity(ctx, w.fleet(), newcomer())
		f.checkProblems(t, problems)
		f.settleIn(w)
		if *f.reached == (len(problems) == 0) {
			t.Errorf("problems: %v", problems)
		}
		for name, accounts := range w.snapshot() {
			if len(problems) > 0 && name != f.platform {
				if diff := cmp.Diff(before[name], accounts); diff != "" {
					t.Errorf("%s was not taken back (-before +after):\n%s", name, diff)
				}
				if _, kept := records[name]; kept {
					t.Errorf("%s is recorded although it was taken back", name)
				}
			}
		}
		again, problems := lifecycle.CreateIdentity(t.Context(), w.fleet(), newcomer())
		must(t, problems)
		w.checkRecords(t, again)
		if diff := cmp.Diff(created(), w.own()); diff != "" {
			t.Errorf("after the next run (-want +got):\n%s", diff)
		}
	})
}

// TestFailureWhileTakingBack lets c refuse the creation, and disturbs a and b while they take back.
func TestFailureWhileTakingBack(t *testing.T) {
	prepare := func(t *testing.T, w *world) {
		withLegacy(t, w)
		w.c.refuse = func(op string) error {
			if op == "create" {
				return driver.Errorf(driver.PermissionDenied, "no")
			}
			return nil
		}
	}
	disturb(t, []mode{refused, lost, dead}, prepare, func(t *testing.T, ctx context.Context, w *world, f fault) {
		before := w.snapshot()
		records, problems := lifecycle.CreateIdentity(ctx, w.fleet(), newcomer())
		f.settleIn(w)
		if len(problems) == 0 {
			t.Error("no problem")
		}
		for name, accounts := range w.snapshot() {
			record, kept := records[name]
			changed := !cmp.Equal(before[name], accounts)
			marked := false
			for _, a := range accounts {
				marked = marked || a.Mark == ours && (!kept || a.ID == record.ID)
			}
			if changed && !kept && !marked {
				t.Errorf("on %s something is left that nobody finds: %s", name, cmp.Diff(before[name], accounts))
			}
			const adopting = "b" // the account there is somebody else's: its mark alone tells of it
			if changed && f.mode != dead && !kept && name != adopting {
				t.Errorf("%s is not recorded: %s", name, cmp.Diff(before[name], accounts))
			}
			if kept && name == adopting {
				t.Error("an adopted account is left in a state from which the next apply would delete it")
			}
			if kept && !changed && name == "a" && !strings.Contains(problems.Error(), "reading back") {
				t.Errorf("%s is recorded although nothing is there: %v", name, problems)
			}
			if kept && f.platform != name {
				t.Errorf("%s is recorded although it was taken back", name)
			}
		}
		left, problems := lifecycle.DeleteIdentity(t.Context(), w.fleet(), newcomer(), records, false)
		if must(t, problems); len(left) > 0 {
			t.Errorf("left %v", left)
		}
	})
}

// TestLostAnswerOfACreation: the account was made, so nothing failed.
func TestLostAnswerOfACreation(t *testing.T) {
	w := newWorld()
	id := identity(map[string]lifecycle.Account{"a": {Name: "billing"}})
	w.a.refuse = func(op string) error {
		if op == "create" {
			a := nhi.Account{Ref: nhi.Ref{Name: "billing", ID: "a-9"}, Mark: ours, Status: nhi.Active, Settings: map[string]string{}}
			w.a.accounts["a-9"] = a
			return driver.Errorf(driver.Unavailable, "connection reset")
		}
		return nil
	}
	w.checkRecords(t, create(t, w, id))
}

// TestCreationThatShowsLate: the account was made, and the platform shows it only after a while.
func TestCreationThatShowsLate(t *testing.T) {
	w := newWorld()
	reads := -1
	w.a.refuse = func(op string) error {
		switch {
		case op == "create":
			reads = 0
			return driver.Errorf(driver.Unavailable, "made, and not shown yet")
		case reads >= 0:
			if reads++; reads == 2 {
				w.a.accounts["a-9"] = nhi.Account{
					Ref: nhi.Ref{Name: "billing", ID: "a-9"}, Mark: ours, Status: nhi.Active, Settings: map[string]string{},
				}
			}
		}
		return nil
	}
	w.checkRecords(t, create(t, w, identity(map[string]lifecycle.Account{"a": {Name: "billing"}})))
}

func TestCreateRefusesWhatIsNotOurs(t *testing.T) {
	sibling := nhi.Mark{Stack: "payments", Identity: "sibling"}
	for _, test := range []struct {
		name  string
		mark  nhi.Mark
		adopt bool
		want  string
	}{
		{"unmarked", nhi.Mark{}, false, "set adopt = true"},
		{"other stack", theirs, true, `belongs to the stack "other"`},
		{"other identity", sibling, true, `already belongs to the identity "sibling"`},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld()
			w.a.put(nhi.Account{Ref: nhi.Ref{Name: "billing"}, Mark: test.mark, Entitlements: roles("x")})
			before := w.snapshot()
			id := identity(map[string]lifecycle.Account{"a": {Name: "billing", Adopt: test.adopt}, "c": {Name: "billing"}})
			_, err := lifecycle.Inspect(t.Context(), w.fleet(), "billing", "a", id.Accounts["a"])
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("plan: %v", err)
			}
			records, problems := lifecycle.CreateIdentity(t.Context(), w.fleet(), id)
			if len(problems) != 1 || !strings.Contains(problems.Error(), test.want) || len(records) > 0 {
				t.Errorf("records %v, problems %v", records, problems)
			}
			if diff := cmp.Diff(before, w.snapshot()); diff != "" {
				t.Errorf("(-before +after):\n%s", diff)
			}
		})
	}
}

// TestCreateLosesARace: somebody makes the account between our look and our creation.
func TestCreateLosesARace(t *testing.T) {
	w := newWorld()
	w.a.refuse = func(op string) error {
		if op == "create" {
			w.a.accounts["a-9"] = nhi.Account{Ref: nhi.Ref{Name: "billing", ID: "a-9"}, Status: nhi.Active}
		}
		return nil
	}
	id := identity(map[string]lifecycle.Account{"a": {Name: "billing", Adopt: true}})
	records, problems := lifecycle.CreateIdentity(t.Context(), w.fleet(), id)
	if len(problems) != 1 || len(records) > 0 || len(w.own()["a"]) != 1 || !w.own()["a"][0].Mark.IsZero() {
		t.Errorf("records %v, problems %v, accounts %v", records, problems, w.own())
	}
}

// TestPanicIsTheProblemOfItsPlatform, whether a driver panics or what is around it.
func TestPanicIsTheProblemOfItsPlatform(t *testing.T) {
	w := newWorld()
	w.a.arm(2, panics, nil)
	records := map[string]lifecycle.Record{"a": {Name: "x"}, "b": {Name: "x"}, "c": {Name: "x"}}
	_, problems := lifecycle.Observe(t.Context(), w.fleet(), settledIdentity(), records, true, nil)
	if len(problems) != 1 || problems[0].Platform != "a" || !strings.Contains(problems.Error(), "the driver panicked; please report this") {
		t.Errorf("problems %v", problems)
	}
	f := fleet.New("payments", nil, []fleet.Config{{Name: "a", Open: func() (driver.Driver, error) { panic("no driver") }}})
	for range 2 {
		_, problems = lifecycle.Observe(t.Context(), f, settledIdentity(), map[string]lifecycle.Record{"a": {Name: "x"}}, true, nil)
		if len(problems) != 1 || !strings.Contains(problems.Error(), "the provider panicked; please report this") {
			t.Errorf("problems %v", problems)
		}
	}
}

func TestInspect(t *testing.T) {
	w := newWorld()
	w.a.put(nhi.Account{Ref: nhi.Ref{Name: "billing"}, Mark: ours})
	adopted := w.b.put(nhi.Account{Ref: nhi.Ref{Name: "billing"}})
	for platform, want := range map[string]lifecycle.Preview{
		"a": {Target: "target-a", Realm: "target-a", Found: true, Status: nhi.Active},
		"b": {Target: "target-b", Realm: "target-b", AdoptedID: adopted.ID, Status: nhi.Active},
		"c": {Target: "target-c", Realm: "target-c"},
	} {
		got, err := lifecycle.Inspect(t.Context(), w.fleet(), "billing", platform, lifecycle.Account{Name: "billing", Adopt: true})
		if err != nil {
			t.Errorf("%s: %v", platform, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", platform, diff)
		}
	}
}
