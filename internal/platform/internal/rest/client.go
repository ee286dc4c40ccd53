// Package rest is the HTTP client that the drivers of plain HTTP platforms share. It authenticates, repeats what is
// safe to repeat, refuses to carry credentials to another host, and takes only complete answers of the expected media
// type for an answer. It knows no platform: drivers wrap its errors and its Classify.
package rest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/go-retryablehttp"

	"github.com/nhi-labs/terraform-provider-nhi/internal/secret"
	"github.com/nhi-labs/terraform-provider-nhi/internal/transport"
)

// TLS says whom to trust and, for mutual TLS, who we are.
type TLS = transport.TLS

const (
	// defaultTimeout is for a context without a deadline. The calls of package fleet have one, which users may choose: a
	// shorter one here would take it from them.
	defaultTimeout = 10 * time.Minute
	defaultMaxBody = 16 << 20
	retries        = 2
	retryWaitMin   = 200 * time.Millisecond
	retryWaitMax   = 2 * time.Second
	// longestRetryAfter is the longest wait that the client itself does when asked to. A longer one is the caller's
	// decision: it gets the error with the wait in it.
	longestRetryAfter = 10 * time.Second
)

// Config configures a Client.
type Config struct {
	// BaseURL is what every request path is appended to. It has no userinfo, query or fragment.
	BaseURL string
	Auth    Auth
	TLS     TLS
	// Timeout bounds one attempt; 0 is ten minutes.
	Timeout time.Duration
	// UserAgent names this program to the platform.
	UserAgent string
	// MediaType is sent as Accept, and as Content-Type of bodies; "" is application/json. Answers may be of this type,
	// of application/json, or of any type that ends in +json.
	MediaType string
	// MaxBody bounds an answer after decompression; 0 is 16 MiB.
	MaxBody int64
	// AllowPlainHTTP lets credentials travel over http:// to hosts other than this machine.
	AllowPlainHTTP bool
}

// Client talks to one base URL. It is safe for concurrent use.
type Client struct {
	base      *url.URL
	http      *retryablehttp.Client
	transport *http.Transport
	auth      authenticator
	userAgent string
	mediaType string
	maxBody   int64
}

// New checks config and makes a client. It reads certificate files, and does no network I/O.
func New(config Config) (*Client, error) {
	base, err := transport.ParseBase(config.BaseURL, config.AllowPlainHTTP)
	if err != nil {
		return nil, err
	}
	pool, err := config.TLS.Pool()
	if err != nil {
		return nil, err
	}
	plain := &http.Client{Transport: pool, Timeout: orDefault(config.Timeout, defaultTimeout), CheckRedirect: sameHostOnly}
	auth, err := config.Auth.build(plain, config.AllowPlainHTTP)
	if err != nil {
		return nil, err
	}
	c := &Client{
		base: base, transport: pool, auth: auth, userAgent: config.UserAgent,
		mediaType: orDefault(config.MediaType, "application/json"), maxBody: orDefault(config.MaxBody, defaultMaxBody),
	}
	c.http = &retryablehttp.Client{
		HTTPClient: plain, RetryMax: retries, RetryWaitMin: retryWaitMin, RetryWaitMax: retryWaitMax,
		CheckRetry: checkRetry, Backoff: backoff, ErrorHandler: retryablehttp.PassthroughErrorHandler,
	}
	return c, nil
}

func orDefault[T comparable](value, fallback T) T {
	var zero T
	if value == zero {
		return fallback
	}
	return value
}

// BaseURL returns the base URL without a slash at the end.
func (c *Client) BaseURL() *url.URL {
	u := *c.base
	return &u
}

// Close drops idle connections.
func (c *Client) Close() { c.transport.CloseIdleConnections() }

// Secrets returns every secret that the client was configured with, for redaction.
func (c *Client) Secrets() []secret.Value { return c.auth.secrets() }

// Request is one request. Body is encoded as JSON; nil sends none. Form, if set, is sent form-encoded instead.
type Request struct {
	Method string
	// Path is appended to the base URL. It is already escaped: build it from url.PathEscape.
	Path  string
	Query url.Values
	// Header is added to what the client sets itself.
	Header http.Header
	Body   any
	Form   url.Values
	// Idempotent allows a repetition of a method that is not idempotent by itself (POST, PATCH).
	Idempotent bool
	// Secrets are the secret texts in the body, the form, or a header other than Authorization. An error does not repeat
	// them, nor the credentials of the Authorization header, which need not be named.
	Secrets []secret.Value
}

// Response is a complete answer with a status between 200 and 299.
type Response struct {
	Status int
	Header http.Header
	Body   []byte
}

