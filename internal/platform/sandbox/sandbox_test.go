package sandbox_test

import (
	"bytes"
	"database/sql"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
	"github.com/nhi-labs/terraform-provider-nhi/internal/platform/sandbox"
	"github.com/nhi-labs/terraform-provider-nhi/internal/secret"
)

// full is what the sandbox implements.
type full interface {
	driver.Driver
	driver.Suspender
	driver.Issuer
	driver.Verifier
	driver.SessionEnder
	driver.SecretStore
}

func newPath(t *testing.T) string {
	t.Helper()
	return filepath.Join(t.TempDir(), "sandbox.db")
}

func open(t *testing.T, path string) full {
	t.Helper()
	d, err := sandbox.Open(sandbox.Config{Path: path})
	check(t, err)
	t.Cleanup(func() { check(t, d.Close()) })
	whole, ok := d.(full)
	if !ok {
		t.Fatalf("%T lacks a capability", d)
	}
	return whole
}

func openAdmin(t *testing.T, path string) *sandbox.Admin {
	t.Helper()
	a, err := sandbox.OpenAdmin(sandbox.Config{Path: path})
	check(t, err)
	t.Cleanup(func() { check(t, a.Close()) })
	return a
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantCode(t *testing.T, d driver.Driver, err error, want driver.Code) {
	t.Helper()
	if err == nil {
		t.Fatalf("succeeded, want %q", want)
	}
	if got := d.Classify(err).Code; got != want {
		t.Fatalf("code %q, want %q: %v", got, want, err)
	}
}

func entitlement(t *testing.T, text string) nhi.Entitlement {
	t.Helper()
	e, err := sandbox.Spec().Grammar.Parse(text)
	check(t, err)
	return e
}

func targetID(t *testing.T, path string) string {
	t.Helper()
	target, err := open(t, path).Probe(t.Context())
	check(t, err)
	return target.ID
}

func TestFileIsMadeByTheFirstCallForItsOwnerOnly(t *testing.T) {
	path := newPath(t)
	d := open(t, path)
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Fatalf("Open touched the file: %v", err)
	}
	_, err := d.Probe(t.Context())
	check(t, err)
	for _, suffix := range []string{"", "-wal", "-shm"} {
		info, err := os.Stat(path + suffix)
		check(t, err)
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has the mode %v", path+suffix, info.Mode())
		}
	}
}

func TestTargetBelongsToTheFile(t *testing.T) {
	path, other := newPath(t), newPath(t)
	first := targetID(t, path)
	if !strings.HasPrefix(first, "sandbox:") || targetID(t, path) != first {
		t.Errorf("target ids %q and %q", first, targetID(t, path))
	}
	if targetID(t, other) == first {
		t.Error("two files are one target")
	}
}

func TestOpenRefusesAnEmptyPath(t *testing.T) {
	if _, err := sandbox.Open(sandbox.Config{Path: " "}); err == nil || !strings.Contains(err.Error(), "name a file") {
		t.Errorf("error %v", err)
	}
}

func TestReadOnlyMakesNoFile(t *testing.T) {
	path := newPath(t)
	d, err := sandbox.Open(sandbox.Config{Path: path, ReadOnly: true})
	check(t, err)
	t.Cleanup(func() { check(t, d.Close()) })
	_, err = d.Probe(t.Context())
	wantCode(t, d, err, driver.Unavailable)
	check(t, os.WriteFile(path, nil, 0o600))
	_, err = d.Probe(t.Context())
	wantCode(t, d, err, driver.PermissionDenied)
	targetID(t, path)
	target, err := d.Probe(t.Context())
	check(t, err)
	if len(target.Lacking) != 1 {
		t.Errorf("lacking: %q", target.Lacking)
	}
}

// execute runs SQL on a file behind the sandbox's back.
func execute(t *testing.T, path, statement string) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+path)
	check(t, err)
	_, err = db.ExecContext(t.Context(), statement)
	check(t, err)
	check(t, db.Close())
}

func TestDatabaseOfSomethingElseIsLeftAlone(t *testing.T) {
	path := newPath(t)
	execute(t, path, `CREATE TABLE invoices (id INTEGER)`)
	d := open(t, path)
	_, err := d.Probe(t.Context())
	wantCode(t, d, err, driver.Unknown)
	if !strings.Contains(err.Error(), "database of something else") {
		t.Errorf("error %v", err)
	}
	execute(t, path, `INSERT INTO invoices VALUES (1)`)
}

func TestFileOfANewerVersionIsRefused(t *testing.T) {
	path := newPath(t)
	targetID(t, path)
	execute(t, path, `PRAGMA user_version = 1000`)
	d := open(t, path)
	_, err := d.Probe(t.Context())
	if err == nil || !strings.Contains(err.Error(), "newer version") {
		t.Errorf("error %v", err)
	}
}

