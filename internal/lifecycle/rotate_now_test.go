package lifecycle

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
)

var errTrouble = errors.New("scripted trouble")

// rotateNow rotates the bench's credential at once, as the action does: without the record and the settings.
func (b *bench) rotateNow(places ...Place) Problems {
	b.t.Helper()
	if places == nil {
		places = []Place{{"box", "kv/a"}, {"box", "kv/b"}}
	}
	bare := Rotation{Identity: b.rotation.Identity, Platform: b.rotation.Platform, Verify: true}
	_, problems := RotateNow(b.t.Context(), b.fleet, bare, places, b.clock, func(string, string) {})
	return problems
}

func TestRotateNow(t *testing.T) {
	b := newBench(t)
	template, err := ParseTemplate("login={{login}};{{ secret_urlencoded }}")
	if err != nil {
		t.Fatal(err)
	}
	b.rotation.Deliveries[1].Fields = map[string]Template{"dsn": template}
	b.create()
	before := b.stored("kv/b")
	b.now = b.now.Add(time.Hour)
	if problems := b.rotateNow(); len(problems) > 0 {
		t.Fatal(problems)
	}
	after := b.stored("kv/b")
	if dsn := after.Fields["dsn"].Reveal(); b.labels() != "nhi-1 nhi-2" || !strings.HasPrefix(dsn, "login=") || after.Fields["dsn"].Equal(before.Fields["dsn"]) {
		t.Errorf("credentials %s, %d fields", b.labels(), len(after.Fields))
	}
	// The new one ends when one of the rotation would.
	account, err := b.driver.ReadAccount(t.Context(), nhi.Ref{Name: "agent"})
	if err != nil || !account.Credentials[1].ExpiresAt.Equal(account.Credentials[0].ExpiresAt.Add(time.Hour)) {
		t.Errorf("credentials %+v, %v", account.Credentials, err)
	}
	b.wantProblem(b.rotateNow(), "has 2 credentials and can have 2 at once")

	// The rotation makes it the current one, keeps the overlap, and writes nothing again.
	puts := b.driver.puts
	if problems := b.again(); len(problems) > 0 {
		t.Fatal(problems)
	}
	if current, _ := b.record.Credentials.Current(); !strings.HasPrefix(current.Label, "nhi-2-") || b.labels() != "nhi-1 nhi-2" || b.driver.puts != puts {
		t.Errorf("record %+v, credentials %s, %d deliveries", b.record.Credentials, b.labels(), b.driver.puts-puts)
	}
	b.now = b.now.Add(25 * time.Hour)
	if problems := b.again(); len(problems) > 0 || b.labels() != "nhi-2" {
		t.Errorf("credentials %s, %v", b.labels(), problems)
	}
}

// Whatever fails, the credential that callers use stays, and the next apply of the rotation clears up.
func TestRotateNowFails(t *testing.T) {
	for name, test := range map[string]struct {
		trouble func(d *troubled)
		left    string // credentials after the failure
		settled string // and after the next apply
	}{
		"the credential is refused": {func(d *troubled) { d.verify = func() error { return errTrouble } }, "nhi-1", "nhi-1"},
		"no store takes it": {func(d *troubled) {
			d.put = func(string, driver.StoredSecret) (int64, error) { return 0, errTrouble }
		}, "nhi-1 nhi-2", "nhi-1"},
		"one store takes it": {func(d *troubled) {
			d.put = func(path string, s driver.StoredSecret) (int64, error) {
				if path == "kv/b" {
					return 0, errTrouble
				}
				return d.credentialDriver.PutSecret(t.Context(), path, s)
			}
		}, "nhi-1 nhi-2", "nhi-1 nhi-2"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t).create()
			test.trouble(b.driver)
			b.wantProblem(b.rotateNow(), "scripted trouble")
			if b.labels() != test.left {
				t.Errorf("credentials %s, want %s", b.labels(), test.left)
			}
			b.driver.verify, b.driver.put = nil, nil
			if problems := b.again(); len(problems) > 0 || b.labels() != test.settled {
				t.Errorf("credentials %s, want %s; %v", b.labels(), test.settled, problems)
			}
			if a, c := b.stored("kv/a").Metadata["nhi_label"], b.stored("kv/b").Metadata["nhi_label"]; a != c {
				t.Errorf("the stores hold %s and %s", a, c)
			}
		})
	}
}

func TestRotateNowRefuses(t *testing.T) {
	b := newBench(t).create()
	b.wantProblem(b.rotateNow(Place{"box", "kv/c"}), "holds no credential of")
	b.wantProblem(b.rotateNow(Place{"nowhere", "kv/a"}), "no platform is named")
	suspender, ok := b.driver.credentialDriver.(driver.Suspender)
	if !ok {
		t.Fatal("a sandbox can suspend")
	}
	if err := suspender.Suspend(t.Context(), nhi.Ref{Name: "agent"}); err != nil {
		t.Fatal(err)
	}
	b.wantProblem(b.rotateNow(), "is suspended")
	if b.driver.issues != 1 {
		t.Errorf("%d credentials were issued", b.driver.issues)
	}
}
