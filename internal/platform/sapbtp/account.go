package sapbtp

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
	"github.com/nhi-labs/terraform-provider-nhi/internal/platform/internal/rest"
)

// Probe reads one page of users with each login. The API's URL is the same for all subaccounts of a region, so the
// subaccount is told by the host that gives the tokens.
func (d *Driver) Probe(ctx context.Context) (driver.Target, error) {
	if _, _, err := d.page(ctx, 1); err != nil {
		return driver.Target{}, err
	}
	u, err := url.Parse(d.config.TokenURL)
	if err != nil {
		return driver.Target{}, err
	}
	host := strings.Replace(u.Host, ".authentication.cert.", ".authentication.", 1)
	target := driver.Target{ID: "https://" + host + " origin " + d.config.Origin}
	if d.upper == nil {
		target.Blind = append(target.Blind, "The level above this subaccount is not configured: a user that exists there, too, comes "+
			"back at the next logon after it was deleted here.")
		return target, nil
	}
	_, err = d.findByName(ctx, d.upper, "nhi-probe")
	if err != nil && !d.isNotFound(err) {
		return driver.Target{}, fmt.Errorf("the level above: %w", err)
	}
	return target, nil
}

// ReadAccount returns the account whole. The ownership mark stands in externalId. If the user is gone and bindings carry its
// ID, it fails with a LeftoverError.
func (d *Driver) ReadAccount(ctx context.Context, ref nhi.Ref) (nhi.Account, error) {
	u, err := d.find(ctx, ref)
	if d.isNotFound(err) && ref.ID != "" {
		return nhi.Account{}, d.left(ctx, ref, err)
	}
	if err != nil {
		return nhi.Account{}, err
	}
	bindings, err := d.listBindings(ctx, u.ID)
	if err != nil {
		return nhi.Account{}, err
	}
	return account(u, bindings[u.ID])
}

// left makes a LeftoverError of the absence of a user whose bindings are still there.
func (d *Driver) left(ctx context.Context, ref nhi.Ref, absence error) error {
	bindings, err := d.listBindings(ctx, ref.ID)
	if err != nil {
		return err
	}
	if len(bindings[ref.ID]) == 0 {
		return absence
	}
	var ids []string
	for _, b := range bindings[ref.ID] {
		ids = append(ids, b.ID)
	}
	return &driver.LeftoverError{Err: driver.Errorf(driver.NotFound, "user %q was deleted, and its bindings still log in: %s; the next "+
		"plan shows that, and its apply deletes them: %w", ref.Name, strings.Join(ids, ", "), absence)}
}

func account(u user, credentials []nhi.Credential) (nhi.Account, error) {
	if u.Groups == nil {
		return nhi.Account{}, &rest.ContentError{Reason: fmt.Sprintf("shows user %q without groups: may this login not read them?", u.UserName)}
	}
	a := nhi.Account{
		Ref: nhi.Ref{Name: u.UserName, ID: u.ID}, Mark: nhi.FindMark(u.ExternalID), Status: nhi.Active,
		Credentials: credentials, Settings: map[string]string{},
	}
	for _, g := range *u.Groups {
		if g.Type == direct {
			a.Entitlements = append(a.Entitlements, nhi.Entitlement{Type: typeRoleCollection, Target: g.Value})
		}
	}
	a.Entitlements = nhi.SortEntitlements(a.Entitlements)
	if len(u.Emails) > 0 {
		a.Settings[settingEmail] = u.Emails[0].Value
	}
	return a, nil
}

// Explain tells the role collections of mappings, too. Which mapping it was, the service does not say.
func (d *Driver) Explain(ctx context.Context, ref nhi.Ref) ([]driver.Holding, error) {
	u, err := d.find(ctx, ref)
	if err != nil {
		return nil, err
	}
	a, err := account(u, nil)
	if err != nil {
		return nil, err
	}
	var holdings []driver.Holding
	for _, e := range a.Entitlements {
		holdings = append(holdings, driver.Holding{Entitlement: e})
	}
	var mapped []nhi.Entitlement
	for _, g := range *u.Groups {
		if g.Type != direct {
			mapped = append(mapped, nhi.Entitlement{Type: typeRoleCollection, Target: g.Value})
		}
	}
	for _, e := range nhi.SortEntitlements(mapped) {
		holdings = append(holdings, driver.Holding{Entitlement: e, Via: []string{"group mapping of " + d.config.Origin}})
	}
	return holdings, nil
}

