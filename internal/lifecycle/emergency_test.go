package lifecycle_test

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/fleet"
	"github.com/nhi-labs/terraform-provider-nhi/internal/lifecycle"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
)

// billing puts an account of the identity on each platform, with two credentials, under another name on b.
func billing(w *world) {
	keys := []nhi.Credential{{ID: "k1"}, {ID: "k2"}}
	w.a.put(nhi.Account{Ref: nhi.Ref{Name: "billing"}, Mark: ours, Credentials: keys, Entitlements: roles("x")})
	w.b.put(nhi.Account{Ref: nhi.Ref{Name: "T_1"}, Mark: ours, Credentials: keys, Entitlements: roles("x")})
	w.c.put(nhi.Account{Ref: nhi.Ref{Name: "billing"}, Mark: ours})
}

// heard collects what Tell is told, sorted.
type heard struct {
	mu        sync.Mutex
	sentences []string
}

func (h *heard) tell(platform, sentence string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.sentences = append(h.sentences, platform+": "+sentence)
	slices.Sort(h.sentences)
}

func TestSuspendNow(t *testing.T) {
	w, h := newWorld(), &heard{}
	billing(w)
	found, problems := lifecycle.SuspendNow(t.Context(), w.fleet(), lifecycle.Emergency{Identity: "billing"}, h.tell)
	must(t, others(t, problems))
	w.checkForeign(t)
	want := []string{
		`a: account "billing": is suspended, its sessions are ended, 2 of its credentials are revoked`,
		`b: account "T_1": is suspended, its sessions are ended, 2 of its credentials are revoked`,
		`c: account "billing": the platform cannot suspend it`,
	}
	if diff := cmp.Diff(want, h.sentences); diff != "" || found != 3 {
		t.Errorf("found %d, told (-want +got):\n%s", found, diff)
	}
	for platform, accounts := range w.own() {
		for _, a := range accounts {
			if platform != "c" && (a.Status != nhi.Suspended || len(a.Credentials) > 0 || len(a.Entitlements) != 1) {
				t.Errorf("%s: %+v", platform, a)
			}
		}
	}
	if _, problems = lifecycle.ResumeNow(t.Context(), w.fleet(), lifecycle.Emergency{Identity: "billing", Platforms: []string{"b"}}, h.tell); len(problems) > 0 {
		t.Fatal(problems)
	}
	if a, b := w.own()["a"][0], w.own()["b"][0]; a.Status != nhi.Suspended || b.Status != nhi.Active || len(b.Credentials) > 0 {
		t.Errorf("resumed on b alone: %+v, %+v", a, b)
	}
}

// others returns the problems of other platforms than c, and fails the test unless c has the one that its account can still
// be used.
func others(t *testing.T, problems lifecycle.Problems) lifecycle.Problems {
	t.Helper()
	rest := slices.DeleteFunc(slices.Clone(problems), func(p lifecycle.Problem) bool {
		return p.Platform == "c" && driver.CodeOf(p.Err) == driver.Unsupported && strings.Contains(p.Err.Error(), "which can still be used")
	})
	if len(rest)+1 != len(problems) {
		t.Errorf("problems %v: that c cannot suspend is missing", problems)
	}
	return rest
}

// What nobody knows, or what goes on working, is a problem: c can neither suspend nor list.
func TestSuspendNowClosesNothing(t *testing.T) {
	only := []string{"c"}
	for _, test := range []struct {
		name    string
		account nhi.Account
		keyed   bool
		names   map[string]string
		found   int
		problem string
	}{
		{"usable", nhi.Account{Ref: nhi.Ref{Name: "billing"}, Mark: ours}, false, nil, 1, `cannot suspend account "billing", which can still be used`},
		{"used with credentials alone", nhi.Account{Ref: nhi.Ref{Name: "billing"}, Mark: ours}, true, nil, 1, ""},
		{"switched off by hand", nhi.Account{Ref: nhi.Ref{Name: "billing"}, Mark: ours, Status: nhi.Suspended}, false, nil, 1, ""},
		{"of another name", nhi.Account{Ref: nhi.Ref{Name: "712020:x"}, Mark: ours}, true, nil, 0, `give its name: account_names = { c = "…" }`},
		{"of another name, given", nhi.Account{Ref: nhi.Ref{Name: "712020:x"}, Mark: ours}, true, map[string]string{"c": "712020:x"}, 1, ""},
		{"another identity's", nhi.Account{Ref: nhi.Ref{Name: "billing"}, Mark: theirs}, true, nil, 0, "cannot list its accounts"},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld()
			w.keyed = test.keyed
			w.c.put(test.account)
			e := lifecycle.Emergency{Identity: "billing", Platforms: only, AccountNames: test.names}
			found, problems := lifecycle.SuspendNow(t.Context(), w.fleet(), e, (&heard{}).tell)
			if found != test.found || (len(problems) > 0) != (test.problem != "") || !strings.Contains(problems.Error(), test.problem) {
				t.Errorf("found %d, problems %v, want %d, %q", found, problems, test.found, test.problem)
			}
			for _, p := range problems {
				if driver.CodeOf(p.Err) != driver.Unsupported {
					t.Errorf("code %v: %v", driver.CodeOf(p.Err), p.Err)
				}
			}
			w.checkForeign(t)
		})
	}

	// What can be revoked is revoked, and the account still has another way in.
	m := newMemory("d")
	m.put(nhi.Account{Ref: nhi.Ref{Name: "T_1"}, Mark: ours, Credentials: []nhi.Credential{{ID: "k1"}, {ID: "k2"}}})
	spec := driver.Spec{Kind: "issues", Capabilities: []driver.Capability{driver.CanSweep, driver.CanIssue}}
	f := fleet.New("payments", nil, []fleet.Config{{Name: "d", Spec: spec, Open: func() (driver.Driver, error) { return full{plain{m}}, nil }}})
	found, problems := lifecycle.SuspendNow(t.Context(), f, lifecycle.Emergency{Identity: "billing"}, (&heard{}).tell)
	if found != 1 || len(m.all()[0].Credentials) > 0 || !strings.Contains(problems.Error(), "All its credentials that the platform shows are revoked") {
		t.Errorf("found %d, problems %v, account %+v", found, problems, m.all())
	}

	// What was switched off by hand is not resumed by saying so.
	w := newWorld()
	w.c.put(nhi.Account{Ref: nhi.Ref{Name: "billing"}, Mark: ours, Status: nhi.Suspended})
	_, problems = lifecycle.ResumeNow(t.Context(), w.fleet(), lifecycle.Emergency{Identity: "billing", Platforms: only}, (&heard{}).tell)
	if len(problems) != 1 || driver.CodeOf(problems[0].Err) != driver.Unsupported {
		t.Errorf("problems %v", problems)
	}
}

