package vault

import (
	"context"
	"errors"
	"maps"
	"strings"
	"time"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
)

// undoTimeout bounds how long a creation that failed takes back what it made, also if the caller's time is up.
const (
	undoTimeout = 5 * time.Second
	// undoRepeats is how often that is repeated where Vault limits the rate of requests, and undoPause the shortest time between.
	undoRepeats = 3
	undoPause   = 250 * time.Millisecond
)

// ReadAccount returns the account whole. An account without its AppRole (half made, or the role was deleted by hand)
// cannot log in: it is suspended, and Resume makes the role.
func (d *vaultDriver) ReadAccount(ctx context.Context, ref nhi.Ref) (nhi.Account, error) {
	f, err := d.find(ctx, ref)
	if err != nil {
		return nhi.Account{}, err
	}
	account := nhi.Account{Ref: f.ref, Mark: f.mark(), Status: nhi.Active, Settings: settingsOf(role{})}
	if f.entity != nil {
		if account.Entitlements, err = d.entityEntitlements(ctx, *f.entity); err != nil {
			return nhi.Account{}, err
		}
		if *f.entity.Disabled {
			account.Status = nhi.Suspended
		}
	}
	if !f.hasRole {
		account.Status = nhi.Suspended
		return account, nil
	}
	r, err := d.readRole(ctx, f.ref.Name)
	if err != nil {
		return nhi.Account{}, err
	}
	account.Settings = settingsOf(r)
	account.Entitlements = nhi.Union(account.Entitlements, policies(r.TokenPolicies))
	account.Credentials, err = d.credentials(ctx, f.ref.Name, r)
	return account, err
}

// ListAccounts lists the AppRoles, in one answer: Vault has no pages here. An entity that lost its AppRole is not told from
// a person's and is left out; reading it by its name finds it.
func (d *vaultDriver) ListAccounts(ctx context.Context, page func([]nhi.Ref) error) error {
	roles, err := d.conn.list(ctx, d.approle+"/role")
	if err != nil {
		return err
	}
	refs := make([]nhi.Ref, len(roles.Keys))
	for i, name := range roles.Keys {
		refs[i] = nhi.Ref{Name: name}
	}
	return page(refs)
}

// CreateAccount makes an entity with its mark, then the alias, then the role: until the last step nobody can log in, and
// a run that is killed before it leaves an entity that its mark tells. The entity gets its name by renaming, the one
// change of Vault's identity store that fails if the name is taken; writing under a name would change what is there. An
// AppRole has no such change: one that somebody else makes between the look and the last step is overwritten.
func (d *vaultDriver) CreateAccount(ctx context.Context, spec driver.AccountSpec) (ref nhi.Ref, err error) {
	settings, err := roleSettings(spec.Settings)
	if err != nil {
		return ref, err
	}
	unlock, err := d.lock(ctx, "name:"+spec.Name)
	if err != nil {
		return ref, err
	}
	defer unlock()
	switch _, err := d.find(ctx, nhi.Ref{Name: spec.Name}); {
	case err == nil:
		return ref, driver.Errorf(driver.AlreadyExists, "Vault has an AppRole or an entity %q already", spec.Name)
	case classify(err).Code != driver.NotFound:
		return ref, err
	}
	id, err := d.claim(ctx, spec)
	if err != nil {
		return ref, err
	}
	ref = nhi.Ref{Name: spec.Name, ID: id}
	err = d.conn.write(ctx, "identity/entity/id/"+id, entityRequest{Name: spec.Name})
	if err == nil {
		err = d.tie(ctx, id, id)
	}
	if err == nil {
		settings.RoleID = id
		err = d.conn.write(ctx, d.rolePath(spec.Name), settings)
	}
	if err != nil {
		if d.undo(ctx, ref) != nil {
			err = driver.AfterChange(classify, err)
		}
		return nhi.Ref{}, err
	}
	return ref, nil
}

// claim makes the entity of an account under a passing name that only this identity uses, and returns its id. An entity
// that a killed run left under that name is taken up again.
func (d *vaultDriver) claim(ctx context.Context, spec driver.AccountSpec) (string, error) {
	name := "making " + spec.Name + " for " + spec.Mark.String()
	e, made, err := postMaybe[entity](ctx, d.conn, "identity/entity", entityRequest{
		Name: name, Metadata: markMetadata(nil, spec.Mark), Disabled: &spec.Suspended,
	})
	if err != nil {
		d.undoClaim(ctx, name)
		return "", err
	}
	if !made {
		left, err := d.lookupEntity(ctx, lookupRequest{Name: name})
		if err != nil {
			return "", err
		}
		if left == nil {
			return "", driver.Errorf(driver.Conflict, "the entity %q vanished while it was made", name)
		}
		e = *left
	}
	if e.ID == "" {
		return "", driver.Errorf(driver.Unknown, "Vault made an entity and did not tell its id; look for %q", name)
	}
	return e.ID, nil
}

