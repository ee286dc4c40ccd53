package postgresql

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
)

// grantSuffix marks the permission to pass a privilege on (WITH GRANT OPTION). It is an entitlement of its own, beside
// the privilege itself: taking it away leaves the privilege.
const grantSuffix = "+grant"

// class is one kind of object that has an access control list. The grammar, the queries and the statements of its
// entitlements are made from its fields.
type class struct {
	name        string
	description string
	example     string
	// keyword is what GRANT ... ON calls the kind.
	keyword string
	// parts is how many names make a target.
	parts int
	// privileges are the server's names in lower case, '_' for a space.
	privileges []string
	// catalog is what pg_shdepend calls the place where the server keeps the lists.
	catalog string
	// source selects id (the oid of the object, of a column that of its table), k1, k2, k3 (the target's parts), object (the
	// target in SQL), attribute (the column in SQL, or ''), owner, and acl of every object that has an access control list.
	source string
	// resolve is source, without id, for all objects that can be granted, if that is another query.
	resolve string
	// initial is what acldefault calls the kind; "" where an object without an access control list gives nothing to anybody.
	initial string
	// since is the first server_version_num that has the kind; 0: all that are supported.
	since int
}

// right is an entitlement on an object of a class.
type right struct {
	class     *class
	key       key
	privilege string // as the server's ACL names it: "SELECT"
	option    bool   // the permission to pass the privilege on
}

func (r right) entitlement() nhi.Entitlement {
	permission := strings.ToLower(strings.ReplaceAll(r.privilege, " ", "_"))
	if r.option {
		permission += grantSuffix
	}
	return nhi.Entitlement{Type: r.class.name, Target: r.class.target(r.key), Permission: permission}
}

// rightOf is the inverse of entitlement.
func (c *class) rightOf(e nhi.Entitlement) (right, error) {
	k, err := c.parse(e.Target)
	if err != nil {
		return right{}, err
	}
	permission, option := strings.CutSuffix(e.Permission, grantSuffix)
	return right{class: c, key: k, privilege: strings.ToUpper(strings.ReplaceAll(permission, "_", " ")), option: option}, nil
}

func (c *class) target(k key) string {
	switch {
	case c == functionClass:
		return joinTarget(k[:2]) + "(" + k[2] + ")"
	case c == defaultClass && k[1] == "":
		return joinTarget([]string{k[0], k[2]})
	default:
		return joinTarget(k[:c.parts])
	}
}

func (c *class) parse(target string) (key, error) {
	if c == functionClass {
		return splitFunction(target)
	}
	parts, err := splitTarget(target, c.parts > 1)
	if err != nil {
		return key{}, err
	}
	if c == defaultClass {
		return parseDefault(parts)
	}
	if len(parts) != c.parts {
		return key{}, fmt.Errorf("the target has %d parts, not %d; write for example %q, with double quotes around a name "+
			"that contains a dot", len(parts), c.parts, c.example)
	}
	var k key
	copy(k[:], parts)
	if c == largeObjectClass {
		if n, err := strconv.ParseUint(k[0], 10, 32); err != nil || strconv.FormatUint(n, 10) != k[0] {
			return key{}, errors.New("a large object is named by its number")
		}
	}
	if c == parameterClass {
		k[0] = strings.ToLower(k[0])
	}
	return k, nil
}

func parseDefault(parts []string) (key, error) {
	if len(parts) == 2 {
		parts = []string{parts[0], "", parts[1]}
	}
	if len(parts) != 3 {
		return key{}, errors.New("write creator.schema.tables, or creator.tables for every schema; " +
			"instead of tables also sequences, functions, types, schemas or large objects")
	}
	k := key{parts[0], parts[1], strings.ToLower(parts[2])}
	switch k[2] {
	case "tables", "sequences", "functions", "types":
		return k, nil
	case "schemas", "large objects":
		if k[1] == "" {
			return k, nil
		}
		return key{}, fmt.Errorf("default privileges on %s are not limited to a schema: write creator.%s", k[2], k[2])
	default:
		return key{}, errors.New("the last part must be tables, sequences, functions, types, schemas or large objects")
	}
}

// canonical implements nhi.EntitlementType.Canonical.
func (c *class) canonical(e nhi.Entitlement) (nhi.Entitlement, error) {
	k, err := c.parse(e.Target)
	if err != nil {
		return nhi.Entitlement{}, err
	}
	e.Target = c.target(k)
	return e, nil
}

// permissions lists every permission with and without the option to pass it on.
func (c *class) permissions() []string {
	var all []string
	for _, p := range c.privileges {
		all = append(all, p, p+grantSuffix)
	}
	return all
}

// kind is the name of the class in SQL, of a row o of its source.
func (c *class) kind() string {
	if c == relationClass {
		return "o.kind"
	}
	return "'" + c.name + "'"
}

func (c *class) resolveSource() string {
	if c.resolve != "" {
		return c.resolve
	}
	return c.source
}

// cutDefault separates what defaultClass calls an object: whose default it is, and of which kind of objects.
func cutDefault(object string) (who, kind string) {
	i := strings.LastIndex(object, defaultSeparator)
	return object[:i], object[i+len(defaultSeparator):]
}

// grantStatement grants privileges on an object; object and grantee are SQL.
func (c *class) grantStatement(object, privileges, grantee string, option bool) string {
	statement := fmt.Sprintf("grant %s on %s %s to %s", privileges, c.keyword, object, grantee)
	if c == defaultClass {
		who, kind := cutDefault(object)
		statement = fmt.Sprintf("alter default privileges %s grant %s on %s to %s", who, privileges, kind, grantee)
	}
	if option {
		statement += " with grant option"
	}
	return statement
}

// revokeStatement is the inverse of grantStatement; with optionOnly the privileges stay and cannot be passed on.
func (c *class) revokeStatement(object, privileges, grantee string, optionOnly bool) string {
	if optionOnly {
		privileges = "grant option for " + privileges
	}
	if c == defaultClass {
		who, kind := cutDefault(object)
		return fmt.Sprintf("alter default privileges %s revoke %s on %s from %s", who, privileges, kind, grantee)
	}
	return fmt.Sprintf("revoke %s on %s %s from %s", privileges, c.keyword, object, grantee)
}
