package mysql

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
)

// undoTime bounds taking back what a failed Grant has given.
const undoTime = 20 * time.Second

// Grant implements driver.Driver. The servers commit each GRANT at once, so what can be known to fail is looked for before
// the first one, and what was given before an error is taken back.
func (c *client) Grant(ctx context.Context, ref nhi.Ref, entitlements []nhi.Entitlement) error {
	return c.change(ctx, ref, func(q querier, f flavor, a account) error {
		held, err := c.holdings(ctx, q, f, &a.who, []user{a.user})
		if err != nil {
			return err
		}
		before := a.direct(held)
		wish := nhi.Without(entitlements, before)
		if err := checkTargets(ctx, q, f, a, wish); err != nil {
			return err
		}
		statements, err := changeSQL(f, a, before, wish, nil)
		if err != nil {
			return err
		}
		if err = run(ctx, q, statements...); err == nil {
			err = c.checkGranted(ctx, q, f, a, wish)
		}
		if err != nil && len(wish) > 0 {
			return errors.Join(err, c.undo(ctx, q, f, a, before))
		}
		return err
	})
}

// checkGranted fails if the server has made something else of a grant than what was asked for, such as another spelling.
func (c *client) checkGranted(ctx context.Context, q querier, f flavor, a account, wish []nhi.Entitlement) error {
	if len(wish) == 0 {
		return nil
	}
	_, after, err := c.findWhole(ctx, q, f, a.ref())
	if err != nil {
		return err
	}
	if missing := nhi.Without(wish, after); len(missing) > 0 {
		return driver.Errorf(driver.Invalid, "after GRANT the server does not list %s; is it spelt otherwise there?",
			nhi.JoinTexts(missing))
	}
	return nil
}

// undo takes back what the account holds beyond before.
func (c *client) undo(ctx context.Context, q querier, f flavor, a account, before []nhi.Entitlement) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoTime)
	defer cancel()
	a, after, err := c.findWhole(ctx, q, f, a.ref())
	if err != nil {
		return err
	}
	statements, err := changeSQL(f, a, after, nil, nhi.Without(after, before))
	if err != nil {
		return err
	}
	return run(ctx, q, statements...)
}

// Revoke implements driver.Driver. It goes as far as it can and returns every error.
func (c *client) Revoke(ctx context.Context, ref nhi.Ref, entitlements []nhi.Entitlement) error {
	return absent(c.change(ctx, ref, func(q querier, f flavor, a account) error {
		held, err := c.holdings(ctx, q, f, &a.who, []user{a.user})
		if err != nil {
			return err
		}
		before := a.direct(held)
		statements, err := changeSQL(f, a, before, nil, nhi.Intersect(before, entitlements))
		if err != nil {
			return err
		}
		var errs []error
		for _, statement := range statements {
			errs = append(errs, run(ctx, q, statement))
		}
		return errors.Join(errs...)
	}))
}

// changeSQL returns the statements that take the account from before to before plus add minus remove.
func changeSQL(f flavor, a account, before, add, remove []nhi.Entitlement) ([]string, error) {
	var statements []string
	defaults := func(es []nhi.Entitlement) []nhi.Entitlement {
		return slices.DeleteFunc(slices.Clone(es), func(e nhi.Entitlement) bool { return e.Type != typeDefaultRole })
	}
	var setDefaults string
	if was, now := defaults(before), defaults(nhi.Without(nhi.Union(before, add), remove)); !slices.Equal(was, now) {
		roles := make([]who, len(now))
		for i, e := range now {
			roles[i] = f.role(e.Target)
		}
		var err error
		if setDefaults, err = f.setDefaultRoles(a.who, roles); err != nil {
			return nil, driver.Errorf(driver.Invalid, "%w", err)
		}
	}
	if setDefaults != "" && len(defaults(remove)) > 0 {
		statements, setDefaults = append(statements, setDefaults), "" // While the roles are still there.
	}
	for _, e := range byRank(add) {
		text, err := grantSQL(f, e)
		if err != nil {
			return nil, err
		}
		if text != "" {
			statements = append(statements, "grant "+strings.Replace(text, toAccount, " to "+a.sql(), 1))
		}
	}
	for _, e := range byRank(remove) {
		if e.Type == typeRoleAdmin && slices.Contains(remove, nhi.Entitlement{Type: typeRole, Target: e.Target}) {
			continue // Ends with the membership.
		}
		texts, err := revokeSQL(f, a, e, nhi.Without(nhi.Union(before, add), remove))
		if err != nil {
			return nil, err
		}
		statements = append(statements, texts...)
	}
	if setDefaults != "" {
		statements = append(statements, setDefaults) // When the roles are there.
	}
	return statements, nil
}

