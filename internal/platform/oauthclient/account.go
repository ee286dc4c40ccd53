package oauthclient

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
	"github.com/nhi-labs/terraform-provider-nhi/internal/platform/internal/rest"
)

// ReadAccount returns the account whole. The ownership mark stands in client_name.
func (d *Driver) ReadAccount(ctx context.Context, ref nhi.Ref) (nhi.Account, error) {
	e, c, err := d.read(ctx, ref)
	if err != nil {
		return nhi.Account{}, err
	}
	return d.account(e, c)
}

// read reads a client without claiming it. Another run may replace the token meanwhile, so a refusal counts only if no
// other token comes.
func (d *Driver) read(ctx context.Context, ref nhi.Ref) (entry, client, error) {
	unlock, err := d.locks.Lock(ctx, ref.Name)
	if err != nil {
		return entry{}, nil, err
	}
	defer unlock()
	for end := time.Now().Add(claimWait); ; {
		e, err := d.lookup(ctx, ref)
		if err != nil {
			return entry{}, nil, err
		}
		if err := d.mayWrite(ctx, e); err != nil {
			return entry{}, nil, err
		}
		c, err := d.get(ctx, &e)
		if err == nil {
			return e, c, d.keepToken(ctx, e)
		}
		if !isRefused(err) || time.Now().After(end) {
			return entry{}, nil, d.refused(e, err)
		}
		if _, replaced, lookupErr := d.successor(ctx, e, time.Time{}); lookupErr != nil || !replaced {
			return entry{}, nil, cmp.Or(lookupErr, d.refused(e, err))
		}
	}
}

func (d *Driver) account(e entry, c client) (nhi.Account, error) {
	credentials, err := credentialsOf(e, c)
	return nhi.Account{
		Ref: e.ref(), Mark: nhi.FindMark(c.text(memberName)), Status: nhi.Active,
		Entitlements: d.entitlements(c), Credentials: credentials, Settings: map[string]string{},
	}, err
}

// CreateAccount registers a client that has no credential yet: it logs in with keys, and its set of keys is empty.
func (d *Driver) CreateAccount(ctx context.Context, spec driver.AccountSpec) (nhi.Ref, error) {
	if len(spec.Settings) > 0 {
		return nhi.Ref{}, errNoSettings()
	}
	s, err := d.discover(ctx)
	if err != nil {
		return nhi.Ref{}, err
	}
	if err := d.free(ctx, spec.Name); err != nil {
		return nhi.Ref{}, err
	}
	path, err := d.pathOf(s.Registration)
	if err != nil {
		return nhi.Ref{}, err
	}
	response, err := d.registrar.Do(ctx, rest.Request{Method: http.MethodPost, Path: path, Body: d.newClient(spec)})
	if err != nil {
		return nhi.Ref{}, err
	}
	e := entry{name: spec.Name}
	c, err := d.decode(response, &e)
	if err != nil {
		return nhi.Ref{}, fmt.Errorf("client %q was registered, but %w", spec.Name, err)
	}
	e.clientID = c.text(memberID)
	if err := d.enrol(ctx, e, c, spec); err != nil {
		return nhi.Ref{}, d.undo(ctx, e, err)
	}
	return e.ref(), nil
}

func errNoSettings() error {
	return driver.Errorf(driver.Invalid, "an OAuth client has no settings here")
}

// free makes sure that the name is not taken, and finishes a deletion that was interrupted.
func (d *Driver) free(ctx context.Context, name string) error {
	e, err := d.lookup(ctx, nhi.Ref{Name: name})
	if driver.CodeOf(err) == driver.NotFound {
		return nil
	}
	if err != nil {
		return err
	}
	if e.removing {
		return d.DeleteAccount(ctx, e.ref())
	}
	return driver.Errorf(driver.AlreadyExists, "the registry has a client %q already: %s", name, e.clientID)
}

func (d *Driver) newClient(spec driver.AccountSpec) client {
	c := client{}
	c.set(memberName, nhi.WithMark(spec.Name, spec.Mark))
	c.set(memberGrants, []string{"client_credentials"})
	c.set("response_types", []string{})
	c.set("redirect_uris", []string{})
	withoutCredentials(c)
	d.setEntitlements(c, nil)
	return c
}

// enrol checks that the server kept what matters, and enters the client in the registry.
func (d *Driver) enrol(ctx context.Context, e entry, c client, spec driver.AccountSpec) error {
	switch {
	case e.uri == "" || e.token.IsZero():
		return driver.Errorf(driver.Unsupported, "the server gave no registration access token with the new client: "+
			"switch the management of registrations (RFC 7592) on there; client %s is left behind", e.clientID)
	case nhi.FindMark(c.text(memberName)) != spec.Mark:
		return driver.Errorf(driver.Unsupported, "the server did not keep client_name, where the ownership mark has its place")
	case c.text(memberAuth) != PrivateKeyJWT:
		return driver.Errorf(driver.Unsupported, "the server did not accept %s as %s", PrivateKeyJWT, memberAuth)
	}
	err := d.save(ctx, &e)
	if driver.CodeOf(err) == driver.Conflict {
		return driver.Errorf(driver.AlreadyExists, "another run registered a client %q at the same time: %w", e.name, err)
	}
	return err
}

