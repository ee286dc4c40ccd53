// Package scimfake is a fake SCIM 2.0 service for tests and demonstrations, in memory. It is no real service, but it
// checks what a strict one checks:
//
//   - authentication by bearer token, basic, or OAuth 2.0 client credentials with its own token endpoint;
//   - media types, the schemas of every message, required, unknown, mistyped and read-only attributes (RFC 7643);
//   - uniqueness of userName without regard to case, Location and ETag headers, If-Match (RFC 7644, sections 3.3, 3.14);
//   - the filter grammar, paging by index, and PATCH with value filters in paths (RFC 7644, sections 3.4.2, 3.5.2);
//   - cursor paging (RFC 9865);
//   - that members of groups exist, and that deleted users leave their groups.
//
// Options take features away, add the rules of SAP Cloud Identity Services as far as its public documentation tells
// them, and SetFault breaks answers.
package scimfake

import (
	"encoding/json"
	"fmt"
	"mime"
	"net/http"
	"strings"
	"sync"
	"time"
)

// Options says what the service is like. The zero Options is a complete service without authentication.
type Options struct {
	// Token is the bearer token that is accepted. With Username, basic authentication is; with ClientID, tokens of
	// POST /oauth2/token are.
	Token              string
	Username, Password string
	ClientID, Secret   string

	// SAP adds the extension schema, its required attributes, and paging by startId and nextId.
	SAP bool
	// Limit is the rate limit, none if its Refused is 0.
	Limit Limit

	NoPatch, NoFilter, NoETag, CursorOnly bool
	// NoConfig leaves out /ServiceProviderConfig.
	NoConfig bool
	// NoUserGroups leaves out User.groups.
	NoUserGroups bool
	// KeepGhosts keeps deleted users as members of their groups.
	KeepGhosts bool
	// ReadOnly refuses every change with 403.
	ReadOnly bool
	// MaxPageSize bounds pages, 0 is 100.
	MaxPageSize int
	// Now is the clock, nil is the machine's. Sleep is how delays are made, nil makes none.
	Now   func() time.Time
	Sleep func(time.Duration)
}

// Limit is a rate limit: within a Window, requests beyond Delayed wait for Delay, and from Refused on every request is
// refused until Penalty is over.
type Limit struct {
	Delayed, Refused       int
	Window, Delay, Penalty time.Duration
}

// SAPLimit is the limit of SAP Cloud Identity Services: 200 requests a minute, 201 to 280 delayed by a second, from 281
// on refused for a minute.
func SAPLimit() Limit {
	return Limit{Delayed: 200, Refused: 281, Window: time.Minute, Delay: time.Second, Penalty: time.Minute}
}

// Fault replaces an answer. A zero field leaves that part of the real answer as it is.
type Fault struct {
	Status      int
	ContentType string
	Header      http.Header
	// Body replaces the body of the answer; Rewrite changes it.
	Body    []byte
	Rewrite func(body []byte) []byte
	// Truncate announces the whole body and breaks the connection in the middle of it.
	Truncate bool
	// Instead answers without asking the service, which then sees nothing of the request.
	Instead bool
}

// Server is the service. It serves /scim/..., /oauth2/token and /login.
type Server struct {
	options Options

	mu       sync.Mutex
	users    *collection
	groups   *collection
	cursors  map[string]cursor
	tokens   map[string]bool
	secrets  map[string]string // Passwords by user id.
	counts   map[string]int
	fault    func(*http.Request) *Fault
	serial   int
	window   time.Time
	inWindow int
	blocked  time.Time
}

// New makes an empty service.
func New(options Options) *Server {
	if options.MaxPageSize == 0 {
		options.MaxPageSize = 100
	}
	if options.Now == nil {
		options.Now = time.Now
	}
	s := &Server{
		options: options, cursors: map[string]cursor{}, tokens: map[string]bool{}, secrets: map[string]string{},
		counts: map[string]int{},
	}
	s.users = newCollection("Users", userResource(options.SAP))
	s.groups = newCollection("Groups", groupResource())
	return s
}

// SetFault installs what decides which requests fail; nil ends all faults. It is called without any lock held.
func (s *Server) SetFault(fault func(*http.Request) *Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fault = fault
}

