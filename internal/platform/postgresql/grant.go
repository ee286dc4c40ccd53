package postgresql

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
)

// Grant implements driver.Driver: one transaction, all or nothing. PostgreSQL answers a GRANT that we may not make with a
// warning only; what was granted is then read back before the transaction ends. However many rights there are, the other
// writers wait for three round trips, and for two if we are a superuser, who may make every GRANT.
func (c *client) Grant(ctx context.Context, ref nhi.Ref, entitlements []nhi.Entitlement) error {
	w, err := sortOut(entitlements)
	if err != nil {
		return err
	}
	if len(w.observed) > 0 {
		return driver.Errorf(driver.Invalid, "%q cannot be granted; it is only listed", w.observed[0])
	}
	if ref, err = c.identified(ctx, ref); err != nil {
		return err
	}
	which, err := selectorOf(ref)
	if err != nil {
		return err
	}
	f, err := c.factsNow(ctx)
	if err != nil {
		return err
	}
	var roles rolesFound
	before := newHoldings(w, f, which.oid)
	look := func(queries *pgx.Batch) {
		roles.queue(queries, f, which)
		before.queue(queries)
	}
	c.bare.set(ref.Name, false)
	var due statements
	err = c.writeAfter(ctx, look, func(conn *pgxpool.Conn) ([]string, error) {
		a, err := roles.one(ref, which)
		if err != nil {
			return nil, err
		}
		if due, err = c.dueRights(ctx, conn, a, before); err != nil {
			return nil, err
		}
		memberships, err := before.dueMemberships(a)
		if err != nil {
			return nil, err
		}
		statements := slices.Concat(due.grantedTo(a), memberships, attributeStatements(a, w.attributes, true))
		if f.superuser {
			return statements, nil
		}
		err = run(ctx, conn, statements...)
		if warned := warnedOfGrant(conn); err == nil && (warned || slices.ContainsFunc(due, statement.mute)) {
			err = granted(ctx, conn, w, f, a)
		}
		return nil, err
	})
	if sqlState(err) == codeLimitExceeded { // An access control list has to fit into one page of the catalog.
		return fmt.Errorf("too many roles hold rights on %s directly; grant them to one role, and make the accounts "+
			"members of it: %w", strings.Join(due.objects(), " or "), err)
	}
	return err
}

// identified adds the id to a reference that has only the name.
func (c *client) identified(ctx context.Context, ref nhi.Ref) (nhi.Ref, error) {
	if ref.ID != "" {
		return ref, nil
	}
	err := c.read(ctx, func(tx pgx.Tx) error {
		a, err := c.find(ctx, tx, ref)
		ref = a.ref()
		return err
	})
	return ref, err
}

// holdings are the objects and roles that a wish is about, and what one role holds of them. They are looked up together.
type holdings struct {
	wish    wish
	facts   facts
	oid     uint32
	objects map[objectID]*object
	// known are those of the wish's roles that exist.
	known []string
}

func newHoldings(w wish, f facts, oid uint32) *holdings {
	return &holdings{wish: w, facts: f, oid: oid, objects: map[objectID]*object{}}
}

// queue puts the queries into a batch, whose Close fills h.
func (h *holdings) queue(queries *pgx.Batch) {
	queueObjects(queries, h.facts, h.wish.rights, []uint32{h.oid}, h.objects)
	if len(h.wish.members) > 0 {
		names := make([]string, len(h.wish.members))
		for i, m := range h.wish.members {
			names[i] = m.role
		}
		queries.Queue(rolesThereQuery, names).Query(func(rows pgx.Rows) (err error) {
			h.known, err = pgx.CollectRows(rows, pgx.RowTo[string])
			return err
		})
	}
}

// dueRights lists the statements for rights that the account's own role does not hold.
func (c *client) dueRights(ctx context.Context, tx querier, a account, before *holdings) (statements, error) {
	var due statements
	for _, r := range before.wish.rights {
		o := before.objects[objectID{r.class, r.key}]
		if o == nil {
			return nil, c.missing(ctx, tx, r)
		}
		if err := checkGrant(a, o, r, before.wish.rights); err != nil {
			return nil, err
		}
		if !o.holds([]role{a.role}, r) {
			due.add(statement{class: r.class, object: o.sql, grantee: a.role, option: r.option}, o.privilege(r.privilege))
		}
	}
	return due, nil
}

// grantedTo lists the texts of the statements that grant to an account's own role.
func (all statements) grantedTo(a account) (texts []string) {
	for _, s := range all {
		texts = append(texts, s.class.grantStatement(s.object, s.privileges(), ident(a.name), s.option))
	}
	return texts
}

func (all statements) objects() (names []string) {
	for _, s := range all {
		names = append(names, s.object)
	}
	return names
}

// mute reports whether the server may leave out a part of a GRANT without a word: it takes one of every privilege that there is
// on a column for GRANT ALL.
func (s statement) mute() bool {
	return s.class == columnClass && len(s.names) >= len(columnClass.privileges)
}

// granted reads back whether the account's own role holds the rights that are wished. A membership that we may not give is an
// error of the GRANT.
func granted(ctx context.Context, tx querier, w wish, f facts, a account) error {
	objects := map[objectID]*object{}
	queries := &pgx.Batch{}
	queueObjects(queries, f, w.rights, []uint32{a.oid}, objects)
	if err := tx.SendBatch(ctx, queries).Close(); err != nil {
		return err
	}
	for _, r := range w.rights {
		if o := objects[objectID{r.class, r.key}]; o == nil || !o.holds([]role{a.role}, r) {
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

// in reports whether a row gives the membership.
func (m membership) in(row membershipRow) bool { return row.Role == m.role && (row.Admin || !m.admin) }

// heldBy reports whether the role has the membership.
func (m membership) heldBy(r role) bool { return slices.ContainsFunc(r.members, m.in) }

// dueMemberships lists the statements for memberships that the account does not have.
func (h *holdings) dueMemberships(a account) ([]string, error) {
	var due []string
	for _, m := range h.wish.members {
		if !slices.Contains(h.known, m.role) {
			return nil, driver.Errorf(driver.Invalid, "%q: there is no role %q", m.entitlement(), m.role)
		}
		plain := membership{role: m.role}
		if m.admin && !plain.heldBy(a.role) && !slices.Contains(h.wish.members, plain) {
			return nil, driver.Errorf(driver.Invalid, "%q includes %q: declare both", m.entitlement(), plain.entitlement())
		}
		if m.heldBy(a.role) {
			continue
		}
		grant := "grant " + ident(m.role) + " to " + ident(a.name)
		if m.admin {
			grant += " with admin option"
		}
		due = append(due, grant)
	}
	return due, nil
}

// attributeStatements switch role attributes on for the account's own role, or off for it and its credential roles.
func attributeStatements(a account, names []string, on bool) []string {
	roles, prefix := []role{a.role}, ""
	if !on {
		roles, prefix = a.roles(), "no"
	}
	var due []string
	for _, r := range roles {
		for i, name := range attributes() {
			if slices.Contains(names, name) && r.attributes[i] != on {
				due = append(due, "alter role "+ident(r.name)+" "+prefix+name)
			}
		}
	}
	return due
}
