package postgresql

import (
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
)

// Revoke implements driver.Driver: one transaction, all or nothing, from the account and its credential roles, by
// whomever it was granted. PostgreSQL answers a REVOKE that changes nothing with a warning at most, so the result is
// read back before the transaction ends. What the account has passed on to others is not taken from them: that fails.
//
// Objects that the account owns go to the heir, in the same transaction; those of other databases afterwards, in one
// transaction for each. What cannot be revoked at all (row-level security policies, extensions, user mappings) does not
// stop the rest: it is named in an Unsupported error after everything else is done.
func (c *client) Revoke(ctx context.Context, ref nhi.Ref, entitlements []nhi.Entitlement) error {
	w, err := sortOut(entitlements)
	if err != nil {
		return err
	}
	var a account
	var observed []nhi.Entitlement
	err = c.write(ctx, func(tx pgx.Tx) error {
		var err error
		if a, err = c.find(ctx, tx, ref); err != nil {
			return err
		}
		if observed, err = stillObserved(ctx, tx, a, w.observed); err != nil {
			return err
		}
		// First: the rights that the account has granted on its objects become the heir's grants with it.
		if err := c.handOverHere(ctx, tx, a, observed); err != nil {
			return err
		}
		if err := c.revokeRights(ctx, tx, a, w.rights); err != nil {
			return err
		}
		if err := c.revokeMemberships(ctx, tx, a, w.members); err != nil {
			return err
		}
		return run(ctx, tx, attributeStatements(a, w.attributes, false)...)
	})
	if driver.CodeOf(err) == driver.NotFound {
		return nil
	}
	if err != nil {
		return err
	}
	if err := c.handOverElsewhere(ctx, a, observed); err != nil {
		return err
	}
	return refuseRest(observed)
}

func (c *client) revokeRights(ctx context.Context, tx pgx.Tx, a account, rights []right) error {
	if len(rights) == 0 {
		return nil
	}
	objects, err := c.objects(ctx, tx, rights, a.roles())
	if err != nil {
		return err
	}
	for _, s := range revocations(a, objects, rights) {
		if err := s.revoke(ctx, tx); err != nil {
			return err
		}
	}
	if objects, err = c.objects(ctx, tx, rights, a.roles()); err != nil {
		return err
	}
	for _, r := range rights {
		o := objects[objectID{r.class, r.key}]
		if o == nil {
			continue
		}
		for _, h := range o.held {
			if h.privilege == r.privilege && (h.option || !r.option) {
				return driver.Errorf(driver.PermissionDenied, "%q was granted by role %q and is still there after REVOKE: "+
					"our admin role may not take it away; make it a member of that role", r.entitlement(), h.grantor)
			}
		}
	}
	return nil
}

// revocations lists the statements that take rights away: one for each object, holder and grantor.
func revocations(a account, objects map[objectID]*object, rights []right) statements {
	var due statements
	for _, r := range rights {
		o := objects[objectID{r.class, r.key}]
		if o == nil || r.option && slices.Contains(rights, r.base()) {
			continue
		}
		for _, h := range o.held {
			if h.privilege != r.privilege || r.option && !h.option {
				continue
			}
			i := slices.IndexFunc(a.roles(), func(x role) bool { return x.oid == h.grantee })
			s := statement{class: r.class, object: o.sql, grantee: a.roles()[i], option: r.option}
			if !h.ours {
				s.grantor = h.grantor
			}
			due.add(s, o.privilege(r.privilege))
		}
	}
	return due
}

// revoke takes the privileges away, acting as the role that granted them.
func (s statement) revoke(ctx context.Context, tx pgx.Tx) error {
	if s.grantor != "" {
		if err := run(ctx, tx, "set local role "+ident(s.grantor)); err != nil {
			return fmt.Errorf("rights on %s were granted by role %q, and our admin role may not act as it: %w",
				s.object, s.grantor, err)
		}
	}
	restore, err := s.columnRights(ctx, tx)
	if err != nil {
		return err
	}
	err = run(ctx, tx, s.class.revokeStatement(s.object, s.privileges(), ident(s.grantee.name), s.option))
	if err != nil {
		if sqlState(err) == codeDependentPrivileges {
			return fmt.Errorf("role %q has passed rights on %s on to others; revoke those first: %w",
				s.grantee.name, s.object, err)
		}
		return err
	}
	if err := run(ctx, tx, restore...); err != nil {
		return err
	}
	if s.grantor != "" {
		return run(ctx, tx, "reset role")
	}
	return nil
}

// columnRights returns the statements that put back the rights on single columns that a REVOKE on the whole table takes
// away as well. They are entitlements of their own.
func (s statement) columnRights(ctx context.Context, tx pgx.Tx) ([]string, error) {
	if s.class != tableClass {
		return nil, nil
	}
	rows, err := tx.Query(ctx, `select x.privilege_type || ' (' || quote_ident(a.attname) || ')', x.is_grantable
		from pg_attribute a join pg_class c on c.oid = a.attrelid, aclexplode(a.attacl) x
		where a.attrelid = to_regclass($1::text) and a.attacl is not null and x.grantee = $2::oid
			and x.grantee <> c.relowner and x.privilege_type = any($3::text[])
			and x.grantor = case when $4::text = '' then x.grantor else (select oid from pg_roles where rolname = $4::text) end`,
		s.object, s.grantee.oid, s.names, s.grantor)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (string, error) {
		var privilege string
		var option bool
		err := row.Scan(&privilege, &option)
		return s.class.grantStatement(s.object, privilege, ident(s.grantee.name), option), err
	})
}

func (c *client) revokeMemberships(ctx context.Context, tx pgx.Tx, a account, members []membership) error {
	if len(members) == 0 {
		return nil
	}
	f, err := c.facts(ctx, tx)
	if err != nil {
		return err
	}
	for _, r := range a.roles() {
		for _, row := range r.members {
			what := ""
			switch {
			case row.OID == a.oid: // A credential role stays a member of its account.
				continue
			case slices.Contains(members, membership{role: row.Role}):
			case slices.ContainsFunc(members, func(m membership) bool { return m.in(row) }):
				what = "admin option for "
			default:
				continue
			}
			revoke := "revoke " + what + ident(row.Role) + " from " + ident(r.name)
			if f.version >= 160000 { // Earlier versions keep one membership, whoever granted it.
				revoke += " granted by " + ident(row.Grantor)
			}
			if err := run(ctx, tx, revoke); err != nil {
				return err
			}
		}
	}
	return c.checkMembershipsGone(ctx, tx, a.ref(), members)
}

func (c *client) checkMembershipsGone(ctx context.Context, tx pgx.Tx, ref nhi.Ref, members []membership) error {
	a, err := c.find(ctx, tx, ref)
	if err != nil {
		return err
	}
	for _, r := range a.roles() {
		for _, row := range r.members {
			i := slices.IndexFunc(members, func(m membership) bool { return m.in(row) })
			if i >= 0 && row.OID != a.oid {
				return driver.Errorf(driver.PermissionDenied, "%q was granted by role %q and is still there after REVOKE",
					members[i].entitlement(), row.Grantor)
			}
		}
	}
	return nil
}