// Each operation fails in turn, in each way: the other platforms are cut off, the problem names the platform, and the next
// call finishes.
func TestSuspendNowDisturbed(t *testing.T) {
	e := lifecycle.Emergency{Identity: "billing"}
	disturb(t, []mode{refused, lost, panics, dead}, func(_ *testing.T, w *world) { billing(w) },
		func(t *testing.T, ctx context.Context, w *world, f fault) {
			t.Helper()
			_, problems := lifecycle.SuspendNow(ctx, w.fleet(), e, (&heard{}).tell)
			f.settleIn(w)
			if f.platform != "c" {
				problems = others(t, problems)
			}
			f.checkProblems(t, problems)
			cut := func(platform string) bool {
				a := w.own()[platform][0]
				return platform == "c" || a.Status == nhi.Suspended && len(a.Credentials) == 0
			}
			for _, platform := range []string{"a", "b"} {
				if !slices.Contains(problems.Platforms(), platform) && !cut(platform) {
					t.Errorf("no problem on %s, and it is not cut off: %+v", platform, w.own()[platform])
				}
			}
			_, problems = lifecycle.SuspendNow(ctx, w.fleet(), e, (&heard{}).tell)
			must(t, others(t, problems))
			if !cut("a") || !cut("b") {
				t.Errorf("the second call does not finish: %+v", w.own())
			}
		})
}

func TestEmergencyFindsOnlyOurs(t *testing.T) {
	for _, test := range []struct {
		name      string
		emergency lifecycle.Emergency
		prepare   func(w *world)
		suspended []string
		problem   string
	}{
		{"nothing", lifecycle.Emergency{}, func(*world) {}, nil, ""},
		{"another identity of the name", lifecycle.Emergency{}, func(w *world) {
			w.a.put(nhi.Account{Ref: nhi.Ref{Name: "billing"}, Mark: nhi.Mark{Stack: "payments", Identity: "sibling"}})
			w.b.put(nhi.Account{Ref: nhi.Ref{Name: "billing"}, Mark: theirs})
		}, nil, ""},
		{"two with the mark", lifecycle.Emergency{}, func(w *world) {
			w.a.put(nhi.Account{Ref: nhi.Ref{Name: "billing"}, Mark: ours})
			w.a.put(nhi.Account{Ref: nhi.Ref{Name: "billing-old"}, Mark: ours})
		}, []string{"billing", "billing-old"}, ""},
		{"unmarked", lifecycle.Emergency{}, func(w *world) { w.a.put(nhi.Account{Ref: nhi.Ref{Name: "billing"}}) }, nil, "carries no mark"},
		{"unmarked, named", lifecycle.Emergency{AccountNames: map[string]string{"a": "svc"}}, func(w *world) {
			w.a.put(nhi.Account{Ref: nhi.Ref{Name: "svc"}})
		}, []string{"svc"}, ""},
		{"foreign, named", lifecycle.Emergency{AccountNames: map[string]string{"a": "foreign"}}, func(*world) {}, nil, `belongs to the stack "other"`},
		{"named and not there", lifecycle.Emergency{AccountNames: map[string]string{"a": "svc"}}, func(*world) {}, nil, `has no account "svc"`},
		{"a platform that is not there", lifecycle.Emergency{Platforms: []string{"x"}}, func(*world) {}, nil, `no platform is named "x"`},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld()
			test.prepare(w)
			test.emergency.Identity = "billing"
			if test.emergency.Platforms == nil {
				test.emergency.Platforms = both
			}
			_, problems := lifecycle.SuspendNow(t.Context(), w.fleet(), test.emergency, (&heard{}).tell)
			if (len(problems) > 0) != (test.problem != "") || !strings.Contains(problems.Error(), test.problem) {
				t.Errorf("problems %v, want %q", problems, test.problem)
			}
			w.checkForeign(t)
			var suspended []string
			for _, a := range append(w.a.all(), w.b.all()...) {
				if a.Status == nhi.Suspended {
					suspended = append(suspended, a.Name)
				}
			}
			if diff := cmp.Diff(test.suspended, suspended); diff != "" {
				t.Errorf("suspended (-want +got):\n%s", diff)
			}
		})
	}
}
