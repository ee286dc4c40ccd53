package oauthclient_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
	"github.com/nhi-labs/terraform-provider-nhi/internal/platform/oauthclient"
	"github.com/nhi-labs/terraform-provider-nhi/internal/secret"
)

// renewing is a server that ends a client's registration access token with every answer and gives a new one, as RFC 7592,
// section 3, allows. The real server of these tests does so with changes only.
type renewing struct {
	*httptest.Server
	mu      sync.Mutex
	count   int
	token   string
	client  map[string]any // nil: there is none
	refused func()         // called with every refusal
	keep    bool           // the token stays
	// forbidden is a method that nobody may use.
	forbidden string
}

func newRenewing(t *testing.T) *renewing {
	t.Helper()
	s := &renewing{refused: func() {}}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

func (s *renewing) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	managed := r.URL.Path == "/reg/c1"
	switch {
	case r.URL.Path == "/.well-known/openid-configuration":
		_ = json.NewEncoder(w).Encode(map[string]any{"issuer": s.URL, "registration_endpoint": s.URL + "/reg", "token_endpoint": s.URL + "/token"})
		return
	case r.Method == s.forbidden:
		w.WriteHeader(http.StatusForbidden)
		return
	case managed && (s.client == nil || r.Header.Get("Authorization") != "Bearer "+s.token):
		s.refused()
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = w.Write([]byte(`{"error":"invalid_token"}`))
		return
	case managed && r.Method == http.MethodDelete:
		s.client = nil
		w.WriteHeader(http.StatusNoContent)
		return
	case managed && r.Method == http.MethodGet:
	default: // A registration, or its replacement.
		s.client = map[string]any{}
		_ = json.NewDecoder(r.Body).Decode(&s.client)
	}
	s.count++
	if !s.keep {
		s.token = fmt.Sprint("token-", s.count)
	}
	answer := maps.Clone(s.client)
	answer["client_id"], answer["registration_client_uri"], answer["registration_access_token"] = "c1", s.URL+"/reg/c1", s.token
	_ = json.NewEncoder(w).Encode(answer)
}

// watched is a registry as one run sees it. The functions are called each time.
type watched struct {
	*memory
	afterGet, beforePut, afterPut func()
}

func (r *watched) GetSecret(ctx context.Context, path string) (driver.StoredSecret, error) {
	stored, err := r.memory.GetSecret(ctx, path)
	r.afterGet()
	return stored, err
}

func (r *watched) PutSecret(ctx context.Context, path string, stored driver.StoredSecret) (int64, error) {
	r.beforePut()
	version, err := r.memory.PutSecret(ctx, path, stored)
	r.afterPut()
	return version, err
}

// tokenWorld is a client on such a server, and what opens one more run.
type tokenWorld struct {
	*world
	server   *renewing
	registry *memory
}

func newTokenWorld(t *testing.T) *tokenWorld {
	t.Helper()
	w := &tokenWorld{world: &world{T: t}, server: newRenewing(t), registry: &memory{stored: map[string]driver.StoredSecret{}}}
	w.d = w.open(w.registry)
	var err error
	w.ref, err = w.d.CreateAccount(t.Context(), driver.AccountSpec{Name: "own", Mark: testMark})
	w.must("create", err)
	return w
}

func (w *tokenWorld) open(registry oauthclient.Registry, mods ...func(*oauthclient.Config)) *oauthclient.Driver {
	w.Helper()
	config := oauthclient.Config{Issuer: w.server.URL, Registry: registry, RegistryPath: registryPath}
	for _, mod := range mods {
		mod(&config)
	}
	d, err := oauthclient.Open(config)
	w.must("open", err)
	w.Cleanup(func() { _ = d.Close() })
	return d
}

