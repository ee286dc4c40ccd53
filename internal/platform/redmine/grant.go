package redmine

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
	"github.com/nhi-labs/terraform-provider-nhi/internal/platform/internal/rest"
)

// undoTime bounds taking back what a failed Grant has given.
const undoTime = 20 * time.Second

// targets are Redmine's own numbers of what entitlements name.
type targets struct {
	roles, groups map[string]int
	projects      map[string]int
}

// Grant implements driver.Driver. Redmine has no request for several entitlements, so all targets are looked up before the
// first one, and what was given before an error is taken back.
func (c *client) Grant(ctx context.Context, ref nhi.Ref, entitlements []nhi.Entitlement) error {
	u, unlock, err := c.findLocked(ctx, ref)
	if err != nil {
		return err
	}
	defer unlock()
	before, err := c.direct(ctx, u)
	if err != nil {
		return err
	}
	wish := nhi.Without(entitlements, before)
	if len(wish) == 0 {
		return nil
	}
	t, err := c.resolve(ctx, wish)
	if err != nil {
		return err
	}
	if err := c.checkInherited(u, t, wish); err != nil {
		return err
	}
	if err = c.grantAll(ctx, u, t, wish); err == nil {
		err = c.checkGranted(ctx, u, wish)
	}
	if err != nil {
		undo, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoTime)
		defer cancel()
		again, undoErr := c.find(undo, u.ref())
		if undoErr == nil {
			undoErr = c.revokeAll(undo, again, wish)
		}
		return errors.Join(err, undoErr)
	}
	return nil
}

// resolve looks up what entitlements name. What does not exist is Invalid.
func (c *client) resolve(ctx context.Context, entitlements []nhi.Entitlement) (targets, error) {
	t := targets{projects: map[string]int{}}
	for _, e := range entitlements {
		switch e.Type {
		case typeProject:
			if err := c.resolveProject(ctx, e, &t); err != nil {
				return targets{}, err
			}
		case typeGroup:
			if t.groups == nil {
				groups, err := c.groups(ctx)
				if err != nil {
					return targets{}, err
				}
				t.groups = numbers(groups)
			}
			if _, ok := t.groups[e.Target]; !ok {
				return targets{}, driver.Errorf(driver.Invalid, "%q: Redmine has no such group", e)
			}
		case typeGlobal:
		default:
			return targets{}, driver.Errorf(driver.Invalid, "%q cannot be granted on Redmine", e)
		}
	}
	return t, nil
}

func numbers(list []named) map[string]int {
	found := map[string]int{}
	for _, n := range list {
		found[n.Name] = n.ID
	}
	return found
}

func (c *client) resolveProject(ctx context.Context, e nhi.Entitlement, t *targets) error {
	if t.roles == nil {
		var answer struct {
			Roles *[]named `json:"roles"`
		}
		if err := c.get(ctx, "/roles.json", nil, &answer); err != nil {
			return err
		}
		if answer.Roles == nil {
			return driver.Errorf(driver.Unknown, "the answer is not Redmine's list of roles")
		}
		t.roles = numbers(*answer.Roles)
	}
	if _, ok := t.roles[e.Permission]; !ok {
		return driver.Errorf(driver.Invalid, "%q: Redmine has no role %q that can be given in a project", e, e.Permission)
	}
	if _, ok := t.projects[e.Target]; ok {
		return nil
	}
	var answer struct {
		Project project `json:"project"`
	}
	err := c.get(ctx, "/projects/"+url.PathEscape(e.Target)+".json", nil, &answer)
	if isStatus(err, http.StatusNotFound) {
		if err := c.absent(ctx, nhi.Ref{Name: e.Target}); driver.CodeOf(err) != driver.NotFound {
			return err
		}
		return driver.Errorf(driver.Invalid, "%q: Redmine has no such project", e)
	}
	if err != nil {
		return err
	}
	if answer.Project.Identifier != e.Target {
		return driver.Errorf(driver.Invalid, "%q: Redmine has no project with that identifier", e)
	}
	c.remember(answer.Project)
	t.projects[e.Target] = answer.Project.ID
	return nil
}

