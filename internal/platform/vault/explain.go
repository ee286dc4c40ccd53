package vault

import (
	"context"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
)

// The steps of a way that are no group. By them a token has the default policy, which is no entitlement.
const (
	stepEveryToken = "every token"
	stepRole       = "AppRole"
	stepEntity     = "entity"
)

// Explain follows the groups of the entity to the groups that have those as members. The policies that it returns are
// the policies of a token of the account: those of the AppRole, of the entity and of all these groups, and the default
// policy, unless the AppRole leaves it out. What the policies permit is Vault's to say (sys/capabilities).
func (d *vaultDriver) Explain(ctx context.Context, ref nhi.Ref) ([]driver.Holding, error) {
	f, err := d.find(ctx, ref)
	if err != nil {
		return nil, err
	}
	var r role
	if f.hasRole {
		if r, err = d.readRole(ctx, f.ref.Name); err != nil {
			return nil, err
		}
	}
	direct := policies(r.TokenPolicies)
	groups := groupReader{d: d, known: map[nhi.Entitlement]group{}}
	var e entity
	if f.entity != nil {
		e = *f.entity
	}
	memberships, err := groups.read(ctx, e.DirectGroupIDs)
	if err != nil {
		return nil, err
	}
	direct = append(append(direct, policies(e.Policies)...), memberships...)
	holdings, err := driver.Inherit(direct, func(held nhi.Entitlement) ([]nhi.Entitlement, error) {
		return groups.confers(ctx, held)
	})
	if err != nil {
		return nil, err
	}
	if step := defaultStep(r, e); step != "" {
		byDefault := nhi.Entitlement{Type: typePolicy, Target: defaultPolicy}
		holdings = append(holdings, driver.Holding{Entitlement: byDefault, Via: []string{step}})
	}
	return driver.SortHoldings(holdings), nil
}

// defaultStep is how a token comes by the default policy without a group, "" if it does not.
func defaultStep(r role, e entity) string {
	switch {
	case !r.NoDefaultPolicy:
		return stepEveryToken
	case contains(r.TokenPolicies, defaultPolicy):
		return stepRole
	case contains(e.Policies, defaultPolicy):
		return stepEntity
	}
	return ""
}

// groupReader reads groups and remembers them by what an account in them holds.
type groupReader struct {
	d     *vaultDriver
	known map[nhi.Entitlement]group
}

// read returns the groups with the ids as entitlements. One that was deleted meanwhile is left out.
func (r groupReader) read(ctx context.Context, ids []string) ([]nhi.Entitlement, error) {
	var out []nhi.Entitlement
	for _, id := range ids {
		g, err := r.d.lookupGroup(ctx, lookupRequest{ID: id})
		if err != nil {
			return nil, err
		}
		if g == nil {
			continue
		}
		r.known[g.entitlement()] = *g
		out = append(out, g.entitlement())
	}
	return out, nil
}

// confers returns the policies of a group and the groups that it is a member of.
func (r groupReader) confers(ctx context.Context, held nhi.Entitlement) ([]nhi.Entitlement, error) {
	g, ok := r.known[held]
	if !ok {
		return nil, nil
	}
	parents, err := r.read(ctx, g.ParentGroupIDs)
	out := append(policies(g.Policies), parents...)
	if contains(g.Policies, defaultPolicy) {
		out = append(out, nhi.Entitlement{Type: typePolicy, Target: defaultPolicy})
	}
	return out, err
}
