package jira

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strconv"
	"time"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
	"github.com/nhi-labs/terraform-provider-nhi/internal/platform/internal/rest"
)

// The site learns from the organization that an account was deactivated, in its own time.
const (
	settleTime = 15 * time.Second
	settlePoll = 250 * time.Millisecond
)

func (s *suspending) waitUntil(ctx context.Context, ref nhi.Ref, active bool) error {
	for end := time.Now().Add(settleTime); ; {
		u, err := s.find(ctx, ref)
		if err != nil || *u.Active == active {
			return err
		}
		if time.Now().After(end) {
			return driver.Errorf(driver.Unavailable, "the organization has changed account %q, and the site does not show it yet", u.AccountID)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(settlePoll):
		}
	}
}

func isStatus(err error, status int) bool {
	var e *rest.StatusError
	return errors.As(err, &e) && e.Status == status
}

// target is an entitlement as the API addresses it.
type target struct {
	entitlement nhi.Entitlement
	path        string
	// groupID is set for groups.
	groupID string
}

// resolve finds the target of an entitlement, NotFound if there is none.
func (d *Driver) resolve(ctx context.Context, e nhi.Entitlement) (target, error) {
	if e.Type == typeGroup {
		found, err := list(ctx, d, "/rest/api/3/group/bulk", url.Values{"groupName": {e.Target}}, func(g groupName) string { return g.GroupID })
		if err != nil {
			return target{}, err
		}
		i := slices.IndexFunc(found, func(g groupName) bool { return g.Name == e.Target })
		if i < 0 {
			return target{}, driver.Errorf(driver.NotFound, "there is no group %q", e.Target)
		}
		return target{entitlement: e, path: "/rest/api/3/group/user", groupID: found[i].GroupID}, nil
	}
	if e.Type != typeProject {
		return target{}, driver.Errorf(driver.NotFound, "%s is neither a group nor a role in a project", e)
	}
	if err := d.config.checkView(e); err != nil {
		return target{}, err
	}
	if err := d.checkKey(ctx, e.Target); err != nil {
		return target{}, err
	}
	ids, err := d.roleIDs(ctx, e.Target)
	if d.isNotFound(err) {
		if err = d.deleted(ctx, e.Target, err); err == nil {
			err = noProject(e.Target)
		}
	}
	if err != nil {
		return target{}, err
	}
	id, ok := ids[e.Permission]
	if !ok {
		return target{}, driver.Errorf(driver.NotFound, "project %s has no role %q", e.Target, e.Permission)
	}
	return target{entitlement: e, path: rolePath(e.Target, id)}, nil
}

func noProject(key string) error {
	return driver.Errorf(driver.NotFound, "there is no project %q", key)
}

// checkKey is NotFound for a key that no project has, and for one that a project had before it was renamed: Jira goes on
// accepting that, and lists what is held under the new one. For a project that the login may not see it is PermissionDenied.
func (d *Driver) checkKey(ctx context.Context, key string) error {
	found, err := d.projects(ctx, url.Values{"keys": {key}})
	switch {
	case err != nil:
		return err
	case slices.Contains(found, project{Key: key}):
		return nil
	case len(found) > 0:
		return driver.Errorf(driver.NotFound, "project %s is called %s now; write that", key, found[0].Key)
	default:
		if err := d.wantAllProjects(ctx); err != nil {
			return err
		}
		return noProject(key)
	}
}

func rolePath(project string, id int64) string {
	return projectsPath + "/" + url.PathEscape(project) + "/role/" + strconv.FormatInt(id, 10)
}

// roleIDs returns the roles of a project: the API shows each as the address that ends in its id.
func (d *Driver) roleIDs(ctx context.Context, project string) (map[string]int64, error) {
	var addresses map[string]string
	if err := d.get(ctx, projectsPath+"/"+url.PathEscape(project)+"/role", nil, &addresses); err != nil {
		return nil, err
	}
	if addresses == nil {
		return nil, &rest.ContentError{Reason: "is no set of roles"}
	}
	ids := make(map[string]int64, len(addresses))
	for name, address := range addresses {
		u, err := url.Parse(address)
		if err != nil {
			return nil, &rest.ContentError{Reason: "names a role by no address"}
		}
		if ids[name], err = strconv.ParseInt(path.Base(u.Path), 10, 64); err != nil {
			return nil, &rest.ContentError{Reason: "names a role by an address without an id"}
		}
	}
	return ids, nil
}

