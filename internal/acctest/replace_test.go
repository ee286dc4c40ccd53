package acctest

import (
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
	"github.com/nhi-labs/terraform-provider-nhi/internal/testenv"
)

// Replacing takes the account away and makes it again.
func TestReplace(t *testing.T) {
	t.Parallel()
	s := sandboxSite(t, "warehouse")
	c := config{stack: "stack", identity: "agent", sites: []*site{s}, holds: []int{0, 1}}
	w := c.workspace(t)
	w.Apply()
	before := s.account("agent").ID
	w.Apply("-replace=nhi_identity.this")
	if s.account("agent").ID == before {
		t.Error("the account was not replaced")
	}
	s.holds("agent", s.texts(0, 1)...)
	w.Apply("-replace=nhi_grant.this")
	s.holds("agent", s.texts(0, 1)...)
	w.must(0, "taint", "nhi_identity.this")
	// The account carries our mark as one does that a killed run has left, and nothing promises that it will stay.
	w.Plan(exitChanges).Has(t, "must be replaced", "If this plan replaces the identity (-/+), the account is deleted first")
	before = s.account("agent").ID
	w.Apply()
	if s.account("agent").ID == before {
		t.Error("the tainted account was not replaced")
	}
	s.holds("agent", s.texts(0, 1)...)
}

const createBeforeDestroy = "  lifecycle {\n    create_before_destroy = true\n  }"

// With create_before_destroy the new object is the same account as the old one, which must not be deleted after it.
func TestCreateBeforeDestroy(t *testing.T) {
	t.Parallel()
	s := sandboxSite(t, "warehouse")
	c := config{stack: "stack", identity: "agent", sites: []*site{s}, holds: []int{0, 1}, extra: createBeforeDestroy, extraGrant: createBeforeDestroy}
	w := c.workspace(t)
	w.Apply()
	w.ApplyOnly("-replace=nhi_grant.this")
	s.holds("agent", s.texts(0, 1)...)
	w.must(0, "taint", "nhi_identity.this")
	w.ApplyFails().Has(t, "Remove create_before_destroy")
	s.holds("agent", s.texts(0, 1)...)
}

// An identity gets another name and its account keeps its own: the account is deleted first and made anew. If it would stay,
// because it is suspended or because the new one is made first, it is left alone.
func TestRenamedIdentity(t *testing.T) {
	t.Parallel()
	s := sandboxSite(t, "warehouse")
	c := config{stack: "stack", identity: "agent", sites: []*site{s}, holds: []int{0}, accountExtra: `name = "svc"`}
	w := c.workspace(t)
	w.Apply()
	first := s.account("svc")
	rename := func(identity, extra string) {
		c.identity, c.extra, c.extraGrant = identity, extra, ""
		if extra == createBeforeDestroy {
			c.extraGrant = extra
		}
		w.Configure(c.hcl())
	}
	rename("bot", "")
	w.Apply()
	second := s.account("svc")
	if second.ID == first.ID || second.Mark != (nhi.Mark{Stack: "stack", Identity: "bot"}) {
		t.Errorf("the account was %+v and is %+v", first, second)
	}
	s.holds("svc", s.texts(0)...)

	const refusal = `account "svc" on warehouse already belongs to the identity "bot" of this stack`
	rename("bot", "  on_destroy = \"suspend\"")
	w.Apply()
	rename("third", "")
	w.Plan(exitError).Has(t, refusal)
	rename("bot", createBeforeDestroy)
	w.Apply()
	rename("third", createBeforeDestroy)
	w.ApplyFails().Has(t, refusal)
	if now := s.account("svc"); now.ID != second.ID || now.Mark != second.Mark || now.Status != second.Status {
		t.Errorf("the account was %+v and is %+v", second, now)
	}
	s.holds("svc", s.texts(0)...)

	c.accountExtra = `name = "svc3"`
	s.cleanup("svc3")
	rename("third", "")
	w.ApplyOnly() // Terraform 1.16 makes the grant first and destroys the old one in the next apply
	w.Apply()
	s.gone("svc")
	s.holds("svc3", s.texts(0)...)
	w.Destroy()
}

