package mysql

import (
	"context"
	"crypto/rand"
	"database/sql"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/driver/drivertest"
	"github.com/nhi-labs/terraform-provider-nhi/internal/driver/drivertest/netfault"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
	"github.com/nhi-labs/terraform-provider-nhi/internal/secret"
	"github.com/nhi-labs/terraform-provider-nhi/internal/testenv"
)

func TestConformance(t *testing.T) {
	t.Parallel()
	drivertest.Run(t, newServer(t))
}

// server is the real MariaDB of the testbed, with an administrator's own connection to it.
type server struct {
	bed   testenv.MySQL
	admin *sql.DB
	// byHand holds, for each entitlement that was prepared, the statement that grants it, with %s for the account.
	byHand sync.Map
}

func newServer(t *testing.T) *server {
	t.Helper()
	s := &server{bed: testenv.Load(t).MySQL}
	config, err := clientConfig(s.config())
	if err != nil {
		t.Fatal(err)
	}
	s.admin = sql.OpenDB(connector{config.Clone})
	s.admin.SetMaxOpenConns(8)
	t.Cleanup(func() { _ = s.admin.Close() })
	s.exec(t, "create database if not exists conf")
	return s
}

func (s *server) config() Config {
	return Config{
		Host: s.bed.Host, Port: s.bed.Port, Username: s.bed.Username, Password: secret.New(s.bed.Password), CAFile: s.bed.CAFile,
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
		if _, err := s.admin.ExecContext(ctx, statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
}

func unique(prefix string) string { return prefix + strings.ToLower(rand.Text()[:12]) }

func (s *server) Spec() driver.Spec { return Spec() }

func (s *server) Open(t *testing.T) driver.Driver { return open(t, s.config()) }

// targets makes one target each and returns SQL to prepare it, the entitlement, and how to grant it by hand.
var targets = []func(n string) (prepare, entitlement, byHand string){
	func(n string) (string, string, string) {
		return "create table conf." + n + " (a int, b int)", "table:conf." + n + "#select", "grant select on conf." + n + " to %s"
	},
	func(n string) (string, string, string) {
		return "create role " + n, "role:" + n, "grant " + n + " to %s"
	},
	func(n string) (string, string, string) {
		return "create database " + n, "database:" + n + "#create temporary tables",
			"grant create temporary tables on `" + escapePattern(n) + "`.* to %s"
	},
	func(n string) (string, string, string) {
		return "create table conf." + n + " (a int, `B.c` int)", "column:conf." + n + ".`B.c`#update",
			"grant update (`B.c`) on conf." + n + " to %s"
	},
	func(n string) (string, string, string) {
		return "create procedure conf." + n + "() select 1", "procedure:conf." + n + "#execute",
			"grant execute on procedure conf." + n + " to %s"
	},
	func(n string) (string, string, string) {
		return "create function conf." + n + "() returns int return 1", "function:conf." + n + "#alter routine",
			"grant alter routine on function conf." + n + " to %s"
	},
	func(n string) (string, string, string) {
		return "do 0", "database_pattern:" + n + "%#select", "grant select on `" + n + "%%`.* to %s"
	},
	func(n string) (string, string, string) {
		return "create table conf." + n + " (a int)", "table:conf." + n + "#grant option", "grant grant option on conf." + n + " to %s"
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
	s.exec(t, "create user "+parseWho(name).sql()+" identified by '"+rand.Text()+"'")
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
	s.exec(t, fmt.Sprintf(statement.(string), parseWho(name).sql())) //nolint:forcetypeassert // Only strings are stored.
}

func (s *server) MissingEntitlement(*testing.T) (nhi.Entitlement, bool) {
	return nhi.Entitlement{Type: "table", Target: "conf." + unique("absent_"), Permission: "select"}, true
}

func (s *server) HostileNames() []string {
	long := unique("x")
	return []string{
		unique("a") + "@10.0.0.%", unique("a") + "@localhost", unique("a") + "@192.168.0.0/255.255.0.0", unique("a") + "@::1",
		unique("svc") + "@example.com@%", unique("a") + "@%", unique("a") + "@", "@" + unique("a"), unique("a") + "@Host", unique("a") + "@'",
		unique("x`; drop user `nhi_admin"), unique(`x\`), unique("x'@'localhost"), unique("PUBLIC"), "PUBLIC", unique("é\\"), unique("?"),
		long + strings.Repeat("y", maxUser-len(long)), long + strings.Repeat("é", maxUser-len(long)), long + strings.Repeat("y", maxUser),
	}
}

func (s *server) Settings() map[string]string { return map[string]string{settingMaxConnections: "7"} }

func (s *server) Secrets() []secret.Value { return []secret.Value{secret.New(s.bed.Password)} }

func (s *server) Many() int { return sweepPage + 20 }

func (s *server) Unsupported() map[string]string { return nil }

func (s *server) WithFault(t *testing.T, fault drivertest.Fault) driver.Driver {
	t.Helper()
	cfg := s.config()
	plain := func(address string) { cfg = plainTo(t, cfg, address) }
	switch fault {
	case drivertest.Refused:
		plain(netfault.ClosedPort(t))
	case drivertest.Silent:
		plain(netfault.Listen(t, netfault.Drain))
	case drivertest.WrongCredentials:
		cfg.Password = secret.New("wrong-" + rand.Text())
	case drivertest.MissingRights:
		cfg.Username, cfg.Password = s.plainUser(t, "select on *.*")
	case drivertest.Cut:
		plain(netfault.Listen(t, netfault.CutAfter(net.JoinHostPort(s.bed.Host, strconv.Itoa(s.bed.Port)), 450)))
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

func plainTo(t *testing.T, cfg Config, address string) Config {
	t.Helper()
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	cfg.Host, cfg.PlainText, cfg.CAFile = host, true, ""
	if cfg.Port, err = strconv.Atoi(port); err != nil {
		t.Fatal(err)
	}
	return cfg
}

// plainUser makes a user that logs in with a password and is dropped when the test ends.
func (s *server) plainUser(t *testing.T, grants ...string) (string, secret.Value) {
	t.Helper()
	name, password := unique("admin_"), rand.Text()
	s.exec(t, "create user "+name+" identified by '"+password+"'")
	for _, grant := range grants {
		s.exec(t, "grant "+grant+" to "+name)
	}
	t.Cleanup(func() { s.exec(t, "drop user "+name) })
	return name, secret.New(password)
}
