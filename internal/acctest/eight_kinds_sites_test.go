package acctest

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"

	goldap "github.com/go-ldap/ldap/v3"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/platform/kubernetes"
	"github.com/nhi-labs/terraform-provider-nhi/internal/platform/ldap"
	"github.com/nhi-labs/terraform-provider-nhi/internal/platform/mysql"
	"github.com/nhi-labs/terraform-provider-nhi/internal/platform/oauthclient"
	"github.com/nhi-labs/terraform-provider-nhi/internal/platform/redmine"
	"github.com/nhi-labs/terraform-provider-nhi/internal/secret"
	"github.com/nhi-labs/terraform-provider-nhi/internal/testenv"
)

// The sites of this file have two entitlements each, a and b.

// mysqlSite configures the real MariaDB.
func mysqlSite(t *testing.T, name string) *site {
	t.Helper()
	server := testenv.Load(t).MySQL
	s := newSite(t, name, fmt.Sprintf("mysql {\n  name = %q\n  host = %q\n  port = %d\n  username = %q\n  ca_cert_file = %q\n}\n",
		name, server.Host, server.Port, server.Username, server.CAFile), mysql.Spec(),
		func() (driver.Driver, error) {
			return mysql.Open(mysql.Config{Host: server.Host, Port: server.Port, Username: server.Username,
				Password: secret.New(server.Password), CAFile: server.CAFile})
		})
	s.admin = []secret.Value{secret.New(server.Password)}
	s.env = []string{"NHI_" + strings.ToUpper(name) + "_PASSWORD=" + server.Password}
	database := strings.ReplaceAll(unique(t, "shop"), "-", "_")
	mysqlRun(t, "CREATE DATABASE "+database+"; CREATE TABLE "+database+".orders (id int)")
	t.Cleanup(func() { mysqlRun(t, "DROP DATABASE "+database) })
	s.entitlements = []string{"table:" + database + ".orders#select", "table:" + database + ".orders#insert"}
	return s
}

// ldapSite configures the real OpenLDAP; address may be that of a gate in front of it ("" for its own).
func ldapSite(t *testing.T, name, address string) *site {
	t.Helper()
	server := testenv.Load(t).LDAP
	direct := net.JoinHostPort(server.Host, strconv.Itoa(server.Port))
	if address == "" {
		address = direct
	}
	base := "ou=accounts," + server.BaseDN
	s := newSite(t, name, fmt.Sprintf(
		"ldap {\n  name = %q\n  dialect = \"openldap\"\n  url = %q\n  bind_dn = %q\n  base_dn = %q\n  ca_cert_file = %q\n}\n",
		name, "ldaps://"+address, server.BindDN, base, server.CAFile), ldap.Spec(ldap.OpenLDAP),
		func() (driver.Driver, error) {
			return ldap.Open(ldap.Config{Dialect: ldap.OpenLDAP, URL: "ldaps://" + direct, CAFile: server.CAFile,
				BindDN: server.BindDN, Password: secret.New(server.Password), BaseDN: base})
		})
	s.admin = []secret.Value{secret.New(server.Password)}
	s.env = []string{"NHI_" + strings.ToUpper(name) + "_PASSWORD=" + server.Password}
	for _, prefix := range []string{"readers", "writers"} {
		s.entitlements = append(s.entitlements, "group:"+ldapGroup(t, server, unique(t, prefix)))
	}
	return s
}

// ldapGroup makes a group that is there while the test runs, and returns its DN.
func ldapGroup(t *testing.T, server testenv.Directory, name string) string {
	t.Helper()
	group := "cn=" + name + ",ou=groups," + server.BaseDN
	add := goldap.NewAddRequest(group, nil)
	add.Attribute("objectClass", []string{"groupOfNames"})
	add.Attribute("member", []string{server.RootDN})
	ldapRoot(t, server, func(conn *goldap.Conn) error { return conn.Add(add) })
	t.Cleanup(func() {
		ldapRoot(t, server, func(conn *goldap.Conn) error { return conn.Del(goldap.NewDelRequest(group, nil)) })
	})
	return group
}

// ldapRoot does something as the administrator of the directory.
func ldapRoot(t *testing.T, server testenv.Directory, do func(conn *goldap.Conn) error) {
	t.Helper()
	conn, err := goldap.DialURL("ldaps://"+net.JoinHostPort(server.Host, strconv.Itoa(server.Port)),
		goldap.DialWithTLSConfig(&tls.Config{RootCAs: authorities(t, server.CAFile)}))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close() //nolint:errcheck // a test's own connection
	if err := conn.Bind(server.RootDN, server.RootPassword); err != nil {
		t.Fatal(err)
	}
	if err := do(conn); err != nil {
		t.Fatal(err)
	}
}

