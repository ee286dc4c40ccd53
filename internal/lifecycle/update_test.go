package lifecycle_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nhi-labs/terraform-provider-nhi/internal/fleet"
	"github.com/nhi-labs/terraform-provider-nhi/internal/lifecycle"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
	"github.com/nhi-labs/terraform-provider-nhi/internal/reconcile"
)

// settledIdentity has an account on every platform.
func settledIdentity() lifecycle.Identity {
	return identity(map[string]lifecycle.Account{"a": {Name: "billing"}, "b": {Name: "billing"}, "c": {Name: "billing"}})
}

// equip gives the accounts of settledIdentity what accounts get in their life.
func equip(w *world) {
	for _, m := range w.all {
		m.edit("billing", func(a *nhi.Account) {
			a.Entitlements = roles("x", "y")
			if m.name != "c" {
				a.Credentials = []nhi.Credential{{ID: "k1"}, {ID: "k2"}}
			}
		})
	}
}

// changed suspends a with other settings, renames b, and keeps c as it is.
func changed() lifecycle.Identity {
	id := identity(map[string]lifecycle.Account{
		"a": {Name: "billing", Settings: map[string]string{"note": "new"}}, "b": {Name: "renamed"}, "c": {Name: "billing"},
	})
	id.Suspended, id.ExpiresAt = true, someday
	return id
}

// withoutC removes the account on c and makes another one on b.
func withoutC() lifecycle.Identity {
	return identity(map[string]lifecycle.Account{"a": {Name: "billing"}, "b": {Name: "renamed"}})
}

func TestUpdateGoesAsFarAsItCan(t *testing.T) {
	for name, id := range map[string]lifecycle.Identity{"changed": changed(), "without c": withoutC()} {
		t.Run(name, func(t *testing.T) {
			undisturbed := newWorld()
			records := create(t, undisturbed, settledIdentity())
			equip(undisturbed)
			records, problems := lifecycle.UpdateIdentity(t.Context(), undisturbed.fleet(), id, records)
			must(t, problems)
			undisturbed.checkRecords(t, records)
			want := undisturbed.own()

			var before map[string]lifecycle.Record
			prepare := func(t *testing.T, w *world) {
				before = create(t, w, settledIdentity())
				equip(w)
			}
			disturb(t, []mode{refused, lost, cancelled, dead, panics}, prepare, func(t *testing.T, ctx context.Context, w *world, f fault) {
				records, problems := lifecycle.UpdateIdentity(ctx, w.fleet(), id, before)
				f.checkProblems(t, problems)
				f.settleIn(w)
				if *f.reached && f.mode == dead && len(problems) == 0 {
					t.Error("no problem")
				}
				got := w.own()
				for platform := range w.all {
					if f.mode != cancelled && platform != f.platform && !cmp.Equal(want[platform], got[platform]) {
						t.Errorf("%s was held up: %s", platform, cmp.Diff(want[platform], got[platform]))
					}
				}
				records, problems = lifecycle.UpdateIdentity(t.Context(), w.fleet(), id, records)
				must(t, problems)
				w.checkRecords(t, records)
				if diff := cmp.Diff(want, w.own()); diff != "" {
					t.Errorf("after the next run (-want +got):\n%s", diff)
				}
			})
		})
	}
}

// TestRecordsAfterAFailedUpdate: what reading back saw is recorded.
func TestRecordsAfterAFailedUpdate(t *testing.T) {
	var before map[string]lifecycle.Record
	prepare := func(t *testing.T, w *world) { before = create(t, w, settledIdentity()) }
	id := settledIdentity()
	id.Suspended = true
	disturb(t, []mode{refused, lost}, prepare, func(t *testing.T, ctx context.Context, w *world, f fault) {
		records, problems := lifecycle.UpdateIdentity(ctx, w.fleet(), id, before)
		f.settleIn(w)
		for name, r := range records {
			status := w.own()[name][0].Status
			if r.Status != status && !(len(problems) > 0 && strings.Contains(problems.Error(), "reading back")) {
				t.Errorf("%s is recorded as %s and is %s: %v", name, r.Status, status, problems)
			}
		}
	})
}

