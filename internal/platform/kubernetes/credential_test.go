package kubernetes_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
	"github.com/nhi-labs/terraform-provider-nhi/internal/platform/internal/resttest"
	"github.com/nhi-labs/terraform-provider-nhi/internal/secret"
)

// whoAmI asks the server with a token; it fails once the server no longer accepts the token.
func (c *cluster) whoAmI(t *testing.T, token secret.Value) int {
	t.Helper()
	status, _ := c.try(t, token.Reveal(), http.MethodPost, "apis/authentication.k8s.io/v1/selfsubjectreviews", manifest{})
	return status
}

func (c *cluster) wantRefusedSoon(t *testing.T, token secret.Value) {
	t.Helper()
	for end := time.Now().Add(c.Spec().RevocationLag); c.whoAmI(t, token) != http.StatusUnauthorized; time.Sleep(time.Second / 2) {
		if time.Now().After(end) {
			t.Fatal("the token is still accepted")
		}
	}
}

func TestTokenActsAsTheAccount(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	d := full(t, c.Open(t))
	ref := create(t, d)
	token, err := d.MintToken(t.Context(), ref)
	must(t, err)
	other, err := d.MintToken(t.Context(), ref)
	must(t, err)
	path := "api/v1/namespaces/" + c.work + "/limitranges"
	if status, _ := c.try(t, token.Secret.Reveal(), http.MethodGet, path, nil); status != http.StatusForbidden {
		t.Errorf("the token of an account that holds nothing lists limit ranges: %d", status)
	}
	must(t, d.Grant(t.Context(), ref, []nhi.Entitlement{c.rareRole(t)}))
	c.waitUntilMay(t, token.Secret, "list", "limitranges")
	if status, body := c.try(t, token.Secret.Reveal(), http.MethodGet, path, nil); status != http.StatusOK {
		t.Errorf("the token does not do what the account may: %d %s", status, body)
	}
	if left := time.Until(token.ExpiresAt); left < 55*time.Minute || left > time.Hour {
		t.Errorf("the token ends in %s", left)
	}
	must(t, d.RevokeToken(t.Context(), token.Secret))
	c.wantRefusedSoon(t, token.Secret)
	if status := c.whoAmI(t, other.Secret); status != http.StatusCreated {
		t.Errorf("the other token is refused: %d", status)
	}
	must(t, d.RevokeToken(t.Context(), token.Secret))
	must(t, d.RevokeToken(t.Context(), secret.New("not-a-token")))

	// What a token says of itself leads to no other Secret than one of a minted token.
	issued, err := d.Issue(t.Context(), ref, driver.IssueRequest{Label: "a"})
	must(t, err)
	wantCode(t, d, d.RevokeToken(t.Context(), issued.Secret), driver.Invalid)
	wantCode(t, d, d.RevokeToken(t.Context(), c.tokenBoundTo(t, random("unbound"))), driver.Invalid)
	wantCode(t, d, d.RevokeToken(t.Context(), secret.Value{}), driver.Invalid)
	must(t, d.Verify(t.Context(), issued.Login, issued.Secret))
}

// TestUncheckedTokenIsRevoked has an API server that cannot look whether a token is one: it answers as about one that is none.
func TestUncheckedTokenIsRevoked(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	cfg := c.config()
	cfg.CACertFile = ""
	cfg.Host = c.proxy(t, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if !strings.HasSuffix(r.URL.Path, "/tokenreviews") {
				next.ServeHTTP(w, r)
				return
			}
			var review manifest
			if err := json.NewDecoder(r.Body).Decode(&review); err != nil {
				t.Error(err)
			}
			review["status"] = manifest{"authenticated": false, "error": "etcdserver: request timed out"}
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusCreated)
			if err := json.NewEncoder(w).Encode(review); err != nil {
				t.Error(err)
			}
		})
	})
	d := full(t, c.open(t, cfg))
	ref := create(t, d)
	token, err := d.MintToken(t.Context(), ref)
	must(t, err)
	issued, err := d.Issue(t.Context(), ref, driver.IssueRequest{Label: "a"})
	must(t, err)
	must(t, d.RevokeToken(t.Context(), token.Secret))
	c.wantRefusedSoon(t, token.Secret)
	must(t, d.RevokeToken(t.Context(), token.Secret))
	wantCode(t, d, d.RevokeToken(t.Context(), issued.Secret), driver.Invalid)
	must(t, d.Verify(t.Context(), issued.Login, issued.Secret))
}

