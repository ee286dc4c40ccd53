package postgresql

import "strings"

// membershipsQuery lists who is a member of what, with what that gives: the rights of the role without a further word
// (inherit), or to whoever says SET ROLE (set). Up to version 15 the member decides about the first, and everybody may
// do the second. The owner of the database is a member of pg_database_owner without being listed as one.
func membershipsQuery(version int) string {
	inherit, set := "bool_or(m.inherit_option)", "bool_or(m.set_option)"
	if version < 160000 {
		inherit, set = "bool_or(r.rolinherit)", "true"
	}
	return `select m.member, m.roleid, ` + inherit + `, ` + set + `, bool_or(m.admin_option)
from pg_auth_members m join pg_roles r on r.oid = m.member
group by 1, 2
union all
select d.datdba, r.oid, true, true, false
from pg_database d join pg_roles r on r.rolname = 'pg_database_owner' where d.datname = current_database()`
}

// rolesByOIDQuery lists every role of the cluster.
const rolesByOIDQuery = `select oid, rolname, array[rolsuper, rolcreatedb, rolcreaterole, rolreplication, rolbypassrls]
from pg_roles`

// withRoles is withPrincipals for roles that stand for themselves. $1 is their oids, or null for all.
const withRoles = `with principal as (
	select r.oid as role, r.oid as account from pg_roles r where $1::oid[] is null or r.oid = any($1::oid[])
)`

const observedOfRolesQuery = withRoles + observed

// ownSchema is true for names of schemas that belong to the server. What it gives there to everybody, and to the role
// that initdb made, is the same on every server and left out.
const ownSchema = `(o.k1 in ('pg_catalog', 'information_schema') or o.k1 ~ '^pg_(toast|temp)')`

// ownTypes limits typeClass.source: types that come with a table, a range or another type have no rights of their own
// until somebody gives some.
const ownTypes = ` left join pg_class c on c.oid = t.typrelid
	where t.typacl is not null or (t.typcategory <> 'A' and t.typtype <> 'm' and coalesce(c.relkind, 'c') = 'c')`

// rightsOfRolesQuery lists what the ACLs of every class give to the roles $1 (null: all) and to everybody (grantee 0),
// also what an object without an ACL gives by itself. The second column is true for what comes with ownership.
func rightsOfRolesQuery(version int) string {
	var parts []string
	for _, c := range classes() {
		if c.since > version {
			continue
		}
		source, acl, owned, given := c.source, "o.acl", "false", "x.grantee <> o.owner"
		if c.initial != "" {
			acl, owned, given = "coalesce(o.acl, acldefault('"+c.initial+"', o.owner))", "x.grantee = o.owner", "true"
		}
		if c.inSchema() {
			given = "(o.acl is not null and x.grantee not in (0, o.owner) or not " + ownSchema + ")"
		}
		if c == typeClass {
			source += ownTypes
		}
		parts = append(parts, "select x.grantee, "+owned+", '"+c.name+"', o.k1::text, o.k2::text, o.k3::text, x.privilege_type, "+
			"bool_or(x.is_grantable)\nfrom ("+source+") o, aclexplode("+acl+") x\n"+
			"where ($1::oid[] is null or x.grantee = 0 or x.grantee = any($1::oid[])) and "+given+"\ngroup by 1, 2, 4, 5, 6, 7")
	}
	return strings.Join(parts, "\nunion all\n")
}

// inSchema reports whether the first part of the target is the name of a schema.
func (c *class) inSchema() bool { return c == schemaClass || c.parts > 1 && c != defaultClass }
