package postgresql

import (
	"context"
	"strings"
	"testing"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
)

// legacy is a way to leave something behind that acts with its owner's rights when somebody else sets it off. In the SQL,
// N is a schema in which everybody may create, and OTHER another role.
type legacy struct {
	name string
	make string // what the account does
	says string // what the error says of it
	// other and admin set it off, as OTHER and as the administrator. Then N.seen contains the name of the owner.
	other, admin string
}

// withColumn makes a table with a column of the type and one row.
func withColumn(kind, value string) string {
	return "create table N.t (a " + kind + "); insert into N.t values (" + value + ");"
}

// references makes two tables of which one refers to the other, to which others may do anything but change it.
func references(actions, columns string) string {
	return "create table N.p (id int primary key); insert into N.p values (1), (2); grant delete, update, select on N.p to OTHER;" +
		"create table N.c (a int references N.p on " + actions + columns + "); insert into N.c (a) values (2);"
}

const (
	trigger = `create function N.fire() returns trigger language plpgsql as 'begin perform N.note(); return coalesce(new, old); end';
		create trigger fire before insert or update or delete on N.c for each row execute function N.fire();`
	mood = `create type N.mood as enum ('fine');
		create function N.number(N.mood) returns int immutable language plpgsql as 'begin return N.pure(1); end';
		create cast (N.mood as int) with function N.number(N.mood) as implicit;`
	changes = "its foreign keys change it as its owner"
)