// The rotation of an identity that gets another name begins anew with its account.
func TestRenamedIdentityWithARotation(t *testing.T) {
	t.Parallel()
	issuer, store := sandboxSite(t, "warehouse"), sandboxSite(t, "secrets")
	r := newRotations(t, []*site{issuer}, store)
	r.accountExtra = `name = "svc"`
	w := r.workspace(t)
	w.Apply()
	old := r.path(issuer)
	r.identity = unique(t, "renamed")
	w.Configure(r.hcl())
	w.Apply()
	stored, err := store.secrets().GetSecret(t.Context(), r.path(issuer))
	if err != nil {
		t.Fatal(err)
	}
	if err := issuer.login(t, stored); err != nil {
		t.Error(err)
	}
	if credentials := issuer.account("svc").Credentials; len(credentials) != 1 {
		t.Errorf("credentials %+v", credentials)
	}
	if _, err := store.secrets().GetSecret(t.Context(), old); store.hand.Classify(err).Code != driver.NotFound {
		t.Errorf("the secret of the old name: %v", err)
	}
	w.Destroy()
}

// Values that are known at apply only.
func TestUnknownValues(t *testing.T) {
	t.Parallel()
	s := sandboxSite(t, "warehouse")
	w := NewWorkspace(t)
	hcl := func(input string) string {
		return fmt.Sprintf(`
provider "nhi" {
  stack = "stack"
%s}
resource "terraform_data" "x" {
  input = %s
}
resource "nhi_identity" "this" {
  name    = "agent"
  kind    = "workload"
  owner   = "team@example.com"
  enabled = terraform_data.x.output.enabled
  account {
    platform = "warehouse"
  }
}
resource "nhi_grant" "this" {
  identity     = { name = terraform_data.x.output.name, account_names = {} }
  entitlements = { warehouse = terraform_data.x.output.rights }
  expires_at   = terraform_data.x.output.until
  depends_on   = [nhi_identity.this]
}
`, s.block(), input)
	}
	s.cleanup("agent")
	until := func(d time.Duration) string { return time.Now().Add(d).UTC().Format(time.RFC3339) }
	w.Configure(hcl(fmt.Sprintf(`{ enabled = true, name = "agent", rights = ["role:a", "role:b"], until = %q }`, until(8*time.Hour))))
	w.Apply()
	s.holds("agent", "role:a", "role:b")
	w.Configure(hcl(fmt.Sprintf(`{ enabled = false, name = "agent", rights = ["role:b"], until = %q }`, until(9*time.Hour))))
	w.Apply()
	s.holds("agent", "role:b")
	if status := s.account("agent").Status; status != nhi.Suspended {
		t.Errorf("status %s", status)
	}
	w.Destroy()
}

// After a migration the old target's id is accepted once, and then forgotten.
func TestPreviousTargets(t *testing.T) {
	t.Parallel()
	s := sandboxSite(t, "warehouse")
	c := config{stack: "stack", identity: "agent", sites: []*site{s}, holds: []int{0}}
	w := c.workspace(t)
	w.Apply()
	block := s.block
	s.migrate(w.Attributes("nhi_identity", "this").Accounts["warehouse"].Target)
	w.Plan(exitError).Has(t, "previous_targets")
	w.Configure(c.hcl())
	w.ApplyOnly()
	s.block = block
	w.Configure(c.hcl())
	w.Plan(exitEmpty)
}

// One account is declared once, by one identity, and where the identity has it.
func TestAccountsAreDeclaredOnce(t *testing.T) {
	t.Parallel()
	s := sandboxSite(t, "warehouse")
	other := sandboxSite(t, "other")
	c := config{stack: "stack", identity: "agent", sites: []*site{s}, holds: []int{0}}
	second := func(name, account string) string {
		return fmt.Sprintf("\nresource \"nhi_identity\" \"second\" {\n  name = %q\n  kind = \"workload\"\n  owner = \"x\"\n"+
			"  account {\n    platform = \"warehouse\"\n    name = %q\n  }\n}\n", name, account)
	}
	w := c.workspace(t)
	for name, tc := range map[string]struct{ hcl, want string }{
		"twice":          {c.hcl() + second("agent", "agent"), "is declared twice"},
		"two identities": {c.hcl() + second("second", "agent"), "an account belongs to one identity"},
		"grant without account": {config{stack: "stack", identity: "agent", sites: []*site{s}, noGrant: true, extraProvider: other.block()}.hcl() +
			"\nresource \"nhi_grant\" \"g\" {\n  identity = nhi_identity.this\n  entitlements = { other = [\"role:x\"] }\n}\n",
			`has no account on platform "other"`},
	} {
		t.Run(name, func(t *testing.T) {
			w.Configure(tc.hcl)
			w.Plan(exitError).Has(t, tc.want)
		})
	}
}

