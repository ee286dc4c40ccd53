package acctest

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
	"github.com/nhi-labs/terraform-provider-nhi/internal/platform/scim"
	"github.com/nhi-labs/terraform-provider-nhi/internal/platform/scim/scimfake"
	"github.com/nhi-labs/terraform-provider-nhi/internal/secret"
)

// enabled = false stops a login that worked, by really logging in on every platform, ends live sessions and keeps the
// entitlements; true restores the same login.
func TestSuspendStopsLogins(t *testing.T) {
	if !onlyOnce() {
		return
	}
	t.Parallel()
	for kind, prepare := range loginSites() {
		t.Run(kind, func(t *testing.T) {
			s, credential := prepare(t)
			c := config{stack: unique(t, "stack"), identity: unique(t, "agent"), sites: []*site{s}, holds: []int{0, 1}}
			w := c.workspace(t)
			w.Apply()
			login := credential(c.identity)
			if err := login(); err != nil {
				t.Fatalf("login before: %v", err)
			}

			c.extra = "  enabled = false"
			w.Configure(c.hcl())
			w.Plan(exitChanges).Has(t, `"active" -> "suspended"`)
			w.Apply()
			if err := login(); err == nil {
				t.Error("the login still works after the suspension")
			}
			s.holds(c.identity, s.texts(0, 1)...)

			c.extra = "  enabled = true"
			w.Configure(c.hcl())
			w.Apply()
			if err := login(); err != nil {
				t.Errorf("login after resuming: %v", err)
			}
			s.holds(c.identity, s.texts(0, 1)...)
		})
	}
}

// loginSites makes platforms with a way to log in. The returned function gives an account a credential by hand and
// returns a login with it.
func loginSites() map[string]func(t *testing.T) (*site, func(account string) func() error) {
	return map[string]func(t *testing.T) (*site, func(string) func() error){
		"sandbox": func(t *testing.T) (*site, func(string) func() error) {
			s := sandboxSite(t, "sandbox")
			return s, issued(t, s)
		},
		"postgresql": func(t *testing.T) (*site, func(string) func() error) {
			s := postgresqlSite(t, "warehouse", "")
			return s, func(account string) func() error {
				s.sql(t, "ALTER ROLE "+pgx.Identifier{account}.Sanitize()+" PASSWORD 'by-hand'")
				return func() error {
					conn, err := pgTry(t, account, "by-hand")
					if err == nil {
						_ = conn.Close(context.Background())
					}
					return err
				}
			}
		},
		"vault": func(t *testing.T) (*site, func(string) func() error) {
			s := vaultSite(t, "secrets", "")
			return s, issued(t, s)
		},
		"scim": func(t *testing.T) (*site, func(string) func() error) {
			s, fake, url := fakeSCIMSite(t, "sap")
			return s, func(account string) func() error {
				fake.SetPassword(account, "by-hand")
				return func() error { return scimLogin(t, url, account, "by-hand") }
			}
		},
	}
}

// issued gives an account a credential through its platform and logs in with it.
func issued(t *testing.T, s *site) func(account string) func() error {
	t.Helper()
	return func(account string) func() error {
		issuer, ok := s.hand.(driver.Issuer)
		verifier, can := s.hand.(driver.Verifier)
		if !ok || !can {
			t.Fatalf("%s has no credentials", s.name)
		}
		credential, err := issuer.Issue(t.Context(), nhi.Ref{Name: account}, driver.IssueRequest{Label: "by-hand"})
		if err != nil {
			t.Fatal(err)
		}
		return func() error { return verifier.Verify(t.Context(), credential.Login, credential.Secret) }
	}
}

// fakeSCIMSite is the strict fake, which unlike the real server here has a way to log in.
func fakeSCIMSite(t *testing.T, name string) (*site, *scimfake.Server, string) {
	t.Helper()
	const token = "bearer-token-of-the-fake"
	fake := scimfake.New(scimfake.Options{Token: token})
	server := httptest.NewServer(fake)
	t.Cleanup(server.Close)
	url := server.URL + "/scim"
	s := newSite(t, name, fmt.Sprintf("scim {\n  name = %q\n  url = %q\n}\n", name, url), scim.Spec(scim.Standard),
		func() (driver.Driver, error) {
			return scim.Open(scim.Config{URL: url, Auth: scim.Auth{Bearer: secret.New(token)}})
		})
	s.env = []string{"NHI_SAP_TOKEN=" + token}
	s.admin = []secret.Value{secret.New(token)}
	s.entitlements = []string{"role:auditor", "entitlement:invoices.read"}
	return s, fake, server.URL
}

func scimLogin(t *testing.T, url, account, password string) error {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+"/login", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.SetBasicAuth(account, password)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close() //nolint:errcheck // only the status counts
	if resp.StatusCode >= 300 {
		return fmt.Errorf("login: %s", resp.Status)
	}
	return nil
}

// Suspending ends the sessions that are open.
func TestSuspendEndsSessions(t *testing.T) {
	if !onlyOnce() {
		return
	}
	t.Parallel()
	s := postgresqlSite(t, "warehouse", "")
	c := config{stack: unique(t, "stack"), identity: unique(t, "agent"), sites: []*site{s}, holds: []int{0}}
	w := c.workspace(t)
	w.Apply()
	s.sql(t, "ALTER ROLE "+pgx.Identifier{c.identity}.Sanitize()+" PASSWORD 'by-hand'")
	session := pgConnect(t, c.identity, "by-hand")
	c.extra = "  enabled = false"
	w.Configure(c.hcl())
	w.Apply()
	if err := session.Ping(t.Context()); err == nil {
		t.Error("the live session survived the suspension")
	}
}

// on_destroy = "suspend" keeps the account with what it holds, without a way in.
func TestDestroyThatSuspends(t *testing.T) {
	t.Parallel()
	s := sandboxSite(t, "warehouse")
	c := config{stack: "stack", identity: "agent", sites: []*site{s}, noGrant: true, extra: `  on_destroy = "suspend"`}
	w := c.workspace(t)
	w.Apply()
	login := issued(t, s)("agent")
	s.grantByHand("agent", s.entitlements[0])
	w.Destroy()
	account := s.account("agent")
	if account.Status != nhi.Suspended || len(account.Credentials) != 0 {
		t.Errorf("the account is %s with %d credentials", account.Status, len(account.Credentials))
	}
	s.holds("agent", s.texts(0)...)
	if err := login(); err == nil {
		t.Error("the login still works")
	}
}
