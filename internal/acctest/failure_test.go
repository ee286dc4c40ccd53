package acctest

import (
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"slices"
	"strconv"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
	"github.com/nhi-labs/terraform-provider-nhi/internal/testenv"
)

// gated is a real platform behind a gate that the test can shut.
type gated struct {
	*site
	gate *Gate
}

// gatedSites makes one of each real platform, each behind a gate of its own.
func gatedSites(t *testing.T) []gated {
	t.Helper()
	servers := testenv.Load(t)
	pg := NewGate(t, net.JoinHostPort(servers.PostgreSQL.Host, strconv.Itoa(servers.PostgreSQL.Port)))
	vaultGate, vaultURL := gateURL(t, servers.Vault.Address)
	scimGate, scimURL := gateURL(t, servers.SCIM.URL)
	return []gated{
		{postgresqlSite(t, "warehouse", pg.Addr), pg},
		{vaultSite(t, "secrets", vaultURL), vaultGate},
		{scimSite(t, "sap", scimURL), scimGate},
	}
}

func gateURL(t *testing.T, backend string) (*Gate, string) {
	t.Helper()
	u, err := url.Parse(backend)
	if err != nil {
		t.Fatal(err)
	}
	gate := NewGate(t, u.Host)
	u.Host = gate.Addr
	return gate, u.String()
}

func sitesOf(all []gated) []*site {
	var out []*site
	for _, g := range all {
		out = append(out, g.site)
	}
	return out
}

// A platform that goes down between plan and apply: nothing stays behind on the two others.
func TestCreateWithOnePlatformDown(t *testing.T) {
	t.Parallel()
	all := gatedSites(t)
	for i, down := range all {
		t.Run(down.name, func(t *testing.T) {
			c := config{stack: unique(t, "stack"), identity: unique(t, "agent"), sites: sitesOf(all), holds: []int{0}}
			w := c.workspace(t)
			w.Plan(exitChanges, "-out=saved")
			down.gate.Shut()
			w.must(exitError, "apply", "-no-color", "saved").Has(t, `on platform "`+down.name+`"`)
			down.gate.Open()
			for j, s := range all {
				if j != i {
					s.gone(c.identity)
				}
			}
			down.gone(c.identity)
			if left := w.State(); len(left.Resources) > 0 {
				t.Errorf("state keeps %+v", left)
			}
			w.Apply()
			w.Destroy()
		})
	}
}

// Granting is all or nothing, too: what was granted elsewhere before one platform failed is taken back.
func TestGrantWithOnePlatformDown(t *testing.T) {
	t.Parallel()
	all := gatedSites(t)
	c := config{stack: unique(t, "stack"), identity: unique(t, "agent"), sites: sitesOf(all), noGrant: true}
	w := c.workspace(t)
	w.Apply()
	c.noGrant, c.holds = false, []int{0, 1}
	w.Configure(c.hcl())
	w.Plan(exitChanges, "-out=saved")
	all[2].gate.Shut()
	w.must(exitError, "apply", "-no-color", "saved").Has(t, `on platform "sap"`)
	all[2].gate.Open()
	for _, s := range all {
		s.holds(c.identity)
	}
	w.Apply()
	for _, s := range all {
		s.holds(c.identity, s.texts(0, 1)...)
	}
}

// Destroy with one platform down: the two others are clean, state holds what is left, the error names the platform,
// and when it is back, destroy finishes.
func TestDestroyWithOnePlatformDown(t *testing.T) {
	t.Parallel()
	all := gatedSites(t)
	for i, down := range all {
		t.Run(down.name, func(t *testing.T) {
			c := config{stack: unique(t, "stack"), identity: unique(t, "agent"), sites: sitesOf(all), holds: []int{0}}
			w := c.workspace(t)
			w.Apply()
			down.gate.Shut()
			// What cannot be seen is not assumed to be gone, so a plan that refreshes fails and says how to go on.
			w.Plan(exitError).Has(t, `Unable to read identity`, `on platform "`+down.name+`"`, "-refresh=false")

			// Terraform does not go on to the identity before its grant is gone everywhere. The plan removes both, so the
			// accounts on the other platforms go all the same.
			w.DestroyFails("-refresh=false").Has(t, `on platform "`+down.name+`"`, `Identity "`+c.identity+`" was deleted ahead on`)
			held := w.Attributes("nhi_grant", "this").Entitlements
			if len(held) != 1 || !slices.Equal(held[down.name], down.texts(0)) {
				t.Errorf("state of the grant holds %v, want what is left on %s", held, down.name)
			}
			for j, s := range all {
				if j != i {
					s.gone(c.identity)
				}
			}
			// The same again, because nothing has changed.
			w.DestroyFails("-refresh=false").Has(t, `on platform "`+down.name+`"`)
			down.gate.Open()
			w.Destroy()
			for _, s := range all {
				s.gone(c.identity)
			}
		})
	}
}

