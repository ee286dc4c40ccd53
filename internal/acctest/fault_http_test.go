package acctest

import (
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"testing"
)

// serveHTTP makes the front of a platform that speaks HTTP, and returns the URL that the provider is to use. What the
// platform gets is as the provider sent it but for the host.
func (l *faultLink) serveHTTP(t testing.TB, backend string) string {
	t.Helper()
	target, err := url.Parse(backend)
	if err != nil {
		t.Fatal(err)
	}
	origin := &url.URL{Scheme: target.Scheme, Host: target.Host}
	reverse := &httputil.ReverseProxy{
		Rewrite:  func(r *httputil.ProxyRequest) { r.SetURL(origin) },
		ErrorLog: log.New(io.Discard, "", 0),
	}
	server := &http.Server{
		TLSConfig: l.tls(), ErrorLog: log.New(io.Discard, "", 0),
		// A fault of the network is one of the connection; with HTTP/2 one of many requests on it.
		TLSNextProto: make(map[string]func(*http.Server, *tls.Conn, http.Handler)),
		Handler:      http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { l.answer(w, r, reverse) }),
	}
	go func() { _ = server.ServeTLS(l.front, "", "") }()
	t.Cleanup(func() { _ = server.Close() })
	return fmt.Sprintf("https://%s:%d%s", l.host, l.port(), target.Path)
}

func (l *faultLink) answer(w http.ResponseWriter, r *http.Request, platform http.Handler) {
	f := l.request()
	switch {
	case f == nil:
		platform.ServeHTTP(w, r)
		return
	case f.reply != nil && !f.behind:
		f.reply(w, r, nil)
		return
	case f.lost:
		panic(http.ErrAbortHandler)
	}
	truth := httptest.NewRecorder()
	platform.ServeHTTP(truth, r)
	l.spoil(f, truth.Body.Len())
	if f.reply != nil {
		f.reply(w, r, truth)
		return
	}
	switch f.portion {
	case nothing:
		panic(http.ErrAbortHandler)
	case half:
		if HalfAnswer(w, r, truth) {
			return
		}
	}
	copyAnswer(w, truth)
}
