package postgresql

import (
	"context"
	"net"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/driver/drivertest/netfault"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
	"github.com/nhi-labs/terraform-provider-nhi/internal/secret"
)

func TestDriftOfEverySort(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	ref, n, q := b.account(), unique("drift_"), ""
	q = ident(ref.Name)
	b.s.exec(t,
		"create schema "+n, "create table "+n+".t (a int, b int)", "create role "+n, "create role "+n+"_admin",
		"alter role "+q+" superuser createrole createdb replication bypassrls",
		"grant "+n+" to "+q, "grant "+n+"_admin to "+q+" with admin option",
		"grant usage, create on schema "+n+" to "+q,
		"grant select, delete on "+n+".t to "+q, "grant insert on "+n+".t to "+q+" with grant option",
		"grant update (b), references (a) on "+n+".t to "+q,
		// The second grant makes the server write down the owner's own rights, which are no entitlements.
		"create table "+n+".owned (id serial)", "alter table "+n+".owned owner to "+q, "grant select on "+n+".owned to "+n,
		"create policy mine on "+n+".t to "+q,
		"grant connect, temporary on database "+ident(b.s.bed.Database)+" to "+q,
		"grant set on parameter log_statement to "+q,
		"grant usage on language plpgsql to "+q,
		"alter default privileges for role "+n+" grant execute on functions to "+q,
		"alter default privileges for role "+n+" in schema "+n+" grant select on tables to "+q+" with grant option",
	)
	db := b.s.bed.Database
	b.wantHolds(ref,
		"attribute:superuser", "attribute:createrole", "attribute:createdb", "attribute:replication", "attribute:bypassrls",
		"role:"+n, "role:"+n+"_admin", "role_admin:"+n+"_admin", "schema:"+n+"#usage", "schema:"+n+"#create",
		"table:"+n+".t#select", "table:"+n+".t#delete", "table:"+n+".t#insert", "table:"+n+".t#insert+grant",
		"column:"+n+".t.b#update", "column:"+n+".t.a#references",
		"owner:table "+n+".owned", "owner:sequence "+n+".owned_id_seq", "row_policy:"+n+".t.mine",
		"database:"+db+"#connect", "database:"+db+"#temporary", "parameter:log_statement#set", "language:plpgsql#usage",
		"default_privilege:"+n+".functions#execute", "default_privilege:"+n+"."+n+".tables#select",
		"default_privilege:"+n+"."+n+".tables#select+grant",
	)
	err := b.c.Grant(t.Context(), ref, parse(t, "table:"+n+".owned#select"))
	b.wantError(err, driver.Invalid, "owns the object")
	b.s.exec(t, "drop policy mine on "+n+".t")
	if err := b.c.Revoke(t.Context(), ref, b.read(ref).Entitlements); err != nil {
		t.Fatalf("revoke everything: %v", err)
	}
	b.wantHolds(ref)
	b.revoke(ref, "owner:table "+n+".owned", "row_policy:"+n+".t.mine")
}

func TestGrantOption(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	ref, other, n := b.account(), b.account(), unique("option_")
	b.s.exec(t, "create table "+n+" (a int)", "create role "+n)
	table := "table:public." + n + "#select"
	b.wantError(b.c.Grant(t.Context(), ref, parse(t, table+"+grant")), driver.Invalid, table, "declare both")
	b.wantError(b.c.Grant(t.Context(), ref, parse(t, "role_admin:"+n)), driver.Invalid, "role:"+n, "declare both")
	b.wantHolds(ref)
	b.grant(ref, table+"+grant", table, "role_admin:"+n, "role:"+n)
	b.wantHolds(ref, table, table+"+grant", "role:"+n, "role_admin:"+n)

	b.s.exec(t, "set role "+ident(ref.Name)+"; grant select on "+n+" to "+ident(other.Name)+"; reset role")
	b.wantHolds(other, table)
	err := b.c.Revoke(t.Context(), ref, parse(t, table))
	b.wantError(err, driver.Invalid, "passed rights", ref.Name)
	b.revoke(other, table)
	b.wantHolds(other)
	b.revoke(ref, table+"+grant", "role_admin:"+n)
	b.wantHolds(ref, table, "role:"+n)
	b.revoke(ref, table, "role:"+n)
	b.wantHolds(ref)
}

