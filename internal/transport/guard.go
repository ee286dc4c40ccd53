package transport

import (
	"fmt"
	"io"
	"net/http"
)

// Guard stands between a client library and the server for which it holds credentials. A redirect becomes a
// *RedirectError, whatever the library would do with it: some send their credentials, or the body of the request, along
// to any host. An answer that goes on beyond MaxBody bytes, counted after decompression, ends with a *SizeError.
type Guard struct {
	Next    http.RoundTripper
	MaxBody int64
}

// RoundTrip implements http.RoundTripper.
func (g Guard) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := g.Next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	switch answer.StatusCode {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther, http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		_ = answer.Body.Close()
		refused := &RedirectError{Target: "nowhere", Reason: "configure the address that answers itself"}
		if at, err := answer.Location(); err == nil {
			refused.Target = at.Scheme + "://" + at.Host
		}
		return nil, refused
	}
	answer.Body = &boundedBody{answer.Body, g.MaxBody, g.MaxBody}
	return answer, nil
}

// CloseIdleConnections lets http.Client reach the pool of connections.
func (g Guard) CloseIdleConnections() {
	if pool, ok := g.Next.(interface{ CloseIdleConnections() }); ok {
		pool.CloseIdleConnections()
	}
}

// RedirectError is a redirect that was not followed.
type RedirectError struct {
	// Target is scheme and host of where it led to.
	Target string
	Reason string
}

func (e *RedirectError) Error() string {
	return fmt.Sprintf("refused the redirect to %s: %s", e.Target, e.Reason)
}

// SizeError is an answer that is too large to be one.
type SizeError struct{ Max int64 }

func (e *SizeError) Error() string { return fmt.Sprintf("the answer is larger than %d bytes", e.Max) }

// boundedBody is a body that fails where it goes on beyond max bytes.
type boundedBody struct {
	io.ReadCloser
	left, max int64
}

// Read implements io.Reader.
func (b *boundedBody) Read(p []byte) (int, error) {
	if int64(len(p)) > b.left+1 {
		p = p[:b.left+1] // One byte more tells an answer that ends there from one that goes on.
	}
	n, err := b.ReadCloser.Read(p)
	if int64(n) > b.left {
		n, err = int(b.left), &SizeError{b.max}
	}
	b.left -= int64(n)
	return n, err
}
