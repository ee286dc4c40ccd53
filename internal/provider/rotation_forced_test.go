package provider

import (
	"context"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/providerserver"

	"github.com/nhi-labs/terraform-provider-nhi/internal/acctest/core"
	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/fleet"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
	"github.com/nhi-labs/terraform-provider-nhi/internal/platform/sandbox"
)

// rotating is a workspace with the rotation of one account of the sandbox "box", which the sandbox "vault" stores.
type rotating struct {
	t     *testing.T
	core  *core.Core
	dir   string
	state core.State
	now   time.Time
	hooks Hooks
}

func newRotating(t *testing.T) *rotating {
	t.Helper()
	c, err := core.New(t.Context(), providerserver.NewProtocol6(New("test", time.Now)())())
	if err != nil {
		t.Fatal(err)
	}
	return &rotating{t: t, core: c, dir: t.TempDir(), state: core.State{}, now: time.Now()}
}

// start starts a run of the provider.
func (r *rotating) start(provider core.Body) *core.Process {
	r.t.Helper()
	server := NewServer("test", func() time.Time { return r.now }, r.hooks)
	r.t.Cleanup(func() { _ = server.Close() })
	p, report := r.core.Start(r.t.Context(), server.ProtocolServer(), provider)
	if report.Failed() {
		r.t.Fatal(report.Errors)
	}
	return p
}

// run plans and applies, each in a process of its own. It returns what the plan warns of and the errors of the apply.
func (r *rotating) run(rotation core.Body) (warnings, errors string) {
	r.t.Helper()
	rotation["identity"], rotation["platform"] = core.Ref("nhi_identity.x"), "box"
	if rotation["deliver"] == nil {
		rotation["deliver"] = []core.Body{{"platform": "vault", "path": "kv/a"}, {"platform": "vault", "path": "kv/b"}}
	}
	config := core.Config{
		Resources: map[string]core.Resource{
			"nhi_identity.x": {Type: "nhi_identity", Body: core.Body{"name": "agent", "kind": "ai_agent", "owner": "team", "account": []core.Body{{"platform": "box"}}}},
			"nhi_rotation.x": {Type: "nhi_rotation", Body: rotation},
		},
		Provider: core.Body{
			"stack": "s", "sandbox": []core.Body{{"name": "box", "path": filepath.Join(r.dir, "box"), "credential_slots": 3}, {"name": "vault", "path": filepath.Join(r.dir, "vault")}},
			"audit": core.Body{"file": []core.Body{{"path": filepath.Join(r.dir, "events")}}},
		},
	}
	plan := r.start(config.Provider).Plan(r.t.Context(), config, r.state, core.PlanOptions{})
	if plan.Failed() {
		r.t.Fatalf("plan: %q, %q", plan.Errors, plan.Violations)
	}
	state, report := r.start(config.Provider).Apply(r.t.Context(), plan, nil)
	if r.state = state; len(report.Violations) > 0 {
		r.t.Fatalf("apply: %q", report.Violations)
	}
	return strings.Join(plan.Warnings, "\n"), strings.Join(report.Errors, "\n")
}

// refuse lets the platforms refuse what they are asked to do, or nothing.
func (r *rotating) refuse(ops ...string) {
	r.hooks.Intercept = func(ctx context.Context, c fleet.Call, do func(context.Context) error) error {
		if slices.ContainsFunc(ops, func(op string) bool { return strings.Contains(c.Op, op) }) {
			return driver.Errorf(driver.PermissionDenied, "no right to %s", c.Op)
		}
		return do(ctx)
	}
}

// hand is what somebody does by hand on a platform.
func (r *rotating) hand(platform string) driver.Driver {
	r.t.Helper()
	d, err := sandbox.Open(sandbox.Config{Path: filepath.Join(r.dir, platform), CredentialSlots: 3})
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = d.Close() })
	return d
}

// empty removes what is stored at a path.
func (r *rotating) empty(path string) {
	r.t.Helper()
	if err := r.hand("vault").(driver.SecretStore).RemoveSecret(r.t.Context(), path); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rotating) credentials() []nhi.Credential {
	r.t.Helper()
	account, err := r.hand("box").ReadAccount(r.t.Context(), nhi.Ref{Name: "agent"})
	if err != nil {
		r.t.Fatal(err)
	}
	return account.Credentials
}

// labels are those of the account's credentials, without the owner.
func (r *rotating) labels() string {
	r.t.Helper()
	var out []string
	for _, c := range r.credentials() {
		out = append(out, strings.Join(strings.Split(c.Label, "-")[:2], "-"))
	}
	return strings.Join(out, " ")
}

func (r *rotating) ids() []string {
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
			if _, failed := r.run(changed("a")); failed != "" {
				t.Fatal(failed)
			}
			r.now = r.now.Add(c.due)
			r.refuse(`write the secret at "kv/b"`)
			if _, failed := r.run(changed(c.failing)); !strings.Contains(failed, "no right to") {
				t.Fatalf("the second store should refuse: %s", failed)
			}
			r.refuse()
			warnings, failed := r.run(changed("b"))
			if failed != "" || r.labels() != "nhi-1 nhi-2" || strings.Contains(warnings, "is finished first") != c.owed {
				t.Errorf("%s: credentials %s, warnings %s", failed, r.labels(), warnings)
			}
			want := "nhi-1 nhi-2"
			if c.owed {
				want += " nhi-3"
			}
			for range 2 {
				if _, failed := r.run(changed("b")); failed != "" || r.labels() != want {
					t.Errorf("%s: credentials %s", failed, r.labels())
				}
			}
		})
	}
}
