// Package jirafake is a stand-in for the parts of Jira Cloud that package jira uses, with the user management API of its
// organization. It keeps state, and it holds every request and every answer of its own against the OpenAPI document that
// Atlassian publishes (openapi.json, Apache License 2.0, trimmed to the paths in use): what the document does not allow is
// an error. It is a fake: nothing here proves what a real site does beyond that document.
package jirafake

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"
)

//go:embed openapi.json
var document []byte

// OrganizationPath is where the user management API of the organization is.
const OrganizationPath = "/organization"

// Options change how the fake behaves.
type Options struct {
	// Username and Token are the administrator's login, OrganizationKey the organization's.
	Username, Token, OrganizationKey string
	// NoAdmin takes the permission to administer Jira from the login.
	NoAdmin bool
	// NoBrowse takes the permission to browse users and groups from it: then it is told that there are none.
	NoBrowse bool
	// MaxPage bounds the pages of projects and groups; 0 is 50.
	MaxPage int
	// Lag is how many reads of a user pass before the site knows what the organization did.
	Lag int
	// Limit is asked before each request; a wait refuses it with 429. Negative: without Retry-After.
	Limit func() time.Duration
}

// Fake is a site. It is safe for concurrent use.
type Fake struct {
	options Options
	router  routers.Router

	mu       sync.Mutex
	users    map[string]*user
	groups   []*group
	projects []*project
	requests map[string]int
	// broken is what the document found wrong with the fake's own answers.
	broken []string
}

// New makes a site without users.
func New(options Options) (*Fake, error) {
	if options.MaxPage == 0 {
		options.MaxPage = 50
	}
	loaded, err := openapi3.NewLoader().LoadFromData(document)
	if err != nil {
		return nil, err
	}
	loaded.Servers = nil // Any address will do.
	router, err := gorillamux.NewRouter(loaded)
	if err != nil {
		return nil, err
	}
	return &Fake{options: options, router: router, users: map[string]*user{}, requests: map[string]int{}}, nil
}

// Broken lists what the document does not allow in the answers that were given.
func (f *Fake) Broken() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.broken
}

// Requests counts the requests by method and path of the document.
func (f *Fake) Requests() map[string]int {
	f.mu.Lock()
	defer f.mu.Unlock()
	counts := map[string]int{}
	for path, n := range f.requests {
		counts[path] = n
	}
	return counts
}

// ServeHTTP implements http.Handler.
func (f *Fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if path, ok := strings.CutPrefix(r.URL.Path, OrganizationPath); ok {
		f.organization(w, r, path)
		return
	}
	if f.throttled(w) {
		return
	}
	username, token, ok := r.BasicAuth()
	if !ok || username != f.options.Username || token != f.options.Token {
		// Jira's own form of this is a text.
		http.Error(w, "Basic authentication with passwords is deprecated.", http.StatusUnauthorized)
		return
	}
	input, err := f.request(r)
	if err != nil {
		refuse(w, http.StatusBadRequest, "the published document does not allow this request: "+err.Error())
		return
	}
	recorder := httptest.NewRecorder()
	f.serve(recorder, r, input)
	f.answer(w, recorder, input)
}

func (f *Fake) throttled(w http.ResponseWriter) bool {
	if f.options.Limit == nil {
		return false
	}
	wait := f.options.Limit()
	if wait > 0 {
		w.Header().Set("Retry-After", fmt.Sprint(int(wait.Seconds())))
	}
	if wait != 0 {
		refuse(w, http.StatusTooManyRequests, "Rate limit exceeded.")
	}
	return wait != 0
}

// request holds a request against the document.
func (f *Fake) request(r *http.Request) (*openapi3filter.RequestValidationInput, error) {
	route, parameters, err := f.router.FindRoute(r)
	if err != nil {
		return nil, err
	}
	for name := range r.URL.Query() {
		if route.Operation.Parameters.GetByInAndName(openapi3.ParameterInQuery, name) == nil {
			return nil, fmt.Errorf("there is no query parameter %q", name)
		}
	}
	input := &openapi3filter.RequestValidationInput{
		Request: r, PathParams: parameters, Route: route,
		Options: &openapi3filter.Options{AuthenticationFunc: openapi3filter.NoopAuthenticationFunc, IncludeResponseStatus: true},
	}
	return input, openapi3filter.ValidateRequest(r.Context(), input)
}

// answer holds an answer against the document before it goes out. What was refused needs only a status that is documented.
func (f *Fake) answer(w http.ResponseWriter, recorder *httptest.ResponseRecorder, input *openapi3filter.RequestValidationInput) {
	body := recorder.Body.Bytes()
	output := &openapi3filter.ResponseValidationInput{
		RequestValidationInput: input, Status: recorder.Code, Header: recorder.Header(), Options: input.Options,
		Body: io.NopCloser(bytes.NewReader(body)),
	}
	if recorder.Code > 299 {
		// The document gives errors no form.
		output.Options = &openapi3filter.Options{IncludeResponseStatus: true, ExcludeResponseBody: true}
	}
	if err := openapi3filter.ValidateResponse(context.Background(), output); err != nil {
		f.mu.Lock()
		f.broken = append(f.broken, fmt.Sprintf("%s %s: %v", input.Request.Method, input.Route.Path, err))
		f.mu.Unlock()
		http.Error(w, "the fake is broken", http.StatusInternalServerError)
		return
	}
	for name, values := range recorder.Header() {
		w.Header()[name] = values
	}
	w.WriteHeader(recorder.Code)
	_, _ = w.Write(body)
}

func write(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	if body != nil {
		_ = json.NewEncoder(w).Encode(body)
	}
}

// refuse answers with an error in Jira's form.
func refuse(w http.ResponseWriter, status int, message string) {
	write(w, status, map[string]any{"errorMessages": []string{message}, "errors": map[string]string{}})
}