// tie makes logins with roleID be the entity.
func (d *vaultDriver) tie(ctx context.Context, entityID, roleID string) error {
	mount, err := d.approleMount(ctx)
	if err != nil {
		return err
	}
	alias := aliasRequest{Name: roleID, CanonicalID: entityID, MountAccessor: mount.Accessor}
	return d.conn.write(ctx, "identity/entity-alias", alias)
}

// undo takes back what a failed creation may have made. It works on although the caller's context may have ended, and
// leaves what it cannot remove to the mark.
func (d *vaultDriver) undo(ctx context.Context, ref nhi.Ref) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoTimeout)
	defer cancel()
	return insist(ctx, func() error {
		id, err := d.roleID(ctx, ref.Name)
		if err == nil && id == ref.ID {
			err = d.conn.remove(ctx, d.rolePath(ref.Name))
		}
		return errors.Join(err, d.conn.remove(ctx, "identity/entity/id/"+ref.ID))
	})
}

// insist repeats what takes something back while Vault limits the rate of requests: what has made one of them fail is still there
// for the next. Where it succeeds, the whole can be tried again.
func insist(ctx context.Context, do func() error) error {
	for i := 0; ; i++ {
		err := do()
		if err == nil || i == undoRepeats {
			return err
		}
		verdict := classify(err)
		if verdict.Code != driver.RateLimited {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(max(verdict.RetryAfter, undoPause)):
		}
	}
}

// undoClaim removes the entity that a claim without an answer may have made.
func (d *vaultDriver) undoClaim(ctx context.Context, name string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoTimeout)
	defer cancel()
	if e, err := d.lookupEntity(ctx, lookupRequest{Name: name}); err == nil && e != nil {
		_ = d.conn.remove(ctx, "identity/entity/id/"+e.ID)
	}
}

// markMetadata returns metadata with the mark m, or without a mark if m is zero.
func markMetadata(metadata map[string]string, m nhi.Mark) *map[string]string {
	out := maps.Clone(metadata)
	if out == nil {
		out = map[string]string{}
	}
	delete(out, markKey)
	if !m.IsZero() {
		out[markKey] = m.String()
	}
	return &out
}

// UpdateAccount changes mark and settings. Where the entity or the role of the account is missing, a new mark makes it:
// so an AppRole that somebody else made, or a half-made account, is adopted with what it has.
func (d *vaultDriver) UpdateAccount(ctx context.Context, ref nhi.Ref, change driver.AccountChange) error {
	settings, err := roleSettings(change.Settings)
	if err != nil {
		return err
	}
	f, err := d.find(ctx, ref)
	if err != nil {
		return err
	}
	// There is nothing to take a mark from where there is no entity.
	if change.Mark != nil && !(change.Mark.IsZero() && f.entity == nil) {
		if f, err = d.complete(ctx, f, *change.Mark, true); err != nil {
			return err
		}
		if err := d.setMark(ctx, f.entity.ID, *change.Mark); err != nil {
			return err
		}
	}
	if len(change.Settings) == 0 {
		return nil
	}
	if !f.hasRole {
		return driver.Errorf(driver.Conflict, "the AppRole of account %q is missing; resume the account first", f.ref.Name)
	}
	return d.conn.write(ctx, d.rolePath(f.ref.Name), settings)
}

func (d *vaultDriver) setMark(ctx context.Context, id string, m nhi.Mark) error {
	return d.changeEntity(ctx, id, func(e entity) (entityRequest, bool) {
		return entityRequest{Metadata: markMetadata(e.Metadata, m)}, nhi.FindMark(e.Metadata[markKey]) != m
	})
}

// complete makes what is missing of an account: the entity (which gets the mark m as it is made), its alias and, if
// withRole, the role.
func (d *vaultDriver) complete(ctx context.Context, f found, m nhi.Mark, withRole bool) (found, error) {
	mount, err := d.approleMount(ctx)
	if err != nil || f.isWhole(mount, withRole) {
		return f, err
	}
	unlock, err := d.lock(ctx, "name:"+f.ref.Name)
	if err != nil {
		return f, err
	}
	defer unlock()
	if f, err = d.find(ctx, f.ref); err != nil {
		return f, err
	}
	if f.entity == nil {
		if f.entity, err = d.newEntity(ctx, f.ref.Name, m); err != nil {
			return f, err
		}
	}
	if f.entity.aliasOn(mount) == "" {
		if err := d.tie(ctx, f.entity.ID, f.ref.ID); err != nil {
			return f, err
		}
	}
	if f.hasRole || !withRole {
		return f, nil
	}
	return d.makeRole(ctx, f)
}

// isWhole reports whether nothing is missing of the account.
func (f found) isWhole(mount mountInfo, withRole bool) bool {
	return f.entity != nil && f.entity.aliasOn(mount) != "" && (f.hasRole || !withRole)
}