func TestRevokingATableKeepsItsColumns(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	ref, n := b.account(), unique("columns_")
	b.s.exec(t, "create table "+n+" (a int, b int)")
	p := "public." + n
	b.grant(ref, "table:"+p+"#select", "table:"+p+"#update", "column:"+p+".a#select", "column:"+p+".a#select+grant",
		"column:"+p+".b#update")
	b.revoke(ref, "table:"+p+"#select", "table:"+p+"#update")
	b.wantHolds(ref, "column:"+p+".a#select", "column:"+p+".a#select+grant", "column:"+p+".b#update")
	b.grant(ref, "table:"+p+"#select")
	b.revoke(ref, "table:"+p+"#select", "column:"+p+".a#select", "column:"+p+".a#select+grant")
	b.wantHolds(ref, "column:"+p+".b#update")
}

func TestHardNames(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	ref := b.account()
	for _, name := range []string{
		`Upper`, `with space`, `dot.ted`, `"quoted"`, `a"b.c`, `select`, `semi;colon`, `it's`, `par(en)`, `hash#tag`, `col:on`,
		`--`, `x"; drop table y; --`, `x'; drop table y; --`, `\`, `$1`, `é`, ` lead`, `trail `, strings.Repeat("z", 49),
	} {
		name = unique("n_") + name
		schema := ident(name)
		b.s.exec(t, "create schema "+schema, "create table "+schema+"."+schema+" ("+schema+" int)", "create role "+schema,
			"create function "+schema+"."+schema+"() returns int language sql as 'select 1'",
			"create type "+schema+".t as enum ('x')",
			"create function "+schema+".f("+schema+".t, "+schema+"."+schema+"[]) returns int language sql as 'select 1'")
		k := key{name, name, name}
		texts := []string{
			"schema:" + schemaClass.target(k) + "#usage", "table:" + tableClass.target(k) + "#select+grant",
			"table:" + tableClass.target(k) + "#select", "column:" + columnClass.target(k) + "#update",
			"function:" + functionClass.target(key{name, name, ""}) + "#execute", "role:" + joinTarget([]string{name}),
			"default_privilege:" + defaultClass.target(key{name, name, "tables"}) + "#select",
		}
		for _, text := range texts {
			if _, err := Spec().Grammar.Parse(text); err != nil {
				t.Errorf("%v", err)
			}
		}
		b.grant(ref, texts...)
		b.wantHolds(ref, slices.Clone(texts)...)
		b.s.exec(t, "grant execute on function "+schema+".f("+schema+".t, "+schema+"."+schema+"[]) to "+ident(ref.Name))
		// The types in a function's target are as the server prints them: grant again what was listed.
		all := b.read(ref).Entitlements
		if err := b.c.Revoke(t.Context(), ref, all); err != nil {
			t.Fatalf("revoke %q: %v", nhi.Texts(all), err)
		}
		b.wantHolds(ref)
		if err := b.c.Grant(t.Context(), ref, all); err != nil {
			t.Fatalf("grant %q: %v", nhi.Texts(all), err)
		}
		b.wantHolds(ref, nhi.Texts(all)...)
		b.revoke(ref, nhi.Texts(all)...)
	}
}

func TestFunctionOverloads(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	ref, n := b.account(), unique("total_")
	b.s.exec(t, "create function "+n+"(amount int) returns int language sql as 'select 1'",
		"create function "+n+"(amount text, inout rest int) language sql as 'select 1'",
		"create procedure "+n+"(varchar[]) language sql as 'select 1'",
		"grant execute on function "+n+"(int) to "+ident(ref.Name))
	p := "function:public." + n
	b.wantHolds(ref, p+"(integer)#execute")
	b.grant(ref, p+"(text, integer)#execute", p+"(character varying[])#execute")
	b.revoke(ref, p+"(integer)#execute")
	b.wantHolds(ref, p+"(text, integer)#execute", p+"(character varying[])#execute")
	err := b.c.Grant(t.Context(), ref, parse(t, p+"(bigint)#execute"))
	b.wantError(err, driver.Invalid, "public."+n+"(integer)", "public."+n+"(text, integer)")
}

func TestOwnPasswordIsACredential(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	name := unique("adopted_")
	b.s.exec(t, "create role "+name+" login password 'by-hand'")
	t.Cleanup(func() { b.s.exec(t, "drop role "+name) })
	if got := b.read(refNamed(name)).Credentials; len(got) != 1 || got[0].ID != ownPassword {
		t.Fatalf("credentials are %+v, want the password", got)
	}
	if err := b.c.Verify(t.Context(), name, secret.New("by-hand")); err != nil {
		t.Errorf("verify: %v", err)
	}
	if err := b.c.RevokeCredential(t.Context(), refNamed(name), ownPassword); err != nil {
		t.Fatalf("revoke: %v", err)
	}
	b.wantError(b.c.Verify(t.Context(), name, secret.New("by-hand")), driver.Unauthenticated)
	if got := b.read(refNamed(name)).Credentials; len(got) != 0 {
		t.Errorf("credentials are %+v, want none", got)
	}
}

func TestRightsOfACredentialRoleShow(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	ref, n := b.account(), unique("side_")
	issued := b.issue(ref, driver.IssueRequest{Label: "one"})
	b.s.exec(t, "create table "+n+" (a int)", "create role "+n, "grant select on "+n+" to "+ident(issued.Login),
		"grant "+n+" to "+ident(issued.Login), "alter role "+ident(issued.Login)+" createdb")
	b.wantHolds(ref, "table:public."+n+"#select", "role:"+n, "attribute:createdb")
	b.revoke(ref, "table:public."+n+"#select", "role:"+n, "attribute:createdb")
	b.wantHolds(ref)
	if err := b.c.Verify(t.Context(), issued.Login, issued.Secret); err != nil {
		t.Errorf("the credential itself must stay: %v", err)
	}
}

func TestExpiryEndsCredentials(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	ref := b.account()
	now := time.Now().UTC().Truncate(time.Second)
	later, sooner, past := now.Add(48*time.Hour), now.Add(24*time.Hour), time.Unix(1e9, 0)
	issued := b.issue(ref, driver.IssueRequest{Label: "one", ExpiresAt: later})
	for _, step := range []struct{ account, want time.Time }{{sooner, sooner}, {time.Time{}, later}, {past, past}} {
		if err := b.c.UpdateAccount(t.Context(), ref, driver.AccountChange{ExpiresAt: &step.account}); err != nil {
			t.Fatal(err)
		}
		if got := b.read(ref).Credentials[0].ExpiresAt; !got.Equal(step.want) {
			t.Errorf("account until %v: the credential is good until %v, want %v", step.account, got, step.want)
		}
	}
	b.wantError(b.c.Verify(t.Context(), issued.Login, issued.Secret), driver.Unauthenticated)
}

func TestLongestName(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	name := unique("long-")
	name += strings.Repeat("é", (maxName-len(name))/2)
	name += strings.Repeat("x", maxName-len(name))
	ref := b.accountNamed(name)
	first, second := b.issue(ref, driver.IssueRequest{Label: "1"}), b.issue(ref, driver.IssueRequest{Label: "2"})
	for _, issued := range []driver.Issued{first, second} {
		if err := b.c.Verify(t.Context(), issued.Login, issued.Secret); err != nil {
			t.Errorf("verify %q: %v", issued.Login, err)
		}
	}
	if got := b.read(ref); len(got.Credentials) != 2 || got.Name != name {
		t.Errorf("read back %+v", got)
	}
	b.wantError(failure(b.c.CreateAccount(t.Context(), driver.AccountSpec{Name: name + "x"})), driver.Invalid, "64 bytes")
	b.wantError(failure(b.c.ReadAccount(t.Context(), refNamed(name+"x"))), driver.NotFound)
}

func failure[T any](_ T, err error) error { return err }

func TestOwnRoleIsProtected(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	ctx := t.Context()
	for _, err := range []error{
		b.c.Suspend(ctx, refNamed(b.s.bed.Username)), b.c.DeleteAccount(ctx, refNamed(b.s.bed.Username)),
		b.c.EndSessions(ctx, refNamed(b.s.bed.Username)),
	} {
		b.wantError(err, driver.Invalid, b.s.bed.Username)
	}
	cfg := b.s.config()
	cfg.ReassignOwnedTo = unique("absent_")
	ref := b.account()
	b.wantError(b.s.bench(t, cfg).c.DeleteAccount(ctx, ref), driver.Invalid, cfg.ReassignOwnedTo)
	if got := b.read(ref).Status; got != nhi.Active {
		t.Errorf("status is %q after a delete that could not begin", got)
	}
}

// TestLoginsOfHardNames really logs in: the account's name is in the login's name and in its setting of the role.
func TestLoginsOfHardNames(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for _, name := range []string{`Upper`, `"q"`, `it's \ $1`, `a b`, `é`, `x,y=z`} {
		ref := b.accountNamed(unique("h-") + name)
		issued := b.issue(ref, driver.IssueRequest{Label: name})
		var acts string
		if err := b.login(issued).QueryRow(t.Context(), "select current_user").Scan(&acts); err != nil || acts != ref.Name {
			t.Errorf("a login of %q acts as %q (%v)", ref.Name, acts, err)
		}
	}
}

