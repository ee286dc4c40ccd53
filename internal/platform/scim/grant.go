package scim

import (
	"context"
	"fmt"
	"net/url"
	"strings"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
)

// Grant adds what the account does not hold. All targets are checked before the first change; SCIM has no transaction
// over several resources, so a failure between two groups leaves the first one granted.
func (d *Driver) Grant(ctx context.Context, ref nhi.Ref, entitlements []nhi.Entitlement) error {
	u, err := d.find(ctx, ref)
	if err != nil {
		return err
	}
	groups, err := d.groupsOf(ctx, u, nil)
	if err != nil {
		return err
	}
	current, err := d.account(u, groups)
	if err != nil {
		return err
	}
	var edits []edit
	var joins []group
	for _, e := range nhi.Without(entitlements, current.Entitlements) {
		if e.Type != typeGroup {
			edits = append(edits, edit{kind: addEntry, attr: attribute(e.Type), entry: e.Target})
			continue
		}
		g, err := d.findGroup(ctx, e)
		if err != nil {
			return err
		}
		joins = append(joins, g)
	}
	if err := d.modify(ctx, resourcePath(usersPath, u.ID), edits); err != nil {
		return err
	}
	for _, g := range joins {
		err := d.modify(ctx, resourcePath(groupsPath, g.ID), []edit{{kind: addEntry, attr: "members", entry: u.ID}})
		if err != nil {
			return d.groupError("adding the user to", g.DisplayName, err)
		}
	}
	return nil
}

// Revoke takes away what the account holds of the entitlements.
func (d *Driver) Revoke(ctx context.Context, ref nhi.Ref, entitlements []nhi.Entitlement) error {
	u, err := d.find(ctx, ref)
	if d.isNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	groups, err := d.groupsOf(ctx, u, nil)
	if err != nil {
		return err
	}
	current, err := d.account(u, groups)
	if err != nil {
		return err
	}
	var edits []edit
	var leaves []groupRef
	for _, e := range nhi.Intersect(current.Entitlements, entitlements) {
		if e.Type != typeGroup {
			edits = append(edits, removal(e, current.Entitlements))
			continue
		}
		// All groups of that name: afterwards the account holds none of them, which is what the text says.
		for _, g := range groups {
			if g.Display == e.Target {
				leaves = append(leaves, g)
			}
		}
	}
	if err := d.modify(ctx, resourcePath(usersPath, u.ID), edits); err != nil {
		if d.isNotFound(err) {
			return nil
		}
		return err
	}
	return d.leave(ctx, u.ID, leaves)
}

// removal keeps the values that differ from e in case only: filters of services mostly ignore case.
func removal(e nhi.Entitlement, held []nhi.Entitlement) edit {
	for _, other := range held {
		if other.Type == e.Type && other.Target != e.Target && strings.EqualFold(other.Target, e.Target) {
			return edit{kind: removeEntry, attr: attribute(e.Type), entry: e.Target, exact: true}
		}
	}
	return edit{kind: removeEntry, attr: attribute(e.Type), entry: e.Target}
}

// attribute returns the User's attribute that holds entitlements of a type.
func attribute(typeName string) string {
	if typeName == typeRole {
		return "roles"
	}
	return "entitlements"
}

// leave takes a user out of groups. A group that is gone has no members, if the service shows this client groups at all.
func (d *Driver) leave(ctx context.Context, id string, groups []groupRef) error {
	for _, g := range groups {
		err := d.modify(ctx, resourcePath(groupsPath, g.Value), []edit{{kind: removeEntry, attr: "members", entry: id}})
		if err = d.believed(ctx, groupsPath, err); err != nil && !d.isNotFound(err) {
			return d.groupError("removing the user from", g.Display, err)
		}
	}
	return nil
}

// groupError keeps "the group is not found" from being read as "the account is not found".
func (d *Driver) groupError(doing, name string, err error) error {
	return d.recode(driver.Conflict, fmt.Errorf("%s group %q: %w", doing, name, err))
}

// findGroup returns the one group that an entitlement names.
func (d *Driver) findGroup(ctx context.Context, e nhi.Entitlement) (group, error) {
	var exact, folded []group
	err := matching(ctx, d, groupsPath, "displayName", "eq", e.Target, url.Values{"excludedAttributes": {"members"}},
		func(groups []group) error {
			for _, g := range groups {
				switch {
				case g.DisplayName == e.Target:
					exact = append(exact, g)
				case strings.EqualFold(g.DisplayName, e.Target):
					folded = append(folded, g)
				}
			}
			return nil
		})
	switch {
	case err != nil:
		return group{}, d.groupError("looking up", e.Target, err)
	case len(exact) == 1:
		return exact[0], nil
	case len(exact) > 1:
		return group{}, driver.Errorf(driver.Invalid, "%s is ambiguous: the groups with the ids %s and %s both have this name; rename one",
			e, exact[0].ID, exact[1].ID)
	case len(folded) > 0:
		return group{}, driver.Errorf(driver.Invalid, "there is no group %q; write %q", e.Target, typeGroup+":"+folded[0].DisplayName)
	}
	return group{}, driver.Errorf(driver.Invalid, "there is no group %q: create it first, or correct the name", e.Target)
}
