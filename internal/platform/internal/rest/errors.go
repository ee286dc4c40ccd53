package rest

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/secret"
	"github.com/nhi-labs/terraform-provider-nhi/internal/transport"
)

// StatusError is an answer with a status outside 200 to 299.
type StatusError struct {
	Method, Path string
	Status       int
	// RetryAfter is how long the platform asked to wait, 0 if it did not say.
	RetryAfter time.Duration
	// Detail is the platform's own short explanation, "" if it gave none in a known form.
	Detail string
	// Body is the whole answer if it is JSON, for drivers that know its shape. It never becomes part of the message. What
	// its texts repeat of the request's credentials is masked, as in Detail.
	Body []byte

	throttled bool
	token     secret.Value
}

func (e *StatusError) Error() string {
	text := fmt.Sprintf("%s %s: status %d %s", e.Method, e.Path, e.Status, http.StatusText(e.Status))
	text = strings.TrimSpace(text)
	if e.Detail != "" {
		text += ": " + e.Detail
	}
	if e.RetryAfter > 0 {
		text += fmt.Sprintf(" (retry after %s)", e.RetryAfter.Round(time.Second))
	}
	return text
}

// ContentError is an answer that cannot be taken for one: incomplete, too large, not JSON.
type ContentError struct {
	Reason string
	Err    error
	cut    bool
}

func (e *ContentError) Error() string {
	if e.Err != nil {
		return fmt.Sprintf("the answer %s: %v", e.Reason, e.Err)
	}
	return "the answer " + e.Reason
}

// Unwrap returns what the reader or the JSON decoder said.
func (e *ContentError) Unwrap() error { return e.Err }

// RedirectError is a redirect that was not followed.
type RedirectError = transport.RedirectError

const maxRedirects = 5

// sameHostOnly follows a redirect only where credentials and method stay what they were.
func sameHostOnly(next *http.Request, via []*http.Request) error {
	first := via[0]
	refuse := func(reason string) error {
		return &RedirectError{Target: next.URL.Scheme + "://" + next.URL.Host, Reason: reason}
	}
	switch {
	case next.URL.Scheme != first.URL.Scheme || !strings.EqualFold(next.URL.Host, first.URL.Host):
		return refuse("credentials are sent to the configured host only; if that host is right, configure it")
	case next.Method != first.Method:
		return refuse("it would turn " + first.Method + " into " + next.Method)
	case len(via) > maxRedirects:
		return refuse("too many redirects")
	}
	return nil
}

func newStatusError(request Request, answer *http.Response, body []byte, token string, carried []secret.Value) *StatusError {
	e := &StatusError{
		Method: request.Method, Path: request.Path, Status: answer.StatusCode,
		RetryAfter: retryAfter(answer.Header), throttled: throttled(answer.StatusCode, answer.Header), token: secret.New(token),
	}
	name, _, _ := mime.ParseMediaType(answer.Header.Get("Content-Type"))
	if name == "application/json" || strings.HasSuffix(name, "+json") {
		e.Body = masked(body, carried)
		e.Detail = detailOf(e.Body)
	}
	return e
}

// detailOf finds the explanation in the shapes that are common among HTTP platforms.
func detailOf(body []byte) string {
	var known struct {
		Detail      json.RawMessage `json:"detail"`
		Message     json.RawMessage `json:"message"`
		Description json.RawMessage `json:"error_description"`
		Error       json.RawMessage `json:"error"`
		Title       json.RawMessage `json:"title"`
		Errors      json.RawMessage `json:"errors"`
	}
	if json.Unmarshal(body, &known) != nil {
		return ""
	}
	var list []string
	if json.Unmarshal(known.Errors, &list) == nil && len(list) > 0 {
		return short(strings.Join(list, "; "))
	}
	for _, raw := range []json.RawMessage{known.Detail, known.Message, known.Description, known.Error, known.Title} {
		var text string
		if json.Unmarshal(raw, &text) == nil && text != "" {
			return short(text)
		}
	}
	return ""
}

// short makes a platform's text fit for one line of an error.
func short(text string) string {
	const longest = 300
	text = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, text)
	if runes := []rune(text); len(runes) > longest {
		return string(runes[:longest]) + "…"
	}
	return text
}

// Classify says what an error of this package means as far as HTTP alone tells it. A 404 is Unknown: only the driver
// knows what its platform's own "not found" looks like, and a proxy's page must never be read as absence.
func Classify(err error) driver.Verdict {
	if verdict, ok := driver.Known(err); ok {
		return verdict
	}
	var status *StatusError
	var content *ContentError
	var redirect *RedirectError
	switch {
	case errors.As(err, &status):
		return driver.Verdict{Code: status.Code(), RetryAfter: status.RetryAfter}
	case errors.As(err, &content) && content.cut:
		return driver.Verdict{Code: driver.Unavailable}
	case errors.As(err, &content), errors.As(err, &redirect):
		return driver.Verdict{Code: driver.Unknown}
	}
	return driver.Verdict{Code: TransportCode(err)}
}

// Code says what the status means by itself.
func (e *StatusError) Code() driver.Code {
	switch e.Status {
	case http.StatusBadRequest, http.StatusUnprocessableEntity, http.StatusRequestEntityTooLarge:
		return driver.Invalid
	case http.StatusUnauthorized, http.StatusProxyAuthRequired:
		return driver.Unauthenticated
	case http.StatusForbidden:
		if e.throttled {
			return driver.RateLimited
		}
		return driver.PermissionDenied
	case http.StatusConflict, http.StatusPreconditionFailed:
		return driver.Conflict
	case http.StatusMethodNotAllowed, http.StatusNotImplemented:
		return driver.Unsupported
	case http.StatusTooManyRequests:
		return driver.RateLimited
	case http.StatusRequestTimeout:
		return driver.Unavailable
	}
	if e.Status >= 500 {
		return driver.Unavailable
	}
	return driver.Unknown
}

// TransportCode classifies what happens below HTTP; for drivers whose client library speaks HTTP itself, too.
func TransportCode(err error) driver.Code {
	var unknownCA x509.UnknownAuthorityError
	var hostname x509.HostnameError
	var verification *tls.CertificateVerificationError
	var op *net.OpError
	var request *url.Error
	var network net.Error
	var redirect *transport.RedirectError
	var size *transport.SizeError
	switch {
	case errors.As(err, &redirect), errors.As(err, &size):
		return driver.Unknown // Something else may be there in place of the platform.
	case errors.As(err, &verification), errors.As(err, &unknownCA), errors.As(err, &hostname):
		return driver.Invalid // Repeating does not help: the configuration has the wrong host or lacks the CA.
	case errors.As(err, &op) && op.Op == "remote error":
		return driver.Unauthenticated // A TLS alert: the server refused our certificate, or wants one.
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return driver.Unavailable
	case errors.As(err, &request), errors.As(err, &network):
		return driver.Unavailable
	}
	return driver.Unknown
}