// TestRoleThatLooksLikeACredential checks that only our own comment makes a credential: others are accounts.
func TestRoleThatLooksLikeACredential(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	ref := b.account()
	foreign := account{role: role{name: ref.Name}}.loginName(loginSuffixes[0])
	b.s.exec(t, "create role "+ident(foreign)+" login", "grant "+ident(ref.Name)+" to "+ident(foreign))
	t.Cleanup(func() { b.s.exec(t, "drop role "+ident(foreign)) })
	if got := b.read(refNamed(foreign)); got.Name != foreign {
		t.Errorf("read %q", got.Name)
	}
	b.wantHolds(refNamed(foreign), "role:"+ref.Name)
	if issued := b.issue(ref, driver.IssueRequest{Label: "1"}); issued.Login == foreign {
		t.Errorf("the credential took the foreign role %q", foreign)
	}
	b.wantError(failure(b.c.Issue(t.Context(), ref, driver.IssueRequest{Label: "2"})), driver.Conflict, foreign)
	if got := b.read(ref).Credentials; len(got) != 1 {
		t.Errorf("credentials are %+v, want one", got)
	}
}

// TestMembershipOfTwoGrantors matters from version 16 on, where both grants exist beside each other.
func TestMembershipOfTwoGrantors(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	ref, n := b.account(), unique("group_")
	b.s.exec(t, "create role "+n, "create role "+n+"_lead", "grant "+n+" to "+n+"_lead with admin option",
		"grant "+n+" to "+ident(ref.Name), "set role "+n+"_lead; grant "+n+" to "+ident(ref.Name)+"; reset role")
	b.wantHolds(ref, "role:"+n)
	b.revoke(ref, "role:"+n)
	b.wantHolds(ref)
	b.s.exec(t, "drop role "+n+"_lead", "drop role "+n)
}

