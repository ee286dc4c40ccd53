package oauthclient_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/driver/drivertest"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
	"github.com/nhi-labs/terraform-provider-nhi/internal/platform/internal/resttest"
	"github.com/nhi-labs/terraform-provider-nhi/internal/platform/oauthclient"
	"github.com/nhi-labs/terraform-provider-nhi/internal/platform/vault"
	"github.com/nhi-labs/terraform-provider-nhi/internal/secret"
	"github.com/nhi-labs/terraform-provider-nhi/internal/testenv"
)

// TestConformanceKeys runs the suite with private_key_jwt: oidc-provider is nobody's fake of ours, and the registry is
// in Vault.
func TestConformanceKeys(t *testing.T) {
	t.Parallel()
	drivertest.Run(t, newHarness(t, oauthclient.PrivateKeyJWT))
}

// TestConformanceSecret runs it with client secrets.
func TestConformanceSecret(t *testing.T) {
	t.Parallel()
	drivertest.Run(t, newHarness(t, oauthclient.ClientSecret))
}

type harness struct {
	server     testenv.OAuth
	registry   store
	clientAuth string
	next       atomic.Int64
	seen       resttest.Seen
}

func newHarness(t *testing.T, clientAuth string) *harness {
	t.Helper()
	return &harness{server: testenv.Load(t).OAuth, registry: newRegistry(t), clientAuth: clientAuth}
}

