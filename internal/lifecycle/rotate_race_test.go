package lifecycle

import (
	"context"
	"strings"
	"testing"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
	"github.com/nhi-labs/terraform-provider-nhi/internal/platform/sandbox"
	"github.com/nhi-labs/terraform-provider-nhi/internal/rotation"
)

// racing is a sandbox in which another run does something before the next credential is issued.
type racing struct {
	*troubled
	before func()
	// twins is set if it does not compare labels, as Vault, AWS and Kubernetes.
	twins bool
}

func (d *racing) Issue(ctx context.Context, ref nhi.Ref, request driver.IssueRequest) (driver.Issued, error) {
	if before := d.before; before != nil {
		d.before = nil
		before()
	}
	label := request.Label
	account, err := d.ReadAccount(ctx, ref)
	for _, c := range account.Credentials {
		if d.twins && c.Label == label {
			request.Label += "~"
			break
		}
	}
	if err != nil {
		return driver.Issued{}, err
	}
	issued, err := d.troubled.Issue(ctx, ref, request)
	issued.Credential.Label = label
	return issued, err
}

func (d *racing) ReadAccount(ctx context.Context, ref nhi.Ref) (nhi.Account, error) {
	account, err := d.troubled.ReadAccount(ctx, ref)
	for i := range account.Credentials {
		account.Credentials[i].Label = strings.TrimSuffix(account.Credentials[i].Label, "~")
	}
	return account, err
}

// race lets the bench's runs be overtaken.
func (b *bench) race() *racing {
	d := &racing{troubled: b.driver}
	b.reach(d)
	return d
}

// nhi_rotate has issued and delivered a credential while an apply was about to. Where the platform refuses a label twice, the apply
// fails, also if it does not get to know why, and leaves the other run's alone: the next one finishes that.
func TestIssueLosesARace(t *testing.T) {
	for name, answer := range map[string]error{
		"refused": nil, "the answer is lost": driver.Errorf(driver.Unavailable, "the answer is lost"),
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t).create()
			d := b.race()
			d.before = func() {
				b.restart()
				if problems := b.rotateNow(); len(problems) > 0 {
					t.Fatal(problems)
				}
				b.reach(d)
				b.driver.issue = func(issued driver.Issued, err error) (driver.Issued, error) {
					if answer != nil {
						err = answer
					}
					return issued, err
				}
			}
			if problems := b.due(); len(problems) != 1 || b.labels() != "nhi-1 nhi-2" {
				t.Fatalf("%v, credentials %s", problems, b.labels())
			}
			b.wantWorking()
			b.restart()
			if problems := b.again(); len(problems) > 0 || b.labels() != "nhi-1 nhi-2" {
				t.Errorf("the next run: %v, credentials %s", problems, b.labels())
			}
			if current, _ := b.record.Credentials.Current(); !strings.HasPrefix(current.Label, "nhi-2-") {
				t.Errorf("record %+v", b.record.Credentials)
			}
			b.wantWorking()
		})
	}
}

// Where the platform does not compare labels, both runs have issued one with the same label: the one that the stores hold becomes
// the current one, and the other one has its overlap.
func TestTwoCredentialsWithOneLabel(t *testing.T) {
	b := newBenchOf(t, sandbox.Config{CredentialSlots: 5}).create()
	d := b.race()
	d.twins = true
	d.before = func() {
		b.reach(d)
		if problems := b.due(); len(problems) > 0 {
			t.Fatal(problems)
		}
	}
	if problems := b.rotateNow(); len(problems) > 0 || strings.Count(b.labels(), "nhi-2") != 2 {
		t.Fatalf("%v, credentials %s", problems, b.labels())
	}
	b.wantWorking()
	for range 2 {
		b.reach(d)
		if problems := b.again(); len(problems) > 0 || strings.Count(b.labels(), "nhi-2") != 2 {
			t.Fatalf("%v, credentials %s", problems, b.labels())
		}
		b.wantWorking()
	}
	if current, _ := b.record.Credentials.Current(); current.ID != b.note("kv/a").Credential {
		t.Errorf("the stores do not hold the current one: %+v", b.record.Credentials)
	}
	b.reach(d)
	if view, problems := PlanRotation(t.Context(), b.fleet, b.rotation, b.record, nil, b.now); len(problems) > 0 || len(view.Words) > 0 {
		t.Errorf("the next plan: %q, %v", view.Words, problems)
	}
}

// The other run has issued its credential and is about to deliver it.
func TestIssueLosesARaceBeforeDelivery(t *testing.T) {
	b := newBench(t).create()
	b.race().before = func() {
		label := rotation.NewLabels("payments", "agent").Label(2)
		if _, err := b.driver.Issue(t.Context(), nhi.Ref{Name: "agent"}, driver.IssueRequest{Label: label}); err != nil {
			t.Fatal(err)
		}
	}
	b.wantProblem(b.due(), "if another run has issued one at the same time, run again")
	if b.labels() != "nhi-1 nhi-2" {
		t.Errorf("credentials %s", b.labels())
	}
	b.wantWorking()
}

func (b *bench) note(path string) note {
	b.t.Helper()
	n, ok := readNote(b.stored(path))
	if !ok {
		b.t.Fatalf("%s holds no note", path)
	}
	return n
}
