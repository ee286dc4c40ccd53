package vault

import (
	"context"
	"slices"
	"strings"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
)

// entityEntitlements lists what an entity holds directly: its policies and the groups that name it as a member. What it
// inherits through groups of groups is the group's.
func (d *vaultDriver) entityEntitlements(ctx context.Context, e entity) ([]nhi.Entitlement, error) {
	out := policies(e.Policies)
	for _, id := range e.DirectGroupIDs {
		g, err := d.lookupGroup(ctx, lookupRequest{ID: id})
		if err != nil {
			return nil, err
		}
		if g == nil {
			continue // Deleted since the entity was read.
		}
		out = append(out, g.entitlement())
	}
	return nhi.SortEntitlements(out), nil
}

const internalGroup = "internal"

func (g group) entitlement() nhi.Entitlement {
	if g.Type != internalGroup {
		return nhi.Entitlement{Type: typeExternalGroup, Target: g.Name}
	}
	return nhi.Entitlement{Type: typeGroup, Target: g.Name}
}

// Grant adds policies to the entity and the entity to groups. It checks that every target exists before it changes
// anything; Vault has no transaction over entity and groups, so a failure later on may leave a part granted.
func (d *vaultDriver) Grant(ctx context.Context, ref nhi.Ref, entitlements []nhi.Entitlement) error {
	f, err := d.find(ctx, ref)
	if err != nil {
		return err
	}
	names, groups, err := split(entitlements)
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := d.wantPolicy(ctx, name); err != nil {
			return err
		}
	}
	for _, name := range groups {
		if err := d.wantGroup(ctx, name); err != nil {
			return err
		}
	}
	if f, err = d.complete(ctx, f, f.mark(), false); err != nil {
		return err
	}
	if err := d.addPolicies(ctx, f.entity.ID, names); err != nil {
		return err
	}
	for _, name := range groups {
		if err := d.setMember(ctx, name, f.entity.ID, true); err != nil {
			return err
		}
	}
	return nil
}

// Revoke takes policies from the entity and from the AppRole, where somebody may have put them by hand, and the entity
// out of groups.
func (d *vaultDriver) Revoke(ctx context.Context, ref nhi.Ref, entitlements []nhi.Entitlement) error {
	f, err := d.find(ctx, ref)
	switch {
	case err != nil && classify(err).Code == driver.NotFound:
		return nil
	case err != nil:
		return err
	}
	names, groups, err := split(entitlements)
	if err != nil {
		return err
	}
	if f.hasRole && len(names) > 0 {
		if err := d.dropRolePolicies(ctx, f.ref.Name, names); err != nil {
			return err
		}
	}
	if f.entity == nil {
		return nil
	}
	if err := gone(d.dropPolicies(ctx, f.entity.ID, names)); err != nil {
		return err
	}
	for _, name := range groups {
		if err := d.setMember(ctx, name, f.entity.ID, false); err != nil {
			return err
		}
	}
	return nil
}

// gone turns "it does not exist" into success.
func gone(err error) error {
	if err != nil && classify(err).Code == driver.NotFound {
		return nil
	}
	return err
}

// split sorts entitlements by type.
func split(entitlements []nhi.Entitlement) (policyNames, groupNames []string, err error) {
	for _, e := range entitlements {
		switch e.Type {
		case typePolicy:
			policyNames = append(policyNames, e.Target)
		case typeGroup:
			groupNames = append(groupNames, e.Target)
		default:
			return nil, nil, driver.Errorf(driver.Unsupported, "%s cannot be granted or revoked in Vault", e)
		}
	}
	return policyNames, groupNames, nil
}

func (d *vaultDriver) wantPolicy(ctx context.Context, name string) error {
	if !cleanPath(name) {
		return driver.Errorf(driver.Invalid, "policy:%s cannot be the name of a policy", name)
	}
	found, err := fetch[policyReply](ctx, d.conn, "sys/policies/acl/"+name)
	switch {
	case isAbsence(err):
		return driver.Errorf(driver.Invalid, "Vault has no policy %q", name)
	case err == nil && found.Name == "":
		return driver.Errorf(driver.Unknown, "the answer about policy %q lacks its name", name)
	}
	return err
}