// Two databases of one PostgreSQL cluster share their roles.
func TestTwoPlatformsOfOneCluster(t *testing.T) {
	t.Parallel()
	s := postgresqlSite(t, "warehouse", "")
	block := s.block() + replaceOnce(t, replaceOnce(t, s.block(), `"warehouse"`, `"postgres"`), `database = "warehouse"`, `database = "postgres"`)
	w := NewWorkspace(t, append(s.env, "NHI_POSTGRES_PASSWORD="+testenv.Load(t).PostgreSQL.Password)...)
	w.Configure(fmt.Sprintf(`
provider "nhi" {
  stack = "stack"
%s}
resource "nhi_identity" "this" {
  name  = %q
  kind  = "workload"
  owner = "team@example.com"
  account {
    platform = "warehouse"
  }
  account {
    platform = "postgres"
  }
}
`, block, unique(t, "agent")))
	w.Plan(exitError).Has(t, "Same account on two platforms", "Give one of them another name")
}

// An account that was deleted and made again by somebody else is a stranger's: a grant leaves it alone. The plan says so
// while the grant declares something there, and the grant can be destroyed.
func TestGrantLeavesAStrangersAccountAlone(t *testing.T) {
	t.Parallel()
	s := sandboxSite(t, "warehouse")
	c := config{stack: "stack", identity: "agent", sites: []*site{s}, noGrant: true}
	c.workspace(t).Apply()
	w := NewWorkspace(t)
	w.Configure("provider \"nhi\" {\n  stack = \"stack\"\n" + s.block() + "}\nresource \"nhi_grant\" \"this\" {\n" +
		"  identity = { name = \"agent\", account_names = {} }\n  entitlements = { warehouse = [\"role:ours\"] }\n}\n")
	w.Apply()
	s.deleteByHand("agent")
	s.foreign("agent", "role:theirs")
	w.Plan(exitError).Has(t, "is managed by nobody")
	s.holds("agent", "role:theirs")
	w.ApplyFails("-refresh=false", "-replace=nhi_grant.this").Has(t, "Unable to plan the grant", "is managed by nobody")
	s.holds("agent", "role:theirs")
	w.Destroy("-refresh=false") // otherwise Terraform plans what is in use before it plans to destroy it
	s.holds("agent", "role:theirs")
}

// A platform that answers what a plan asks and refuses the change itself: what was made elsewhere is taken back.
func TestCreateIsTakenBack(t *testing.T) {
	t.Parallel()
	servers := testenv.Load(t)
	for _, kind := range []string{"secrets", "sap"} {
		t.Run(kind, func(t *testing.T) {
			backend := map[string]string{"secrets": servers.Vault.Address, "sap": servers.SCIM.URL}[kind]
			proxy := NewHTTPProxy(t, backend)
			url := map[string]string{kind: proxy.URL}
			pg, v, sc := postgresqlSite(t, "warehouse", ""), vaultSite(t, "secrets", url["secrets"]), scimSite(t, "sap", url["sap"])
			c := config{stack: unique(t, "stack"), identity: unique(t, "agent"), sites: []*site{pg, v, sc}, noGrant: true}
			w := c.workspace(t)
			refused := refuseWrites(proxy, "/Users", "/identity/entity", "/auth/approle/role/")
			w.ApplyFails().Has(t, `Unable to create identity "`+c.identity+`" on platform "`+kind+`"`)
			if refused.Load() == 0 {
				t.Error("nothing was refused")
			}
			proxy.Deny(nil)
			for _, s := range c.sites {
				s.gone(c.identity)
			}
			if left := w.State(); len(left.Resources) > 0 {
				t.Errorf("state keeps %+v", left)
			}
			w.Apply()

			c.noGrant, c.holds = false, []int{0, 1}
			w.Configure(c.hcl())
			refused = refuseWrites(proxy, "/Groups", "/identity/entity", "/identity/group")
			w.ApplyFails().Has(t, `Unable to create the grant of "`+c.identity+`" on platform "`+kind+`"`)
			if refused.Load() == 0 {
				t.Error("no grant was refused")
			}
			proxy.Deny(nil)
			for _, s := range c.sites {
				s.holds(c.identity)
			}
			w.Apply()
			w.Destroy()
		})
	}
}

// refuseWrites denies changes below the given paths and counts them.
func refuseWrites(proxy *HTTPProxy, paths ...string) *atomic.Int64 {
	refused := new(atomic.Int64)
	proxy.Deny(func(r *http.Request) bool {
		if r.Method == http.MethodGet || r.Method == "LIST" || !hasAny(r.URL.Path, paths) || strings.Contains(r.URL.Path, "/lookup/") {
			return false
		}
		refused.Add(1)
		return true
	})
	return refused
}

func hasAny(text string, parts []string) bool {
	for _, part := range parts {
		if strings.Contains(text, part) {
			return true
		}
	}
	return false
}
