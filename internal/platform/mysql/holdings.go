package mysql

import (
	"context"
	"database/sql"
	"fmt"
	"math"
	"strings"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
)

// holdings is what accounts and roles hold directly.
type holdings map[who][]nhi.Entitlement

func (h holdings) add(w who, entitlements ...nhi.Entitlement) { h[w] = append(h[w], entitlements...) }

// restrictTo is a condition on the columns User and Host, with its arguments.
func restrictTo(only *who) (string, []any) {
	if only == nil {
		return "true", nil
	}
	return "User = ? and Host = ?", []any{only.user, only.host}
}

// holdings reads what one account holds, or everybody if only is nil: always the same number of statements. They read the
// tables that the server itself keeps, so a missing right is an error and never a short list; the one view among them
// (information_schema.USER_PRIVILEGES) is checked for having a row for every account.
func (c *client) holdings(ctx context.Context, q querier, f flavor, only *who, accounts []user) (holdings, error) {
	held := holdings{}
	for _, read := range []func(context.Context, querier, *who, holdings) error{
		readDatabases, readTables, readColumns, readRoutines, readProxies,
	} {
		if err := read(ctx, q, only, held); err != nil {
			return nil, err
		}
	}
	if err := readRoles(ctx, q, f, only, held); err != nil {
		return nil, err
	}
	return held, readGlobal(ctx, q, f, only, accounts, held)
}

// readGlobal reads the privileges on the whole server. The view quotes names without escaping what is in them, so texts
// are compared that are made the same way. MariaDB's view has no row for roles, and none for accounts that are not in force
// (their host is a name, and the server resolves none): what is stored of them counts.
func readGlobal(ctx context.Context, q querier, f flavor, only *who, accounts []user, held holdings) error {
	query, args := "select GRANTEE, lower(PRIVILEGE_TYPE), IS_GRANTABLE = 'YES' from information_schema.USER_PRIVILEGES", []any(nil)
	if only != nil {
		query, args = query+" where GRANTEE = ?", []any{grantee(*only)}
	}
	owners, seen := map[string]who{}, map[who]bool{}
	for _, u := range accounts {
		if other, twice := owners[grantee(u.who)]; twice {
			return fmt.Errorf("the server cannot tell the privileges of %q from those of %q", u.who, other)
		}
		owners[grantee(u.who)] = u.who
	}
	err := each(ctx, q, query, args, func(rows *sql.Rows) error {
		var name, privilege string
		var grantable bool
		if err := rows.Scan(&name, &privilege, &grantable); err != nil {
			return err
		}
		w, ok := owners[name]
		if !ok {
			return nil // Made after we read the accounts.
		}
		if privilege != "usage" {
			held.add(w, nhi.Entitlement{Type: typeGlobal, Target: privilege})
		}
		if grantable && !seen[w] {
			held.add(w, nhi.Entitlement{Type: typeGlobal, Target: grantOption})
		}
		seen[w] = true
		return nil
	})
	if err != nil {
		return err
	}
	for _, u := range accounts {
		if seen[u.who] {
			continue
		}
		if _, maria := f.(mariaDB); !maria {
			return fmt.Errorf("information_schema.USER_PRIVILEGES has no row for %q: %w", u.who, errIncomplete)
		}
		if err := addStored(u, held); err != nil {
			return err
		}
	}
	return nil
}

// storedPrivileges are the privileges in the access field of mysql.global_priv, by bit.
var storedPrivileges = strings.Split("select,insert,update,delete,create,drop,reload,shutdown,process,file,grant option,references,"+
	"index,alter,show databases,super,create temporary tables,lock tables,execute,replication slave,binlog monitor,create view,"+
	"show view,create routine,alter routine,create user,event,trigger,create tablespace,delete history,set user,federated admin,"+
	"connection admin,read_only admin,replication slave admin,replication master admin,binlog admin,binlog replay,slave monitor,"+
	"show create routine", ",")

// addStored adds the global privileges that MariaDB has stored. All bits are set for the first administrator, whatever they
// mean in the server's version.
func addStored(u user, held holdings) error {
	known := uint64(1)<<len(storedPrivileges) - 1
	if u.access&^known != 0 && u.access != math.MaxUint64 {
		return driver.Errorf(driver.Unsupported, "%q holds a privilege that this version of the provider does not know", u.who)
	}
	for i, privilege := range storedPrivileges {
		if u.access&(1<<i) != 0 {
			held.add(u.who, nhi.Entitlement{Type: typeGlobal, Target: privilege})
		}
	}
	return nil
}

func grantee(w who) string { return "'" + w.user + "'@'" + w.host + "'" }

// oddPrivileges are those whose column or set member is not named as the privilege is.
var oddPrivileges = map[string]string{
	"grant": grantOption, "create tmp table": "create temporary tables", "delete versioning rows": "delete history",
}