// Sweep reads all users in pages, and all bindings once.
func (d *Driver) Sweep(ctx context.Context, _ driver.SweepFilter, page func([]nhi.Account) error) error {
	bindings, err := d.listBindings(ctx, "")
	if err != nil {
		return err
	}
	return d.eachPage(ctx, func(users []user) error {
		accounts := make([]nhi.Account, len(users))
		for i, u := range users {
			var err error
			if accounts[i], err = account(u, bindings[u.ID]); err != nil {
				return err
			}
		}
		return page(accounts)
	})
}

func checkSettings(settings map[string]string) error {
	for name := range settings {
		if name != settingEmail {
			return driver.Errorf(driver.Invalid, "unknown setting %q: a shadow user has %s", name, settingEmail)
		}
	}
	return nil
}

// CreateAccount makes a shadow user with its mark in externalId.
func (d *Driver) CreateAccount(ctx context.Context, spec driver.AccountSpec) (nhi.Ref, error) {
	if err := checkSettings(spec.Settings); err != nil {
		return nhi.Ref{}, err
	}
	yes := true
	in := user{
		Schemas: []string{coreSchema}, ExternalID: spec.Mark.String(), UserName: spec.Name, Origin: d.config.Origin,
		Name: personName{FamilyName: spec.Name}, Emails: emailsOf(spec.Name, spec.Settings[settingEmail]), Active: &yes, Verified: &yes,
	}
	var made user
	err := call(ctx, d.users, rest.Request{Method: http.MethodPost, Path: usersPath, Body: in}, &made)
	if err != nil {
		return nhi.Ref{}, err
	}
	if made.ID == "" {
		return nhi.Ref{}, &rest.ContentError{Reason: "to the creation has no id"}
	}
	ref := nhi.Ref{Name: spec.Name, ID: made.ID}
	switch {
	case made.UserName != spec.Name:
		err = driver.Errorf(driver.Invalid, "the service changes the name %q to %q: use that name", spec.Name, made.UserName)
	case nhi.FindMark(made.ExternalID) != spec.Mark:
		err = driver.Errorf(driver.Unsupported, "the service did not keep externalId, where the ownership mark has its place")
	default:
		return ref, nil
	}
	if undo := d.deleteUser(context.WithoutCancel(ctx), d.users, made.ID); undo != nil {
		err = fmt.Errorf("%w; removing the user again failed: %w", err, undo)
	}
	return nhi.Ref{}, err
}

func emailsOf(name, address string) []email {
	switch {
	case address != "":
	case strings.Count(name, "@") == 1 && !strings.ContainsAny(name, " <>\"\\"):
		address = name
	default:
		// One is required, and nobody reads mail for a machine.
		sum := sha256.Sum256([]byte(strings.ToLower(name)))
		address = "nhi-" + hex.EncodeToString(sum[:8]) + "@nhi.invalid"
	}
	return []email{{Value: address, Primary: true}}
}

// UpdateAccount changes the mark and the address in one request, which the service refuses if another one came first.
func (d *Driver) UpdateAccount(ctx context.Context, ref nhi.Ref, change driver.AccountChange) error {
	if err := checkSettings(change.Settings); err != nil {
		return err
	}
	u, err := d.find(ctx, ref)
	if err != nil {
		return err
	}
	changed := false
	if change.Mark != nil {
		if foreign := nhi.WithMark(u.ExternalID, nhi.Mark{}); foreign != "" && !change.Mark.IsZero() {
			return driver.Errorf(driver.Conflict, "user %q has the externalId %q of another system in the place of the ownership mark; "+
				"nothing was changed: stop that system from provisioning this user and remove the externalId, or declare another "+
				"account name", u.UserName, foreign)
		}
		text := nhi.WithMark(u.ExternalID, *change.Mark)
		changed, u.ExternalID = text != u.ExternalID, text
	}
	if address, ok := change.Settings[settingEmail]; ok {
		wanted := emailsOf(u.UserName, address)
		changed = changed || len(u.Emails) == 0 || u.Emails[0].Value != wanted[0].Value
		u.Emails = wanted
	}
	if !changed {
		return nil
	}
	if u.Meta == nil {
		return &rest.ContentError{Reason: "shows a user without its version"}
	}
	u.Groups = nil // Read-only.
	return call(ctx, d.users, rest.Request{
		Method: http.MethodPut, Path: usersPath + "/" + url.PathEscape(u.ID), Body: u,
		Header: http.Header{"If-Match": {strconv.Itoa(u.Meta.Version)}},
	}, nil)
}

// DeleteAccount deletes the bindings of the account, the user of the level above, and then the shadow user: in this
// order, because a logon in between would make the shadow user again from the one above. Its role collections go with it.
func (d *Driver) DeleteAccount(ctx context.Context, ref nhi.Ref) error {
	u, err := d.find(ctx, ref)
	if d.isNotFound(err) && ref.ID != "" {
		return d.deleteRest(ctx, ref)
	}
	if err != nil {
		return d.gone(err)
	}
	if err := d.unbindAll(ctx, u.ID); err != nil {
		return err
	}
	if err := d.deleteAbove(ctx, u.UserName); err != nil {
		return err
	}
	return d.deleteUser(ctx, d.users, u.ID)
}

