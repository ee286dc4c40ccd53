package acctest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/nhi-labs/terraform-provider-nhi/internal/audit"
	"github.com/nhi-labs/terraform-provider-nhi/internal/audit/audittest"
	"github.com/nhi-labs/terraform-provider-nhi/internal/audit/ocsf"
	"github.com/nhi-labs/terraform-provider-nhi/internal/audit/ocsf/ocsftest"
	"github.com/nhi-labs/terraform-provider-nhi/internal/audit/securityevents"
	"github.com/nhi-labs/terraform-provider-nhi/internal/testenv"
)

// idSet is what a receiver has of a run: the ids of the events.
type idSet map[string]bool

// posted is a receiver of webhooks or security event tokens, which keeps the events' ids.
type posted struct {
	mu   sync.Mutex
	ids  idSet
	read func(body []byte) (id string, err error)
}

func (p *posted) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err == nil {
		var id string
		if id, err = p.read(body); err == nil {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.ids[id] = true
			w.WriteHeader(http.StatusAccepted)
			return
		}
	}
	http.Error(w, err.Error(), http.StatusBadRequest)
}

func (p *posted) set() idSet {
	p.mu.Lock()
	defer p.mu.Unlock()
	return maps.Clone(p.ids)
}

// cloudEvent reads the id of a CloudEvent whose data is a valid OCSF event.
func cloudEvent(body []byte) (string, error) {
	var e struct {
		ID   string          `json:"id"`
		Data json.RawMessage `json:"data"`
	}
	if err := json.Unmarshal(body, &e); err != nil {
		return "", err
	}
	return e.ID, ocsftest.Validate(e.Data)
}

// securityEvent reads the id of a security event token; that its signature is good is tested with the sink.
func securityEvent(body []byte) (string, error) {
	parts := strings.Split(string(body), ".")
	if len(parts) != 3 {
		return "", errors.New("no token")
	}
	text, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return "", err
	}
	var claims struct {
		ID string `json:"jti"`
	}
	return claims.ID, errors.Join(json.Unmarshal(text, &claims), nonEmpty(&claims.ID))
}

func nonEmpty(text *string) error {
	if *text == "" {
		return errors.New("no id")
	}
	return nil
}

// syslogIDs reads what a syslog receiver of the testbed has.
func syslogIDs(t *testing.T, file, message string) idSet {
	t.Helper()
	out := idSet{}
	for _, line := range audittest.Lines(t, file) {
		if e, err := ocsf.Decode([]byte(strings.TrimSpace(line[message]))); err == nil {
			out[e.ID] = true
		}
	}
	return out
}

// collectorIDs reads what the collector has by one way.
func collectorIDs(t *testing.T, file string, by func(audittest.Record) bool) idSet {
	t.Helper()
	out := idSet{}
	for _, r := range audittest.Collected(t, file) {
		if by(r) {
			out[r.ID] = true
		}
	}
	return out
}

