package sapbtp_test

import (
	"crypto/rand"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/driver/drivertest"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
	"github.com/nhi-labs/terraform-provider-nhi/internal/platform/internal/resttest"
	"github.com/nhi-labs/terraform-provider-nhi/internal/platform/sapbtp"
	"github.com/nhi-labs/terraform-provider-nhi/internal/platform/sapbtp/sapbtpfake"
	"github.com/nhi-labs/terraform-provider-nhi/internal/secret"
)

const (
	clientID   = "sb-admin!b1"
	instanceID = "5f3cd3a0-7d4e-4b0a-9a2e-5d1f6c2b9e10"
	origin     = "corporate-idp"
)

// TestConformance runs the suite on the checked fake.
func TestConformance(t *testing.T) {
	t.Parallel()
	drivertest.Run(t, newHarness(t, sapbtpfake.Options{AsyncUnbind: true, MaxPage: 10}))
}

// harness reaches one fake.
type harness struct {
	fake   *sapbtpfake.Fake
	url    string
	secret string
	seen   resttest.Seen
}

func newHarness(t *testing.T, options sapbtpfake.Options) *harness {
	t.Helper()
	h := &harness{secret: "admin-" + rand.Text()}
	options.ClientID, options.ClientSecret, options.InstanceID = clientID, h.secret, instanceID
	h.fake = sapbtpfake.New(options)
	server := httptest.NewServer(h.fake)
	t.Cleanup(server.Close)
	h.url = server.URL
	return h
}

func (h *harness) config(base, password string) sapbtp.Config {
	api := func(path string) sapbtp.API {
		return sapbtp.API{URL: base + path, TokenURL: base + sapbtpfake.TokenPath, ClientID: clientID, ClientSecret: secret.New(password)}
	}
	upper := api(sapbtpfake.UpperPath)
	return sapbtp.Config{
		API: api(sapbtpfake.SubaccountPath), Upper: &upper, Origin: origin, PageSize: 8,
		Bindings: &sapbtp.Bindings{API: api(sapbtpfake.ManagerPath), InstanceID: instanceID},
	}
}

func open(t *testing.T, config sapbtp.Config) *sapbtp.Driver {
	t.Helper()
	d, err := sapbtp.Open(config)
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

func (h *harness) Spec() driver.Spec { return sapbtp.Spec() }

func (h *harness) Open(t *testing.T) driver.Driver { return open(t, h.config(h.url, h.secret)) }

func (h *harness) Entitlements(_ *testing.T, n int) []nhi.Entitlement {
	es := make([]nhi.Entitlement, n)
	for i := range es {
		es[i] = nhi.Entitlement{Type: "role_collection", Target: "Conf / Viewer " + strings.ToLower(rand.Text()[:10])}
		h.fake.AddRoleCollection(es[i].Target)
	}
	return es
}

func (h *harness) SharedEntitlement(t *testing.T) nhi.Entitlement { return h.Entitlements(t, 1)[0] }

func (h *harness) Foreign(t *testing.T, name string, holds ...nhi.Entitlement) {
	t.Helper()
	h.fake.AddUser(name, origin)
	for _, e := range holds {
		h.GrantByHand(t, name, e)
	}
}

func (h *harness) GrantByHand(t *testing.T, name string, e nhi.Entitlement) {
	t.Helper()
	if !h.fake.Assign(name, origin, e.Target, false) {
		t.Fatalf("cannot assign %s to %q", e, name)
	}
}

func (h *harness) MissingEntitlement(*testing.T) (nhi.Entitlement, bool) {
	return nhi.Entitlement{Type: "role_collection", Target: "No such " + rand.Text()}, true
}

func (h *harness) HostileNames() []string {
	return []string{`x" and origin eq "sap.default`, `x" or userName pr or userName eq "`, "agent@example.com", "A@B@C"}
}

func (h *harness) Settings() map[string]string { return map[string]string{"email": "conf@example.com"} }

func (h *harness) Secrets() []secret.Value {
	return append(h.seen.Secrets(), secret.New(h.secret))
}

func (h *harness) Many() int { return 25 }

func (h *harness) Unsupported() map[string]string { return map[string]string{} }

func (h *harness) WithFault(t *testing.T, fault drivertest.Fault) driver.Driver {
	t.Helper()
	if fault == drivertest.WrongCredentials {
		return open(t, h.config(h.url, "wrong-"+rand.Text()))
	}
	proxy := resttest.Proxy{
		Backend: h.url, MediaType: "application/json", Seen: &h.seen,
		Forbidden: `{"error":"insufficient_scope","error_description":"Insufficient scope of the token {credentials}"}`,
		Healthy:   func(r *http.Request) bool { return r.URL.Path == sapbtpfake.TokenPath },
		Empty: func(r *http.Request) string {
			switch {
			case strings.HasSuffix(r.URL.Path, "/Users"):
				return `{"resources":[],"startIndex":1,"totalResults":0}`
			case strings.HasSuffix(r.URL.Path, "/v1/service_bindings"):
				return `{"num_items":0,"items":[]}`
			}
			return "{}"
		},
	}
	return open(t, h.config(proxy.URL(t, fault), h.secret))
}
