package lifecycle

import (
	"context"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/fleet"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
	"github.com/nhi-labs/terraform-provider-nhi/internal/platform/sandbox"
	"github.com/nhi-labs/terraform-provider-nhi/internal/rotation"
	"github.com/nhi-labs/terraform-provider-nhi/internal/secret"
)

// credentialDriver is what a rotation needs of a sandbox.
type credentialDriver interface {
	driver.Driver
	driver.Issuer
	driver.Verifier
	driver.SecretStore
}

// troubled is a sandbox with a fault in it.
type troubled struct {
	credentialDriver
	issue  func(driver.Issued, error) (driver.Issued, error)
	verify func() error
	put    func(path string, s driver.StoredSecret) (int64, error)
	issues int
	puts   int
	// used is what it says of the last use of an account's newest credential.
	used time.Time
	// store is which of the sandbox's stores is reached, as if it had several.
	store string
}

func (d *troubled) Probe(ctx context.Context) (driver.Target, error) {
	target, err := d.credentialDriver.Probe(ctx)
	target.Store = d.store
	return target, err
}

func (d *troubled) ReadAccount(ctx context.Context, ref nhi.Ref) (nhi.Account, error) {
	a, err := d.credentialDriver.ReadAccount(ctx, ref)
	if n := len(a.Credentials); n > 0 {
		a.Credentials[n-1].LastUsedAt = d.used
	}
	return a, err
}

func (d *troubled) Issue(ctx context.Context, ref nhi.Ref, request driver.IssueRequest) (driver.Issued, error) {
	d.issues++
	issued, err := d.credentialDriver.Issue(ctx, ref, request)
	if d.issue != nil {
		return d.issue(issued, err)
	}
	return issued, err
}

func (d *troubled) Verify(ctx context.Context, login string, text secret.Value) error {
	if d.verify != nil {
		return d.verify()
	}
	return d.credentialDriver.Verify(ctx, login, text)
}

func (d *troubled) PutSecret(ctx context.Context, path string, s driver.StoredSecret) (int64, error) {
	d.puts++
	if d.put != nil {
		return d.put(path, s)
	}
	return d.credentialDriver.PutSecret(ctx, path, s)
}

// bench is one account with a rotation, in a sandbox that is also the store.
type bench struct {
	t        *testing.T
	fleet    *fleet.Fleet
	driver   *troubled
	rotation Rotation
	record   RotationRecord
	now      time.Time
}

func newBench(t *testing.T) *bench {
	t.Helper()
	return newBenchOf(t, sandbox.Config{})
}

