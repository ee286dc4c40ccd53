package provider

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/nhi-labs/terraform-provider-nhi/internal/audit"
	"github.com/nhi-labs/terraform-provider-nhi/internal/audit/audittest"
	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/fleet"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
	"github.com/nhi-labs/terraform-provider-nhi/internal/platform/aws"
	"github.com/nhi-labs/terraform-provider-nhi/internal/platform/aws/awsfake"
	"github.com/nhi-labs/terraform-provider-nhi/internal/platform/oauthclient"
	"github.com/nhi-labs/terraform-provider-nhi/internal/platform/sandbox"
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

// renewing is an authorization server with one client, whose registration access token it replaces with every answer.
func renewing(t *testing.T) *httptest.Server {
	t.Helper()
	server := httptest.NewUnstartedServer(nil)
	issuer, answers := "http://"+server.Listener.Addr().String(), 0
	server.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if strings.HasPrefix(r.URL.Path, "/.well-known/") {
			_, _ = fmt.Fprintf(w, `{"issuer":%[1]q,"token_endpoint":"%[1]s/token","registration_endpoint":"%[1]s/reg"}`, issuer)
			return
		}
		if r.Header.Get("Authorization") != fmt.Sprint("Bearer token-", answers) {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		answers++
		_, _ = fmt.Fprintf(w, `{"client_id":"c1","client_name":"own","scope":"openid","registration_client_uri":"%s/reg/c1",`+
			`"registration_access_token":"token-%d"}`, issuer, answers)
	})
	server.Start()
	t.Cleanup(server.Close)
	return server
}

// TestTokenReplacedByRead: a server that replaces the token of a client when it is read has ended the one before, so the registry
// takes the new one, whether the sinks take events or not.
func TestTokenReplacedByRead(t *testing.T) {
	server, sink, file := renewing(t), &audittest.Sink{}, filepath.Join(t.TempDir(), "sandbox.db")
	store, err := sandbox.Open(sandbox.Config{Path: file})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	entry := driver.StoredSecret{Fields: map[string]secret.Value{
		"client_id": secret.New("c1"), "registration_client_uri": secret.New(server.URL + "/reg/c1"), "registration_access_token": secret.New("token-0"),
	}}
	keeper, ok := store.(driver.SecretStore)
	if !ok {
		t.Fatal("a sandbox keeps secrets")
	}
	if _, err := keeper.PutSecret(t.Context(), "registry/own", entry); err != nil {
		t.Fatal(err)
	}
	run := func() *fleet.Conn {
		t.Helper()
		later := &fleetLater{}
		later.fleet = fleet.New("s", nil, []fleet.Config{
			{Name: "secrets", Spec: sandbox.Spec(), Open: func() (driver.Driver, error) { return sandbox.Open(sandbox.Config{Path: file}) }},
			{Name: "clients", Spec: oauthclient.Spec(), Open: func() (driver.Driver, error) {
				return oauthclient.Open(oauthclient.Config{
					Issuer: server.URL, Registry: platformStore{later: later, name: "secrets", of: "clients"}, RegistryPath: "registry",
					AllowPlainHTTP: true, SaveTimeout: time.Second,
				})
			}},
		}).Under(sink.Required().Open(audit.Operation{}, nil))
		t.Cleanup(func() { _ = later.fleet.Close() })
		conn, err := later.fleet.Connect(t.Context(), "clients", "")
		if err != nil {
			t.Fatal(err)
		}
		return conn
	}
	read := func(conn *fleet.Conn) {
		t.Helper()
		if _, err := conn.ReadNow(t.Context(), nhi.Ref{Name: "own"}); err != nil {
			t.Error(err)
		}
	}
	conn := run()
	read(conn)
	// The new token is evidenced; that the registry was asked whether it may be written changed nothing.
	var got []string
	for _, e := range sink.Taken() {
		got = append(got, fmt.Sprintf("%s %s %s of %s", e.Activity, e.Outcome, e.Path, e.RegistryOf))
	}
	want := []string{"store_secret intended registry/own of clients", "store_secret succeeded registry/own of clients"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("evidence of a read (-want +got):\n%s", diff)
	}
	sink.Down(true)
	read(conn)
	read(run())
	sink.Down(false)
	read(run())
}
