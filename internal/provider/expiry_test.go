package provider

import (
	"fmt"
	"testing"
	"time"

	"github.com/nhi-labs/terraform-provider-nhi/internal/acctest/core"
)

// statuses are those that a plan shows of the identity x, on p, and of the grant x.
func statuses(t *testing.T, plan *core.Plan) (identity, grant any) {
	t.Helper()
	for _, c := range plan.Changes {
		planned := must[map[string]any](core.Plain(c.Planned))
		if c.Type == "nhi_grant" {
			grant = planned["status"]
			continue
		}
		accounts := must[map[string]any](planned["accounts"])
		identity = must[map[string]any](accounts["p"])["status"]
	}
	return identity, grant
}

// TestTimePassesBetweenPlanAndApply: the plan that an apply makes in its middle is no other one in what the first one has
// promised, however far the date is, and whether it has passed by then.
func TestTimePassesBetweenPlanAndApply(t *testing.T) {
	t.Parallel()
	const active, open = "active", core.Unknown
	for name, test := range map[string]struct {
		before, planned, applied time.Duration // to the date that is declared
		old                      time.Duration // how much earlier the date was before
		disabled                 bool
		status, grant            string // that the plan shows
	}{
		"far":             {before: 72 * time.Hour, planned: 48 * time.Hour, applied: 47 * time.Hour, status: active, grant: active},
		"over a day":      {before: 72 * time.Hour, planned: 24*time.Hour + 10*time.Minute, applied: 23 * time.Hour, status: active, grant: active},
		"within a day":    {before: 72 * time.Hour, planned: 23 * time.Hour, applied: 22 * time.Hour, status: open, grant: open},
		"over the date":   {before: 72 * time.Hour, planned: time.Hour, applied: -time.Hour, status: open, grant: open},
		"a new date":      {planned: 24*time.Hour + 10*time.Minute, applied: 23 * time.Hour, status: active, grant: active},
		"another date":    {before: 72 * time.Hour, old: time.Hour, planned: 24*time.Hour + 10*time.Minute, applied: 23 * time.Hour, status: active, grant: active},
		"a later date":    {before: 72 * time.Hour, old: 60 * time.Hour, planned: 24 * time.Hour, applied: 23 * time.Hour, status: active, grant: active},
		"while suspended": {before: 72 * time.Hour, planned: time.Hour, applied: -time.Hour, disabled: true, status: "suspended", grant: open},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t)
			date := s.clock.Add(100 * time.Hour)
			declare := func(note string, date time.Time) map[string]core.Resource {
				ends := date.Format(time.RFC3339)
				return map[string]core.Resource{
					"nhi_identity.x": identityResourceOf("agent", core.Body{"purpose": note, "expires_at": ends, "enabled": !test.disabled}, on("p")),
					"nhi_grant.x": grantResourceOf("nhi_identity.x", core.Body{"justification": note, "expires_at": ends},
						map[string][]string{"p": {"role:reporting"}}),
				}
			}
			if test.before != 0 {
				s.clock = date.Add(-test.before)
				s.apply(declare("before", date.Add(-test.old)))
			}
			s.clock = date.Add(-test.planned)
			plan := s.plan(declare("after", date))
			if status, grant := statuses(t, plan); status != test.status || grant != test.grant {
				t.Errorf("planned %v and %v", status, grant)
			}
			s.clock = date.Add(-test.applied)
			s.carryOut(plan)
			if plan := s.plan(declare("after", date)); !plan.Empty() {
				t.Errorf("errors %q, changes %s", plan.Errors, fmt.Sprint(plan.Changes))
			}
		})
	}
}