func TestCatalogueCountsForItsTypesOnly(t *testing.T) {
	path := newPath(t)
	d, admin := open(t, path), openAdmin(t, path)
	ref, err := d.CreateAccount(t.Context(), driver.AccountSpec{Name: "a"})
	check(t, err)
	unlisted := entitlement(t, "group:Unlisted")
	check(t, admin.AddTarget(t.Context(), "role", "reporting"))
	check(t, d.Grant(t.Context(), ref, []nhi.Entitlement{unlisted, entitlement(t, "role:reporting")}))
	check(t, admin.AddTarget(t.Context(), "group", "Listed"))
	err = d.Grant(t.Context(), ref, []nhi.Entitlement{unlisted})
	wantCode(t, d, err, driver.Invalid)
	if !strings.Contains(err.Error(), `no group "Unlisted"`) {
		t.Errorf("error %v", err)
	}
}

func TestSpellings(t *testing.T) {
	for text, want := range map[string]string{
		"project:bill#Developer":        `write "project:BILL#Developer"`,
		"project:BILL":                  "lacks the permission",
		"project:B-1#Developer":         "a project key is",
		"table:invoices#select":         "name the table with its schema",
		"table:finance.invoices#drop":   "unknown permission",
		"table:finance.invoices#Select": `write "table:finance.invoices#select"`,
	} {
		if _, err := sandbox.Spec().Grammar.Parse(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %q", text, err, want)
		}
	}
}

func TestSettingsAreChecked(t *testing.T) {
	d := open(t, newPath(t))
	for name, value := range map[string]string{"max_sessions": "03", "description": "\xff", "color": "red"} {
		_, err := d.CreateAccount(t.Context(), driver.AccountSpec{Name: "a", Settings: map[string]string{name: value}})
		wantCode(t, d, err, driver.Invalid)
		_, err = d.ReadAccount(t.Context(), nhi.Ref{Name: "a"})
		wantCode(t, d, err, driver.NotFound)
	}
}

func issue(t *testing.T, d full, ref nhi.Ref, request driver.IssueRequest) driver.Issued {
	t.Helper()
	issued, err := d.Issue(t.Context(), ref, request)
	check(t, err)
	return issued
}

func TestExpiryEndsLogins(t *testing.T) {
	d := open(t, newPath(t))
	ref, err := d.CreateAccount(t.Context(), driver.AccountSpec{Name: "a"})
	check(t, err)
	past := time.Now().Add(-time.Hour)
	old := issue(t, d, ref, driver.IssueRequest{Label: "old", ExpiresAt: past})
	valid := issue(t, d, ref, driver.IssueRequest{Label: "valid", ExpiresAt: time.Now().Add(time.Hour)})
	wantCode(t, d, d.Verify(t.Context(), old.Login, old.Secret), driver.Unauthenticated)
	check(t, d.Verify(t.Context(), valid.Login, valid.Secret))
	check(t, d.UpdateAccount(t.Context(), ref, driver.AccountChange{ExpiresAt: &past}))
	wantCode(t, d, d.Verify(t.Context(), valid.Login, valid.Secret), driver.Unauthenticated)
}

func TestLabelsAreUnique(t *testing.T) {
	d := open(t, newPath(t))
	ref, err := d.CreateAccount(t.Context(), driver.AccountSpec{Name: "a"})
	check(t, err)
	issue(t, d, ref, driver.IssueRequest{Label: "one"})
	_, err = d.Issue(t.Context(), ref, driver.IssueRequest{Label: "one"})
	wantCode(t, d, err, driver.Conflict)
}

func TestCredentialIsNotInTheFile(t *testing.T) {
	path := newPath(t)
	d := open(t, path)
	ref, err := d.CreateAccount(t.Context(), driver.AccountSpec{Name: "a"})
	check(t, err)
	issued := issue(t, d, ref, driver.IssueRequest{Label: "label-in-the-file"})
	var everything []byte
	for _, suffix := range []string{"", "-wal"} {
		content, err := os.ReadFile(path + suffix)
		check(t, err)
		everything = append(everything, content...)
	}
	if !bytes.Contains(everything, []byte("label-in-the-file")) || bytes.Contains(everything, []byte(issued.Secret.Reveal())) {
		t.Error("the file lacks the label, or holds the secret")
	}
}

func wantSessions(t *testing.T, admin *sandbox.Admin, want int) {
	t.Helper()
	got, err := admin.Sessions(t.Context(), "a")
	check(t, err)
	if got != want {
		t.Fatalf("%d sessions, want %d", got, want)
	}
}

