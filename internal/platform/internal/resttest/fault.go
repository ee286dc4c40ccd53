// Package resttest puts faults between a driver of an HTTP platform and the system that it talks to, for the
// conformance suite.
package resttest

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver/drivertest"
	"github.com/nhi-labs/terraform-provider-nhi/internal/secret"
)

// Proxy stands between a driver and a system under an address of its own.
type Proxy struct {
	// Backend is the system's base URL. Where answers contain it, the proxy's own address takes its place.
	Backend string
	// Healthy reports whether a request gets its true answer although the system has nothing to say or the login lacks
	// rights: discovery, the token endpoint. Nil: none does.
	Healthy func(*http.Request) bool
	// Empty is the answer that says "nothing here" to a request; nil is an empty JSON object.
	Empty func(*http.Request) string
	// Forbidden is the answer to a login without the right, in the system's own form. {credentials} in it becomes what the
	// request's Authorization header has behind the scheme, as servers do repeat it.
	Forbidden string
	// Seen, if set, collects what is put there.
	Seen *Seen
	// MediaType is the type of both.
	MediaType string
}

// Seen are the credentials that a system was shown, for a harness that must not see them again. It is safe for concurrent use.
type Seen struct {
	mu  sync.Mutex
	all []secret.Value
}

func (s *Seen) add(text string) {
	if s == nil || text == "" {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all = append(s.all, secret.New(text))
}

// Secrets returns the credentials.
func (s *Seen) Secrets() []secret.Value {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.all)
}

// URL returns a base URL that has the fault. WrongCredentials is for the caller to make.
func (p Proxy) URL(t *testing.T, fault drivertest.Fault) string {
	t.Helper()
	switch fault {
	case drivertest.Refused:
		listener := listen(t)
		_ = listener.Close()
		return "http://" + listener.Addr().String()
	case drivertest.Silent:
		return "http://" + listen(t).Addr().String()
	}
	server := httptest.NewUnstartedServer(nil)
	address := "http://" + server.Listener.Addr().String()
	server.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { p.serve(w, r, fault, address) })
	server.Start()
	t.Cleanup(server.Close)
	return address
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	return listener
}

func (p Proxy) serve(w http.ResponseWriter, r *http.Request, fault drivertest.Fault, address string) {
	healthy := p.Healthy != nil && p.Healthy(r)
	switch {
	case fault == drivertest.Malformed:
		answer(w, http.StatusOK, "text/html", "<html><body>Please log in to the network</body></html>")
	case fault == drivertest.Overloaded:
		answer(w, http.StatusServiceUnavailable, "text/plain", "overloaded")
	case fault == drivertest.EmptyAnswers && !healthy:
		body := "{}"
		if p.Empty != nil {
			body = p.Empty(r)
		}
		answer(w, http.StatusOK, p.MediaType, body)
	case fault == drivertest.MissingRights && !healthy:
		_, credentials, _ := strings.Cut(r.Header.Get("Authorization"), " ")
		p.Seen.add(credentials)
		answer(w, http.StatusForbidden, p.MediaType, strings.ReplaceAll(p.Forbidden, "{credentials}", credentials))
	default:
		p.forward(w, r, address, fault == drivertest.Cut)
	}
}

func answer(w http.ResponseWriter, status int, contentType, body string) {
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(status)
	_, _ = io.WriteString(w, body)
}

// forward passes a request on, and the whole answer or the half of it back.
func (p Proxy) forward(w http.ResponseWriter, r *http.Request, address string, cut bool) {
	request, err := http.NewRequestWithContext(r.Context(), r.Method, p.Backend+r.URL.RequestURI(), r.Body)
	if err != nil {
		panic(err)
	}
	request.Header = r.Header.Clone()
	request.Header.Del("Accept-Encoding")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	defer func() { _ = response.Body.Close() }()
	raw, _ := io.ReadAll(response.Body)
	body := strings.ReplaceAll(string(raw), p.Backend, address)
	w.Header().Set("Content-Type", response.Header.Get("Content-Type"))
	w.Header().Set("Content-Length", fmt.Sprint(len(body)))
	w.WriteHeader(response.StatusCode)
	if !cut {
		_, _ = io.WriteString(w, body)
		return
	}
	_, _ = io.WriteString(w, body[:len(body)/2])
	panic(http.ErrAbortHandler)
}
