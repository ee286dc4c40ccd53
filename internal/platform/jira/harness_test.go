package jira_test

import (
	"crypto/rand"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/driver/drivertest"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
	"github.com/nhi-labs/terraform-provider-nhi/internal/platform/internal/resttest"
	"github.com/nhi-labs/terraform-provider-nhi/internal/platform/jira"
	"github.com/nhi-labs/terraform-provider-nhi/internal/platform/jira/jirafake"
	"github.com/nhi-labs/terraform-provider-nhi/internal/secret"
)

const administrator = "admin@example.com"

// TestConformance runs the suite on the fake that Atlassian's document checks.
func TestConformance(t *testing.T) {
	t.Parallel()
	drivertest.Run(t, newHarness(t, jirafake.Options{Lag: 1, MaxPage: 2}))
}

// harness reaches one fake.
type harness struct {
	fake            *jirafake.Fake
	url             string
	token, key      string
	next            atomic.Int64
	roles, projects []string
}

func newHarness(t *testing.T, options jirafake.Options) *harness {
	t.Helper()
	h := &harness{
		token: "token-" + rand.Text(), key: "key-" + rand.Text(),
		projects: []string{"BILL", "OPS", "WEB"}, roles: []string{"Administrator", "Developer", "Viewer (read only)", "Prüfer/innen"},
	}
	options.Username, options.Token, options.OrganizationKey = administrator, h.token, h.key
	fake, err := jirafake.New(options)
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range h.projects {
		fake.AddProject(key, h.roles...)
	}
	server := httptest.NewServer(fake)
	t.Cleanup(func() {
		server.Close()
		for _, problem := range fake.Broken() {
			t.Errorf("the fake's answer is not what Atlassian's document says: %s", problem)
		}
	})
	h.fake, h.url = fake, server.URL
	return h
}

func (h *harness) config(base, token, key string) jira.Config {
	return jira.Config{
		URL: base, Username: administrator, Token: secret.New(token),
		OrganizationKey: secret.New(key), OrganizationURL: base + jirafake.OrganizationPath,
	}
}

func open(t *testing.T, config jira.Config) driver.Driver {
	t.Helper()
	d, err := jira.Open(config)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return d
}

func (h *harness) Spec() driver.Spec { return jira.Spec(true) }

func (h *harness) Open(t *testing.T) driver.Driver { return open(t, h.config(h.url, h.token, h.key)) }

// Make implements drivertest.Maker: Atlassian's API makes no accounts.
func (h *harness) Make(_ *testing.T, name string) { h.fake.AddUser(name, false) }

// Entitlements mixes new groups with the twelve roles that there are.
func (h *harness) Entitlements(_ *testing.T, n int) []nhi.Entitlement {
	es := make([]nhi.Entitlement, n)
	for i := range es {
		if i%2 == 0 {
			es[i] = nhi.Entitlement{Type: "group", Target: "Conf / " + strings.ToLower(rand.Text()[:10])}
			h.fake.AddGroup(es[i].Target)
			continue
		}
		k := int(h.next.Add(1))
		es[i] = nhi.Entitlement{Type: "project", Target: h.projects[k%3], Permission: h.roles[k%4]}
	}
	return es
}

func (h *harness) SharedEntitlement(t *testing.T) nhi.Entitlement { return h.Entitlements(t, 1)[0] }

func (h *harness) Foreign(t *testing.T, name string, holds ...nhi.Entitlement) {
	t.Helper()
	h.fake.AddUser(name, false)
	for _, e := range holds {
		h.GrantByHand(t, name, e)
	}
}

func (h *harness) GrantByHand(t *testing.T, name string, e nhi.Entitlement) {
	t.Helper()
	err := fmt.Errorf("unknown type %q", e.Type)
	switch e.Type {
	case "group":
		err = h.fake.JoinGroup(name, e.Target)
	case "project":
		err = h.fake.PlayRole(name, "", e.Target, e.Permission)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func (h *harness) MissingEntitlement(*testing.T) (nhi.Entitlement, bool) {
	return nhi.Entitlement{Type: "project", Target: "BILL", Permission: "No such role " + rand.Text()}, true
}

func (h *harness) HostileNames() []string {
	return []string{"712020:b0b5a2f4-1c2d-4e5f-8a9b-0c1d2e3f4a5b", "A", "a:b"}
}

func (h *harness) Settings() map[string]string { return nil }

func (h *harness) Secrets() []secret.Value {
	return []secret.Value{secret.New(h.token), secret.New(h.key)}
}

func (h *harness) Many() int { return 0 }

func (h *harness) Unsupported() map[string]string {
	return map[string]string{
		"concurrent/same_name": "Atlassian's API makes no accounts, so no two can be made at once; account/made_elsewhere has what " +
			"happens instead",
	}
}

func (h *harness) WithFault(t *testing.T, fault drivertest.Fault) driver.Driver {
	t.Helper()
	if fault == drivertest.WrongCredentials {
		return open(t, h.config(h.url, "wrong-"+rand.Text(), "wrong-"+rand.Text()))
	}
	proxy := resttest.Proxy{
		Backend: h.url, MediaType: "application/json", Forbidden: `{"errorMessages":["no"],"errors":{}}`,
		Empty: func(r *http.Request) string {
			switch {
			case strings.HasSuffix(r.URL.Path, "/user/groups"):
				return `[]`
			case strings.HasSuffix(r.URL.Path, "/search"), strings.HasSuffix(r.URL.Path, "/bulk"):
				return `{"values":[],"total":0,"isLast":true}`
			}
			return "{}"
		},
	}
	return open(t, h.config(proxy.URL(t, fault), h.token, h.key))
}