func TestConnectTimeout(t *testing.T) {
	t.Parallel()
	host, port, err := net.SplitHostPort(netfault.Listen(t, netfault.Drain))
	if err != nil {
		t.Fatal(err)
	}
	number, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	d := open(t, Config{
		Host: host, Port: number, Database: "d", Username: "u", SSLMode: "disable", ConnectTimeout: 50 * time.Millisecond,
	})
	// Without the timeout this waits until the test binary is killed.
	if _, err := d.Probe(t.Context()); d.Classify(err).Code != driver.Unavailable {
		t.Errorf("probe of a server that does not answer: %v", err)
	}
}

// TestConnectionLimit is the server's own refusal of one connection too many.
func TestConnectionLimit(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	ref := b.account()
	change := driver.AccountChange{Settings: map[string]string{settingConnectionLimit: "1"}}
	issued := b.issue(ref, driver.IssueRequest{Label: "1"})
	if err := b.c.UpdateAccount(t.Context(), ref, change); err != nil {
		t.Fatal(err)
	}
	b.login(issued)
	b.wantError(b.c.Verify(t.Context(), issued.Login, issued.Secret), driver.Unavailable)
}

// TestCloseLeavesNoConnection asks the server: the client library keeps no goroutine for a connection, so the suite does not
// see them.
func TestCloseLeavesNoConnection(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	config := s.config()
	config.ApplicationName = unique("close-")
	connections := func() (n int) {
		t.Helper()
		err := s.admin.QueryRow(t.Context(), "select count(*) from pg_stat_activity where application_name = $1", config.ApplicationName).Scan(&n)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	d := open(t, config)
	sweeper, sweeps := d.(driver.Sweeper)
	verifier, verifies := d.(driver.Verifier)
	if !sweeps || !verifies {
		t.Fatalf("%T", d)
	}
	cancelled, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	_ = sweeper.Sweep(cancelled, driver.SweepFilter{}, func([]nhi.Account) error { return nil })
	_ = verifier.Verify(t.Context(), unique("nobody"), secret.New("wrong"))
	if _, err := d.Probe(t.Context()); err != nil {
		t.Error(err)
	}
	if connections() == 0 {
		t.Error("the driver has no connection under its name")
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
	for begin := time.Now(); connections() > 0; time.Sleep(10 * time.Millisecond) {
		if time.Since(begin) > 20*time.Second {
			t.Fatalf("%d connections are left after Close", connections())
		}
	}
}
