package vault_test

import (
	"fmt"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/hashicorp/vault/api"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/driver/drivertest/netfault"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
	"github.com/nhi-labs/terraform-provider-nhi/internal/platform/internal/resttest"
)

func TestClassify(t *testing.T) {
	d := newServer(t).Open(t)
	for _, c := range []struct {
		status int
		raw    bool
		errors []string
		want   driver.Code
	}{
		{400, false, []string{"x"}, driver.Invalid},
		{400, false, []string{"check-and-set parameter did not match the current version"}, driver.Conflict},
		{400, false, []string{"entity name is already in use"}, driver.AlreadyExists},
		{400, true, []string{"<html>"}, driver.Unknown},
		{403, false, []string{"1 error occurred:\n\t* permission denied\n\n"}, driver.PermissionDenied},
		{403, false, []string{"2 errors occurred:\n\t* permission denied\n\t* invalid token\n\n"}, driver.Unauthenticated},
		{403, true, []string{"blocked by the firewall"}, driver.Unknown},
		{404, false, []string{}, driver.NotFound},
		{404, false, nil, driver.Unknown},
		{404, true, []string{"<html>not found</html>"}, driver.Unknown},
		{404, false, []string{`no handler for route "kv/data/x". route entry not found.`}, driver.Invalid},
		{404, false, []string{"something else"}, driver.Unknown},
		{405, false, []string{"unsupported operation"}, driver.Unsupported},
		{412, false, []string{"required index state not present"}, driver.Conflict},
		{429, false, []string{"quota"}, driver.RateLimited},
		{429, true, []string{"slow down"}, driver.RateLimited},
		{472, false, []string{}, driver.Unavailable},
		{473, false, []string{}, driver.Unavailable},
		{500, false, []string{"internal error"}, driver.Unknown},
		{500, false, []string{"local node not active but active cluster node not found"}, driver.Unavailable},
		{500, false, []string{"1 error occurred:\n\t* invalid entity ID \"x\"\n\n"}, driver.Conflict},
		{502, true, []string{"<html>"}, driver.Unavailable},
		{503, false, []string{"Vault is sealed"}, driver.Unavailable},
		{504, true, []string{""}, driver.Unavailable},
	} {
		err := fmt.Errorf("read: %w", &api.ResponseError{StatusCode: c.status, RawError: c.raw, Errors: c.errors})
		if got := d.Classify(err).Code; got != c.want {
			t.Errorf("status %d, raw %v, %q is %v, want %v", c.status, c.raw, c.errors, got, c.want)
		}
	}
}

func TestRetryAfter(t *testing.T) {
	s := newServer(t)
	cfg := s.config()
	cfg.Address = always(t, http.StatusTooManyRequests, "application/json", `{"errors":["quota"]}`)
	d := s.open(t, cfg)
	_, err := d.ReadAccount(t.Context(), nhi.Ref{Name: "x"})
	if verdict := d.Classify(err); verdict.Code != driver.RateLimited || verdict.RetryAfter != 7*time.Second {
		t.Errorf("verdict is %+v", verdict)
	}
}

func TestRedirects(t *testing.T) {
	s := newServer(t)
	resttest.RefusesRedirects(t, func(address string) driver.Driver {
		cfg := s.config()
		cfg.Address = address
		return s.open(t, cfg)
	})
}

// A connection that ends before there is an answer says nothing: net/http words it in several ways, and all may be tried
// again.
func TestConnectionEnds(t *testing.T) {
	s := newServer(t)
	cfg := s.config()
	cfg.Address = "http://" + netfault.Listen(t, func(net.Conn) {})
	d := s.open(t, cfg)
	for range 50 {
		_, err := d.ReadAccount(t.Context(), nhi.Ref{Name: "x"})
		if code := d.Classify(err).Code; code != driver.Unavailable {
			t.Fatalf("%v is %s", err, code)
		}
	}
}

// TestNotVault answers every request with something that is not Vault's: nothing may be read as absent.
func TestNotVault(t *testing.T) {
	s := newServer(t)
	ref := create(t, s.Open(t))
	for _, status := range []int{200, 201, 204, 302, 400, 403, 404, 500} {
		for _, body := range []string{"", "{}", `{"data":null}`, `{"data":{}}`, `{"data":{"keys":[]}}`, "[]", "null", "<html></html>"} {
			cfg := s.config()
			cfg.Address = always(t, status, "application/json", body)
			d := full(t, s.open(t, cfg))
			for _, r := range []nhi.Ref{ref, {Name: ref.Name}} {
				_, err := d.ReadAccount(t.Context(), r)
				if err == nil || d.Classify(err).Code == driver.NotFound {
					t.Errorf("status %d, body %q: read gives %v", status, body, err)
				}
				if d.DeleteAccount(t.Context(), r) == nil {
					t.Errorf("status %d, body %q: delete succeeds", status, body)
				}
			}
			if _, err := d.GetSecret(t.Context(), s.kv+"/x"); err == nil || d.Classify(err).Code == driver.NotFound {
				t.Errorf("status %d, body %q: get gives %v", status, body, err)
			}
		}
	}
	must(t, s.Open(t).DeleteAccount(t.Context(), ref))
}