// newRegistry opens the registry, which is in Vault.
func newRegistry(t *testing.T) store {
	t.Helper()
	server := testenv.Load(t).Vault
	d, err := vault.Open(vault.Config{Address: server.Address, Token: secret.New(server.Token)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	kv, ok := d.(driver.SecretStore)
	if !ok {
		t.Fatalf("%T stores no secrets", d)
	}
	return store{SecretStore: kv, classify: d.Classify}
}

// registryPath is in the mount that a development server of Vault begins with.
const registryPath = "secret/oauth-clients"

// store gives errors of a driver the form that package fleet gives them.
type store struct {
	driver.SecretStore
	classify func(error) driver.Verdict
	// issuer and alias are the server's own address and the one by which this driver reaches it.
	issuer, alias string
}

func (s store) ID(context.Context) (string, error) { return "vault-of-the-tests", nil }

func (s store) known(err error) error {
	if err == nil {
		return nil
	}
	return &driver.Error{Verdict: s.classify(err), Err: err}
}

func (s store) PutSecret(ctx context.Context, path string, stored driver.StoredSecret) (int64, error) {
	stored.Fields = maps.Clone(stored.Fields)
	s.replace(stored, s.alias, s.issuer)
	version, err := s.SecretStore.PutSecret(ctx, path, stored)
	return version, s.known(err)
}

func (s store) MayPutSecret(ctx context.Context, path string, stored driver.StoredSecret) error {
	return mayPut(ctx, s, path, stored)
}

// mayPut asks a store as package fleet does.
func mayPut(ctx context.Context, s driver.SecretStore, path string, stored driver.StoredSecret) error {
	stored.Version = 1 << 30
	if _, err := s.PutSecret(ctx, path, stored); driver.CodeOf(err) != driver.Conflict {
		return err
	}
	return nil
}

func (s store) GetSecret(ctx context.Context, path string) (driver.StoredSecret, error) {
	stored, err := s.SecretStore.GetSecret(ctx, path)
	if err == nil {
		s.replace(stored, s.issuer, s.alias)
	}
	return stored, s.known(err)
}

func (s store) replace(stored driver.StoredSecret, from, to string) {
	if rest, ok := strings.CutPrefix(stored.Fields["registration_client_uri"].Reveal(), from); ok {
		stored.Fields["registration_client_uri"] = secret.New(to + rest)
	}
}

func (s store) RemoveSecret(ctx context.Context, path string) error {
	return s.known(s.SecretStore.RemoveSecret(ctx, path))
}

func (h *harness) Spec() driver.Spec { return oauthclient.Spec() }

func (h *harness) Open(t *testing.T) driver.Driver { return h.open(t, h.server.Issuer) }

func (h *harness) open(t *testing.T, issuer string, mods ...func(*oauthclient.Config)) *oauthclient.Driver {
	t.Helper()
	registry := newRegistry(t)
	registry.issuer, registry.alias = h.server.Issuer, issuer
	config := oauthclient.Config{
		Issuer: issuer, InitialAccessToken: secret.New(h.server.InitialAccessToken), Registry: registry, RegistryPath: registryPath,
		ClientAuth: h.clientAuth,
	}
	for _, mod := range mods {
		mod(&config)
	}
	d, err := oauthclient.Open(config)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return d
}

// Entitlements takes the server's scopes in turn: which scopes there are is part of its configuration.
func (h *harness) Entitlements(_ *testing.T, n int) []nhi.Entitlement {
	es := make([]nhi.Entitlement, n)
	for i := range es {
		scope := fmt.Sprintf("test:%03d#read", int(h.next.Add(1))%h.server.Scopes)
		es[i] = nhi.Entitlement{Type: "scope", Target: scope}
	}
	return es
}

func (h *harness) SharedEntitlement(t *testing.T) nhi.Entitlement { return h.Entitlements(t, 1)[0] }

// Foreign registers a client as its developer would, and enters it in the registry for its adoption.
func (h *harness) Foreign(t *testing.T, name string, holds ...nhi.Entitlement) {
	t.Helper()
	made := h.call(t, http.MethodPost, h.server.Issuer+"/reg", h.server.InitialAccessToken, map[string]any{
		"client_name": "Foreign " + name, "grant_types": []string{"client_credentials"}, "redirect_uris": []string{},
		"response_types": []string{}, "token_endpoint_auth_method": "private_key_jwt", "jwks": map[string]any{"keys": []any{}},
		"scope": scopeText(append([]nhi.Entitlement{{Target: "openid"}}, holds...)),
	})
	h.enter(t, name, made, 0)
}

func scopeText(es []nhi.Entitlement) string {
	texts := make([]string, len(es))
	for i, e := range es {
		texts[i] = e.Target
	}
	return strings.Join(texts, " ")
}

func (h *harness) enter(t *testing.T, name string, made map[string]any, version int64) {
	t.Helper()
	fields := map[string]secret.Value{}
	for _, field := range []string{"client_id", "registration_client_uri", "registration_access_token"} {
		fields[field] = secret.New(fmt.Sprint(made[field]))
	}
	_, err := h.registry.PutSecret(t.Context(), registryPath+"/"+name, driver.StoredSecret{Fields: fields, Version: version})
	if err != nil {
		t.Fatalf("enter %q in the registry: %v", name, err)
	}
}

func (h *harness) entry(t *testing.T, name string) driver.StoredSecret {
	t.Helper()
	entry, err := h.registry.GetSecret(t.Context(), registryPath+"/"+name)
	if err != nil {
		t.Fatalf("entry of %q: %v", name, err)
	}
	return entry
}

// registration reads the client at the server with the token in the registry.
func (h *harness) registration(t *testing.T, name string) map[string]any {
	t.Helper()
	e := h.entry(t, name)
	return h.call(t, http.MethodGet, e.Fields["registration_client_uri"].Reveal(), e.Fields["registration_access_token"].Reveal(), nil)
}

// replace changes the registration at the server, and keeps the registry's token right.
func (h *harness) replace(t *testing.T, name string, change func(map[string]any)) {
	t.Helper()
	e, registration := h.entry(t, name), h.registration(t, name)
	for _, own := range []string{"registration_client_uri", "registration_access_token", "client_id_issued_at", "client_secret_expires_at"} {
		delete(registration, own)
	}
	change(registration)
	made := h.call(t, http.MethodPut, e.Fields["registration_client_uri"].Reveal(), e.Fields["registration_access_token"].Reveal(), registration)
	h.enter(t, name, made, e.Version)
}

func (h *harness) GrantByHand(t *testing.T, name string, e nhi.Entitlement) {
	t.Helper()
	h.replace(t, name, func(r map[string]any) { r["scope"] = fmt.Sprint(r["scope"], " ", e.Target) })
}

// call is a request of somebody who knows the protocol and not the driver.
func (h *harness) call(t *testing.T, method, address, token string, body map[string]any) map[string]any {
	t.Helper()
	var content io.Reader = http.NoBody
	if body != nil {
		raw, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		content = bytes.NewReader(raw)
	}
	request, err := http.NewRequestWithContext(context.WithoutCancel(t.Context()), method, address, content)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Authorization", "Bearer "+token)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	answer, _ := io.ReadAll(response.Body)
	if response.StatusCode > 299 {
		t.Fatalf("%s %s: status %d: %s", method, address, response.StatusCode, answer)
	}
	out := map[string]any{}
	if len(answer) > 0 {
		if err := json.Unmarshal(answer, &out); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

func (h *harness) MissingEntitlement(*testing.T) (nhi.Entitlement, bool) {
	return nhi.Entitlement{Type: "scope", Target: "no-such-scope-" + rand.Text()}, true
}

func (h *harness) HostileNames() []string {
	return []string{"reg", "token", ".well-known", "a..b", "A"}
}

func (h *harness) Settings() map[string]string { return nil }

func (h *harness) Secrets() []secret.Value {
	return append(h.seen.Secrets(), secret.New(h.server.InitialAccessToken))
}

func (h *harness) Many() int { return 0 }

func (h *harness) Unsupported() map[string]string {
	declared := map[string]string{
		"fault/wrong_credentials": "there is no login that all calls share: the initial access token serves registration, and each " +
			"client has a token of its own; TestWrongTokens has both",
	}
	if h.clientAuth == oauthclient.ClientSecret {
		declared["credential/over_slots"] = "the server keeps a client's secret for as long as the client exists, so there is no other one " +
			"after it; TestSecretThatReturns has that"
	}
	return declared
}

func (h *harness) WithFault(t *testing.T, fault drivertest.Fault) driver.Driver {
	t.Helper()
	if fault == drivertest.WrongCredentials {
		return nil
	}
	proxy := resttest.Proxy{
		Backend: h.server.Issuer, MediaType: "application/json", Seen: &h.seen,
		Forbidden: `{"error":"insufficient_scope","error_description":"Insufficient scope of the token {credentials}"}`,
		Healthy:   func(r *http.Request) bool { return strings.HasPrefix(r.URL.Path, "/.well-known/") },
	}
	return h.open(t, proxy.URL(t, fault))
}
