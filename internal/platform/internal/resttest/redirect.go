package resttest

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
	"github.com/nhi-labs/terraform-provider-nhi/internal/secret"
)

// RefusesRedirects checks that a driver follows no redirect to another host, neither with its credentials nor with a
// secret that it stores, and reads none as an answer. open returns the driver of the system at an address.
func RefusesRedirects(t *testing.T, open func(address string) driver.Driver) {
	t.Helper()
	elsewhere := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		t.Errorf("%s %s reached another host", r.Method, r.URL.Path)
	}))
	t.Cleanup(elsewhere.Close)
	for _, status := range []int{
		http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther, http.StatusTemporaryRedirect, http.StatusPermanentRedirect,
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, elsewhere.URL+r.URL.RequestURI(), status)
		}))
		t.Cleanup(server.Close)
		d := open(server.URL)
		ref := nhi.Ref{Name: "billing"}
		calls := map[string]func() error{
			"probe":  func() error { _, err := d.Probe(t.Context()); return err },
			"read":   func() error { _, err := d.ReadAccount(t.Context(), ref); return err },
			"create": func() error { _, err := d.CreateAccount(t.Context(), driver.AccountSpec{Name: ref.Name}); return err },
			"delete": func() error { return d.DeleteAccount(t.Context(), ref) },
		}
		if store, ok := d.(driver.SecretStore); ok {
			calls["put"] = func() error {
				fields := map[string]secret.Value{"password": secret.New("canary-of-the-store")}
				_, err := store.PutSecret(t.Context(), "kv/billing", driver.StoredSecret{Fields: fields})
				return err
			}
		}
		for name, call := range calls {
			err := call()
			if err == nil {
				t.Errorf("%d: %s takes the redirect for an answer", status, name)
				continue
			}
			if code := d.Classify(err).Code; code != driver.Unknown || !strings.Contains(err.Error(), elsewhere.Listener.Addr().String()) {
				t.Errorf("%d: %s gives %v (%v), want an error that names the other host and is not tried again", status, name, err, code)
			}
		}
	}
}