// Admin is a second door to the same resources, for changes that other people make: complete, without
// authentication, limits, faults or counting.
func (s *Server) Admin() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		own := s.options
		defer func() { s.options = own }()
		s.options = Options{SAP: own.SAP, KeepGhosts: own.KeepGhosts, MaxPageSize: 1000, Now: own.Now}
		answer, p := s.route(r, strings.TrimPrefix(r.URL.EscapedPath(), "/scim"))
		if p != nil {
			answer = p.reply()
		}
		answer.write(w)
	})
}

// Counts returns how many requests came, by method and path with ids as {id}: "GET /Users/{id}".
func (s *Server) Counts() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	counts := map[string]int{}
	for k, v := range s.counts {
		counts[k] = v
	}
	return counts
}

// RevokeTokens makes every OAuth 2.0 token invalid.
func (s *Server) RevokeTokens() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.tokens)
}

// SetPassword gives a user a password for /login.
func (s *Server) SetPassword(userName, password string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if u := s.userNamed(userName); u != nil {
		s.secrets[u.id()] = password
	}
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	fault := s.fault
	s.mu.Unlock()
	var f *Fault
	if fault != nil {
		f = fault(r)
	}
	if f == nil {
		s.serve(r).write(w)
		return
	}
	answer := &reply{status: http.StatusOK, header: http.Header{}}
	if !f.Instead {
		answer = s.serve(r)
	}
	f.apply(answer)
	if f.Truncate {
		answer.truncate(w)
		return
	}
	answer.write(w)
}

func (f *Fault) apply(a *reply) {
	if f.Status != 0 {
		a.status = f.Status
	}
	if f.Body != nil {
		a.body = f.Body
	}
	if f.Rewrite != nil {
		a.body = f.Rewrite(a.body)
	}
	if len(a.body) > 0 && a.header.Get("Content-Type") == "" {
		a.header.Set("Content-Type", mediaType)
	}
	if f.ContentType != "" {
		a.header.Set("Content-Type", f.ContentType)
	}
	for name, values := range f.Header {
		a.header[name] = values
	}
}

// reply is one answer before it is sent.
type reply struct {
	status int
	header http.Header
	body   []byte
}

func (a *reply) write(w http.ResponseWriter) {
	for name, values := range a.header {
		w.Header()[name] = values
	}
	w.WriteHeader(a.status)
	_, _ = w.Write(a.body)
}

func (a *reply) truncate(w http.ResponseWriter) {
	a.header.Set("Content-Length", fmt.Sprint(len(a.body)))
	for name, values := range a.header {
		w.Header()[name] = values
	}
	w.WriteHeader(a.status)
	_, _ = w.Write(a.body[:len(a.body)/2])
	panic(http.ErrAbortHandler)
}

const mediaType = "application/scim+json"

// problem is an error answer of RFC 7644, section 3.12.
type problem struct {
	status     int
	scimType   string
	detail     string
	retryAfter time.Duration
}

func (p *problem) Error() string { return p.detail }

func problemf(status int, scimType, format string, args ...any) *problem {
	return &problem{status: status, scimType: scimType, detail: fmt.Sprintf(format, args...)}
}

func (p *problem) reply() *reply {
	body := attributes{
		"schemas": []any{errorSchema}, "status": fmt.Sprint(p.status), "detail": p.detail,
	}
	if p.scimType != "" {
		body["scimType"] = p.scimType
	}
	a := jsonReply(p.status, body)
	if p.retryAfter > 0 {
		a.header.Set("Retry-After", fmt.Sprint(int(p.retryAfter.Round(time.Second)/time.Second)))
	}
	return a
}

func jsonReply(status int, body any) *reply {
	raw, err := json.Marshal(body)
	if err != nil {
		panic(err) // Everything that is stored came out of JSON.
	}
	return &reply{status: status, header: http.Header{"Content-Type": {mediaType}}, body: raw}
}

// serve answers one request. One at a time: the order of changes is what tests are about, not speed.
func (s *Server) serve(r *http.Request) *reply {
	s.mu.Lock()
	path, inSCIM := strings.CutPrefix(r.URL.EscapedPath(), "/scim")
	s.counts[r.Method+" "+pattern(path)]++
	switch r.URL.Path {
	case "/oauth2/token":
		defer s.mu.Unlock()
		return s.token(r)
	case "/login":
		defer s.mu.Unlock()
		return s.login(r)
	}
	delay, p := s.throttle()
	if p == nil && delay > 0 && s.options.Sleep != nil {
		s.mu.Unlock()
		s.options.Sleep(delay)
		s.mu.Lock()
	}
	defer s.mu.Unlock()
	if p == nil {
		p = s.authenticate(r)
	}
	if p == nil && !inSCIM {
		p = problemf(http.StatusNotFound, "", "no such path")
	}
	if p != nil {
		return p.reply()
	}
	answer, p := s.route(r, path)
	if p != nil {
		return p.reply()
	}
	return answer
}

