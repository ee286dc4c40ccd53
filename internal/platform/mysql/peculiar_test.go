package mysql

import (
	"context"
	"crypto/rand"
	"database/sql"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/driver/drivertest"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
	"github.com/nhi-labs/terraform-provider-nhi/internal/secret"
)

func (s *server) client(t *testing.T) *client {
	t.Helper()
	c, ok := s.Open(t).(*client)
	if !ok {
		t.Fatal("Open returns another type")
	}
	return c
}

func create(t *testing.T, c *client, name string) nhi.Ref {
	t.Helper()
	ref, err := c.CreateAccount(t.Context(), driver.AccountSpec{Name: name, Mark: nhi.Mark{Stack: "peculiar", Identity: "bot"}})
	if err != nil {
		t.Fatalf("create %q: %v", name, err)
	}
	t.Cleanup(func() {
		if err := c.DeleteAccount(context.WithoutCancel(t.Context()), ref); err != nil {
			t.Errorf("clean up %q: %v", name, err)
		}
	})
	return ref
}

func issue(t *testing.T, c *client, ref nhi.Ref, label string) driver.Issued {
	t.Helper()
	issued, err := c.Issue(t.Context(), ref, driver.IssueRequest{Label: label})
	if err != nil {
		t.Fatalf("issue: %v", err)
	}
	return issued
}

func parse(t *testing.T, texts ...string) []nhi.Entitlement {
	t.Helper()
	es, problems := Spec().ParseAll(texts)
	for _, problem := range problems {
		t.Fatal(problem)
	}
	return es
}

// wantHeld compares what the account holds with texts.
func wantHeld(t *testing.T, c *client, ref nhi.Ref, want ...string) {
	t.Helper()
	account, err := c.ReadAccount(t.Context(), ref)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, nhi.Texts(account.Entitlements), cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("entitlements of %q (-want +got):\n%s", ref.Name, diff)
	}
}

// TestPasswordsStayOutOfTheLog looks into the server's general log, where MariaDB writes every statement as it came.
func TestPasswordsStayOutOfTheLog(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	c, name := s.client(t), unique("log-")
	ref := create(t, c, name)
	first, second := issue(t, c, ref, "first"), issue(t, c, ref, "second")
	if err := c.Verify(t.Context(), second.Login, second.Secret); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(s.bed.LogFile)
	if err != nil {
		t.Fatal(err)
	}
	for _, issued := range []driver.Issued{first, second} {
		if !strings.Contains(string(content), nativeHash(issued.Secret.Reveal())) {
			t.Error("the log does not show the statement that sets the password: the test would prove nothing")
		}
		if strings.Contains(string(content), issued.Secret.Reveal()) {
			t.Error("the server's log shows a password")
		}
	}
}

func TestHashIsTheServersOwn(t *testing.T) {
	t.Parallel()
	var want string
	password := newPassword()
	if err := newServer(t).admin.QueryRowContext(t.Context(), "select password(?)", password).Scan(&want); err != nil {
		t.Fatal(err)
	}
	if got := nativeHash(password); got != want {
		t.Errorf("hash %s, the server makes %s", got, want)
	}
}