var legacies = []legacy{
	{
		name:  "definer function",
		make:  "create function N.f() returns int security definer language plpgsql as 'begin return N.note(); end'",
		says:  "function N.f() (SECURITY DEFINER)",
		other: "select N.f()",
	}, {
		name: "definer procedure that only others may call",
		make: "create procedure N.f() security definer language plpgsql as 'begin perform N.note(); end';" +
			"revoke all on procedure N.f() from public; grant execute on procedure N.f() to OTHER",
		says:  "procedure N.f() (SECURITY DEFINER)",
		other: "call N.f()",
	}, {
		name:  "view",
		make:  "create view N.v as select role from N.hidden; grant select on N.v to OTHER",
		says:  "view N.v (others hold rights on it",
		other: "insert into N.seen select role from N.v",
	}, {
		name:  "column of a view",
		make:  "create view N.v as select role from N.hidden; grant select (role) on N.v to public",
		says:  "view N.v (others hold rights on it",
		other: "insert into N.seen select role from N.v",
	}, {
		name: "rule of a table",
		make: "create table N.t (a int); grant insert on N.t to OTHER;" +
			"create rule r as on insert to N.t do also insert into N.seen select role from N.hidden",
		says:  "table N.t (others hold rights on it",
		other: "insert into N.t values (1)",
	}, {
		name: "rule of a view that acts as its caller",
		make: "create view N.v with (security_invoker = on) as select 1 as a; create rule r as on insert to N.v do instead " +
			"insert into N.seen select role from N.hidden; grant insert on N.v to OTHER",
		says:  "view N.v (others hold rights on it",
		other: "insert into N.v values (1)",
	}, {
		name:  "materialized view",
		make:  "create materialized view N.m as select N.note() as one with no data",
		says:  "materialized view N.m (REFRESH",
		admin: "refresh materialized view N.m",
	}, {
		name:  "index",
		make:  withColumn("int", "1") + "create index on N.t (N.pure(a))",
		says:  "table N.t (its indexes, constraints or types call N.pure(integer))",
		admin: "analyze N.t",
	}, {
		name:  "predicate of an index",
		make:  withColumn("int", "1") + "create index on N.t (a) where N.pure(a) > 0",
		says:  "call N.pure(integer)",
		admin: "reindex table N.t",
	}, {
		name: "operator in an index",
		make: withColumn("int", "1") +
			"create operator N.@@ (rightarg = int, function = N.pure); create index on N.t ((operator(N.@@) a))",
		says:  "call N.pure(integer)",
		admin: "analyze N.t",
	}, {
		name:  "domain in an index",
		make:  withColumn("int", "1") + "create domain N.d as int check (N.pure(value) > 0); create index on N.t ((a::N.d))",
		says:  "call N.pure(integer)",
		admin: "analyze N.t",
	}, {
		name: "range type",
		make: "create function N.diff(int, int) returns float8 immutable language plpgsql as 'begin return N.pure($1 - $2); end';" +
			"create type N.span as range (subtype = int, subtype_diff = N.diff);" + withColumn("N.span", "'[1,5)'"),
		says:  "call N.diff(integer,integer)",
		admin: "analyze N.t",
	}, {
		name:  "statistics",
		make:  withColumn("int", "1") + "create statistics N.s on (N.pure(a)) from N.t",
		says:  "call N.pure(integer)",
		admin: "analyze N.t",
	}, {
		name:  "trigger behind ON DELETE CASCADE",
		make:  references("delete cascade", "") + trigger,
		says:  "table N.c (" + changes,
		other: "delete from N.p",
	}, {
		name:  "trigger behind ON UPDATE SET NULL",
		make:  references("update set null", "") + trigger,
		says:  changes,
		other: "update N.p set id = 3 where id = 2",
	}, {
		name:  "right to make a trigger behind ON DELETE CASCADE",
		make:  references("delete cascade", "") + "grant trigger on N.c to OTHER",
		says:  changes,
		other: trigger + "delete from N.p",
	}, {
		name:  "default behind ON DELETE SET DEFAULT",
		make:  references("delete set default", " default N.note()"),
		says:  changes,
		other: "delete from N.p where id = 2",
	}, {
		name:  "check of the server's own functions behind ON UPDATE CASCADE",
		make:  references("update cascade", " check (query_to_xml('select N.note()', true, true, '') is not null)"),
		says:  changes,
		other: "update N.p set id = 3 where id = 2",
	}, {
		name:  "generated column behind ON UPDATE CASCADE",
		make:  references("update cascade", ", b int generated always as (N.pure(a)) stored"),
		says:  "call N.pure(integer)",
		other: "update N.p set id = 3 where id = 2",
	}, {
		name: "cast of a foreign key",
		make: "create table N.p (id int primary key); insert into N.p values (1);" + mood +
			"create table N.c (a N.mood references N.p); grant insert on N.c to OTHER",
		says:  "table N.p (its indexes, constraints or types call N.number(N.mood))",
		other: "insert into N.c values ('fine')",
	}, {
		name:  "right to refer to a table",
		make:  "create table N.p (id int primary key); insert into N.p values (1); grant references on N.p to OTHER",
		says:  "table N.p (others hold REFERENCES on it)",
		other: mood + "create table N.c (a N.mood references N.p); insert into N.c values ('fine')",
	},
}

// estate is where accounts leave things behind. N.note() writes down as whom it runs; N.pure() does it where only immutable
// functions are allowed; N.hidden can be read by the heir only.
type estate struct {
	*bench
	schema, other, heir string
}

func (b *bench) estate() estate {
	b.Helper()
	e := estate{bench: b, schema: unique("left_"), other: unique("other_"), heir: b.s.heir(b.T)}
	b.s.exec(b.T, "create role "+e.other)
	b.Cleanup(func() {
		b.s.exec(b.T, "drop schema "+e.schema+" cascade", "drop owned by "+e.other, "drop role "+e.other)
	})
	e.exec(`create schema N; grant usage, create on schema N to public; grant usage on schema N to OTHER;
		create table N.seen (role text); grant insert on N.seen to public;
		create table N.hidden (role text); insert into N.hidden values ('` + e.heir + `'); grant select on N.hidden to ` + e.heir + `;
		create function N.note() returns int language plpgsql as 'begin insert into N.seen values (current_user); return 1; end';
		create function N.pure(int) returns int immutable language plpgsql as 'begin perform N.note(); return $1; end';`)
	return e
}

