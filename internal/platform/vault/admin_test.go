package vault_test

import (
	"encoding/pem"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
	"github.com/nhi-labs/terraform-provider-nhi/internal/platform/vault"
	"github.com/nhi-labs/terraform-provider-nhi/internal/secret"
)

// adminPolicy is the policy of the documentation, for the mounts of this test.
func (s *server) adminPolicy(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("testdata/admin.hcl")
	must(t, err)
	policy := strings.NewReplacer("APPROLE", s.mount, "KV", s.kv, "PREFIX", "rotated").Replace(string(text))
	name := random("nhi-admin")
	s.call(t, http.MethodPut, "sys/policies/acl/"+name, encode(t, map[string]string{"policy": policy}))
	return name
}

// TestLeastPrivileges does everything with an admin that has only the documented policy, logged in through AppRole.
func TestLeastPrivileges(t *testing.T) {
	s := newServer(t)
	admin, policy := random("admin"), s.adminPolicy(t)
	s.call(t, http.MethodPost, s.role(admin), encode(t, map[string]any{"token_policies": []string{policy}}))
	cfg := s.config()
	cfg.Token = secret.Value{}
	cfg.RoleID = s.call(t, http.MethodGet, s.role(admin)+"/role-id", "").Data.RoleID
	cfg.SecretID = secret.New(s.call(t, http.MethodPost, s.role(admin)+"/secret-id", `{}`).Data.SecretID)
	d := full(t, s.open(t, cfg))

	target, err := d.Probe(t.Context())
	must(t, err)
	if len(target.Blind) > 0 {
		t.Errorf("the documented policy does not suffice: %q", target.Blind)
	}
	es := []nhi.Entitlement{s.group(t), s.policy(t)}
	ref := create(t, d)
	must(t, d.Grant(t.Context(), ref, es))
	wantHolds(t, d, ref, nhi.Texts(es)...)
	issued, err := d.Issue(t.Context(), ref, driver.IssueRequest{Label: "a"})
	must(t, err)
	must(t, d.Verify(t.Context(), issued.Login, issued.Secret))
	must(t, d.UpdateAccount(t.Context(), ref, driver.AccountChange{Mark: &mark, Settings: s.Settings()}))
	must(t, d.Suspend(t.Context(), ref))
	must(t, d.EndSessions(t.Context(), ref))
	must(t, d.Resume(t.Context(), ref))
	must(t, d.RevokeCredential(t.Context(), ref, issued.Credential.ID))
	must(t, d.Revoke(t.Context(), ref, es))
	wantHolds(t, d, ref)
	must(t, d.DeleteAccount(t.Context(), ref))

	path := s.kv + "/rotated/" + random("x")
	put := driver.StoredSecret{Fields: map[string]secret.Value{"a": secret.New("first")}, Metadata: map[string]string{"m": "n"}}
	_, err = d.PutSecret(t.Context(), path, put)
	must(t, err)
	_, err = d.GetSecret(t.Context(), path)
	must(t, err)
	must(t, d.RemoveSecret(t.Context(), path))

	s.call(t, http.MethodDelete, s.role(admin), "")
}

// TestOwnLogin revokes the driver's own token behind its back: it logs in anew once. Close revokes the last one.
func TestOwnLogin(t *testing.T) {
	s := newServer(t)
	admin, policy := random("admin"), s.adminPolicy(t)
	s.call(t, http.MethodPost, s.role(admin), encode(t, map[string]any{"token_policies": []string{policy}}))
	cfg := s.config()
	cfg.Token = secret.Value{}
	cfg.RoleID = s.call(t, http.MethodGet, s.role(admin)+"/role-id", "").Data.RoleID
	cfg.SecretID = secret.New(s.call(t, http.MethodPost, s.role(admin)+"/secret-id", `{}`).Data.SecretID)
	var tokens []string
	cfg.Address = s.proxy(t, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if token := r.Header.Get("X-Vault-Token"); token != "" && (len(tokens) == 0 || tokens[len(tokens)-1] != token) {
				tokens = append(tokens, token)
			}
			next.ServeHTTP(w, r)
		})
	})
	d, err := vault.Open(cfg)
	must(t, err)
	_, err = d.Probe(t.Context())
	must(t, err)
	s.call(t, http.MethodPost, "auth/token/revoke", encode(t, map[string]string{"token": tokens[0]}))
	_, err = d.Probe(t.Context())
	must(t, err)
	if len(tokens) != 2 {
		t.Fatalf("the driver used %d tokens, want 2", len(tokens))
	}
	must(t, d.Close())
	if s.tokenWorks(t, tokens[1]) {
		t.Error("the driver's own token works after Close")
	}

	cfg.SecretID = secret.New("wrong-" + random("x"))
	wrong := s.open(t, cfg)
	_, err = wrong.ReadAccount(t.Context(), nhi.Ref{Name: "x"})
	wantCode(t, wrong, err, driver.Unauthenticated)
	if strings.Contains(err.Error(), cfg.SecretID.Reveal()) {
		t.Errorf("error %q shows the secret id", err)
	}
	s.call(t, http.MethodDelete, s.role(admin), "")
}

