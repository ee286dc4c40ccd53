package rest_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/platform/internal/rest"
	"github.com/nhi-labs/terraform-provider-nhi/internal/secret"
)

const canary = "canary-5cf0a3"

func serve(t *testing.T, handler http.HandlerFunc) *httptest.Server {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return server
}

func client(t *testing.T, config rest.Config) *rest.Client {
	t.Helper()
	c, err := rest.New(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func get(t *testing.T, c *rest.Client) (*rest.Response, error) {
	t.Helper()
	return c.Do(t.Context(), rest.Request{Method: http.MethodGet, Path: "/things"})
}

func wantCode(t *testing.T, err error, want driver.Code) {
	t.Helper()
	if err == nil {
		t.Fatalf("succeeded, want %q", want)
	}
	if got := rest.Classify(err).Code; got != want {
		t.Errorf("the code is %q, want %q; error: %v", got, want, err)
	}
	for _, text := range []string{err.Error(), fmt.Sprintf("%+v", err), fmt.Sprintf("%#v", err)} {
		if strings.Contains(text, canary) {
			t.Errorf("the error shows a secret: %s", text)
		}
	}
}

func TestRepeatsWhatIsSafe(t *testing.T) {
	for _, c := range []struct {
		name    string
		request rest.Request
		status  int
		header  string
		want    int32
	}{
		{"get put off", rest.Request{Method: http.MethodGet}, 503, "", 3},
		{"put rate limited", rest.Request{Method: http.MethodPut}, 429, "", 3},
		{"delete behind a gateway", rest.Request{Method: http.MethodDelete}, 502, "", 3},
		{"post", rest.Request{Method: http.MethodPost}, 503, "", 1},
		{"patch", rest.Request{Method: http.MethodPatch}, 429, "", 1},
		{"patch that may be repeated", rest.Request{Method: http.MethodPatch, Idempotent: true}, 503, "", 3},
		{"get refused", rest.Request{Method: http.MethodGet}, 403, "", 1},
		{"get that broke the server", rest.Request{Method: http.MethodGet}, 500, "", 1},
		{"get to be repeated much later", rest.Request{Method: http.MethodGet}, 429, "60", 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var requests atomic.Int32
			server := serve(t, func(w http.ResponseWriter, _ *http.Request) {
				requests.Add(1)
				if c.header != "" {
					w.Header().Set("Retry-After", c.header)
				}
				w.WriteHeader(c.status)
			})
			if _, err := client(t, rest.Config{BaseURL: server.URL}).Do(t.Context(), c.request); err == nil {
				t.Error("succeeded")
			}
			if got := requests.Load(); got != c.want {
				t.Errorf("%d requests, want %d", got, c.want)
			}
		})
	}
}

func TestRepetitionSucceedsWithTheSameBody(t *testing.T) {
	var bodies []string
	server := serve(t, func(w http.ResponseWriter, r *http.Request) {
		buffer := make([]byte, 64)
		n, _ := r.Body.Read(buffer)
		bodies = append(bodies, string(buffer[:n]))
		if len(bodies) == 1 {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"a":1}`))
	})
	response, err := client(t, rest.Config{BaseURL: server.URL}).Do(t.Context(),
		rest.Request{Method: http.MethodPut, Body: map[string]string{"x": "<&>"}})
	if err != nil {
		t.Fatal(err)
	}
	if len(bodies) != 2 || bodies[0] != bodies[1] || bodies[0] != "{\"x\":\"<&>\"}\n" || string(response.Body) != `{"a":1}` {
		t.Errorf("bodies %q, answer %q", bodies, response.Body)
	}
}

func TestRetryAfterIsHandedOn(t *testing.T) {
	at := time.Now().Add(time.Hour).UTC().Format(http.TimeFormat)
	for header, want := range map[string]time.Duration{"77": 77 * time.Second, at: time.Hour} {
		for _, status := range []int{http.StatusTooManyRequests, http.StatusForbidden} {
			server := serve(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Retry-After", header)
				w.WriteHeader(status)
			})
			_, err := get(t, client(t, rest.Config{BaseURL: server.URL}))
			wantCode(t, err, driver.RateLimited)
			if got := rest.Classify(err).RetryAfter; got > want || got < want-time.Minute {
				t.Errorf("status %d, Retry-After %q: %v, want about %v", status, header, got, want)
			}
		}
	}
}

// TestNoWaitBeyondTheDeadline wants the platform's answer, not "deadline exceeded".
// TestThrottling has the ways in which platforms say "not now", and a refusal that looks like one of them.
func TestThrottling(t *testing.T) {
	t.Parallel()
	inAnHour := strconv.FormatInt(time.Now().Add(time.Hour).Unix(), 10)
	for _, c := range []struct {
		name     string
		status   int
		header   map[string]string
		want     driver.Code
		wait     time.Duration
		requests int32
	}{
		{"429 with a time to wait", 429, map[string]string{"Retry-After": "77"}, driver.RateLimited, 77 * time.Second, 1},
		{"429 without", 429, nil, driver.RateLimited, 0, 3},
		{"429 with an unreadable time", 429, map[string]string{"Retry-After": "soon"}, driver.RateLimited, 0, 3},
		{"429 with the time of a new quota", 429, map[string]string{"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": inAnHour},
			driver.RateLimited, time.Hour, 1},
		{"403 with a time to wait", 403, map[string]string{"Retry-After": "60"}, driver.RateLimited, time.Minute, 1},
		{"403 with a used-up quota", 403, map[string]string{"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": inAnHour},
			driver.RateLimited, time.Hour, 1},
		{"403 with a quota that begins anew in seconds", 403, map[string]string{"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "90"},
			driver.RateLimited, 90 * time.Second, 1},
		{"403 with a quota that has begun anew", 403, map[string]string{"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1700000000"},
			driver.RateLimited, 0, 3},
		{"a refusal with quota left", 403, map[string]string{"X-RateLimit-Remaining": "4999", "X-RateLimit-Reset": inAnHour},
			driver.PermissionDenied, 0, 1},
		{"a refusal", 403, nil, driver.PermissionDenied, 0, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var requests atomic.Int32
			server := serve(t, func(w http.ResponseWriter, _ *http.Request) {
				requests.Add(1)
				for name, value := range c.header {
					w.Header().Set(name, value)
				}
				w.WriteHeader(c.status)
			})
			_, err := get(t, client(t, rest.Config{BaseURL: server.URL}))
			wantCode(t, err, c.want)
			if got := rest.Classify(err).RetryAfter; got > c.wait || got < c.wait-time.Minute/2 {
				t.Errorf("the wait is %v, want about %v", got, c.wait)
			}
			if got := requests.Load(); got != c.requests {
				t.Errorf("%d requests, want %d", got, c.requests)
			}
		})
	}
}

func TestNoWaitBeyondTheDeadline(t *testing.T) {
	server := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "9")
		w.WriteHeader(http.StatusTooManyRequests)
	})
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	_, err := client(t, rest.Config{BaseURL: server.URL}).Do(ctx, rest.Request{Method: http.MethodGet})
	wantCode(t, err, driver.RateLimited)
	if ctx.Err() != nil {
		t.Error("it waited for the deadline")
	}
}

func TestAnswersThatAreNone(t *testing.T) {
	jsonType := func(w http.ResponseWriter) { w.Header().Set("Content-Type", "application/json") }
	for name, c := range map[string]struct {
		handler http.HandlerFunc
		want    driver.Code
	}{
		"html page": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			_, _ = w.Write([]byte("<html>"))
		}, driver.Unknown},
		"html 404": {func(w http.ResponseWriter, r *http.Request) { http.NotFound(w, r) }, driver.Unknown},
		"no type": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header()["Content-Type"] = nil
			_, _ = w.Write([]byte("{}"))
		}, driver.Unknown},
		"too large": {func(w http.ResponseWriter, _ *http.Request) {
			jsonType(w)
			_, _ = w.Write([]byte(`"` + strings.Repeat("x", 2000) + `"`))
		}, driver.Unknown},
		"broken off": {func(w http.ResponseWriter, _ *http.Request) {
			jsonType(w)
			w.Header().Set("Content-Length", "100")
			_, _ = w.Write([]byte(`{"a":`))
			panic(http.ErrAbortHandler)
		}, driver.Unavailable},
		"chunks broken off": {func(w http.ResponseWriter, _ *http.Request) {
			jsonType(w)
			_, _ = w.Write([]byte(`{"a":1}`))
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}, driver.Unavailable},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := get(t, client(t, rest.Config{BaseURL: serve(t, c.handler).URL, MaxBody: 1000}))
			wantCode(t, err, c.want)
		})
	}
}

func TestDecodeWantsOneWholeValue(t *testing.T) {
	for _, body := range []string{"", `{"a":1`, `{"a":1}{"a":2}`, `{"a":1}<html>`, `[1]`} {
		var out struct{ A int }
		err := (&rest.Response{Body: []byte(body)}).Decode(&out)
		wantCode(t, err, driver.Unknown)
	}
}

func TestRedirects(t *testing.T) {
	var leaked atomic.Bool
	other := serve(t, func(_ http.ResponseWriter, r *http.Request) { leaked.Store(r.Header.Get("Authorization") != "") })
	server := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/things":
			http.Redirect(w, r, other.URL+"/elsewhere", http.StatusTemporaryRedirect)
		case "/moved":
			http.Redirect(w, r, "/here", http.StatusMovedPermanently)
		case "/here":
			w.Header().Set("Content-Type", "application/json")
			_, _ = w.Write([]byte(`"` + r.Method + `"`))
		}
	})
	c := client(t, rest.Config{BaseURL: server.URL, Auth: rest.Auth{Bearer: secret.New(canary)}})
	_, err := get(t, c)
	wantCode(t, err, driver.Unknown)
	if !strings.Contains(err.Error(), strings.TrimPrefix(other.URL, "http://")) {
		t.Errorf("the error does not name the other host: %v", err)
	}
	if leaked.Load() {
		t.Error("credentials went to another host")
	}
	if _, err := c.Do(t.Context(), rest.Request{Method: http.MethodGet, Path: "/moved"}); err != nil {
		t.Errorf("redirect on the same host: %v", err)
	}
	_, err = c.Do(t.Context(), rest.Request{Method: http.MethodPost, Path: "/moved"})
	wantCode(t, err, driver.Unknown)
}

func TestConfigurationsThatAreRefused(t *testing.T) {
	for name, config := range map[string]rest.Config{
		"no scheme":          {BaseURL: "host.example/scim"},
		"userinfo":           {BaseURL: "https://admin:" + canary + "@host.example/scim"},
		"unparsable":         {BaseURL: "https://admin:" + canary + "@host.example/%zz"},
		"query":              {BaseURL: "https://host.example/scim?x=1"},
		"unencrypted":        {BaseURL: "http://host.example/scim", Auth: rest.Auth{Bearer: secret.New(canary)}},
		"two ways":           {BaseURL: "https://host.example", Auth: rest.Auth{Bearer: secret.New(canary), Username: "u"}},
		"user name alone":    {BaseURL: "https://host.example", Auth: rest.Auth{Username: "u"}},
		"password alone":     {BaseURL: "https://host.example", Auth: rest.Auth{Password: secret.New(canary)}},
		"key alone":          {BaseURL: "https://host.example", TLS: rest.TLS{KeyPEM: secret.New(canary)}},
		"no such file":       {BaseURL: "https://host.example", TLS: rest.TLS{CAFile: "/no/such/file"}},
		"no certificate":     {BaseURL: "https://host.example", TLS: rest.TLS{CAPEM: "nothing"}},
		"no client id":       {BaseURL: "https://host.example", Auth: rest.Auth{OAuth2: &rest.ClientCredentials{TokenURL: "https://x.example"}}},
		"unencrypted tokens": {BaseURL: "https://host.example", Auth: rest.Auth{OAuth2: &rest.ClientCredentials{ClientID: "c", TokenURL: "http://x.example"}}},
	} {
		_, err := rest.New(config)
		if err == nil {
			t.Errorf("%s: accepted", name)
		} else if strings.Contains(err.Error(), canary) {
			t.Errorf("%s: the error shows a secret: %v", name, err)
		}
	}
}

func TestClassify(t *testing.T) {
	for status, want := range map[int]driver.Code{
		400: driver.Invalid, 401: driver.Unauthenticated, 403: driver.PermissionDenied, 404: driver.Unknown,
		405: driver.Unsupported, 408: driver.Unavailable, 409: driver.Conflict, 412: driver.Conflict, 422: driver.Invalid,
		418: driver.Unknown, 429: driver.RateLimited, 500: driver.Unavailable, 501: driver.Unsupported,
		502: driver.Unavailable, 503: driver.Unavailable, 504: driver.Unavailable,
	} {
		err := fmt.Errorf("reading: %w", &rest.StatusError{Status: status})
		if got := rest.Classify(err).Code; got != want {
			t.Errorf("status %d is %q, want %q", status, got, want)
		}
	}
	for _, err := range []error{context.Canceled, context.DeadlineExceeded} {
		wantCode(t, err, driver.Unavailable)
	}
	wantCode(t, errors.New("something"), driver.Unknown)
}

func TestDetailIsShortAndOneLine(t *testing.T) {
	server := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusBadRequest)
		_, _ = fmt.Fprintf(w, `{"detail":"first\nsecond %s"}`, strings.Repeat("x", 5000))
	})
	_, err := get(t, client(t, rest.Config{BaseURL: server.URL}))
	wantCode(t, err, driver.Invalid)
	if text := err.Error(); len(text) > 500 || strings.Contains(text, "\n") || !strings.Contains(text, "first second") {
		t.Errorf("the error is %q", text)
	}
}

// TestSharedAsksOnce lets many callers wait for one fetch that fails, then for one that works.
func TestSharedAsksOnce(t *testing.T) {
	var shared rest.Shared[int]
	var fetches atomic.Int32
	always := func(int) bool { return true }
	for _, want := range []error{errors.New("down"), nil} {
		fetches.Store(0)
		begun, release := make(chan struct{}), make(chan struct{})
		fetch := func(context.Context) (int, error) {
			if fetches.Add(1) == 1 {
				close(begun)
			}
			<-release
			return 7, want
		}
		var all sync.WaitGroup
		errs := make([]error, 10)
		all.Go(func() { _, errs[0] = shared.Get(t.Context(), always, fetch) })
		<-begun
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := shared.Get(ctx, always, fetch); !errors.Is(err, context.Canceled) {
			t.Errorf("a caller that gave up got %v", err)
		}
		for i := range errs[1:] {
			all.Go(func() { _, errs[i+1] = shared.Get(t.Context(), always, fetch) })
		}
		close(release)
		all.Wait()
		for i, err := range errs {
			if want == nil && err != nil || want != nil && err == nil {
				t.Errorf("caller %d got %v, want %v", i, err, want)
			}
		}
		if want == nil && fetches.Load() != 1 {
			t.Errorf("%d fetches, want 1", fetches.Load())
		}
	}
}

// TestSharedOutlivesAPanic: a fetch that panics fails its own caller alone.
func TestSharedOutlivesAPanic(t *testing.T) {
	var shared rest.Shared[int]
	always := func(int) bool { return true }
	begun, release := make(chan struct{}), make(chan struct{})
	var all sync.WaitGroup
	all.Go(func() {
		defer func() { _ = recover() }()
		_, _ = shared.Get(t.Context(), always, func(context.Context) (int, error) {
			close(begun)
			<-release
			panic("bug")
		})
	})
	<-begun
	all.Go(func() {
		if got, err := shared.Get(t.Context(), always, func(context.Context) (int, error) { return 7, nil }); got != 7 || err != nil {
			t.Errorf("one that waited got %d, %v", got, err)
		}
	})
	close(release)
	all.Wait()
}
