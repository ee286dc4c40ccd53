package oauthclient_test

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
	"github.com/nhi-labs/terraform-provider-nhi/internal/platform/oauthclient"
	"github.com/nhi-labs/terraform-provider-nhi/internal/secret"
)

var testMark = nhi.Mark{Stack: "payments-test", Identity: "billing-agent"}

// world is one driver with one client.
type world struct {
	*testing.T
	h   *harness
	d   *oauthclient.Driver
	ref nhi.Ref
}

func newWorld(t *testing.T, clientAuth string) *world {
	t.Helper()
	t.Parallel()
	h := newHarness(t, clientAuth)
	w := &world{T: t, h: h, d: h.open(t, h.server.Issuer)}
	var err error
	w.ref, err = w.d.CreateAccount(t.Context(), driver.AccountSpec{Name: "own-" + strings.ToLower(rand.Text()[:10]), Mark: testMark})
	w.must("create", err)
	t.Cleanup(func() { _ = w.d.DeleteAccount(context.WithoutCancel(t.Context()), w.ref) })
	return w
}

func (w *world) must(what string, err error) {
	w.Helper()
	if err != nil {
		w.Fatalf("%s: %v", what, err)
	}
}

func (w *world) wantCode(what string, err error, want driver.Code, texts ...string) {
	w.Helper()
	if err == nil || w.d.Classify(err).Code != want {
		w.Fatalf("%s: error %v, want the code %v", what, err, want)
	}
	for _, text := range texts {
		if !strings.Contains(err.Error(), text) {
			w.Errorf("%s: error %q does not say %q", what, err, text)
		}
	}
}

func (w *world) read() nhi.Account {
	w.Helper()
	account, err := w.d.ReadAccount(w.Context(), w.ref)
	w.must("read", err)
	return account
}

// token asks the server for an access token as the client would, and returns the status.
func (w *world) token(login, text, scope string) int {
	w.Helper()
	request, err := http.NewRequestWithContext(w.Context(), http.MethodPost, w.h.server.Issuer+"/token",
		strings.NewReader(url.Values{"grant_type": {"client_credentials"}, "scope": {scope}}.Encode()))
	w.must("token", err)
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	request.SetBasicAuth(url.QueryEscape(login), url.QueryEscape(text))
	response, err := http.DefaultClient.Do(request)
	w.must("token", err)
	_ = response.Body.Close()
	return response.StatusCode
}

// TestScopesBindTheClient shows that what is granted is what the server gives out, and that a client without
// entitlements gets nothing: a registration without scopes would get everything.
func TestScopesBindTheClient(t *testing.T) {
	w := newWorld(t, oauthclient.ClientSecret)
	issued, err := w.d.Issue(t.Context(), w.ref, driver.IssueRequest{Label: "one"})
	w.must("issue", err)
	reads := nhi.Entitlement{Type: "scope", Target: "tickets:read"}
	check := func(when string, want int) {
		t.Helper()
		if got := w.token(issued.Login, issued.Secret.Reveal(), "tickets:read"); got != want {
			t.Errorf("%s: a token for tickets:read answers %d, want %d", when, got, want)
		}
		if got := w.token(issued.Login, issued.Secret.Reveal(), "tickets:write"); got != http.StatusBadRequest {
			t.Errorf("%s: a token for tickets:write answers %d", when, got)
		}
	}
	check("new", http.StatusBadRequest)
	w.must("grant", w.d.Grant(t.Context(), w.ref, []nhi.Entitlement{reads}))
	check("granted", http.StatusOK)
	w.must("revoke", w.d.Revoke(t.Context(), w.ref, []nhi.Entitlement{reads}))
	check("revoked", http.StatusBadRequest)
}

// TestRegistrationWithoutScopes shows the server's default as drift, refuses to narrow it by a grant, and takes it away.
func TestRegistrationWithoutScopes(t *testing.T) {
	w := newWorld(t, oauthclient.ClientSecret)
	issued, err := w.d.Issue(t.Context(), w.ref, driver.IssueRequest{Label: "one"})
	w.must("issue", err)
	w.h.replace(t, w.ref.Name, func(r map[string]any) { delete(r, "scope") })
	if got := w.token(issued.Login, issued.Secret.Reveal(), "tickets:write"); got != http.StatusOK {
		t.Fatalf("the server does not give every scope by default: %d", got)
	}
	all := nhi.Entitlement{Type: "default", Target: "scopes"}
	if got := nhi.JoinTexts(w.read().Entitlements); got != all.String() {
		t.Errorf("entitlements %q, want %q", got, all)
	}
	err = w.d.Grant(t.Context(), w.ref, []nhi.Entitlement{{Type: "scope", Target: "tickets:read"}})
	w.wantCode("grant", err, driver.Invalid, "names no scopes")
	w.must("revoke", w.d.Revoke(t.Context(), w.ref, []nhi.Entitlement{all}))
	if got := w.token(issued.Login, issued.Secret.Reveal(), "tickets:write"); got != http.StatusBadRequest {
		t.Errorf("a token for tickets:write answers %d after the default was revoked", got)
	}
	if es := w.read().Entitlements; len(es) > 0 {
		t.Errorf("entitlements %s are left", nhi.JoinTexts(es))
	}
}

