package kubernetes_test

import (
	"bytes"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/driver/drivertest"
	"github.com/nhi-labs/terraform-provider-nhi/internal/driver/drivertest/netfault"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
	"github.com/nhi-labs/terraform-provider-nhi/internal/platform/kubernetes"
	"github.com/nhi-labs/terraform-provider-nhi/internal/secret"
	"github.com/nhi-labs/terraform-provider-nhi/internal/testenv"
)

func TestConformance(t *testing.T) {
	t.Parallel()
	drivertest.Run(t, newCluster(t))
}

// cluster is the real API server of the testbed. It speaks plain HTTP to it, not through the driver.
type cluster struct {
	env    testenv.Kubernetes
	client *http.Client
	// namespace is that of this test process, work another one with roles to grant.
	namespace, work string
}

var made = struct {
	once            sync.Once
	namespace, work string
}{}

func newCluster(t *testing.T) *cluster {
	t.Helper()
	env := testenv.Load(t).Kubernetes
	authority, err := os.ReadFile(env.CAFile)
	must(t, err)
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(authority)
	c := &cluster{env: env, client: &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}}}
	made.once.Do(func() {
		made.namespace, made.work = random("agents"), random("billing")
		c.newNamespace(t, made.namespace)
		c.newNamespace(t, made.work)
	})
	c.namespace, c.work = made.namespace, made.work
	return c
}

