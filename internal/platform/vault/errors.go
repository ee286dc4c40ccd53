package vault

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"time"

	"github.com/hashicorp/vault/api"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/transport"
)

// requestError is an error of the client library with what the library leaves out: what the answer's header said about
// waiting, and the body of a 404, in which Vault says more than that.
type requestError struct {
	err        error
	retryAfter time.Duration
	body       []byte
}

func (e *requestError) Error() string { return e.err.Error() }

func (e *requestError) Unwrap() error { return e.err }

// Classify says what an error of this driver means.
func (d *vaultDriver) Classify(err error) driver.Verdict { return classify(err) }

func classify(err error) driver.Verdict {
	if verdict, ok := driver.Known(err); ok {
		return verdict
	}
	var answer *api.ResponseError
	if errors.As(err, &answer) {
		verdict := driver.Verdict{Code: classifyAnswer(answer)}
		if isUnknownAccessor(err) {
			verdict.Code = driver.NotFound
		}
		var e *requestError
		if errors.As(err, &e) {
			verdict.RetryAfter = e.retryAfter
		}
		return verdict
	}
	return driver.Verdict{Code: classifyTransport(err)}
}

// messageCodes are texts of Vault that say more than the status.
var messageCodes = []struct {
	status int
	text   string
	code   driver.Code
}{
	{http.StatusBadRequest, "check-and-set parameter", driver.Conflict},
	{http.StatusBadRequest, "already in use", driver.AlreadyExists},
	{http.StatusBadRequest, "missing client token", driver.Unauthenticated},
	{http.StatusForbidden, "invalid token", driver.Unauthenticated},
	{http.StatusForbidden, "bad token", driver.Unauthenticated},
	{http.StatusForbidden, "token is expired", driver.Unauthenticated},
	{http.StatusNotFound, "no handler for route", driver.Invalid},
	{http.StatusBadRequest, "invalid accessor", driver.NotFound},
	{http.StatusForbidden, "invalid accessor", driver.NotFound},
	{http.StatusInternalServerError, "failed to find accessor entry", driver.NotFound},
	{http.StatusInternalServerError, `" does not exist`, driver.NotFound}, // an AppRole, told by what is below it
	{http.StatusBadRequest, `" does not exist`, driver.NotFound},
	{http.StatusInternalServerError, "invalid entity ID", driver.Conflict}, // a member was deleted meanwhile
	{http.StatusInternalServerError, "not active", driver.Unavailable},
	{http.StatusInternalServerError, "no active", driver.Unavailable},
	{http.StatusInternalServerError, "context deadline exceeded", driver.Unavailable},
	{http.StatusInternalServerError, "context canceled", driver.Unavailable},
}

// statusCodes are the meanings of a status in an answer that has Vault's shape. 404 is not among them: isAbsence.
var statusCodes = map[int]driver.Code{
	http.StatusBadRequest:            driver.Invalid,
	http.StatusUnauthorized:          driver.Unauthenticated,
	http.StatusForbidden:             driver.PermissionDenied,
	http.StatusMethodNotAllowed:      driver.Unsupported,
	http.StatusPreconditionFailed:    driver.Conflict,
	http.StatusRequestEntityTooLarge: driver.Invalid,
	http.StatusTooManyRequests:       driver.RateLimited,
	472:                              driver.Unavailable, // disaster recovery secondary
	473:                              driver.Unavailable, // performance standby
	http.StatusNotImplemented:        driver.Unavailable, // not initialised
	http.StatusBadGateway:            driver.Unavailable,
	http.StatusServiceUnavailable:    driver.Unavailable, // sealed, or in maintenance
	http.StatusGatewayTimeout:        driver.Unavailable,
}

// proxyCodes are the statuses that mean the same from anything that stands before Vault.
var proxyCodes = []int{http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout}

func classifyAnswer(e *api.ResponseError) driver.Code {
	for _, status := range proxyCodes {
		if e.StatusCode == status {
			return statusCodes[status]
		}
	}
	if e.RawError || e.Errors == nil {
		return driver.Unknown
	}
	text := strings.Join(e.Errors, "\n")
	for _, m := range messageCodes {
		if e.StatusCode == m.status && strings.Contains(text, m.text) {
			return m.code
		}
	}
	if isAbsence(e) {
		return driver.NotFound
	}
	return statusCodes[e.StatusCode]
}

// isAbsence reports whether Vault itself said that a path holds nothing: status 404 with an empty list of errors. A
// proxy's page, an empty object, or a missing mount (which comes with a message) is not that.
func isAbsence(err error) bool {
	var e *api.ResponseError
	return errors.As(err, &e) && e.StatusCode == http.StatusNotFound && !e.RawError && e.Errors != nil && len(e.Errors) == 0
}

func classifyTransport(err error) driver.Code {
	var (
		unknownAuthority x509.UnknownAuthorityError
		wrongHost        x509.HostnameError
		badCertificate   x509.CertificateInvalidError
		verification     *tls.CertificateVerificationError
		notTLS           tls.RecordHeaderError
		network          *net.OpError
		dns              *net.DNSError
		request          *url.Error
		redirect         *transport.RedirectError
		size             *transport.SizeError
	)
	switch {
	case errors.As(err, &redirect), errors.As(err, &size):
		return driver.Unknown // Something else may be there in place of Vault.
	case errors.As(err, &unknownAuthority), errors.As(err, &wrongHost), errors.As(err, &badCertificate),
		errors.As(err, &verification), errors.As(err, &notTLS):
		return driver.Unknown
	case errors.As(err, &network), errors.As(err, &dns), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF),
		errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return driver.Unavailable
	case errors.As(err, &request):
		return driver.Unavailable // Several of the ways in which net/http says that a connection ended have no type.
	default:
		return driver.Unknown
	}
}

// hideLoginError keeps the meaning of a failed login and drops the server's text, in which Vault may repeat the secret
// id. Transport errors hold no body and stay.
func hideLoginError(err error) error {
	var answer *api.ResponseError
	if !errors.As(err, &answer) {
		return err
	}
	verdict := classify(err)
	text := strings.Join(answer.Errors, "\n")
	refused := strings.Contains(text, "invalid role or secret ID") || strings.Contains(text, "invalid secret_id") ||
		strings.Contains(text, "invalid role ID")
	if (answer.StatusCode == http.StatusBadRequest && refused) || verdict.Code == driver.PermissionDenied {
		verdict.Code = driver.Unauthenticated
		return &driver.Error{Verdict: verdict, Err: errors.New("the login was refused")}
	}
	return &driver.Error{Verdict: verdict, Err: fmt.Errorf("the login failed with status %d", answer.StatusCode)}
}

// healthError gives the states in which Vault answers its health check with an error status a readable text.
func healthError(err error) error {
	var answer *api.ResponseError
	if !errors.As(err, &answer) {
		return err
	}
	switch answer.StatusCode {
	case 472, http.StatusNotImplemented, http.StatusServiceUnavailable:
		return driver.Errorf(driver.Unavailable, "Vault is sealed, not initialised or a disaster recovery secondary (status %d)",
			answer.StatusCode)
	default:
		return err
	}
}
