package provider

import (
	"context"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nhi-labs/terraform-provider-nhi/internal/acctest/core"
	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/fleet"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
)

// rotating is the rotation of one account of "p", whose credentials "q" stores.
type rotating struct{ *scene }

func newRotating(t *testing.T) rotating {
	t.Helper()
	s := newScene(t)
	s.provider["sandbox"] = []core.Body{
		{"name": "p", "path": filepath.Join(s.dir, "p"), "credential_slots": 3}, {"name": "q", "path": filepath.Join(s.dir, "q")},
	}
	s.provider["audit"] = core.Body{"file": []core.Body{{"path": filepath.Join(s.dir, "events")}}}
	return rotating{s}
}

// run plans and applies the rotation with these attributes, the deliveries to paths of "q". It returns what the plan warns of and the
// errors of the apply.
func (r rotating) run(more core.Body, paths ...string) (warnings, errors string) {
	r.t.Helper()
	rotation := rotationResourceOf("nhi_identity.x", "p", "")
	maps.Copy(rotation.Body, more)
	var deliver []core.Body
	for _, path := range paths {
		deliver = append(deliver, core.Body{"platform": "q", "path": path})
	}
	rotation.Body["deliver"] = deliver
	plan := r.plan(map[string]core.Resource{"nhi_identity.x": identityResourceOf("agent", nil, on("p")), "nhi_rotation.x": rotation})
	if plan.Failed() {
		r.t.Fatalf("plan: %q, %q", plan.Errors, plan.Violations)
	}
	state, report := r.process().Apply(r.t.Context(), plan, nil)
	if r.state = state; len(report.Violations) > 0 {
		r.t.Fatalf("apply: %q", report.Violations)
	}
	return strings.Join(plan.Warnings, "\n"), strings.Join(report.Errors, "\n")
}

// refuse lets the platforms refuse what they are asked to do, or nothing.
func (r rotating) refuse(ops ...string) {
	r.hooks.Intercept = func(ctx context.Context, c fleet.Call, do func(context.Context) error) error {
		if slices.ContainsFunc(ops, func(op string) bool { return strings.Contains(c.Op, op) }) {
			return driver.Errorf(driver.PermissionDenied, "no right to %s", c.Op)
		}
		return do(ctx)
	}
}

// empty removes what is stored at a path.
func (r rotating) empty(path string) {
	r.t.Helper()
	store, ok := r.hand("q").(driver.SecretStore)
	if !ok {
		r.t.Fatal("a sandbox stores secrets")
	}
	if err := store.RemoveSecret(r.t.Context(), path); err != nil {
		r.t.Fatal(err)
	}
}

func (r rotating) credentials() []nhi.Credential {
	r.t.Helper()
	account, err := r.hand("p").ReadAccount(r.t.Context(), nhi.Ref{Name: "agent"})
	if err != nil {
		r.t.Fatal(err)
	}
	return account.Credentials
}

// labels are those of the account's credentials, without the owner.
func (r rotating) labels() string {
	r.t.Helper()
	var out []string
	for _, c := range r.credentials() {
		out = append(out, strings.Join(strings.Split(c.Label, "-")[:2], "-"))
	}
	return strings.Join(out, " ")
}

func (r rotating) ids() []string {
	r.t.Helper()
	return credentialIDs(r.credentials())
}

func changed(value string) core.Body {
	return core.Body{"rotate_every": "720h", "overlap": "24h", "rotate_when_changed": map[string]string{"offboarding": value}}
}