func (c *cluster) newNamespace(t *testing.T, name string) {
	t.Helper()
	c.call(t, http.MethodPost, "api/v1/namespaces", manifest{"metadata": manifest{"name": name}})
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func random(prefix string) string { return prefix + "-" + strings.ToLower(rand.Text()[:10]) }

// manifest is an object as people write it.
type manifest map[string]any

// answer is what the tests read of the server's objects.
type answer struct {
	Metadata struct {
		Name            string            `json:"name"`
		UID             string            `json:"uid"`
		ResourceVersion string            `json:"resourceVersion"`
		Annotations     map[string]string `json:"annotations"`
		Labels          map[string]string `json:"labels"`
	} `json:"metadata"`
	Subjects []subject `json:"subjects"`
	Items    []struct {
		Metadata struct {
			Name string `json:"name"`
		} `json:"metadata"`
	} `json:"items"`
	Status json.RawMessage `json:"status"`
}

type subject struct {
	Kind      string `json:"kind"`
	Name      string `json:"name"`
	Namespace string `json:"namespace,omitempty"`
	APIGroup  string `json:"apiGroup,omitempty"`
}

// try sends one request with a token and returns status and body.
func (c *cluster) try(t *testing.T, token, method, path string, body any) (int, []byte) {
	t.Helper()
	text, err := json.Marshal(body)
	must(t, err)
	r, err := http.NewRequestWithContext(t.Context(), method, c.env.Address+"/"+path, bytes.NewReader(text))
	must(t, err)
	r.Header.Set("Authorization", "Bearer "+token)
	r.Header.Set("Content-Type", "application/json")
	if method == http.MethodPatch {
		r.Header.Set("Content-Type", "application/merge-patch+json")
	}
	response, err := c.client.Do(r)
	must(t, err)
	defer func() { _ = response.Body.Close() }()
	out, err := io.ReadAll(response.Body)
	must(t, err)
	return response.StatusCode, out
}

// call sends one request as the administrator that must succeed.
func (c *cluster) call(t *testing.T, method, path string, body any) answer {
	t.Helper()
	status, text := c.try(t, c.env.Token, method, path, body)
	if status >= 300 {
		t.Fatalf("%s %s: status %d: %s", method, path, status, text)
	}
	var out answer
	if err := json.Unmarshal(text, &out); err != nil {
		t.Fatalf("%s %s: %v: %s", method, path, err, text)
	}
	return out
}

const rbacAPI = "apis/rbac.authorization.k8s.io/v1/"

func (c *cluster) config() kubernetes.Config {
	return kubernetes.Config{
		Host: c.env.Address, Token: secret.New(c.env.Token), CACertFile: c.env.CAFile, Namespace: c.namespace, PageSize: 30,
	}
}

func (c *cluster) open(t *testing.T, cfg kubernetes.Config) driver.Driver {
	t.Helper()
	d, err := kubernetes.Open(cfg)
	must(t, err)
	t.Cleanup(func() { must(t, d.Close()) })
	return d
}

// Spec leaves out the names in namespaces that do not exist: the suite makes up such.
func (c *cluster) Spec() driver.Spec {
	spec := kubernetes.SpecIn(c.namespace)
	check := spec.CheckAccountName
	spec.CheckAccountName = func(name string) error {
		if namespace, _, found := strings.Cut(name, "/"); found && namespace != c.work {
			return errors.New("there is no such namespace")
		}
		return check(name)
	}
	return spec
}

func (c *cluster) Open(t *testing.T) driver.Driver { return c.open(t, c.config()) }

func (c *cluster) Entitlements(t *testing.T, n int) []nhi.Entitlement {
	var out []nhi.Entitlement
	for i := range n {
		switch i % 3 {
		case 0:
			out = append(out, c.clusterRole(t))
		case 1:
			out = append(out, c.role(t, random("deployer")+"#1"))
		default:
			e := c.clusterRole(t)
			out = append(out, nhi.Entitlement{Type: "namespace", Target: c.work, Permission: "clusterrole:" + e.Target})
		}
	}
	return out
}

var readOnly = listing("configmaps")

func listing(resource string) []manifest {
	return []manifest{{"apiGroups": []string{""}, "resources": []string{resource}, "verbs": []string{"get", "list"}}}
}

func (c *cluster) clusterRole(t *testing.T) nhi.Entitlement {
	t.Helper()
	name := "system:nhi:" + random("reader") + " ü"
	c.call(t, http.MethodPost, rbacAPI+"clusterroles", manifest{"metadata": manifest{"name": name}, "rules": readOnly})
	return nhi.Entitlement{Type: "clusterrole", Target: name}
}

// role makes a Role in the work namespace.
func (c *cluster) role(t *testing.T, name string) nhi.Entitlement {
	return c.roleWith(t, name, readOnly)
}

// rareRole makes a Role with a right that no other test gives to all accounts.
func (c *cluster) rareRole(t *testing.T) nhi.Entitlement {
	return c.roleWith(t, random("rare"), listing("limitranges"))
}

func (c *cluster) roleWith(t *testing.T, name string, rules []manifest) nhi.Entitlement {
	t.Helper()
	c.call(t, http.MethodPost, rbacAPI+"namespaces/"+c.work+"/roles", manifest{"metadata": manifest{"name": name}, "rules": rules})
	e, err := kubernetes.Spec().Grammar.Parse("namespace:" + c.work + "#role:" + name)
	must(t, err)
	return e
}

func (c *cluster) SharedEntitlement(t *testing.T) nhi.Entitlement { return c.role(t, random("shared")) }

func (c *cluster) Foreign(t *testing.T, name string, holds ...nhi.Entitlement) {
	t.Helper()
	c.call(t, http.MethodPost, "api/v1/namespaces/"+c.namespace+"/serviceaccounts",
		manifest{"metadata": manifest{"name": name, "labels": manifest{"team": "billing"}}})
	for _, e := range holds {
		c.GrantByHand(t, name, e)
	}
}

// GrantByHand makes a binding that somebody else also is in.
func (c *cluster) GrantByHand(t *testing.T, name string, e nhi.Entitlement) {
	t.Helper()
	c.bindByHand(t, e, subject{Kind: "ServiceAccount", Namespace: c.namespace, Name: name}, subject{Kind: "User", Name: "jane"})
}

// bindByHand makes a binding and returns its path.
func (c *cluster) bindByHand(t *testing.T, e nhi.Entitlement, subjects ...subject) string {
	t.Helper()
	kind, role, path := "ClusterRole", e.Target, rbacAPI+"clusterrolebindings"
	if e.Type == "namespace" {
		namespace, permission, _ := strings.Cut(e.Target+"#"+e.Permission, "#")
		path = rbacAPI + "namespaces/" + namespace + "/rolebindings"
		kind, role, _ = strings.Cut(permission, ":")
		kind = map[string]string{"role": "Role", "clusterrole": "ClusterRole"}[kind]
	}
	for i := range subjects {
		if subjects[i].Kind != "ServiceAccount" {
			subjects[i].APIGroup = "rbac.authorization.k8s.io"
		}
	}
	name := random("by-hand")
	c.call(t, http.MethodPost, path, manifest{
		"metadata": manifest{"name": name}, "subjects": subjects,
		"roleRef": manifest{"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": role},
	})
	return path + "/" + name
}

func (c *cluster) MissingEntitlement(*testing.T) (nhi.Entitlement, bool) {
	return nhi.Entitlement{Type: "namespace", Target: c.work, Permission: "role:" + random("missing")}, true
}

func (c *cluster) HostileNames() []string {
	return []string{c.work + "/" + random("elsewhere"), c.namespace + "/x", "a/b/c", "a..b", "a.-b", "default", "token", "UPPER", "x/../y"}
}

func (c *cluster) Settings() map[string]string { return map[string]string{"automount_token": "false"} }

func (c *cluster) SecretPath(name string) string { return c.work + "/" + name }

func (c *cluster) Secrets() []secret.Value { return []secret.Value{secret.New(c.env.Token)} }

func (c *cluster) Many() int { return 40 }

func (c *cluster) Unsupported() map[string]string { return nil }

func (c *cluster) WithFault(t *testing.T, fault drivertest.Fault) driver.Driver {
	t.Helper()
	cfg := c.config()
	faulty := func(address string) { cfg.Host, cfg.CACertFile = address, "" }
	switch fault {
	case drivertest.Refused:
		faulty("http://" + netfault.ClosedPort(t))
	case drivertest.Silent:
		faulty("http://" + silentPort(t))
	case drivertest.WrongCredentials:
		cfg.Token = secret.New("wrong-" + rand.Text())
	case drivertest.MissingRights:
		cfg.Token = c.tokenWith(t, []manifest{
			{"apiGroups": []string{""}, "resources": []string{"serviceaccounts", "namespaces"}, "verbs": []string{"get", "list"}},
			{"apiGroups": []string{"rbac.authorization.k8s.io"}, "resources": []string{"*"}, "verbs": []string{"get", "list"}},
		})
	case drivertest.Cut:
		faulty(c.proxy(t, cut))
	case drivertest.Malformed:
		faulty(always(t, http.StatusNotFound, "text/html", "<html><body>404 Not Found</body></html>"))
	case drivertest.EmptyAnswers:
		faulty(always(t, http.StatusOK, "application/json", `{}`))
	case drivertest.Overloaded:
		faulty(always(t, http.StatusTooManyRequests, "application/json",
			`{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"TooManyRequests","details":{"retryAfterSeconds":7},"code":429}`))
	default:
		return nil
	}
	return c.open(t, cfg)
}

// tokenWith makes an administrator with the given rules in the whole cluster, and returns a token of it.
func (c *cluster) tokenWith(t *testing.T, rules []manifest) secret.Value {
	t.Helper()
	name := random("admin")
	c.call(t, http.MethodPost, rbacAPI+"clusterroles", manifest{"metadata": manifest{"name": name}, "rules": rules})
	token := c.tokenBoundTo(t, name, nhi.Entitlement{Type: "clusterrole", Target: name})
	c.waitUntilMay(t, token, "get", "serviceaccounts")
	return token
}

// tokenBoundTo makes an administrator that holds es, and returns a token of it.
func (c *cluster) tokenBoundTo(t *testing.T, name string, es ...nhi.Entitlement) secret.Value {
	t.Helper()
	c.call(t, http.MethodPost, "api/v1/namespaces/"+c.work+"/serviceaccounts", manifest{"metadata": manifest{"name": name}})
	for _, e := range es {
		c.bindByHand(t, e, subject{Kind: "ServiceAccount", Namespace: c.work, Name: name})
	}
	status, text := c.try(t, c.env.Token, http.MethodPost, "api/v1/namespaces/"+c.work+"/serviceaccounts/"+name+"/token",
		manifest{"spec": manifest{"expirationSeconds": 3600}})
	var made struct {
		Status struct {
			Token string `json:"token"`
		} `json:"status"`
	}
	if status >= 300 || json.Unmarshal(text, &made) != nil {
		t.Fatalf("token: status %d: %s", status, text)
	}
	return secret.New(made.Status.Token)
}

// waitUntilMay is waitUntilMayIn the work namespace.
func (c *cluster) waitUntilMay(t *testing.T, token secret.Value, verb, resource string) {
	t.Helper()
	c.waitUntilMayIn(t, token, c.work, verb, resource)
}

// waitUntilMayIn waits until the server's own watch of bindings has brought a right to where it decides. A resource can
// have its group behind it.
func (c *cluster) waitUntilMayIn(t *testing.T, token secret.Value, namespace, verb, resource string) {
	t.Helper()
	resource, group, _ := strings.Cut(resource, ".")
	question := manifest{"spec": manifest{"resourceAttributes": manifest{
		"namespace": namespace, "verb": verb, "resource": resource, "group": group,
	}}}
	for {
		_, body := c.try(t, token.Reveal(), http.MethodPost, "apis/authorization.k8s.io/v1/selfsubjectaccessreviews", question)
		if strings.Contains(string(body), `"allowed":true`) {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// silentPort accepts connections, in the kernel's queue, and never answers.
func silentPort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	t.Cleanup(func() { _ = l.Close() })
	return l.Addr().String()
}

// always answers every request alike.
func always(t *testing.T, status int, contentType, body string) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentType)
		w.Header().Set("Retry-After", "7")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}))
	t.Cleanup(s.Close)
	return s.URL
}

// proxy passes requests on to the real server through a middleware.
func (c *cluster) proxy(t *testing.T, change func(http.Handler) http.Handler) string {
	t.Helper()
	target, err := url.Parse(c.env.Address)
	must(t, err)
	p := httptest.NewServer(change(&httputil.ReverseProxy{
		Transport: c.client.Transport,
		Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(target) },
	}))
	t.Cleanup(p.Close)
	return p.URL
}

// cut announces the whole answer and breaks off in its middle.
func cut(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Header.Del("Accept-Encoding")
		whole := httptest.NewRecorder()
		next.ServeHTTP(whole, r)
		body := whole.Body.Bytes()
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Length", strconv.Itoa(max(len(body), 2)))
		w.WriteHeader(whole.Code)
		_, _ = io.Copy(w, bytes.NewReader(body[:len(body)/2]))
		panic(http.ErrAbortHandler)
	})
}
