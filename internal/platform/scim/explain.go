package scim

import (
	"context"
	"net/url"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
)

// Explain follows the user's groups to the groups that have those as members (RFC 7643, section 4.2: a member may be a
// group). What a group permits in the service is nothing that SCIM tells.
func (d *Driver) Explain(ctx context.Context, ref nhi.Ref) ([]driver.Holding, error) {
	u, err := d.find(ctx, ref)
	if err != nil {
		return nil, err
	}
	f, err := d.discover(ctx)
	if err != nil {
		return nil, err
	}
	bulk := &bulkGroups{}
	parents := func(id string) ([]groupRef, error) { return d.groupsByMember(ctx, id) }
	if !f.filter {
		parents = func(id string) ([]groupRef, error) { return d.parentsIn(ctx, bulk, id) }
	}
	_, holdings, err := d.explain(ctx, u, nil, parents)
	return holdings, err
}

// ExplainAll explains all users in pages, with one reading of the groups.
func (d *Driver) ExplainAll(ctx context.Context, page func([]driver.Explained) error) error {
	f, err := d.discover(ctx)
	if err != nil {
		return err
	}
	bulk := &bulkGroups{}
	parents := func(id string) ([]groupRef, error) { return d.parentsIn(ctx, bulk, id) }
	return list(ctx, d, f, usersPath, url.Values{}, func(users []user) error {
		d.noteGroups(users)
		out := make([]driver.Explained, len(users))
		for i, u := range users {
			account, holdings, err := d.explain(ctx, u, bulk, parents)
			if err != nil {
				return err
			}
			out[i] = driver.Explained{Account: account, Holdings: holdings}
		}
		return page(out)
	})
}

func (d *Driver) parentsIn(ctx context.Context, bulk *bulkGroups, id string) ([]groupRef, error) {
	err := d.load(ctx, bulk)
	return bulk.byMember[id], err
}

// explain returns the account of a user with everything it holds. parents finds the groups that a group is a member of.
func (d *Driver) explain(ctx context.Context, u user, bulk *bulkGroups, parents func(id string) ([]groupRef, error),
) (nhi.Account, []driver.Holding, error) {
	groups, err := d.groupsOf(ctx, u, bulk)
	if err != nil {
		return nhi.Account{}, nil, err
	}
	account, err := d.account(u, groups)
	if err != nil {
		return nhi.Account{}, nil, err
	}
	// Names of groups need not be unique: behind one entitlement may be several.
	ids := map[nhi.Entitlement]map[string]bool{}
	note := func(groups []groupRef) []nhi.Entitlement {
		var out []nhi.Entitlement
		for _, g := range groups {
			e := nhi.Entitlement{Type: typeGroup, Target: g.Display}
			if ids[e] == nil {
				ids[e] = map[string]bool{}
			}
			ids[e][g.Value] = true
			out = append(out, e)
		}
		return out
	}
	note(groups)
	holdings, err := driver.Inherit(account.Entitlements, func(e nhi.Entitlement) ([]nhi.Entitlement, error) {
		var out []nhi.Entitlement
		for id := range ids[e] {
			groups, err := parents(id)
			if err != nil {
				return nil, err
			}
			out = append(out, note(groups)...)
		}
		return out, nil
	})
	return account, holdings, err
}
