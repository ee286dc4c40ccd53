package postgresql

import (
	"context"
	"crypto/rand"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/driver/drivertest"
	"github.com/nhi-labs/terraform-provider-nhi/internal/driver/drivertest/netfault"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
	"github.com/nhi-labs/terraform-provider-nhi/internal/secret"
	"github.com/nhi-labs/terraform-provider-nhi/internal/testenv"
)

func TestConformance(t *testing.T) {
	drivertest.Run(t, newServer(t))
}

// server is the real PostgreSQL of the testbed, with an administrator's own connection to it.
type server struct {
	bed   testenv.PostgreSQL
	admin *pgxpool.Pool
	// byHand holds, for each entitlement that was prepared, the statement that grants it, with %s for the role.
	byHand sync.Map
}

func newServer(t *testing.T) *server {
	t.Helper()
	s := &server{bed: testenv.Load(t).PostgreSQL}
	config, err := poolConfig(s.config())
	if err != nil {
		t.Fatal(err)
	}
	if s.admin, err = pgxpool.NewWithConfig(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.admin.Close)
	return s
}

func (s *server) config() Config {
	return Config{
		Host: s.bed.Host, Port: s.bed.Port, Database: s.bed.Database, Username: s.bed.Username,
		Password: secret.New(s.bed.Password), SSLRootCert: s.bed.CAFile,
	}
}

func open(t *testing.T, cfg Config) driver.Driver {
	t.Helper()
	d, err := Open(cfg)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return d
}

// exec runs SQL as the administrator. It works in cleanups, too, when the test's context has ended.
func (s *server) exec(t *testing.T, statements ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), time.Minute)
	defer cancel()
	for _, statement := range statements {
		for {
			_, err := s.admin.Exec(ctx, statement)
			if err == nil {
				break
			}
			// Administrators who work by hand do not take the product's lock.
			if sqlState(err) != "XX000" {
				t.Fatalf("%s: %v", statement, err)
			}
		}
	}
}

func unique(prefix string) string { return prefix + strings.ToLower(rand.Text()[:12]) }

func (s *server) Spec() driver.Spec { return Spec() }

func (s *server) Open(t *testing.T) driver.Driver { return open(t, s.config()) }

// targets makes one target each and returns SQL to prepare it, the entitlement, and how to grant it by hand.
var targets = []func(n string) (prepare, entitlement, byHand string){
	func(n string) (string, string, string) {
		return "create table public." + n + " (a int, b int)", "table:public." + n + "#select",
			"grant select on public." + n + " to %s"
	},
	func(n string) (string, string, string) {
		return "create role " + n, "role:" + n, "grant " + n + " to %s"
	},
	func(n string) (string, string, string) {
		return "create schema " + n, "schema:" + n + "#usage", "grant usage on schema " + n + " to %s"
	},
	func(n string) (string, string, string) {
		return "create table public." + n + ` (a int, "B.c" int)`, `column:public.` + n + `."B.c"#update`,
			`grant update ("B.c") on public.` + n + " to %s"
	},
	func(n string) (string, string, string) {
		return "create function public." + n + "(a int, text[]) returns int language sql as 'select 1'",
			"function:public." + n + "(integer, text[])#execute",
			"grant execute on function public." + n + "(int, text[]) to %s"
	},
	func(n string) (string, string, string) {
		return "create sequence public." + n, "sequence:public." + n + "#usage",
			"grant usage on sequence public." + n + " to %s"
	},
	func(n string) (string, string, string) {
		return "create type public." + n + " as enum ('x')", "type:public." + n + "#usage",
			"grant usage on type public." + n + " to %s"
	},
	func(n string) (string, string, string) {
		return "create role " + n, "default_privilege:" + n + ".public.tables#select",
			"alter default privileges for role " + n + " in schema public grant select on tables to %s"
	},
}

func (s *server) prepare(t *testing.T, i int) nhi.Entitlement {
	t.Helper()
	prepare, text, byHand := targets[i%len(targets)](unique("conf_"))
	s.exec(t, prepare)
	e, err := Spec().Grammar.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	s.byHand.Store(e, byHand)
	return e
}