func TestDeleteFinishesInTheEnd(t *testing.T) {
	var before map[string]lifecycle.Record
	prepare := func(t *testing.T, w *world) {
		before = create(t, w, settledIdentity())
		equip(w)
	}
	disturb(t, []mode{refused, lost, cancelled, dead, panics}, prepare, func(t *testing.T, ctx context.Context, w *world, f fault) {
		left, problems := lifecycle.DeleteIdentity(ctx, w.fleet(), settledIdentity(), before, false)
		f.checkProblems(t, problems)
		f.settleIn(w)
		if diff := cmp.Diff(problems.Platforms(), names(left)); diff != "" {
			t.Errorf("records (-problems +records):\n%s", diff)
		}
		for platform := range w.own() {
			if _, kept := left[platform]; !kept {
				t.Errorf("the account on %s is forgotten", platform)
			}
		}
		if *f.reached && f.mode == dead && len(problems) == 0 {
			t.Error("no problem")
		}
		left, problems = lifecycle.DeleteIdentity(t.Context(), w.fleet(), settledIdentity(), left, false)
		if must(t, problems); len(left) > 0 || len(w.own()) > 0 {
			t.Errorf("left %v, there is %v", left, w.own())
		}
	})
}

func TestDeleteIsOffBeforeGone(t *testing.T) {
	w := newWorld()
	records := create(t, w, settledIdentity())
	equip(w)
	w.disarm()
	_, problems := lifecycle.DeleteIdentity(t.Context(), w.fleet(), settledIdentity(), records, false)
	must(t, problems)
	want := "probe read suspend end sessions revoke credential revoke credential revoke delete read"
	if got := strings.Join(w.a.ops, " "); got != want {
		t.Errorf("operations: %s", got)
	}
	if got, want := strings.Join(w.c.ops, " "), "probe read revoke delete read"; got != want {
		t.Errorf("operations without capabilities: %s", got)
	}
}

// TestDeleteRefusesWhatIsNotOursAnyMore: another stack, or somebody, took the account meanwhile.
func TestDeleteRefusesWhatIsNotOursAnyMore(t *testing.T) {
	for name, change := range map[string]func(m *memory){
		"marked by another stack": func(m *memory) { m.edit("billing", func(a *nhi.Account) { a.Mark = theirs }) },
		"marked by another identity": func(m *memory) {
			m.edit("billing", func(a *nhi.Account) { a.Mark.Identity = "sibling" })
		},
	} {
		t.Run(name, func(t *testing.T) {
			for _, how := range []string{"delete", "update", "rename", "suspend"} {
				w := newWorld()
				records := create(t, w, settledIdentity())
				change(w.a)
				before := w.a.all()
				var left map[string]lifecycle.Record
				var problems lifecycle.Problems
				switch how {
				case "delete", "suspend":
					left, problems = lifecycle.DeleteIdentity(t.Context(), w.fleet(), settledIdentity(), records, how == "suspend")
				case "update":
					left, problems = lifecycle.UpdateIdentity(t.Context(), w.fleet(), changed(), records)
				case "rename":
					id := settledIdentity()
					id.Accounts["a"] = lifecycle.Account{Name: "renamed"}
					left, problems = lifecycle.UpdateIdentity(t.Context(), w.fleet(), id, records)
				}
				if diff := cmp.Diff([]string{"a"}, problems.Platforms()); how != "suspend" && diff != "" {
					t.Errorf("%s: problems %v", how, problems)
				}
				if diff := cmp.Diff(before, w.a.all()); diff != "" || left["a"] != records["a"] {
					t.Errorf("%s: recorded %v (-before +after):\n%s", how, left["a"], diff)
				}
			}
		})
	}
}