// TestEndedTokensAreCleared lets a minted token end without being revoked.
func TestEndedTokensAreCleared(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	d := full(t, c.Open(t))
	ref := create(t, d)
	_, err := d.MintToken(t.Context(), ref)
	must(t, err)
	path := "api/v1/namespaces/" + c.namespace + "/secrets"
	found := c.call(t, http.MethodGet, path+"?labelSelector=nhi-labs.github.io/token-of%3D"+ref.ID, nil).Items
	if len(found) != 1 {
		t.Fatalf("%d Secrets stand for the token", len(found))
	}
	c.call(t, http.MethodPatch, path+"/"+found[0].Metadata.Name,
		manifest{"metadata": manifest{"annotations": manifest{"nhi-labs.github.io/expires": "2001-01-01T00:00:00Z"}}})
	_, err = d.MintToken(t.Context(), ref)
	must(t, err)
	if n := c.secretsOf(t, ref.ID); n != 1 {
		t.Errorf("%d Secrets are left, want that of the new token", n)
	}
	if n := len(read(t, d, ref).Credentials); n != 0 {
		t.Errorf("minted tokens are listed as %d credentials", n)
	}
}

// TestIssueExpires sets the token's own end.
func TestIssueExpires(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	d := full(t, c.Open(t))
	ref := create(t, d)
	for request, want := range map[time.Time]time.Duration{{}: 365 * 24 * time.Hour, time.Now().Add(48 * time.Hour): 48 * time.Hour} {
		issued, err := d.Issue(t.Context(), ref, driver.IssueRequest{Label: "a", ExpiresAt: request})
		must(t, err)
		if off := time.Until(issued.Credential.ExpiresAt) - want; off > 0 || off < -time.Minute {
			t.Errorf("a token that is to end in %s ends at %s", want, issued.Credential.ExpiresAt)
		}
		if !slices.Contains(read(t, d, ref).Credentials, issued.Credential) {
			t.Errorf("listed are %+v, not %+v", read(t, d, ref).Credentials, issued.Credential)
		}
	}
	_, err := d.Issue(t.Context(), ref, driver.IssueRequest{Label: "a", ExpiresAt: time.Now().Add(time.Minute)})
	wantCode(t, d, err, driver.Invalid)
}

// TestFailedIssueLeavesNothing refuses the token after its Secret was made.
func TestFailedIssueLeavesNothing(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	ref := create(t, c.Open(t))
	cfg := c.config()
	cfg.CACertFile = ""
	cfg.Host = c.proxy(t, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.HasSuffix(r.URL.Path, "/token") {
				http.Error(w, "busy", http.StatusServiceUnavailable)
				return
			}
			next.ServeHTTP(w, r)
		})
	})
	d := full(t, c.open(t, cfg))
	_, err := d.Issue(t.Context(), ref, driver.IssueRequest{Label: "a"})
	wantCode(t, d, err, driver.Unavailable)
	_, err = d.MintToken(t.Context(), ref)
	wantCode(t, d, err, driver.Unavailable)
	if n := c.secretsOf(t, ref.ID); n != 0 {
		t.Errorf("%d Secrets are left", n)
	}
}

// TestTokensKeptByKubernetes lists a token that Kubernetes keeps in a Secret, which never ends, without reading it.
func TestTokensKeptByKubernetes(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	ref := create(t, c.Open(t))
	name, canary := random("forever"), random("canary")
	c.call(t, http.MethodPost, "api/v1/namespaces/"+c.namespace+"/secrets", manifest{
		"metadata": manifest{"name": name, "annotations": manifest{
			"kubernetes.io/service-account.name": ref.Name, "kubernetes.io/service-account.uid": ref.ID,
		}},
		"type": "kubernetes.io/service-account-token", "stringData": manifest{"token": canary},
	})
	var mu sync.Mutex
	seen := ""
	cfg := c.config()
	cfg.CACertFile = ""
	cfg.Host = c.proxy(t, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			r.Header.Del("Accept-Encoding")
			whole := httptest.NewRecorder()
			next.ServeHTTP(whole, r)
			mu.Lock()
			seen += whole.Body.String()
			mu.Unlock()
			w.Header().Set("Content-Type", whole.Header().Get("Content-Type"))
			w.WriteHeader(whole.Code)
			_, _ = bytes.NewReader(whole.Body.Bytes()).WriteTo(w)
		})
	})
	d := full(t, c.open(t, cfg))
	found := read(t, d, ref).Credentials
	if len(found) != 1 || found[0].ID == "" || found[0].CreatedAt.IsZero() {
		t.Fatalf("credentials are %+v, want the one that Kubernetes keeps", found)
	}
	must(t, d.RevokeCredential(t.Context(), ref, found[0].ID))
	if left := read(t, d, ref).Credentials; len(left) != 0 {
		t.Errorf("credentials %+v are left", left)
	}
	mu.Lock()
	defer mu.Unlock()
	if strings.Contains(seen, canary) || strings.Contains(seen, `"data"`) || !strings.Contains(seen, name) {
		t.Errorf("the driver read what Secrets hold, or not their names")
	}
}

func TestRateLimits(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	resttest.RateLimits(t, c, func(change func(http.Handler) http.Handler) driver.Driver {
		cfg := c.config()
		cfg.CACertFile = ""
		cfg.Host = c.proxy(t, change)
		return c.open(t, cfg)
	})
}