// deleteRest does the same for a user that somebody else has deleted. If there is another one of its name now, the one above
// is that one's.
func (d *Driver) deleteRest(ctx context.Context, ref nhi.Ref) error {
	if err := d.unbindAll(ctx, ref.ID); err != nil {
		return &driver.LeftoverError{Err: fmt.Errorf("user %q was deleted, and its bindings may still log in: %w", ref.Name, err)}
	}
	_, err := d.findByName(ctx, d.users, ref.Name)
	if !d.isNotFound(err) {
		return err
	}
	return d.deleteAbove(ctx, ref.Name)
}

func (d *Driver) unbindAll(ctx context.Context, account string) error {
	bindings, err := d.listBindings(ctx, account)
	if err != nil {
		return err
	}
	for _, b := range bindings[account] {
		if err := d.unbind(ctx, b.ID); err != nil {
			return err
		}
	}
	return nil
}

// deleteAbove deletes the user of the level above.
func (d *Driver) deleteAbove(ctx context.Context, name string) error {
	if d.upper == nil {
		return nil
	}
	above, err := d.findByName(ctx, d.upper, name)
	if err == nil {
		err = d.deleteUser(ctx, d.upper, above.ID)
	}
	if d.gone(err) != nil {
		return fmt.Errorf("the user of the level above: %w", err)
	}
	return nil
}

func (d *Driver) deleteUser(ctx context.Context, level *rest.Client, id string) error {
	return d.gone(call(ctx, level, rest.Request{Method: http.MethodDelete, Path: usersPath + "/" + url.PathEscape(id)}, nil))
}

// gone makes success of absence.
func (d *Driver) gone(err error) error {
	if d.isNotFound(err) {
		return nil
	}
	return err
}

// Grant assigns role collections, one request each. If one of them does not exist, none is assigned.
func (d *Driver) Grant(ctx context.Context, ref nhi.Ref, entitlements []nhi.Entitlement) error {
	u, err := d.find(ctx, ref)
	if err != nil {
		return err
	}
	for _, e := range entitlements {
		if e.Type != typeRoleCollection {
			return driver.Errorf(driver.Invalid, "%s is no role collection", e)
		}
		err := call(ctx, d.users, rest.Request{Method: http.MethodGet, Path: groupPath(e)}, nil)
		if d.isNotFound(err) {
			return driver.Errorf(driver.Invalid, "there is no role collection %q", e.Target)
		}
		if err != nil {
			return err
		}
	}
	for i, e := range entitlements {
		err := call(ctx, d.users, rest.Request{
			Method: http.MethodPost, Path: groupPath(e) + "/members", Idempotent: true,
			Body: member{Origin: d.config.Origin, Type: "USER", Value: u.ID},
		}, nil)
		if err != nil && !isStatus(err, http.StatusConflict) { // 409: it is a member already.
			return d.explainGrant(err, u, e, entitlements[:i])
		}
	}
	return nil
}

func (d *Driver) explainGrant(err error, u user, e nhi.Entitlement, done []nhi.Entitlement) error {
	if d.isNotFound(err) {
		err = driver.Errorf(driver.Conflict, "user %q or role collection %q was deleted meanwhile: %w", u.UserName, e.Target, err)
	}
	if len(done) > 0 {
		return fmt.Errorf("%s was granted, and then: %w", nhi.JoinTexts(done), err)
	}
	return err
}

// Revoke takes role collections away. What a group mapping gives again cannot be taken away here.
func (d *Driver) Revoke(ctx context.Context, ref nhi.Ref, entitlements []nhi.Entitlement) error {
	u, err := d.find(ctx, ref)
	if err != nil {
		return d.gone(err)
	}
	for _, e := range entitlements {
		path := groupPath(e) + "/members/" + url.PathEscape(u.ID)
		if err := d.gone(call(ctx, d.users, rest.Request{Method: http.MethodDelete, Path: path}, nil)); err != nil {
			return err
		}
	}
	return nil
}

func groupPath(e nhi.Entitlement) string { return groupsPath + "/" + pathSegment(e.Target) }

// pathSegment escapes a name that may be "." or "..", which clients and proxies take for steps in a path.
func pathSegment(name string) string {
	if strings.Trim(name, ".") == "" {
		return strings.ReplaceAll(name, ".", "%2E")
	}
	return url.PathEscape(name)
}