// TestRecreatedAccountIsForeign: it has the name, but it is another account.
func TestRecreatedAccountIsForeign(t *testing.T) {
	w := newWorld()
	records := create(t, w, settledIdentity())
	w.a.drop("billing")
	w.a.put(nhi.Account{Ref: nhi.Ref{Name: "billing"}, Entitlements: roles("x")})
	before := w.a.all()
	seen, problems := lifecycle.Observe(t.Context(), w.fleet(), settledIdentity(), records, true, nil)
	must(t, problems)
	if diff := cmp.Diff([]string{"b", "c"}, names(seen.Records)); diff != "" {
		t.Errorf("seen:\n%s", diff)
	}
	after, problems := lifecycle.UpdateIdentity(t.Context(), w.fleet(), changed(), records)
	if len(problems) != 1 || !strings.Contains(problems.Error(), "was not made by this provider") {
		t.Errorf("problems %v", problems)
	}
	if _, problems := lifecycle.DeleteIdentity(t.Context(), w.fleet(), changed(), after, false); len(problems) > 0 {
		t.Errorf("delete: %v", problems)
	}
	if diff := cmp.Diff(before, w.a.all()); diff != "" {
		t.Errorf("the other account (-before +after):\n%s", diff)
	}
}

// TestRemadeAccountIsOurs: a run that did not get to record it has made the account again, under another id.
func TestRemadeAccountIsOurs(t *testing.T) {
	for name, end := range map[string]func(w *world, records map[string]lifecycle.Record) (map[string]lifecycle.Record, lifecycle.Problems){
		"delete": func(w *world, records map[string]lifecycle.Record) (map[string]lifecycle.Record, lifecycle.Problems) {
			return lifecycle.DeleteIdentity(t.Context(), w.fleet(), settledIdentity(), records, false)
		},
		"suspend": func(w *world, records map[string]lifecycle.Record) (map[string]lifecycle.Record, lifecycle.Problems) {
			delete(records, "c")
			return lifecycle.DeleteIdentity(t.Context(), w.fleet(), settledIdentity(), records, true)
		},
		"update": func(w *world, records map[string]lifecycle.Record) (map[string]lifecycle.Record, lifecycle.Problems) {
			return lifecycle.UpdateIdentity(t.Context(), w.fleet(), identity(nil), records)
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld()
			records := create(t, w, settledIdentity())
			w.a.drop("billing")
			w.a.put(nhi.Account{Ref: nhi.Ref{Name: "billing"}, Mark: ours, Entitlements: roles("x")})
			left, problems := end(w, records)
			if must(t, problems); len(left) > 0 {
				t.Errorf("left %v", left)
			}
			if there := w.own()["a"]; name != "suspend" && len(there) > 0 || name == "suspend" && there[0].Status != nhi.Suspended {
				t.Errorf("there is %+v", there)
			}
			w.checkForeign(t)
		})
	}
}

// TestStrays: what is declared and not recorded is found by its name and our mark, and nothing else is.
func TestStrays(t *testing.T) {
	w := newWorld()
	records := create(t, w, settledIdentity())
	recorded := map[string]lifecycle.Record{"c": records["c"]}
	id := identity(map[string]lifecycle.Account{"a": {Name: "billing"}, "b": {Name: "foreign"}, "c": {Name: "bystander"}})
	find := func(f *fleet.Fleet, want map[string]lifecycle.Record, unasked ...string) {
		t.Helper()
		found, problems := lifecycle.Strays(t.Context(), f, id, recorded)
		if diff := cmp.Diff(want, found); diff != "" || !slices.Equal(problems.Platforms(), unasked) {
			t.Errorf("problems %v, found (-want +got):\n%s", problems, diff)
		}
	}
	find(w.fleet(), map[string]lifecycle.Record{"a": records["a"]})
	id.Accounts["b"] = lifecycle.Account{Name: "bystander"}
	w.a.edit("billing", func(a *nhi.Account) { a.Mark.Identity = "sibling" })
	find(w.fleet(), map[string]lifecycle.Record{})
	w.a.refuse = func(string) error { return errRefused }
	find(w.fleet(), map[string]lifecycle.Record{}, "a")
	find(w.fleet("a"), map[string]lifecycle.Record{})
}

