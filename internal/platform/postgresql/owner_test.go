package postgresql

import (
	"slices"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
)

// owned makes a schema with one object of each sort that an account can easily own, gives all of it to the account, and
// returns the entitlements in the order of the listing. Others hold rights there that the account has granted.
func (b *bench) owned(ref nhi.Ref, n string) []string {
	b.Helper()
	q := ident(ref.Name)
	b.s.exec(b.T, "create role "+n,
		"create schema "+n+" authorization "+q, "set role "+q+`;
			create table `+n+`.t (id serial, "B" int generated always as identity, c text);
			insert into `+n+`.t (c) values ('kept');
			create sequence `+n+`.loose;
			create view `+n+`."V w" as select 1 as one;
			create materialized view `+n+`.m as select 1 as one;
			create function `+n+`.f(a int, b text[], out c int) language sql as 'select 1';
			create procedure `+n+`.p() language sql as 'select 1';
			create aggregate `+n+`.total(int) (sfunc = int4pl, stype = int);
			create type `+n+`.mood as enum ('fine');
			create type `+n+`.pair as (a int, b int);
			create type `+n+`.span as range (subtype = int);
			create domain `+n+`.positive as int check (value > 0);
			create operator `+n+`.@+@ (leftarg = int, rightarg = int, function = int4pl);
			create collation `+n+`.plain from "C";
			create text search dictionary `+n+`.words (template = simple);
			create text search configuration `+n+`.english (copy = simple);
			create statistics `+n+`.stats on id, c from `+n+`.t;
			create conversion `+n+`.conv for 'LATIN1' to 'UTF8' from iso8859_1_to_utf8;
			grant select (c), insert on `+n+`.t to `+n+`;
			grant usage on schema `+n+` to `+n+`;
			reset role`)
	b.Cleanup(func() {
		b.s.exec(b.T, "drop schema "+n+" cascade", "drop owned by "+n, "drop role "+n)
	})
	return []string{
		"owner:aggregate " + n + ".total(integer)", "owner:collation " + n + ".plain", "owner:conversion " + n + ".conv",
		"owner:function " + n + ".f(integer,pg_catalog.text[])", "owner:materialized view " + n + ".m",
		"owner:operator " + n + ".@+@(integer,integer)", "owner:procedure " + n + ".p()", "owner:schema " + n,
		"owner:sequence " + n + `."t_B_seq"`, "owner:sequence " + n + ".loose", "owner:sequence " + n + ".t_id_seq",
		"owner:statistics object " + n + ".stats", "owner:table " + n + ".t",
		"owner:text search configuration " + n + ".english", "owner:text search dictionary " + n + ".words",
		"owner:type " + n + ".mood", "owner:type " + n + ".pair", "owner:type " + n + ".positive", "owner:type " + n + ".span",
		"owner:view " + n + `."V w"`,
	}
}

// heir makes a role that inherits and lasts longer than the accounts of the test.
func (s *server) heir(t *testing.T) string {
	t.Helper()
	name := unique("heir_")
	s.exec(t, "create role "+name)
	t.Cleanup(func() { s.exec(t, "drop owned by "+name+" cascade", "drop role "+name) })
	return name
}

func without(texts []string, gone ...string) []string {
	return slices.DeleteFunc(slices.Clone(texts), func(text string) bool { return slices.Contains(gone, text) })
}

func TestRevokeHandsOverWhatIsOwned(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	cfg, n := s.config(), unique("owned_")
	cfg.ReassignOwnedTo = s.heir(t)
	b := s.bench(t, cfg)
	ref := b.account()
	all := b.owned(ref, n)
	multirange := "owner:type " + n + ".span_multirange"
	if slices.Contains(nhi.Texts(b.read(ref).Entitlements), multirange) {
		all = append(all, multirange) // The server's version decides whether it is listed by itself.
	}
	b.wantHolds(ref, slices.Clone(all)...)

	// One object goes, everything else stays.
	one := []string{"owner:function " + n + ".f(integer,pg_catalog.text[])"}
	b.revoke(ref, one...)
	b.wantHolds(ref, without(all, one...)...)
	b.revoke(ref, one...)
	// A sequence of a column does not go without its table, and what is in the same call stays, too.
	err := b.c.Revoke(t.Context(), ref, parse(t, "owner:sequence "+n+".t_id_seq", "owner:sequence "+n+".loose"))
	b.wantError(err, driver.Unsupported, n+".t_id_seq", "belongs to another object")
	b.wantHolds(ref, without(all, one...)...)

	// The rest goes in one call with rights on what others own.
	b.s.exec(t, "create table "+n+".foreign_one (a int)", "grant select on "+n+".foreign_one to "+ident(ref.Name))
	rest := append(without(all, one...), "table:"+n+".foreign_one#select")
	b.wantHolds(ref, slices.Clone(rest)...)
	b.revoke(ref, rest...)
	b.wantHolds(ref)
	b.revoke(ref, rest...)

	if got := query[string](t, s, "select string_agg(c, ',') from "+n+".t"); got != "kept" {
		t.Errorf("the table holds %q", got)
	}
	if got := query[int64](t, s, `select count(*) from pg_shdepend where deptype in ('o', 'a') and refobjid = $1::text::oid
		and dbid <> 0`, ref.ID); got != 0 {
		t.Errorf("%d objects still know the account", got)
	}
	for _, class := range []string{"pg_class where relname in ('t', 'loose', 't_id_seq', 't_B_seq', 'V w', 'm') and rel",
		"pg_proc where pro", "pg_namespace where nsp"} {
		where := class + "owner = '" + cfg.ReassignOwnedTo + "'::regrole"
		if got := query[int64](t, s, "select count(*) from "+where); got == 0 {
			t.Errorf("the heir owns nothing in %s", where)
		}
	}
	for _, right := range []string{
		"has_table_privilege($1, '" + n + ".t', 'insert')", "has_schema_privilege($1, '" + n + "', 'usage')",
		"has_column_privilege($1, '" + n + ".t', 'c', 'select')",
	} {
		if !query[bool](t, s, "select "+right, n) {
			t.Errorf("others have lost a right: %s is false", right)
		}
		if query[bool](t, s, "select "+right, ref.Name) {
			t.Errorf("the account still has a right: %s", right)
		}
	}
}

