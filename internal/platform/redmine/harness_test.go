package redmine

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/driver/drivertest"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
	"github.com/nhi-labs/terraform-provider-nhi/internal/secret"
	"github.com/nhi-labs/terraform-provider-nhi/internal/testenv"
)

func TestConformance(t *testing.T) {
	t.Parallel()
	drivertest.Run(t, newServer(t))
}

// server is the real Redmine of the testbed, with an administrator who works by hand.
type server struct{ bed testenv.Redmine }

func newServer(t *testing.T) *server {
	t.Helper()
	return &server{testenv.Load(t).Redmine}
}

func (s *server) config() Config {
	return Config{URL: s.bed.URL, APIKey: secret.New(s.bed.APIKey), PageSize: 10}
}

func open(t *testing.T, config Config) *client {
	t.Helper()
	d, err := Open(config)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	c, ok := d.(*client)
	if !ok {
		t.Fatalf("Open returns %T", d)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// answer is the part of Redmine's answers that the administrator by hand looks at.
type answer struct {
	User struct {
		ID     int    `json:"id"`
		APIKey string `json:"api_key"`
	} `json:"user"`
	Users []struct {
		ID    int    `json:"id"`
		Login string `json:"login"`
	} `json:"users"`
	Groups  []named `json:"groups"`
	Group   named   `json:"group"`
	Roles   []named `json:"roles"`
	Project project `json:"project"`
}

// call sends a request as the administrator. It works in cleanups, too, when the test's context has ended.
func (s *server) call(t *testing.T, method, path, body string) answer {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 2*time.Minute)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, method, s.bed.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("X-Redmine-Api-Key", s.bed.APIKey)
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode > 299 {
		t.Fatalf("%s %s: %s %s %v", method, path, response.Status, content, err)
	}
	var a answer
	if len(bytes.TrimSpace(content)) > 0 {
		if err := json.Unmarshal(content, &a); err != nil {
			t.Fatal(err)
		}
	}
	return a
}

func unique(prefix string) string { return prefix + strings.ToLower(rand.Text()[:12]) }

func encode(t *testing.T, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func (s *server) Spec() driver.Spec { return Spec() }

func (s *server) Open(t *testing.T) driver.Driver { return open(t, s.config()) }

func (s *server) project(t *testing.T, more string) project {
	t.Helper()
	n := unique("p-")
	return s.call(t, "POST", "/projects.json", fmt.Sprintf(`{"project":{"name":%q,"identifier":%q%s}}`, n, n, more)).Project
}

func (s *server) group(t *testing.T, members ...int) named {
	t.Helper()
	return s.call(t, "POST", "/groups.json", fmt.Sprintf(`{"group":{"name":%q,"user_ids":%s}}`, unique("Group #1: "), encode(t, members))).Group
}

func (s *server) Entitlements(t *testing.T, n int) []nhi.Entitlement {
	t.Helper()
	es := make([]nhi.Entitlement, n)
	var last project
	for i := range es {
		switch i % 5 {
		case 0:
			last = s.project(t, "")
			es[i] = nhi.Entitlement{Type: typeProject, Target: last.Identifier, Permission: "Developer"}
		case 1:
			es[i] = nhi.Entitlement{Type: typeGroup, Target: s.group(t).Name}
		default: // Other roles of the same membership.
			es[i] = nhi.Entitlement{Type: typeProject, Target: last.Identifier, Permission: []string{"Reporter", "Manager", "Auditor"}[i%5-2]}
		}
	}
	return es
}

func (s *server) SharedEntitlement(t *testing.T) nhi.Entitlement {
	t.Helper()
	return nhi.Entitlement{Type: typeGroup, Target: s.group(t).Name}
}

func (s *server) Foreign(t *testing.T, name string, holds ...nhi.Entitlement) {
	t.Helper()
	s.user(t, name)
	for _, e := range holds {
		s.GrantByHand(t, name, e)
	}
}

func (s *server) user(t *testing.T, name string) answer {
	t.Helper()
	return s.call(t, "POST", "/users.json", fmt.Sprintf(
		`{"user":{"login":%q,"firstname":"F","lastname":"L","mail":"%s@example.com","password":%q}}`, name, unique("m"), rand.Text()+"aA1!"))
}

func (s *server) idOf(t *testing.T, name string) int {
	t.Helper()
	for _, u := range s.call(t, "GET", "/users.json?status=&limit=100&name="+name, "").Users {
		if u.Login == name {
			return u.ID
		}
	}
	t.Fatalf("no user %q", name)
	return 0
}

func (s *server) GrantByHand(t *testing.T, name string, e nhi.Entitlement) {
	t.Helper()
	id := s.idOf(t, name)
	if e.Type == typeGroup {
		for _, g := range s.call(t, "GET", "/groups.json", "").Groups {
			if g.Name == e.Target {
				s.call(t, "POST", "/groups/"+strconv.Itoa(g.ID)+"/users.json", fmt.Sprintf(`{"user_id":%d}`, id))
				return
			}
		}
		t.Fatalf("no group %q", e.Target)
	}
	for _, r := range s.call(t, "GET", "/roles.json", "").Roles {
		if r.Name == e.Permission {
			s.call(t, "POST", "/projects/"+e.Target+"/memberships.json", fmt.Sprintf(`{"membership":{"user_id":%d,"role_ids":[%d]}}`, id, r.ID))
		}
	}
}

func (s *server) MissingEntitlement(*testing.T) (nhi.Entitlement, bool) {
	return nhi.Entitlement{Type: typeProject, Target: unique("absent-"), Permission: "Developer"}, true
}

func (s *server) HostileNames() []string {
	return []string{
		unique("a@"), unique("@"), unique("."), unique("-"), unique("A"), unique("a") + "@example.com", "current", "me", "1", "admin",
		unique("new"), unique("x") + strings.Repeat("y", 47), unique("x") + strings.Repeat("y", 48), unique("x") + ".json",
	}
}

func (s *server) Settings() map[string]string {
	return map[string]string{settingFirstName: "Billing", settingLastName: "Agent Ω <&>"}
}

func (s *server) Secrets() []secret.Value { return []secret.Value{secret.New(s.bed.APIKey)} }

func (s *server) Many() int { return 25 }

func (s *server) Unsupported() map[string]string { return nil }

func (s *server) WithFault(t *testing.T, fault drivertest.Fault) driver.Driver {
	t.Helper()
	config := s.config()
	switch fault {
	case drivertest.Refused:
		listener := listen(t)
		config.URL = "http://" + listener.Addr().String()
		_ = listener.Close()
	case drivertest.Silent:
		config.URL = "http://" + listen(t).Addr().String()
	case drivertest.WrongCredentials:
		config.APIKey = secret.New("wrong-" + rand.Text())
	case drivertest.MissingRights:
		config.APIKey = s.plainKey(t)
	default:
		server := httptest.NewServer(s.proxy(fault))
		t.Cleanup(server.Close)
		config.URL = server.URL
	}
	return open(t, config)
}

// listen returns a listener whose connections are never answered.
func listen(t *testing.T) net.Listener {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	return listener
}

// plainKey is the API key of a user without rights.
func (s *server) plainKey(t *testing.T) secret.Value {
	t.Helper()
	id := s.user(t, unique("plain-")).User.ID
	t.Cleanup(func() { s.call(t, "DELETE", "/users/"+strconv.Itoa(id)+".json", "") })
	return secret.New(s.call(t, "GET", "/users/"+strconv.Itoa(id)+".json", "").User.APIKey)
}

// proxy answers in the place of Redmine.
func (s *server) proxy(fault drivertest.Fault) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		switch fault {
		case drivertest.Malformed:
			w.Header().Set("Content-Type", "text/html")
			_, _ = io.WriteString(w, "<html>It works!</html>")
		case drivertest.EmptyAnswers:
			_, _ = io.WriteString(w, "{}")
		case drivertest.Overloaded:
			w.WriteHeader(http.StatusServiceUnavailable)
		case drivertest.Cut:
			s.cut(w, r)
		}
	}
}

// cut gives half of Redmine's own answer.
func (s *server) cut(w http.ResponseWriter, r *http.Request) {
	request := r.Clone(r.Context())
	request.RequestURI, request.Host = "", ""
	request.URL.Scheme, request.URL.Host = "http", strings.TrimPrefix(s.bed.URL, "http://")
	request.Header.Del("Accept-Encoding")
	response, err := http.DefaultTransport.RoundTrip(request)
	if err != nil {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	defer response.Body.Close()
	body, _ := io.ReadAll(response.Body)
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(response.StatusCode)
	_, _ = w.Write(body[:len(body)/2])
}