func TestExplain(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	c, n := s.client(t), unique("exp_")
	inner, outer, idle := n+"_in", n+"_out", n+"_idle"
	s.exec(t, "create table conf."+n+" (a int)", "create role "+inner, "create role "+outer, "create role "+idle,
		"grant "+inner+" to "+outer, "grant select on conf."+n+" to "+inner, "grant process on *.* to "+outer,
		"grant insert on conf."+n+" to "+idle)
	t.Cleanup(func() { s.exec(t, "drop role "+inner, "drop role "+outer, "drop role "+idle) })
	s.exec(t, "grant delete on conf."+n+" to public")
	t.Cleanup(func() { s.exec(t, "revoke delete on conf."+n+" from public") })
	ref := create(t, c, n)
	direct := parse(t, "role:"+outer, "default_role:"+outer, "role:"+idle, "table:conf."+n+"#update")
	if err := c.Grant(t.Context(), ref, direct); err != nil {
		t.Fatal(err)
	}
	holdings, err := c.Explain(t.Context(), ref)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, h := range holdings {
		if strings.Contains(h.Entitlement.String(), n) || len(h.Via) > 0 && h.Via[0] != public.user {
			got = append(got, strings.Join(append([]string{h.Entitlement.String()}, h.Via...), " < "))
		}
	}
	want := []string{
		"default_role:" + outer, "role:" + idle, "role:" + outer, "table:conf." + n + "#update",
		"global:process < role:" + outer, "role:" + inner + " < role:" + outer,
		"table:conf." + n + "#delete < PUBLIC",
		"table:conf." + n + "#insert < SET ROLE " + idle,
		"table:conf." + n + "#select < role:" + outer + " < role:" + inner,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("explained (-want +got):\n%s", diff)
	}
	if _, err := c.Explain(t.Context(), nhi.Ref{Name: unique("absent-")}); c.Classify(err).Code != driver.NotFound {
		t.Errorf("explain of nobody: %v", err)
	}
}

// TestWildcardsInDatabaseNames: in GRANT ... ON db.* the server reads _ as any character.
func TestWildcardsInDatabaseNames(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	c, n := s.client(t), unique("w_")
	sibling := strings.Replace(n, "_", "x", 1)
	s.exec(t, "create database "+n, "create database "+sibling, "create table "+sibling+".t (a int)")
	ref := create(t, c, n)
	if err := c.Grant(t.Context(), ref, parse(t, "database:"+n+"#select")); err != nil {
		t.Fatal(err)
	}
	issued := issue(t, c, ref, "only")
	read := func() error {
		config := c.config()
		config.User, config.Passwd = issued.Login, issued.Secret.Reveal()
		db := sql.OpenDB(connector{config.Clone})
		defer db.Close()
		_, err := db.ExecContext(t.Context(), "select * from "+sibling+".t")
		return err
	}
	if c.Classify(read()).Code != driver.PermissionDenied {
		t.Error("a right on one database is one on another, too")
	}
	s.exec(t, "grant select on "+n+".* to "+ident(n)) // As many write it by hand.
	wantHeld(t, c, ref, "database:"+n+"#select", "database_pattern:"+n+"#select")
	if err := read(); err != nil {
		t.Errorf("the pattern does not match the other database: %v", err)
	}
	if err := c.Revoke(t.Context(), ref, parse(t, "database_pattern:"+n+"#select")); err != nil {
		t.Fatal(err)
	}
	wantHeld(t, c, ref, "database:"+n+"#select")
}

func TestRevokeOnTableKeepsColumns(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	c, n := s.client(t), unique("col_")
	s.exec(t, "create table conf."+n+" (a int, b int)")
	ref := create(t, c, n)
	all := parse(t, "table:conf."+n+"#select", "table:conf."+n+"#insert", "column:conf."+n+".a#select", "column:conf."+n+".b#select",
		"column:conf."+n+".b#update")
	if err := c.Grant(t.Context(), ref, all); err != nil {
		t.Fatal(err)
	}
	if err := c.Revoke(t.Context(), ref, parse(t, "table:conf."+n+"#select", "column:conf."+n+".a#select")); err != nil {
		t.Fatal(err)
	}
	wantHeld(t, c, ref, "column:conf."+n+".b#select", "column:conf."+n+".b#update", "table:conf."+n+"#insert")
}

