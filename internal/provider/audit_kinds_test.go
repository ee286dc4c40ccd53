package provider

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-framework/diag"

	"github.com/nhi-labs/terraform-provider-nhi/internal/audit"
	"github.com/nhi-labs/terraform-provider-nhi/internal/audit/audittest"
	"github.com/nhi-labs/terraform-provider-nhi/internal/audit/securityevents"
)

func signingKey(t *testing.T) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

// leastOf is the least that a block of each kind needs.
func leastOf(t *testing.T) map[string]object {
	t.Helper()
	return map[string]object{
		"file":            {"path": "audit.jsonl"},
		"otlp":            {"url": "https://otel.example:4318"},
		"security_events": {"url": "https://receiver.example/events", "issuer": "https://issuer.example", "signing_key": signingKey(t)},
		"splunk":          {"url": "https://splunk.example:8088", "token": audittest.Canary},
		"syslog":          {"address": "siem.example:6514"},
		"webhook":         {"url": "https://hook.example/audit"},
	}
}

// TestAuditKinds: every kind decodes, with its least configuration, under its own name.
func TestAuditKinds(t *testing.T) {
	least := leastOf(t)
	var names []string
	for _, k := range auditKinds() {
		names = append(names, k.name)
		var diags diag.Diagnostics
		config := auditedConfig(t, object{k.name: items{least[k.name]}})
		checkAudit(t.Context(), config, &diags)
		got := auditConfig(t.Context(), config, &diags)
		if diags.HasError() || len(got.Sinks) != 1 || got.Sinks[0].Name != k.name || got.Required {
			t.Errorf("%s: %+v, %q", k.name, got, problems(diags))
		}
		wants := got.Sinks[0].Wants(audittest.Event(audit.Grant, audit.Intended))
		if wants != (k.name != "security_events") {
			t.Errorf("%s wants the intention of a grant: %t", k.name, wants)
		}
	}
	if !slices.Equal(names, slices.Sorted(maps.Keys(least))) {
		t.Errorf("kinds %v, configurations of %v", names, slices.Sorted(maps.Keys(least)))
	}
}

// TestAuditBadValues: every value that cannot be is an error at its attribute, and repeats no secret.
func TestAuditBadValues(t *testing.T) {
	missing, endless := filepath.Join(t.TempDir(), "missing.pem"), filepath.Join(t.TempDir(), "endless")
	if err := errors.Join(os.WriteFile(endless, nil, 0o600), os.Truncate(endless, 1<<30)); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		kind, attribute string
		value           any
		want            string // beginning of the problem
	}{
		"plain":             {"webhook", "url", "http://hook.example", "audit.webhook[0].url: Insecure address"},
		"credentials":       {"splunk", "url", "https://u:" + audittest.Canary + "@h", "audit.splunk[0].url: Credentials in an address"},
		"no URL":            {"otlp", "url", "otel.example", "audit.otlp[0].url: Invalid address"},
		"query":             {"webhook", "url", "https://h/?key=1", "audit.webhook[0].url: Invalid audit sink"},
		"authorities":       {"webhook", "ca_cert_file", missing, "audit.webhook[0].ca_cert_file: Unusable certificate authorities"},
		"certificate":       {"syslog", "client_cert_file", missing, "audit.syslog[0].client_cert_file: Unusable client certificate"},
		"certificate, tcp":  {"syslog", "transport", "tcp", ""},
		"port":              {"syslog", "address", "siem.example", "audit.syslog[0].address: Invalid address"},
		"no token":          {"splunk", "token", nil, "audit.splunk[0].token: Missing token: audit sink \"splunk\" needs its token: set the environment variable NHI_AUDIT_SPLUNK_TOKEN"},
		"secret":            {"webhook", "secret", "short", "audit.webhook[0].secret: Short secret"},
		"secret file":       {"webhook", "secret_file", missing, "audit.webhook[0].secret_file: Unreadable file"},
		"endless file":      {"webhook", "secret_file", endless, "audit.webhook[0].secret_file: Unreadable file: " + endless + " holds more than"},
		"header":            {"otlp", "headers", mapping{"a b": audittest.Canary}, "audit.otlp[0].headers: Invalid header"},
		"key":               {"security_events", "signing_key", audittest.Canary, "audit.security_events[0].signing_key: Unusable signing key"},
		"issuer":            {"security_events", "issuer", "", "audit.security_events[0].issuer: Missing issuer"},
		"no form":           {"security_events", "activities", items{"create_account"}, "audit.security_events[0].activities: Nothing to send"},
		"no form, outcomes": {"security_events", "outcomes", items{"intended"}, "audit.security_events[0].outcomes: Nothing to send"},
	} {
		t.Run(name, func(t *testing.T) {
			block := leastOf(t)[c.kind]
			block[c.attribute] = c.value
			config := auditedConfig(t, object{c.kind: items{block}})
			var diags diag.Diagnostics
			checkAudit(t.Context(), config, &diags)
			auditConfig(t.Context(), config, &diags)
			got := problems(diags)
			if c.want == "" && len(got) > 0 || c.want != "" && (len(got) == 0 || !strings.HasPrefix(got[0], c.want)) {
				t.Errorf("problems %q, want %q", got, c.want)
			}
			if strings.Contains(strings.Join(got, ""), audittest.Canary) {
				t.Errorf("a secret is repeated: %q", got)
			}
		})
	}
}

// TestAuditSecrets: a sink's secret comes from the attribute, from a file, or from the environment.
func TestAuditSecrets(t *testing.T) {
	var got string
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = r.Header.Get("Authorization") }))
	t.Cleanup(server.Close)
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte("from-file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("NHI_AUDIT_SIEM_EU_TOKEN", "from-environment")
	for want, block := range map[string]object{
		"from-attribute": {"token": "from-attribute", "token_file": file}, "from-file": {"token_file": file}, "from-environment": {},
	} {
		block["url"], block["name"] = server.URL, "siem-eu"
		var diags diag.Diagnostics
		config := auditConfig(t.Context(), auditedConfig(t, object{"webhook": items{block}}), &diags)
		if diags.HasError() {
			t.Fatal(problems(diags))
		}
		if err := config.Sinks[0].Sink.Deliver(t.Context(), audittest.Event(audit.Grant, audit.Succeeded)); err != nil || got != "Bearer "+want {
			t.Errorf("%s: sent %q, %v", want, got, err)
		}
		if err := config.Sinks[0].Sink.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestAuditNarrowed: a filter chooses among what the kind can send.
func TestAuditNarrowed(t *testing.T) {
	block := leastOf(t)["security_events"]
	block["activities"] = items{"grant"}
	var diags diag.Diagnostics
	got := auditConfig(t.Context(), auditedConfig(t, object{"security_events": items{block}}), &diags).Sinks[0]
	for a, want := range map[audit.Activity]bool{audit.Grant: true, audit.Revoke: false, audit.CreateAccount: false} {
		if got.Wants(audittest.Event(a, audit.Succeeded)) != want || got.Wants(audittest.Event(a, audit.Failed)) {
			t.Errorf("%s: wanted", a)
		}
	}
	if !slices.Equal(got.Outcomes, securityevents.Filter().Outcomes) {
		t.Errorf("outcomes %v", got.Outcomes)
	}
}