// TestLostMark: an account whose mark somebody removed is still the one that state records.
func TestLostMark(t *testing.T) {
	w := newWorld()
	records := create(t, w, settledIdentity())
	w.a.edit("billing", func(a *nhi.Account) { a.Mark = nhi.Mark{} })
	seen, problems := lifecycle.Observe(t.Context(), w.fleet(), settledIdentity(), records, true, nil)
	must(t, problems)
	if want := []string{`a: the ownership mark of account "billing" is missing`}; !cmp.Equal(want, seen.Pending) {
		t.Errorf("pending %q", seen.Pending)
	}
	after, problems := lifecycle.UpdateIdentity(t.Context(), w.fleet(), settledIdentity(), records)
	must(t, problems)
	w.checkRecords(t, after)
}

func TestSuspendOnDestroy(t *testing.T) {
	w := newWorld()
	records := create(t, w, settledIdentity())
	equip(w)
	left, problems := lifecycle.DeleteIdentity(t.Context(), w.fleet(), settledIdentity(), records, true)
	if len(problems) != 1 || problems[0].Platform != "c" || !strings.Contains(problems.Error(), `set on_destroy = "delete"`) {
		t.Errorf("problems %v", problems)
	}
	if diff := cmp.Diff([]string{"c"}, names(left)); diff != "" {
		t.Errorf("left:\n%s", diff)
	}
	for _, name := range []string{"a", "b"} {
		got := w.own()[name][0]
		want := nhi.Account{
			Ref: nhi.Ref{Name: "billing"}, Mark: ours, Status: nhi.Suspended, Entitlements: roles("x", "y"),
			Settings: map[string]string{"note": ""}, Credentials: []nhi.Credential{},
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	// The mark stayed, so a later run recognises the account.
	again := create(t, w, settledIdentity())
	if again["a"].ID != records["a"].ID || again["a"].Status != nhi.Active {
		t.Errorf("again %v, before %v", again["a"], records["a"])
	}
}

func TestRetiredPlatformHoldsNothingUp(t *testing.T) {
	w := newWorld()
	records := create(t, w, settledIdentity())
	w.a.refuse = func(string) error { return errRefused }
	f := w.fleet("a")
	seen, problems := lifecycle.Observe(t.Context(), f, settledIdentity(), records, true, nil)
	must(t, problems)
	if diff := cmp.Diff([]string{"b", "c"}, names(seen.Records)); diff != "" {
		t.Errorf("seen:\n%s", diff)
	}
	left, problems := lifecycle.DeleteIdentity(t.Context(), f, settledIdentity(), records, false)
	if must(t, problems); len(left) > 0 {
		t.Errorf("left %v", left)
	}
}

func TestWrongTargetIsLeftAlone(t *testing.T) {
	w := newWorld()
	records := create(t, w, settledIdentity())
	r := records["a"]
	r.Target = "another system"
	records["a"] = r
	before := w.a.all()
	for name, run := range map[string]func() (map[string]lifecycle.Record, lifecycle.Problems){
		"observe": func() (map[string]lifecycle.Record, lifecycle.Problems) {
			seen, problems := lifecycle.Observe(t.Context(), w.fleet(), settledIdentity(), records, true, nil)
			seen.Records["a"] = r // a problem says nothing about the account
			return seen.Records, problems
		},
		"update": func() (map[string]lifecycle.Record, lifecycle.Problems) {
			return lifecycle.UpdateIdentity(t.Context(), w.fleet(), settledIdentity(), records)
		},
		"delete": func() (map[string]lifecycle.Record, lifecycle.Problems) {
			return lifecycle.DeleteIdentity(t.Context(), w.fleet(), settledIdentity(), map[string]lifecycle.Record{"a": r}, false)
		},
	} {
		left, problems := run()
		if len(problems) != 1 || !strings.Contains(problems.Error(), "now reaches another system") || left["a"] != r {
			t.Errorf("%s: left %v, problems %v", name, left, problems)
		}
	}
	if diff := cmp.Diff(before, w.a.all()); diff != "" {
		t.Errorf("(-before +after):\n%s", diff)
	}
}

func TestObserve(t *testing.T) {
	w := newWorld()
	id := settledIdentity()
	id.ExpiresAt = someday
	records := create(t, w, id)
	w.a.edit("billing", func(a *nhi.Account) { a.Status, a.ExpiresAt = nhi.Suspended, a.ExpiresAt.AddDate(1, 0, 0) })
	w.b.edit("billing", func(a *nhi.Account) { a.Name = "renamed" })
	w.c.drop("billing")
	seen, problems := lifecycle.Observe(t.Context(), w.fleet(), id, records, true, nil)
	if len(problems) != 1 || !strings.Contains(problems.Error(), `was renamed to "renamed"`) {
		t.Errorf("problems %v", problems)
	}
	if diff := cmp.Diff([]string{"a"}, names(seen.Records)); diff != "" || seen.Records["a"].Status != nhi.Suspended ||
		seen.Accounts["a"].Name != "billing" {
		t.Errorf("seen %v\n%s", seen.Records, diff)
	}
	if len(seen.Pending) != 1 || !strings.Contains(seen.Pending[0], "expires on the platform 2031-01-01") {
		t.Errorf("pending %q", seen.Pending)
	}
	// An error is never absence.
	disturb(t, []mode{refused, panics, cancelled}, func(t *testing.T, w *world) { records = create(t, w, id) },
		func(t *testing.T, ctx context.Context, w *world, f fault) {
			seen, problems := lifecycle.Observe(ctx, w.fleet(), id, records, true, nil)
			f.checkProblems(t, problems)
			f.settleIn(w)
			if len(seen.Records)+len(problems) != 3 || *f.reached != (len(problems) > 0) {
				t.Errorf("seen %v, problems %v", names(seen.Records), problems)
			}
		})
}

// A suspension that did not come to its end leaves sessions. The next run ends them, though the account is suspended
// already, and the plan before says so, unless a run has ended them.
func TestHalfSuspensionIsFinished(t *testing.T) {
	id := settledIdentity()
	id.Suspended = true
	observe := func(w *world, records map[string]lifecycle.Record, pending []string) []string {
		seen, problems := lifecycle.Observe(t.Context(), w.fleet(), id, records, true, pending)
		must(t, problems)
		return seen.Pending
	}
	words := []string{`a: account "billing" is suspended, but its sessions may not have ended`}
	w := newWorld()
	before := create(t, w, settledIdentity())
	w.a.refuse = func(op string) error {
		if op == "end sessions" {
			return errRefused
		}
		return nil
	}
	records, problems := lifecycle.UpdateIdentity(t.Context(), w.fleet(), id, before)
	if len(problems) != 1 || records["a"].Status != nhi.Suspended {
		t.Fatalf("records %v, problems %v", records, problems)
	}
	w.a.refuse = nil
	if diff := cmp.Diff(words, observe(w, records, []string{reconcile.Failed("a")})); diff != "" {
		t.Errorf("after a failure (-want +got):\n%s", diff)
	}
	// A killed run has recorded nothing.
	if diff := cmp.Diff(words, slices.DeleteFunc(observe(w, before, nil), func(s string) bool { return s[0] != 'a' })); diff != "" {
		t.Errorf("after a kill (-want +got):\n%s", diff)
	}
	w.disarm()
	records, problems = lifecycle.UpdateIdentity(t.Context(), w.fleet(), id, records)
	must(t, problems)
	if !slices.Contains(w.a.ops, "end sessions") {
		t.Errorf("operations %v", w.a.ops)
	}
	if pending := observe(w, records, nil); len(pending) > 0 {
		t.Errorf("still pending: %v", pending)
	}
}