func privilegeNamed(text string) string {
	text = strings.ToLower(strings.ReplaceAll(text, "_", " "))
	return orDefault(oddPrivileges[text], text)
}

// readDatabases reads mysql.db, which has one column per privilege; which ones depends on the version.
func readDatabases(ctx context.Context, q querier, only *who, held holdings) error {
	restrict, args := restrictTo(only)
	return each(ctx, q, "select * from mysql.db where "+restrict, args, func(rows *sql.Rows) error {
		row, err := scanNamed(rows)
		if err != nil {
			return err
		}
		w, pattern := who{row["User"], row["Host"]}, row["Db"]
		kind := class{name: typeDatabasePattern, parts: 1}
		if name, exact := unescapePattern(pattern); exact {
			kind.name, pattern = typeDatabase, name
		}
		for column, value := range row {
			if privilege, ok := strings.CutSuffix(column, "_priv"); ok && value == "Y" {
				held.add(w, kind.entitlement([]string{pattern}, privilegeNamed(privilege)))
			}
		}
		return nil
	})
}

// scanNamed reads a row with whatever columns it has.
func scanNamed(rows *sql.Rows) (map[string]string, error) {
	names, err := rows.Columns()
	if err != nil {
		return nil, err
	}
	values, targets := make([]sql.NullString, len(names)), make([]any, len(names))
	for i := range values {
		targets[i] = &values[i]
	}
	if err := rows.Scan(targets...); err != nil {
		return nil, err
	}
	row := make(map[string]string, len(names))
	for i, name := range names {
		row[name] = values[i].String
	}
	return row, nil
}

// readSets reads a table whose privileges are a set in one column: user, host, parts of the name, type, set.
func readSets(ctx context.Context, q querier, query string, args []any, held holdings) error {
	return each(ctx, q, query, args, func(rows *sql.Rows) error {
		var w who
		parts := make([]string, 3)
		var kind, set string
		if err := rows.Scan(&w.user, &w.host, &parts[0], &parts[1], &parts[2], &kind, &set); err != nil {
			return err
		}
		class, ok := classNamed(kind)
		if !ok {
			return fmt.Errorf("%q holds %s on a %s, which this version of the provider does not know", w, set, kind)
		}
		for member := range strings.SplitSeq(set, ",") {
			if member != "" {
				held.add(w, class.entitlement(parts[:class.parts], privilegeNamed(member)))
			}
		}
		return nil
	})
}

func readTables(ctx context.Context, q querier, only *who, held holdings) error {
	restrict, args := restrictTo(only)
	return readSets(ctx, q, "select User, Host, Db, Table_name, '', 'table', Table_priv from mysql.tables_priv where "+restrict, args, held)
}

func readColumns(ctx context.Context, q querier, only *who, held holdings) error {
	restrict, args := restrictTo(only)
	return readSets(ctx, q, "select User, Host, Db, Table_name, Column_name, 'column', Column_priv from mysql.columns_priv where "+
		restrict, args, held)
}

func readRoutines(ctx context.Context, q querier, only *who, held holdings) error {
	restrict, args := restrictTo(only)
	return readSets(ctx, q, "select User, Host, Db, Routine_name, '', replace(lower(Routine_type), ' ', '_'), Proc_priv "+
		"from mysql.procs_priv where "+restrict, args, held)
}

func readProxies(ctx context.Context, q querier, only *who, held holdings) error {
	restrict, args := restrictTo(only)
	query := "select User, Host, Proxied_user, Proxied_host from mysql.proxies_priv where " + restrict
	return each(ctx, q, query, args, func(rows *sql.Rows) error {
		var w, as who
		if err := rows.Scan(&w.user, &w.host, &as.user, &as.host); err != nil {
			return err
		}
		held.add(w, nhi.Entitlement{Type: typeProxy, Target: as.String()})
		return nil
	})
}

func readRoles(ctx context.Context, q querier, f flavor, only *who, held holdings) error {
	restrict, args := restrictTo(only)
	err := each(ctx, q, f.rolesQuery(restrict), args, func(rows *sql.Rows) error {
		var w, role who
		var admin bool
		if err := rows.Scan(&w.user, &w.host, &role.user, &role.host, &admin); err != nil {
			return err
		}
		held.add(w, nhi.Entitlement{Type: typeRole, Target: f.roleTarget(role)})
		if admin {
			held.add(w, nhi.Entitlement{Type: typeRoleAdmin, Target: f.roleTarget(role)})
		}
		return nil
	})
	query := f.defaultRolesQuery(restrict)
	if err != nil || query == "" {
		return err
	}
	return each(ctx, q, query, args, func(rows *sql.Rows) error {
		var w, role who
		if err := rows.Scan(&w.user, &w.host, &role.user, &role.host); err != nil {
			return err
		}
		held.add(w, nhi.Entitlement{Type: typeDefaultRole, Target: f.roleTarget(role)})
		return nil
	})
}
