package drivertest

import (
	"context"
	"encoding/json"
	"flag"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
)

var record = flag.Bool("record", false, "record anew what the platforms of the testbed answer (testdata/answers.json)")

// Answers is the HTTP API of one kind of platform, as far as it was recorded: every call of the driver with the answers
// that a real system gave to its requests. They are played back whole, and with one of them replaced by something hostile.
type Answers struct {
	Spec driver.Spec
	// Open opens a driver of the platform at a base URL. saved is what Save returned for the account of the call.
	Open func(t testing.TB, base, saved string) driver.Driver
	// Save returns what the driver keeps of an account elsewhere than on the platform; nil: nothing.
	Save func(t testing.TB, account nhi.Account) string
	// Live opens the driver that is recorded; nil: Open does.
	Live func(t *testing.T, base string) driver.Driver
	// Absent reports whether an answer is the platform's own word that something does not exist. What it knows is not
	// taken from the driver's code.
	Absent func(Answer) bool
	// Hide matches what shall not stand in a file, real but worthless; nil: nothing.
	Hide *regexp.Regexp
}

// Answer is one answer, with the request that it is to.
type Answer struct {
	Method string `json:"method"`
	Path   string `json:"path"` // with the query
	Status int    `json:"status"`
	// Header has what drivers look at, as "Name: value" lines.
	Header string `json:"header"`
	Body   string `json:"body"`

	endless bool
}

// recording is one call.
type recording struct {
	Call    string          `json:"call"`
	Account nhi.Account     `json:"account"`
	Absent  string          `json:"absent"`
	Next    nhi.Entitlement `json:"next"`
	Mark    nhi.Mark        `json:"mark"`
	Path    string          `json:"path"`
	Saved   string          `json:"saved,omitempty"`
	// Code is what became of the call: "" for success.
	Code    string   `json:"code"`
	Answers []Answer `json:"answers"`
}

func (r recording) subject() subject {
	return subject{before: r.Account, absent: r.Absent, next: r.Next, mark: r.Mark, path: r.Path}
}

// base stands for the platform's address, which the answers repeat.
const base = "{{base}}"

func answersFile() string { return filepath.Join("testdata", "answers.json") }

// Check plays every call back, which must come to what it came to when it was recorded. With -record it records first:
// h reaches the system, backend is its base URL, and replace are pairs of a text of the system (a token, a path of this
// run) and the one that Open uses and that stands in the file instead.
func (a Answers) Check(t *testing.T, h Harness, backend string, replace ...string) {
	if *record {
		a.record(t, h, newTape(backend, replace))
	}
	server := newReplay(t)
	for _, r := range a.load(t) {
		t.Run(r.Call, func(t *testing.T) {
			server.play(r, -1, Answer{})
			if got := a.call(t, server, r, caseTimeout).code; got != r.Code {
				t.Errorf("came to %q, when it was recorded to %q", got, r.Code)
			}
		})
	}
}

func (a Answers) load(t testing.TB) []recording {
	t.Helper()
	content, err := os.ReadFile(answersFile())
	if err != nil {
		t.Fatal(err)
	}
	var all []recording
	if err := json.Unmarshal(content, &all); err != nil {
		t.Fatal(err)
	}
	return all
}