// holds asks the platform whether the account has the target's entitlement itself.
func (d *Driver) holds(ctx context.Context, id string, t target) (bool, error) {
	if t.groupID != "" {
		groups, err := d.groupsOf(ctx, id)
		return slices.ContainsFunc(groups, func(g groupName) bool { return g.GroupID == t.groupID }), err
	}
	var r role
	err := d.get(ctx, t.path, nil, &r)
	return r.has(id), d.beside(t.entitlement.String(), err)
}

// Grant makes the account a member of groups and an actor of roles. If one of the targets does not exist, nothing is
// granted. Each is a request of its own: after a failure, those before it are granted.
func (d *Driver) Grant(ctx context.Context, ref nhi.Ref, entitlements []nhi.Entitlement) error {
	u, err := d.find(ctx, ref)
	if err != nil {
		return err
	}
	targets := make([]target, len(entitlements))
	for i, e := range entitlements {
		targets[i], err = d.resolve(ctx, e)
		if d.isNotFound(err) {
			return driver.Errorf(driver.Invalid, "%s cannot be granted: %w", e, err)
		}
		if err != nil {
			return err
		}
	}
	for i, t := range targets {
		if err := d.add(ctx, u.AccountID, t); err != nil {
			return partly(entitlements[:i], "granted", err)
		}
	}
	return nil
}

func partly(done []nhi.Entitlement, what string, err error) error {
	if len(done) == 0 {
		return err
	}
	return fmt.Errorf("%s was %s, and then: %w", nhi.JoinTexts(done), what, err)
}

func (d *Driver) add(ctx context.Context, id string, t target) error {
	request := rest.Request{Method: http.MethodPost, Path: t.path, Idempotent: true}
	if t.groupID != "" {
		request.Query, request.Body = url.Values{"groupId": {t.groupID}}, map[string]string{"accountId": id}
	} else {
		request.Body = map[string][]string{"user": {id}}
	}
	return d.unless(ctx, id, t, true, request)
}

func (d *Driver) remove(ctx context.Context, id string, t target) error {
	request := rest.Request{Method: http.MethodDelete, Path: t.path, Query: url.Values{"user": {id}}}
	if t.groupID != "" {
		request.Query = url.Values{"groupId": {t.groupID}, "accountId": {id}}
	}
	return d.unless(ctx, id, t, false, request)
}

// unless sends a change unless things are already as wanted: Jira refuses to add what is there, and to remove what is
// not. Another run may be faster, so after a refusal it looks again. A removal is sent without a look before it: what the
// site does not show (yet) is removed, too.
func (d *Driver) unless(ctx context.Context, id string, t target, wanted bool, request rest.Request) error {
	if wanted {
		if held, err := d.holds(ctx, id, t); err != nil || held {
			return err
		}
	}
	err := d.call(ctx, request, nil)
	if !isStatus(err, http.StatusBadRequest) && !isStatus(err, http.StatusNotFound) {
		return err
	}
	if held, lookErr := d.holds(ctx, id, t); lookErr == nil && held == wanted {
		return nil
	}
	if d.isNotFound(err) {
		return driver.Errorf(driver.Conflict, "account %q or %s was deleted meanwhile: %w", id, t.entitlement, err)
	}
	return err
}

// Revoke takes the account's own memberships and roles away. What groups give stays with the groups.
func (d *Driver) Revoke(ctx context.Context, ref nhi.Ref, entitlements []nhi.Entitlement) error {
	u, err := d.find(ctx, ref)
	if err != nil {
		return d.gone(err)
	}
	if err := d.config.Spec().CheckRecorded(entitlements); err != nil {
		return err
	}
	for i, e := range entitlements {
		t, err := d.resolve(ctx, e)
		if d.isNotFound(err) {
			continue
		}
		if err == nil {
			err = d.remove(ctx, u.AccountID, t)
		}
		if err != nil {
			return partly(entitlements[:i], "revoked", err)
		}
	}
	return nil
}