// TestRevokeHandsOverInOtherDatabases has two objects in each of two databases, and a database of its own.
func TestRevokeHandsOverInOtherDatabases(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	cfg, n := s.config(), unique("kept_")
	cfg.ReassignOwnedTo = s.heir(t)
	b := s.bench(t, cfg)
	ref := b.account()
	q := ident(ref.Name)
	second, conn := s.database(t)
	third, other := s.database(t)
	for _, conn := range []*pgx.Conn{conn, other} {
		must(t, conn, "create table public."+n+" (id serial)", "insert into public."+n+" values (7)",
			"alter table public."+n+" owner to "+q,
			"create schema "+n+" authorization "+q, "create table public.foreign_one (a int)",
			"grant select on public.foreign_one to "+q,
			"alter default privileges for role "+q+" grant select on tables to public")
	}
	s.exec(t, "alter database "+third+" owner to "+q)
	here, there, database := "owner:objects in database "+second, "owner:objects in database "+third, "owner:database "+third
	b.wantHolds(ref, here, there, database)

	// REASSIGN OWNED would hand over the database, which nobody asked for.
	b.wantError(b.c.Revoke(t.Context(), ref, parse(t, here)), driver.Conflict, database)
	b.wantHolds(ref, here, there, database)
	b.revoke(ref, database, here)
	b.wantHolds(ref, there)

	// A database that cannot be reached is named and does not hold up the rest.
	s.exec(t, "create table public."+n+" (a int)", "alter table public."+n+" owner to "+q,
		"alter database "+third+" allow_connections false")
	b.wantError(b.c.Revoke(t.Context(), ref, parse(t, there, "owner:table public."+n)), driver.Unknown, third)
	b.wantHolds(ref, there)
	s.exec(t, "alter database "+third+" allow_connections true", "drop table public."+n)
	b.revoke(ref, there)
	b.wantHolds(ref)

	for _, conn := range []*pgx.Conn{conn, other} {
		var table, schema string
		var rows int
		var other bool
		err := conn.QueryRow(t.Context(), `select c.relowner::regrole::text, n.nspowner::regrole::text,
			(select count(*) from public.`+n+`), has_table_privilege($2, 'public.foreign_one', 'select')
			from pg_class c, pg_namespace n where c.oid = to_regclass('public.' || $1) and n.nspname = $1`, n, ref.Name).
			Scan(&table, &schema, &rows, &other)
		if err != nil || table != cfg.ReassignOwnedTo || schema != cfg.ReassignOwnedTo || rows != 1 {
			t.Errorf("table of %q, schema of %q, %d rows, %v", table, schema, rows, err)
		}
		if !other {
			t.Error("the right on another's table has gone")
		}
	}
	owner := "select datdba::regrole::text from pg_database where datname = $1"
	if got := query[string](t, s, owner, third); got != cfg.ReassignOwnedTo {
		t.Errorf("the database belongs to %q", got)
	}
	s.exec(t, "alter database "+third+" owner to current_user")
}

