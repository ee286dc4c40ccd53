package postgresql

// actingQuery lists what the role $1 got in this transaction, by REASSIGN OWNED or ALTER ... OWNER TO, and what makes
// PostgreSQL use the rights of its owner, although somebody else sets it off; and how much there is of it. $2 are the roles
// that it came from, $3 the subscriptions that they had, $4 how many rows to return.
//
// A row that was changed in this transaction bears its number (xmin). We can't ask pg_shdepend: what the cluster's first
// superuser owns isn't in there. Of pg_subscription not everybody may read xmin.
//
// What the owner's rights are used for:
//   - Routines with SECURITY DEFINER.
//   - Rules, so views: their relations are reached as the owner. Functions in them run as the caller. A view with
//     security_invoker (from version 15 on) reaches its relations as the caller, too; other rules of it don't.
//   - REFRESH of a materialized view, and ANALYZE of a foreign table, which connects as the owner's user mapping says.
//   - ANALYZE, also by autovacuum, REINDEX and the like: expressions and predicates of indexes, extended statistics, and the
//     functions of types of columns.
//   - Foreign keys. ON DELETE CASCADE and its like change the referencing table as its owner, with its triggers (BEFORE) and
//     CHECK constraints; and its values are compared in the referenced table as the owner of that, with the casts of the
//     type of the referencing column, which somebody with the right REFERENCES can choose.
//   - Subscriptions: what arrives is written as the owner of the subscription, or (from version 16 on) of the table.
//
// A function may be trusted here if it is the server's own, on which no dependency is recorded, or in a language in which
// only superusers write. Its owner says nothing: it may have inherited the function. Casts below 16384 are the server's own, too
// (FirstNormalObjectId).
const actingQuery = `with recursive relation as (
	select c.oid, c.relkind, c.relacl, coalesce((select o.option_value::boolean
			from pg_options_to_table(c.reloptions) o where o.option_name = 'security_invoker'), false) as invoker
	from pg_class c
	where c.relowner = $1::oid and c.xmin = pg_current_xact_id()::xid and c.relkind in ('r', 'p', 'v', 'm', 'f')
), granted as (
	select r.*, x.privilege_type as privilege from relation r, aclexplode(r.relacl) x where x.grantee <> $1::oid
	union all
	select r.*, x.privilege_type from relation r join pg_attribute a on a.attrelid = r.oid, aclexplode(a.attacl) x
	where a.attacl is not null and x.grantee <> $1::oid
), changed as (
	select r.oid, f.confdeltype = 'd' or f.confupdtype = 'd' as by_default from relation r join pg_constraint f on f.conrelid = r.oid
	where f.contype = 'f' and (f.confdeltype in ('c', 'n', 'd') or f.confupdtype in ('c', 'n', 'd'))
), piece(relation, class, object) as (
	select r.oid, 'pg_class'::regclass::oid, r.oid from relation r where r.relkind <> 'v'
	union all
	select r.oid, 'pg_class'::regclass, i.indexrelid from relation r join pg_index i on i.indrelid = r.oid
	union all
	select r.oid, 'pg_statistic_ext'::regclass, s.oid from relation r join pg_statistic_ext s on s.stxrelid = r.oid
	union all
	select r.oid, 'pg_constraint'::regclass, k.oid from relation r join pg_constraint k on k.conrelid = r.oid
	union all
	select r.oid, 'pg_attrdef'::regclass, e.oid
	from relation r join pg_attribute a on a.attrelid = r.oid and a.attgenerated <> ''
		join pg_attrdef e on e.adrelid = a.attrelid and e.adnum = a.attnum
	union all
	select r.oid, 'pg_cast'::regclass, k.oid
	from relation r join pg_depend d on d.refclassid = 'pg_class'::regclass and d.refobjid = r.oid
			and d.classid = 'pg_constraint'::regclass
		join pg_constraint f on f.oid = d.objid and f.contype = 'f'
		join pg_attribute a on a.attrelid = f.conrelid and a.attnum = any(f.conkey)
		join pg_cast k on k.castsource = a.atttypid and k.oid >= 16384
), needs(relation, class, object) as (
	select * from piece
	union
	select n.relation, d.class, d.object from needs n cross join lateral (
		select d.refclassid, d.refobjid from pg_depend d where d.classid = n.class and d.objid = n.object
		union all
		select 'pg_constraint'::regclass, k.oid from pg_constraint k where n.class = 'pg_type'::regclass and k.contypid = n.object
	) d(class, object)
), acting(class, object, why) as (
	select 'pg_proc'::regclass::oid, p.oid, 'SECURITY DEFINER'
	from pg_proc p where p.proowner = $1::oid and p.xmin = pg_current_xact_id()::xid and p.prosecdef
	union all
	select 'pg_class'::regclass, g.oid, 'others hold rights on it, and its rules act as its owner'
	from granted g join pg_rewrite w on w.ev_class = g.oid
	where g.relkind <> 'm' and not (w.ev_type = '1' and g.invoker)
	union all
	select 'pg_class'::regclass, r.oid, case r.relkind when 'm' then 'REFRESH' else 'ANALYZE' end || ' reads as its owner'
	from relation r where r.relkind in ('m', 'f')
	union all
	select 'pg_class'::regclass, n.relation, 'its indexes, constraints or types call ' || p.oid::regprocedure
	from needs n join pg_proc p on n.class = 'pg_proc'::regclass and p.oid = n.object
		join pg_language l on l.oid = p.prolang and l.lanpltrusted
	union all
	select 'pg_class'::regclass, c.oid, 'its foreign keys change it as its owner'
	from changed c where c.by_default
		or exists (select from pg_trigger t where t.tgrelid = c.oid and not t.tgisinternal)
		or exists (select from granted g where g.oid = c.oid and g.privilege = 'TRIGGER')
		or exists (select from pg_constraint k where k.conrelid = c.oid and k.contype = 'c' and k.conbin::text ~ 'FUNCEXPR')
	union all
	select 'pg_class'::regclass, g.oid, 'others hold REFERENCES on it' from granted g where g.privilege = 'REFERENCES'
	union all
	select 'pg_class'::regclass, r.oid, 'a subscription writes it as its owner'
	from relation r where exists (select from pg_subscription_rel s where s.srrelid = r.oid)
	union all
	select 'pg_subscription'::regclass, s.oid, 'it writes as its owner'
	from unnest($3::oid[]) s(oid) where not exists (
		select from pg_shdepend d where d.classid = 'pg_subscription'::regclass and d.objid = s.oid and ` + ownedBy + `)
)
select i.type || ' ' || i.identity || ' (' || string_agg(distinct a.why, ', ') || ')', count(*) over ()
from acting a cross join lateral pg_identify_object(a.class, a.object, 0) i
group by i.type, i.identity order by 1 limit $4::int`
