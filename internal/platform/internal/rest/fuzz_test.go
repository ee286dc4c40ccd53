package rest_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/platform/internal/rest"
	"github.com/nhi-labs/terraform-provider-nhi/internal/secret"
)

// said is what a hostile server answers.
type said struct {
	status            int
	contentType, wait string
	body              []byte
}

func (s *said) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	if s.contentType != "" {
		w.Header().Set("Content-Type", s.contentType)
	}
	if s.wait != "" {
		w.Header().Set("Retry-After", s.wait)
	}
	w.WriteHeader(s.status)
	_, _ = w.Write(s.body)
}

// FuzzTokenEndpoint: whatever a token endpoint answers, the call ends in time, says what it means, and repeats neither our
// secret nor, if it is an error, what the endpoint said at length.
func FuzzTokenEndpoint(f *testing.F) {
	for _, body := range []string{
		`{"access_token":"t","token_type":"bearer","expires_in":3600}`, `{"access_token":"t","token_type":"DPoP","expires_in":"3600"}`,
		`{"access_token":"","token_type":"bearer"}`, `{"access_token":7}`, `{"access_token":"a\nb: c","token_type":"x y"}`,
		`{"error":"invalid_client","error_description":"` + canary + `"}`, `access_token=t&token_type=bearer&expires_in=9223372036854775807`,
		`{"access_token":"t","expires_in":-1}`, `{"access_token":"t","expires_in":1e400}`, "", "<html>", strings.Repeat("[", 20000),
	} {
		f.Add(uint8(0), "application/json", "", []byte(body))
		f.Add(uint8(1), "application/x-www-form-urlencoded", "99999999999999999999", []byte(body))
		f.Add(uint8(2), "text/html", "Thu, 01 Jan 1970 00:00:00 GMT", []byte(body))
	}
	statuses := []int{200, 400, 401, 403, 404, 429, 500, 503, 302, 204}
	var now atomic.Pointer[said]
	token := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { now.Load().ServeHTTP(w, r) }))
	f.Cleanup(token.Close)
	things := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte("{}"))
	}))
	f.Cleanup(things.Close)
	f.Fuzz(func(t *testing.T, status uint8, contentType, wait string, body []byte) {
		now.Store(&said{statuses[int(status)%len(statuses)], contentType, wait, body})
		c, err := rest.New(rest.Config{BaseURL: things.URL, Auth: rest.Auth{OAuth2: &rest.ClientCredentials{
			TokenURL: token.URL + "/token", ClientID: "client", ClientSecret: secret.New(canary),
		}}})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		begin := time.Now()
		_, err = c.Do(ctx, rest.Request{Method: http.MethodGet, Path: "/things"})
		if took := time.Since(begin); took > 20*time.Second {
			t.Errorf("took %s", took)
		}
		if err == nil {
			return
		}
		if text := err.Error(); strings.Contains(text, canary) || len(text) > 2000 {
			t.Errorf("the error says too much: %s", text)
		}
		if code := rest.Classify(err).Code; code == driver.NotFound || code == driver.AlreadyExists {
			t.Errorf("a token endpoint cannot tell that: %s", code)
		}
	})
}

// FuzzAnswer: whatever a server answers, the call ends, and what is no complete answer of the right kind is an error.
func FuzzAnswer(f *testing.F) {
	for _, seed := range []struct{ contentType, wait, body string }{
		{"application/json", "", "{}"}, {"application/json; charset=x", "5", `{"detail":"x"}`}, {"text/html", "-1", "<h1>"}, {"", "1e9", ""},
		{"application/problem+json", "soon", `{"title":"a","detail":["b"],"errors":{"c":1}}`}, {"a/b;;", "", "\xff"},
	} {
		for status := range 8 {
			f.Add(uint8(status), seed.contentType, seed.wait, []byte(seed.body))
		}
	}
	statuses := []int{200, 404, 400, 401, 403, 409, 302, 204, 422, 599}
	var now atomic.Pointer[said]
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { now.Load().ServeHTTP(w, r) }))
	f.Cleanup(server.Close)
	c, err := rest.New(rest.Config{BaseURL: server.URL, Auth: rest.Auth{Bearer: secret.New(canary)}})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(c.Close)
	f.Fuzz(func(t *testing.T, status uint8, contentType, wait string, body []byte) {
		now.Store(&said{statuses[int(status)%len(statuses)], contentType, wait, body})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		response, err := c.Do(ctx, rest.Request{Method: http.MethodPost, Path: "/things", Body: "x"})
		var refused *rest.StatusError
		switch {
		case err == nil && (response.Status < 200 || response.Status > 299):
			t.Errorf("status %d is no error", response.Status)
		case errors.As(err, &refused) && refused.RetryAfter < 0:
			t.Errorf("waits %s", refused.RetryAfter)
		}
		if err == nil {
			var out map[string]any
			_ = response.Decode(&out)
		}
	})
}