func (e estate) sql(text string) string {
	return strings.NewReplacer("N.", e.schema+".", "schema N", "schema "+e.schema, "OTHER", e.other).Replace(text)
}

// exec runs SQL as the administrator, as does it as another role.
func (e estate) exec(text string) {
	e.Helper()
	e.s.exec(e.T, e.sql(text))
}

func (e estate) as(role, text string) {
	e.Helper()
	e.exec("set role " + ident(role) + "; " + text + "; reset role")
}

// locked checks that an account that was not deleted can no longer log in, and that it owns what it owned.
func (e estate) locked(ref nhi.Ref, issued driver.Issued, owned []string) {
	e.Helper()
	if got := e.read(ref).Status; got != nhi.Suspended {
		e.Errorf("status is %q, want %q", got, nhi.Suspended)
	}
	if err := e.c.Verify(e.Context(), issued.Login, issued.Secret); err == nil {
		e.Error("the account can still log in")
	}
	e.wantHolds(ref, owned...)
}

// TestNothingActsForAMightyHeir leaves something behind in each way, and sees it refused by default. Then it goes to an heir
// with no rights of its own, and what it does when set off shows that it was refused for a reason.
func TestNothingActsForAMightyHeir(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	for _, l := range legacies {
		t.Run(l.name, func(t *testing.T) {
			t.Parallel()
			b := s.bench(t, s.config())
			ref := b.account()
			e := b.estate()
			e.as(ref.Name, l.make)
			issued := e.issue(ref, driver.IssueRequest{Label: "1"})
			owned := nhi.Texts(e.read(ref).Entitlements)

			err := b.c.DeleteAccount(t.Context(), ref)
			e.wantError(err, driver.Invalid, e.sql(l.says), "can no longer log in", "nothing in this database has changed hands",
				s.bed.Username, "reassign_owned_to")
			e.locked(ref, issued, owned)

			cfg := s.config()
			cfg.ReassignOwnedTo = e.heir
			if err := s.bench(t, cfg).c.DeleteAccount(t.Context(), ref); err != nil {
				t.Fatalf("delete in favour of an heir without rights: %v", err)
			}
			e.exec("truncate N.seen")
			if l.other != "" {
				e.as(e.other, l.other)
			}
			if l.admin != "" {
				e.exec(l.admin)
			}
			if !query[bool](t, s, e.sql("select exists (select from N.seen where role = $1)"), e.heir) {
				t.Error("it does not act as the heir, so there was no reason to refuse it")
			}
		})
	}
}

// TestHarmlessThingsGoToTheDefaultHeir leaves behind what looks like the things above and acts for nobody.
func TestHarmlessThingsGoToTheDefaultHeir(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	ref := b.account()
	e := b.estate()
	e.as(ref.Name, references("delete cascade on update cascade",
		` check (a > 0), b text collate "C", c int generated always as (a + 1) stored`)+`
		create index on N.c (lower(b)) where a <> 3;
		create statistics N.s on a, b from N.c;
		grant insert, update, trigger on N.p to OTHER;
		create table N.t (id serial, made timestamptz default now(), n int default N.note());
		create function N.stamp() returns trigger language plpgsql as 'begin new.made = now(); return new; end';
		create trigger stamp before update on N.t for each row execute function N.stamp();
		create view N.own as select * from N.hidden;
		create view N.invoker with (security_invoker = true) as select * from N.hidden;
		grant select on N.invoker to public;
		create function N.f() returns int language sql as 'select 1';
		create type N.kind as enum ('x');
		create sequence N.loose; grant usage on N.loose to OTHER;`)
	if err := b.c.DeleteAccount(t.Context(), ref); err != nil {
		t.Fatalf("delete: %v", err)
	}
	const ours = `select count(*) from pg_class where relnamespace = $1::text::regnamespace and relowner = current_user::regrole
		and relname in ('p', 'c', 't', 'own', 'invoker', 'loose')`
	if got := query[int64](t, b.s, ours, e.schema); got != 6 {
		t.Errorf("the default heir owns %d of 6 relations", got)
	}
}

