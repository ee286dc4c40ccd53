package postgresql

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
)

// Grant implements driver.Driver: one transaction, all or nothing. PostgreSQL answers a GRANT that it may not make
// with a warning only, so what was granted is read back before the transaction ends.
func (c *client) Grant(ctx context.Context, ref nhi.Ref, entitlements []nhi.Entitlement) error {
	w, err := sortOut(entitlements)
	if err != nil {
		return err
	}
	if len(w.observed) > 0 {
		return driver.Errorf(driver.Invalid, "%q cannot be granted; it is only listed", w.observed[0])
	}
	return c.write(ctx, func(tx pgx.Tx) error {
		a, err := c.find(ctx, tx, ref)
		if err != nil {
			return err
		}
		if err := c.grantRights(ctx, tx, a, w.rights); err != nil {
			return err
		}
		if err := grantMemberships(ctx, tx, a, w.members); err != nil {
			return err
		}
		return c.setAttributes(ctx, tx, a, w.attributes, true)
	})
}

// grantRights grants what the account's own role does not hold.
func (c *client) grantRights(ctx context.Context, tx pgx.Tx, a account, rights []right) error {
	if len(rights) == 0 {
		return nil
	}
	own := []role{a.role}
	objects, err := c.objects(ctx, tx, rights, own)
	if err != nil {
		return err
	}
	var due statements
	for _, r := range rights {
		o := objects[objectID{r.class, r.key}]
		if o == nil {
			return c.missing(ctx, tx, r)
		}
		if err := checkGrant(a, o, r, rights); err != nil {
			return err
		}
		if !o.holds(own, r) {
			due.add(statement{class: r.class, object: o.sql, grantee: a.role, option: r.option}, o.privilege(r.privilege))
		}
	}
	for _, s := range due {
		err := run(ctx, tx, s.class.grantStatement(s.object, s.privileges(), ident(a.name), s.option))
		if sqlState(err) == codeLimitExceeded { // An access control list has to fit into one page of the catalog.
			return fmt.Errorf("too many roles hold rights on %s directly; grant them to one role, and make the accounts "+
				"members of it: %w", s.object, err)
		}
		if err != nil {
			return err
		}
	}
	if objects, err = c.objects(ctx, tx, rights, own); err != nil {
		return err
	}
	for _, r := range rights {
		if o := objects[objectID{r.class, r.key}]; o == nil || !o.holds(own, r) {
			return driver.Errorf(driver.PermissionDenied, "%q: the server accepts the GRANT and does nothing: "+
				"our admin role may not grant it; make it a member of the object's owner", r.entitlement())
		}
	}
	return nil
}

// checkGrant refuses what would show differently than it was asked for.
func checkGrant(a account, o *object, r right, rights []right) error {
	if o.owner == a.oid {
		return driver.Errorf(driver.Invalid, "%q: role %q owns the object, which includes every right on it; "+
			"remove the entitlement, or give the object to another role", r.entitlement(), a.name)
	}
	if base := r.base(); r.option && !o.holds([]role{a.role}, base) && !slices.Contains(rights, base) {
		return driver.Errorf(driver.Invalid, "%q includes %q: declare both", r.entitlement(), base.entitlement())
	}
	return nil
}

// base is the right that an option passes on.
func (r right) base() right {
	r.option = false
	return r
}

// statement is a GRANT or REVOKE of several privileges on one object.
type statement struct {
	class   *class
	object  string
	grantee role
	grantor string // the role that has to take the privileges away; "" for ourselves
	option  bool
	names   []string
}

func (s statement) privileges() string { return strings.Join(s.names, ", ") }

// statements joins the privileges of statements that are otherwise the same.
type statements []statement

func (all *statements) add(s statement, privilege string) {
	i := slices.IndexFunc(*all, func(t statement) bool {
		return t.class == s.class && t.object == s.object && t.grantee.oid == s.grantee.oid && t.grantor == s.grantor &&
			t.option == s.option
	})
	if i < 0 {
		i = len(*all)
		*all = append(*all, s)
	}
	if known := &(*all)[i]; !slices.Contains(known.names, privilege) {
		known.names = append(known.names, privilege)
	}
}

// membershipRow is a row of pg_auth_members, or a role that none of the roles asked for is a member of (member 0).
type membershipRow struct {
	role    string
	member  uint32
	admin   bool
	grantor string
}

// membershipRows lists the memberships of roles in the roles that are named. Names that do not exist are missing.
func membershipRows(ctx context.Context, tx pgx.Tx, names []membership, of []role) ([]membershipRow, error) {
	wanted := make([]string, len(names))
	for i, m := range names {
		wanted[i] = m.role
	}
	rows, err := tx.Query(ctx, `select r.rolname, coalesce(m.member, 0), coalesce(m.admin_option, false),
			coalesce(pg_get_userbyid(m.grantor)::text, '')
		from pg_roles r left join pg_auth_members m on m.roleid = r.oid and m.member = any($2::oid[])
		where r.rolname = any($1::text[])`, wanted, oidsOf(of))
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (m membershipRow, err error) {
		return m, row.Scan(&m.role, &m.member, &m.admin, &m.grantor)
	})
}

// held reports whether rows contain a membership of the role with the oid.
func (m membership) held(rows []membershipRow, oid uint32) bool {
	return slices.ContainsFunc(rows, func(row membershipRow) bool {
		return row.role == m.role && row.member == oid && (row.admin || !m.admin)
	})
}

func grantMemberships(ctx context.Context, tx pgx.Tx, a account, members []membership) error {
	if len(members) == 0 {
		return nil
	}
	rows, err := membershipRows(ctx, tx, members, []role{a.role})
	if err != nil {
		return err
	}
	for _, m := range members {
		if !slices.ContainsFunc(rows, func(row membershipRow) bool { return row.role == m.role }) {
			return driver.Errorf(driver.Invalid, "%q: there is no role %q", m.entitlement(), m.role)
		}
		plain := membership{role: m.role}
		if m.admin && !plain.held(rows, a.oid) && !slices.Contains(members, plain) {
			return driver.Errorf(driver.Invalid, "%q includes %q: declare both", m.entitlement(), plain.entitlement())
		}
		if m.held(rows, a.oid) {
			continue
		}
		grant := "grant " + ident(m.role) + " to " + ident(a.name)
		if m.admin {
			grant += " with admin option"
		}
		if err := run(ctx, tx, grant); err != nil {
			return err
		}
	}
	if rows, err = membershipRows(ctx, tx, members, []role{a.role}); err != nil {
		return err
	}
	for _, m := range members {
		if !m.held(rows, a.oid) {
			return driver.Errorf(driver.PermissionDenied, "%q: the server accepts the GRANT and does nothing", m.entitlement())
		}
	}
	return nil
}

// setAttributes switches role attributes on for the account's own role, or off for it and its credential roles.
func (c *client) setAttributes(ctx context.Context, tx pgx.Tx, a account, names []string, on bool) error {
	roles, prefix := []role{a.role}, ""
	if !on {
		roles, prefix = a.roles(), "no"
	}
	for _, r := range roles {
		for i, name := range attributes() {
			if !slices.Contains(names, name) || r.attributes[i] == on {
				continue
			}
			if err := run(ctx, tx, "alter role "+ident(r.name)+" "+prefix+name); err != nil {
				return err
			}
		}
	}
	return nil
}