// A plan that is applied where it was not made cannot know that the identity goes, too: its accounts wait for the grant,
// and the error says what to do.
func TestDestroyElsewhereWithOnePlatformDown(t *testing.T) {
	t.Parallel()
	all := gatedSites(t)
	down := all[0]
	c := config{stack: unique(t, "stack"), identity: unique(t, "agent"), sites: sitesOf(all), holds: []int{0}}
	w := c.workspace(t)
	w.Apply()
	down.gate.Shut()
	w.must(0, "plan", "-destroy", "-refresh=false", "-no-color", "-input=false", "-out=saved")
	w.Setenv("TMPDIR", t.TempDir())
	w.must(exitError, "apply", "-no-color", "saved").Has(t, `on platform "warehouse"`, "state rm")
	all[1].holds(c.identity)
	w.must(0, "state", "rm", "nhi_grant.this")
	w.DestroyFails("-refresh=false").Has(t, `Unable to delete identity "`+c.identity+`" on platform "warehouse"`)
	accounts := w.Attributes("nhi_identity", "this").Accounts
	if _, ok := accounts["warehouse"]; !ok || len(accounts) != 1 {
		t.Errorf("state of the identity holds %v, want the account on warehouse", accounts)
	}
	all[1].gone(c.identity)
	all[2].gone(c.identity)
	down.gate.Open()
	w.Destroy()
	down.gone(c.identity)
}

// The same for the identity itself: accounts on the platforms that answer are deleted.
func TestDestroyIdentityWithOnePlatformDown(t *testing.T) {
	t.Parallel()
	all := gatedSites(t)
	down := all[1]
	c := config{stack: unique(t, "stack"), identity: unique(t, "agent"), sites: sitesOf(all), noGrant: true}
	w := c.workspace(t)
	w.Apply()
	down.gate.Shut()
	w.DestroyFails("-refresh=false").Has(t, `Unable to delete identity "`+c.identity+`" on platform "secrets"`)
	accounts := w.Attributes("nhi_identity", "this").Accounts
	if _, ok := accounts["secrets"]; !ok || len(accounts) != 1 {
		t.Errorf("state holds %v, want the account on secrets alone", accounts)
	}
	all[0].gone(c.identity)
	all[2].gone(c.identity)
	down.gate.Open()
	w.Destroy()
	down.gone(c.identity)
}

// Removing a grant alone while one of its platforms goes down is an error: its identity stays.
func TestRemoveGrantWithOnePlatformDown(t *testing.T) {
	t.Parallel()
	all := gatedSites(t)
	c := config{stack: unique(t, "stack"), identity: unique(t, "agent"), sites: sitesOf(all), holds: []int{0}}
	w := c.workspace(t)
	w.Apply()
	c.noGrant = true
	w.Configure(c.hcl())
	w.Plan(exitChanges, "-out=saved")
	all[0].gate.Shut()
	w.must(exitError, "apply", "-no-color", "saved").Has(t, `Unable to delete the grant of "`+c.identity+`" on platform "warehouse"`)
	all[0].gate.Open()
	all[0].holds(c.identity, all[0].texts(0)...)
	all[1].holds(c.identity)
	w.Apply()
	all[0].holds(c.identity)
}

// A platform that was switched off for good does not hold anything up.
func TestRetiredPlatform(t *testing.T) {
	t.Parallel()
	sites := []*site{sandboxSite(t, "warehouse"), sandboxSite(t, "old-crm")}
	c := config{stack: "stack", identity: "agent", sites: sites, holds: []int{0}}
	w := c.workspace(t)
	w.Apply()
	c.sites = sites[:1]
	w.Configure(c.hcl())
	w.Plan(exitError).Has(t, "retired_platforms")
	c.extraProvider = `  retired_platforms = ["old-crm"]`
	w.Configure(c.hcl())
	w.Apply()
	w.Destroy()
}

