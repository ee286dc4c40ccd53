package provider

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/fleet"
	"github.com/nhi-labs/terraform-provider-nhi/internal/platform/aws"
	"github.com/nhi-labs/terraform-provider-nhi/internal/platform/aws/awsfake"
	"github.com/nhi-labs/terraform-provider-nhi/internal/platform/oauthclient"
	"github.com/nhi-labs/terraform-provider-nhi/internal/secret"
)

// TestRegistryOfAnotherRegion: clients whose registry is in another region are not gone, the configuration is wrong.
func TestRegistryOfAnotherRegion(t *testing.T) {
	fake := awsfake.New(t)
	id, key := fake.AddAdmin(func(string) bool { return true })
	server := httptest.NewUnstartedServer(nil)
	issuer := "http://" + server.Listener.Addr().String()
	server.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = fmt.Fprintf(w, `{"issuer":%[1]q,"token_endpoint":"%[1]s/token","registration_endpoint":"%[1]s/reg"}`, issuer)
	})
	server.Start()
	t.Cleanup(server.Close)

	fleetIn := func(region string) *fleet.Fleet {
		later := &fleetLater{}
		later.fleet = fleet.New("s", nil, []fleet.Config{
			{Name: "cloud", Spec: aws.Spec(), Open: func() (driver.Driver, error) {
				return aws.Open(aws.Config{Endpoint: fake.URL, Region: region, AccessKeyID: id, SecretAccessKey: secret.New(key)})
			}},
			{Name: "clients", Spec: oauthclient.Spec(), Open: func() (driver.Driver, error) {
				return oauthclient.Open(oauthclient.Config{
					Issuer: issuer, Registry: platformStore{later: later, name: "cloud"}, RegistryPath: "nhi", AllowPlainHTTP: true,
				})
			}},
		})
		t.Cleanup(func() { _ = later.fleet.Close() })
		return later.fleet
	}
	before, err := fleetIn("eu-central-1").Connect(t.Context(), "clients", "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fleetIn("eu-central-1").Connect(t.Context(), "clients", before.Target().ID); err != nil {
		t.Errorf("the same region: %v", err)
	}
	var wrong *fleet.WrongTargetError
	if _, err := fleetIn("eu-west-1").Connect(t.Context(), "clients", before.Target().ID); !errors.As(err, &wrong) {
		t.Errorf("another region: %v", err)
	}
}
