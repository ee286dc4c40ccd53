package postgresql

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
	"github.com/nhi-labs/terraform-provider-nhi/internal/secret"
)

// database makes a second database and returns its name and a connection of the administrator.
func (s *server) database(t *testing.T) (string, *pgx.Conn) {
	t.Helper()
	name := unique("second_")
	s.exec(t, "create database "+name)
	config := s.admin.Config().ConnConfig
	config.Database = name
	conn, err := pgx.ConnectConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = conn.Close(context.WithoutCancel(t.Context()))
		s.exec(t, "drop database "+name+" with (force)")
	})
	return name, conn
}

func must(t *testing.T, conn *pgx.Conn, statements ...string) {
	t.Helper()
	for _, statement := range statements {
		if _, err := conn.Exec(t.Context(), statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
}

func TestDeleteHandsOverInEveryDatabase(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	heir, n := unique("heir_"), unique("kept_")
	s.exec(t, "create role "+heir)
	cfg := s.config()
	cfg.ReassignOwnedTo = heir
	b := s.bench(t, cfg)
	ref := b.account()
	second, conn := s.database(t)
	q := ident(ref.Name)
	issued := b.issue(ref, driver.IssueRequest{Label: "one"})
	session := b.login(issued)
	s.exec(t, "grant create on database "+ident(s.bed.Database)+" to "+q, "alter database "+second+" owner to "+q)
	must(t, session, "create schema "+n, "create table "+n+".t (id serial)", "insert into "+n+".t default values")
	must(t, conn, "create table "+n+" (a int)", "insert into "+n+" values (1)", "alter table "+n+" owner to "+q,
		"create table other (a int)", "grant select on other to "+q, "create policy p on other to "+q,
		"alter default privileges for role "+q+" grant select on tables to public", "create schema "+n+" authorization "+q)
	b.wantHolds(ref, "database:"+s.bed.Database+"#create", "owner:schema "+n, "owner:table "+n+".t",
		"owner:sequence "+n+".t_id_seq", "owner:database "+second, "owner:objects in database "+second)

	if err := b.c.DeleteAccount(t.Context(), ref); err != nil {
		t.Fatalf("delete: %v", err)
	}
	b.wantError(failure(b.c.ReadAccount(t.Context(), ref)), driver.NotFound)
	owner := "select relowner::regrole::text from pg_class where oid = '" + n
	if got := query[string](t, s, owner+".t'::regclass"); got != heir {
		t.Errorf("the table belongs to %q, want %q", got, heir)
	}
	if got := query[int64](t, s, "select count(*) from "+n+".t"); got != 1 {
		t.Errorf("the table has %d rows, want 1", got)
	}
	if got := query[string](t, s, "select datdba::regrole::text from pg_database where datname = $1", second); got != heir {
		t.Errorf("the database belongs to %q, want %q", got, heir)
	}
	var there string
	if err := conn.QueryRow(t.Context(), owner+"'::regclass").Scan(&there); err != nil || there != heir {
		t.Errorf("the table in the second database belongs to %q (%v), want %q", there, err, heir)
	}
	if err := session.Ping(t.Context()); err == nil {
		t.Error("the session of the deleted account still lives")
	}
	if got := query[int64](t, s, "select count(*) from pg_roles where rolname = $1", issued.Login); got != 0 {
		t.Error("the credential role is still there")
	}
	s.exec(t, "drop schema "+n+" cascade", "alter database "+second+" owner to current_user")
	must(t, conn, "drop schema "+n, "drop table "+n)
	s.exec(t, "drop role "+heir)
}

func TestDeleteNamesTheDatabaseThatCannotBeReached(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	ref := b.account()
	second, conn := b.s.database(t)
	must(t, conn, "create table t (a int)", "alter table t owner to "+ident(ref.Name))
	b.s.exec(t, "alter database "+second+" allow_connections false")
	err := b.c.DeleteAccount(t.Context(), ref)
	if err == nil || !strings.Contains(err.Error(), second) {
		t.Errorf("delete: %v, want an error that names %q", err, second)
	}
	if code := b.c.Classify(err).Code; code == driver.NotFound {
		t.Errorf("the code is %q", code)
	}
	if got := b.read(ref).Status; got != nhi.Suspended {
		t.Errorf("status is %q, want %q", got, nhi.Suspended)
	}
	b.s.exec(t, "alter database "+second+" allow_connections true")
	if err := b.c.DeleteAccount(t.Context(), ref); err != nil {
		t.Errorf("delete again: %v", err)
	}
	must(t, conn, "select * from t")
}

func TestEndSessionsEndsThoseOfCredentials(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	ref, other := b.account(), b.account()
	one, two := b.issue(ref, driver.IssueRequest{Label: "1"}), b.issue(ref, driver.IssueRequest{Label: "2"})
	mine := []*pgx.Conn{b.login(one), b.login(two), b.login(two)}
	theirs := b.login(b.issue(other, driver.IssueRequest{Label: "1"}))
	if err := b.c.EndSessions(t.Context(), ref); err != nil {
		t.Fatalf("end sessions: %v", err)
	}
	for i, conn := range mine {
		if err := conn.Ping(t.Context()); err == nil {
			t.Errorf("session %d still lives", i)
		}
	}
	if err := theirs.Ping(t.Context()); err != nil {
		t.Errorf("the session of another account: %v", err)
	}
	again := b.login(two)
	if err := b.c.RevokeCredential(t.Context(), ref, two.Credential.ID); err != nil {
		t.Fatal(err)
	}
	if err := again.Ping(t.Context()); err == nil {
		t.Error("the session of a revoked credential still lives")
	}
	b.login(one)
}

func TestWhatACredentialCreatesBelongsToTheAccount(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	ref, n := b.account(), unique("made_")
	b.s.exec(t, "create schema "+n, "grant usage, create on schema "+n+" to "+ident(ref.Name))
	issued := b.issue(ref, driver.IssueRequest{Label: "1"})
	must(t, b.login(issued), "create table "+n+".by_account (a int)",
		"set role none; create table "+n+".by_login (a int)")
	b.wantHolds(ref, "schema:"+n+"#usage", "schema:"+n+"#create",
		"owner:table "+n+".by_account", "owner:table "+n+".by_login")
	if err := b.c.RevokeCredential(t.Context(), ref, issued.Credential.ID); err != nil {
		t.Fatal(err)
	}
	owner := "select relowner::regrole::text from pg_class where oid = '" + n + ".by_login'::regclass"
	if got := query[string](t, b.s, owner); got != ident(ref.Name) {
		t.Errorf("what the login made belongs to %s, want %s", got, ident(ref.Name))
	}
	b.s.exec(t, "drop schema "+n+" cascade")
}

// TestPlainAdmin goes through an account's life as a role with CREATEROLE only.
func TestPlainAdmin(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	cfg, n := s.config(), unique("plain_")
	cfg.Username, cfg.Password = s.plainRole(t, "login createrole")
	cfg.ReassignOwnedTo = n + "heir"
	s.exec(t, "set role "+cfg.Username+"; create role "+cfg.ReassignOwnedTo+"; reset role")
	t.Cleanup(func() { s.exec(t, "drop role "+cfg.ReassignOwnedTo) })
	s.exec(t, "create schema "+n+" authorization "+cfg.Username, "create table "+n+".foreign_one (a int)",
		"alter table "+n+".foreign_one owner to "+ident(s.bed.Username))
	t.Cleanup(func() { s.exec(t, "drop schema "+n+" cascade") })
	b := s.bench(t, cfg)
	ref := b.account()
	s.exec(t, "set role "+cfg.Username+"; create table "+n+".ours (a int); reset role")
	b.grant(ref, "table:"+n+".ours#select", "schema:"+n+"#usage", "schema:"+n+"#create")
	b.wantHolds(ref, "table:"+n+".ours#select", "schema:"+n+"#usage", "schema:"+n+"#create")

	// PostgreSQL itself says of this one only "WARNING: no privileges were granted", or refuses.
	err := b.c.Grant(t.Context(), ref, parse(t, "table:"+n+".foreign_one#select"))
	b.wantError(err, driver.PermissionDenied)
	s.exec(t, "grant select on "+n+".foreign_one to "+ident(ref.Name))
	err = b.c.Revoke(t.Context(), ref, parse(t, "table:"+n+".foreign_one#select"))
	b.wantError(err, driver.PermissionDenied)
	s.exec(t, "revoke select on "+n+".foreign_one from "+ident(ref.Name))
	b.wantError(b.c.Grant(t.Context(), ref, parse(t, "attribute:superuser")), driver.PermissionDenied)

	issued := b.issue(ref, driver.IssueRequest{Label: "1"})
	session := b.login(issued)
	must(t, session, "create table "+n+".theirs (a int)")
	target, err := b.c.Probe(t.Context())
	if err != nil || len(target.Blind) != 3 || len(target.Lacking) > 0 {
		t.Errorf("probe: %q, %q, %v; want three sentences about what a plain role cannot", target.Blind, target.Lacking, err)
	}
	if err := b.c.DeleteAccount(t.Context(), ref); err != nil {
		t.Fatalf("delete: %v", err)
	}
	if err := session.Ping(t.Context()); err == nil {
		t.Error("the session still lives")
	}
	owner := "select relowner::regrole::text from pg_class where oid = '" + n + ".theirs'::regclass"
	if got := query[string](t, s, owner); got != cfg.ReassignOwnedTo {
		t.Errorf("the table belongs to %q, want %q", got, cfg.ReassignOwnedTo)
	}
	if query[bool](t, s, "select pg_has_role($1::text, $2::text, 'usage')", cfg.Username, cfg.ReassignOwnedTo) {
		t.Error("the admin is left a member of the heir")
	}
}

// TestGrantsThatTakeNoEffect covers what PostgreSQL answers with a warning: our role holds some right on the object.
func TestGrantsThatTakeNoEffect(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	cfg, n := s.config(), unique("warned_")
	cfg.Username, cfg.Password = s.plainRole(t, "login createrole")
	b := s.bench(t, cfg)
	ref := b.account()
	s.exec(t, "create table "+n+" (a int)", "grant select on "+n+" to "+cfg.Username)
	table := parse(t, "table:public."+n+"#select")
	b.wantError(b.c.Grant(t.Context(), ref, table), driver.PermissionDenied, table[0].String())
	grantor := unique("grantor_")
	s.exec(t, "create role "+grantor, "grant select on "+n+" to "+grantor+" with grant option",
		"set role "+grantor+"; grant select on "+n+" to "+ident(ref.Name)+"; reset role",
		"grant "+ident(ref.Name)+" to "+cfg.Username) // So that our role may name the table's rights at all.
	b.wantError(b.c.Revoke(t.Context(), ref, table), driver.PermissionDenied, grantor)
	b.wantHolds(ref, table[0].String())
	// A superuser acts as the grantor.
	if err := s.bench(t, s.config()).c.Revoke(t.Context(), ref, table); err != nil {
		t.Fatalf("revoke as superuser: %v", err)
	}
	b.wantHolds(ref)
	s.exec(t, "drop table "+n, "drop role "+grantor)
}

func TestManyGrantsOnOneTable(t *testing.T) {
	t.Parallel()
	const grants, at = 300, 50
	b := newBench(t)
	n := unique("busy_")
	b.s.exec(t, "create table "+n+" (a int)")
	refs := make([]nhi.Ref, grants)
	errs := make([]error, grants)
	e := parse(t, "table:public."+n+"#select")
	limit := make(chan struct{}, at)
	var wg sync.WaitGroup
	for i := range refs {
		wg.Go(func() {
			limit <- struct{}{}
			defer func() { <-limit }()
			spec := driver.AccountSpec{Name: fmt.Sprintf("%s-%d", n, i), Mark: nhi.Mark{Stack: "busy", Identity: "bot"}}
			if refs[i], errs[i] = b.c.CreateAccount(t.Context(), spec); errs[i] == nil {
				errs[i] = b.c.Grant(t.Context(), refs[i], e)
			}
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	if got := query[int64](t, b.s, `select count(distinct x.grantee) from pg_class c, aclexplode(c.relacl) x
		where c.oid = to_regclass($1) and x.privilege_type = 'SELECT' and x.grantee <> c.relowner`, n); got != grants {
		t.Errorf("%d roles hold the right, want %d", got, grants)
	}
	b.s.exec(t, "drop table "+n)
	for _, ref := range refs {
		if err := b.c.DeleteAccount(t.Context(), ref); err != nil {
			t.Fatal(err)
		}
	}
}

func TestClearPasswordsNeverReachTheServer(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	ref := b.account()
	log, err := os.Open(b.s.bed.LogFile)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	if _, err := log.Seek(0, io.SeekEnd); err != nil {
		t.Fatal(err)
	}
	var known []secret.Value
	for _, label := range []string{"one", "two"} {
		issued := b.issue(ref, driver.IssueRequest{Label: label})
		must(t, b.login(issued), "select 1")
		known = append(known, issued.Secret)
		if err := b.c.RevokeCredential(t.Context(), ref, issued.Credential.ID); err != nil {
			t.Fatal(err)
		}
	}
	text, err := io.ReadAll(log)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(text), ident(ref.Name)) || !strings.Contains(string(text), "SCRAM-SHA-256$") {
		t.Fatal("the server's log does not show the statements of this test, so it proves nothing")
	}
	for _, password := range append(known, secret.New(b.s.bed.Password)) {
		if strings.Contains(string(text), password.Reveal()) {
			t.Error("the server's log contains a password")
		}
	}
}
