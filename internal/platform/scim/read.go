package scim

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
	"github.com/nhi-labs/terraform-provider-nhi/internal/platform/internal/rest"
)

// The entitlement types.
const (
	typeGroup       = "group"
	typeRole        = "role"
	typeEntitlement = "entitlement"
)

// ReadAccount returns the account whole.
func (d *Driver) ReadAccount(ctx context.Context, ref nhi.Ref) (nhi.Account, error) {
	u, err := d.find(ctx, ref)
	if err != nil {
		return nhi.Account{}, err
	}
	groups, err := d.groupsOf(ctx, u, nil)
	if err != nil {
		return nhi.Account{}, err
	}
	return d.account(u, groups)
}

// find reads the User that ref means. NotFound is the service's own word: a 404 in SCIM's form to the read by id from a
// service that lists users, or a complete list without that name.
func (d *Driver) find(ctx context.Context, ref nhi.Ref) (user, error) {
	if _, err := d.discover(ctx); err != nil {
		return user{}, err
	}
	if ref.ID != "" {
		u, err := d.getUser(ctx, ref.ID)
		return u, d.believed(ctx, usersPath, err)
	}
	var exact, folded []user
	err := matching(ctx, d, usersPath, "userName", "eq", ref.Name, nil, func(users []user) error {
		for _, u := range users {
			switch {
			case u.UserName == ref.Name:
				exact = append(exact, u)
			case strings.EqualFold(u.UserName, ref.Name):
				folded = append(folded, u)
			}
		}
		return nil
	})
	if err != nil {
		return user{}, d.believed(ctx, usersPath, err)
	}
	found := exact
	if len(found) == 0 {
		found = folded
	}
	switch len(found) {
	case 0:
		return user{}, driver.Errorf(driver.NotFound, "there is no user %q", ref.Name)
	case 1:
		return found[0], nil
	default:
		return user{}, driver.Errorf(driver.Invalid, "several users are named %q: ids %s and %s", ref.Name, found[0].ID, found[1].ID)
	}
}

// account puts together what a User and its groups say.
func (d *Driver) account(u user, groups []groupRef) (nhi.Account, error) {
	a := nhi.Account{
		Ref:  nhi.Ref{Name: u.UserName, ID: u.ID},
		Mark: nhi.FindMark(u.ExternalID), Status: nhi.Active, Settings: map[string]string{},
	}
	if u.Active != nil && !*u.Active {
		a.Status = nhi.Suspended
	}
	for _, g := range groups {
		a.Entitlements = append(a.Entitlements, nhi.Entitlement{Type: typeGroup, Target: g.Display})
	}
	for _, v := range u.Roles {
		a.Entitlements = appendValue(a.Entitlements, typeRole, v)
	}
	for _, v := range u.Entitlements {
		a.Entitlements = appendValue(a.Entitlements, typeEntitlement, v)
	}
	a.Entitlements = nhi.SortEntitlements(a.Entitlements)
	for name, text := range map[string]string{
		settingEmail: primaryEmail(u.Emails), settingDisplayName: u.DisplayName, settingUserType: u.UserType,
	} {
		if text != "" {
			a.Settings[name] = text
		}
	}
	if d.isSAP() && u.SAP != nil && u.SAP.ValidTo != "" {
		at, err := time.Parse(time.RFC3339, u.SAP.ValidTo)
		if err != nil {
			return nhi.Account{}, &rest.ContentError{Reason: "has a validTo that is not a time", Err: err}
		}
		a.ExpiresAt = at.UTC()
	}
	return a, nil
}

// appendValue leaves out entries without a value: they cannot be named.
func appendValue(es []nhi.Entitlement, typeName string, v value) []nhi.Entitlement {
	if v.Value == "" {
		return es
	}
	return append(es, nhi.Entitlement{Type: typeName, Target: v.Value})
}

func primaryEmail(emails []email) string {
	for _, e := range emails {
		if e.Primary {
			return e.Value
		}
	}
	if len(emails) > 0 {
		return emails[0].Value
	}
	return ""
}

// bulkGroups holds all groups for a sweep: one reading in pages instead of one per user. It is read at first need.
type bulkGroups struct {
	loaded bool
	names  map[string]string // by group id
	// byMember holds the groups that a user or a group is a member of, by its id: ids are unique in a service.
	byMember map[string][]groupRef
}

func (d *Driver) load(ctx context.Context, b *bulkGroups) error {
	if b.loaded {
		return nil
	}
	f, err := d.discover(ctx)
	if err != nil {
		return err
	}
	b.names, b.byMember = map[string]string{}, map[string][]groupRef{}
	read := func(page func([]group) error) error { return list(ctx, d, f, groupsPath, nil, page) }
	err = d.eachGroup(ctx, read, func(g group) {
		b.names[g.ID] = g.DisplayName
		for _, m := range *g.Members {
			b.byMember[m.Value] = append(b.byMember[m.Value], groupRef{Value: g.ID, Display: g.DisplayName})
		}
	})
	b.loaded = err == nil
	return err
}