func writeSigningKey(t *testing.T, path string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestAllSinksHearTheSame runs the life of an identity with a sink of every kind at once, in front of the real receivers of
// the testbed: each of them has every event that it should have.
func TestAllSinksHearTheSame(t *testing.T) {
	if !onlyOnce() {
		return
	}
	t.Parallel()
	servers := testenv.Load(t)
	hook, signals := &posted{ids: idSet{}, read: cloudEvent}, &posted{ids: idSet{}, read: securityEvent}
	key := filepath.Join(t.TempDir(), "key.pem")
	writeSigningKey(t, key)
	collector := servers.Collector
	block := fmt.Sprintf(`
    syslog {
      name         = "rsyslog"
      address      = %q
      ca_cert_file = %q
    }
    syslog {
      name         = "syslog-ng"
      address      = %q
      ca_cert_file = %q
    }
    otlp {
      url          = %q
      ca_cert_file = %q
    }
    otlp {
      name         = "otlp-grpc"
      url          = %q
      protocol     = "grpc"
      ca_cert_file = %q
      platforms    = ["warehouse"]
    }
    splunk {
      url          = %q
      ca_cert_file = %q
      token        = "acceptance"
      sourcetype   = "acceptance"
    }
    webhook {
      url    = %q
      secret = "acceptance-of-the-webhook"
    }
    security_events {
      url              = %q
      issuer           = "https://issuer.example.com"
      signing_key_file = %q
    }
`, servers.RSyslog.TLS, servers.RSyslog.CAFile, servers.SyslogNG.TLS, servers.SyslogNG.CAFile, collector.OTLPHTTP, collector.CAFile,
		collector.OTLPGRPC, collector.CAFile, collector.SplunkHEC, collector.CAFile, audittest.NewReceiver(t, hook.ServeHTTP).URL,
		audittest.NewReceiver(t, signals.ServeHTTP).URL, key)

	store := sandboxSite(t, "vaultlet")
	w := newAudited(t, twoSandboxes(t), block)
	c := w.c
	c.extraProvider += store.block()
	rotation := func(trigger int) string {
		return fmt.Sprintf("\nresource \"nhi_rotation\" \"this\" {\n  identity = nhi_identity.this\n  platform = \"warehouse\"\n"+
			"  overlap = \"0s\"\n  rotate_when_changed = { n = \"%d\" }\n  deliver {\n    platform = \"vaultlet\"\n    path = \"kv/agent\"\n  }\n}\n", trigger)
	}
	w.Configure(c.hcl() + rotation(1))
	w.Apply()
	w.Configure(c.hcl() + rotation(2)) // a rotation
	w.ApplyOnly()
	c.extra = "  enabled = false" // a suspension
	w.Configure(c.hcl() + rotation(2))
	w.ApplyOnly()
	w.Destroy()

	checkReceivers(t, w.events(), map[string]receiver{
		"rsyslog":   {have: func() idSet { return syslogIDs(t, servers.RSyslog.File, "msg") }},
		"syslog-ng": {have: func() idSet { return syslogIDs(t, servers.SyslogNG.File, "MESSAGE") }},
		// What came by OTLP over HTTP or gRPC cannot be told apart; that gRPC's filter is kept is seen below.
		"otlp": {have: func() idSet {
			return collectorIDs(t, collector.File, func(r audittest.Record) bool { return r.Attributes["nhi.event.id"] != "" })
		}},
		"splunk": {have: func() idSet {
			return collectorIDs(t, collector.File, func(r audittest.Record) bool { return r.Attributes["nhi.event.id"] == "" })
		}},
		"webhook":         {have: hook.set, complete: true},
		"security events": {have: signals.set, complete: true, filter: securityevents.Filter()},
	})
	// Events of the platform that both OTLP sinks want arrived twice, the others once.
	count := map[string]int{}
	for _, r := range audittest.Collected(t, collector.File) {
		if id := r.Attributes["nhi.event.id"]; id != "" {
			count[id]++
		}
	}
	for _, e := range w.events() {
		want := 1
		if e.Platform.Name == "warehouse" {
			want = 2
		}
		if count[e.ID] != want {
			t.Errorf("OTLP brought the event %s on %s %d times, want %d", e.ID, e.Platform.Name, count[e.ID], want)
		}
	}
}

// receiver is one of the receivers of a run.
type receiver struct {
	have   func() idSet
	filter audit.Filter
	// complete is set if nobody else sends to it: then it has nothing but the run's events.
	complete bool
}

// checkReceivers holds what each receiver has against the events of a run.
func checkReceivers(t *testing.T, events []audit.Event, receivers map[string]receiver) {
	t.Helper()
	seen := map[audit.Activity]bool{}
	for _, e := range events {
		seen[e.Activity] = true
		for _, v := range ocsf.Versions() {
			text, err := ocsf.Encode(v, e)
			if err := errors.Join(err, ocsftest.Validate(text)); err != nil {
				t.Errorf("%s: %v", v, err)
			}
		}
	}
	for _, a := range []audit.Activity{audit.CreateAccount, audit.Grant, audit.IssueCredential, audit.RevokeCredential, audit.StoreSecret,
		audit.SuspendAccount, audit.EndSessions, audit.DeleteAccount} {
		if !seen[a] {
			t.Errorf("nothing of %s in the whole life", a)
		}
	}
	for name, r := range receivers {
		audittest.Eventually(t, func() error {
			have, want := r.have(), 0
			for _, e := range events {
				if !r.filter.Wants(e) {
					continue
				}
				want++
				if !have[e.ID] {
					return fmt.Errorf("%s lacks the event %s (%s %s)", name, e.ID, e.Activity, e.Outcome)
				}
			}
			if r.complete && len(have) != want || want == 0 {
				return fmt.Errorf("%s has %d events, want %d", name, len(have), want)
			}
			return nil
		})
	}
}
