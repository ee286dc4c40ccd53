package provider

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/nhi-labs/terraform-provider-nhi/internal/acctest/core"
	"github.com/nhi-labs/terraform-provider-nhi/internal/audit"
	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/fleet"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
)

// TestFailedIdentityOwnsLittle: state of an identity is lost, and creating it again fails while the sink is down. It is tainted then,
// for its events alone: the next apply takes over what was there before, and the plan says so. A destroy leaves nothing all the same.
func TestFailedIdentityOwnsLittle(t *testing.T) {
	t.Parallel()
	for _, destroyed := range []bool{false, true} {
		t.Run(fmt.Sprint("destroyed ", destroyed), func(t *testing.T) {
			t.Parallel()
			failedIdentity(t, destroyed)
		})
	}
}

func failedIdentity(t *testing.T, destroyed bool) {
	t.Helper()
	s := newScene(t)
	s.provider["audit"] = core.Body{"file": []core.Body{{"path": filepath.Join(s.dir, "events")}}}
	described := core.Body{"platform": "q", "sandbox": core.Body{"description": "x"}}
	s.apply(map[string]core.Resource{"nhi_identity.x": identityResourceOf("agent", nil, on("p"), on("q"))})
	ids := func() []string {
		var out []string
		for _, platform := range []string{"p", "q"} {
			a, err := s.hand(platform).ReadAccount(t.Context(), nhi.Ref{Name: "agent"})
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, a.ID)
		}
		return out
	}
	before := ids()
	s.state = core.State{}

	s.hooks.Sink = func(n audit.NamedSink) audit.NamedSink {
		n.Sink = downSink{n.Sink}
		return n
	}
	s.hooks.Intercept = func(ctx context.Context, c fleet.Call, do func(context.Context) error) error {
		if strings.Contains(c.Op, "update") {
			return driver.Errorf(driver.PermissionDenied, "no right to %s", c.Op)
		}
		return do(ctx)
	}
	declared := map[string]core.Resource{"nhi_identity.x": identityResourceOf("agent", nil, on("p"), described)}
	state, report := s.process().Apply(t.Context(), s.plan(declared), nil)
	s.state = state
	if o := s.state["nhi_identity.x"]; o == nil || !o.Tainted || len(report.Errors) == 0 || len(report.Violations) > 0 {
		t.Fatalf("not tainted: %+v, errors %q, violations %q", o, report.Errors, report.Violations)
	}

	s.hooks = Hooks{}
	if destroyed {
		s.apply(map[string]core.Resource{})
		for _, platform := range []string{"p", "q"} {
			if a, err := s.hand(platform).ReadAccount(t.Context(), nhi.Ref{Name: "agent"}); err == nil {
				t.Errorf("left on %s: %+v", platform, a)
			}
		}
		return
	}
	plan := s.apply(declared)
	says := func(text string) bool {
		return slices.ContainsFunc(plan.Warnings, func(w string) bool { return strings.Contains(w, text) })
	}
	if !says("it is taken over") || says("is deleted first") {
		t.Errorf("warnings %q", plan.Warnings)
	}
	if after := ids(); !slices.Equal(after, before) {
		t.Errorf("accounts %q before, %q after", before, after)
	}
	if plan := s.plan(declared); !plan.Empty() {
		t.Errorf("the next plan is not empty: %+v", plan.Changes)
	}
}