// newBenchOf is newBench with another sandbox, whose path it chooses.
func newBenchOf(t *testing.T, config sandbox.Config) *bench {
	t.Helper()
	config.Path = filepath.Join(t.TempDir(), "sandbox.db")
	d, err := sandbox.Open(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	whole, ok := d.(credentialDriver)
	if !ok {
		t.Fatal("the sandbox lacks a capability")
	}
	b := &bench{t: t, driver: &troubled{credentialDriver: whole}, now: time.Now()}
	b.restart()
	b.rotation = Rotation{Identity: "agent", Platform: "box", Every: 720 * time.Hour, Overlap: 24 * time.Hour, Verify: true,
		Deliveries: []Delivery{{Place{"box", "kv/a"}, DefaultFields()}, {Place{"box", "kv/b"}, DefaultFields()}}}
	_, err = d.CreateAccount(t.Context(), driver.AccountSpec{Name: "agent", Mark: nhi.Mark{Stack: "payments", Identity: "agent"}})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// restart is another process, which has read nothing yet.
func (b *bench) restart() { b.reach(b.driver) }

// reach is another process, whose platform is reached through d.
func (b *bench) reach(d driver.Driver) {
	b.fleet = fleet.New("payments", nil, []fleet.Config{{Name: "box", Spec: sandbox.Spec(), Open: func() (driver.Driver, error) { return d, nil }}})
}

func (b *bench) clock() time.Time { return b.now }

// create makes the rotation, which must work.
func (b *bench) create() *bench {
	b.t.Helper()
	record, problems := CreateRotation(b.t.Context(), b.fleet, b.rotation, b.clock)
	if len(problems) > 0 {
		b.t.Fatal(problems)
	}
	b.record = record
	return b
}

// month later a rotation is due.
func (b *bench) due() Problems {
	b.t.Helper()
	b.now = b.now.Add(731 * time.Hour)
	return b.again()
}

func (b *bench) again() Problems {
	record, problems := ApplyRotation(b.t.Context(), b.fleet, b.rotation, b.record, func(string) bool { return true }, b.clock)
	b.record = record
	return problems
}

func (b *bench) wantProblem(problems Problems, text string) {
	b.t.Helper()
	if !strings.Contains(problems.Error(), text) {
		b.t.Errorf("problems %q, want %q", problems, text)
	}
}

// labels lists the credentials that the platform has.
func (b *bench) labels() string {
	b.t.Helper()
	account, err := b.driver.ReadAccount(b.t.Context(), nhi.Ref{Name: "agent"})
	if err != nil {
		b.t.Fatal(err)
	}
	var out []string
	for _, c := range account.Credentials {
		out = append(out, strings.Join(strings.Split(c.Label, "-")[:2], "-"))
	}
	return strings.Join(out, " ")
}

func (b *bench) stored(path string) driver.StoredSecret {
	b.t.Helper()
	stored, err := b.driver.GetSecret(b.t.Context(), path)
	if err != nil {
		b.t.Fatal(err)
	}
	return stored
}

// wantWorking checks that what every store holds logs in.
func (b *bench) wantWorking() {
	b.t.Helper()
	for _, d := range b.rotation.Deliveries {
		fields := b.stored(d.Path).Fields
		if err := b.driver.credentialDriver.Verify(b.t.Context(), fields["login"].Reveal(), fields["secret"]); err != nil {
			b.t.Errorf("what %s holds: %v", d.Place, err)
		}
	}
}

func TestLostAnswerOfIssue(t *testing.T) {
	b := newBench(t).create()
	b.driver.issues = 0
	b.driver.issue = func(driver.Issued, error) (driver.Issued, error) {
		return driver.Issued{}, driver.Errorf(driver.Unavailable, "the answer is lost")
	}
	b.wantProblem(b.due(), "the answer is lost")
	if b.driver.issues != 1 {
		t.Errorf("issued %d times", b.driver.issues)
	}
	if got := b.labels(); got != "nhi-1" {
		t.Errorf("credentials %s: the one whose secret is lost has to go", got)
	}
	b.wantWorking()
	b.driver.issue = nil
	if problems := b.again(); len(problems) > 0 || b.labels() != "nhi-1 nhi-2" {
		t.Errorf("the next run: %v, credentials %s", problems, b.labels())
	}
	b.wantWorking()
}

func TestIssueIsRepeatedOnlyIfNothingWasDone(t *testing.T) {
	b := newBench(t)
	limited := 2
	b.driver.issue = func(issued driver.Issued, err error) (driver.Issued, error) {
		if limited--; limited < 0 {
			return issued, err
		}
		_ = b.driver.RevokeCredential(t.Context(), nhi.Ref{Name: "agent"}, issued.Credential.ID)
		return driver.Issued{}, driver.Errorf(driver.RateLimited, "slow down")
	}
	b.create()
	if b.driver.issues != 3 || b.labels() != "nhi-1" {
		t.Errorf("issued %d times, credentials %s", b.driver.issues, b.labels())
	}
}

// A credential that does not work is never delivered.
func TestNewCredentialDoesNotWork(t *testing.T) {
	b := newBench(t).create()
	before := b.stored("kv/a").Version
	b.driver.verify = func() error { return driver.Errorf(driver.Unauthenticated, "refused") }
	b.wantProblem(b.due(), "nothing was delivered and the old one stays")
	if got := b.labels(); got != "nhi-1" || b.stored("kv/a").Version != before {
		t.Errorf("credentials %s, version %d", got, b.stored("kv/a").Version)
	}
	b.wantWorking()
}

// A store that writes the data and its metadata one after the other was interrupted in between: what is there is the
// new credential, whatever the metadata says.
func TestHalfWrittenStore(t *testing.T) {
	b := newBench(t).create()
	old := b.stored("kv/a").Metadata
	b.driver.put = func(path string, s driver.StoredSecret) (int64, error) {
		s.Metadata = old
		if _, err := b.driver.credentialDriver.PutSecret(context.Background(), path, s); err != nil {
			return 0, err
		}
		return 0, driver.Errorf(driver.PermissionDenied, "no right to write metadata")
	}
	b.wantProblem(b.due(), "no right to write metadata")
	b.driver.put = nil
	b.wantWorking()
	half := b.stored("kv/a").Fields["secret"]
	if problems := b.again(); len(problems) > 0 {
		t.Fatal(problems)
	}
	b.wantWorking()
	if now := b.stored("kv/a"); !now.Fields["secret"].Equal(half) || !strings.HasPrefix(now.Metadata["nhi_label"], "nhi-2-") {
		t.Errorf("the run did not go on with what was delivered: %v", now.Metadata)
	}
	if got := b.labels(); got != "nhi-1 nhi-2" {
		t.Errorf("credentials %s", got)
	}
}

func TestLostAnswerOfPut(t *testing.T) {
	b := newBench(t)
	b.driver.put = func(path string, s driver.StoredSecret) (int64, error) {
		_, _ = b.driver.credentialDriver.PutSecret(context.Background(), path, s)
		return 0, driver.Errorf(driver.Unavailable, "the answer is lost")
	}
	b.create()
	b.wantWorking()
	if b.driver.puts != 2 || b.stored("kv/a").Version != 1 {
		t.Errorf("%d writes, version %d", b.driver.puts, b.stored("kv/a").Version)
	}
}

// Somebody writes to the store at the same moment: the delivery is decided anew.
func TestConcurrentWriter(t *testing.T) {
	b := newBench(t).create()
	first := true
	b.driver.put = func(path string, s driver.StoredSecret) (int64, error) {
		if first {
			first = false
			other := b.stored(path)
			other.Metadata["team"] = "billing"
			if _, err := b.driver.credentialDriver.PutSecret(context.Background(), path, other); err != nil {
				return 0, err
			}
		}
		return b.driver.credentialDriver.PutSecret(context.Background(), path, s)
	}
	if problems := b.due(); len(problems) > 0 {
		t.Fatal(problems)
	}
	b.wantWorking()
	if got := b.stored("kv/a").Metadata["team"]; got != "billing" {
		t.Error("what others wrote into the metadata is lost")
	}
}

// A store that repeats what it was sent does not bring the secret into an error.
func TestStoreRepeatsTheSecret(t *testing.T) {
	b := newBench(t)
	b.rotation.Deliveries[0].Fields = map[string]Template{"URL": {{text: "db://"}, {text: fillLogin, fill: true}, {text: ":"}, {text: fillSecretURL, fill: true}}}
	var sent []secret.Value
	b.driver.put = func(_ string, s driver.StoredSecret) (int64, error) {
		sent = append(sent, s.Fields["URL"])
		return 0, driver.Errorf(driver.Invalid, "rejected %s at kv/a", s.Fields["URL"].Reveal())
	}
	problems := b.due()
	b.wantProblem(problems, "at kv/a")
	if len(sent) != 1 || strings.Contains(problems.Error(), sent[0].Reveal()[len("db://agent:"):]) {
		t.Errorf("%d writes, or the secret is in the error", len(sent))
	}
}

// What cannot be taken back after a creation that failed stays in the record.
func TestCreationIsTakenBack(t *testing.T) {
	b := newBench(t)
	b.driver.put = func(path string, s driver.StoredSecret) (int64, error) {
		if path == "kv/b" {
			return 0, driver.Errorf(driver.PermissionDenied, "no right to write here")
		}
		return b.driver.credentialDriver.PutSecret(context.Background(), path, s)
	}
	record, problems := CreateRotation(t.Context(), b.fleet, b.rotation, b.clock)
	b.wantProblem(problems, `"kv/b"`)
	if len(record.Credentials) > 0 || len(record.Delivered) > 0 || b.labels() != "" {
		t.Errorf("left: %+v, credentials %s", record, b.labels())
	}
	if _, err := b.driver.GetSecret(t.Context(), "kv/a"); driver.CodeOf(err) != driver.NotFound {
		t.Errorf("kv/a: %v", err)
	}
}

// State is lost and the rotation declared again with another path: callers of the old path go on for a whole overlap, and
// nothing is revoked before a plan has shown it.
func TestCreationLeavesWhatMayBeInUse(t *testing.T) {
	for name, overlap := range map[string]time.Duration{"overlap": 24 * time.Hour, "no overlap": 0} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t).create()
			b.rotation.Overlap = overlap
			b.rotation.Deliveries = []Delivery{{Place{"box", "kv/c"}, DefaultFields()}}
			b.create()
			first := b.stored("kv/a").Fields
			if err := b.driver.credentialDriver.Verify(t.Context(), "agent", first["secret"]); err != nil || b.labels() != "nhi-1 nhi-2" {
				t.Errorf("what kv/a holds: %v; credentials %s", err, b.labels())
			}
			record := b.record.Credentials
			if len(record) != 2 || record[0].Stage != rotation.Previous || !record[0].RetireAt.Equal(record[1].PromotedAt.Add(overlap)) {
				t.Errorf("record %+v", record)
			}
			b.wantWorking()
			b.now = b.now.Add(overlap + time.Second)
			if problems := b.again(); len(problems) > 0 || b.labels() != "nhi-2" || len(b.record.Credentials) != 1 {
				t.Errorf("after the overlap: %v; credentials %s, record %+v", problems, b.labels(), b.record.Credentials)
			}
		})
	}
}
