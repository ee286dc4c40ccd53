package driver

import (
	"cmp"
	"slices"

	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
)

// SortHoldings sorts holdings as Explainer returns them, drops duplicates and returns the result.
func SortHoldings(holdings []Holding) []Holding {
	slices.SortFunc(holdings, compareHoldings)
	return slices.CompactFunc(holdings, func(a, b Holding) bool { return compareHoldings(a, b) == 0 })
}

func compareHoldings(a, b Holding) int {
	return cmp.Or(
		cmp.Compare(min(len(a.Via), 1), min(len(b.Via), 1)),
		a.Entitlement.Compare(b.Entitlement), cmp.Compare(len(a.Via), len(b.Via)), slices.Compare(a.Via, b.Via),
	)
}

// Inherit adds to what an account holds directly everything that it inherits, as Explainer returns it. confers says what
// the holder of an entitlement has through it: what a group or role holds itself; nothing for all others. It is asked
// once for each entitlement that the account comes by, nearest first. Groups may be members of each other.
func Inherit(direct []nhi.Entitlement, confers func(nhi.Entitlement) ([]nhi.Entitlement, error)) ([]Holding, error) {
	var all []Holding
	for _, e := range nhi.SortEntitlements(slices.Clone(direct)) {
		all = append(all, Holding{Entitlement: e})
	}
	asked := make(map[nhi.Entitlement]bool)
	for i := 0; i < len(all); i++ {
		holder := all[i]
		if asked[holder.Entitlement] {
			continue
		}
		asked[holder.Entitlement] = true
		inherited, err := confers(holder.Entitlement)
		if err != nil {
			return nil, err
		}
		via := append(slices.Clone(holder.Via), holder.Entitlement.String())
		for _, e := range nhi.SortEntitlements(slices.Clone(inherited)) {
			if !slices.Contains(via, e.String()) {
				all = append(all, Holding{Entitlement: e, Via: via})
			}
		}
	}
	return SortHoldings(all), nil
}
