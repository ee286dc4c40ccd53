// Package sandboxtest is the conformance suite's harness for sandboxes.
package sandboxtest

import (
	"crypto/rand"
	"database/sql"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"testing"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/driver/drivertest"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
	"github.com/nhi-labs/terraform-provider-nhi/internal/platform/sandbox"
	"github.com/nhi-labs/terraform-provider-nhi/internal/secret"
)

// Harness is a drivertest.Harness of one sandbox file.
type Harness struct {
	path string
}

// New returns a harness of a new sandbox, which ends with the test. Its catalogue lists tables and nothing else.
func New(t *testing.T) *Harness {
	t.Helper()
	h := &Harness{path: filepath.Join(t.TempDir(), "a sandbox?#%.db")}
	h.catalogue(t, "finance.invoices")
	return h
}

// Spec implements drivertest.Harness.
func (h *Harness) Spec() driver.Spec { return sandbox.Spec() }

// Open implements drivertest.Harness.
func (h *Harness) Open(t *testing.T) driver.Driver {
	t.Helper()
	return open(t, sandbox.Config{Path: h.path})
}

func open(t *testing.T, config sandbox.Config) driver.Driver {
	t.Helper()
	d, err := sandbox.Open(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { check(t, d.Close()) })
	return d
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// admin returns the sandbox's own tools.
func (h *Harness) admin(t *testing.T) *sandbox.Admin {
	t.Helper()
	a, err := sandbox.OpenAdmin(sandbox.Config{Path: h.path})
	check(t, err)
	t.Cleanup(func() { check(t, a.Close()) })
	return a
}

func (h *Harness) catalogue(t *testing.T, table string) {
	t.Helper()
	check(t, h.admin(t).AddTarget(t.Context(), "table", table))
}

// Entitlements implements drivertest.Harness.
func (h *Harness) Entitlements(t *testing.T, n int) []nhi.Entitlement {
	t.Helper()
	var es []nhi.Entitlement
	for i := range n {
		name := fmt.Sprintf("t%d_%s", i, rand.Text())
		switch i % 5 {
		case 0:
			table := "finance." + name
			h.catalogue(t, table)
			es = append(es, nhi.Entitlement{Type: "table", Target: table, Permission: "select"})
		case 1:
			es = append(es, nhi.Entitlement{Type: "role", Target: name})
		case 2:
			es = append(es, nhi.Entitlement{Type: "group", Target: name + " Viewers"})
		case 3:
			es = append(es, nhi.Entitlement{Type: "project", Target: "P" + rand.Text(), Permission: "Lead Developer"})
		default:
			es = append(es, nhi.Entitlement{Type: "policy", Target: name})
		}
	}
	return es
}

// SharedEntitlement implements drivertest.Harness.
func (h *Harness) SharedEntitlement(t *testing.T) nhi.Entitlement {
	t.Helper()
	return h.Entitlements(t, 1)[0]
}

// Foreign implements drivertest.Harness.
func (h *Harness) Foreign(t *testing.T, name string, holds ...nhi.Entitlement) {
	t.Helper()
	check(t, h.admin(t).CreateForeign(t.Context(), name, holds...))
}

// GrantByHand implements drivertest.Harness.
func (h *Harness) GrantByHand(t *testing.T, name string, e nhi.Entitlement) {
	t.Helper()
	check(t, h.admin(t).Grant(t.Context(), name, e))
}

// MissingEntitlement implements drivertest.Harness.
func (h *Harness) MissingEntitlement(*testing.T) (nhi.Entitlement, bool) {
	return nhi.Entitlement{Type: "table", Target: "finance.missing_" + rand.Text(), Permission: "select"}, true
}

// HostileNames implements drivertest.Harness.
func (h *Harness) HostileNames() []string {
	return []string{"a' OR name LIKE '%", "x', '', 0, 0); DELETE FROM accounts; --", "?1", ":name", "@name", "[name]", `["a"]`}
}

// Settings implements drivertest.Harness.
func (h *Harness) Settings() map[string]string {
	return map[string]string{"description": "Reads 'invoices'; opens tickets", "max_sessions": "3"}
}

// WithFault implements drivertest.Harness.
func (h *Harness) WithFault(t *testing.T, fault drivertest.Fault) driver.Driver {
	t.Helper()
	broken := filepath.Join(t.TempDir(), "broken.db")
	switch fault {
	case drivertest.Refused:
		return open(t, sandbox.Config{Path: filepath.Join(t.TempDir(), "no such directory", "x.db")})
	case drivertest.Silent:
		h.lockedCopy(t, broken)
		return open(t, sandbox.Config{Path: broken})
	case drivertest.MissingRights:
		return open(t, sandbox.Config{Path: h.path, ReadOnly: true})
	case drivertest.Cut:
		h.copy(t, broken)
		whole, err := os.Stat(broken)
		check(t, err)
		check(t, os.Truncate(broken, whole.Size()/2))
		return open(t, sandbox.Config{Path: broken})
	case drivertest.Malformed:
		check(t, os.WriteFile(broken, []byte("<!doctype html><title>502 Bad Gateway</title>\n"), 0o600))
		return open(t, sandbox.Config{Path: broken})
	default:
		return nil
	}
}

// copy writes what the sandbox holds to another file. The sandbox itself must stay usable.
func (h *Harness) copy(t *testing.T, to string) {
	t.Helper()
	db := openDB(t, h.path)
	_, err := db.ExecContext(t.Context(), `VACUUM INTO ?`, to)
	check(t, err)
}

// lockedCopy is a copy that another connection keeps locked until the test ends: nobody else can even read.
func (h *Harness) lockedCopy(t *testing.T, to string) {
	t.Helper()
	h.copy(t, to)
	conn, err := openDB(t, to).Conn(t.Context())
	check(t, err)
	for _, statement := range []string{`PRAGMA locking_mode = EXCLUSIVE`, `BEGIN EXCLUSIVE`} {
		_, err = conn.ExecContext(t.Context(), statement)
		check(t, err)
	}
}

func openDB(t *testing.T, path string) *sql.DB {
	t.Helper()
	dsn := url.URL{Scheme: "file", Path: path, RawQuery: "_pragma=busy_timeout(10000)"}
	db, err := sql.Open("sqlite", dsn.String())
	check(t, err)
	t.Cleanup(func() { check(t, db.Close()) })
	return db
}

// Secrets implements drivertest.Harness: a file needs no login.
func (h *Harness) Secrets() []secret.Value { return nil }

// Many implements drivertest.Harness: more than two pages.
func (h *Harness) Many() int { return 230 }

// Unsupported implements drivertest.Harness.
func (h *Harness) Unsupported() map[string]string {
	return map[string]string{
		"fault/wrong_credentials": "A file has no login; the operating system's refusal is a missing right.",
		"fault/overloaded":        "SQLite has no rate limit; a busy file is silent.",
		"fault/empty_answers": "A file that holds nothing is a new sandbox, which truly has no such account; its target id is " +
			"another one, which pinning refuses.",
	}
}
