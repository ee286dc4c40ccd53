package reconcile_test

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
	"github.com/nhi-labs/terraform-provider-nhi/internal/reconcile"
)

func TestGrantSteps(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g := reconcile.Grant{
			Declared: drawEntitlements(t, "declared"), Shown: drawEntitlements(t, "shown"), Tolerated: drawEntitlements(t, "tolerated"),
		}
		held := drawEntitlements(t, "held")
		steps := g.Steps(held)
		var granted, revoked []nhi.Entitlement
		for i, s := range steps {
			switch {
			case len(s.Entitlements) == 0:
				t.Fatalf("an empty step: %v", steps)
			case s.Kind == reconcile.StepGrant && i == 0:
				granted = s.Entitlements
			case s.Kind == reconcile.StepRevoke && i == len(steps)-1:
				revoked = s.Entitlements
			default:
				t.Fatalf("order of the steps: %v", steps)
			}
		}
		for _, e := range revoked {
			if !slices.Contains(g.Shown, e) || slices.Contains(g.Tolerated, e) || slices.Contains(g.Declared, e) || !slices.Contains(held, e) {
				t.Fatalf("revokes %v", e)
			}
		}
		for _, e := range granted {
			if !slices.Contains(g.Declared, e) || slices.Contains(held, e) {
				t.Fatalf("grants %v", e)
			}
		}
		after := apply(nhi.Account{Entitlements: held}, steps).Entitlements
		for _, e := range nhi.Union(held, g.Declared) {
			surplus := slices.Contains(g.Shown, e) && !slices.Contains(g.Declared, e) && !slices.Contains(g.Tolerated, e)
			if slices.Contains(after, e) == surplus {
				t.Fatalf("wrong about %v: the account holds %v afterwards", e, after)
			}
		}
		if rest := g.Steps(after); len(rest) > 0 {
			t.Fatalf("still to do: %v", rest)
		}
	})
}

func TestVisible(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		held, recorded, tolerated := drawEntitlements(t, "held"), drawEntitlements(t, "recorded"), drawEntitlements(t, "tolerated")
		exclusive := rapid.Bool().Draw(t, "exclusive")
		got := reconcile.Visible(held, recorded, tolerated, exclusive)
		for _, e := range nhi.Union(held, nhi.Union(recorded, got)) {
			want := slices.Contains(held, e) && slices.Contains(recorded, e)
			if exclusive {
				want = want || slices.Contains(held, e) && !slices.Contains(tolerated, e)
			}
			if slices.Contains(got, e) != want {
				t.Fatalf("%v: %v, want %v", e, !want, want)
			}
		}
	})
}