// pattern puts {id} in the place of an id.
func pattern(path string) string {
	parts := strings.SplitN(strings.TrimPrefix(path, "/"), "/", 3)
	if len(parts) > 1 {
		return "/" + parts[0] + "/{id}"
	}
	return "/" + parts[0]
}

// throttle applies the rate limit.
func (s *Server) throttle() (time.Duration, *problem) {
	limit, now := s.options.Limit, s.options.Now()
	if limit.Refused == 0 {
		return 0, nil
	}
	if now.Before(s.blocked) {
		p := problemf(http.StatusTooManyRequests, "", "too many requests")
		p.retryAfter = s.blocked.Sub(now)
		return 0, p
	}
	if now.Sub(s.window) >= limit.Window {
		s.window, s.inWindow = now, 0
	}
	s.inWindow++
	if s.inWindow >= limit.Refused {
		s.blocked, s.window = now.Add(limit.Penalty), time.Time{}
		p := problemf(http.StatusTooManyRequests, "", "too many requests")
		p.retryAfter = limit.Penalty
		return 0, p
	}
	if s.inWindow > limit.Delayed {
		return limit.Delay, nil
	}
	return 0, nil
}

func (s *Server) authenticate(r *http.Request) *problem {
	o := s.options
	header := r.Header.Get("Authorization")
	bearer, isBearer := strings.CutPrefix(header, "Bearer ")
	user, password, isBasic := r.BasicAuth()
	switch {
	case o.Token == "" && o.Username == "" && o.ClientID == "",
		o.Token != "" && isBearer && bearer == o.Token,
		o.Username != "" && isBasic && user == o.Username && password == o.Password,
		o.ClientID != "" && isBearer && s.tokens[bearer]:
		return nil
	}
	return problemf(http.StatusUnauthorized, "", "authentication is required")
}

// token is the token endpoint of RFC 6749, section 4.4.
func (s *Server) token(r *http.Request) *reply {
	refuse := func(reason string) *reply { return jsonReply(http.StatusUnauthorized, attributes{"error": reason}) }
	if r.Method != http.MethodPost || r.ParseForm() != nil || r.PostForm.Get("grant_type") != "client_credentials" {
		return jsonReply(http.StatusBadRequest, attributes{"error": "unsupported_grant_type"})
	}
	id, secret, ok := r.BasicAuth()
	if !ok {
		id, secret = r.PostForm.Get("client_id"), r.PostForm.Get("client_secret")
	}
	if s.options.ClientID == "" || id != s.options.ClientID || secret != s.options.Secret {
		return refuse("invalid_client")
	}
	s.serial++
	token := fmt.Sprintf("token-%d-of-%p", s.serial, s)
	s.tokens[token] = true
	a := jsonReply(http.StatusOK, attributes{"access_token": token, "token_type": "Bearer", "expires_in": 3600})
	a.header.Set("Content-Type", "application/json")
	return a
}

// login answers 204 if the user may log in with its password now.
func (s *Server) login(r *http.Request) *reply {
	name, password, ok := r.BasicAuth()
	u := s.userNamed(name)
	if !ok || u == nil || s.secrets[u.id()] == "" || s.secrets[u.id()] != password || u.attrs["active"] == false ||
		s.expired(u) {
		return problemf(http.StatusUnauthorized, "", "refused").reply()
	}
	return &reply{status: http.StatusNoContent, header: http.Header{}}
}

func (s *Server) expired(u *stored) bool {
	extension, _ := u.attrs[sapUserSchema].(attributes)
	text, _ := extension["validTo"].(string)
	at, err := time.Parse(time.RFC3339, text)
	return err == nil && !s.options.Now().Before(at)
}

func isSCIMMediaType(header string) bool {
	name, _, err := mime.ParseMediaType(header)
	return err == nil && (name == mediaType || name == "application/json")
}
