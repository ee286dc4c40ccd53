package provider

import (
	"context"
	"testing"

	"github.com/hashicorp/terraform-plugin-framework/diag"

	"github.com/nhi-labs/terraform-provider-nhi/internal/lifecycle"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
)

// moving is a plan in which a grant gives up what another one holds.
type moving struct {
	data  *providerData
	diags diag.Diagnostics
}

func newMoving(dir string) *moving {
	removals := newPlannedRemovals()
	removals.dir = dir
	return &moving{data: &providerData{exclusives: newExclusiveGrants(), removals: removals, shared: new(lifecycle.Shared)}}
}

func (m *moving) gives(by map[accountKey][]nhi.Entitlement, es string) {
	m.data.noteDropped(lifecycle.Grant{Identity: "agent"}, lifecycle.Entitlements{"warehouse": roles(es)}, by, &m.diags)
}

func (m *moving) holds(t *testing.T, unchanged bool, es string) {
	t.Helper()
	claim := grantClaim{fingerprint: es, entitlements: roles(es), unchanged: unchanged}
	if err := m.data.exclusives.claim("warehouse", "agent", claim); err != nil {
		t.Fatal(err)
	}
	m.data.noteMoved("warehouse", "agent", &m.diags)
}

// TestMovedToAGrantThatHoldsIt: the deletion of a grant leaves what the plan saw another grant hold, in whatever order both
// were planned. The change of a grant cannot, and the plan says so.
func TestMovedToAGrantThatHoldsIt(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	for name, test := range map[string]struct {
		removed, unchanged, first bool
		left, warned              int
	}{
		"removed, before": {removed: true, unchanged: true, first: true, left: 1}, "removed, after": {removed: true, unchanged: true, left: 1},
		"changed, before": {unchanged: true, first: true, warned: 1}, "changed, after": {unchanged: true, warned: 1},
		"to one that is applied": {removed: true}, "changed, to one that is applied": {},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir, deleted := t.TempDir(), private{}
			plan := newMoving(dir)
			plan.data.removals.noteDependent(ctx, deleted)
			by := plan.data.exclusives.dropped
			if test.removed {
				by = plan.data.exclusives.removed
			}
			if test.first {
				plan.gives(by, "a b")
				plan.holds(t, test.unchanged, "b c")
			} else {
				plan.holds(t, test.unchanged, "b c")
				plan.gives(by, "a b")
			}
			if plan.diags.WarningsCount() != test.warned || plan.diags.HasError() {
				t.Errorf("diagnostics %v", plan.diags)
			}
			apply := newMoving(dir)
			shown := lifecycle.Entitlements{"warehouse": roles("a b")}
			for range 2 { // the second grant finds no file and knows
				apply.data.recallMoved(ctx, deleted, lifecycle.Grant{Identity: "agent"}, shown)
			}
			if left := apply.data.shared.Declared("warehouse", "agent"); len(left) != test.left || test.left > 0 && left[0] != roles("b")[0] {
				t.Errorf("left: %v", left)
			}
		})
	}
}