// Live sessions are ended, and what the role owns is handed over, not dropped.
func TestDestroyEndsSessionsAndKeepsObjects(t *testing.T) {
	t.Parallel()
	s := postgresqlSite(t, "warehouse", "")
	c := config{stack: unique(t, "stack"), identity: unique(t, "agent"), sites: []*site{s}, holds: []int{0, 3}}
	w := c.workspace(t)
	w.Apply()
	schema := target(s.entitlements[3])
	account := pgx.Identifier{c.identity}.Sanitize()
	s.sql(t, "ALTER ROLE "+account+" PASSWORD 'session-password'",
		"CREATE TABLE "+schema+".kept AS SELECT 42 AS answer", "ALTER TABLE "+schema+".kept OWNER TO "+account)
	session := pgConnect(t, c.identity, "session-password")
	w.Destroy()
	if err := session.Ping(t.Context()); err == nil {
		t.Error("the live session survived")
	}
	s.gone(c.identity)
	var answer int
	var owner string
	admin := pgAdmin(t)
	if err := admin.QueryRow(t.Context(), "SELECT answer FROM "+schema+".kept").Scan(&answer); err != nil || answer != 42 {
		t.Errorf("the table of the deleted role: %d, %v", answer, err)
	}
	if err := admin.QueryRow(t.Context(), "SELECT tableowner FROM pg_tables WHERE schemaname = $1", schema).Scan(&owner); err != nil {
		t.Error(err)
	}
	if want := testenv.Load(t).PostgreSQL.Username; owner != want {
		t.Errorf("the table went to %q, want %q", owner, want)
	}
}

// The same name pointing at another server: the plan fails, and so does an apply without refresh; nothing is created.
func TestNameReachesAnotherServer(t *testing.T) {
	t.Parallel()
	first, second := sandboxSite(t, "warehouse"), sandboxSite(t, "warehouse")
	c := config{stack: "stack", identity: "agent", sites: []*site{first}, holds: []int{0}}
	w := c.workspace(t)
	w.Apply()
	c.sites = []*site{second}
	w.Configure(c.hcl())
	w.Plan(exitError).Has(t, `platform "warehouse" now reaches another system`, "previous_targets")
	w.DestroyFails("-refresh=false").Has(t, `now reaches another system`)
	second.gone("agent")
	first.holds("agent", first.texts(0)...)
	if got := w.Attributes("nhi_identity", "this").Accounts["warehouse"]; got.Name != "agent" {
		t.Errorf("state lost the account: %+v", got)
	}
}

// PostgreSQL: another database of the same cluster is another target.
func TestNameReachesAnotherDatabase(t *testing.T) {
	t.Parallel()
	s := postgresqlSite(t, "warehouse", "")
	c := config{stack: unique(t, "stack"), identity: unique(t, "agent"), sites: []*site{s}, holds: []int{0}}
	w := c.workspace(t)
	w.Apply()
	database := unique(t, "other")
	s.sql(t, "CREATE DATABASE "+pgx.Identifier{database}.Sanitize())
	t.Cleanup(func() { s.sql(t, "DROP DATABASE "+pgx.Identifier{database}.Sanitize()+" WITH (FORCE)") })
	block := s.block()
	s.block = func() string {
		return fmt.Sprintf("%s\n", replaceOnce(t, block, `database = "`+testenv.Load(t).PostgreSQL.Database+`"`, `database = "`+database+`"`))
	}
	w.Configure(c.hcl())
	w.Plan(exitError).Has(t, "now reaches another system")
}

// No fault of an answer is read as absence: each fails the plan, and the plan neither creates what exists nor forgets
// it.
func TestFaultyAnswersAreNotAbsence(t *testing.T) {
	if !onlyOnce() {
		return
	}
	t.Parallel()
	servers := testenv.Load(t)
	common := map[string]HTTPFault{
		"unauthorized":   Status(http.StatusUnauthorized, `{"errors":["permission denied"]}`),
		"forbidden":      Status(http.StatusForbidden, `{"errors":["permission denied"]}`),
		"server_error":   Status(http.StatusInternalServerError, `{"errors":["internal error"]}`),
		"not_found_html": Status(http.StatusNotFound, "<html><body>404 page not found</body></html>"),
		"empty_object":   Status(http.StatusOK, `{}`),
		"half_answer":    HalfAnswer,
		"malformed_json": MalformedJSON,
		"timeout":        NoAnswer,
	}
	kinds := map[string]struct {
		backend string
		site    func(t *testing.T, url string) *site
		empty   string
	}{
		"scim": {servers.SCIM.URL, func(t *testing.T, url string) *site { return scimSite(t, "sap", url) },
			`{"schemas":["urn:ietf:params:scim:api:messages:2.0:ListResponse"],"totalResults":0,"Resources":[]}`},
		"vault": {servers.Vault.Address, func(t *testing.T, url string) *site { return vaultSite(t, "secrets", url) },
			`{"request_id":"x","data":{"keys":[]}}`},
	}
	for kind, k := range kinds {
		t.Run(kind, func(t *testing.T) {
			faults := maps.Clone(common)
			proxy := NewHTTPProxy(t, k.backend)
			s := k.site(t, proxy.URL)
			block := replaceOnce(t, s.block(), "name =", "timeout = \"1s\"\n  name =")
			s.block = func() string { return block }
			c := config{stack: unique(t, "stack"), identity: unique(t, "agent"), sites: []*site{s}, holds: []int{0, 1}}
			w := c.workspace(t)
			w.Apply()
			check := func(name string, fault HTTPFault) {
				t.Run(name, func(t *testing.T) {
					proxy.Break(fault)
					defer proxy.Break(nil)
					r := w.Plan(exitError)
					r.HasNot(t, "will be created", "has been deleted", "Plan:")
					r.Has(t, `on platform "`+s.name+`"`)
				})
			}
			faults["empty_list"] = Status(http.StatusOK, k.empty)
			for name, fault := range faults {
				// A platform that cannot even say who it is fails before the CLI matters: once is enough.
				if cli := os.Getenv(envCLI); cli == "" || cli == "terraform" {
					check("everywhere_"+name, fault)
				}
				// The platform says who it is, and only what it says of accounts is broken.
				check("accounts_"+name, accountsOnly(fault))
			}
			w.Plan(exitEmpty)
		})
	}
}

