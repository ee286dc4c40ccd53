package postgresql

import "strings"

// withLogins begins every query about accounts: login lists our credential roles with the account that each belongs to.
const withLogins = `with login as (
	select distinct m.member as role, m.roleid as account
	from pg_shdescription s join pg_auth_members m on m.member = s.objoid
	where s.classoid = 'pg_authid'::regclass and s.description like '` + loginMark + `' || m.roleid || ':%'
)`

// withPrincipals adds principal: every role that is an account or belongs to one, or those of the account with the oid $1 if
// that is not 0. What somebody granted to a credential role counts as held by its account, so that it shows.
const withPrincipals = withLogins + `, principal as (
	select r.oid as role, coalesce(l.account, r.oid) as account
	from pg_roles r left join login l on l.role = r.oid
	where r.rolname !~ '^pg_' and ($1::oid = 0 or coalesce(l.account, r.oid) = $1::oid)
)`

// ownRole is the oid of the role that we logged in as, askedRole that of the role with the oid $1, or else with the name $2:
// functions that need no plan. The server cuts a name that is too long, so the answer may be about another one.
const (
	ownRole   = `to_regrole(quote_ident(session_user))::oid`
	askedRole = `(select case when $1::oid <> 0 then $1::oid else to_regrole(quote_ident($2::text))::oid end)`
)

// rolesQuery lists the roles of all accounts, each with its memberships.
// It always lists the role that we logged in as, too: an answer without that one is not a whole answer.
func rolesQuery(f facts) string {
	return roleColumns(f, "null::text[]") + "\nwhere r.rolname = session_user or r.rolname !~ '^pg_'"
}

// rolesOfQuery is rolesQuery for the account that askedRole names, with what depends on its roles. It is the only query about
// roles when one account is read or changed, and finds all in large catalogs by index. To plan it takes longer than to carry it
// out, and the plans of a connection are void as soon as anybody changes a right on a schema; subqueries are planned faster than
// joins.
func rolesOfQuery(f facts) string {
	return roleColumns(f, `case when r.rolname <> session_user or r.oid = `+askedRole+` then
		array(select `+dependent+` || ' ' || d.objid from pg_shdepend d where d.refclassid = 'pg_authid'::regclass and d.refobjid = r.oid
			and (d.deptype <> 'a' or d.dbid in (0, (select oid from pg_database where datname = current_database())))) end`) + `
where r.oid = any((select array[` + ownRole + `, ` + askedRole + `] || array(select m.member
	from pg_auth_members m join pg_shdescription s on s.objoid = m.member and s.classoid = 'pg_authid'::regclass
	where m.roleid = ` + askedRole + ` and s.description like '` + loginMark + `' || m.roleid || ':%'))::oid[])`
}

// roleColumns selects what scanRole reads.
func roleColumns(f facts, depends string) string {
	roles, password := "pg_roles", "null::boolean"
	if f.passwords {
		roles, password = "pg_authid", "r.rolpassword is not null"
	}
	return `select r.oid, r.rolname, r.rolcanlogin,
	array[r.rolsuper, r.rolcreatedb, r.rolcreaterole, r.rolreplication, r.rolbypassrls], r.rolconnlimit,
	case when r.rolvaliduntil = '-infinity' then 'epoch' when isfinite(r.rolvaliduntil) then r.rolvaliduntil end,
	coalesce((select s.description from pg_shdescription s where s.objoid = r.oid and s.classoid = 'pg_authid'::regclass), ''),
	` + password + `, r.rolname = session_user,
	array(select json_build_object('oid', m.roleid::int8, 'role', (select g.rolname from ` + roles + ` g where g.oid = m.roleid),
		'admin', m.admin_option, 'grantor', pg_get_userbyid(m.grantor)) from pg_auth_members m where m.member = r.oid), ` + depends + `
from ` + roles + ` r`
}

// dependent names the catalog of an object whose access control list names a role, and is "observed" of what a role owns, or
// of a policy that names it. The server keeps these so that no role is dropped that is still needed
// (https://www.postgresql.org/docs/current/catalog-pg-shdepend.html).
const dependent = `case when d.deptype <> 'a' then '` + dependsObserved + `'
			when d.objsubid <> 0 then 'pg_attribute' else d.classid::regclass::text end`

const dependsObserved = "observed"

// firstFreeOID is the first oid of what initdb has not made. The server keeps no dependencies on what is older.
const firstFreeOID = 16384

