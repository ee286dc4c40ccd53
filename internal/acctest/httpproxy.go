package acctest

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"sync"
	"testing"
)

// HTTPProxy stands between the provider and an HTTP platform. It counts requests, and answers in the platform's place
// where a fault is set.
type HTTPProxy struct {
	URL string

	mu       sync.Mutex
	requests int
	fault    HTTPFault
	denied   func(r *http.Request) bool
}

// HTTPFault answers in a platform's place: it returns true if it answered. truth is the platform's own answer.
type HTTPFault func(w http.ResponseWriter, r *http.Request, truth *httptest.ResponseRecorder) bool

// NewHTTPProxy starts a proxy in front of backend, a base URL.
func NewHTTPProxy(t testing.TB, backend string) *HTTPProxy {
	t.Helper()
	target, err := url.Parse(backend)
	if err != nil {
		t.Fatal(err)
	}
	origin := &url.URL{Scheme: target.Scheme, Host: target.Host}
	reverse := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(origin) }}
	p := &HTTPProxy{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fault, denied := p.count()
		if denied != nil && denied(r) {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusForbidden)
			_, _ = io.WriteString(w, `{"errors":["permission denied"]}`)
			return
		}
		if fault == nil {
			reverse.ServeHTTP(w, r)
			return
		}
		truth := httptest.NewRecorder()
		reverse.ServeHTTP(truth, r)
		if !fault(w, r, truth) {
			copyAnswer(w, truth)
		}
	}))
	t.Cleanup(server.Close)
	p.URL = server.URL + target.Path
	return p
}

func (p *HTTPProxy) count() (HTTPFault, func(*http.Request) bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.requests++
	return p.fault, p.denied
}

// Deny answers with 403 in the platform's place, which does not learn of the request; nil denies nothing.
func (p *HTTPProxy) Deny(denied func(r *http.Request) bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.denied = denied
}

// Break sets the fault; nil heals.
func (p *HTTPProxy) Break(fault HTTPFault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fault = fault
}

// Requests returns how many requests came since the last call.
func (p *HTTPProxy) Requests() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := p.requests
	p.requests = 0
	return n
}

func copyAnswer(w http.ResponseWriter, truth *httptest.ResponseRecorder) {
	for name, values := range truth.Header() {
		w.Header()[name] = values
	}
	w.WriteHeader(truth.Code)
	_, _ = io.Copy(w, truth.Body)
}

// Status answers every request with a status and a JSON body.
func Status(code int, body string) HTTPFault {
	return func(w http.ResponseWriter, _ *http.Request, truth *httptest.ResponseRecorder) bool {
		w.Header().Set("Content-Type", truth.Header().Get("Content-Type"))
		w.WriteHeader(code)
		_, _ = io.WriteString(w, body)
		return true
	}
}

// HalfAnswer announces the whole answer and breaks off in its middle.
func HalfAnswer(w http.ResponseWriter, _ *http.Request, truth *httptest.ResponseRecorder) bool {
	body := truth.Body.Bytes()
	if len(body) < 2 {
		return false
	}
	w.Header().Set("Content-Type", truth.Header().Get("Content-Type"))
	w.Header().Set("Content-Length", truth.Header().Get("Content-Length"))
	w.WriteHeader(truth.Code)
	_, _ = w.Write(body[:len(body)/2])
	panic(http.ErrAbortHandler)
}

// MalformedJSON damages the answer but leaves its length alone.
func MalformedJSON(w http.ResponseWriter, _ *http.Request, truth *httptest.ResponseRecorder) bool {
	damaged := bytes.Replace(truth.Body.Bytes(), []byte(":"), []byte("!"), 1)
	w.Header().Set("Content-Type", truth.Header().Get("Content-Type"))
	w.WriteHeader(truth.Code)
	_, _ = w.Write(damaged)
	return true
}

// NoAnswer keeps the caller waiting until it gives up.
func NoAnswer(_ http.ResponseWriter, r *http.Request, _ *httptest.ResponseRecorder) bool {
	<-r.Context().Done()
	panic(http.ErrAbortHandler)
}
