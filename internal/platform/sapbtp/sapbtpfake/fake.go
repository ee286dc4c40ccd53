// Package sapbtpfake is a stand-in for the parts of SAP BTP that package sapbtp talks to: the user management and role
// collections of a subaccount and of the level above, the token endpoint, and the service bindings of the Service
// Manager. It keeps state, checks what SAP's documentation (and that of Cloud Foundry's UAA, which the service is made
// from) says is checked, and answers in the same forms. It is a fake: nothing here proves what a real tenant does.
package sapbtpfake

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"
)

// The paths below which the parts are found. The token endpoint is at TokenPath.
const (
	SubaccountPath = "/subaccount"
	UpperPath      = "/upper"
	ManagerPath    = "/manager"
	TokenPath      = "/oauth/token" //nolint:gosec // A path.
)

// Options change how the fake behaves.
type Options struct {
	// ClientID and ClientSecret are the administrator's login. Without a secret, a client certificate is asked for.
	ClientID, ClientSecret string
	// ReadOnly gives the administrator's tokens no right to change anything.
	ReadOnly bool
	// InstanceID is the service instance that can be bound.
	InstanceID string
	// MaxPage bounds pages of users; 0 is 500. Pages of bindings have ten.
	MaxPage int
	// AsyncUnbind makes the deletion of a binding take effect after two questions.
	AsyncUnbind bool
	// Limit is asked before each request of an API; a wait refuses it with 429. Negative: without Retry-After.
	Limit func() time.Duration
}

// Fake is the whole. It is safe for concurrent use.
type Fake struct {
	options Options

	mu         sync.Mutex
	subaccount *level
	upper      *level
	bindings   []*binding
	tokens     map[string]string // token → client id
	clock      time.Time
	requests   int
}

// New makes an empty fake.
func New(options Options) *Fake {
	if options.MaxPage == 0 {
		options.MaxPage = 500
	}
	return &Fake{
		options: options, subaccount: newLevel(), upper: newLevel(), tokens: map[string]string{},
		clock: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC),
	}
}

// ServeHTTP implements http.Handler.
func (f *Fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	path := r.URL.EscapedPath()
	if path == TokenPath {
		f.token(w, r)
		return
	}
	f.requests++
	if f.options.Limit != nil {
		if wait := f.options.Limit(); wait != 0 {
			if wait > 0 {
				w.Header().Set("Retry-After", fmt.Sprint(int(wait.Seconds())))
			}
			fail(w, http.StatusTooManyRequests, "too_many_requests", "the limit of the subaccount is exceeded")
			return
		}
	}
	if !f.authorised(w, r) {
		return
	}
	for prefix, part := range map[string]func(http.ResponseWriter, *http.Request, string){
		SubaccountPath: f.levelHandler(f.subaccount), UpperPath: f.levelHandler(f.upper), ManagerPath: f.manager,
	} {
		if rest, ok := strings.CutPrefix(path, prefix); ok {
			part(w, r, rest)
			return
		}
	}
	http.Error(w, "404 Not Found: Requested route does not exist.", http.StatusNotFound)
}

// Requests returns how many requests the APIs got.
func (f *Fake) Requests() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.requests
}

// token is the client credentials grant of RFC 6749, with a secret, or with a certificate (RFC 8705).
func (f *Fake) token(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost || r.ParseForm() != nil || r.PostForm.Get("grant_type") != "client_credentials" {
		fail(w, http.StatusBadRequest, "invalid_request", "only client credentials are known here")
		return
	}
	id, secret, basic := r.BasicAuth()
	if !basic {
		id, secret = r.PostForm.Get("client_id"), r.PostForm.Get("client_secret")
	}
	certified := r.TLS != nil && len(r.TLS.PeerCertificates) > 0 && id != "" && r.TLS.PeerCertificates[0].Subject.CommonName == id
	admin := id == f.options.ClientID && (f.options.ClientSecret == "" && certified || secret == f.options.ClientSecret && secret != "")
	if !admin && !f.boundLogin(id, secret) {
		w.Header().Set("WWW-Authenticate", `Basic realm="UAA/client"`)
		fail(w, http.StatusUnauthorized, "unauthorized", "Bad credentials")
		return
	}
	token := rand.Text()
	f.tokens[token] = id
	write(w, http.StatusOK, map[string]any{"access_token": token, "token_type": "bearer", "expires_in": 43199})
}

func (f *Fake) authorised(w http.ResponseWriter, r *http.Request) bool {
	token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if token == r.Header.Get("Authorization") {
		token, _ = strings.CutPrefix(token, "bearer ")
	}
	client, known := f.tokens[token]
	switch {
	case !known:
		fail(w, http.StatusUnauthorized, "invalid_token", "Invalid token")
	case client != f.options.ClientID || f.options.ReadOnly && r.Method != http.MethodGet:
		fail(w, http.StatusForbidden, "insufficient_scope", "Insufficient scope for this resource")
	default:
		return true
	}
	return false
}

func (f *Fake) now() time.Time {
	f.clock = f.clock.Add(time.Second)
	return f.clock
}

func newID() string {
	text := strings.ToLower(rand.Text() + rand.Text())
	return text[:8] + "-" + text[8:12] + "-" + text[12:16] + "-" + text[16:20] + "-" + text[20:32]
}

func write(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}

// fail answers as UAA does.
func fail(w http.ResponseWriter, status int, name, description string) {
	write(w, status, map[string]string{"error": name, "error_description": description})
}
