package reconcile

import "github.com/nhi-labs/terraform-provider-nhi/internal/nhi"

// Grant is one grant on one account.
type Grant struct {
	// Declared is what the configuration says the account holds through this grant; empty once the grant has expired.
	Declared []nhi.Entitlement
	// Shown is what the plan showed as present before: only this may be revoked.
	Shown []nhi.Entitlement
	// Tolerated is left alone: other grants answer for it.
	Tolerated []nhi.Entitlement
}

// Steps returns what turns observed into what the grant declares: grants first, so that no access is interrupted.
// What the account holds and the plan did not show is kept; the next plan shows it.
func (g Grant) Steps(observed []nhi.Entitlement) []Step {
	var steps []Step
	if missing := nhi.Without(g.Declared, observed); len(missing) > 0 {
		steps = append(steps, Step{Kind: StepGrant, Entitlements: missing})
	}
	keep := nhi.Union(g.Declared, g.Tolerated)
	if surplus := nhi.Intersect(nhi.Without(g.Shown, keep), observed); len(surplus) > 0 {
		steps = append(steps, Step{Kind: StepRevoke, Entitlements: surplus})
	}
	return steps
}

// Visible returns the part of observed that the grant answers for, and so shows in state: everything that is not
// tolerated if it is exclusive, otherwise what it recorded before and the account still holds.
func Visible(observed, recorded, tolerated []nhi.Entitlement, exclusive bool) []nhi.Entitlement {
	if exclusive {
		// What the grant declares itself stays visible even if another grant is tolerated to hold it, too.
		return nhi.Without(observed, nhi.Without(tolerated, recorded))
	}
	return nhi.Intersect(observed, recorded)
}
