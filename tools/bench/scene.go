package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"time"

	"github.com/nhi-labs/terraform-provider-nhi/internal/platform/scim/scimfake"
)

// scene is one configuration to measure: n identities with an account on each of three platforms, and a grant of two
// entitlements on each of them.
type scene struct {
	n     int
	shape string
	// latency is how long a platform takes to answer one request.
	latency time.Duration
	// audited scenes have an audit sink.
	audited bool
}

// token is what the services of a scene accept. They listen on loopback while they are measured.
const token = "bench"

// platformNames are known to the no-op provider, too.
var platformNames = []string{"alpha", "beta", "gamma"}

// platforms starts what the scene needs and returns the provider's blocks.
func (s scene) platforms(dir string) (blocks string, stop func()) {
	var text strings.Builder
	var services []*httptest.Server
	for _, name := range platformNames {
		if s.latency == 0 {
			fmt.Fprintf(&text, "  sandbox {\n    name = %q\n    path = %q\n  }\n", name, filepath.Join(dir, name+".db"))
			continue
		}
		service := httptest.NewServer(slow(scimfake.New(scimfake.Options{Token: token}), s.latency))
		services = append(services, service)
		fmt.Fprintf(&text, "  scim {\n    name  = %q\n    url   = %q\n    token = %q\n  }\n", name, service.URL+"/scim", token)
	}
	return text.String(), func() {
		for _, service := range services {
			service.Close()
		}
	}
}

// slow answers each request after a time.
func slow(service http.Handler, latency time.Duration) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		time.Sleep(latency)
		service.ServeHTTP(w, r)
	})
}

// configuration is main.tf.
func (s scene) configuration(blocks string) (string, error) {
	var repeat, name, key string
	switch s.shape {
	case "count":
		repeat, name, key = fmt.Sprintf("count = %d", s.n), `"svc-${count.index}"`, "count.index"
	case "for_each":
		repeat, name, key = "for_each = local.names", "each.key", "each.key"
	default:
		return "", fmt.Errorf("there is no shape %q; there are count and for_each", s.shape)
	}
	var text strings.Builder
	text.WriteString("terraform {\n  required_providers {\n    nhi = { source = \"nhi-labs/nhi\" }\n  }\n}\n\n")
	if s.audited {
		blocks += "  audit {\n    file { path = \"events.jsonl\" }\n  }\n" // replaced by one that takes a time that is known
	}
	fmt.Fprintf(&text, "provider \"nhi\" {\n  stack = \"bench\"\n%s}\n\n", blocks)
	if s.shape == "for_each" {
		text.WriteString("locals {\n  names = {\n")
		for i := range s.n {
			fmt.Fprintf(&text, "    svc-%d = %d\n", i, i)
		}
		text.WriteString("  }\n}\n\n")
	}
	fmt.Fprintf(&text, "resource \"nhi_identity\" \"svc\" {\n  %s\n  name  = %s\n  kind  = \"service_account\"\n"+
		"  owner = \"team@example.com\"\n", repeat, name)
	for _, platform := range platformNames {
		fmt.Fprintf(&text, "  account { platform = %q }\n", platform)
	}
	fmt.Fprintf(&text, "}\n\nresource \"nhi_grant\" \"svc\" {\n  %s\n  identity = nhi_identity.svc[%s]\n  entitlements = {\n", repeat, key)
	for _, platform := range platformNames {
		fmt.Fprintf(&text, "    %s = %s\n", platform, s.entitlements())
	}
	text.WriteString("  }\n}\n")
	return text.String(), nil
}

func (s scene) entitlements() string {
	if s.latency == 0 {
		return `["table:finance.invoices#select", "role:reporting"]`
	}
	return `["entitlement:invoices.read", "role:reporting"]`
}
