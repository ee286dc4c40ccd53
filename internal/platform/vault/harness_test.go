package vault_test

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/driver/drivertest"
	"github.com/nhi-labs/terraform-provider-nhi/internal/driver/drivertest/netfault"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
	"github.com/nhi-labs/terraform-provider-nhi/internal/platform/vault"
	"github.com/nhi-labs/terraform-provider-nhi/internal/secret"
	"github.com/nhi-labs/terraform-provider-nhi/internal/testenv"
)

func TestConformance(t *testing.T) {
	drivertest.Run(t, newServer(t))
}

// server is the real Vault of the testbed. It speaks plain HTTP to it, not through the driver.
type server struct {
	address, token string
	mount, kv      string
}

// mounts are the auth and secret mounts of this test process, made once.
var mounts = struct {
	once        sync.Once
	approle, kv string
}{}

func newServer(t *testing.T) *server {
	t.Helper()
	env := testenv.Load(t).Vault
	s := &server{address: env.Address, token: env.Token}
	mounts.once.Do(func() {
		mounts.approle, mounts.kv = random("approle"), random("team")+"/kv"
		s.call(t, http.MethodPost, "sys/auth/"+mounts.approle, `{"type":"approle"}`)
		s.call(t, http.MethodPost, "sys/mounts/"+mounts.kv, `{"type":"kv","options":{"version":"2"}}`)
	})
	s.mount, s.kv = mounts.approle, mounts.kv
	return s
}

func random(prefix string) string { return prefix + "-" + strings.ToLower(rand.Text()[:10]) }

// answer is what the tests read of Vault's answers.
type answer struct {
	Data struct {
		ID              string            `json:"id"`
		Name            string            `json:"name"`
		Accessor        string            `json:"accessor"`
		RoleID          string            `json:"role_id"`
		SecretID        string            `json:"secret_id"`
		Metadata        map[string]string `json:"metadata"`
		Policies        []string          `json:"policies"`
		TokenPolicies   []string          `json:"token_policies"`
		MemberEntityIDs []string          `json:"member_entity_ids"`
		Keys            []string          `json:"keys"`
	} `json:"data"`
	Auth struct {
		ClientToken string `json:"client_token"`
	} `json:"auth"`
}

// try sends one request and returns status and body.
func (s *server) try(t *testing.T, token, method, path, body string) (int, []byte) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, s.address+"/v1/"+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X-Vault-Token", token)
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, text
}

// call sends one request that must succeed.
func (s *server) call(t *testing.T, method, path, body string) answer {
	t.Helper()
	status, text := s.try(t, s.token, method, path, body)
	if status >= 300 {
		t.Fatalf("%s %s: status %d: %s", method, path, status, text)
	}
	var out answer
	if len(text) > 0 {
		if err := json.Unmarshal(text, &out); err != nil {
			t.Fatalf("%s %s: %v: %s", method, path, err, text)
		}
	}
	return out
}

func (s *server) role(name string) string { return "auth/" + s.mount + "/role/" + name }

