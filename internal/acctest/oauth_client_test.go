package acctest

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/nhi-labs/terraform-provider-nhi/internal/testenv"
)

// TestOAuthClient manages a client of a real authorization server whose registry is in a real Vault, next to the secret
// that the rotation delivers there. The client then does what it was declared for, and nothing else.
func TestOAuthClient(t *testing.T) {
	if !onlyOnce() {
		return
	}
	servers := testenv.Load(t)
	identity, store := unique(t, "agent"), vaultSite(t, "secrets", "")
	hcl := func(scope string) string {
		return fmt.Sprintf(`
provider "nhi" {
  stack = %q

  oauth_client {
    name              = "login"
    issuer            = %q
    registry_platform = "secrets"
    registry_path     = "secret/registry"
    client_auth       = "client_secret_basic"
  }
%s
  audit {
    file { path = "events.jsonl" }
  }
}

resource "nhi_identity" "this" {
  name  = %q
  kind  = "ai_agent"
  owner = "team@example.com"

  account { platform = "login" }
}

resource "nhi_grant" "this" {
  identity     = nhi_identity.this
  entitlements = { login = [%q] }
}

resource "nhi_rotation" "this" {
  identity     = nhi_identity.this
  platform     = "login"
  rotate_every = "24h"
  overlap      = "0s"
  allow_outage = true

  deliver {
    platform = "secrets"
    path     = %q
  }
}
`, unique(t, "stack"), servers.OAuth.Issuer, store.block(), identity, scope, "secret/"+identity+"/login")
	}
	w := NewWorkspace(t, append(store.env, "NHI_LOGIN_INITIAL_ACCESS_TOKEN="+servers.OAuth.InitialAccessToken)...)
	read := hcl("scope:tickets:read")
	w.Configure(read)
	w.Apply()
	w.Plan(exitEmpty)
	checkEvents(t, w.dir)

	client := vaultClient(t)
	client.SetToken(servers.Vault.Token)
	delivered, err := client.KVv2("secret").Get(t.Context(), identity+"/login")
	if err != nil {
		t.Fatal(err)
	}
	login, password := fmt.Sprint(delivered.Data["login"]), fmt.Sprint(delivered.Data["secret"])
	if got := tokenStatus(t, servers.OAuth, login, password, "tickets:read"); got != http.StatusOK {
		t.Errorf("a token for tickets:read answers %d", got)
	}
	if got := tokenStatus(t, servers.OAuth, login, password, "tickets:write"); got != http.StatusBadRequest {
		t.Errorf("a token for tickets:write answers %d", got)
	}
	entry, err := client.KVv2("secret").Get(t.Context(), "registry/"+identity)
	if err != nil {
		t.Fatal(err)
	}
	state := w.must(0, "state", "pull").Output
	for _, hidden := range []string{password, fmt.Sprint(entry.Data["registration_access_token"]), servers.OAuth.InitialAccessToken} {
		if strings.Contains(state, hidden) {
			t.Error("the state holds a secret")
		}
	}
	w.Configure(strings.ReplaceAll(read, "scope:tickets:read", "scope:tickets:write"))
	w.Apply()
	if got := tokenStatus(t, servers.OAuth, login, password, "tickets:read"); got != http.StatusBadRequest {
		t.Errorf("a token for tickets:read answers %d after it was revoked", got)
	}
	// A client cannot be switched off, and no plan may make anybody believe that it was.
	w.Configure(strings.Replace(read, "kind  =", "enabled = false\n  kind  =", 1))
	w.Plan(exitChanges).Has(t, `Account "`+identity+`" on platform "login" stays active`)
	w.Destroy()
	checkEvents(t, w.dir)
	if got := tokenStatus(t, servers.OAuth, login, password, "tickets:write"); got != http.StatusUnauthorized {
		t.Errorf("a destroyed client's token request answers %d", got)
	}
	if _, err := client.KVv2("secret").Get(t.Context(), "registry/"+identity); err == nil {
		t.Error("the registry still has an entry")
	}
}

// tokenStatus asks for an access token as the client and returns the status.
func tokenStatus(t *testing.T, server testenv.OAuth, login, password, scope string) int {
	t.Helper()
	form := url.Values{"grant_type": {"client_credentials"}, "scope": {scope}}
	request, err := http.NewRequestWithContext(context.WithoutCancel(t.Context()), http.MethodPost, server.Issuer+"/token",
		strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	request.SetBasicAuth(url.QueryEscape(login), url.QueryEscape(password))
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	return response.StatusCode
}