// TestWrongTokens covers what the conformance suite cannot: the two kinds of tokens that the driver itself logs in with.
func TestWrongTokens(t *testing.T) {
	w := newWorld(t, oauthclient.PrivateKeyJWT)
	wrong := w.h.open(t, w.h.server.Issuer, func(c *oauthclient.Config) { c.InitialAccessToken = secret.New("wrong-" + rand.Text()) })
	_, err := wrong.CreateAccount(t.Context(), driver.AccountSpec{Name: "own-" + rand.Text(), Mark: testMark})
	w.wantCode("create with a wrong initial access token", err, driver.Unauthenticated)

	e := w.h.entry(t, w.ref.Name)
	good := e.Fields["registration_access_token"]
	e.Fields["registration_access_token"] = secret.New("wrong-" + rand.Text())
	e.Version, err = w.h.registry.PutSecret(t.Context(), registryPath+"/"+w.ref.Name, e)
	w.must("break the registry", err)
	_, err = w.d.ReadAccount(t.Context(), w.ref)
	w.wantCode("read with a wrong registration access token", err, driver.Unauthenticated, registryPath+"/"+w.ref.Name)
	w.wantCode("delete with it", w.d.DeleteAccount(t.Context(), w.ref), driver.Unauthenticated)
	// The failed deletion must not make the next read take the refusal for absence.
	_, err = w.d.ReadAccount(t.Context(), w.ref)
	w.wantCode("second read", err, driver.Unauthenticated)
	e = w.h.entry(t, w.ref.Name)
	e.Fields["registration_access_token"] = good
	_, err = w.h.registry.PutSecret(t.Context(), registryPath+"/"+w.ref.Name, e)
	w.must("repair the registry", err)
	if got := w.read().Mark; got != testMark {
		t.Errorf("mark %q", got)
	}
}

// TestReadWhileChanging reads while another run replaces the registration access token again and again.
func TestReadWhileChanging(t *testing.T) {
	w := newWorld(t, oauthclient.PrivateKeyJWT)
	reader := w.h.open(t, w.h.server.Issuer)
	done := make(chan error, 1)
	go func() {
		var errs []error
		for _, e := range w.h.Entitlements(t, 15) {
			errs = append(errs, w.d.Grant(t.Context(), w.ref, []nhi.Entitlement{e}))
		}
		done <- errors.Join(errs...)
	}()
	for reads := 0; ; reads++ {
		_, err := reader.ReadAccount(t.Context(), w.ref)
		w.must("read", err)
		select {
		case err := <-done:
			w.must("grant", err)
			if got := len(w.read().Entitlements); got != 15 || reads == 0 {
				t.Errorf("%d entitlements after %d reads", got, reads)
			}
			return
		default:
		}
	}
}

// TestDeletedAtTheServer is the same refusal, and so no absence either: RFC 7592 does not tell the two apart.
func TestDeletedAtTheServer(t *testing.T) {
	w := newWorld(t, oauthclient.PrivateKeyJWT)
	e := w.h.entry(t, w.ref.Name)
	w.h.call(t, http.MethodDelete, e.Fields["registration_client_uri"].Reveal(), e.Fields["registration_access_token"].Reveal(), nil)
	_, err := w.d.ReadAccount(t.Context(), w.ref)
	w.wantCode("read", err, driver.Unauthenticated, "remove or correct the registry's entry")
	w.must("remove the entry", w.h.registry.RemoveSecret(t.Context(), registryPath+"/"+w.ref.Name))
	_, err = w.d.ReadAccount(t.Context(), w.ref)
	w.wantCode("read", err, driver.NotFound)
}