func TestRevokeNamesWhatStays(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	ref, n := b.account(), unique("stays_")
	q := ident(ref.Name)
	b.s.exec(t, "create schema "+n, "create table "+n+".t (a int)", "create policy mine on "+n+".t as restrictive to "+q,
		"create table "+n+".own (a int)", "alter table "+n+".own owner to "+q, "grant select on "+n+".t to "+q,
		"alter role "+q+" createdb", "create foreign data wrapper "+n, "create server "+n+" foreign data wrapper "+n,
		"create user mapping for "+q+" server "+n)
	t.Cleanup(func() {
		b.s.exec(t, "drop schema "+n+" cascade", "drop foreign data wrapper "+n+" cascade")
	})
	policy := "row_policy:" + n + ".t.mine"
	all := b.read(ref).Entitlements
	if len(all) != 5 {
		t.Fatalf("the account holds %q", nhi.Texts(all))
	}
	err := b.c.Revoke(t.Context(), ref, all)
	b.wantError(err, driver.Unsupported, "everything else was revoked", policy, "ALTER POLICY", "DROP USER MAPPING")
	left := nhi.Texts(b.read(ref).Entitlements)
	if len(left) != 2 || !slices.Contains(left, policy) {
		t.Errorf("left are %q, want the policy and the user mapping", left)
	}
	b.wantError(b.c.Grant(t.Context(), ref, parse(t, "owner:table "+n+".own")), driver.Invalid, "cannot be granted")
	b.s.exec(t, "drop policy mine on "+n+".t", "drop user mapping for "+q+" server "+n)
	if err := b.c.Revoke(t.Context(), ref, all); err != nil {
		t.Errorf("revoke what is not held: %v", err)
	}
}

// TestTemporaryTablesAreNoProperty has a live session with a temporary table: nobody can hand it over.
func TestTemporaryTablesAreNoProperty(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	ref := b.account()
	must(t, b.login(b.issue(ref, driver.IssueRequest{Label: "1"})),
		"create temporary table scratch (id serial, note text)", "create type pg_temp.mood as enum ('x')")
	b.wantHolds(ref)
}

func TestHandOverAsPlainAdmin(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	cfg, n := s.config(), unique("plain_")
	cfg.Username, cfg.Password = s.plainRole(t, "login createrole")
	cfg.ReassignOwnedTo = n + "heir"
	s.exec(t, "set role "+cfg.Username+"; create role "+cfg.ReassignOwnedTo+"; reset role", "create schema "+n)
	t.Cleanup(func() { s.exec(t, "drop schema "+n+" cascade", "drop role "+cfg.ReassignOwnedTo) })
	b := s.bench(t, cfg)
	ref := b.account()
	s.exec(t, "create table "+n+".t (id serial)", "alter table "+n+".t owner to "+ident(ref.Name))
	owned := []string{"owner:table " + n + ".t", "owner:sequence " + n + ".t_id_seq"}
	err := b.c.Revoke(t.Context(), ref, parse(t, owned...))
	b.wantError(err, driver.PermissionDenied, n+".t", "CREATE on the schema")
	b.wantHolds(ref, slices.Clone(owned)...)
	s.exec(t, "grant usage, create on schema "+n+" to "+cfg.ReassignOwnedTo)
	b.revoke(ref, owned...)
	b.wantHolds(ref)
	owner := "select relowner::regrole::text from pg_class where oid = to_regclass($1)"
	if got := query[string](t, s, owner, n+".t"); got != cfg.ReassignOwnedTo {
		t.Errorf("the table belongs to %q", got)
	}
	for _, role := range []string{ref.Name, cfg.ReassignOwnedTo} {
		if query[bool](t, s, "select pg_has_role($1::text, $2::text, 'usage')", cfg.Username, role) {
			t.Errorf("the admin is left a member of %q", role)
		}
	}
}

func TestHeirs(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	cfg, n := s.config(), unique("heirs_")
	b := s.bench(t, cfg)
	ref := b.account()
	s.exec(t, "create table public."+n+" (a int)", "alter table public."+n+" owner to "+ident(ref.Name))
	t.Cleanup(func() { s.exec(t, "drop table public."+n) })
	owned := parse(t, "owner:table public."+n)
	for _, heir := range []string{ref.Name, unique("absent_")} {
		cfg.ReassignOwnedTo = heir
		other := s.bench(t, cfg)
		other.wantError(other.c.Revoke(t.Context(), ref, owned), driver.Invalid, heir, "reassign_owned_to")
	}
	b.revoke(ref, "owner:table public."+n)
	owner := "select relowner::regrole::text from pg_class where oid = to_regclass($1)"
	if got := query[string](t, s, owner, n); got != s.bed.Username {
		t.Errorf("the table belongs to %q, want our own role", got)
	}
	// What our own role owns has nobody to go to.
	cfg = s.config()
	cfg.Username, cfg.Password = s.plainRole(t, "login superuser")
	s.exec(t, "create schema "+n+" authorization "+cfg.Username)
	b = s.bench(t, cfg)
	err := b.c.Revoke(t.Context(), refNamed(cfg.Username), parse(t, "owner:schema "+n))
	b.wantError(err, driver.Invalid, cfg.Username, "reassign_owned_to")
}