// Decode reads the body as one JSON value into out. An empty or malformed body, or one with something behind the
// value, is a *ContentError.
func (r *Response) Decode(out any) error {
	if err := json.Unmarshal(r.Body, out); err != nil {
		return &ContentError{Reason: "is not the expected JSON", Err: err}
	}
	return nil
}

// Do sends the request and returns the complete answer. Every status outside 200 to 299 is a *StatusError, every
// answer that is incomplete, too large or of another media type a *ContentError.
func (c *Client) Do(ctx context.Context, request Request) (*Response, error) {
	response, err := c.attempt(ctx, request)
	var status *StatusError
	if errors.As(err, &status) && status.Status == http.StatusUnauthorized && c.auth.invalidate(status.token.Reveal()) {
		// The token was refused, so nothing was done: once more with a fresh one, whatever the method.
		return c.attempt(ctx, request)
	}
	return response, err
}

func (c *Client) attempt(ctx context.Context, request Request) (*Response, error) {
	token, err := c.auth.header(ctx)
	if err != nil {
		return nil, err
	}
	httpRequest, err := c.build(ctx, request, token)
	if err != nil {
		return nil, err
	}
	answer, err := c.http.Do(httpRequest)
	if err != nil {
		return nil, err
	}
	defer func() { _ = answer.Body.Close() }()
	body, err := c.readBody(answer)
	if answer.StatusCode < 200 || answer.StatusCode > 299 {
		// The status is the news here, even if the text that explains it is broken.
		return nil, newStatusError(request, answer, body, token, slices.Concat(credentialsIn(httpRequest.Header), request.Secrets))
	}
	if err != nil {
		return nil, err
	}
	if err := c.checkMediaType(answer, body); err != nil {
		return nil, err
	}
	return &Response{Status: answer.StatusCode, Header: answer.Header, Body: body}, nil
}

func (c *Client) build(ctx context.Context, request Request, token string) (*retryablehttp.Request, error) {
	target := c.base.String() + request.Path
	if len(request.Query) > 0 {
		target += "?" + request.Query.Encode()
	}
	body, contentType, err := c.bodyOf(request)
	if err != nil {
		return nil, err
	}
	idempotent := request.Idempotent || isIdempotent(request.Method)
	ctx = context.WithValue(ctx, idempotentKey{}, idempotent)
	r, err := retryablehttp.NewRequestWithContext(ctx, request.Method, target, body)
	if err != nil {
		return nil, err
	}
	for name, values := range request.Header {
		r.Header[http.CanonicalHeaderKey(name)] = values
	}
	r.Header.Set("Accept", c.mediaType)
	if body != nil {
		r.Header.Set("Content-Type", contentType)
	}
	if c.userAgent != "" {
		r.Header.Set("User-Agent", c.userAgent)
	}
	if token != "" {
		r.Header.Set("Authorization", token)
	}
	return r, nil
}

// bodyOf encodes what is sent; nil if nothing is.
func (c *Client) bodyOf(request Request) (body any, contentType string, err error) {
	switch {
	case request.Form != nil:
		return []byte(request.Form.Encode()), "application/x-www-form-urlencoded", nil
	case request.Body != nil:
		encoded, err := encode(request.Body)
		if err != nil {
			return nil, "", fmt.Errorf("encoding the request: %w", err)
		}
		return encoded, c.mediaType, nil
	}
	return nil, "", nil
}

// encode leaves '<', '>' and '&' as they are: some platforms store the escapes that encoding/json prefers as text.
func encode(v any) ([]byte, error) {
	var buffer bytes.Buffer
	encoder := json.NewEncoder(&buffer)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(v)
	return buffer.Bytes(), err
}

func (c *Client) readBody(answer *http.Response) ([]byte, error) {
	body, err := io.ReadAll(io.LimitReader(answer.Body, c.maxBody+1))
	if err != nil {
		return nil, &ContentError{Reason: "broke off", Err: err, cut: true}
	}
	if int64(len(body)) > c.maxBody {
		return nil, &ContentError{Reason: fmt.Sprintf("is larger than %d bytes", c.maxBody)}
	}
	return body, nil
}

func (c *Client) checkMediaType(answer *http.Response, body []byte) error {
	if len(body) == 0 {
		return nil
	}
	name, _, err := mime.ParseMediaType(answer.Header.Get("Content-Type"))
	if err == nil && (name == c.mediaType || name == "application/json" || strings.HasSuffix(name, "+json")) {
		return nil
	}
	return &ContentError{Reason: fmt.Sprintf("is of type %q instead of %s: is something else behind this URL, "+
		"or a proxy between?", name, c.mediaType)}
}