// undo deletes a client that could not be enrolled. An entry that was written although the store reported an error goes,
// too; one of another client stays.
func (d *Driver) undo(ctx context.Context, e entry, cause error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), claimWait)
	defer cancel()
	if e.uri == "" || e.token.IsZero() {
		return cause
	}
	if _, err := d.manage(ctx, http.MethodDelete, e, nil); err != nil {
		return driver.AfterChange(d.Classify, errors.Join(cause, fmt.Errorf("deleting client %s again failed: %w", e.clientID, err)))
	}
	if _, err := d.lookup(ctx, e.ref()); err == nil {
		if err := d.forget(ctx, e.name); err != nil {
			return driver.AfterChange(d.Classify, errors.Join(cause, err))
		}
	}
	return cause
}

// change lets edit change the registration, sends it if that changed something, and returns what the server made of it.
func (d *Driver) change(ctx context.Context, ref nhi.Ref, edit func(e *entry, c client) (changed bool, err error)) (after client, err error) {
	held, err := d.claim(ctx, ref)
	if err != nil {
		return nil, err
	}
	// Whatever happens: the token that is valid then must not be lost.
	defer func() { err = held.end(ctx, err) }()
	c, err := held.get(ctx)
	if err != nil {
		return nil, err
	}
	held.removing = false // A deletion that was begun did not happen.
	changed, err := edit(&held.entry, c)
	if err != nil || !changed {
		return c, err
	}
	return d.put(ctx, &held.entry, c)
}

// UpdateAccount changes the mark; a client has no settings and no expiry here.
func (d *Driver) UpdateAccount(ctx context.Context, ref nhi.Ref, change driver.AccountChange) error {
	if len(change.Settings) > 0 {
		return errNoSettings()
	}
	after, err := d.change(ctx, ref, func(_ *entry, c client) (bool, error) {
		if change.Mark == nil {
			return false, nil
		}
		text := nhi.WithMark(c.text(memberName), *change.Mark)
		changed := text != c.text(memberName)
		c.set(memberName, text)
		return changed, nil
	})
	if err == nil && change.Mark != nil && nhi.FindMark(after.text(memberName)) != *change.Mark {
		return driver.Errorf(driver.Unsupported, "the server did not keep client_name, where the ownership mark has its place")
	}
	return err
}

// DeleteAccount deletes the client, and then its entry. The entry says beforehand that it is about to happen, so that a
// run that was killed in between is understood by the next one.
func (d *Driver) DeleteAccount(ctx context.Context, ref nhi.Ref) error {
	held, err := d.claim(ctx, ref)
	if err != nil {
		return gone(err)
	}
	if err := held.delete(ctx); err != nil {
		return held.end(ctx, err)
	}
	return held.drop(ctx)
}

// gone makes success of absence.
func gone(err error) error {
	if driver.CodeOf(err) == driver.NotFound {
		return nil
	}
	return err
}

// Grant adds scopes. A scope that the server does not know is refused, with the whole set.
func (d *Driver) Grant(ctx context.Context, ref nhi.Ref, entitlements []nhi.Entitlement) error {
	for _, e := range entitlements {
		if e.Type != typeScope || checkScope(e.Target) != nil || e.Target == d.config.Placeholder {
			return driver.Errorf(driver.Invalid, "%s cannot be granted: it is no scope, or the one that stands for none", e)
		}
	}
	var before []nhi.Entitlement
	after, err := d.change(ctx, ref, func(e *entry, c client) (bool, error) {
		before = d.entitlements(c)
		if _, listed := c.scopes(); !listed && len(entitlements) > 0 {
			return false, driver.Errorf(driver.Invalid, "the registration of client %q names no scopes, so it may ask for whatever the "+
				"server allows by default, and naming some would take the others away: name its scopes at the server first", e.name)
		}
		d.setEntitlements(c, nhi.Union(before, entitlements))
		return len(nhi.Without(entitlements, before)) > 0, nil
	})
	if err != nil {
		return err
	}
	if lost := nhi.Without(entitlements, d.entitlements(after)); len(lost) > 0 {
		added := nhi.Without(entitlements, before)
		return errors.Join(driver.Errorf(driver.Invalid, "the server does not know %s", nhi.JoinTexts(lost)), d.Revoke(ctx, ref, added))
	}
	return nil
}

// Revoke takes scopes away. Taking the server's default away leaves the placeholder.
func (d *Driver) Revoke(ctx context.Context, ref nhi.Ref, entitlements []nhi.Entitlement) error {
	after, err := d.change(ctx, ref, func(_ *entry, c client) (bool, error) {
		before := d.entitlements(c)
		left := nhi.Without(before, entitlements)
		d.setEntitlements(c, left)
		return len(left) < len(before), nil
	})
	if err != nil {
		return gone(err)
	}
	if kept := nhi.Intersect(d.entitlements(after), entitlements); len(kept) > 0 {
		return driver.Errorf(driver.Unsupported, "the server accepted the change and still lists %s", nhi.JoinTexts(kept))
	}
	return nil
}
