package vault

import (
	"context"
	"strings"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
)

// markKey is the key of the ownership mark in the metadata of the entity.
const markKey = "nhi_mark"

// found is an account as far as it exists: hasRole, entity, or both.
type found struct {
	ref     nhi.Ref
	hasRole bool
	entity  *entity
}

// mark returns the ownership mark, zero without an entity.
func (f found) mark() nhi.Mark {
	if f.entity == nil {
		return nhi.Mark{}
	}
	return nhi.FindMark(f.entity.Metadata[markKey])
}

// find looks an account up: by ref.ID where that is set, else by name.
func (d *vaultDriver) find(ctx context.Context, ref nhi.Ref) (found, error) {
	if err := checkAccountName(ref.Name); err != nil {
		return found{}, driver.Errorf(driver.Invalid, "account name %q: %w", ref.Name, err)
	}
	mount, err := d.approleMount(ctx)
	if err != nil {
		return found{}, err
	}
	roleID, err := d.roleID(ctx, ref.Name)
	if err != nil {
		return found{}, err
	}
	if ref.ID != "" {
		return d.findByID(ctx, ref, mount, roleID == ref.ID)
	}
	return d.findByName(ctx, ref.Name, mount, roleID)
}

// findByID finds the account whose role id is ref.ID, or whose entity is where the role is missing. linked says that
// the role called ref.Name has this id; a role of that name with another id is somebody else's.
func (d *vaultDriver) findByID(ctx context.Context, ref nhi.Ref, mount mountInfo, linked bool) (found, error) {
	e, err := d.lookupEntity(ctx, lookupRequest{AliasName: ref.ID, AliasMountAccessor: mount.Accessor})
	if err == nil && e == nil {
		e, err = d.lookupEntity(ctx, lookupRequest{ID: ref.ID})
	}
	if err != nil {
		return found{}, err
	}
	if e == nil && linked {
		e, err = d.looseEntity(ctx, ref.Name)
	}
	switch {
	case err != nil:
		return found{}, err
	case e == nil && !linked:
		return found{}, driver.Errorf(driver.NotFound, "Vault has no AppRole or entity %q with the id %s", ref.Name, ref.ID)
	case !linked:
		ref.Name = e.Name
	}
	return found{ref: ref, hasRole: linked, entity: e}, nil
}

// findByName finds the account whose role has the name, or whose entity has it where there is no role.
func (d *vaultDriver) findByName(ctx context.Context, name string, mount mountInfo, roleID string) (found, error) {
	if roleID == "" {
		e, err := d.lookupEntity(ctx, lookupRequest{Name: name})
		if err != nil {
			return found{}, err
		}
		if e == nil {
			return found{}, driver.Errorf(driver.NotFound, "Vault has no AppRole and no entity with the name %q", name)
		}
		return found{ref: nhi.Ref{Name: name, ID: e.loginID(mount)}, entity: e}, nil
	}
	e, err := d.lookupEntity(ctx, lookupRequest{AliasName: roleID, AliasMountAccessor: mount.Accessor})
	if err == nil && e == nil {
		e, err = d.looseEntity(ctx, name)
	}
	if err != nil {
		return found{}, err
	}
	return found{ref: nhi.Ref{Name: name, ID: roleID}, hasRole: true, entity: e}, nil
}

// looseEntity returns the entity called name if it has no alias at all, so that it is meant for a role of this name or
// for none. An entity with an alias is another role's, or that of a person who logs in elsewhere under the same name.
func (d *vaultDriver) looseEntity(ctx context.Context, name string) (*entity, error) {
	e, err := d.lookupEntity(ctx, lookupRequest{Name: name})
	if err != nil || e == nil || len(e.Aliases) > 0 {
		return nil, err
	}
	return e, nil
}

// aliasOn returns the name of the entity's alias on a mount, "" if it has none.
func (e entity) aliasOn(mount mountInfo) string {
	for _, a := range e.Aliases {
		if a.MountAccessor == mount.Accessor {
			return a.Name
		}
	}
	return ""
}

// loginID is the role id that logs in as this entity, or would if there were such a role.
func (e entity) loginID(mount mountInfo) string {
	if alias := e.aliasOn(mount); alias != "" {
		return alias
	}
	return e.ID
}

// lookupEntity returns nil if Vault says that there is no such entity.
func (d *vaultDriver) lookupEntity(ctx context.Context, by lookupRequest) (*entity, error) {
	e, ok, err := postMaybe[entity](ctx, d.conn, "identity/lookup/entity", by)
	if err != nil || !ok {
		return nil, err
	}
	if e.ID == "" || e.Name == "" || e.Disabled == nil {
		return nil, driver.Errorf(driver.Unknown, "the answer to an entity lookup lacks the id, the name or the status")
	}
	return &e, nil
}

// lookupGroup returns nil if Vault says that there is no such group. Vault finds group names in any case; only the
// group's own spelling is accepted.
func (d *vaultDriver) lookupGroup(ctx context.Context, by lookupRequest) (*group, error) {
	g, ok, err := postMaybe[group](ctx, d.conn, "identity/lookup/group", by)
	if err != nil || !ok {
		return nil, err
	}
	if g.ID == "" || g.Name == "" || g.Type == "" {
		return nil, driver.Errorf(driver.Unknown, "the answer to a group lookup lacks the id, the name or the type")
	}
	if by.Name != "" && g.Name != by.Name && strings.EqualFold(g.Name, by.Name) {
		return nil, driver.Errorf(driver.Invalid, "the group is called %q in Vault; write \"group:%s\"", g.Name, g.Name)
	}
	return &g, nil
}

// roleID returns the role id of an AppRole, "" if Vault says that there is no such role.
func (d *vaultDriver) roleID(ctx context.Context, name string) (string, error) {
	out, err := fetch[roleIDReply](ctx, d.conn, d.rolePath(name)+"/role-id")
	switch {
	case isAbsence(err):
		return "", nil
	case err == nil && out.RoleID == "":
		err = driver.Errorf(driver.Unknown, "Vault answers without the role id of %q", name)
	}
	return out.RoleID, err
}

// readRole returns the settings of a role that exists.
func (d *vaultDriver) readRole(ctx context.Context, name string) (role, error) {
	r, err := fetch[role](ctx, d.conn, d.rolePath(name))
	if err == nil && r.BindSecretID == nil {
		err = driver.Errorf(driver.Unknown, "the answer to reading AppRole %q is incomplete", name)
	}
	return r, err
}

func (d *vaultDriver) rolePath(name string) string { return d.approle + "/role/" + name }

// approleMount returns the AppRole mount of the accounts, asked once.
func (d *vaultDriver) approleMount(ctx context.Context) (mountInfo, error) {
	return d.mount.get(func() (mountInfo, error) {
		m, err := fetch[mountInfo](ctx, d.conn, "sys/internal/ui/mounts/"+d.approle)
		switch {
		case err != nil:
			return m, err
		case m.Accessor == "" || m.Type == "":
			return m, driver.Errorf(driver.Unknown, "the answer about the mount %s lacks its accessor or type", d.approle)
		case m.Type != "approle":
			return m, driver.Errorf(driver.Invalid, "%s is an auth method of type %q; name one of type approle", d.approle, m.Type)
		}
		return m, nil
	})
}
