package postgresql

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
)

// Probe implements driver.Driver. The target is the cluster (initdb gave it a number, which standbys share) and in it
// the database, which keeps its oid when it is renamed.
func (c *client) Probe(ctx context.Context) (driver.Target, error) {
	var target driver.Target
	err := c.read(ctx, func(tx pgx.Tx) error {
		f, err := c.facts(ctx, tx)
		if err != nil {
			return err
		}
		var cluster, database string
		err = tx.QueryRow(ctx, `select (select system_identifier::text from pg_control_system()), oid::text,
			'PostgreSQL ' || current_setting('server_version') from pg_database where datname = current_database()`).
			Scan(&cluster, &database, &target.Version)
		if err != nil {
			return fmt.Errorf("ask PostgreSQL for its system identifier: %w", err)
		}
		target.ID = "postgresql:" + cluster + "/" + database
		target.Blind, err = blind(ctx, tx, f)
		return err
	})
	if err != nil {
		return driver.Target{}, err
	}
	return target, nil
}

// blind says what our role may not see or do.
func blind(ctx context.Context, tx pgx.Tx, f facts) ([]string, error) {
	var name string
	var super, create, signal bool
	err := tx.QueryRow(ctx, `select rolname, rolsuper, rolcreaterole, pg_has_role(oid, 'pg_signal_backend', 'usage')
		from pg_roles where rolname = current_user`).Scan(&name, &super, &create, &signal)
	if err != nil {
		return nil, err
	}
	if super {
		return nil, nil
	}
	found := []string{fmt.Sprintf("Role %q is not a superuser: it cannot change superusers, nor give or take superuser, "+
		"replication and bypassrls, nor rights on objects of roles that it is not a member of.", name)}
	if !create {
		found = append(found, fmt.Sprintf("Role %q lacks CREATEROLE: it cannot create, change or delete accounts.", name))
	}
	if !signal {
		found = append(found, fmt.Sprintf("Role %q is not a member of pg_signal_backend: it can end only sessions of roles "+
			"that it may make itself a member of.", name))
	}
	if !f.passwords {
		found = append(found, fmt.Sprintf("Role %q may not read pg_authid: it cannot see whether an account has a password of "+
			"its own.", name))
	}
	rows, err := tx.Query(ctx, `select datname from pg_database
		where datallowconn and not has_database_privilege(oid, 'connect') order by 1`)
	if err != nil {
		return nil, err
	}
	databases, err := pgx.CollectRows(rows, pgx.RowTo[string])
	for _, database := range databases {
		found = append(found, fmt.Sprintf("Role %q may not connect to the database %q: it cannot hand over what deleted "+
			"accounts own there.", name, database))
	}
	return found, err
}