// TestEnvironmentDoesNotCount sets the variables that the library reads by itself.
func TestEnvironmentDoesNotCount(t *testing.T) {
	s := newServer(t)
	for name, value := range map[string]string{
		"VAULT_ADDR": "http://127.0.0.1:1", "VAULT_TOKEN": "hvs.other", "VAULT_NAMESPACE": "elsewhere", "VAULT_MAX_RETRIES": "7",
		"VAULT_HEADERS": `{"X-Other":"1"}`, "VAULT_WRAP_TTL": "60s",
	} {
		t.Setenv(name, value)
	}
	d := s.Open(t)
	_, err := d.Probe(t.Context())
	must(t, err)
	must(t, d.DeleteAccount(t.Context(), create(t, d)))
}

func TestProbe(t *testing.T) {
	s := newServer(t)
	first, err := s.Open(t).Probe(t.Context())
	must(t, err)
	if !strings.HasPrefix(first.ID, "vault:") || first.Version == "" {
		t.Errorf("target is %+v", first)
	}
	cfg := s.config()
	cfg.AppRoleMount = random("second")
	d := s.open(t, cfg)
	if _, err := d.Probe(t.Context()); err == nil {
		t.Error("the probe accepts a mount that does not exist")
	}
	s.call(t, http.MethodPost, "sys/auth/"+cfg.AppRoleMount, `{"type":"approle"}`)
	second, err := d.Probe(t.Context())
	must(t, err)
	if first.ID == second.ID {
		t.Error("two AppRole mounts have the same id")
	}
	s.call(t, http.MethodDelete, "sys/auth/"+cfg.AppRoleMount, "")

	cfg.AppRoleMount = "token"
	notAppRole := s.open(t, cfg)
	_, err = notAppRole.Probe(t.Context())
	wantCode(t, notAppRole, err, driver.Invalid)

	cfg = s.config()
	cfg.Token = secret.New(s.call(t, http.MethodPost, "auth/token/create", encode(t, map[string]any{
		"policies": []string{s.adminPolicy(t)}, "no_parent": true,
	})).Auth.ClientToken)
	must(t, probeErr(t, s.open(t, cfg)))
}

func probeErr(t *testing.T, d driver.Driver) error {
	t.Helper()
	_, err := d.Probe(t.Context())
	return err
}

func TestProbeOfSealedServer(t *testing.T) {
	s := newServer(t)
	for status, body := range map[int]string{
		503: `{"initialized":true,"sealed":true,"version":"1.21.0"}`, 501: `{"initialized":false,"sealed":true}`,
		472: `{"initialized":true,"sealed":false,"cluster_id":"x"}`, 200: `{"initialized":true,"sealed":true}`,
	} {
		cfg := s.config()
		cfg.Address = always(t, status, "application/json", body)
		d := s.open(t, cfg)
		wantCode(t, d, probeErr(t, d), driver.Unavailable)
	}
}

func TestBlindness(t *testing.T) {
	s := newServer(t)
	name := random("reader")
	s.call(t, http.MethodPut, "sys/policies/acl/"+name,
		encode(t, map[string]string{"policy": `path "auth/` + s.mount + `/role/*" { capabilities = ["read","list"] }`}))
	cfg := s.config()
	cfg.Token = secret.New(s.call(t, http.MethodPost, "auth/token/create", encode(t, map[string]any{"policies": []string{name}})).Auth.ClientToken)
	target, err := s.open(t, cfg).Probe(t.Context())
	must(t, err)
	all := strings.Join(target.Blind, "\n")
	for _, want := range []string{"manage AppRoles (create, update, delete", "look up identity groups", "end sessions"} {
		if !strings.Contains(all, want) {
			t.Errorf("blindness lacks %q:\n%s", want, all)
		}
	}
}

// TestTLS trusts the server only through CACertFile.
func TestTLS(t *testing.T) {
	s := newServer(t)
	secure := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, `{"errors":["sealed"]}`, http.StatusServiceUnavailable)
	}))
	secure.Config.ErrorLog = log.New(io.Discard, "", 0)
	secure.StartTLS()
	t.Cleanup(secure.Close)
	cfg := s.config()
	cfg.Address = secure.URL
	stranger := s.open(t, cfg)
	wantCode(t, stranger, probeErr(t, stranger), driver.Unknown)

	cfg.CACertFile = filepath.Join(t.TempDir(), "ca.pem")
	block := &pem.Block{Type: "CERTIFICATE", Bytes: secure.Certificate().Raw}
	must(t, os.WriteFile(cfg.CACertFile, pem.EncodeToMemory(block), 0o600))
	trusted := s.open(t, cfg)
	wantCode(t, trusted, probeErr(t, trusted), driver.Unavailable)

	for what, bad := range map[string]vault.Config{
		"missing file":   {Address: secure.URL, CACertFile: "/nonexistent"},
		"no certificate": {Address: secure.URL, CACertFile: "testdata/admin.hcl"},
		"no key":         {Address: secure.URL, ClientCertFile: cfg.CACertFile},
		"no address":     {Address: "://"},
	} {
		if _, err := vault.Open(bad); err == nil {
			t.Errorf("Open accepts a configuration with %s", what)
		}
	}
}