// accountsOnly lets everything through that is not about accounts.
func accountsOnly(fault HTTPFault) HTTPFault {
	return func(w http.ResponseWriter, r *http.Request, truth *httptest.ResponseRecorder) bool {
		return hasAny(r.URL.Path, []string{"/Users", "/identity/entity", "/auth/approle/role/"}) && fault(w, r, truth)
	}
}

// A PostgreSQL administrator without rights: the plan fails on the attribute and says what is missing.
func TestMissingAdminRights(t *testing.T) {
	t.Parallel()
	s := postgresqlSite(t, "warehouse", "")
	weak := unique(t, "weak")
	s.sql(t, "CREATE ROLE "+pgx.Identifier{weak}.Sanitize()+" LOGIN PASSWORD 'weak-password'")
	t.Cleanup(func() { s.sql(t, "DROP ROLE "+pgx.Identifier{weak}.Sanitize()) })
	block := replaceOnce(t, s.block(), `username = "`+testenv.Load(t).PostgreSQL.Username+`"`, `username = "`+weak+`"`)
	s.block, s.env = func() string { return block }, []string{"NHI_WAREHOUSE_PASSWORD=weak-password"}
	c := config{stack: unique(t, "stack"), identity: unique(t, "agent"), sites: []*site{s}, holds: []int{0}}
	c.workspace(t).Plan(exitError).Has(t, `Missing rights on platform "warehouse"`, "Nothing was changed")
}

// An account of ours that another stack marked in the meantime is never touched again.
func TestAccountTakenByAnotherStack(t *testing.T) {
	t.Parallel()
	s := sandboxSite(t, "warehouse")
	c := config{stack: "stack", identity: "agent", sites: []*site{s}, holds: []int{0}}
	w := c.workspace(t)
	w.Apply()
	other := nhi.Mark{Stack: "other", Identity: "agent"}
	s.do(s.hand.UpdateAccount(t.Context(), nhi.Ref{Name: "agent"}, driver.AccountChange{Mark: &other}))
	w.Plan(exitError).Has(t, `belongs to the stack "other"`)
	w.DestroyFails("-refresh=false").Has(t, `belongs to the stack "other"`)
	s.holds("agent", s.texts(0)...)
}

// What was imported is marked by the first apply. Where that failed, the next plan says so.
func TestImportThatFailedHalfway(t *testing.T) {
	if !onlyOnce() {
		return
	}
	t.Parallel()
	proxy := NewHTTPProxy(t, testenv.Load(t).Vault.Address)
	sandbox, vault := sandboxSite(t, "warehouse"), vaultSite(t, "secrets", proxy.URL)
	c := config{stack: unique(t, "stack"), identity: unique(t, "agent"), sites: []*site{sandbox, vault}, noGrant: true}
	w := c.workspace(t)
	for _, s := range c.sites {
		s.foreign(c.identity)
	}
	w.must(0, "import", "-no-color", "nhi_identity.this", c.identity)
	refused := refuseWrites(proxy, "/identity/entity")
	w.ApplyFails().Has(t, `Unable to update identity "`+c.identity+`" on platform "secrets"`)
	proxy.Deny(nil)
	if mark := vault.account(c.identity).Mark; !mark.IsZero() || refused.Load() == 0 {
		t.Fatalf("the account is marked %v although %d changes were refused", mark, refused.Load())
	}
	w.Plan(exitChanges).Has(t, `- "secrets: the ownership mark of account`)
	w.Apply()
	for _, s := range c.sites {
		if mark := s.account(c.identity).Mark; mark != (nhi.Mark{Stack: c.stack, Identity: c.identity}) {
			t.Errorf("%s: mark %v", s.name, mark)
		}
	}
}