// byRank orders memberships before the right to pass them on, and columns before their table.
func byRank(es []nhi.Entitlement) []nhi.Entitlement {
	sorted := slices.Clone(es)
	slices.SortStableFunc(sorted, func(x, y nhi.Entitlement) int { return strings.Compare(x.Type, y.Type) })
	return sorted
}

// toAccount stands in the text of a GRANT where the account belongs.
const toAccount = "\x00"

// grantSQL is what follows the word GRANT.
func grantSQL(f flavor, e nhi.Entitlement) (string, error) {
	switch e.Type {
	case typeRole:
		return f.role(e.Target).sql() + toAccount, nil
	case typeRoleAdmin:
		return f.role(e.Target).sql() + toAccount + " with admin option", nil
	case typeDefaultRole:
		return "", nil
	case typeGlobal:
		return e.Target + " on *.*" + toAccount, nil
	}
	c, parts, err := placeOf(e)
	if err != nil {
		return "", err
	}
	return c.on(parts, e.Permission) + toAccount, nil
}

// revokeSQL is the whole of the statements that take e away and leave what is in kept.
func revokeSQL(f flavor, a account, e nhi.Entitlement, kept []nhi.Entitlement) ([]string, error) {
	from := " from " + a.sql()
	switch e.Type {
	case typeRole:
		return []string{"revoke " + f.role(e.Target).sql() + from}, nil
	case typeRoleAdmin:
		role := f.role(e.Target).sql()
		if _, maria := f.(mariaDB); maria {
			return []string{"revoke admin option for " + role + from}, nil
		}
		return []string{"revoke " + role + from, "grant " + role + " to " + a.sql()}, nil
	case typeDefaultRole:
		return nil, nil
	case typeProxy:
		return []string{"revoke proxy on " + parseWho(e.Target).quotedSQL() + from}, nil
	case typeGlobal:
		return []string{"revoke " + e.Target + " on *.*" + from}, nil
	}
	c, parts, err := placeOf(e)
	if err != nil {
		return nil, err
	}
	statements := []string{"revoke " + c.on(parts, e.Permission) + from}
	if c.name != typeTable {
		return statements, nil
	}
	// Taking a right on a table also takes the same right on its columns, which are entitlements of their own.
	for _, k := range kept {
		if k.Type != typeColumn || k.Permission != e.Permission {
			continue
		}
		columns, of, err := placeOf(k)
		if err == nil && of[0] == parts[0] && of[1] == parts[1] {
			statements = append(statements, "grant "+columns.on(of, k.Permission)+" to "+a.sql())
		}
	}
	return statements, nil
}

// quotedSQL spells an account even if it has no host: any account, for a proxy.
func (w who) quotedSQL() string { return ident(w.user) + "@" + ident(w.host) }

func placeOf(e nhi.Entitlement) (class, []string, error) {
	c, ok := classNamed(e.Type)
	if !ok {
		return class{}, nil, driver.Errorf(driver.Invalid, "%q cannot be granted on MySQL or MariaDB", e)
	}
	parts, err := c.split(e.Target)
	if err != nil {
		return class{}, nil, driver.Errorf(driver.Invalid, "%q: %w", e, err)
	}
	return c, parts, nil
}

