package mysql

import (
	"context"
	"slices"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
)

// public is what MariaDB calls the role of everybody.
var public = who{user: "PUBLIC"}

// Explain implements driver.Explainer. A role that is not on after login is marked so: the account gets what the role
// holds by SET ROLE.
func (c *client) Explain(ctx context.Context, ref nhi.Ref) ([]driver.Holding, error) {
	f, err := c.flavorOf(ctx, c.db)
	if err != nil {
		return nil, err
	}
	a, err := c.find(ctx, c.db, f, ref)
	if err != nil {
		return nil, err
	}
	everybody, err := users(ctx, c.db, f, "true")
	if err != nil {
		return nil, err
	}
	held, err := c.holdings(ctx, c.db, f, nil, everybody)
	if err != nil {
		return nil, err
	}
	direct := a.direct(held)
	var found []driver.Holding
	for _, e := range direct {
		found = append(found, driver.Holding{Entitlement: e})
	}
	for _, e := range direct {
		if e.Type == typeRole {
			step := e.String()
			if !slices.Contains(direct, nhi.Entitlement{Type: typeDefaultRole, Target: e.Target}) {
				step += " (by SET ROLE)"
			}
			found = append(found, through(f, held, f.role(e.Target), []string{step}, []who{f.role(e.Target)})...)
		}
	}
	found = append(found, through(f, held, public, []string{public.user}, []who{public})...)
	slices.SortStableFunc(found, func(x, y driver.Holding) int {
		if n := min(len(x.Via), 1) - min(len(y.Via), 1); n != 0 {
			return n
		}
		if n := x.Entitlement.Compare(y.Entitlement); n != 0 {
			return n
		}
		return slices.Compare(x.Via, y.Via)
	})
	return found, nil
}

// through lists what a role holds, and the roles of that role. The path has been walked already; the servers allow no
// circles, and an inconsistent answer must not make us walk in one.
func through(f flavor, held holdings, role who, via []string, path []who) []driver.Holding {
	var found []driver.Holding
	for _, e := range nhi.SortEntitlements(slices.Clone(held[role])) {
		found = append(found, driver.Holding{Entitlement: e, Via: via})
		if next := f.role(e.Target); e.Type == typeRole && !slices.Contains(path, next) {
			found = append(found, through(f, held, next, append(slices.Clone(via), e.String()), append(slices.Clone(path), next))...)
		}
	}
	return found
}