// TestTriggerIsNotSwallowed: what an older rotation had issued is finished, and does not count as the rotation that was asked for.
func TestTriggerIsNotSwallowed(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		due time.Duration
		// failing is what rotate_when_changed says when the second store refuses, and then it is "b".
		failing string
		// owed is set if the apply that finishes nhi-2 has not done what was asked for.
		owed bool
	}{
		"an older one": {731 * time.Hour, "a", true},
		"its own":      {time.Hour, "b", false},
		"another's":    {time.Hour, "c", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRotating(t)
			if _, failed := r.run(changed("a"), "kv/a", "kv/b"); failed != "" {
				t.Fatal(failed)
			}
			r.clock = r.clock.Add(c.due)
			r.refuse(`write the secret at "kv/b"`)
			if _, failed := r.run(changed(c.failing), "kv/a", "kv/b"); !strings.Contains(failed, "no right to") {
				t.Fatalf("the second store should refuse: %s", failed)
			}
			r.refuse()
			warnings, failed := r.run(changed("b"), "kv/a", "kv/b")
			if failed != "" || r.labels() != "nhi-1 nhi-2" || strings.Contains(warnings, "is finished first") != c.owed {
				t.Errorf("%s: credentials %s, warnings %s", failed, r.labels(), warnings)
			}
			want := "nhi-1 nhi-2"
			if c.owed {
				want += " nhi-3"
			}
			for range 2 {
				if _, failed := r.run(changed("b"), "kv/a", "kv/b"); failed != "" || r.labels() != want {
					t.Errorf("%s: credentials %s", failed, r.labels())
				}
			}
		})
	}
}

// TestTriggerTakenBack: what a change had begun is finished after it was taken back. Made again, the change asks for another one, also
// if that fails at first.
func TestTriggerTakenBack(t *testing.T) {
	t.Parallel()
	r := newRotating(t)
	for _, step := range []struct {
		value, refused, want string
	}{
		{"a", "", "nhi-1"}, {"b", `write the secret at "kv/b"`, "nhi-1 nhi-2"}, {"a", "", "nhi-1 nhi-2"}, {"b", "issue", "nhi-1 nhi-2"}, {"b", "", "nhi-1 nhi-2 nhi-3"},
	} {
		r.refuse()
		if step.refused != "" {
			r.refuse(step.refused)
		}
		_, failed := r.run(changed(step.value), "kv/a", "kv/b")
		if strings.Contains(failed, "no right to") != (step.refused != "") || r.labels() != step.want {
			t.Fatalf("%+v: %s, credentials %s", step, failed, r.labels())
		}
	}
}

// TestGoingBackIsAStopgap: somebody has seen nhi-1, so it was rotated; then the store is restored from before that. What nobody can
// read is no use, so nhi-1 is current again, until there is room for another one.
func TestGoingBackIsAStopgap(t *testing.T) {
	t.Parallel()
	r := newRotating(t)
	r.provider["sandbox"] = []core.Body{
		{"name": "p", "path": filepath.Join(r.dir, "p"), "credential_slots": 2}, {"name": "q", "path": filepath.Join(r.dir, "q")},
	}
	run := func(why, want string) {
		t.Helper()
		warnings, failed := r.run(changed(why), "kv/a")
		if failed != "" || r.labels() != want {
			t.Errorf("%s: credentials %s, want %s, warnings %s", failed, r.labels(), want, warnings)
		}
	}
	run("a", "nhi-1")
	store, ok := r.hand("q").(driver.SecretStore)
	if !ok {
		t.Fatal("a sandbox stores secrets")
	}
	backup, err := store.GetSecret(t.Context(), "kv/a")
	if err != nil {
		t.Fatal(err)
	}
	run("b", "nhi-1 nhi-2")
	now, err := store.GetSecret(t.Context(), "kv/a")
	if err != nil {
		t.Fatal(err)
	}
	backup.Version = now.Version
	if _, err := store.PutSecret(t.Context(), "kv/a", backup); err != nil {
		t.Fatal(err)
	}
	run("b", "nhi-1 nhi-2")
	r.clock = r.clock.Add(72 * time.Hour)
	run("b", "nhi-1 nhi-3")
	r.clock = r.clock.Add(72 * time.Hour)
	run("b", "nhi-3")
	run("b", "nhi-3")
}
