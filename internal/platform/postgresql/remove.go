package postgresql

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
)

// DeleteAccount implements driver.Driver. The account is locked out first; then its sessions end; then, in every
// database of the cluster that knows the role, what it owns goes to the heir; then the role is dropped. It drops no
// object. If a database cannot be reached, or something there would act with the rights of a mighty heir, the account stays,
// locked out, and deleting again goes on.
func (c *client) DeleteAccount(ctx context.Context, ref nhi.Ref) error {
	var a account
	err := c.write(ctx, func(tx pgx.Tx) error {
		var err error
		if a, err = c.find(ctx, tx, ref); err != nil {
			return err
		}
		if err = a.mayBeSwitchedOff(); err != nil {
			return err
		}
		if err = c.checkHeir(ctx, tx, a); err != nil {
			return err
		}
		return run(ctx, tx, a.loginStatements(false)...)
	})
	if driver.CodeOf(err) == driver.NotFound {
		return nil
	}
	if err != nil {
		return err
	}
	return c.dropRoles(ctx, append(a.logins, a.role), heir{name: c.heir})
}

// dropRoles ends the sessions of roles that can no longer log in, hands over what they own and drops them.
func (c *client) dropRoles(ctx context.Context, roles []role, to heir) error {
	if err := c.endSessions(ctx, roles); err != nil {
		return err
	}
	databases, err := c.databasesOf(ctx, roles)
	if err != nil {
		return err
	}
	for _, database := range databases {
		err := c.inDatabase(ctx, database, func(db beginner) error { return handOver(ctx, db, roles, to) })
		if err != nil {
			return fmt.Errorf("role %q can no longer log in; hand over what it has in the database %q: %w",
				roles[len(roles)-1].name, database, err)
		}
	}
	return c.write(ctx, func(tx pgx.Tx) error {
		left, err := stillThere(ctx, tx, roles)
		if err != nil {
			return err
		}
		for _, r := range left {
			if err := run(ctx, tx, "drop role "+ident(r.name)); err != nil {
				return err
			}
		}
		return nil
	})
}

// databasesOf lists the databases in which something depends on a role. Shared objects can be handled in any; we take
// our own.
func (c *client) databasesOf(ctx context.Context, roles []role) ([]string, error) {
	rows, err := c.pool.Query(ctx, `select distinct coalesce(d.datname, current_database())::text
		from pg_catalog.pg_shdepend s left join pg_catalog.pg_database d on d.oid = s.dbid
		where s.refclassid = 'pg_catalog.pg_authid'::regclass and s.refobjid = any($1::oid[])
			and (s.dbid = 0 or d.oid is not null) order by 1`, oidsOf(roles))
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}

// handOver makes nothing in the database depend on roles, in one transaction. DROP OWNED comes last, when nothing is
// owned any more: then it only takes rights away, and the roles out of row-level security policies (a policy that names
// nobody else goes, too: it would apply to nobody).
func handOver(ctx context.Context, db beginner, roles []role, h heir) error {
	return writeIn(ctx, db, func(tx pgx.Tx) error {
		return bequeath(ctx, tx, roles, h, func(left []role, to string) error {
			if err := reassignOwned(ctx, tx, left, to); err != nil {
				return err
			}
			if err := ownNothing(ctx, tx, left); err != nil {
				return err
			}
			for _, r := range left {
				if err := run(ctx, tx, "drop owned by "+ident(r.name)); err != nil {
					return err
				}
			}
			return nil
		})
	})
}

func reassignOwned(ctx context.Context, tx pgx.Tx, roles []role, to string) error {
	for _, r := range roles {
		if err := run(ctx, tx, "reassign owned by "+ident(r.name)+" to "+to); err != nil {
			return err
		}
	}
	return nil
}

// ownNothing fails if DROP OWNED would drop an object. Default privileges for what a role creates itself, and its
// user mappings, are part of the role and go with it.
func ownNothing(ctx context.Context, tx pgx.Tx, roles []role) error {
	rows, err := tx.Query(ctx, `select coalesce(i.type || ' ' || i.identity, d.classid::regclass || ' ' || d.objid)
		from pg_shdepend d left join lateral pg_identify_object(d.classid, d.objid, d.objsubid) i on true
		where d.refclassid = 'pg_authid'::regclass and d.refobjid = any($1::oid[]) and d.deptype = 'o'
			and d.dbid in (0, (select oid from pg_database where datname = current_database()))
			and d.classid <> all (array['pg_default_acl'::regclass, 'pg_user_mapping'::regclass]::oid[]) order by 1`,
		oidsOf(roles))
	if err != nil {
		return err
	}
	owned, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return err
	}
	if len(owned) > 0 {
		return driver.Errorf(driver.Conflict, "it owns %s even after REASSIGN OWNED, and objects are never dropped here",
			strings.Join(owned, ", "))
	}
	return nil
}

// stillThere returns the roles that exist, by their ids, with the names they have now.
func stillThere(ctx context.Context, tx pgx.Tx, roles []role) ([]role, error) {
	rows, err := tx.Query(ctx, `select r.oid, r.rolname from unnest($1::oid[]) with ordinality w(oid, n)
		join pg_roles r on r.oid = w.oid order by w.n`, oidsOf(roles))
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (r role, err error) {
		return r, row.Scan(&r.oid, &r.name)
	})
}