// TestKilledWhileDeleting finishes what a run that was killed between the server and the registry had begun.
func TestKilledWhileDeleting(t *testing.T) {
	w := newWorld(t, oauthclient.PrivateKeyJWT)
	e := w.h.entry(t, w.ref.Name)
	token := e.Fields["registration_access_token"].Reveal()
	e.Fields["state"] = secret.New("removing")
	_, err := w.h.registry.PutSecret(t.Context(), registryPath+"/"+w.ref.Name, e)
	w.must("write the intent", err)
	if got := w.read().Ref; got != w.ref {
		t.Errorf("an account whose deletion was only intended is read as %+v", got)
	}
	w.h.call(t, http.MethodDelete, e.Fields["registration_client_uri"].Reveal(), token, nil)
	_, err = w.d.ReadAccount(t.Context(), w.ref)
	w.wantCode("read", err, driver.NotFound)
	again, err := w.d.CreateAccount(t.Context(), driver.AccountSpec{Name: w.ref.Name, Mark: testMark})
	w.must("create again", err)
	if again.ID == w.ref.ID {
		t.Errorf("the new client has the old id %s", again.ID)
	}
	w.ref = again
}

// TestFailedRegistryLeavesNoClient registers while the secret store fails.
func TestFailedRegistryLeavesNoClient(t *testing.T) {
	w := newWorld(t, oauthclient.PrivateKeyJWT)
	broken := &brokenStore{store: w.h.registry}
	d := w.h.open(t, w.h.server.Issuer, func(c *oauthclient.Config) { c.Registry = broken })
	name := "own-" + rand.Text()
	_, err := d.CreateAccount(t.Context(), driver.AccountSpec{Name: name, Mark: testMark})
	w.wantCode("create", err, driver.Unavailable)
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, broken.uri.Reveal(), http.NoBody)
	w.must("request", err)
	request.Header.Set("Authorization", "Bearer "+broken.token.Reveal())
	response, err := http.DefaultClient.Do(request)
	w.must("request", err)
	_ = response.Body.Close()
	if response.StatusCode != http.StatusUnauthorized {
		t.Errorf("the client that nobody could manage is still there: %d", response.StatusCode)
	}
}

// brokenStore takes no writes, and remembers what was to be written.
type brokenStore struct {
	store
	uri, token secret.Value
}

func (s *brokenStore) PutSecret(_ context.Context, _ string, stored driver.StoredSecret) (int64, error) {
	s.uri, s.token = stored.Fields["registration_client_uri"], stored.Fields["registration_access_token"]
	return 0, driver.Errorf(driver.Unavailable, "the store is down")
}

// TestPrivateKeyIsWholeLogin reads the delivered text as a client would: a JWK with its id and algorithm.
func TestPrivateKeyIsWholeLogin(t *testing.T) {
	w := newWorld(t, oauthclient.PrivateKeyJWT)
	issued, err := w.d.Issue(t.Context(), w.ref, driver.IssueRequest{Label: "rotation-7"})
	w.must("issue", err)
	var key struct{ Kty, Kid, Alg, D string }
	w.must("decode", json.Unmarshal([]byte(issued.Secret.Reveal()), &key))
	if key.Kty != "EC" || key.Kid != "rotation-7" || key.Alg != "ES256" || key.D == "" {
		t.Errorf("the key is %s %s %s", key.Kty, key.Kid, key.Alg)
	}
	public, err := json.Marshal(w.h.registration(t, w.ref.Name)["jwks"])
	w.must("encode", err)
	if strings.Contains(string(public), key.D) || strings.Contains(string(public), `"d"`) {
		t.Error("the server has the private key")
	}
}

// TestSecretAndKeysDoNotMix refuses to end a secret that works by adding a key.
func TestSecretAndKeysDoNotMix(t *testing.T) {
	w := newWorld(t, oauthclient.ClientSecret)
	issued, err := w.d.Issue(t.Context(), w.ref, driver.IssueRequest{Label: "one"})
	w.must("issue", err)
	keys := w.h.open(t, w.h.server.Issuer, func(c *oauthclient.Config) { c.ClientAuth = oauthclient.PrivateKeyJWT })
	_, err = keys.Issue(t.Context(), w.ref, driver.IssueRequest{Label: "two"})
	w.wantCode("issue a key", err, driver.Conflict, "client_secret")
	w.must("the secret still works", w.d.Verify(t.Context(), issued.Login, issued.Secret))
}