// checkInherited refuses what Redmine would silently not do: it gives no role directly to who has the same role in the
// same project through a group or a parent project.
func (c *client) checkInherited(u user, t targets, wish []nhi.Entitlement) error {
	for _, e := range wish {
		if e.Type != typeProject {
			continue
		}
		for _, m := range u.Memberships {
			has := slices.ContainsFunc(m.Roles, func(r grantRole) bool { return r.ID == t.roles[e.Permission] })
			if m.Project.ID == t.projects[e.Target] && has {
				return driver.Errorf(driver.Invalid, "%q: the user has this role through a group or a parent project already, and "+
					"Redmine keeps no direct one beside it; leave it out, or take the other way away first", e)
			}
		}
	}
	return nil
}

// grantAll gives roles before groups: the other way round, a group's role would stand in the way of a direct one.
func (c *client) grantAll(ctx context.Context, u user, t targets, wish []nhi.Entitlement) error {
	roles := map[string][]int{}
	var order []string
	for _, e := range wish {
		if e.Type == typeProject {
			if roles[e.Target] == nil {
				order = append(order, e.Target)
			}
			roles[e.Target] = append(roles[e.Target], t.roles[e.Permission])
		}
	}
	for _, identifier := range order {
		if err := c.addRoles(ctx, u, t.projects[identifier], roles[identifier]); err != nil {
			return err
		}
	}
	for _, e := range wish {
		var request rest.Request
		switch e.Type {
		case typeGroup:
			path := "/groups/" + strconv.Itoa(t.groups[e.Target]) + "/users.json"
			request = rest.Request{Method: http.MethodPost, Path: path, Body: memberBody{u.ID}}
		case typeGlobal:
			admin := true
			request = rest.Request{Method: http.MethodPut, Path: userPath(u.ID), Body: userBody{userChange{Admin: &admin}}}
		default:
			continue
		}
		if err := c.do(ctx, request, nil); err != nil {
			return changed(err)
		}
	}
	return nil
}

// addRoles gives roles in a project beside those that the user has there.
func (c *client) addRoles(ctx context.Context, u user, projectID int, roles []int) error {
	i := slices.IndexFunc(u.Memberships, func(m membership) bool { return m.Project.ID == projectID })
	if i < 0 {
		err := c.do(ctx, rest.Request{
			Method: http.MethodPost, Path: "/projects/" + strconv.Itoa(projectID) + "/memberships.json",
			Body: membershipBody{membershipChange{UserID: u.ID, RoleIDs: roles}},
		}, nil)
		return changed(err)
	}
	all := append(u.Memberships[i].direct(), roles...)
	return changed(c.setRoles(ctx, u.Memberships[i].ID, all))
}

func (c *client) setRoles(ctx context.Context, membershipID int, roles []int) error {
	return c.do(ctx, rest.Request{
		Method: http.MethodPut, Path: membershipPath(membershipID), Body: membershipBody{membershipChange{RoleIDs: roles}},
	}, nil)
}

func membershipPath(id int) string { return "/memberships/" + strconv.Itoa(id) + ".json" }

// changed says of a request whose objects were all there a moment ago that somebody else was faster.
func changed(err error) error {
	if isStatus(err, http.StatusNotFound, http.StatusUnprocessableEntity) {
		return driver.Errorf(driver.Conflict, "something changed meanwhile: %w", err)
	}
	return err
}

// checkGranted reads back: somebody may have replaced the roles of the same membership meanwhile.
func (c *client) checkGranted(ctx context.Context, u user, wish []nhi.Entitlement) error {
	again, err := c.find(ctx, u.ref())
	if err != nil {
		return err
	}
	after, err := c.direct(ctx, again)
	if err != nil {
		return err
	}
	if missing := nhi.Without(wish, after); len(missing) > 0 {
		return driver.Errorf(driver.Conflict, "after granting, Redmine does not list %s", nhi.JoinTexts(missing))
	}
	return nil
}