// besideRead lets another run read the client while this one changes it: that run has looked the entry up when this one claims
// it, and is given the new token for the one that both have. It saves it at once or, late, when this one was refused.
func (w *tokenWorld) besideRead(late bool, change func(*oauthclient.Driver) error) error {
	w.Helper()
	var looked, claimed, answered, refused, read gate
	w.server.refused = refused.open
	nothing := func() {}
	reader := w.open(&watched{
		memory: w.registry, afterPut: nothing,
		afterGet: func() { looked.open(); claimed.wait() },
		beforePut: func() {
			answered.open()
			if late {
				refused.wait()
			}
		},
	})
	writer := w.open(&watched{
		memory: w.registry, afterGet: nothing, beforePut: nothing,
		afterPut: func() {
			claimed.open()
			if late {
				answered.wait()
			} else {
				read.wait()
			}
		},
	})
	go func() {
		defer read.open()
		if account, err := reader.ReadAccount(w.Context(), w.ref); err != nil || account.Mark != testMark {
			w.Errorf("the read beside the change: %+v, %v", account, err)
		}
	}()
	looked.wait()
	err := change(writer)
	read.wait()
	return err
}

// gate is open for ever once it was opened.
type gate struct {
	made, opened sync.Once
	c            chan struct{}
}

func (g *gate) channel() chan struct{} {
	g.made.Do(func() { g.c = make(chan struct{}) })
	return g.c
}

func (g *gate) open() { g.opened.Do(func() { close(g.channel()) }) }

func (g *gate) wait() { <-g.channel() }

// TestReadBesideChange: a read that is given the new token keeps it for the change whose token that ends.
func TestReadBesideChange(t *testing.T) {
	t.Parallel()
	for name, late := range map[string]bool{"saved at once": false, "saved late": true} {
		t.Run("grant/"+name, func(t *testing.T) {
			t.Parallel()
			w := newTokenWorld(t)
			scope := nhi.Entitlement{Type: "scope", Target: "tickets:read"}
			w.must("grant", w.besideRead(late, func(d *oauthclient.Driver) error {
				return d.Grant(t.Context(), w.ref, []nhi.Entitlement{scope})
			}))
			if got := nhi.JoinTexts(w.read().Entitlements); got != scope.String() {
				t.Errorf("entitlements %q", got)
			}
			w.must("delete", w.d.DeleteAccount(t.Context(), w.ref))
		})
		t.Run("delete/"+name, func(t *testing.T) {
			t.Parallel()
			newTokenWorld(t).wantDeleted(late)
		})
		// Where a deletion was begun, a refusal is likely to mean that the client is gone. This one does not.
		t.Run("delete again/"+name, func(t *testing.T) {
			t.Parallel()
			w := newTokenWorld(t)
			path := registryPath + "/" + w.ref.Name
			e := w.registry.stored[path]
			e.Fields["state"] = secret.New("removing")
			_, err := w.registry.PutSecret(t.Context(), path, e)
			w.must("write the intent", err)
			w.wantDeleted(late)
		})
	}
}

func (w *tokenWorld) wantDeleted(late bool) {
	w.Helper()
	w.must("delete", w.besideRead(late, func(d *oauthclient.Driver) error { return d.DeleteAccount(w.Context(), w.ref) }))
	if w.server.client != nil || len(w.registry.stored) > 0 {
		w.Errorf("left: client %v, %d entries", w.server.client, len(w.registry.stored))
	}
}

// TestInterruptedBesideRead: a change that ends before it was given a token gives the client free with that of the read.
func TestInterruptedBesideRead(t *testing.T) {
	t.Parallel()
	w := newTokenWorld(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	nothing := func() {}
	writer := w.open(&watched{memory: w.registry, afterGet: nothing, beforePut: nothing, afterPut: func() {
		if ctx.Err() == nil {
			_ = w.read()
			cancel()
		}
	}})
	w.wantCode("interrupted", writer.UpdateAccount(ctx, w.ref, driver.AccountChange{Mark: &nhi.Mark{}}), driver.Unavailable)
	if _, held := w.registry.stored[registryPath+"/"+w.ref.Name].Fields["changing_until"]; held {
		t.Error("the client is still claimed")
	}
	w.must("change", w.d.UpdateAccount(t.Context(), w.ref, driver.AccountChange{Mark: &nhi.Mark{}}))
	if got := w.read().Mark; !got.IsZero() {
		t.Errorf("mark %q", got)
	}
}

// TestReadsOfOneRun: one run does not end its own tokens.
func TestReadsOfOneRun(t *testing.T) {
	t.Parallel()
	w := newTokenWorld(t)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if _, err := w.d.ReadAccount(t.Context(), w.ref); err != nil {
				t.Errorf("read: %v", err)
			}
		})
	}
	wg.Wait()
}
