package transport_test

import (
	"compress/gzip"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"github.com/nhi-labs/terraform-provider-nhi/internal/transport"
)

func guarded(t *testing.T, maxBody int64, answer http.HandlerFunc) (*http.Client, string) {
	t.Helper()
	server := httptest.NewServer(answer)
	t.Cleanup(server.Close)
	pool, err := transport.TLS{}.Pool()
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: transport.Guard{Next: pool, MaxBody: maxBody}}
	t.Cleanup(client.CloseIdleConnections)
	return client, server.URL
}

func TestGuardRefusesRedirects(t *testing.T) {
	t.Parallel()
	elsewhere := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		t.Errorf("%s %s reached another host", r.Method, r.URL)
	}))
	t.Cleanup(elsewhere.Close)
	client, address := guarded(t, 1<<10, func(w http.ResponseWriter, r *http.Request) {
		status, _ := strconv.Atoi(r.URL.Path[1:])
		if to := r.URL.Query().Get("to"); to != "" {
			w.Header().Set("Location", to)
		}
		w.WriteHeader(status)
	})
	for _, status := range []string{"301", "302", "303", "307", "308"} {
		for _, to := range []string{elsewhere.URL, "/here", ""} {
			for _, method := range []string{http.MethodGet, http.MethodPost} {
				request, err := http.NewRequestWithContext(t.Context(), method, address+"/"+status+"?to="+to, strings.NewReader("body"))
				if err != nil {
					t.Fatal(err)
				}
				answer, err := client.Do(request)
				if err == nil {
					_ = answer.Body.Close()
				}
				var refused *transport.RedirectError
				if !errors.As(err, &refused) {
					t.Errorf("%s, %s to %q: %v", method, status, to, err)
				} else if strings.HasPrefix(to, "http") && refused.Target != to {
					t.Errorf("the error names %q instead of %q", refused.Target, to)
				}
			}
		}
	}
}

func TestGuardEndsLongAnswers(t *testing.T) {
	t.Parallel()
	const most = 1 << 10
	client, address := guarded(t, most, func(w http.ResponseWriter, r *http.Request) {
		size, _ := strconv.Atoi(r.URL.Path[1:])
		w.Header().Set("Content-Encoding", "gzip")
		packed := gzip.NewWriter(w)
		_, _ = io.WriteString(packed, strings.Repeat("x", size))
		_ = packed.Close()
	})
	for size, fits := range map[int]bool{0: true, 1: true, most: true, most + 1: false, 1 << 20: false} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address+"/"+strconv.Itoa(size), nil)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := client.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(answer.Body)
		_ = answer.Body.Close()
		var tooLong *transport.SizeError
		if fits && (err != nil || len(text) != size) || !fits && (!errors.As(err, &tooLong) || len(text) != most) {
			t.Errorf("%d bytes: read %d, %v", size, len(text), err)
		}
	}
}
