package lifecycle_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/fleet"
	"github.com/nhi-labs/terraform-provider-nhi/internal/lifecycle"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
)

var (
	ours    = nhi.Mark{Stack: "payments", Identity: "billing"}
	theirs  = nhi.Mark{Stack: "other", Identity: "billing"}
	someday = time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
)

// world is three platforms: a and b can everything, c can nothing beyond what every platform can.
type world struct {
	a, b, c *memory
	all     map[string]*memory
	foreign map[string][]nhi.Account
	// keyed makes c a platform whose accounts are used with credentials alone.
	keyed bool
}

// newWorld makes platforms with an account of nobody, and one of another stack, on each.
func newWorld() *world {
	w := &world{a: newMemory("a"), b: newMemory("b"), c: newMemory("c"), foreign: map[string][]nhi.Account{}}
	w.all = map[string]*memory{"a": w.a, "b": w.b, "c": w.c}
	for name, m := range w.all {
		m.put(nhi.Account{Ref: nhi.Ref{Name: "bystander"}, Entitlements: roles("x"), Credentials: []nhi.Credential{{ID: "k"}}})
		m.put(nhi.Account{Ref: nhi.Ref{Name: "foreign"}, Mark: theirs, Entitlements: roles("x", "y")})
		w.foreign[name] = m.all()
	}
	return w
}

func roles(names ...string) []nhi.Entitlement {
	es := make([]nhi.Entitlement, len(names))
	for i, name := range names {
		es[i] = nhi.Entitlement{Type: "role", Target: name}
	}
	return es
}

// fleet opens the platforms anew, as a run of the provider does.
func (w *world) fleet(retired ...string) *fleet.Fleet {
	grammar := nhi.Grammar{Types: []nhi.EntitlementType{{Name: "role", Example: "role:x"}}}
	able := []driver.Capability{driver.CanSuspend, driver.CanSweep, driver.CanIssue, driver.CanEndSessions}
	var configs []fleet.Config
	for name, m := range w.all {
		if slices.Contains(retired, name) {
			continue
		}
		spec, open := driver.Spec{Kind: "full", Grammar: grammar, Capabilities: able, NativeExpiry: true}, driver.Driver(full{plain{m}})
		if name == "c" {
			spec, open = driver.Spec{Kind: "plain", Grammar: grammar, CredentialsOnly: w.keyed}, plain{m}
		}
		configs = append(configs, fleet.Config{Name: name, Spec: spec, Open: func() (driver.Driver, error) { return open, nil }})
	}
	return fleet.New("payments", retired, configs)
}

func (w *world) disarm() {
	for _, m := range w.all {
		m.arm(0, "", nil)
	}
}

// snapshot returns everything on every platform.
func (w *world) snapshot() map[string][]nhi.Account {
	out := map[string][]nhi.Account{}
	for name, m := range w.all {
		out[name] = m.all()
	}
	return out
}

// own returns the accounts that are not foreign, without their ids: those differ from run to run.
func (w *world) own() map[string][]nhi.Account {
	out := map[string][]nhi.Account{}
	for name, accounts := range w.snapshot() {
		for _, a := range accounts {
			if a.Name != "bystander" && a.Name != "foreign" {
				a.ID = ""
				out[name] = append(out[name], a)
			}
		}
	}
	return out
}

// checkForeign fails the test if an account of somebody else was touched.
func (w *world) checkForeign(t *testing.T) {
	t.Helper()
	for name, m := range w.all {
		rest := slices.DeleteFunc(m.all(), func(a nhi.Account) bool { return a.Name != "bystander" && a.Name != "foreign" })
		if diff := cmp.Diff(w.foreign[name], rest); diff != "" {
			t.Errorf("foreign accounts on %s (-before +after):\n%s", name, diff)
		}
	}
}

// checkRecords fails the test unless records is exactly what is there.
func (w *world) checkRecords(t *testing.T, records map[string]lifecycle.Record) {
	t.Helper()
	want := map[string]lifecycle.Record{}
	for name, m := range w.all {
		for _, a := range m.all() {
			if a.Mark == ours {
				want[name] = lifecycle.Record{Name: a.Name, ID: a.ID, Target: "target-" + name, Status: a.Status}
			}
		}
	}
	if diff := cmp.Diff(want, records); diff != "" {
		t.Errorf("records (-there +recorded):\n%s", diff)
	}
}

// fault is one way to disturb a run.
type fault struct {
	platform string
	at       int
	mode     mode
	reached  *bool
}

// disturb calls run once for every operation on every platform and every mode, with that operation disturbed in a new
// world. It ends when a run does not come to the operation any more.
func disturb(t *testing.T, modes []mode, prepare func(t *testing.T, w *world),
	run func(t *testing.T, ctx context.Context, w *world, f fault),
) {
	t.Helper()
	for _, platform := range []string{"a", "b", "c"} {
		for _, how := range modes {
			for n := 1; ; n++ {
				if n > 40 {
					t.Fatal("there is no end")
				}
				reached := false
				t.Run(fmt.Sprintf("%s/%s/%d", platform, how, n), func(t *testing.T) {
					w := newWorld()
					prepare(t, w)
					ctx, cancel := context.WithCancel(t.Context())
					defer cancel()
					w.disarm()
					w.all[platform].arm(n, how, cancel)
					run(t, ctx, w, fault{platform, n, how, &reached})
					w.checkForeign(t)
				})
				if !reached {
					if n == 1 {
						t.Fatalf("%s does nothing", platform)
					}
					break
				}
			}
		}
	}
}

// settleIn ends the disturbance, and notes whether the run came to the operation.
func (f fault) settleIn(w *world) {
	m := w.all[f.platform]
	m.mu.Lock()
	*f.reached = m.calls >= f.at
	m.mu.Unlock()
	w.disarm()
}

// checkProblems fails the test if a platform that was not disturbed has a problem. An interrupt disturbs all.
func (f fault) checkProblems(t *testing.T, problems lifecycle.Problems) {
	t.Helper()
	if f.mode != cancelled && len(problems) > 0 && !slices.Equal(problems.Platforms(), []string{f.platform}) {
		t.Errorf("problems of %v: %v", problems.Platforms(), problems)
	}
}

func must(t *testing.T, problems lifecycle.Problems) {
	t.Helper()
	if len(problems) > 0 {
		t.Fatalf("problems: %v", problems)
	}
}

func identity(accounts map[string]lifecycle.Account) lifecycle.Identity {
	return lifecycle.Identity{Name: "billing", Accounts: accounts}
}

func create(t *testing.T, w *world, id lifecycle.Identity) map[string]lifecycle.Record {
	t.Helper()
	records, problems := lifecycle.CreateIdentity(t.Context(), w.fleet(), id)
	must(t, problems)
	return records
}

func names[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
