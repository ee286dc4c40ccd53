package acctest

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nhi-labs/terraform-provider-nhi/internal/audit"
	"github.com/nhi-labs/terraform-provider-nhi/internal/audit/audittest"
	"github.com/nhi-labs/terraform-provider-nhi/internal/audit/ocsf"
	"github.com/nhi-labs/terraform-provider-nhi/internal/testenv"
)

// trust makes the provider trust the authorities in files instead of the system's.
func (r *exampleRun) trust(t *testing.T, files ...string) {
	t.Helper()
	var all []byte
	for _, file := range files {
		authority, err := os.ReadFile(filepath.Clean(file))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, authority...)
	}
	r.write("authorities.pem", string(all))
	r.Setenv("SSL_CERT_FILE", filepath.Join(r.dir, "authorities.pem"))
}

// reachAudit lets the receivers of the testbed be those of the examples.
func (r *exampleRun) reachAudit(t *testing.T) {
	t.Helper()
	servers := testenv.Load(t)
	r.place("siem.internal:6514", servers.RSyslog.TLS)
	r.place("/etc/ssl/siem-ca.pem", servers.RSyslog.CAFile)
	r.place("https://splunk.internal:8088", servers.Collector.SplunkHEC)
	r.Setenv("NHI_AUDIT_SPLUNK_TOKEN", "token-of-splunk")
	r.trust(t, servers.RSyslog.CAFile, servers.Collector.CAFile)
}

// somethingToAudit declares what the examples of audit sinks, which are only a provider, leave out.
func somethingToAudit(_ *testing.T, e *exampleRun) {
	e.write("agent.tf", `
resource "nhi_identity" "agent" {
  name  = "billing-agent"
  kind  = "ai_agent"
  owner = "team-billing@example.com"

  account { platform = "warehouse" }
}

resource "nhi_grant" "agent" {
  identity     = nhi_identity.agent
  entitlements = { warehouse = ["role:reporting"] }
}
`)
}

// auditExample compares the evidence of a run with its state as the guide does.
func auditExample() example {
	return example{prepare: somethingToAudit, use: func(t *testing.T, e *exampleRun) {
		t.Helper()
		e.shell(t, 0, "check.sh")
	}}
}

// auditSinksExample looks at what each sink of the example has of its grants.
func auditSinksExample() example {
	hook := &posted{ids: idSet{}, read: cloudEvent}
	reach := func(t *testing.T, e *exampleRun) {
		t.Helper()
		e.place("https://governance.internal", audittest.NewReceiver(t, hook.ServeHTTP).URL)
		e.Setenv("NHI_AUDIT_GOVERNANCE_SECRET", "secret-of-the-webhook-receiver")
	}
	return example{reach: reach, prepare: somethingToAudit, use: func(t *testing.T, e *exampleRun) {
		t.Helper()
		servers := testenv.Load(t)
		grants := 0
		for line := range strings.Lines(e.read(t, "access.jsonl")) {
			event, err := ocsf.Decode([]byte(line))
			if err != nil {
				t.Fatal(err)
			}
			if event.Activity != audit.Grant {
				t.Errorf("the file has an event of %s", event.Activity)
			}
			grants++
			if event.Outcome != audit.Intended && !hook.set()[event.ID] {
				t.Errorf("the webhook lacks the event %s (%s)", event.ID, event.Outcome)
			}
			audittest.Eventually(t, func() error {
				if !syslogIDs(t, servers.RSyslog.File, "msg")[event.ID] {
					return fmt.Errorf("syslog lacks the event %s", event.ID)
				}
				if !collectorIDs(t, servers.Collector.File, func(audittest.Record) bool { return true })[event.ID] {
					return fmt.Errorf("splunk lacks the event %s", event.ID)
				}
				return nil
			})
		}
		if grants != 2 { // before it and after it
			t.Errorf("the file has %d events of one grant", grants)
		}
	}}
}