// entitlementsQuery lists what the access control lists of every class give to accounts. Rights that come with ownership are
// left out: the ownership itself is listed.
func entitlementsQuery(version int) string {
	var all []string
	for _, c := range classes() {
		if c.since <= version {
			all = append(all, "\nselect p.account, '"+c.name+"', o.k1::text, o.k2::text, o.k3::text, x.privilege_type,\n"+
				"\tbool_or(x.is_grantable)\nfrom ("+c.source+") o, aclexplode(o.acl) x, principal p\n"+
				"where o.acl is not null and x.grantee = p.role and x.grantee <> o.owner\ngroup by 1, 3, 4, 5, 6")
		}
	}
	return withPrincipals + strings.Join(all, "\nunion all")
}

// heldByQuery lists what the access control lists of the objects $2 give to the roles $3 of the account $1, as
// entitlementsQuery does. A right that two roles hold, or that two have granted, is listed twice.
func (c *class) heldByQuery() string {
	return `select $1::oid, ` + c.kind() + `, o.k1::text, o.k2::text, o.k3::text, x.privilege_type, x.is_grantable
from (` + c.source + `) o, aclexplode(o.acl) x
where o.id = any($2::oid[]) and x.grantee = any($3::oid[]) and x.grantee <> o.owner`
}

// ownedHere selects what roles own in our database or in none: d is the dependency, i is how the server names the
// object. Default privileges that a role set for what it creates itself give nothing to it and are no property; the
// temporary objects of sessions end with those.
const ownedHere = `from pg_shdepend d cross join lateral pg_identify_object(d.classid, d.objid, d.objsubid) i
where d.refclassid = 'pg_authid'::regclass and d.deptype = 'o' and d.classid <> 'pg_default_acl'::regclass
	and d.dbid in (0, (select oid from pg_database where datname = current_database()))
	and i.identity is not null and coalesce(i.schema, '') !~ '^pg_(toast_)?temp'`

// observedQuery lists what accounts own and which row-level security policies name them. Of another database nothing is
// known but that there is something, and that alone it lists; user mappings there cannot be handed over and do not count.
const observedQuery = withPrincipals + observed

// observedByQuery is observedQuery for the roles $1 of one account, $2.
const observedByQuery = `with principal as (select unnest($1::oid[]) as role, $2::oid as account)` + observed

const observed = `
select p.account, '` + typeOwner + `', o.target, '', ''
from (select d.refobjid as owner, i.type || ' ' || i.identity as target ` + ownedHere + `) o
	join principal p on p.role = o.owner
group by 1, 3
union all
select p.account, '` + typeOwner + `', '` + ownedElsewhere + `' || b.datname, '', ''
from pg_shdepend d join principal p on p.role = d.refobjid
	join pg_database b on b.oid = d.dbid and b.datname <> current_database()
where d.refclassid = 'pg_authid'::regclass and d.deptype = 'o'
	and d.classid <> all (array['pg_default_acl'::regclass, 'pg_user_mapping'::regclass]::oid[])
group by 1, 3
union all
select p.account, '` + typePolicy + `', n.nspname, c.relname, y.polname
from pg_policy y join pg_class c on c.oid = y.polrelid join pg_namespace n on n.oid = c.relnamespace
	join principal p on p.role = any(y.polroles)
group by 1, 2, 3, 4, 5`

// objectsQuery finds objects by the parts of their names, each among $2, $3 and $4, and who of the roles $1 holds what on
// each. An object on which they hold nothing has one row without a privilege. It may find more objects than were meant.
func (c *class) objectsQuery() string {
	return `select ` + c.kind() + `, o.k1::text, o.k2::text, o.k3::text, o.object, o.attribute, o.owner,
	coalesce(x.grantee, 0), coalesce(x.privilege_type, ''),
	coalesce(x.is_grantable, false), coalesce(pg_get_userbyid(x.grantor)::text, ''),
	coalesce(x.grantor = o.owner or pg_get_userbyid(x.grantor) = current_user, false)
from (` + c.resolveSource() + `) o
	left join lateral aclexplode(o.acl) x on x.grantee = any($1::oid[]) and x.grantee <> o.owner
where o.k1 = any($2::text[]) and o.k2 = any($3::text[]) and o.k3 = any($4::text[])`
}

// rolesThereQuery lists those of the names $1 that are roles.
const rolesThereQuery = `select w.name from unnest($1::text[]) w(name)
where pg_get_userbyid(to_regrole(quote_ident(w.name))) = w.name`