func TestSessions(t *testing.T) {
	path := newPath(t)
	d, admin := open(t, path), openAdmin(t, path)
	ref, err := d.CreateAccount(t.Context(), driver.AccountSpec{Name: "a", Settings: map[string]string{"max_sessions": "2"}})
	check(t, err)
	issued := issue(t, d, ref, driver.IssueRequest{Label: "one"})
	check(t, d.Verify(t.Context(), "a", issued.Secret))
	wantSessions(t, admin, 0)
	check(t, admin.Login(t.Context(), "a", issued.Secret))
	check(t, admin.Login(t.Context(), "a", issued.Secret))
	wantCode(t, d, admin.Login(t.Context(), "a", issued.Secret), driver.Conflict)
	check(t, admin.Suspend(t.Context(), "a"))
	wantSessions(t, admin, 2)
	check(t, d.EndSessions(t.Context(), ref))
	wantSessions(t, admin, 0)
	wantCode(t, d, admin.Login(t.Context(), "a", issued.Secret), driver.Unauthenticated)
	check(t, admin.Resume(t.Context(), "a"))
	check(t, admin.Login(t.Context(), "a", issued.Secret))
	wantSessions(t, admin, 1)
	account, err := d.ReadAccount(t.Context(), ref)
	check(t, err)
	if account.Credentials[0].LastUsedAt.IsZero() {
		t.Error("the login did not use the credential")
	}
}

func TestDump(t *testing.T) {
	path := newPath(t)
	d, admin := open(t, path), openAdmin(t, path)
	var out strings.Builder
	check(t, admin.Dump(t.Context(), &out))
	mark := nhi.Mark{Stack: "payments", Identity: "billing-agent"}
	ref, err := d.CreateAccount(t.Context(), driver.AccountSpec{Name: "billing-agent", Mark: mark})
	check(t, err)
	check(t, d.Grant(t.Context(), ref, []nhi.Entitlement{entitlement(t, "role:reporting"), entitlement(t, "policy:billing-read")}))
	issued := issue(t, d, ref, driver.IssueRequest{Label: "r-1"})
	stored := driver.StoredSecret{Fields: map[string]secret.Value{"password": issued.Secret}}
	_, err = d.PutSecret(t.Context(), "kv/billing-agent", stored)
	check(t, err)
	check(t, admin.CreateForeign(t.Context(), "legacy", entitlement(t, "role:admin")))
	check(t, admin.Suspend(t.Context(), "legacy"))
	check(t, admin.Grant(t.Context(), "legacy", entitlement(t, "group:Ops")))
	check(t, admin.Revoke(t.Context(), "legacy", entitlement(t, "role:admin")))
	check(t, admin.Dump(t.Context(), &out))
	check(t, admin.DeleteAccount(t.Context(), "legacy"))
	want := `no accounts
billing-agent  active  of stack payments  credentials r-1
    policy:billing-read
    role:reporting
legacy  suspended
    group:Ops
secret kv/billing-agent
`
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("dump (-want +got):\n%s", diff)
	}
}

// childEnv names, in a child process, the sandbox that it works on, and childNumber says which child it is.
const (
	childEnv    = "SANDBOX_TEST_PATH"
	childNumber = "SANDBOX_TEST_CHILD"
)

// children is how many processes share one file, and each is how many accounts and entitlements a process makes.
const children, each = 3, 20

// TestProcessesShareOneFile starts processes that meet already while they make the file.
func TestProcessesShareOneFile(t *testing.T) {
	if path := os.Getenv(childEnv); path != "" {
		workInChild(t, path, os.Getenv(childNumber))
		return
	}
	path := newPath(t)
	executable, err := os.Executable()
	check(t, err)
	var running []*exec.Cmd
	outputs := make([]bytes.Buffer, children)
	for i := range children {
		child := exec.CommandContext(t.Context(), executable, "-test.run=^TestProcessesShareOneFile$") //nolint:gosec // Itself.
		child.Env = append(os.Environ(), childEnv+"="+path, fmt.Sprintf("%s=%d", childNumber, i))
		child.Stdout, child.Stderr = &outputs[i], &outputs[i]
		check(t, child.Start())
		running = append(running, child)
	}
	for i, child := range running {
		if err := child.Wait(); err != nil {
			t.Errorf("child %d: %v\n%s", i, err, outputs[i].String())
		}
	}
	account, err := open(t, path).ReadAccount(t.Context(), nhi.Ref{Name: "shared"})
	check(t, err)
	if len(account.Entitlements) != children*each {
		t.Errorf("the shared account holds %d entitlements, want %d", len(account.Entitlements), children*each)
	}
}

func workInChild(t *testing.T, path, number string) {
	d := open(t, path)
	_, err := d.CreateAccount(t.Context(), driver.AccountSpec{Name: "shared"})
	if err != nil {
		wantCode(t, d, err, driver.AlreadyExists)
	}
	for i := range each {
		name := fmt.Sprintf("%s-%d", number, i)
		ref, err := d.CreateAccount(t.Context(), driver.AccountSpec{Name: name})
		check(t, err)
		e := []nhi.Entitlement{entitlement(t, "role:"+name)}
		check(t, d.Grant(t.Context(), ref, e))
		check(t, d.Grant(t.Context(), nhi.Ref{Name: "shared"}, e))
		account, err := d.ReadAccount(t.Context(), ref)
		check(t, err)
		if !slices.Equal(account.Entitlements, e) {
			t.Fatalf("%s holds %v", name, account.Entitlements)
		}
	}
}