func encode(t *testing.T, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func (s *server) config() vault.Config {
	return vault.Config{Address: s.address, Token: secret.New(s.token), AppRoleMount: s.mount}
}

func (s *server) open(t *testing.T, cfg vault.Config) driver.Driver {
	t.Helper()
	d, err := vault.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return d
}

func (s *server) Spec() driver.Spec { return vault.Spec() }

func (s *server) Open(t *testing.T) driver.Driver { return s.open(t, s.config()) }

func (s *server) Entitlements(t *testing.T, n int) []nhi.Entitlement {
	var out []nhi.Entitlement
	for i := range n {
		if i%2 == 0 {
			out = append(out, s.policy(t))
		} else {
			out = append(out, s.group(t))
		}
	}
	return out
}

func (s *server) policy(t *testing.T) nhi.Entitlement {
	t.Helper()
	e := nhi.Entitlement{Type: "policy", Target: random("read")}
	s.call(t, http.MethodPut, "sys/policies/acl/"+e.Target, `{"policy":"path \"secret/data/x\" { capabilities = [\"read\"] }"}`)
	return e
}

// group makes a group whose name would be harmful in a path.
func (s *server) group(t *testing.T) nhi.Entitlement {
	t.Helper()
	e := nhi.Entitlement{Type: "group", Target: "Billing/../" + random("Readers") + "#1 ?x=é"}
	s.call(t, http.MethodPost, "identity/group", encode(t, map[string]string{"name": e.Target}))
	return e
}

func (s *server) SharedEntitlement(t *testing.T) nhi.Entitlement { return s.group(t) }

func (s *server) Foreign(t *testing.T, name string, holds ...nhi.Entitlement) {
	t.Helper()
	s.call(t, http.MethodPost, s.role(name), `{}`)
	roleID := s.call(t, http.MethodGet, s.role(name)+"/role-id", "").Data.RoleID
	entity := s.call(t, http.MethodPost, "identity/entity",
		encode(t, map[string]any{"name": name, "metadata": map[string]string{"team": "billing"}})).Data.ID
	mount := s.call(t, http.MethodGet, "sys/internal/ui/mounts/auth/"+s.mount, "").Data.Accessor
	s.call(t, http.MethodPost, "identity/entity-alias",
		encode(t, map[string]string{"name": roleID, "canonical_id": entity, "mount_accessor": mount}))
	for _, e := range holds {
		s.GrantByHand(t, name, e)
	}
}

func (s *server) GrantByHand(t *testing.T, name string, e nhi.Entitlement) {
	t.Helper()
	entity := s.call(t, http.MethodPost, "identity/lookup/entity", encode(t, map[string]string{"name": name})).Data
	if e.Type == "policy" {
		s.call(t, http.MethodPost, "identity/entity/id/"+entity.ID,
			encode(t, map[string][]string{"policies": append(entity.Policies, e.Target)}))
		return
	}
	group := s.call(t, http.MethodPost, "identity/lookup/group", encode(t, map[string]string{"name": e.Target})).Data
	s.call(t, http.MethodPost, "identity/group/id/"+group.ID,
		encode(t, map[string][]string{"member_entity_ids": append(group.MemberEntityIDs, entity.ID)}))
}

func (s *server) MissingEntitlement(*testing.T) (nhi.Entitlement, bool) {
	return nhi.Entitlement{Type: "policy", Target: random("missing")}, true
}

func (s *server) HostileNames() []string {
	return []string{"login", "role-id", "a/secret-id", "a..b", "UPPER", "-a", "a-", "a.", "entity_0", "x%2Frole-id", "x/../y"}
}

func (s *server) Settings() map[string]string {
	return map[string]string{
		"token_ttl": "1800s", "token_max_ttl": "7200s", "secret_id_ttl": "864000s", "token_bound_cidrs": "127.0.0.0/8,192.0.2.7",
	}
}

func (s *server) SecretPath(name string) string { return s.kv + "/billing agent/" + name + "?#%2e" }

func (s *server) Secrets() []secret.Value { return []secret.Value{secret.New(s.token)} }

func (s *server) Many() int { return 40 }

func (s *server) Unsupported() map[string]string { return nil }

func (s *server) WithFault(t *testing.T, fault drivertest.Fault) driver.Driver {
	t.Helper()
	cfg := s.config()
	switch fault {
	case drivertest.Refused:
		cfg.Address = "http://" + netfault.ClosedPort(t)
	case drivertest.Silent:
		cfg.Address = "http://" + silentPort(t)
	case drivertest.WrongCredentials:
		cfg.Token = secret.New("hvs.wrong")
	case drivertest.MissingRights:
		cfg.Token = s.readerToken(t)
	case drivertest.Cut:
		cfg.Address = s.proxy(t, cut)
	case drivertest.Malformed:
		cfg.Address = always(t, http.StatusNotFound, "text/html", "<html><body>404 Not Found</body></html>")
	case drivertest.EmptyAnswers:
		cfg.Address = always(t, http.StatusOK, "application/json", `{"data":{}}`)
	case drivertest.Overloaded:
		cfg.Address = always(t, http.StatusTooManyRequests, "application/json", `{"errors":["rate limit quota exceeded"]}`)
	default:
		return nil
	}
	return s.open(t, cfg)
}

// readerToken returns a token that may read the AppRoles of the mount and do nothing else.
func (s *server) readerToken(t *testing.T) secret.Value {
	t.Helper()
	name := random("reader")
	s.call(t, http.MethodPut, "sys/policies/acl/"+name, encode(t, map[string]string{
		"policy": `path "auth/` + s.mount + `/role/*" { capabilities = ["read","list"] }`,
	}))
	made := s.call(t, http.MethodPost, "auth/token/create", encode(t, map[string]any{"policies": []string{name}}))
	return secret.New(made.Auth.ClientToken)
}

// silentPort accepts connections and never answers.
func silentPort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var open []net.Conn
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			open = append(open, c)
			mu.Unlock()
		}
	}()
	t.Cleanup(func() {
		_ = l.Close()
		mu.Lock()
		defer mu.Unlock()
		for _, c := range open {
			_ = c.Close()
		}
	})
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
func (s *server) proxy(t *testing.T, change func(http.Handler) http.Handler) string {
	t.Helper()
	target, err := url.Parse(s.address)
	if err != nil {
		t.Fatal(err)
	}
	p := httptest.NewServer(change(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) }}))
	t.Cleanup(p.Close)
	return p.URL
}

// cut announces the whole answer and breaks off in its middle.
func cut(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
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

// counter counts the requests that pass.
type counter struct {
	mu    sync.Mutex
	paths []string
}

func (c *counter) count(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.mu.Lock()
		c.paths = append(c.paths, r.Method+" "+r.URL.Path)
		c.mu.Unlock()
		next.ServeHTTP(w, r)
	})
}

// since returns the requests after the first n.
func (c *counter) since(n int) []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.paths[n:])
}
