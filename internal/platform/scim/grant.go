package scim

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
)

// Grant adds what the account does not hold. All targets are checked before the first change; SCIM has no transaction
// over several resources, so a failure between two groups leaves the first one granted. A membership that the service
// does not show is taken back: it could neither be reviewed nor missed.
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
		err := d.modify(ctx, resourcePath(groupsPath, g.ID), []edit{{kind: addEntry, attr: membersAttr, entry: u.ID}})
		if err != nil {
			return d.groupError("adding the user to", g.DisplayName, err)
		}
	}
	return d.checkShown(ctx, u.ID, joins)
}

// checkShown fails unless the service shows the user in the groups that it has joined. It asks only until the service is
// known to show memberships.
func (d *Driver) checkShown(ctx context.Context, id string, joined []group) error {
	if len(joined) == 0 || d.groupsSeen.Load() || d.membersSeen.Load() {
		return nil
	}
	u, err := d.getUser(ctx, id)
	if err != nil {
		return err
	}
	shown, err := d.groupsOf(ctx, u, nil)
	if err != nil {
		return err
	}
	var hidden []groupRef
	for _, g := range joined {
		if !slices.ContainsFunc(shown, func(other groupRef) bool { return other.Value == g.ID }) {
			hidden = append(hidden, groupRef{Value: g.ID, Display: g.DisplayName})
		}
	}
	if len(hidden) == 0 {
		return nil
	}
	err = driver.Errorf(driver.Unsupported, "the service took the user into group %q and does not show it there: memberships that it "+
		"hides are not managed", hidden[0].Display)
	if undo := d.leave(context.WithoutCancel(ctx), id, hidden); undo != nil {
		err = fmt.Errorf("%w; taking the user out again failed: %w", err, undo)
	}
	return err
}

// Revoke takes away what the account holds of the entitlements, and then what the service did not show: it may hide that,
// or show it only later.
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
	if err := d.leave(ctx, u.ID, leaves); err != nil {
		return err
	}
	return d.revokeUnseen(ctx, u.ID, nhi.Without(entitlements, current.Entitlements), current.Entitlements)
}

// revokeUnseen sends each removal by itself: services refuse the whole request if one of its removals finds nothing.
func (d *Driver) revokeUnseen(ctx context.Context, id string, unseen, held []nhi.Entitlement) error {
	for _, e := range unseen {
		var err error
		if e.Type == typeGroup {
			err = d.leaveAll(ctx, id, e.Target)
		} else {
			err = d.modify(ctx, resourcePath(usersPath, id), []edit{removal(e, held)})
		}
		if err != nil && !d.isNotFound(err) {
			return err
		}
	}
	return nil
}

// leaveAll takes a user out of all groups with exactly this name.
func (d *Driver) leaveAll(ctx context.Context, id, name string) error {
	exact, _, err := d.groupsNamed(ctx, name)
	if err != nil {
		return err
	}
	groups := make([]groupRef, len(exact))
	for i, g := range exact {
		groups[i] = groupRef{Value: g.ID, Display: g.DisplayName}
	}
	return d.leave(ctx, id, groups)
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
		err := d.modify(ctx, resourcePath(groupsPath, g.Value), []edit{{kind: removeEntry, attr: membersAttr, entry: id}})
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

// groupsNamed returns the groups with exactly this name, and those whose names differ from it in case only.
func (d *Driver) groupsNamed(ctx context.Context, name string) (exact, folded []group, err error) {
	err = matching(ctx, d, groupsPath, "displayName", "eq", name, url.Values{"excludedAttributes": {"members"}},
		func(groups []group) error {
			for _, g := range groups {
				switch {
				case g.DisplayName == name:
					exact = append(exact, g)
				case strings.EqualFold(g.DisplayName, name):
					folded = append(folded, g)
				}
			}
			return nil
		})
	if err != nil {
		return nil, nil, d.groupError("looking up", name, err)
	}
	return exact, folded, nil
}

// findGroup returns the one group that an entitlement names.
func (d *Driver) findGroup(ctx context.Context, e nhi.Entitlement) (group, error) {
	exact, folded, err := d.groupsNamed(ctx, e.Target)
	switch {
	case err != nil:
		return group{}, err
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
