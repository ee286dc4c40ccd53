package mysql

import (
	"context"
	"database/sql"
	"strings"
	"testing"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
)

// TestEndSessionsOfNamesakes has two accounts of one user name, which the list of sessions does not tell apart.
func TestEndSessionsOfNamesakes(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	c, name := s.client(t), unique("ses-")
	everywhere, here := create(t, c, name), create(t, c, name+"@127.0.0.%")
	for _, ref := range []nhi.Ref{everywhere, here} {
		issued := issue(t, c, ref, "only")
		config := c.config()
		config.User, config.Passwd = issued.Login, issued.Secret.Reveal()
		db := sql.OpenDB(connector{config.Clone})
		defer db.Close()
		var as string
		err := db.QueryRowContext(t.Context(), "select current_user()").Scan(&as)
		if ref == everywhere {
			if err == nil {
				t.Fatalf("the less specific account logs in as %q", as)
			}
			continue
		}
		if err != nil || as != name+"@127.0.0.%" {
			t.Fatalf("logged in as %q, %v", as, err)
		}
		session, err := db.Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := c.EndSessions(t.Context(), everywhere); err != nil {
			t.Fatal(err)
		}
		if err := session.PingContext(t.Context()); err != nil {
			t.Errorf("ending the sessions of one account ended one of its namesake: %v", err)
		}
		if err := c.EndSessions(t.Context(), here); err != nil {
			t.Fatal(err)
		}
		if err := session.PingContext(t.Context()); err == nil {
			t.Error("the session lives on")
		}
	}
}

// hold opens a session of the account and returns a check whether it still works.
func hold(t *testing.T, c *client, ref nhi.Ref) (ping func() error) {
	t.Helper()
	issued := issue(t, c, ref, "only")
	config := c.config()
	config.User, config.Passwd = issued.Login, issued.Secret.Reveal()
	db := sql.OpenDB(connector{config.Clone})
	t.Cleanup(func() { _ = db.Close() })
	session, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return func() error { return session.PingContext(t.Context()) }
}

// TestEndSessionsTellsCases has two accounts whose names differ in the case of letters, which information_schema does not tell.
func TestEndSessionsTellsCases(t *testing.T) {
	t.Parallel()
	c, name := newServer(t).client(t), unique("case-")
	small, capital := create(t, c, name), create(t, c, strings.ToUpper(name))
	ours, theirs := hold(t, c, small), hold(t, c, capital)
	if err := c.EndSessions(t.Context(), small); err != nil {
		t.Fatal(err)
	}
	if err := ours(); err == nil {
		t.Error("the session lives on")
	}
	if err := theirs(); err != nil {
		t.Errorf("ending the sessions of %q ended one of %q: %v", small.Name, capital.Name, err)
	}
}

// resolving shows sessions as a server does that resolves names, which the one here does not.
type resolving struct{ *sql.DB }

func (r resolving) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	query = strings.Replace(query, "USER, HOST", "USER, replace(HOST, '127.0.0.1', 'app01.internal')", 1)
	return r.DB.QueryContext(ctx, query, args...)
}

// TestEndSessionsFromNamedHosts: the address that says which account was chosen does not show.
func TestEndSessionsFromNamedHosts(t *testing.T) {
	t.Parallel()
	c, name := newServer(t).client(t), unique("named-")
	end := func(ref nhi.Ref) error {
		a, err := c.find(t.Context(), c.db, mariaDB{}, ref)
		if err != nil {
			t.Fatal(err)
		}
		return c.endSessions(t.Context(), resolving{c.db}, mariaDB{}, a)
	}
	here := create(t, c, name+"@127.0.0.%")
	ping := hold(t, c, here)
	everywhere := create(t, c, name)
	for _, ref := range []nhi.Ref{everywhere, here} {
		err := end(ref)
		if c.Classify(err).Code != driver.Unsupported || !strings.Contains(err.Error(), "app01.internal") {
			t.Errorf("a session that may be of %q: %v", ref.Name, err)
		}
		if err := ping(); err != nil {
			t.Fatalf("it was ended: %v", err)
		}
	}
	if err := c.DeleteAccount(t.Context(), everywhere); err != nil {
		t.Fatal(err)
	}
	if err := end(here); err != nil {
		t.Errorf("without a namesake: %v", err)
	}
	if err := ping(); err == nil {
		t.Error("the session lives on")
	}
}

// TestDeleteEndsSessions: DROP USER ends none, and afterwards nobody could tell whose they are.
func TestDeleteEndsSessions(t *testing.T) {
	t.Parallel()
	c := newServer(t).client(t)
	ref := create(t, c, unique("del-"))
	ping := hold(t, c, ref)
	if err := c.DeleteAccount(t.Context(), ref); err != nil {
		t.Fatal(err)
	}
	if err := ping(); err == nil {
		t.Error("a session outlives its account")
	}
}

// TestOwners tells whose a session is that the server shows from a host.
func TestOwners(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ hosts, from, want string }{
		{"10.0.0.% %", "10.0.0.7:5533", "10.0.0.%"},
		{"10.0.0.% %", "10.1.0.7:5533", "%"},
		{"10.0.0.% %", "app01.internal:5533", "10.0.0.% %"},
		{"10.0.0.%", "app01.internal:5533", "10.0.0.%"},
		{"10.0.0.% %", "localhost", "%"},
		{"10.0.0.% %", "2001:db8::5:5533", "%"},
		{"2001:db8::% %", "app01.internal:5533", "2001:db8::% %"},
		{"10.0.0.7 10.0.0.0/24 app01.internal 10.% %.internal", "app01.internal:5533", "10.0.0.7 10.0.0.0/24 app01.internal"},
		{"app01.internal 10.0.0.% %", "app01.internal:5533", "app01.internal"},
		{"app02.internal app% %", "app01.internal:5533", "app%"},
		{"app02.internal db.internal", "app01.internal:5533", ""},
	} {
		var namesakes []user
		for host := range strings.FieldsSeq(c.hosts) {
			namesakes = append(namesakes, user{who: who{"svc", host}})
		}
		var got []string
		for _, w := range owners(namesakes, c.from) {
			got = append(got, w.host)
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("of %s the session from %s may be of %v, want %s", c.hosts, c.from, got, c.want)
		}
	}
}
