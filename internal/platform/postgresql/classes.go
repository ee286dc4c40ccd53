package postgresql

import "slices"

var tablePrivileges = []string{"select", "insert", "update", "delete", "truncate", "references", "trigger", "maintain"}

// defaultSeparator stands before the key word that ends what a default privilege calls its object.
const defaultSeparator = "\n"

var (
	databaseClass = &class{
		name: "database", initial: "d", keyword: "database", parts: 1, example: "database:orders#connect",
		description: "A right on a database of the cluster.",
		privileges:  []string{"connect", "create", "temporary"},
		catalog:     "pg_database",
		source: `select oid as id, datname as k1, '' as k2, '' as k3, quote_ident(datname) as object, '' as attribute,
			datdba as owner, datacl as acl from pg_database`,
	}
	schemaClass = &class{
		name: "schema", initial: "n", keyword: "schema", parts: 1, example: "schema:finance#usage",
		description: "A right on a schema. The objects in it have rights of their own.",
		privileges:  []string{"usage", "create"},
		catalog:     "pg_namespace",
		source: `select oid as id, nspname as k1, '' as k2, '' as k3, quote_ident(nspname) as object, '' as attribute,
			nspowner as owner, nspacl as acl from pg_namespace`,
	}
	tableClass = &class{
		name: "table", initial: "r", keyword: "table", parts: 2, example: "table:finance.invoices#select",
		description: "A right on a table, view, materialized view, partitioned or foreign table.",
		privileges:  tablePrivileges,
		catalog:     "pg_class",
		source:      relations + ` where c.relkind in ('r', 'p', 'v', 'm', 'f')`,
	}
	columnClass = &class{
		name: "column", keyword: "table", parts: 3, example: "column:finance.invoices.amount#select",
		description: "A right on one column. It adds to the rights on the table.",
		privileges:  []string{"select", "insert", "update", "references"},
		catalog:     "pg_attribute",
		source: `select c.oid as id, n.nspname as k1, c.relname as k2, a.attname as k3,
			format('%I.%I', n.nspname, c.relname) as object, quote_ident(a.attname) as attribute,
			c.relowner as owner, a.attacl as acl
			from pg_attribute a join pg_class c on c.oid = a.attrelid join pg_namespace n on n.oid = c.relnamespace
			where c.relkind in ('r', 'p', 'v', 'm', 'f') and a.attnum <> 0 and not a.attisdropped`,
	}
	sequenceClass = &class{
		name: "sequence", initial: "s", keyword: "sequence", parts: 2, example: "sequence:finance.invoice_number#usage",
		description: "A right on a sequence.",
		privileges:  []string{"usage", "select", "update"},
		catalog:     "pg_class",
		source:      relations + ` where c.relkind = 'S'`,
	}
	functionClass = &class{
		name: "function", initial: "f", keyword: "routine", parts: 3, example: "function:finance.total(integer, text)#execute",
		description: "The right to call a function, procedure or aggregate, named with the types of its arguments as " +
			"the server prints them, without the arguments' names.",
		privileges: []string{"execute"},
		catalog:    "pg_proc",
		source: `select p.oid as id, n.nspname as k1, p.proname as k2, oidvectortypes(p.proargtypes) as k3,
			format('%I.%I(%s)', n.nspname, p.proname, oidvectortypes(p.proargtypes)) as object, '' as attribute,
			p.proowner as owner, p.proacl as acl from pg_proc p join pg_namespace n on n.oid = p.pronamespace`,
	}
	typeClass = &class{
		name: "type", initial: "T", keyword: "type", parts: 2, example: "type:finance.currency#usage",
		description: "The right to use a data type or domain in tables and functions.",
		privileges:  []string{"usage"},
		catalog:     "pg_type",
		source: `select t.oid as id, n.nspname as k1, t.typname as k2, '' as k3, format('%I.%I', n.nspname, t.typname) as object,
			'' as attribute, t.typowner as owner, t.typacl as acl
			from pg_type t join pg_namespace n on n.oid = t.typnamespace`,
	}
	languageClass = &class{
		name: "language", initial: "l", keyword: "language", parts: 1, example: "language:plpgsql#usage",
		description: "The right to write functions in a language.",
		privileges:  []string{"usage"},
		catalog:     "pg_language",
		source: `select oid as id, lanname as k1, '' as k2, '' as k3, quote_ident(lanname) as object, '' as attribute,
			lanowner as owner, lanacl as acl from pg_language`,
	}
	wrapperClass = &class{
		name: "foreign_data_wrapper", initial: "F", keyword: "foreign data wrapper", parts: 1,
		example:     "foreign_data_wrapper:postgres_fdw#usage",
		description: "The right to define foreign servers with a foreign-data wrapper.",
		privileges:  []string{"usage"},
		catalog:     "pg_foreign_data_wrapper",
		source: `select oid as id, fdwname as k1, '' as k2, '' as k3, quote_ident(fdwname) as object, '' as attribute,
			fdwowner as owner, fdwacl as acl from pg_foreign_data_wrapper`,
	}
	serverClass = &class{
		name: "foreign_server", initial: "S", keyword: "foreign server", parts: 1, example: "foreign_server:billing#usage",
		description: "The right to use a foreign server.",
		privileges:  []string{"usage"},
		catalog:     "pg_foreign_server",
		source: `select oid as id, srvname as k1, '' as k2, '' as k3, quote_ident(srvname) as object, '' as attribute,
			srvowner as owner, srvacl as acl from pg_foreign_server`,
	}
	tablespaceClass = &class{
		name: "tablespace", initial: "t", keyword: "tablespace", parts: 1, example: "tablespace:fast#create",
		description: "The right to place objects in a tablespace of the cluster.",
		privileges:  []string{"create"},
		catalog:     "pg_tablespace",
		source: `select oid as id, spcname as k1, '' as k2, '' as k3, quote_ident(spcname) as object, '' as attribute,
			spcowner as owner, spcacl as acl from pg_tablespace`,
	}
	largeObjectClass = &class{
		name: "large_object", initial: "L", keyword: "large object", parts: 1, example: "large_object:16401#select",
		description: "A right on a large object, named by its number.",
		privileges:  []string{"select", "update"},
		catalog:     "pg_largeobject", // although it is pg_largeobject_metadata
		source: `select oid as id, oid::text as k1, '' as k2, '' as k3, oid::text as object, '' as attribute,
			lomowner as owner, lomacl as acl from pg_largeobject_metadata`,
	}
	parameterClass = &class{
		name: "parameter", keyword: "parameter", parts: 1, example: "parameter:log_statement#set", since: 150000,
		description: "The right to change a configuration parameter that is otherwise reserved to superusers.",
		privileges:  []string{"set", "alter_system"},
		catalog:     "pg_parameter_acl",
		source: `select oid as id, parname as k1, '' as k2, '' as k3, parname as object, '' as attribute, 10::oid as owner,
			paracl as acl from pg_parameter_acl`,
		resolve: `select lower(s.name) as k1, '' as k2, '' as k3,
			(select string_agg(quote_ident(part), '.') from unnest(string_to_array(s.name, '.')) part) as object,
			'' as attribute, 10::oid as owner, p.paracl as acl
			from pg_settings s left join pg_parameter_acl p on p.parname = lower(s.name)`,
	}
	defaultClass = &class{
		name: "default_privilege", parts: 3, example: "default_privilege:app_owner.finance.tables#select",
		description: "A right on everything of a kind (`tables`, `sequences`, `functions`, `types`; `schemas`, `large objects`) " +
			"that the first-named role will create in the schema; `app_owner.tables` means in every schema.",
		privileges: append([]string{"usage", "create", "execute"}, tablePrivileges...),
		catalog:    "pg_default_acl",
		source: `select d.oid as id, r.rolname as k1, coalesce(n.nspname, '') as k2, ` + defaultKind + ` as k3, '' as object,
			'' as attribute, d.defaclrole as owner, d.defaclacl as acl
			from pg_default_acl d join pg_roles r on r.oid = d.defaclrole
			left join pg_namespace n on n.oid = d.defaclnamespace`,
		resolve: `select r.rolname as k1, n.nspname as k2, t.kind as k3,
			format('for role %I', r.rolname) ||
				case when n.oid = 0 then '' else format(' in schema %I', n.nspname) end || e'\n' || t.kind as object,
			'' as attribute, r.oid as owner, d.defaclacl as acl
			from pg_roles r
			cross join (select oid, nspname from pg_namespace union all select 0, '') n
			cross join (values ('r', 'tables'), ('S', 'sequences'), ('f', 'functions'), ('T', 'types'), ('n', 'schemas'),
				('L', 'large objects')) t(letter, kind)
			left join pg_default_acl d
				on d.defaclrole = r.oid and d.defaclnamespace = n.oid and d.defaclobjtype = t.letter::"char"`,
	}
)