func TestSpellingsOfTheServer(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	c, n := s.client(t), unique("sp_")
	s.exec(t, "create table conf."+n+" (Amount int)", "create procedure conf.P"+n+"() select 1")
	ref := create(t, c, n)
	for text, want := range map[string]string{
		"column:conf." + n + ".amount#select": `the server spells it "Amount"`,
		"procedure:conf.p" + n + "#execute":   `the server spells it "P` + n + `"`,
		"global:replication client":           "SHOW PRIVILEGES does not list it",
		"database:" + n + "#select":           "no such database",
		"role:" + n:                           "no such role",
	} {
		err := c.Grant(t.Context(), ref, parse(t, text))
		if c.Classify(err).Code != driver.Invalid || !strings.Contains(err.Error(), want) {
			t.Errorf("grant of %s: %v, want %q", text, err, want)
		}
	}
	if err := c.Grant(t.Context(), ref, parse(t, "global:process", "global:grant option")); err != nil {
		t.Fatal(err)
	}
	wantHeld(t, c, ref, "global:grant option", "global:process")
	if err := c.Revoke(t.Context(), ref, parse(t, "global:grant option")); err != nil {
		t.Fatal(err)
	}
	wantHeld(t, c, ref, "global:process")
}

func TestOneDefaultRole(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	c, n := s.client(t), unique("def_")
	a, b := n+"_a", n+"_b"
	s.exec(t, "create role "+a, "create role "+b)
	t.Cleanup(func() { s.exec(t, "drop role "+a, "drop role "+b) })
	ref := create(t, c, n)
	if err := c.Grant(t.Context(), ref, parse(t, "role:"+a, "role_admin:"+a, "default_role:"+a)); err != nil {
		t.Fatal(err)
	}
	err := c.Grant(t.Context(), ref, parse(t, "role:"+b, "default_role:"+b))
	if c.Classify(err).Code != driver.Invalid || !strings.Contains(err.Error(), "one role at login") {
		t.Errorf("a second default role: %v", err)
	}
	wantHeld(t, c, ref, "default_role:"+a, "role:"+a, "role_admin:"+a)
	if err := c.Revoke(t.Context(), ref, parse(t, "role_admin:"+a)); err != nil {
		t.Fatal(err)
	}
	wantHeld(t, c, ref, "default_role:"+a, "role:"+a)
	if err := c.Revoke(t.Context(), ref, parse(t, "role:"+a, "default_role:"+a)); err != nil {
		t.Fatal(err)
	}
	wantHeld(t, c, ref)
}

// TestPasswordsThatOthersSet are credentials that no rotation knows.
func TestPasswordsThatOthersSet(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	c, n := s.client(t), unique("own-")
	ref := create(t, c, n)
	ids := func() (ids []string) {
		account, err := c.ReadAccount(t.Context(), ref)
		if err != nil {
			t.Fatal(err)
		}
		for _, k := range account.Credentials {
			ids = append(ids, k.ID)
		}
		return ids
	}
	for _, by := range []string{" identified by 'x'", " identified by ''", " identified via unix_socket"} {
		s.exec(t, "alter user "+ident(n)+by)
		found := ids()
		if len(found) != 1 || !slices.Contains([]string{pluginNative, "unix_socket"}, found[0]) {
			t.Fatalf("after%s the credentials are %q", by, found)
		}
		ours := issue(t, c, ref, unique("l"))
		if err := c.Verify(t.Context(), ours.Login, ours.Secret); err != nil {
			t.Errorf("after%s: %v", by, err)
		}
		for _, id := range []string{found[0], ours.Credential.ID} {
			if err := c.RevokeCredential(t.Context(), ref, id); err != nil {
				t.Fatal(err)
			}
		}
		if left := ids(); len(left) != 0 {
			t.Errorf("after%s %q are left", by, left)
		}
		if err := c.Verify(t.Context(), n, secret.Value{}); c.Classify(err).Code != driver.Unauthenticated {
			t.Errorf("a login without a password: %v", err)
		}
	}
}

// counting counts statements.
type counting struct {
	*sql.DB
	n int
}

func (c *counting) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	c.n++
	return c.DB.QueryContext(ctx, query, args...)
}