func (d *vaultDriver) wantGroup(ctx context.Context, name string) error {
	g, err := d.lookupGroup(ctx, lookupRequest{Name: name})
	switch {
	case err != nil:
		return err
	case g == nil:
		return driver.Errorf(driver.Invalid, "Vault has no identity group %q", name)
	case g.Type != internalGroup:
		return driver.Errorf(driver.Invalid, "group %q is external: its auth method decides who is in it", name)
	}
	return nil
}

func (d *vaultDriver) addPolicies(ctx context.Context, id string, names []string) error {
	if len(names) == 0 {
		return nil
	}
	return d.changeEntity(ctx, id, func(e entity) (entityRequest, bool) {
		missing := slices.DeleteFunc(slices.Clone(names), func(name string) bool { return contains(e.Policies, name) })
		all := slices.Concat(e.Policies, missing)
		return entityRequest{Policies: &all}, len(missing) > 0
	})
}

func (d *vaultDriver) dropPolicies(ctx context.Context, id string, names []string) error {
	if len(names) == 0 {
		return nil
	}
	return d.changeEntity(ctx, id, func(e entity) (entityRequest, bool) {
		kept := without(e.Policies, names)
		return entityRequest{Policies: &kept}, len(kept) < len(e.Policies)
	})
}

func (d *vaultDriver) dropRolePolicies(ctx context.Context, name string, names []string) error {
	unlock, err := d.lock(ctx, "role:"+name)
	if err != nil {
		return err
	}
	defer unlock()
	r, err := d.readRole(ctx, name)
	if err != nil {
		return gone(err)
	}
	kept := without(r.TokenPolicies, names)
	if len(kept) == len(r.TokenPolicies) {
		return nil
	}
	return d.conn.write(ctx, d.rolePath(name), roleRequest{TokenPolicies: &kept})
}

// setMember puts the entity into a group or takes it out. Vault replaces the whole list of members and has no
// check-and-set: writers in this process take turns; against others the result is read back, and a change that was
// lost is a Conflict. Another process that wrote from an older list after that is seen by the next read only.
func (d *vaultDriver) setMember(ctx context.Context, name, entityID string, member bool) error {
	unlock, err := d.lock(ctx, "group:"+strings.ToLower(name))
	if err != nil {
		return err
	}
	defer unlock()
	g, err := d.lookupGroup(ctx, lookupRequest{Name: name})
	if err != nil {
		return err
	}
	if g == nil {
		if member {
			return driver.Errorf(driver.Invalid, "Vault has no identity group %q", name)
		}
		return nil
	}
	if slices.Contains(g.MemberEntityIDs, entityID) == member {
		return nil
	}
	members := slices.DeleteFunc(g.MemberEntityIDs, func(id string) bool { return id == entityID })
	if member {
		members = append(members, entityID)
	}
	// Concat, so that no member is sent as an empty list and not as null.
	in := groupRequest{MemberEntityIDs: slices.Concat([]string{}, members)}
	if err := d.conn.write(ctx, "identity/group/id/"+g.ID, in); err != nil {
		return err
	}
	after, err := d.lookupGroup(ctx, lookupRequest{ID: g.ID})
	if err != nil {
		return err
	}
	if after == nil || slices.Contains(after.MemberEntityIDs, entityID) != member {
		return driver.Errorf(driver.Conflict, "somebody changed the members of group %q at the same time", name)
	}
	return nil
}

// contains compares names of policies as Vault does, without case.
func contains(names []string, name string) bool {
	return slices.ContainsFunc(names, func(n string) bool { return strings.EqualFold(n, name) })
}

func without(names, dropped []string) []string {
	return slices.DeleteFunc(slices.Concat([]string{}, names), func(name string) bool { return contains(dropped, name) })
}