// relations selects tables and sequences, and all else that is in pg_class.
const relations = `select c.oid as id, n.nspname as k1, c.relname as k2, '' as k3, format('%I.%I', n.nspname, c.relname) as object,
	'' as attribute, c.relowner as owner, c.relacl as acl, case c.relkind when 'S' then 'sequence' else 'table' end as kind
	from pg_class c join pg_namespace n on n.oid = c.relnamespace`

// relationClass is tableClass and sequenceClass in one query.
var relationClass = &class{catalog: "pg_class", source: relations + ` where c.relkind in ('r', 'p', 'v', 'm', 'f', 'S')`}

const defaultKind = `case d.defaclobjtype when 'r' then 'tables' when 'S' then 'sequences' when 'f' then 'functions'
	when 'L' then 'large objects' when 'T' then 'types' when 'n' then 'schemas' else d.defaclobjtype::text end`

// classes lists every class, in the order of the documentation. A table stands before its columns: taking a right on a
// table away also takes it from the columns, which then are put back.
func classes() []*class {
	return []*class{
		databaseClass, schemaClass, tableClass, columnClass, sequenceClass, functionClass, typeClass, languageClass,
		wrapperClass, serverClass, tablespaceClass, largeObjectClass, parameterClass, defaultClass,
	}
}

// catalogs is classes with one for each catalog: what one account holds, or a few objects, are looked up catalog by catalog.
func catalogs() []*class {
	all := slices.DeleteFunc(classes(), func(c *class) bool { return c == tableClass || c == sequenceClass })
	return append(all, relationClass)
}

func classNamed(name string) (*class, bool) {
	for _, c := range classes() {
		if c.name == name {
			return c, true
		}
	}
	return nil, false
}
