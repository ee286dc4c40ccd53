// Package post sends single HTTP requests for the audit sinks: one attempt, no redirect, a bounded answer.
package post

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"unicode"

	"github.com/nhi-labs/terraform-provider-nhi/internal/audit"
	"github.com/nhi-labs/terraform-provider-nhi/internal/transport"
)

// maxAnswer bounds how much of an answer is read. An acknowledgement is short; whatever is longer is none.
const maxAnswer = 64 << 10

// Config says where to post.
type Config struct {
	URL string
	TLS transport.TLS
	// AllowPlainHTTP lets events and credentials travel over http:// to hosts other than this machine.
	AllowPlainHTTP bool
}

// Client posts to one URL and the paths below it. It is safe for concurrent use.
type Client struct {
	base *url.URL
	http http.Client
}

// New checks config and makes a client. It reads certificate files, and does no network I/O.
func New(config Config) (*Client, error) {
	base, err := transport.ParseBase(config.URL, config.AllowPlainHTTP)
	if err != nil {
		return nil, err
	}
	pool, err := config.TLS.Pool()
	if err != nil {
		return nil, err
	}
	return &Client{base: base, http: http.Client{
		Transport:     pool,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// Close drops idle connections.
func (c *Client) Close() error {
	c.http.CloseIdleConnections()
	return nil
}

// Answer is a complete answer with any status.
type Answer struct {
	Status int
	Body   []byte
}

// Post sends body to the path below the URL, once. id identifies the request: with it, a connection that the server had
// closed before it read anything is replaced without an error. An answer that is longer than 64 KiB or breaks off is an
// error.
func (c *Client) Post(ctx context.Context, path, id string, header http.Header, body []byte) (*Answer, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.base.String()+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	request.Header = header.Clone()
	request.Header.Set("Idempotency-Key", id)
	response, err := c.http.Do(request)
	if err != nil {
		return nil, err
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer+1))
	if err != nil {
		return nil, fmt.Errorf("the answer (%s) broke off: %w", response.Status, err)
	}
	if len(text) > maxAnswer {
		return nil, fmt.Errorf("the answer (%s) is longer than %d bytes", response.Status, maxAnswer)
	}
	return &Answer{response.StatusCode, text}, nil
}

// Refused is the error of an answer that is no acknowledgement. detail is what the receiver itself said, "" for nothing. It is an
// audit.ErrRefused if the status is about what was posted (RFC 9110, section 15.5).
func (a *Answer) Refused(detail string) error {
	text := strings.TrimSpace(fmt.Sprintf("the receiver answered %d %s", a.Status, http.StatusText(a.Status)))
	if a.Status >= 300 && a.Status < 400 {
		text += "; redirects are not followed: configure the address that it leads to"
	}
	if detail = Line(detail); detail != "" {
		text += ": " + detail
	}
	if a.ofContent() {
		return fmt.Errorf("%w: %s", audit.ErrRefused, text)
	}
	return errors.New(text)
}

// ofContent reports whether another request from the same sender to the same place at the same time might have been taken.
func (a *Answer) ofContent() bool {
	switch a.Status {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusProxyAuthRequired, // the sender
		http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusGone, http.StatusMisdirectedRequest, // the place
		http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests: // the time
		return false
	}
	return a.Status >= 400 && a.Status < 500
}

// Line makes what a receiver said fit for one line of an error.
func Line(text string) string {
	const longest = 300
	text = strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return ' '
	}, text)
	if runes := []rune(text); len(runes) > longest {
		text = string(runes[:longest]) + "…"
	}
	return strings.TrimSpace(text)
}