// record makes each call on an account of its own.
func (a Answers) record(t *testing.T, h Harness, tape *tape) {
	k := &kit{T: t, h: h, spec: a.Spec, d: h.Open(t), ctx: t.Context()}
	var all []recording
	for i := 0; ; i++ {
		s := k.subject()
		calls := k.calls(s)
		if i == len(calls) {
			break
		}
		if calls[i].name == "GetSecret" {
			k.put(s.path, stored(0))
		}
		r := recording{Call: calls[i].name, Account: s.before, Absent: s.absent, Next: s.next, Mark: s.mark, Path: s.path}
		if a.Save != nil {
			r.Saved = a.Save(t, s.before)
		}
		server := httptest.NewServer(tape)
		tape.answers = nil
		var d driver.Driver
		if a.Live != nil {
			d = a.Live(t, server.URL)
		} else {
			d = a.Open(t, server.URL, r.Saved)
		}
		err := calls[i].do(t.Context(), d)
		r.Answers = tape.answers
		if err != nil {
			r.Code = k.d.Classify(err).Code.String()
		}
		all = append(all, r)
	}
	content, err := json.MarshalIndent(all, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	text := []byte(tape.in.Replace(string(content)))
	if a.Hide != nil {
		text = a.Hide.ReplaceAll(text, []byte("hidden"))
	}
	if err := os.MkdirAll("testdata", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(answersFile(), append(text, '\n'), 0o644); err != nil {
		t.Fatal(err)
	}
}

// tape stands between a driver and a system and writes down what the system answers.
type tape struct {
	backend string
	out, in *strings.Replacer // of what goes to the system, and of what comes from it

	mu      sync.Mutex
	answers []Answer
}

func newTape(backend string, replace []string) *tape {
	back := slices.Clone(replace)
	slices.Reverse(back)
	return &tape{backend: backend, out: strings.NewReplacer(back...), in: strings.NewReplacer(replace...)}
}

func (p *tape) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	own := "http://" + r.Host
	sent, _ := io.ReadAll(r.Body)
	request, err := http.NewRequestWithContext(r.Context(), r.Method, p.backend+p.out.Replace(r.URL.RequestURI()),
		strings.NewReader(p.out.Replace(strings.ReplaceAll(string(sent), own, p.backend))))
	if err != nil {
		panic(err)
	}
	request.Header = r.Header.Clone()
	request.Header.Del("Accept-Encoding")
	for name, values := range request.Header {
		for j, value := range values {
			request.Header[name][j] = p.out.Replace(value)
		}
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	defer func() { _ = response.Body.Close() }()
	body, _ := io.ReadAll(response.Body)
	answer := Answer{
		Method: r.Method, Path: r.URL.RequestURI(), Status: response.StatusCode,
		Header: p.in.Replace(strings.ReplaceAll(headerLines(response.Header), p.backend, base)),
		Body:   p.in.Replace(strings.ReplaceAll(string(body), p.backend, base)),
	}
	p.mu.Lock()
	p.answers = append(p.answers, answer)
	p.mu.Unlock()
	answer.write(w, own)
}

// headerLines keeps what drivers look at.
func headerLines(h http.Header) string {
	var lines []string
	for _, name := range []string{"Content-Type", "Etag", "Location", "Retry-After", "Www-Authenticate"} {
		for _, v := range h.Values(name) {
			lines = append(lines, name+": "+v)
		}
	}
	return strings.Join(lines, "\n")
}

// write sends the answer from the address own.
func (a Answer) write(w http.ResponseWriter, own string) {
	for line := range strings.Lines(a.Header) {
		if name, value, ok := strings.Cut(line, ":"); ok {
			w.Header().Add(strings.TrimSpace(name), strings.ReplaceAll(strings.TrimSpace(value), base, own))
		}
	}
	w.WriteHeader(a.Status)
	_, _ = io.WriteString(w, strings.ReplaceAll(a.Body, base, own))
}

// outcome is what became of a call.
type outcome struct {
	code    string // of its error, "" for success
	account *nhi.Account
	swept   []nhi.Account
}

// call makes a recorded call with a driver of its own.
func (a Answers) call(t *testing.T, server *replay, r recording, wait time.Duration) outcome {
	t.Helper()
	d := a.Open(t, server.URL, r.Saved)
	ctx, cancel := context.WithTimeout(t.Context(), wait)
	defer cancel()
	k := &kit{T: t, spec: a.Spec, d: d, ctx: ctx}
	calls := k.calls(r.subject())
	i := slices.IndexFunc(calls, func(c call) bool { return c.name == r.Call })
	if i < 0 {
		t.Fatalf("there is no call %q any more: record again with -record", r.Call)
	}
	var out outcome
	var err error
	switch r.Call {
	case "ReadAccount", "ReadAccount by name":
		ref := r.Account.Ref
		if r.Call != "ReadAccount" {
			ref.ID = ""
		}
		var account nhi.Account
		if account, err = d.ReadAccount(ctx, ref); err == nil {
			out.account = &account
		}
	case "Sweep":
		err = on[driver.Sweeper](d).Sweep(ctx, driver.SweepFilter{}, func(page []nhi.Account) error {
			out.swept = append(out.swept, page...)
			return nil
		})
	default:
		err = calls[i].do(ctx, d)
	}
	if err != nil {
		out.code = d.Classify(err).Code.String()
	}
	return out
}

// replay is a server that answers what was recorded.
type replay struct {
	URL string

	mu      sync.Mutex
	left    []Answer
	last    Answer
	asked   int
	at      int // the request that gets the hostile answer, and with it every later one for the same path; -1 for none
	hostile Answer
	poison  string
}

func newReplay(t testing.TB) *replay {
	r := &replay{}
	server := httptest.NewServer(r)
	t.Cleanup(server.Close)
	r.URL = server.URL
	return r
}

func (s *replay) play(r recording, at int, hostile Answer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.left, s.last, s.asked, s.at, s.hostile, s.poison = slices.Clone(r.Answers), Answer{Status: http.StatusNotFound}, 0, at, hostile, ""
}

func (s *replay) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	answer := s.next(r)
	answer.write(w, s.URL)
	if answer.endless {
		writeEndless(r.Context(), w, strings.Contains(answer.Header, "gzip"))
	}
}

// next chooses the answer: the recorded one to the same request, else to the same path, else the next one.
func (s *replay) next(r *http.Request) Answer {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked++
	if s.at >= 0 && (s.asked-1 == s.at || s.asked-1 > s.at && r.URL.Path == s.poison) {
		s.poison = r.URL.Path
		return s.hostile
	}
	if len(s.left) == 0 {
		return s.last
	}
	i := slices.IndexFunc(s.left, func(a Answer) bool { return a.Method == r.Method && a.Path == r.URL.RequestURI() })
	if i < 0 {
		i = slices.IndexFunc(s.left, func(a Answer) bool {
			path, _, _ := strings.Cut(a.Path, "?")
			return a.Method == r.Method && path == r.URL.EscapedPath()
		})
	}
	i = max(i, 0)
	s.last = s.left[i]
	s.left = slices.Delete(s.left, i, i+1)
	return s.last
}
