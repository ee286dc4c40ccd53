package mysql

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
)

// Probe implements driver.Driver. The target's id is the one in our schema: MySQL's server_uuid differs between the servers
// of one replicated database, MariaDB's server_uid is made from the machine, and both would make a failover another system.
func (c *client) Probe(ctx context.Context) (driver.Target, error) {
	f, err := c.flavorOf(ctx, c.db)
	if err != nil {
		return driver.Target{}, err
	}
	var target driver.Target
	var id string
	err = c.db.QueryRowContext(ctx, "select id from "+c.table("server")).Scan(&id)
	const noSuchTable = 1146
	switch {
	case errorNumber(err) == noSuchTable, errors.Is(err, sql.ErrNoRows):
		return driver.Target{}, driver.Errorf(driver.Invalid, "the server has no table %s.server with its id: an administrator "+
			"runs the script schema.sql of this platform's guide once: %w", c.schema, err)
	case err != nil:
		return driver.Target{}, fmt.Errorf("read the server's id: %w", err)
	}
	var number string
	if err := c.db.QueryRowContext(ctx, "select version()").Scan(&number); err != nil {
		return driver.Target{}, err
	}
	target.ID, target.Version = "mysql:"+id, "MySQL "+number
	if _, maria := f.(mariaDB); maria {
		target.Version = "MariaDB " + number
	}
	s, err := c.standing(ctx)
	if err != nil {
		return driver.Target{}, err
	}
	target.Blind, target.Lacking = s.blind(), s.lacking(c.schema)
	return target, nil
}

// standing is what our account may do.
type standing struct {
	all, grants bool
	global      []string // Privileges on *.*, in capitals.
	ourSchema   bool     // Whether we may write there.
	readOnly    bool
}

func (c *client) standing(ctx context.Context) (s standing, err error) {
	err = each(ctx, c.db, "show grants", nil, func(rows *sql.Rows) error {
		var text string
		if err := rows.Scan(&text); err != nil {
			return err
		}
		privileges, on, found := strings.Cut(strings.TrimPrefix(text, "GRANT "), " ON ")
		if !found {
			return nil // A role; what it gives stands in lines of its own.
		}
		list := strings.Split(privileges, ", ")
		if strings.HasPrefix(on, "*.* TO ") {
			s.global = append(s.global, list...)
			s.grants = s.grants || strings.HasSuffix(on, " WITH GRANT OPTION")
		}
		wanted := []string{"SELECT", "INSERT", "UPDATE", "DELETE"}
		missing := func(p string) bool { return !slices.Contains(list, p) }
		if ours := ident(c.schema) + ".* TO "; strings.HasPrefix(on, ours) || strings.HasPrefix(on, "*.* TO ") {
			s.ourSchema = s.ourSchema || list[0] == "ALL PRIVILEGES" || !slices.ContainsFunc(wanted, missing)
		}
		return nil
	})
	if err != nil {
		return s, err
	}
	s.all = s.grants && slices.Contains(s.global, "ALL PRIVILEGES")
	return s, c.db.QueryRowContext(ctx, "select @@global.read_only").Scan(&s.readOnly)
}

func (s standing) may(privileges ...string) bool {
	return slices.ContainsFunc(append(privileges, "ALL PRIVILEGES"), func(p string) bool { return slices.Contains(s.global, p) })
}

// lacking says what our account lacks for every change.
func (s standing) lacking(schema string) []string {
	var found []string
	if !s.may("CREATE USER") {
		found = append(found, "The provider's account lacks CREATE USER ON *.*, which every change of an account needs.")
	}
	if !s.ourSchema {
		found = append(found, fmt.Sprintf("The provider's account lacks SELECT, INSERT, UPDATE and DELETE ON %s.*, where ownership "+
			"marks are written.", ident(schema)))
	}
	if s.readOnly && !s.may("SUPER", "READ_ONLY ADMIN") {
		found = append(found, "The server is read-only: connect to the one that is written to.")
	}
	return found
}

// blind says what our account may not see or do for some changes.
func (s standing) blind() []string {
	var found []string
	if !s.may("PROCESS") || !s.may("CONNECTION ADMIN", "CONNECTION_ADMIN", "SUPER") {
		found = append(found, "The provider's account lacks PROCESS or CONNECTION ADMIN ON *.*: it can neither end sessions nor delete accounts.")
	}
	if !s.all {
		found = append(found, "The provider's account does not hold every privilege WITH GRANT OPTION: it can pass on only those "+
			"that it holds so itself, and only roles WITH ADMIN OPTION.")
	}
	return found
}
