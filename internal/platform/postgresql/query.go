package postgresql

import "strings"

// withLogins begins every query about accounts: login lists our credential roles with the account that each belongs to.
const withLogins = `with login as (
	select distinct m.member as role, m.roleid as account
	from pg_shdescription s join pg_auth_members m on m.member = s.objoid
	where s.classoid = 'pg_authid'::regclass and s.description like '` + loginMark + `%'
		and split_part(s.description, ':', 3) = m.roleid::text
)`

// ofAccount limits r, with its login l, to the account with the oid $1, or else to the one with the name $2, if either is
// given.
const ofAccount = `case
	when $1::oid <> 0 then coalesce(l.account, r.oid) = $1::oid
	when $2::text <> '' then coalesce(l.account, r.oid) = (select oid from pg_roles where rolname = $2::text)
	else true end`

// withPrincipals adds principal: every role that is an account or belongs to one, as ofAccount says. What somebody granted
// to a credential role counts as held by its account, so that it shows.
const withPrincipals = withLogins + `, principal as (
	select r.oid as role, coalesce(l.account, r.oid) as account
	from pg_roles r left join login l on l.role = r.oid
	where r.rolname !~ '^pg_' and ` + ofAccount + `
)`

// rolesQuery lists the roles of all accounts, or as ofAccount says.
// It always lists the role that we logged in as, too: an answer without that one is not a whole answer.
func rolesQuery(passwords, dependencies bool) string {
	password, depends := "null::boolean", "null::text[]"
	if passwords {
		password = "(select a.rolpassword is not null from pg_authid a where a.oid = r.oid)"
	}
	if dependencies {
		depends = dependsOn
	}
	return withLogins + `
select r.oid, r.rolname, coalesce(l.account, r.oid), r.rolcanlogin,
	array[r.rolsuper, r.rolcreatedb, r.rolcreaterole, r.rolreplication, r.rolbypassrls], r.rolconnlimit,
	case when r.rolvaliduntil = '-infinity' then 'epoch' when isfinite(r.rolvaliduntil) then r.rolvaliduntil end,
	coalesce(s.description, ''), ` + password + `, r.rolname = session_user, ` + depends + `
from pg_roles r left join login l on l.role = r.oid
	left join pg_shdescription s on s.objoid = r.oid and s.classoid = 'pg_authid'::regclass
where r.rolname = session_user or r.rolname !~ '^pg_' and ` + ofAccount
}

// dependsOn names the catalogs with rights of the role r, and "observed" if it owns something or a policy names it. The
// server keeps these so that no role is dropped that is still needed
// (https://www.postgresql.org/docs/current/catalog-pg-shdepend.html).
const dependsOn = `array(select distinct case when d.deptype <> 'a' then '` + dependsObserved + `'
			when d.objsubid <> 0 then 'pg_attribute' else d.classid::regclass::text end
		from pg_shdepend d where d.refclassid = 'pg_authid'::regclass and d.refobjid = r.oid
			and (d.deptype <> 'a' or d.dbid in (0, (select oid from pg_database where datname = current_database()))))`

const dependsObserved = "observed"

// firstFreeOID is the first oid of what initdb has not made. The server keeps no dependencies on what is older.
const firstFreeOID = 16384

// membershipsHeld lists the memberships of accounts as the type "role".
const membershipsHeld = `
select p.account, 'role', r.rolname::text, '', '', '', bool_or(m.admin_option)
from pg_auth_members m join principal p on p.role = m.member join pg_roles r on r.oid = m.roleid
where m.roleid <> p.account
group by 1, 3`

// held lists what the access control lists of the class give to accounts, of the objects that the condition is true for.
// Rights that come with ownership are left out: the ownership itself is listed.
func (c *class) held(condition string) string {
	return "\nselect p.account, '" + c.name + "', o.k1::text, o.k2::text, o.k3::text, x.privilege_type, bool_or(x.is_grantable)\n" +
		"from (" + c.source + ") o, aclexplode(o.acl) x, principal p\n" +
		"where o.acl is not null and x.grantee = p.role and x.grantee <> o.owner" + condition + "\ngroup by 1, 3, 4, 5, 6"
}

// entitlementsQuery lists what the ACLs of every class give to accounts, and their memberships.
func entitlementsQuery(version int) string {
	all := []string{withPrincipals + membershipsHeld}
	for _, c := range classes() {
		if c.since <= version {
			all = append(all, c.held(""))
		}
	}
	return strings.Join(all, "\nunion all")
}

// withRolesOf begins queries about one account: principal is its roles, $1, with its own oid, $2.
const withRolesOf = `with principal as (select unnest($1::oid[]) as role, $2::oid as account)`

// heldByQuery is held for the roles of one account. It looks at those objects alone of which the server knows that their
// lists name one of the roles, and can be planned in a fraction of the time that entitlementsQuery takes: the plans of a
// connection are void as soon as anybody changes a right on a schema.
func (c *class) heldByQuery() string {
	return withRolesOf + c.held(" and o.id in (select d.objid from pg_shdepend d"+
		" where d.refclassid = 'pg_authid'::regclass and d.refobjid = any($1::oid[]) and d.deptype = 'a')")
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

// objectsQuery finds objects of a class by their names ($1, $2, $3: one array for each part) and who of the roles $4
// holds what on each. An object on which they hold nothing has one row without a privilege.
func (c *class) objectsQuery() string {
	return `select w.n, o.object, o.attribute, o.owner, coalesce(x.grantee, 0), coalesce(x.privilege_type, ''),
	coalesce(x.is_grantable, false), coalesce(pg_get_userbyid(x.grantor)::text, ''),
	coalesce(x.grantor = o.owner or pg_get_userbyid(x.grantor) = current_user, false)
from unnest($1::text[], $2::text[], $3::text[]) with ordinality w(k1, k2, k3, n)
	join (` + c.resolveSource() + `) o on o.k1 = w.k1 and o.k2 = w.k2 and o.k3 = w.k3
	left join lateral aclexplode(o.acl) x on x.grantee = any($4::oid[]) and x.grantee <> o.owner`
}