func (s *server) Entitlements(t *testing.T, n int) []nhi.Entitlement {
	t.Helper()
	es := make([]nhi.Entitlement, n)
	for i := range es {
		es[i] = s.prepare(t, i)
	}
	return es
}

func (s *server) SharedEntitlement(t *testing.T) nhi.Entitlement {
	t.Helper()
	return s.prepare(t, 0)
}

func (s *server) Foreign(t *testing.T, name string, holds ...nhi.Entitlement) {
	t.Helper()
	s.exec(t, "create role "+ident(name)+" login")
	for _, e := range holds {
		s.GrantByHand(t, name, e)
	}
}

func (s *server) GrantByHand(t *testing.T, name string, e nhi.Entitlement) {
	t.Helper()
	statement, ok := s.byHand.Load(e)
	if !ok {
		t.Fatalf("%s was not prepared here", e)
	}
	s.exec(t, fmt.Sprintf(statement.(string), ident(name))) //nolint:forcetypeassert // Only strings are stored.
}

func (s *server) MissingEntitlement(*testing.T) (nhi.Entitlement, bool) {
	return nhi.Entitlement{Type: "table", Target: "public." + unique("absent_"), Permission: "select"}, true
}

func (s *server) HostileNames() []string {
	long := unique("x")
	return []string{
		"pg_monitor", "pg_catalog", unique("Pg_"), unique(`"quoted".`), unique("Upper."), "user", "select", "role",
		unique("a") + "~a", unique("a") + "~b~", unique("x; drop table y"), unique(`x"; drop role "nhi_admin`), unique("é\\"),
		long + strings.Repeat("y", 63-len(long)), long + strings.Repeat("é", (63-len(long))/2), unique("+"), unique("/"),
	}
}

func (s *server) Settings() map[string]string { return map[string]string{settingConnectionLimit: "7"} }

func (s *server) Secrets() []secret.Value { return []secret.Value{secret.New(s.bed.Password)} }

func (s *server) Many() int { return sweepPage + 20 }

func (s *server) Unsupported() map[string]string { return nil }

func (s *server) WithFault(t *testing.T, fault drivertest.Fault) driver.Driver {
	t.Helper()
	cfg := s.config()
	plain := func(address string) {
		host, port, err := net.SplitHostPort(address)
		if err != nil {
			t.Fatal(err)
		}
		cfg.Host, cfg.SSLMode = host, "disable"
		if _, err := fmt.Sscan(port, &cfg.Port); err != nil {
			t.Fatal(err)
		}
	}
	switch fault {
	case drivertest.Refused:
		plain(netfault.ClosedPort(t))
	case drivertest.Silent:
		plain(netfault.Listen(t, netfault.Drain))
	case drivertest.WrongCredentials:
		cfg.Password = secret.New("wrong-" + rand.Text())
	case drivertest.MissingRights:
		cfg.Username, cfg.Password = s.plainRole(t, "login")
	case drivertest.Cut:
		plain(netfault.Listen(t, netfault.CutAfter(net.JoinHostPort(s.bed.Host, strconv.Itoa(s.bed.Port)), 650)))
	case drivertest.Malformed:
		plain(netfault.Listen(t, netfault.AnswerHTTP))
	case drivertest.EmptyAnswers:
		plain(netfault.Listen(t, answerEmpty))
	case drivertest.Overloaded:
		plain(netfault.Listen(t, answerTooMany))
	default:
		return nil
	}
	return open(t, cfg)
}

// plainRole makes a role that logs in with a password and is dropped when the test ends.
func (s *server) plainRole(t *testing.T, options string) (string, secret.Value) {
	t.Helper()
	name, password := unique("admin_"), rand.Text()
	s.exec(t, "create role "+name+" "+options+" password '"+password+"'")
	t.Cleanup(func() { s.exec(t, "drop owned by "+name+" cascade", "drop role "+name) })
	return name, secret.New(password)
}

// query returns the single value of a query as the administrator.
func query[T any](t *testing.T, s *server, sql string, args ...any) T {
	t.Helper()
	rows, err := s.admin.Query(t.Context(), sql, args...)
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	value, err := pgx.CollectExactlyOneRow(rows, pgx.RowTo[T])
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return value
}
