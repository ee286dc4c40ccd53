package lifecycle_test

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

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
	must(t, problems)
	w.checkForeign(t)
	want := []string{
		`a: account "billing": is suspended, its sessions are ended, 2 of its credentials are revoked`,
		`b: account "T_1": is suspended, its sessions are ended, 2 of its credentials are revoked`,
		`c: account "billing": the platform cannot suspend it`,
		`c: the platform cannot list its accounts, so only "billing" was looked for; if the account has another name, give it in account_names`,
	}
	if diff := cmp.Diff(want[:3], h.sentences); diff != "" || found != 3 {
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

	w.c.drop("billing")
	h.sentences = nil
	if _, problems := lifecycle.SuspendNow(t.Context(), w.fleet(), lifecycle.Emergency{Identity: "billing", Platforms: []string{"c"}}, h.tell); len(problems) > 0 {
		t.Fatal(problems)
	}
	if len(h.sentences) != 2 || h.sentences[1] != want[3] {
		t.Errorf("told %q", h.sentences)
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
			must(t, problems)
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
