package postgresql

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
)

// heir is the role that gets what other roles own.
type heir struct {
	name string // "" is the role that we act as
	// account: it is the account whose credential roles are removed. They could act as it all along.
	account bool
}

// inheritor is what the server knows of an heir.
type inheritor struct {
	role
	// mighty: the role has rights over the whole cluster, or is a member of a role that has.
	mighty bool
	// subscriptions are the oids of those that are to change hands, perhaps.
	subscriptions []uint32
}

func (c *client) checkHeir(ctx context.Context, tx pgx.Tx, a account) error {
	if c.heir == "" && a.self {
		return driver.Errorf(driver.Invalid, "role %q is the one that this platform logs in as, which inherits what other "+
			"accounts own: to take away what it owns, name another role in reassign_owned_to", a.name)
	}
	if c.heir == "" {
		return nil
	}
	for _, r := range a.roles() {
		if r.name == c.heir {
			return driver.Errorf(driver.Invalid, "role %q inherits what other accounts own: to delete it, or to take away what "+
				"it owns, name another role in reassign_owned_to", c.heir)
		}
	}
	var known bool
	if err := tx.QueryRow(ctx, "select exists (select from pg_roles where rolname = $1)", c.heir).Scan(&known); err != nil {
		return err
	}
	if !known {
		return driver.Errorf(driver.Invalid, "there is no role %q to inherit what accounts own; correct reassign_owned_to", c.heir)
	}
	return nil
}

// bequeath runs work, which gives things that roles own to the heir, while we are a member of roles and of the heir, as
// far as we need to be and may. The work gets the roles that still exist, and the heir in SQL. If something of what changed
// hands would act for others with the rights of an heir over the whole cluster, bequeath fails.
func bequeath(ctx context.Context, tx pgx.Tx, roles []role, h heir, work func(left []role, to string) error) error {
	left, err := stillThere(ctx, tx, roles)
	if err != nil {
		return err
	}
	by, err := h.find(ctx, tx, left)
	if err != nil {
		return err
	}
	to, involved := "current_user", left
	if h.name != "" {
		to = ident(h.name)
		involved = append(involved[:len(involved):len(involved)], by.role)
	}
	leave, err := joinRoles(ctx, tx, involved)
	if err != nil {
		return err
	}
	if err := work(left, to); err != nil {
		return err
	}
	if by.mighty && !h.account {
		if err := refuseActing(ctx, tx, left, by); err != nil {
			return err
		}
	}
	return run(ctx, tx, leave...)
}

// find looks the heir up before we join any role. That it owns the database makes no role mighty; every other of the server's
// own roles reaches beyond what it owns. 'member' is true however the membership was granted: with ADMIN alone the heir could
// give itself the rest.
func (h heir) find(ctx context.Context, tx pgx.Tx, roles []role) (by inheritor, err error) {
	err = tx.QueryRow(ctx, `select h.oid, h.rolname, exists (select from pg_roles r where pg_has_role(h.oid, r.oid, 'member')
			and (r.rolsuper or r.rolcreaterole or r.rolcreatedb or r.rolreplication or r.rolbypassrls
				or r.rolname ~ '^pg_' and r.rolname <> 'pg_database_owner')),
		array(select d.objid from pg_shdepend d where d.classid = 'pg_subscription'::regclass and `+ownedBy+`)
		from pg_roles h where h.rolname = case when $1::text = '' then current_user else $1::text end`, h.name, oidsOf(roles)).
		Scan(&by.oid, &by.name, &by.mighty, &by.subscriptions)
	if err != nil {
		return by, fmt.Errorf("find role %q, which inherits: %w", h.name, err)
	}
	return by, nil
}

// ownedBy limits d, a row of pg_shdepend, to what the roles $2 own.
const ownedBy = `d.refclassid = 'pg_authid'::regclass and d.refobjid = any($2::oid[]) and d.deptype = 'o'`

// namedAtMost bounds how many objects an error names.
const namedAtMost = 10

// refuseActing fails if something that changed hands in this transaction would act for others with the heir's rights. It looks
// afterwards, because what has changed hands nobody else can alter until the transaction ends.
func refuseActing(ctx context.Context, tx pgx.Tx, roles []role, by inheritor) error {
	rows, err := tx.Query(ctx, actingQuery, by.oid, oidsOf(roles), by.subscriptions, namedAtMost)
	if err != nil {
		return err
	}
	total := 0
	named, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (text string, err error) {
		return text, row.Scan(&text, &total)
	})
	if err != nil || len(named) == 0 {
		return err
	}
	if more := total - len(named); more > 0 {
		named = append(named, fmt.Sprintf("%d more", more))
	}
	return driver.Errorf(driver.Invalid, "role %q, which inherits, has rights over the whole cluster or may get them, and with "+
		"these rights would act for others: %s; nothing in this database has changed hands: name a role without such rights in "+
		"reassign_owned_to, or drop or change these objects, and apply again", by.name, strings.Join(named, "; "))
}