// makeRole makes the role of an account whose role is gone, with the role id that it had.
func (d *vaultDriver) makeRole(ctx context.Context, f found) (found, error) {
	id, err := d.roleID(ctx, f.ref.Name)
	if err != nil {
		return f, err
	}
	if id != "" {
		return f, driver.Errorf(driver.AlreadyExists, "somebody made an AppRole %q that is not the account's", f.ref.Name)
	}
	if err := d.conn.write(ctx, d.rolePath(f.ref.Name), roleRequest{RoleID: f.ref.ID}); err != nil {
		return f, err
	}
	f.hasRole = true
	return f, nil
}

// newEntity makes the entity behind an AppRole that has none, under a passing name as in CreateAccount, so that a run
// which is killed leaves nothing that the next one does not take up. If an entity that belongs to another role has the
// name, the new one gets one such as Vault makes up.
func (d *vaultDriver) newEntity(ctx context.Context, name string, m nhi.Mark) (*entity, error) {
	id, err := d.claim(ctx, driver.AccountSpec{Name: name, Mark: m})
	if err != nil {
		return nil, err
	}
	err = d.conn.write(ctx, "identity/entity/id/"+id, entityRequest{Name: name})
	if err != nil && classify(err).Code == driver.AlreadyExists {
		err = d.conn.write(ctx, "identity/entity/id/"+id, entityRequest{Name: "entity_" + id})
	}
	if err != nil {
		return nil, err
	}
	return &entity{ID: id}, nil
}

// DeleteAccount deletes the role with its secret ids, then the entity with its aliases and memberships. Tokens that
// live on are refused by Vault from then on, because their entity is gone.
func (d *vaultDriver) DeleteAccount(ctx context.Context, ref nhi.Ref) error {
	f, err := d.find(ctx, ref)
	switch {
	case err != nil && classify(err).Code == driver.NotFound:
		return nil
	case err != nil:
		return err
	}
	if f.hasRole {
		if err := d.conn.remove(ctx, d.rolePath(f.ref.Name)); err != nil {
			return err
		}
	}
	if f.entity == nil {
		return nil
	}
	return d.conn.remove(ctx, "identity/entity/id/"+f.entity.ID)
}

// Suspend disables the entity: Vault refuses its logins, and every request of the tokens that it has. The account keeps
// its entitlements, secret ids and tokens.
func (d *vaultDriver) Suspend(ctx context.Context, ref nhi.Ref) error {
	f, err := d.find(ctx, ref)
	if err != nil {
		return err
	}
	if f, err = d.complete(ctx, f, f.mark(), false); err != nil {
		return err
	}
	return d.setDisabled(ctx, f.entity.ID, true)
}

// Resume enables the entity, and makes the role where it is missing.
func (d *vaultDriver) Resume(ctx context.Context, ref nhi.Ref) error {
	f, err := d.find(ctx, ref)
	if err != nil {
		return err
	}
	if !f.hasRole {
		if f, err = d.complete(ctx, f, f.mark(), true); err != nil {
			return err
		}
	}
	if f.entity == nil {
		return nil
	}
	return d.setDisabled(ctx, f.entity.ID, false)
}

func (d *vaultDriver) setDisabled(ctx context.Context, id string, disabled bool) error {
	return d.changeEntity(ctx, id, func(e entity) (entityRequest, bool) {
		return entityRequest{Disabled: &disabled}, *e.Disabled != disabled
	})
}

// changeEntity reads an entity, asks change what to write (false: nothing), writes it and reads it back. A change that
// is not there afterwards lost against another writer: Conflict.
func (d *vaultDriver) changeEntity(ctx context.Context, id string, change func(entity) (entityRequest, bool)) error {
	unlock, err := d.lock(ctx, "entity:"+id)
	if err != nil {
		return err
	}
	defer unlock()
	before, err := d.entityByID(ctx, id)
	if err != nil {
		return err
	}
	request, needed := change(before)
	if !needed {
		return nil
	}
	if err := d.conn.write(ctx, "identity/entity/id/"+id, request); err != nil {
		return err
	}
	after, err := d.entityByID(ctx, id)
	if err != nil {
		return err
	}
	if _, again := change(after); again {
		return driver.Errorf(driver.Conflict, "somebody changed entity %s at the same time", id)
	}
	return nil
}

// entityByID returns an entity that was there a moment ago.
func (d *vaultDriver) entityByID(ctx context.Context, id string) (entity, error) {
	e, err := d.lookupEntity(ctx, lookupRequest{ID: id})
	if err != nil {
		return entity{}, err
	}
	if e == nil {
		return entity{}, driver.Errorf(driver.NotFound, "entity %s was deleted", id)
	}
	return *e, nil
}

// policies returns the entitlements for names of policies, in canonical spelling.
func policies(names []string) []nhi.Entitlement {
	var out []nhi.Entitlement
	for _, name := range names {
		if name = strings.ToLower(name); name != defaultPolicy && name != "" {
			out = append(out, nhi.Entitlement{Type: typePolicy, Target: name})
		}
	}
	return nhi.SortEntitlements(out)
}