// TestMightyHeirs tries heirs of every sort on one function.
func TestMightyHeirs(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	ref := b.account()
	e := b.estate()
	e.as(ref.Name, "create function N.f() returns int security definer language sql as 'select 1'")
	above := b.s.heir(t)
	cfg := b.s.config()
	for _, mighty := range [][2]string{ // what makes the heir mighty, and what undoes it
		{"alter role HEIR superuser", "alter role HEIR nosuperuser"},
		{"alter role HEIR createrole", "alter role HEIR nocreaterole"},
		{"alter role HEIR createdb", "alter role HEIR nocreatedb"},
		{"alter role HEIR replication", "alter role HEIR noreplication"},
		{"alter role HEIR bypassrls", "alter role HEIR nobypassrls"},
		{"grant pg_read_server_files to HEIR", "revoke pg_read_server_files from HEIR"},
		{"alter role ABOVE createrole; alter role HEIR noinherit; grant ABOVE to HEIR", "alter role ABOVE nocreaterole"},
	} {
		names := strings.NewReplacer("HEIR", e.heir, "ABOVE", above)
		cfg.ReassignOwnedTo = e.heir
		e.exec(names.Replace(mighty[0]))
		err := b.s.bench(t, cfg).c.DeleteAccount(t.Context(), ref)
		e.wantError(err, driver.Invalid, e.heir, e.schema+".f()")
		e.exec(names.Replace(mighty[1]))
	}
	if err := b.s.bench(t, cfg).c.DeleteAccount(t.Context(), ref); err != nil {
		t.Errorf("delete: %v", err)
	}
}

// TestRevokedOwnershipActsForNobody takes ownership away from an account that lives on.
func TestRevokedOwnershipActsForNobody(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	ref := b.account()
	e := b.estate()
	second, conn := b.s.database(t)
	must(t, conn, "create schema "+e.schema,
		"create function "+e.schema+".g() returns int security definer language sql as 'select 1'",
		"alter function "+e.schema+".g() owner to "+ident(ref.Name))
	e.as(ref.Name, `create table N.plain (a int); create table N.t (a int);
		create function N.mine(int) returns int immutable language sql as 'select 1'; create index on N.t (N.mine(a));
		create function N.f() returns int security definer language sql as 'select 1'`)
	f, mine := e.sql("owner:function N.f()"), e.sql("owner:function N.mine(integer)")
	table, plain, there := e.sql("owner:table N.t"), e.sql("owner:table N.plain"), "owner:objects in database "+second
	b.wantHolds(ref, f, mine, table, plain, there)

	err := b.c.Revoke(t.Context(), ref, parse(t, f, plain))
	b.wantError(err, driver.Invalid, e.sql("function N.f() (SECURITY DEFINER)"))
	b.wantHolds(ref, f, mine, table, plain, there)
	b.revoke(ref, plain) // What else the account owns is no reason.
	// Whose the function is says nothing of who wrote it.
	b.revoke(ref, mine)
	b.wantError(b.c.Revoke(t.Context(), ref, parse(t, table)), driver.Invalid, e.sql("call N.mine(integer)"))
	b.wantError(b.c.Revoke(t.Context(), ref, parse(t, there)), driver.Invalid, e.schema+".g()", second)
	b.wantHolds(ref, f, table, there)

	cfg := b.s.config()
	cfg.ReassignOwnedTo = e.heir
	b.s.bench(t, cfg).revoke(ref, f, table, there)
	b.wantHolds(ref)
}

// TestLoginsLeaveToTheirAccount: what a credential's role owns goes to the account, whatever rights that has.
func TestLoginsLeaveToTheirAccount(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	ref := b.account()
	e := b.estate()
	issued := b.issue(ref, driver.IssueRequest{Label: "1"})
	must(t, b.login(issued), "set role none", e.sql("create function N.f() returns int security definer language sql as 'select 1'"))
	b.s.exec(t, "alter role "+ident(ref.Name)+" createrole")
	if err := b.c.RevokeCredential(t.Context(), ref, issued.Credential.ID); err != nil {
		t.Fatal(err)
	}
	b.wantHolds(ref, "attribute:createrole", e.sql("owner:function N.f()"))
	e.exec("drop function N.f()")
}

