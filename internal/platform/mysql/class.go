package mysql

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
	"github.com/nhi-labs/terraform-provider-nhi/internal/platform/internal/sqlname"
)

const (
	typeRole            = "role"
	typeRoleAdmin       = "role_admin"
	typeDefaultRole     = "default_role"
	typeGlobal          = "global"
	typeDatabase        = "database"
	typeDatabasePattern = "database_pattern"
	typeTable           = "table"
	typeColumn          = "column"
	typeProxy           = "proxy"

	grantOption = "grant option"
)

// class is a kind of thing that privileges are granted on.
type class struct {
	name, example, description string
	permissions                []string
	parts                      int
	// keyword stands before the name of a routine in GRANT.
	keyword string
}

// Privileges that the servers know per level, in their own words and small letters.
var (
	columnPrivileges   = []string{"select", "insert", "update", "references"}
	tablePrivileges    = []string{"select", "insert", "update", "delete", "create", "drop", grantOption, "references", "index", "alter", "create view", "show view", "trigger", "delete history"}
	databasePrivileges = append([]string{"create temporary tables", "lock tables", "create routine", "alter routine", "execute", "event", "show create routine"}, tablePrivileges...)
	routinePrivileges  = []string{"execute", "alter routine", grantOption, "show create routine"}
)

func classes() []class {
	routine := func(name, keyword, what string) class {
		return class{
			name: name, keyword: keyword, parts: 2, permissions: routinePrivileges,
			example: name + ":finance.total#execute", description: "A right on " + what + ".",
		}
	}
	return []class{
		{
			name: typeDatabase, parts: 1, permissions: databasePrivileges, example: "database:finance#select",
			description: "A right on a database and everything in it. `_` and `%` in the name mean themselves.",
		},
		{
			name: typeDatabasePattern, parts: 1, permissions: databasePrivileges, example: "database_pattern:finance%#select",
			description: "A right on every database whose name matches the pattern, also those to come: `_` is any character, `%` any " +
				"text, and `\\` takes their meaning away.",
		},
		{
			name: typeTable, parts: 2, permissions: tablePrivileges, example: "table:finance.invoices#select",
			description: "A right on a table or view.",
		},
		{
			name: typeColumn, parts: 3, permissions: columnPrivileges, example: "column:finance.invoices.amount#select",
			description: "A right on one column. It adds to the rights on the table.",
		},
		routine("function", "function ", "a stored function"),
		routine("procedure", "procedure ", "a stored procedure"),
		routine("package", "package ", "a MariaDB package"),
		routine("package_body", "package body ", "the body of a MariaDB package"),
	}
}

func classNamed(name string) (class, bool) {
	for _, c := range classes() {
		if c.name == name {
			return c, true
		}
	}
	return class{}, false
}

// entitlement spells a right.
func (c class) entitlement(parts []string, permission string) nhi.Entitlement {
	return nhi.Entitlement{Type: c.name, Target: sqlname.Backticks.Join(parts), Permission: permission}
}

// split returns the parts of a target's name.
func (c class) split(target string) ([]string, error) {
	parts, err := sqlname.Backticks.Split(target, c.parts > 1)
	if err != nil {
		return nil, err
	}
	if len(parts) != c.parts {
		example, _, _ := strings.Cut(c.example, "#")
		return nil, fmt.Errorf("write the name in %d parts, for example %s, with backticks around a part that contains a dot",
			c.parts, example)
	}
	for _, part := range parts {
		if part == "" || !isBMP(part) || strings.TrimRight(part, " ") != part {
			return nil, fmt.Errorf("%q cannot be a name on these servers", part)
		}
	}
	return parts, nil
}

// canonical implements nhi.EntitlementType.Canonical.
func (c class) canonical(e nhi.Entitlement) (nhi.Entitlement, error) {
	parts, err := c.split(e.Target)
	if err != nil {
		return nhi.Entitlement{}, err
	}
	_, exact := unescapePattern(parts[0])
	if c.name == typeDatabasePattern && exact {
		name, _ := unescapePattern(parts[0])
		return nhi.Entitlement{}, fmt.Errorf("the pattern matches one database only; write database:%s#%s",
			sqlname.Backticks.Join([]string{name}), e.Permission)
	}
	return c.entitlement(parts, e.Permission), nil
}

// on is the right and the object as GRANT and REVOKE spell them.
func (c class) on(parts []string, permission string) string {
	switch c.name {
	case typeDatabase:
		return permission + " on " + ident(escapePattern(parts[0])) + ".*"
	case typeDatabasePattern:
		return permission + " on " + ident(parts[0]) + ".*"
	case typeColumn:
		return permission + " (" + ident(parts[2]) + ") on " + ident(parts[0]) + "." + ident(parts[1])
	}
	return permission + " on " + c.keyword + ident(parts[0]) + "." + ident(parts[1])
}

func canonicalRole(e nhi.Entitlement) (nhi.Entitlement, error) {
	w := parseWho(e.Target)
	switch {
	case w.user == "" || !isBMP(e.Target):
		return nhi.Entitlement{}, errors.New("that cannot be the name of a role")
	case w.String() != e.Target:
		e.Target = w.String()
	}
	return e, nil
}

// globalPattern is what the name of a privilege looks like. Which ones there are depends on the server and its plugins.
var globalPattern = regexp.MustCompile(`^[a-z][a-z0-9_ ]{1,63}$`)

func canonicalGlobal(e nhi.Entitlement) (nhi.Entitlement, error) {
	e.Target = strings.ToLower(e.Target)
	switch {
	case strings.HasPrefix(e.Target, "all"):
		return nhi.Entitlement{}, errors.New("ALL is no privilege but all of them; write the ones that are needed, each on its own")
	case e.Target == "usage" || e.Target == "proxy":
		return nhi.Entitlement{}, fmt.Errorf("%s is not a right on its own; leave it out", e.Target)
	case !globalPattern.MatchString(e.Target):
		return nhi.Entitlement{}, errors.New("write the name of a privilege as SHOW PRIVILEGES lists it, for example global:process")
	}
	return e, nil
}
