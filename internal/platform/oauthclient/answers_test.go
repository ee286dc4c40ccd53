package oauthclient_test

import (
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/driver/drivertest"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
	"github.com/nhi-labs/terraform-provider-nhi/internal/platform/oauthclient"
	"github.com/nhi-labs/terraform-provider-nhi/internal/secret"
)

// memory is a registry with one client in it.
type memory struct {
	mu     sync.Mutex
	stored map[string]driver.StoredSecret
}

func (m *memory) ID(context.Context) (string, error) { return "memory", nil }

func (m *memory) GetSecret(_ context.Context, path string) (driver.StoredSecret, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s, ok := m.stored[path]
	if !ok {
		return s, driver.Errorf(driver.NotFound, "nothing is at %s", path)
	}
	s.Fields = maps.Clone(s.Fields)
	return s, nil
}

func (m *memory) PutSecret(_ context.Context, path string, s driver.StoredSecret) (int64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.stored[path].Version != s.Version {
		return 0, driver.Errorf(driver.Conflict, "another version is at %s", path)
	}
	s.Version++
	s.Fields = maps.Clone(s.Fields)
	m.stored[path] = s
	return s.Version, nil
}

func (m *memory) MayPutSecret(context.Context, string, driver.StoredSecret) error { return nil }

func (m *memory) RemoveSecret(_ context.Context, path string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.stored, path)
	return nil
}

// savedEntry is the registry's entry of a client, with {{base}} for the server's address.
type savedEntry struct {
	Path    string            `json:"path"`
	Fields  map[string]string `json:"fields"`
	Version int64             `json:"version"`
}

// answers are those of oidc-provider.
func answers() drivertest.Answers {
	return drivertest.Answers{
		Spec: oauthclient.Spec(),
		Open: func(t testing.TB, base, saved string) driver.Driver {
			var entry savedEntry
			if err := json.Unmarshal([]byte(strings.ReplaceAll(saved, "{{base}}", base)), &entry); err != nil {
				t.Fatal(err)
			}
			s := driver.StoredSecret{Fields: map[string]secret.Value{}, Version: entry.Version}
			for name, text := range entry.Fields {
				s.Fields[name] = secret.New(text)
			}
			d, err := oauthclient.Open(oauthclient.Config{
				Issuer: base, InitialAccessToken: secret.New("replayed"), RegistryPath: registryPath,
				Registry: &memory{stored: map[string]driver.StoredSecret{entry.Path: s}}, ClientAuth: oauthclient.ClientSecret,
			})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = d.Close() })
			return d
		},
		// No answer of the server is its word that a client is gone: RFC 7592 gives 401 for that and for a token that was
		// replaced. What the registry does not have is absent.
		Absent: func(a drivertest.Answer) bool { return a.Status == http.StatusNotFound },
	}
}

func TestAnswers(t *testing.T) {
	h := newHarness(t, oauthclient.ClientSecret)
	a := answers()
	a.Live = func(t *testing.T, base string) driver.Driver { return h.open(t, base) }
	a.Save = func(t testing.TB, account nhi.Account) string {
		path := registryPath + "/" + account.Name
		s, err := h.registry.SecretStore.GetSecret(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		entry := savedEntry{Path: path, Fields: map[string]string{}, Version: s.Version}
		for name, value := range s.Fields {
			entry.Fields[name] = strings.ReplaceAll(value.Reveal(), h.server.Issuer, "{{base}}")
		}
		text, err := json.Marshal(entry)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	a.Check(t, h, h.server.Issuer, h.server.InitialAccessToken, "replayed")
}

func TestEndlessAnswers(t *testing.T) { answers().Bounded(t) }

func FuzzAnswers(f *testing.F) { answers().Fuzz(f) }