// kubernetesSite configures the real API server. The namespaces are those of the examples: there is no controller that would
// remove others.
func kubernetesSite(t *testing.T, name string) *site {
	t.Helper()
	server := testenv.Load(t).Kubernetes
	kubernetesExample(t, nil)
	s := newSite(t, name, fmt.Sprintf("kubernetes {\n  name = %q\n  host = %q\n  namespace = \"agents\"\n  ca_cert_file = %q\n}\n",
		name, server.Address, server.CAFile), kubernetes.SpecIn("agents"),
		func() (driver.Driver, error) {
			return kubernetes.Open(kubernetes.Config{Host: server.Address, Token: secret.New(server.Token), CACertFile: server.CAFile,
				Namespace: "agents"})
		})
	s.admin = []secret.Value{secret.New(server.Token)}
	s.env = []string{"NHI_" + strings.ToUpper(name) + "_TOKEN=" + server.Token}
	const roles = "/apis/rbac.authorization.k8s.io/v1/namespaces/billing/roles"
	for _, verb := range []string{"get", "list"} {
		role := unique(t, verb)
		kubernetesMake(t, roles, fmt.Sprintf(`{"metadata":{"name":%q},"rules":[{"apiGroups":[""],"resources":["configmaps"],"verbs":[%q]}]}`,
			role, verb))
		t.Cleanup(func() { kubernetesDo(t, http.MethodDelete, roles+"/"+role, "", http.StatusOK) })
		s.entitlements = append(s.entitlements, "namespace:billing#role:"+role)
	}
	return s
}

// redmineSite configures the real Redmine at url ("" for its own).
func redmineSite(t *testing.T, name, url string) *site {
	t.Helper()
	s, server := redmineHand(t, name, url), testenv.Load(t).Redmine
	project := unique(t, "billing")
	redmineDo(t, server, http.MethodPost, "/projects.json", fmt.Sprintf(`{"project":{"name":%q,"identifier":%q}}`, project, project))
	t.Cleanup(func() { redmineDo(t, server, http.MethodDelete, "/projects/"+project+".json", "") })
	s.entitlements = []string{"project:" + project + "#Reporter", "project:" + project + "#Developer"}
	return s
}

// redmineHand is redmineSite without anything to be given there.
func redmineHand(t *testing.T, name, url string) *site {
	t.Helper()
	server := testenv.Load(t).Redmine
	if url == "" {
		url = server.URL
	}
	s := newSite(t, name, fmt.Sprintf("redmine {\n  name = %q\n  url = %q\n}\n", name, url), redmine.Spec(),
		func() (driver.Driver, error) {
			return redmine.Open(redmine.Config{URL: server.URL, APIKey: secret.New(server.APIKey)})
		})
	s.admin = []secret.Value{secret.New(server.APIKey)}
	s.env = []string{"NHI_" + strings.ToUpper(name) + "_API_KEY=" + server.APIKey}
	return s
}

// redmineDo sends one request as the administrator. It must succeed, or be answered with one of the statuses in also.
func redmineDo(t *testing.T, server testenv.Redmine, method, path, body string, also ...int) {
	t.Helper()
	req, err := http.NewRequestWithContext(context.WithoutCancel(t.Context()), method, server.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Redmine-Api-Key", server.APIKey)
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close() //nolint:errcheck // read to its end
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode >= 300 && !slices.Contains(also, resp.StatusCode) {
		t.Fatalf("%s %s: %s %s %v", method, path, resp.Status, text, err)
	}
}

// oauthSite configures the real authorization server. Its registry is in store, under a path of its own.
func oauthSite(t *testing.T, name string, store *site) *site {
	t.Helper()
	server, path := testenv.Load(t).OAuth, "secret/"+unique(t, "registry")
	s := newSite(t, name, fmt.Sprintf("oauth_client {\n  name = %q\n  issuer = %q\n  registry_platform = %q\n  registry_path = %q\n}\n",
		name, server.Issuer, store.name, path), oauthclient.Spec(),
		func() (driver.Driver, error) {
			return oauthclient.Open(oauthclient.Config{Issuer: server.Issuer, InitialAccessToken: secret.New(server.InitialAccessToken),
				Registry: registry{store.secrets(), store}, RegistryPath: path})
		})
	s.admin = []secret.Value{secret.New(server.InitialAccessToken)}
	s.env = []string{"NHI_" + strings.ToUpper(name) + "_INITIAL_ACCESS_TOKEN=" + server.InitialAccessToken}
	s.entitlements = []string{"scope:tickets:read", "scope:tickets:write"}
	return s
}

// registry is a store as a driver gets it from the provider: its errors are classified.
type registry struct {
	driver.SecretStore
	store *site
}

func (r registry) ID(context.Context) (string, error) { return r.store.name, nil }

func (r registry) PutSecret(ctx context.Context, path string, stored driver.StoredSecret) (int64, error) {
	version, err := r.SecretStore.PutSecret(ctx, path, stored)
	return version, r.known(err)
}

func (r registry) MayPutSecret(context.Context, string, driver.StoredSecret) error { return nil }

func (r registry) GetSecret(ctx context.Context, path string) (driver.StoredSecret, error) {
	stored, err := r.SecretStore.GetSecret(ctx, path)
	return stored, r.known(err)
}

func (r registry) RemoveSecret(ctx context.Context, path string) error {
	return r.known(r.SecretStore.RemoveSecret(ctx, path))
}

func (r registry) known(err error) error {
	if err == nil {
		return nil
	}
	return &driver.Error{Verdict: r.store.hand.Classify(err), Err: err}
}
