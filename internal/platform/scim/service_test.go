package scim_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
	"github.com/nhi-labs/terraform-provider-nhi/internal/platform/scim"
	"github.com/nhi-labs/terraform-provider-nhi/internal/platform/scim/scimfake"
	"github.com/nhi-labs/terraform-provider-nhi/internal/secret"
)

// TestSuspendBlocksLogin really logs in: SCIM has no credentials, so the conformance suite cannot.
func TestSuspendBlocksLogin(t *testing.T) {
	for _, options := range []scimfake.Options{{}, {NoPatch: true}, {SAP: true}} {
		w := newWorld(t, options)
		ref := w.create("agent")
		w.fake.SetPassword("agent", "s3cret-of-agent")
		for _, c := range []struct {
			change func(context.Context, nhi.Ref) error
			want   int
		}{
			{w.driver.Resume, http.StatusNoContent}, {w.driver.Suspend, http.StatusUnauthorized}, {w.driver.Resume, http.StatusNoContent},
		} {
			w.must("change", c.change(t.Context(), ref))
			if got := w.login("agent", "s3cret-of-agent"); got != c.want {
				t.Errorf("%+v: login answers %d, want %d", options, got, c.want)
			}
		}
	}
}

func (w *world) login(name, password string) int {
	w.Helper()
	request, err := http.NewRequestWithContext(w.Context(), http.MethodPost, w.url+"/login", http.NoBody)
	w.must("login", err)
	request.SetBasicAuth(name, password)
	response, err := http.DefaultClient.Do(request)
	w.must("login", err)
	_ = response.Body.Close()
	return response.StatusCode
}

func TestSAPValidityEndsLogins(t *testing.T) {
	var mu sync.Mutex
	now := time.Now()
	w := newWorld(t, scimfake.Options{SAP: true, Now: func() time.Time { mu.Lock(); defer mu.Unlock(); return now }})
	ends := now.Add(time.Hour)
	_, err := w.driver.CreateAccount(t.Context(), driver.AccountSpec{Name: "agent", Mark: testMark, ExpiresAt: ends})
	w.must("create", err)
	w.fake.SetPassword("agent", "s3cret-of-agent")
	if got := w.login("agent", "s3cret-of-agent"); got != http.StatusNoContent {
		t.Errorf("login answers %d before the end", got)
	}
	mu.Lock()
	now = ends.Add(time.Second)
	mu.Unlock()
	if got := w.login("agent", "s3cret-of-agent"); got != http.StatusUnauthorized {
		t.Errorf("login answers %d after the end", got)
	}
}

func TestSAPRateLimit(t *testing.T) {
	var mu sync.Mutex
	now, slept := time.Now(), time.Duration(0)
	w := newWorld(t, scimfake.Options{
		SAP: true, Limit: scimfake.SAPLimit(),
		Now:   func() time.Time { mu.Lock(); defer mu.Unlock(); return now },
		Sleep: func(d time.Duration) { mu.Lock(); defer mu.Unlock(); slept += d },
	})
	ref := w.create("agent")
	var err error
	for range 400 {
		if _, err = w.driver.ReadAccount(t.Context(), ref); err != nil {
			break
		}
	}
	w.wantCode("the read too many", err, driver.RateLimited)
	if got := w.driver.Classify(err).RetryAfter; got != time.Minute {
		t.Errorf("retry after %v, want a minute", got)
	}
	counts := total(w.fake.Counts())
	if slept != 80*time.Second || counts != 281 {
		t.Errorf("%d requests, delayed by %v; want 281, 80 s", counts, slept)
	}
	mu.Lock()
	now = now.Add(time.Minute)
	mu.Unlock()
	w.read(ref)
}

func TestSAPTenantWithoutServiceProviderConfig(t *testing.T) {
	w := newWorld(t, scimfake.Options{SAP: true, NoConfig: true, NoETag: true})
	ref := w.create("agent")
	w.must("suspend", w.driver.Suspend(t.Context(), ref))
	if got := w.read(nhi.Ref{Name: "agent"}).Status; got != nhi.Suspended {
		t.Errorf("status is %q", got)
	}
	standard := newWorld(t, scimfake.Options{NoConfig: true})
	_, err := standard.driver.ReadAccount(t.Context(), nhi.Ref{Name: "agent"})
	standard.wantNoLie("read from something without a configuration", err)
}

func TestOAuth2AndBasic(t *testing.T) {
	fake := scimfake.New(scimfake.Options{ClientID: "client", Secret: "s3cret-of-client", Username: "admin", Password: "s3cret-of-admin"})
	server := httptest.NewServer(fake)
	t.Cleanup(server.Close)
	for name, auth := range map[string]scim.Auth{
		"basic": {Username: "admin", Password: secret.New("s3cret-of-admin")},
		"oauth2": {OAuth2: &scim.ClientCredentials{
			TokenURL: server.URL + "/oauth2/token", ClientID: "client", ClientSecret: secret.New("s3cret-of-client")}},
	} {
		d := open(t, scim.Config{URL: server.URL + "/scim", Auth: auth})
		for range 2 {
			if _, err := d.Probe(t.Context()); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			fake.RevokeTokens()
		}
	}
}

func TestProbeSaysWhatCannotBeSeen(t *testing.T) {
	w := newWorld(t, scimfake.Options{NoPatch: true, NoETag: true})
	w.fake.SetFault(func(r *http.Request) *scimfake.Fault {
		if !strings.HasPrefix(r.URL.Path, "/scim/Groups") {
			return nil
		}
		return &scimfake.Fault{Instead: true, Status: http.StatusForbidden}
	})
	target, err := w.driver.Probe(t.Context())
	w.must("probe", err)
	if len(target.Blind) != 2 || !strings.Contains(target.Blind[0], "Groups") || !strings.Contains(target.Blind[1], "lost") {
		t.Errorf("blind: %q", target.Blind)
	}
}
