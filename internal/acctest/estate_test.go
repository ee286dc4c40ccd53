package acctest

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/vault/api"
	"github.com/jackc/pgx/v5"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
	"github.com/nhi-labs/terraform-provider-nhi/internal/platform/postgresql"
	"github.com/nhi-labs/terraform-provider-nhi/internal/platform/sandbox"
	"github.com/nhi-labs/terraform-provider-nhi/internal/platform/scim"
	"github.com/nhi-labs/terraform-provider-nhi/internal/platform/vault"
	"github.com/nhi-labs/terraform-provider-nhi/internal/secret"
	"github.com/nhi-labs/terraform-provider-nhi/internal/testenv"
)

// site is one real platform as a test sees it: how to configure it, and a driver of its own that stands for "by hand":
// it changes the platform behind the provider's back.
type site struct {
	t    *testing.T
	name string
	// block returns the provider block; the test may put something else between provider and platform.
	block func() string
	env   []string
	hand  driver.Driver
	// entitlements are four that exist and nobody holds, a-d in canonical text.
	entitlements []string
	spec         driver.Spec
	// path is the file of a sandbox, groupIDs are the ids of the groups among the entitlements of a SCIM service.
	path     string
	groupIDs []string
	// admin holds the secrets that the provider is configured with.
	admin []secret.Value
}

// unique makes names that no other test uses on the shared servers. All are lower case: Vault stores no others.
func unique(t *testing.T, prefix string) string {
	t.Helper()
	return prefix + "-" + strconv.FormatInt(time.Now().UnixNano()%1e12, 36)
}

func newSite(t *testing.T, name, block string, spec driver.Spec, open func() (driver.Driver, error)) *site {
	t.Helper()
	d, err := open()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	return &site{t: t, name: name, block: func() string { return block }, hand: d, spec: spec}
}

func sandboxSite(t *testing.T, name string) *site {
	t.Helper()
	path := filepath.Join(t.TempDir(), name+".db")
	s := newSite(t, name, fmt.Sprintf("sandbox {\n  name = %q\n  path = %q\n}\n", name, path), sandbox.Spec(),
		func() (driver.Driver, error) { return sandbox.Open(sandbox.Config{Path: path}) })
	s.path = path
	s.entitlements = []string{"table:finance.invoices#select", "role:reporting", "group:Billing Viewers", "policy:billing-read"}
	return s
}

// postgresqlSite configures the real server; host and port may be those of a gate in front of it ("" for none).
func postgresqlSite(t *testing.T, name, gate string) *site {
	t.Helper()
	server := testenv.Load(t).PostgreSQL
	host, port := server.Host, strconv.Itoa(server.Port)
	if gate != "" {
		host, port, _ = net.SplitHostPort(gate)
	}
	block := fmt.Sprintf("postgresql {\n  name = %q\n  host = %q\n  port = %s\n  database = %q\n  username = %q\n  sslrootcert = %q\n}\n",
		name, host, port, server.Database, server.Username, server.CAFile)
	s := newSite(t, name, block, postgresql.Spec(), func() (driver.Driver, error) {
		return postgresql.Open(postgresql.Config{Host: server.Host, Port: server.Port, Database: server.Database,
			Username: server.Username, Password: secret.New(server.Password), SSLRootCert: server.CAFile})
	})
	s.admin = []secret.Value{secret.New(server.Password)}
	s.env = []string{"NHI_" + strings.ToUpper(name) + "_PASSWORD=" + server.Password}
	schema, role := strings.ReplaceAll(unique(t, "fin"), "-", "_"), strings.ReplaceAll(unique(t, "rep"), "-", "_")
	s.sql(t, "CREATE SCHEMA "+schema, "CREATE TABLE "+schema+".invoices (id int, amount numeric)",
		"CREATE TABLE "+schema+".ledger (id int)", "CREATE ROLE "+role+" NOLOGIN")
	t.Cleanup(func() { s.sql(t, "DROP SCHEMA "+schema+" CASCADE", "DROP ROLE "+role) })
	s.entitlements = []string{"table:" + schema + ".invoices#select", "role:" + role,
		"column:" + schema + ".ledger.id#update", "schema:" + schema + "#usage"}
	return s
}

