package vault_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
	"github.com/nhi-labs/terraform-provider-nhi/internal/secret"
)

// secretIDs counts a role's secret ids. Vault answers 404 if there is none.
func (s *server) secretIDs(t *testing.T, name string) int {
	t.Helper()
	status, body := s.try(t, s.token, http.MethodGet, s.role(name)+"/secret-id?list=true", "")
	if status != http.StatusOK && status != http.StatusNotFound {
		t.Fatalf("list of secret ids: status %d: %s", status, body)
	}
	var out answer
	must(t, json.Unmarshal(body, &out))
	return len(out.Data.Keys)
}

// allows reports whether a token has a capability that the policies of this test give.
func (s *server) allows(t *testing.T, token string) bool {
	t.Helper()
	status, body := s.try(t, token, http.MethodPost, "sys/capabilities-self", `{"paths":["secret/data/x"]}`)
	return status == http.StatusOK && strings.Contains(string(body), `"read"`)
}

func TestTokenActsAsTheAccount(t *testing.T) {
	s := newServer(t)
	d := full(t, s.Open(t))
	ref := create(t, d)
	bare, err := d.MintToken(t.Context(), ref)
	must(t, err)
	if s.allows(t, bare.Secret.Reveal()) {
		t.Error("the token of an account that holds nothing may read")
	}
	must(t, d.Grant(t.Context(), ref, []nhi.Entitlement{s.policy(t)}))
	token, err := d.MintToken(t.Context(), ref)
	must(t, err)
	if !s.tokenWorks(t, token.Secret.Reveal()) || !s.allows(t, token.Secret.Reveal()) {
		t.Error("the token does not do what the account may")
	}
	if s.tokenEntity(t, token.Secret.Reveal()) != ref.ID || token.ExpiresAt.IsZero() {
		t.Errorf("the token is of entity %s and ends at %v", s.tokenEntity(t, token.Secret.Reveal()), token.ExpiresAt)
	}
	if n := s.secretIDs(t, ref.Name); n != 0 {
		t.Errorf("%d secret ids are left", n)
	}
	must(t, d.RevokeToken(t.Context(), token.Secret))
	if s.tokenWorks(t, token.Secret.Reveal()) || !s.tokenWorks(t, bare.Secret.Reveal()) {
		t.Error("not exactly the revoked token is dead")
	}
}

func TestTokenOfASuspendedAccountIsRevoked(t *testing.T) {
	s := newServer(t)
	d := full(t, s.Open(t))
	ref := create(t, d)
	token, err := d.MintToken(t.Context(), ref)
	must(t, err)
	must(t, d.Suspend(t.Context(), ref))
	_, err = d.MintToken(t.Context(), ref)
	wantCode(t, d, err, driver.Conflict)
	if n := s.secretIDs(t, ref.Name); n != 0 {
		t.Errorf("%d secret ids are left", n)
	}
	must(t, d.RevokeToken(t.Context(), token.Secret))
	must(t, d.Resume(t.Context(), ref))
	if s.tokenWorks(t, token.Secret.Reveal()) {
		t.Error("the token lives again")
	}
	wantCode(t, d, d.RevokeToken(t.Context(), secret.Value{}), driver.Invalid)
}

func TestTokenOfAFailedLoginLeavesNothing(t *testing.T) {
	s := newServer(t)
	ref := create(t, s.Open(t))
	atLogin := -1
	cfg := s.config()
	cfg.Address = s.proxy(t, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.HasSuffix(r.URL.Path, "/login") {
				atLogin = s.secretIDs(t, ref.Name)
				http.Error(w, `{"errors":["refused"]}`, http.StatusServiceUnavailable)
				return
			}
			next.ServeHTTP(w, r)
		})
	})
	d := full(t, s.open(t, cfg))
	_, err := d.MintToken(t.Context(), ref)
	wantCode(t, d, err, driver.Unavailable)
	if left := s.secretIDs(t, ref.Name); atLogin != 1 || left != 0 {
		t.Errorf("%d secret ids at the login, %d afterwards; want 1, 0", atLogin, left)
	}
}

// TestTokenSecretIDIsNoCredential makes secret ids that look more or less like the one of a login under way.
func TestTokenSecretIDIsNoCredential(t *testing.T) {
	s := newServer(t)
	d := full(t, s.Open(t))
	ref := create(t, d)
	hidden := false
	cfg := s.config()
	cfg.Address = s.proxy(t, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.HasSuffix(r.URL.Path, "/login") {
				// Another driver sees now what a killed mint leaves behind.
				hidden = s.secretIDs(t, ref.Name) == 1 && len(read(t, d, ref).Credentials) == 0
			}
			next.ServeHTTP(w, r)
		})
	})
	_, err := full(t, s.open(t, cfg)).MintToken(t.Context(), ref)
	must(t, err)
	if !hidden {
		t.Error("a login under way shows as a credential")
	}
	for _, request := range []string{
		`{"metadata":"{\"nhi_passing\":\"token\"}","num_uses":2,"ttl":"60s"}`,
		`{"metadata":"{\"nhi_passing\":\"token\"}","num_uses":1,"ttl":"61s"}`,
		`{"metadata":"{\"nhi_passing\":\"token\"}","num_uses":1}`,
		`{"num_uses":1,"ttl":"60s"}`,
	} {
		before := len(read(t, d, ref).Credentials)
		s.call(t, http.MethodPost, s.role(ref.Name)+"/secret-id", request)
		if after := len(read(t, d, ref).Credentials); after != before+1 {
			t.Errorf("%s is hidden", request)
		}
	}
}

func TestTokenThatCannotBeRevokedIsRefused(t *testing.T) {
	s := newServer(t)
	d := full(t, s.Open(t))
	ref := create(t, d)
	s.call(t, http.MethodPost, s.role(ref.Name), `{"token_type":"batch"}`)
	_, err := d.MintToken(t.Context(), ref)
	wantCode(t, d, err, driver.Unsupported)
}
