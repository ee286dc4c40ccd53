package main

import (
	"context"
	"fmt"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"time"

	"github.com/nhi-labs/terraform-provider-nhi/internal/platform/scim/scimfake"
)

// The sites, by what their platforms are.
const (
	// inFiles has three sandboxes.
	inFiles = "files"
	// inServices has three SCIM services of ours, in this process.
	inServices = "services"
	// onServers has the PostgreSQL, the Vault and the SCIM service of the testbed.
	onServers = "servers"
	// onPostgreSQL has the PostgreSQL of the testbed alone.
	onPostgreSQL = "postgresql"
)

// token is what the services of a scene accept. They listen on loopback while they are measured.
const token = "bench"

// platformNames are known to the no-op provider, too.
var platformNames = []string{"alpha", "beta", "gamma"}

// site is the platforms of a scene while they are measured.
type site struct {
	// blocks are those of the provider nhi.
	blocks    string
	peer      peerSettings
	platforms []placed
	stops     []func() error
}

// placed is one platform of a site.
type placed struct {
	name string
	// kind is for the report.
	kind string
	// entitlements are what each identity holds there.
	entitlements []string
	// meter is nil for a platform that cannot be asked from outside.
	meter *meter
}

func (s *site) add(p placed, format string, args ...any) {
	s.platforms = append(s.platforms, p)
	s.blocks += fmt.Sprintf(format, args...)
}

// traffic returns what was asked since the last call, by the kind and name of the platform.
func (s *site) traffic() map[string]traffic {
	// A connection that the provider has just closed is not yet over here.
	time.Sleep(20 * time.Millisecond)
	var out map[string]traffic
	for _, p := range s.platforms {
		if p.meter == nil {
			continue
		}
		if out == nil {
			out = make(map[string]traffic)
		}
		out[p.kind+"/"+p.name] = p.meter.take()
	}
	return out
}

// stop ends what was started, the last first, and returns the first error.
func (s *site) stop() error {
	var first error
	for i := len(s.stops) - 1; i >= 0; i-- {
		if err := s.stops[i](); err != nil && first == nil {
			first = err
		}
	}
	return first
}

// open starts what the scene needs. The site is to be stopped even if there is an error.
func (s scene) open(ctx context.Context, dir string) (*site, error) {
	out := &site{}
	switch s.site {
	case inFiles:
		for _, name := range platformNames {
			out.add(placed{name: name, kind: "sandbox", entitlements: []string{"role:reporting", "table:finance.invoices#select"}},
				"  sandbox {\n    name = %q\n    path = %q\n  }\n", name, filepath.Join(dir, name+".db"))
		}
		return out, nil
	case inServices:
		for _, name := range platformNames {
			m := &meter{}
			service := httptest.NewServer(slow(scimfake.New(scimfake.Options{Token: token}), s.latency, m))
			out.stops = append(out.stops, func() error { service.Close(); return nil })
			out.scim(name, service.URL+"/scim", token, m)
		}
		return out, nil
	case onServers:
		return out, s.openServers(ctx, out)
	case onPostgreSQL:
		return out, s.openPostgreSQL(ctx, out)
	default:
		return out, fmt.Errorf("there is no site %q", s.site)
	}
}

func (s *site) scim(name, url, bearer string, m *meter) {
	s.add(placed{name: name, kind: "scim", entitlements: []string{"entitlement:invoices.read", "role:reporting"}, meter: m},
		"  scim {\n    name  = %q\n    url   = %q\n    token = %q\n  }\n", name, url, bearer)
}

// list is a list of texts in HCL.
func list(texts []string) string {
	quoted := make([]string, len(texts))
	for i, text := range texts {
		quoted[i] = fmt.Sprintf("%q", text)
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}