// TestSubscriptionsAndManyThings has things that cannot be set off here, and more of them than an error names.
func TestSubscriptionsAndManyThings(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	ref := b.account()
	q := ident(ref.Name)
	e := b.estate()
	second, conn := b.s.database(t)
	must(t, conn, "create subscription "+second+" connection 'dbname=none' publication p with (connect = false, slot_name = none)",
		"alter role "+q+" superuser", "alter subscription "+second+" owner to "+q, "alter role "+q+" nosuperuser",
		"create table public.written (a int)", "alter table public.written owner to "+q,
		"insert into pg_subscription_rel select oid, 'public.written'::regclass, 'r' from pg_subscription where subname = '"+second+"'")
	drop := "drop subscription if exists " + second
	t.Cleanup(func() {
		if _, err := conn.Exec(context.WithoutCancel(t.Context()), drop); err != nil {
			t.Error(err)
		}
	})
	e.exec("create foreign data wrapper " + e.schema + "; create server " + e.schema + " foreign data wrapper " + e.schema)
	t.Cleanup(func() { e.s.exec(t, "drop foreign data wrapper "+e.schema+" cascade") })
	e.exec("create foreign table N.ft (a int) server " + e.schema + "; alter table N.ft owner to " + q)
	for i := range namedAtMost {
		e.as(ref.Name, "create function N.f"+string(rune('a'+i))+"() returns int security definer language sql as 'select 1'")
	}
	// A subscription is in no database: it would go with the first one.
	b.wantError(b.c.DeleteAccount(t.Context(), ref), driver.Invalid, second, "table public.written (a subscription writes it",
		"subscription "+second+" (it writes as its owner)")
	must(t, conn, drop)
	b.wantError(b.c.DeleteAccount(t.Context(), ref), driver.Invalid, e.sql("foreign table N.ft (ANALYZE"),
		e.sql("N.fa() (SECURITY DEFINER)"), "; 1 more;")
	e.exec("drop schema N cascade; create schema N")
	if err := b.c.DeleteAccount(t.Context(), ref); err != nil {
		t.Errorf("delete: %v", err)
	}
	var owner string
	if err := conn.QueryRow(t.Context(), "select relowner::regrole::text from pg_class where relname = 'written'").
		Scan(&owner); err != nil || owner != b.s.bed.Username {
		t.Errorf("the table belongs to %q (%v)", owner, err)
	}
}

// TestPlainAdminAsHeir has an admin role that may create roles, and read what everybody may read of the catalog.
func TestPlainAdminAsHeir(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	cfg := s.config()
	cfg.Username, cfg.Password = s.plainRole(t, "login createrole")
	b := s.bench(t, cfg)
	ref := b.account()
	e := b.estate()
	e.as(ref.Name, "create table N.t (a int); create function N.f() returns int security definer language sql as 'select 1'")
	owned := []string{e.sql("owner:table N.t"), e.sql("owner:function N.f()")}
	e.wantError(b.c.DeleteAccount(t.Context(), ref), driver.Invalid, cfg.Username, e.sql("function N.f() (SECURITY DEFINER)"))
	e.wantHolds(ref, owned...)
	if query[bool](t, s, "select pg_has_role($1::text, $2::text, 'usage')", cfg.Username, ref.Name) {
		t.Error("the admin is left a member of the account")
	}
	e.exec("alter function N.f() security invoker")
	if err := b.c.DeleteAccount(t.Context(), ref); err != nil {
		t.Fatalf("delete: %v", err)
	}
	owner := query[string](t, s, "select relowner::regrole::text from pg_class where oid = to_regclass($1)", e.schema+".t")
	if owner != cfg.Username {
		t.Errorf("the table belongs to %q, want the admin", owner)
	}
}