// existsQuery selects the names that the server itself gives to what a type of entitlement is about.
var existsQuery = map[string]string{
	typeDatabase: "select SCHEMA_NAME from information_schema.SCHEMATA where SCHEMA_NAME = ?",
	typeTable:    "select TABLE_NAME from information_schema.TABLES where TABLE_SCHEMA = ? and TABLE_NAME = ?",
	typeColumn: "select COLUMN_NAME from information_schema.COLUMNS where TABLE_SCHEMA = ? and TABLE_NAME = ? " +
		"and COLUMN_NAME = ?",
	"function":     routineQuery + "'FUNCTION'",
	"procedure":    routineQuery + "'PROCEDURE'",
	"package":      routineQuery + "'PACKAGE'",
	"package_body": routineQuery + "'PACKAGE BODY'",
}

const routineQuery = "select ROUTINE_NAME from information_schema.ROUTINES where ROUTINE_SCHEMA = ? and ROUTINE_NAME = ? " +
	"and ROUTINE_TYPE = "

// checkTargets refuses what does not exist: the servers would take a grant on a database that is still to come. Names of
// columns and routines are the same to the servers in capitals and small letters; here they have one spelling.
func checkTargets(ctx context.Context, q querier, f flavor, a account, wish []nhi.Entitlement) error {
	for _, e := range wish {
		if err := checkTarget(ctx, q, f, e); err != nil {
			return err
		}
	}
	for _, e := range wish {
		if e.Type == typeRole && f.role(e.Target) == a.who {
			return driver.Errorf(driver.Invalid, "%q: an account cannot be a role of itself", e)
		}
	}
	return nil
}

func checkTarget(ctx context.Context, q querier, f flavor, e nhi.Entitlement) error {
	switch e.Type {
	case typeRole, typeRoleAdmin, typeDefaultRole:
		role := f.role(e.Target)
		found, err := users(ctx, q, f, "User = ? and Host = ? or "+isSelf, role.user, role.host)
		if err != nil {
			return err
		}
		_, maria := f.(mariaDB)
		if !slices.ContainsFunc(found, func(u user) bool { return u.who == role && (u.isRole || !maria) }) {
			return driver.Errorf(driver.Invalid, "%q: there is no such role", e)
		}
		return nil
	case typeGlobal:
		return checkGlobal(ctx, q, e)
	case typeDatabasePattern:
		_, _, err := placeOf(e)
		return err
	}
	_, parts, err := placeOf(e)
	if err != nil {
		return err
	}
	args := make([]any, len(parts))
	for i, part := range parts {
		args[i] = part
	}
	own, seen := parts[len(parts)-1], ""
	err = each(ctx, q, existsQuery[e.Type], args, func(rows *sql.Rows) error {
		var name string
		err := rows.Scan(&name)
		if seen != own {
			seen = name
		}
		return err
	})
	switch {
	case err != nil:
		return err
	case seen == "":
		return driver.Errorf(driver.Invalid, "%q: there is no such %s, or the provider's account may not see it", e,
			strings.ReplaceAll(e.Type, "_", " "))
	case seen != own:
		return driver.Errorf(driver.Invalid, "%q: the server spells it %q; write it so", e, seen)
	}
	return nil
}

// checkGlobal looks for a privilege in the server's own list, which a plugin can make longer.
func checkGlobal(ctx context.Context, q querier, e nhi.Entitlement) error {
	found := false
	err := each(ctx, q, "show privileges", nil, func(rows *sql.Rows) error {
		row, err := scanNamed(rows)
		found = found || strings.EqualFold(row["Privilege"], e.Target)
		return err
	})
	if err == nil && !found {
		err = driver.Errorf(driver.Invalid, "%q: SHOW PRIVILEGES does not list it; is it called otherwise in this version?", e)
	}
	if err != nil {
		return fmt.Errorf("look for the privilege: %w", err)
	}
	return nil
}