// oidc-provider keeps a client's secret for as long as the client exists, and would give it out as a new one: the secret that
// was revoked would log in again.
func TestSecretThatReturns(t *testing.T) {
	w := newWorld(t, oauthclient.ClientSecret)
	first, err := w.d.Issue(t.Context(), w.ref, driver.IssueRequest{Label: "first"})
	w.must("issue", err)
	w.must("verify", w.d.Verify(t.Context(), first.Login, first.Secret))
	w.must("revoke", w.d.RevokeCredential(t.Context(), w.ref, first.Credential.ID))
	_, err = w.d.Issue(t.Context(), w.ref, driver.IssueRequest{Label: "second"})
	w.wantCode("issue again", err, driver.Unsupported, oauthclient.PrivateKeyJWT)
	w.wantCode("the revoked secret", w.d.Verify(t.Context(), first.Login, first.Secret), driver.Unauthenticated)
	if left := w.read().Credentials; len(left) > 0 {
		t.Errorf("credentials %+v, want none", left)
	}
}

// TestEndpointsElsewhere sends no token to a host that the server's metadata, or the registry, names.
func TestEndpointsElsewhere(t *testing.T) {
	w := newWorld(t, oauthclient.PrivateKeyJWT)
	var seen []string
	thief := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		seen = append(seen, r.Header.Get("Authorization"))
	}))
	t.Cleanup(thief.Close)
	liar := httptest.NewUnstartedServer(nil)
	issuer := "http://" + liar.Listener.Addr().String()
	liar.Config.Handler = http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(rw, `{"issuer":"`+issuer+`","token_endpoint":"`+thief.URL+`/token","registration_endpoint":"`+thief.URL+`/reg"}`)
	})
	liar.Start()
	t.Cleanup(liar.Close)
	d := w.h.open(t, issuer, func(c *oauthclient.Config) { c.RegistryPath += "/elsewhere" })
	_, err := d.CreateAccount(t.Context(), driver.AccountSpec{Name: "own-" + rand.Text(), Mark: testMark})
	w.wantCode("create", err, driver.Invalid, "credentials are sent to")
	w.wantCode("verify", d.Verify(t.Context(), "x", secret.New("y")), driver.Invalid)
	if len(seen) > 0 {
		t.Errorf("%d requests reached the other host", len(seen))
	}
}

func TestOpenRefuses(t *testing.T) {
	good := oauthclient.Config{Issuer: "https://login.example", Registry: store{}, RegistryPath: "kv/clients"}
	for name, change := range map[string]func(*oauthclient.Config){
		"complete URL":   func(c *oauthclient.Config) { c.Issuer = "login.example" },
		"use https":      func(c *oauthclient.Config) { c.Issuer = "http://login.example" },
		"user name":      func(c *oauthclient.Config) { c.Issuer = "https://a:b@login.example" },
		"registry":       func(c *oauthclient.Config) { c.RegistryPath = "/" },
		"unknown way":    func(c *oauthclient.Config) { c.ClientAuth = "password" },
		"placeholder sc": func(c *oauthclient.Config) { c.Placeholder = "a b" },
	} {
		config := good
		change(&config)
		if _, err := oauthclient.Open(config); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("error %v, want %q", err, name)
		}
	}
	if _, err := oauthclient.Open(good); err != nil {
		t.Error(err)
	}
}

// TestSecretsWithMeaning logs in with a secret that has to be encoded twice on its way.
func TestSecretsWithMeaning(t *testing.T) {
	var got string
	server := httptest.NewUnstartedServer(nil)
	issuer := "http://" + server.Listener.Addr().String()
	server.Config.Handler = http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set("Content-Type", "application/json")
		if r.Method == http.MethodGet {
			_, _ = io.WriteString(rw, `{"issuer":"`+issuer+`","token_endpoint":"`+issuer+`/token","registration_endpoint":"`+issuer+`/reg"}`)
			return
		}
		raw, _ := base64.StdEncoding.DecodeString(strings.TrimPrefix(r.Header.Get("Authorization"), "Basic "))
		got = string(raw)
		_, _ = io.WriteString(rw, `{"access_token":"t","token_type":"bearer"}`)
	})
	server.Start()
	t.Cleanup(server.Close)
	d, err := oauthclient.Open(oauthclient.Config{Issuer: issuer, Registry: store{}, RegistryPath: "kv/clients"})
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Verify(t.Context(), "id:1", secret.New("a:b %+é")); err != nil {
		t.Fatal(err)
	}
	if want := "id%3A1:a%3Ab+%25%2B%C3%A9"; got != want {
		t.Errorf("sent %q, want %q", got, want)
	}
}
