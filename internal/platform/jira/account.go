package jira

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
	"github.com/nhi-labs/terraform-provider-nhi/internal/platform/internal/rest"
	"github.com/nhi-labs/terraform-provider-nhi/internal/secret"
)

// Secrets returns every secret that the driver was opened with, for redaction.
func (d *Driver) Secrets() []secret.Value { return d.rest.Secrets() }

// Secrets returns every secret that the driver was opened with, for redaction.
func (s *suspending) Secrets() []secret.Value {
	return append(s.Driver.Secrets(), s.organization.Secrets()...)
}

// Probe asks which site it is and what the administrator may do there.
func (d *Driver) Probe(ctx context.Context) (driver.Target, error) {
	var site struct {
		BaseURL        string `json:"baseUrl"`
		Version        string `json:"version"`
		DeploymentType string `json:"deploymentType"`
	}
	// Asked first, because anybody is told which site it is.
	lacking, err := d.lacking(ctx)
	if err != nil {
		return driver.Target{}, err
	}
	if err := d.get(ctx, "/rest/api/3/serverInfo", nil, &site); err != nil {
		return driver.Target{}, err
	}
	if site.BaseURL == "" {
		return driver.Target{}, &rest.ContentError{Reason: "does not say which site it is"}
	}
	if !strings.EqualFold(site.DeploymentType, "cloud") {
		return driver.Target{}, driver.Errorf(driver.Unsupported, "%s is Jira %s, and this kind is for Jira Cloud", site.BaseURL, site.DeploymentType)
	}
	target := driver.Target{ID: site.BaseURL, Version: site.Version, Lacking: lacking}
	if len(d.config.Projects) > 0 {
		target.Blind = append(target.Blind, "Roles are seen in the projects "+strings.Join(d.config.Projects, ", ")+" only.")
	}
	return target, nil
}

// lacking says which of the global permissions that every change needs the login does not have, one sentence each.
func (d *Driver) lacking(ctx context.Context) ([]string, error) {
	var may struct {
		Permissions map[string]struct {
			Have bool `json:"havePermission"`
		} `json:"permissions"`
	}
	if err := d.get(ctx, "/rest/api/3/mypermissions", url.Values{"permissions": {"ADMINISTER,USER_PICKER"}}, &may); err != nil {
		return nil, d.beside("the permissions of the login", err)
	}
	if may.Permissions == nil {
		return nil, &rest.ContentError{Reason: "does not say what the login may do"}
	}
	var lacking []string
	if !may.Permissions["ADMINISTER"].Have {
		lacking = append(lacking, "The login may not administer Jira: it needs the global permission \"Administer Jira\".")
	}
	if !may.Permissions["USER_PICKER"].Have {
		lacking = append(lacking, "The login may not see users: it needs the global permission \"Browse users and groups\".")
	}
	return lacking, nil
}

// absent returns notFound, an answer that there is no such account, if the login would be told of one.
func (d *Driver) absent(ctx context.Context, notFound error) error {
	lacking, err := d.lacking(ctx)
	if err != nil {
		return err
	}
	if len(lacking) > 0 {
		return driver.Errorf(driver.PermissionDenied, "%s Its answer for an account that it may not see is the same as for none: %w",
			lacking[0], notFound)
	}
	return notFound
}

// ReadAccount returns the account whole. The ownership mark is in the user property "nhi".
func (d *Driver) ReadAccount(ctx context.Context, ref nhi.Ref) (nhi.Account, error) {
	u, err := d.find(ctx, ref)
	if err != nil {
		return nhi.Account{}, err
	}
	a := nhi.Account{Ref: nhi.Ref{Name: u.AccountID, ID: u.AccountID}, Status: nhi.Active, Settings: map[string]string{}}
	if !*u.Active {
		a.Status = nhi.Suspended
	}
	if a.Mark, err = d.mark(ctx, u.AccountID); err != nil {
		return nhi.Account{}, err
	}
	groups, err := d.groupsOf(ctx, u.AccountID)
	if err != nil {
		return nhi.Account{}, err
	}
	for _, g := range groups {
		a.Entitlements = append(a.Entitlements, nhi.Entitlement{Type: typeGroup, Target: g.Name})
	}
	roles, err := d.roles(ctx)
	if err != nil {
		return nhi.Account{}, err
	}
	a.Entitlements = nhi.Union(a.Entitlements, roles.byUser[u.AccountID])
	return a, nil
}

func (d *Driver) mark(ctx context.Context, id string) (nhi.Mark, error) {
	var p property
	err := d.get(ctx, propertyPath, byAccount(id), &p)
	return nhi.FindMark(p.Value.Mark), d.gone(err)
}