// sql runs statements as the administrator.
func (s *site) sql(t *testing.T, statements ...string) {
	t.Helper()
	conn := pgAdmin(t)
	defer conn.Close(context.Background()) //nolint:errcheck // a test's own connection
	for _, statement := range statements {
		if _, err := conn.Exec(context.Background(), statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
}

func pgAdmin(t *testing.T) *pgx.Conn {
	t.Helper()
	server := testenv.Load(t).PostgreSQL
	return pgConnect(t, server.Username, server.Password)
}

func pgConnect(t *testing.T, username, password string) *pgx.Conn {
	t.Helper()
	conn, err := pgTry(t, username, password)
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

// pgTry logs in to the real server.
func pgTry(t *testing.T, username, password string) (*pgx.Conn, error) {
	t.Helper()
	server := testenv.Load(t).PostgreSQL
	config, err := pgx.ParseConfig(fmt.Sprintf("host=%s port=%d dbname=%s sslmode=verify-full sslrootcert='%s'",
		server.Host, server.Port, server.Database, server.CAFile))
	if err != nil {
		t.Fatal(err)
	}
	config.User, config.Password = username, password
	return pgx.ConnectConfig(context.Background(), config)
}

// vaultSite configures the real server at address ("" for its own).
func vaultSite(t *testing.T, name, address string) *site {
	t.Helper()
	server := testenv.Load(t).Vault
	if address == "" {
		address = server.Address
	}
	s := newSite(t, name, fmt.Sprintf("vault {\n  name = %q\n  address = %q\n}\n", name, address), vault.Spec(),
		func() (driver.Driver, error) {
			return vault.Open(vault.Config{Address: server.Address, Token: secret.New(server.Token)})
		})
	s.admin = []secret.Value{secret.New(server.Token)}
	s.env = []string{"NHI_" + strings.ToUpper(name) + "_TOKEN=" + server.Token}
	client := vaultClient(t)
	auths, err := client.Sys().ListAuth()
	if err != nil {
		t.Fatal(err)
	}
	if auths["approle/"] == nil {
		_ = client.Sys().EnableAuthWithOptions("approle", &api.EnableAuthOptions{Type: "approle"}) // another test may have been first
	}
	for _, prefix := range []string{"read", "write", "audit"} {
		policy := unique(t, prefix)
		if err := client.Sys().PutPolicy(policy, `path "secret/data/`+policy+`" { capabilities = ["read"] }`); err != nil {
			t.Fatal(err)
		}
		s.entitlements = append(s.entitlements, "policy:"+policy)
	}
	group := unique(t, "team")
	if _, err := client.Logical().Write("identity/group", map[string]any{"name": group}); err != nil {
		t.Fatal(err)
	}
	s.entitlements = append(s.entitlements, "group:"+group)
	return s
}

func vaultClient(t *testing.T) *api.Client {
	t.Helper()
	server := testenv.Load(t).Vault
	config := api.DefaultConfig()
	config.Address = server.Address
	client, err := api.NewClient(config)
	if err != nil {
		t.Fatal(err)
	}
	client.SetToken(server.Token)
	return client
}

// scimSite configures the real server at url ("" for its own).
func scimSite(t *testing.T, name, url string) *site {
	t.Helper()
	server := testenv.Load(t).SCIM
	if url == "" {
		url = server.URL
	}
	s := newSite(t, name, fmt.Sprintf("scim {\n  name = %q\n  url = %q\n}\n", name, url), scim.Spec(scim.Standard),
		func() (driver.Driver, error) {
			return scim.Open(scim.Config{URL: server.URL, Auth: scim.Auth{Bearer: secret.New(server.Token)}})
		})
	s.admin = []secret.Value{secret.New(server.Token)}
	s.env = []string{"NHI_" + strings.ToUpper(name) + "_TOKEN=" + server.Token}
	for _, prefix := range []string{"Viewers", "Editors"} {
		name := unique(t, prefix)
		s.groupIDs = append(s.groupIDs, scimGroup(t, server, name))
		s.entitlements = append(s.entitlements, "group:"+name)
	}
	s.entitlements = append(s.entitlements, "role:auditor", "entitlement:invoices.read")
	return s
}

// scimRef is a member of a group, by its id.
type scimRef struct {
	Value string `json:"value"`
}

// scimGroup makes a group that is there while the test runs, and returns its id.
func scimGroup(t *testing.T, server testenv.SCIM, name string, members ...scimRef) string {
	t.Helper()
	body, err := json.Marshal(struct {
		Schemas     []string  `json:"schemas"`
		DisplayName string    `json:"displayName"`
		Members     []scimRef `json:"members,omitempty"`
	}{[]string{"urn:ietf:params:scim:schemas:core:2.0:Group"}, name, members})
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL+"/Groups", strings.NewReader(string(body)))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+server.Token)
	req.Header.Set("Content-Type", "application/scim+json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close() //nolint:errcheck // read to its end or not at all
	var made struct {
		ID string `json:"id"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&made); err != nil || resp.StatusCode != http.StatusCreated {
		t.Fatalf("create group: %s: %v", resp.Status, err)
	}
	t.Cleanup(func() { scimDo(t, http.MethodDelete, server, "/Groups/"+made.ID) })
	return made.ID
}

// kindSites makes one site of each kind that has a real server here.
func kindSites() map[string]func(t *testing.T) *site {
	return map[string]func(t *testing.T) *site{
		"sandbox":    func(t *testing.T) *site { return sandboxSite(t, "sandbox") },
		"postgresql": func(t *testing.T) *site { return postgresqlSite(t, "warehouse", "") },
		"vault":      func(t *testing.T) *site { return vaultSite(t, "secrets", "") },
		"scim":       func(t *testing.T) *site { return scimSite(t, "sap", "") },
	}
}

// parse reads one of the site's entitlements.
func (s *site) parse(text string) nhi.Entitlement {
	s.t.Helper()
	e, err := s.spec.Grammar.Parse(text)
	if err != nil {
		s.t.Fatal(err)
	}
	return e
}

// account reads an account by hand, which must exist.
func (s *site) account(name string) nhi.Account {
	s.t.Helper()
	a, err := s.hand.ReadAccount(s.t.Context(), nhi.Ref{Name: name})
	if err != nil {
		s.t.Fatalf("%s: read %s by hand: %v", s.name, name, err)
	}
	return a
}

// gone fails the test unless the platform says that it has no such account.
func (s *site) gone(name string) {
	s.t.Helper()
	a, err := s.hand.ReadAccount(s.t.Context(), nhi.Ref{Name: name})
	if err == nil {
		s.t.Errorf("%s: account %q is still there: %+v", s.name, name, a)
		return
	}
	if code := s.hand.Classify(err).Code; code != driver.NotFound {
		s.t.Errorf("%s: read %s by hand: %v (%s)", s.name, name, err, code)
	}
}

// holds fails the test unless the account holds exactly these entitlements.
func (s *site) holds(name string, texts ...string) {
	s.t.Helper()
	var want []nhi.Entitlement
	for _, text := range texts {
		want = append(want, s.parse(text))
	}
	got := s.account(name).Entitlements
	if nhi.JoinTexts(got) != nhi.JoinTexts(nhi.SortEntitlements(want)) {
		s.t.Errorf("%s: account %q holds %s, want %s", s.name, name, nhi.JoinTexts(got), nhi.JoinTexts(want))
	}
}

func (s *site) grantByHand(name, text string) {
	s.t.Helper()
	s.do(s.hand.Grant(s.t.Context(), nhi.Ref{Name: name}, []nhi.Entitlement{s.parse(text)}))
}

func (s *site) revokeByHand(name, text string) {
	s.t.Helper()
	s.do(s.hand.Revoke(s.t.Context(), nhi.Ref{Name: name}, []nhi.Entitlement{s.parse(text)}))
}

func (s *site) suspendByHand(name string) {
	s.t.Helper()
	suspender, ok := s.hand.(driver.Suspender)
	if !ok {
		s.t.Fatalf("%s cannot suspend", s.name)
	}
	s.do(suspender.Suspend(s.t.Context(), nhi.Ref{Name: name}))
}

func (s *site) deleteByHand(name string) {
	s.t.Helper()
	s.do(s.hand.DeleteAccount(s.t.Context(), nhi.Ref{Name: name}))
}

// foreign makes an account that nobody marked.
func (s *site) foreign(name string, holds ...string) {
	s.t.Helper()
	s.marked(name, nhi.Mark{Stack: "somebody", Identity: "else"})
	unmarked := nhi.Mark{}
	s.do(s.hand.UpdateAccount(s.t.Context(), nhi.Ref{Name: name}, driver.AccountChange{Mark: &unmarked}))
	for _, text := range holds {
		s.grantByHand(name, text)
	}
}

// marked makes an account with a mark, and removes it when the test ends.
func (s *site) marked(name string, mark nhi.Mark) {
	s.t.Helper()
	_, err := s.hand.CreateAccount(s.t.Context(), driver.AccountSpec{Name: name, Mark: mark})
	s.do(err)
	s.cleanup(name)
}

// cleanup removes an account when the test ends.
func (s *site) cleanup(name string) {
	s.t.Cleanup(func() { _ = s.hand.DeleteAccount(context.Background(), nhi.Ref{Name: name}) })
}

func (s *site) do(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatalf("%s: by hand: %v", s.name, err)
	}
}

// config writes a configuration with one identity and one grant over sites. holds gives the indexes of each site's
// entitlements.
type config struct {
	stack    string
	identity string
	// extra goes into nhi_identity, extraGrant into nhi_grant, extraProvider into the provider block.
	extra, extraGrant, extraProvider string
	accountExtra                     string
	sites                            []*site
	holds                            []int
	noGrant                          bool
}

func (c config) hcl() string {
	var b strings.Builder
	fmt.Fprintf(&b, "provider \"nhi\" {\n  stack = %q\n%s\n", c.stack, c.extraProvider)
	for _, s := range c.sites {
		b.WriteString(s.block())
	}
	fmt.Fprintf(&b, "}\n\nresource \"nhi_identity\" \"this\" {\n  name  = %q\n  kind  = \"ai_agent\"\n  owner = \"team@example.com\"\n%s\n",
		c.identity, c.extra)
	for _, s := range c.sites {
		fmt.Fprintf(&b, "  account {\n    platform = %q\n%s\n  }\n", s.name, c.accountExtra)
	}
	b.WriteString("}\n")
	if c.noGrant {
		return b.String()
	}
	b.WriteString("\nresource \"nhi_grant\" \"this\" {\n  identity = nhi_identity.this\n  entitlements = {\n")
	for _, s := range c.sites {
		var texts []string
		for _, i := range c.holds {
			texts = append(texts, strconv.Quote(s.entitlements[i]))
		}
		fmt.Fprintf(&b, "    %s = [%s]\n", s.name, strings.Join(texts, ", "))
	}
	fmt.Fprintf(&b, "  }\n%s\n}\n", c.extraGrant)
	return b.String()
}

// workspace makes a workspace with the sites' environment, and has the account removed when the test ends.
func (c config) workspace(t *testing.T) *Workspace {
	t.Helper()
	var env []string
	for _, s := range c.sites {
		env = append(env, s.env...)
		s.cleanup(c.identity)
	}
	w := NewWorkspace(t, env...)
	w.Configure(c.hcl())
	return w
}

// texts returns some of the site's entitlements.
func (s *site) texts(indexes ...int) []string {
	var out []string
	for _, i := range indexes {
		out = append(out, s.entitlements[i])
	}
	return out
}

// replaceOnce replaces a text that must be there.
func replaceOnce(t *testing.T, in, from, to string) string {
	t.Helper()
	if !strings.Contains(in, from) {
		t.Fatalf("%q lacks %q", in, from)
	}
	return strings.Replace(in, from, to, 1)
}