// eachGroup calls visit for every group of a list, each with its members.
//
// A group that the list shows without members is empty only if this service is known to show members in lists: some
// leave them out. Until a list came with members, each such group is read by itself.
func (d *Driver) eachGroup(ctx context.Context, read func(page func([]group) error) error, visit func(group)) error {
	var bare []group
	err := read(func(groups []group) error {
		for _, g := range groups {
			if g.Members == nil {
				bare = append(bare, g)
				continue
			}
			if len(*g.Members) > 0 {
				d.membersSeen.Store(true)
			}
			visit(g)
		}
		return nil
	})
	if err != nil {
		return d.recode(driver.Unknown, fmt.Errorf("the groups cannot be read: %w", err))
	}
	for _, g := range bare {
		if !d.membersSeen.Load() {
			single, err := d.getGroup(ctx, g.ID)
			if err != nil && !d.isNotFound(err) {
				return err
			}
			g.Members = single.Members
		}
		if g.Members == nil {
			g.Members = &[]value{}
		}
		visit(g)
	}
	return nil
}

func (d *Driver) getGroup(ctx context.Context, id string) (group, error) {
	var g group
	if _, err := d.call(ctx, rest.Request{Method: http.MethodGet, Path: resourcePath(groupsPath, id)}, &g); err != nil {
		return group{}, err
	}
	if g.ID != id {
		return group{}, &rest.ContentError{Reason: "to the read of a group is not that group"}
	}
	return g, nil
}

// groupsOf returns the groups that the user is a direct member of, each with its name. bulk is nil unless many users
// are read.
//
// A User without the attribute groups has none only if this service is known to show groups there: the attribute is
// optional in practice, and a service that leaves it out would make every membership look revoked. Until a User came
// with groups, the groups themselves are asked.
func (d *Driver) groupsOf(ctx context.Context, u user, bulk *bulkGroups) ([]groupRef, error) {
	d.noteGroups([]user{u})
	if u.Groups != nil {
		if !d.isSAP() || len(*u.Groups) < sapGroupsLimit {
			return d.named(ctx, direct(*u.Groups), bulk)
		}
	} else if d.groupsSeen.Load() {
		return nil, nil
	}
	if bulk != nil {
		if err := d.load(ctx, bulk); err != nil {
			return nil, err
		}
		return bulk.byMember[u.ID], nil
	}
	return d.groupsByMember(ctx, u.ID)
}

// noteGroups notes whether the service shows the groups of users: one user in a group is enough to know.
func (d *Driver) noteGroups(users []user) {
	if slices.ContainsFunc(users, func(u user) bool { return u.Groups != nil && len(*u.Groups) > 0 }) {
		d.groupsSeen.Store(true)
	}
}

// direct leaves out the groups that are only held through other groups.
func direct(groups []groupRef) []groupRef {
	return slices.DeleteFunc(slices.Clone(groups), func(g groupRef) bool { return strings.EqualFold(g.Type, "indirect") })
}

func (d *Driver) groupsByMember(ctx context.Context, id string) ([]groupRef, error) {
	var found []groupRef
	read := func(page func([]group) error) error {
		return matching(ctx, d, groupsPath, "members.value", "eq", id, nil, page)
	}
	err := d.eachGroup(ctx, read, func(g group) {
		if g.has(id) {
			found = append(found, groupRef{Value: g.ID, Display: g.DisplayName})
		}
	})
	return found, err
}

// named looks up the names of groups that a User lists by id alone.
func (d *Driver) named(ctx context.Context, groups []groupRef, bulk *bulkGroups) ([]groupRef, error) {
	for i := range groups {
		if groups[i].Display != "" {
			continue
		}
		if bulk != nil {
			if err := d.load(ctx, bulk); err != nil {
				return nil, err
			}
			groups[i].Display = bulk.names[groups[i].Value]
		}
		if groups[i].Display == "" {
			g, err := d.getGroup(ctx, groups[i].Value)
			if err != nil {
				return nil, d.groupError("reading the user's", groups[i].Value, err)
			}
			groups[i].Display = g.DisplayName
		}
	}
	return groups, nil
}

// Sweep reads all users in pages, and the groups once where the users do not show them.
func (d *Driver) Sweep(ctx context.Context, filter driver.SweepFilter, page func([]nhi.Account) error) error {
	f, err := d.discover(ctx)
	if err != nil {
		return err
	}
	bulk := &bulkGroups{}
	emit := func(users []user) error {
		d.noteGroups(users)
		accounts := make([]nhi.Account, len(users))
		for i, u := range users {
			groups, err := d.groupsOf(ctx, u, bulk)
			if err != nil {
				return err
			}
			if accounts[i], err = d.account(u, groups); err != nil {
				return err
			}
		}
		return page(accounts)
	}
	if filter.Stack == "" {
		return list(ctx, d, f, usersPath, url.Values{}, emit)
	}
	return matching(ctx, d, usersPath, "externalId", "sw", nhi.MarkPrefix(filter.Stack), nil, emit)
}