// CreateAccount makes nothing: Atlassian accounts, service accounts among them, are made by the organization's
// administrators. It tells them so, unless the account is there.
func (d *Driver) CreateAccount(ctx context.Context, spec driver.AccountSpec) (nhi.Ref, error) {
	_, err := d.find(ctx, nhi.Ref{Name: spec.Name})
	switch {
	case err == nil:
		return nhi.Ref{}, driver.Errorf(driver.AlreadyExists, "the site has an account %q", spec.Name)
	case !d.isNotFound(err):
		return nhi.Ref{}, err
	}
	return nhi.Ref{}, driver.Errorf(driver.Unsupported, "the site has no account %q, and Atlassian's API cannot make one: make it at "+
		"https://admin.atlassian.com (a service account for a machine), give it access to the site, and set adopt = true", spec.Name)
}

func noSettings(settings map[string]string) error {
	if len(settings) == 0 {
		return nil
	}
	return driver.Errorf(driver.Invalid, "a Jira account has no settings here")
}

// UpdateAccount changes the mark.
func (d *Driver) UpdateAccount(ctx context.Context, ref nhi.Ref, change driver.AccountChange) error {
	if err := noSettings(change.Settings); err != nil {
		return err
	}
	u, err := d.find(ctx, ref)
	if err != nil || change.Mark == nil {
		return err
	}
	request := rest.Request{Method: http.MethodDelete, Path: propertyPath, Query: byAccount(u.AccountID)}
	if change.Mark.IsZero() {
		return d.gone(d.call(ctx, request, nil))
	}
	request.Method, request.Body = http.MethodPut, map[string]string{"mark": change.Mark.String()}
	return d.call(ctx, request, nil)
}

// DeleteAccount takes everything from the account and removes it from the site. The Atlassian account itself stays with
// the organization.
func (d *Driver) DeleteAccount(ctx context.Context, ref nhi.Ref) error {
	account, err := d.ReadAccount(ctx, ref)
	if err != nil {
		return d.gone(err)
	}
	if err := d.Revoke(ctx, account.Ref, account.Entitlements); err != nil {
		return err
	}
	if err := d.UpdateAccount(ctx, account.Ref, driver.AccountChange{Mark: &nhi.Mark{}}); err != nil {
		return d.gone(err)
	}
	return d.gone(d.call(ctx, rest.Request{Method: http.MethodDelete, Path: userPath, Query: byAccount(account.ID)}, nil))
}

// Explain adds what comes through groups: roles that a group plays, and the products that a group opens.
func (d *Driver) Explain(ctx context.Context, ref nhi.Ref) ([]driver.Holding, error) {
	account, err := d.ReadAccount(ctx, ref)
	if err != nil {
		return nil, err
	}
	groups, err := d.groupsOf(ctx, account.ID)
	if err != nil {
		return nil, err
	}
	roles, err := d.roles(ctx)
	if err != nil {
		return nil, err
	}
	var products []struct {
		Key    string      `json:"key"`
		Groups []groupName `json:"groupDetails"`
	}
	if err := d.get(ctx, "/rest/api/3/applicationrole", nil, &products); err != nil {
		return nil, d.beside("the products of the site", err)
	}
	var direct, inherited []driver.Holding
	for _, e := range account.Entitlements {
		direct = append(direct, driver.Holding{Entitlement: e})
	}
	for _, g := range groups {
		via := []string{typeGroup + ":" + g.Name}
		for _, e := range roles.byGroup[g.GroupID] {
			inherited = append(inherited, driver.Holding{Entitlement: e, Via: via})
		}
		for _, p := range products {
			if slices.ContainsFunc(p.Groups, func(other groupName) bool { return other.GroupID == g.GroupID }) {
				inherited = append(inherited, driver.Holding{Entitlement: nhi.Entitlement{Type: typeProduct, Target: p.Key}, Via: via})
			}
		}
	}
	slices.SortFunc(inherited, func(a, b driver.Holding) int {
		return cmp.Or(a.Entitlement.Compare(b.Entitlement), slices.Compare(a.Via, b.Via))
	})
	return append(direct, inherited...), nil
}

// Suspend deactivates the account for the whole organization.
func (s *suspending) Suspend(ctx context.Context, ref nhi.Ref) error {
	return s.setActive(ctx, ref, false)
}

// Resume activates it again.
func (s *suspending) Resume(ctx context.Context, ref nhi.Ref) error {
	return s.setActive(ctx, ref, true)
}

func (s *suspending) setActive(ctx context.Context, ref nhi.Ref, active bool) error {
	u, err := s.find(ctx, ref)
	if err != nil || *u.Active == active {
		return err
	}
	verb := "disable"
	if active {
		verb = "enable"
	}
	path := "/users/" + url.PathEscape(u.AccountID) + "/manage/lifecycle/" + verb
	_, err = s.organization.Do(ctx, rest.Request{Method: http.MethodPost, Path: path, Idempotent: true})
	if isStatus(err, http.StatusNotFound) {
		return driver.Errorf(driver.Unsupported, "the organization does not manage account %q, so it cannot %s it: only accounts of its "+
			"own domains, and its service accounts, are managed", u.AccountID, verb)
	}
	if err != nil {
		return fmt.Errorf("the organization: %w", err)
	}
	return s.waitUntil(ctx, ref, active)
}