// TestBulkReadIsConstant reads all accounts twice, with twenty more of them the second time.
func TestBulkReadIsConstant(t *testing.T) {
	t.Parallel()
	c := newServer(t).client(t)
	read := func() (statements, accounts int) {
		q := &counting{DB: c.db}
		everybody, err := users(t.Context(), q, mariaDB{}, "true")
		if err == nil {
			_, err = c.holdings(t.Context(), q, mariaDB{}, nil, everybody)
		}
		if err == nil {
			_, err = c.records(t.Context(), q, nil)
		}
		if err != nil {
			t.Fatal(err)
		}
		return q.n, len(everybody)
	}
	before, _ := read()
	for range 20 {
		create(t, c, unique("many-"))
	}
	if after, accounts := read(); after != before || accounts < 20 {
		t.Errorf("%d statements, then %d for %d accounts", before, after, accounts)
	}
}

func TestProbeOfAWeakAccount(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	target, err := s.WithFault(t, drivertest.MissingRights).Probe(t.Context())
	if err != nil || len(target.Lacking) != 2 || !strings.Contains(target.Lacking[0], "lacks CREATE USER") || len(target.Blind) != 2 {
		t.Errorf("an account without rights: %+v, %v", target, err)
	}
	cfg := s.config()
	cfg.Schema = unique("absent")
	d := open(t, cfg)
	if _, err := d.Probe(t.Context()); d.Classify(err).Code != driver.Invalid || !strings.Contains(err.Error(), "schema.sql") {
		t.Errorf("probe of a server without our schema: %v", err)
	}
	// A right by way of a role that is on counts.
	n := unique("role_")
	cfg = s.config()
	cfg.Username, cfg.Password = s.plainUser(t, "select on *.*")
	s.exec(t, "create role "+n, "grant create user on *.* to "+n, "grant select, insert, update, delete on nhi.* to "+n,
		"grant "+n+" to "+cfg.Username, "set default role "+n+" for "+cfg.Username)
	t.Cleanup(func() { s.exec(t, "drop role "+n) })
	if target, err := open(t, cfg).Probe(t.Context()); err != nil || len(target.Lacking) != 0 {
		t.Errorf("an account with its rights in a role lacks %q, %v", target.Lacking, err)
	}
}

// TestLeastPrivileges runs what admin.sql of the example grants.
func TestLeastPrivileges(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	n := unique("least_")
	s.exec(t, "create database "+n, "create table "+n+".t (a int)")
	script, err := os.ReadFile("../../../examples/platforms/mysql/admin.sql")
	if err != nil {
		t.Fatal(err)
	}
	cfg := s.config()
	cfg.Username, cfg.Password = n, secret.New(rand.Text())
	text := strings.NewReplacer("nhi_admin", n, "CHANGE-ME", cfg.Password.Reveal(), "finance", n, "'app.internal'", "'%'").Replace(string(script))
	for statement := range strings.SplitSeq(text, ";\n") {
		if strings.TrimSpace(statement) != "" {
			s.exec(t, statement)
		}
	}
	t.Cleanup(func() { s.exec(t, "drop user "+n) })
	d := open(t, cfg)
	c, _ := d.(*client) //nolint:forcetypeassert // Open returns nothing else.
	if target, err := d.Probe(t.Context()); err != nil || len(target.Lacking) != 0 || len(target.Blind) != 1 {
		t.Fatalf("probe: %+v, %v", target, err)
	}
	ref := create(t, c, unique("bot-"))
	if err := d.Grant(t.Context(), ref, parse(t, "table:"+n+".t#select")); err != nil {
		t.Fatal(err)
	}
	wantHeld(t, c, ref, "table:"+n+".t#select")
	issued := issue(t, c, ref, "only")
	if err := c.Verify(t.Context(), issued.Login, issued.Secret); err != nil {
		t.Error(err)
	}
	for what, err := range map[string]error{
		"suspend": c.Suspend(t.Context(), ref), "end sessions": c.EndSessions(t.Context(), ref),
		"revoke": c.Revoke(t.Context(), ref, parse(t, "table:"+n+".t#select")),
	} {
		if err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
}