// Revoke implements driver.Driver.
func (c *client) Revoke(ctx context.Context, ref nhi.Ref, entitlements []nhi.Entitlement) error {
	u, unlock, err := c.findLocked(ctx, ref)
	if driver.CodeOf(err) == driver.NotFound {
		return nil
	}
	if err != nil {
		return err
	}
	defer unlock()
	return c.revokeAll(ctx, u, entitlements)
}

// revokeAll takes away groups before roles: a group's role keeps Redmine from taking the same one that is direct.
func (c *client) revokeAll(ctx context.Context, u user, entitlements []nhi.Entitlement) error {
	held, err := c.direct(ctx, u)
	if err != nil || len(nhi.Intersect(held, entitlements)) == 0 {
		return err
	}
	left := false
	for _, g := range u.Groups {
		if !slices.Contains(entitlements, nhi.Entitlement{Type: typeGroup, Target: g.Name}) {
			continue
		}
		path := "/groups/" + strconv.Itoa(g.ID) + "/users/" + strconv.Itoa(u.ID) + ".json"
		err := c.do(ctx, rest.Request{Method: http.MethodDelete, Path: path}, nil)
		if err != nil && !isStatus(err, http.StatusNotFound) { // Removed meanwhile; what is left shows below.
			return err
		}
		left = true
	}
	if left {
		if u, err = c.find(ctx, u.ref()); err != nil {
			return err
		}
	}
	if u.Admin && slices.Contains(entitlements, nhi.Entitlement{Type: typeGlobal, Target: administrator}) {
		if err := c.mayBeSwitchedOff(ctx, u); err != nil {
			return err
		}
		admin := false
		if err := c.put(ctx, u.ID, userChange{Admin: &admin}); err != nil {
			return err
		}
	}
	for _, m := range u.Memberships {
		if err := c.revokeRoles(ctx, m, entitlements); err != nil {
			return err
		}
	}
	return c.checkRevoked(ctx, u.ref(), entitlements)
}

// revokeRoles takes roles of one membership away. A membership without a role does not exist.
func (c *client) revokeRoles(ctx context.Context, m membership, entitlements []nhi.Entitlement) error {
	identifier, err := c.identifier(ctx, m.Project.ID)
	if err != nil {
		return err
	}
	direct := m.direct()
	keep := slices.DeleteFunc(slices.Clone(direct), func(id int) bool {
		i := slices.IndexFunc(m.Roles, func(r grantRole) bool { return r.ID == id })
		return slices.Contains(entitlements, nhi.Entitlement{Type: typeProject, Target: identifier, Permission: m.Roles[i].Name})
	})
	inherited := slices.ContainsFunc(m.Roles, func(r grantRole) bool { return r.Inherited })
	switch {
	case len(keep) == len(direct):
		return nil
	case len(keep) == 0 && !inherited:
		err = c.do(ctx, rest.Request{Method: http.MethodDelete, Path: membershipPath(m.ID)}, nil)
	default:
		err = c.setRoles(ctx, m.ID, keep)
	}
	if isStatus(err, http.StatusNotFound) { // Removed meanwhile; checkRevoked looks.
		return nil
	}
	return changed(err)
}

// checkRevoked reads back.
func (c *client) checkRevoked(ctx context.Context, ref nhi.Ref, entitlements []nhi.Entitlement) error {
	u, err := c.find(ctx, ref)
	if err != nil {
		return err
	}
	held, err := c.direct(ctx, u)
	if err != nil {
		return err
	}
	left := nhi.Intersect(held, entitlements)
	if len(left) == 0 {
		return nil
	}
	return driver.Errorf(driver.Unsupported, "Redmine still lists %s: it does not take a direct role away from who has the same one "+
		"through a group or a parent project; take that away first", nhi.JoinTexts(left))
}
