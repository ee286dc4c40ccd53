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
		target.Realm = "postgresql:" + cluster
		s, err := readStanding(ctx, tx)
		if err != nil {
			return err
		}
		target.Blind, target.Lacking = s.blind(f), s.lacking()
		return nil
	})
	if err != nil {
		return driver.Target{}, err
	}
	return target, nil
}

// standing is what our role is on this server.
type standing struct {
	name                      string
	super, createRole, signal bool
	standby, readOnly         bool
	// closed are the databases that our role may not connect to.
	closed []string
}

func readStanding(ctx context.Context, tx pgx.Tx) (s standing, err error) {
	err = tx.QueryRow(ctx, `select rolname, rolsuper, rolcreaterole, pg_has_role(oid, 'pg_signal_backend', 'usage'),
			pg_is_in_recovery(), current_setting('default_transaction_read_only')::bool,
			array(select datname::text from pg_database
				where datallowconn and not has_database_privilege(oid, 'connect') order by 1)
		from pg_roles where rolname = current_user`).
		Scan(&s.name, &s.super, &s.createRole, &s.signal, &s.standby, &s.readOnly, &s.closed)
	return s, err
}

// lacking says what our role lacks for every change.
func (s standing) lacking() []string {
	var found []string
	if !s.super && !s.createRole {
		found = append(found, fmt.Sprintf("The role %q has neither SUPERUSER nor CREATEROLE; run ALTER ROLE %s CREATEROLE.",
			s.name, ident(s.name)))
	}
	if s.standby {
		found = append(found, "The server is a standby, which only reads; connect to the primary server.")
	}
	if s.readOnly {
		found = append(found, fmt.Sprintf("Transactions of the role %q are read-only here (default_transaction_read_only); "+
			"set that to off for the role or the database.", s.name))
	}
	return found
}

// blind says what our role may not see or do for some changes.
func (s standing) blind(f facts) []string {
	if s.super {
		return nil
	}
	found := []string{fmt.Sprintf("Role %q is not a superuser: it cannot change superusers, nor give or take superuser, "+
		"replication and bypassrls, nor rights on objects of roles that it is not a member of.", s.name)}
	if !s.signal {
		found = append(found, fmt.Sprintf("Role %q is not a member of pg_signal_backend: it can end only sessions of roles "+
			"that it may make itself a member of.", s.name))
	}
	if !f.passwords {
		found = append(found, fmt.Sprintf("Role %q may not read pg_authid: it cannot see whether an account has a password of "+
			"its own.", s.name))
	}
	for _, database := range s.closed {
		found = append(found, fmt.Sprintf("Role %q may not connect to the database %q: it cannot hand over what accounts own "+
			"there.", s.name, database))
	}
	return found
}
