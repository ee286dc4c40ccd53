package kubernetes

import (
	"errors"
	"io"
	"net/http"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/platform/internal/rest"
)

// Classify says what an error of this driver means.
func (d *kubernetesDriver) Classify(err error) driver.Verdict { return classify(err) }

func classify(err error) driver.Verdict {
	if verdict, ok := driver.Known(err); ok {
		return verdict
	}
	var answer apierrors.APIStatus
	if errors.As(err, &answer) {
		status := answer.Status()
		verdict := driver.Verdict{Code: statusCode(err, status)}
		if status.Details != nil {
			verdict.RetryAfter = time.Duration(status.Details.RetryAfterSeconds) * time.Second
		}
		return verdict
	}
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return driver.Verdict{Code: driver.Unavailable}
	}
	return driver.Verdict{Code: rest.TransportCode(err)}
}

// reasonCodes are the meanings of an answer in which the API server gives its reason.
var reasonCodes = map[metav1.StatusReason]driver.Code{
	metav1.StatusReasonAlreadyExists:         driver.AlreadyExists,
	metav1.StatusReasonConflict:              driver.Conflict,
	metav1.StatusReasonInvalid:               driver.Invalid,
	metav1.StatusReasonBadRequest:            driver.Invalid,
	metav1.StatusReasonRequestEntityTooLarge: driver.Invalid,
	metav1.StatusReasonUnauthorized:          driver.Unauthenticated,
	metav1.StatusReasonForbidden:             driver.PermissionDenied,
	metav1.StatusReasonMethodNotAllowed:      driver.Unsupported,
	metav1.StatusReasonNotAcceptable:         driver.Unsupported,
	metav1.StatusReasonTooManyRequests:       driver.RateLimited,
	metav1.StatusReasonServiceUnavailable:    driver.Unavailable,
	metav1.StatusReasonServerTimeout:         driver.Unavailable,
	metav1.StatusReasonTimeout:               driver.Unavailable,
	metav1.StatusReasonExpired:               driver.Unavailable, // the moment that a list shows is no longer kept
	metav1.StatusReasonGone:                  driver.Unavailable,
}

// statusCode knows two sorts of answers: those of the API server, and those that client-go made up because what answered
// was something else (a proxy's error page), from which nothing follows but what holds for any HTTP server.
func statusCode(err error, status metav1.Status) driver.Code {
	if apierrors.IsUnexpectedServerError(err) {
		switch status.Code {
		case http.StatusTooManyRequests:
			return driver.RateLimited
		case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
			return driver.Unavailable
		}
		return driver.Unknown
	}
	switch {
	case apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause):
		return driver.Invalid
	case status.Reason == metav1.StatusReasonNotFound && status.Details != nil && status.Details.Kind != "" && status.Details.Name != "":
		return driver.NotFound // An unknown path names no object.
	}
	return reasonCodes[status.Reason]
}

// isAbsent reports whether the API server itself said that the object of this resource does not exist. An answer to one
// request may be about another object: the namespace of an object to make, or the role of a binding to change.
func isAbsent(err error, resource string) bool {
	var answer apierrors.APIStatus
	return errors.As(err, &answer) && classify(err).Code == driver.NotFound && answer.Status().Details.Kind == resource
}
