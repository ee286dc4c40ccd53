package lifecycle

import (
	"strings"
	"testing"

	"github.com/nhi-labs/terraform-provider-nhi/internal/audit"
	"github.com/nhi-labs/terraform-provider-nhi/internal/audit/audittest"
	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
	"github.com/nhi-labs/terraform-provider-nhi/internal/platform/sandbox"
	"github.com/nhi-labs/terraform-provider-nhi/internal/rotation"
)

// requires makes the bench's changes require that the sink takes what announces them.
func (b *bench) requires(sink *audittest.Sink) {
	b.fleet = b.fleet.Under(sink.Required().Open(audit.Operation{}, nil))
}

// TestSinkDiesInAnOutage: what has revoked the only credential goes on until callers have the new one.
func TestSinkDiesInAnOutage(t *testing.T) {
	t.Parallel()
	for _, activity := range []audit.Activity{audit.IssueCredential, audit.StoreSecret, audit.RevokeCredential} {
		t.Run(string(activity), func(t *testing.T) {
			t.Parallel()
			b := newBenchOf(t, sandbox.Config{CredentialSlots: 1})
			b.rotation.AllowOutage = true
			b.create()
			sink := &audittest.Sink{Dies: func(e audit.Event) bool { return e.Activity == activity }}
			b.requires(sink)
			problems := b.due()
			if refused := activity == audit.RevokeCredential; refused {
				b.wantProblem(problems, "nothing was changed")
				if b.labels() != "nhi-1" {
					t.Errorf("credentials %s", b.labels())
				}
			} else if len(problems) > 0 || b.labels() != "nhi-2" {
				t.Errorf("credentials %s, problems %v", b.labels(), problems)
			}
			b.wantWorking()
		})
	}
}

// TestSinkRefusesADelivery: nothing was sent to the store, so the error does not speak of what the store did, and no second attempt
// is made.
func TestSinkRefusesADelivery(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.requires(&audittest.Sink{Dies: func(e audit.Event) bool { return e.Activity == audit.StoreSecret }})
	_, problems := CreateRotation(t.Context(), b.fleet, b.rotation, b.clock)
	b.wantProblem(problems, "nothing was changed")
	for _, wrong := range []string{"accepted", "a moment ago"} { // the latter is what a second attempt is told
		if strings.Contains(problems.Error(), wrong) {
			t.Errorf("problems %q", problems)
		}
	}
	if b.driver.puts > 0 {
		t.Errorf("%d requests to the store", b.driver.puts)
	}
}

// TestSinkDiesInACreation: what a creation has made is taken back also if that cannot be announced any more.
func TestSinkDiesInACreation(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	sink := &audittest.Sink{}
	b.requires(sink)
	b.driver.put = func(path string, s driver.StoredSecret) (int64, error) {
		if path == "kv/b" {
			sink.Down(true)
			return 0, driver.Errorf(driver.Invalid, "the store is full")
		}
		return b.driver.credentialDriver.PutSecret(t.Context(), path, s)
	}
	record, problems := CreateRotation(t.Context(), b.fleet, b.rotation, b.clock)
	if len(problems) != 1 || len(record.Credentials) > 0 || len(record.Delivered) > 0 || b.labels() != "" {
		t.Errorf("record %+v, credentials %s, problems %v", record, b.labels(), problems)
	}
	if _, err := b.driver.GetSecret(t.Context(), "kv/a"); driver.CodeOf(err) != driver.NotFound {
		t.Errorf("kv/a: %v", err)
	}
}

// TestSinkRefusesToIssueBesideAnotherRun: where nothing was issued, nothing is taken back, whatever carries the label.
func TestSinkRefusesToIssueBesideAnotherRun(t *testing.T) {
	b := newBench(t).create()
	done := false
	b.requires(&audittest.Sink{Dies: func(e audit.Event) bool {
		if e.Activity != audit.IssueCredential {
			return false
		}
		if !done {
			done = true
			label := rotation.NewLabels("payments", "agent").Label(2)
			if _, err := b.driver.Issue(t.Context(), nhi.Ref{Name: "agent"}, driver.IssueRequest{Label: label}); err != nil {
				t.Fatal(err)
			}
		}
		return true
	}})
	if problems := b.due(); len(problems) == 0 || b.labels() != "nhi-1 nhi-2" {
		t.Errorf("problems %v, credentials %s", problems, b.labels())
	}
}
