package vault_test

import (
	"encoding/pem"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/driver/drivertest"
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
	if complaints := slices.Concat(target.Blind, target.Lacking); len(complaints) > 0 {
		t.Errorf("the documented policy does not suffice: %q", complaints)
	}
	es := []nhi.Entitlement{s.group(t), s.policy(t)}
	ref := create(t, d)
	must(t, d.Grant(t.Context(), ref, es))
	wantHolds(t, d, ref, nhi.Texts(es)...)
	issued, err := d.Issue(t.Context(), ref, driver.IssueRequest{Label: "a"})
	must(t, err)
	must(t, d.Verify(t.Context(), issued.Login, issued.Secret))
	token, err := d.MintToken(t.Context(), ref)
	must(t, err)
	must(t, d.RevokeToken(t.Context(), token.Secret))
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

func TestMissingRightsShow(t *testing.T) {
	s := newServer(t)
	target, err := s.WithFault(t, drivertest.MissingRights).Probe(t.Context())
	must(t, err)
	role := "auth/" + s.mount + "/role/+"
	wantSentences(t, "Lacking", target.Lacking, []string{
		`make and read AppRoles: it lacks the capability create on "` + role + `"`,
		`make identity entities: it lacks the capability update on "identity/entity"`,
		`change identity entities: it lacks the capability update on "identity/entity/id/+"`,
		`tie AppRoles to identity entities: it lacks the capability update on "identity/entity-alias"`,
		`look up identity entities: it lacks the capability update on "identity/lookup/entity"`,
	})
	wantSentences(t, "Blind", target.Blind, []string{
		`change and delete AppRoles: it lacks the capability update and delete on "` + role + `"`,
		`list and issue secret ids: it lacks the capability update on "` + role + `/secret-id"`,
		`read the metadata of secret ids`, `destroy secret ids`, `delete identity entities`, `look up identity groups`,
		`change the members of identity groups`, `see whether a policy exists`, `list tokens, to end sessions`,
		`look up tokens, to end sessions`, `revoke tokens, to end sessions`,
		`revoke the tokens that it minted: it lacks the capability update on "auth/token/revoke"`,
	})

	// A token without any right below the mount cannot see which mount it is; the refusal says what is missing, too.
	cfg := s.config()
	cfg.Token = secret.New(s.call(t, http.MethodPost, "auth/token/create", `{"policies":["default"]}`).Auth.ClientToken)
	d := s.open(t, cfg)
	err = probeErr(t, d)
	wantCode(t, d, err, driver.PermissionDenied)
	if err == nil || !strings.Contains(err.Error(), `lacks the capability create and read on "`+role+`"`) {
		t.Errorf("the probe does not say what is missing: %v", err)
	}
}

// TestLimitOfSomeChanges leaves a right out that only one change needs: the others must stay possible.
func TestLimitOfSomeChanges(t *testing.T) {
	s := newServer(t)
	name := random("no-delete")
	policy := `path "auth/` + s.mount + `/role/*" { capabilities = ["create","read","update","list"] }
path "identity/*" { capabilities = ["create","update","delete"] }
path "sys/policies/acl/*" { capabilities = ["read"] }
path "auth/token/*" { capabilities = ["create","update","list","sudo"] }`
	s.call(t, http.MethodPut, "sys/policies/acl/"+name, encode(t, map[string]string{"policy": policy}))
	cfg := s.config()
	cfg.Token = secret.New(s.call(t, http.MethodPost, "auth/token/create",
		encode(t, map[string]any{"policies": []string{name}})).Auth.ClientToken)
	target, err := s.open(t, cfg).Probe(t.Context())
	must(t, err)
	wantSentences(t, "Lacking", target.Lacking, nil)
	wantSentences(t, "Blind", target.Blind, []string{"change and delete AppRoles: it lacks the capability delete on"})
}

func wantSentences(t *testing.T, list string, got, want []string) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%s has %d sentences, want %d: %q", list, len(got), len(want), got)
	}
	all := strings.Join(got, "\n")
	for _, part := range want {
		if !strings.Contains(all, part) {
			t.Errorf("%s does not say %q:\n%s", list, part, all)
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
