package aws

import (
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/platform/internal/rest"
)

// errorCodes are the meanings of the codes in errors of AWS. A status without such a code says nothing of what exists.
var errorCodes = map[string]driver.Code{
	"NoSuchEntity": driver.NotFound, "ResourceNotFoundException": driver.NotFound,

	"EntityAlreadyExists": driver.AlreadyExists, "ResourceExistsException": driver.AlreadyExists,

	"DeleteConflict": driver.Conflict, "ConcurrentModification": driver.Conflict, "EntityTemporarilyUnmodifiable": driver.Conflict,

	"ValidationError": driver.Invalid, "InvalidInput": driver.Invalid, "MalformedPolicyDocument": driver.Invalid,
	"LimitExceeded": driver.Invalid, "LimitExceededException": driver.Invalid, "InvalidParameterException": driver.Invalid,
	"InvalidParameterValue": driver.Invalid, "InvalidRequestException": driver.Invalid, "UnmodifiableEntity": driver.Invalid,
	"PolicyNotAttachable": driver.Invalid, "EncryptionFailure": driver.Invalid, "DecryptionFailure": driver.Invalid,

	"InvalidClientTokenId": driver.Unauthenticated, "InvalidAccessKeyId": driver.Unauthenticated, "AuthFailure": driver.Unauthenticated,
	"SignatureDoesNotMatch": driver.Unauthenticated, "IncompleteSignature": driver.Unauthenticated,
	"ExpiredToken": driver.Unauthenticated, "ExpiredTokenException": driver.Unauthenticated,
	"UnrecognizedClientException": driver.Unauthenticated, "MissingAuthenticationToken": driver.Unauthenticated,
	"InvalidSignatureException": driver.Unauthenticated, "RequestExpired": driver.Unauthenticated,

	"AccessDenied": driver.PermissionDenied, "AccessDeniedException": driver.PermissionDenied,
	"UnauthorizedOperation": driver.PermissionDenied, "OptInRequired": driver.PermissionDenied,

	"NotImplemented": driver.Unsupported, "InvalidAction": driver.Unsupported, "UnknownOperationException": driver.Unsupported,

	"Throttling": driver.RateLimited, "ThrottlingException": driver.RateLimited, "ThrottledException": driver.RateLimited,
	"RequestThrottled": driver.RateLimited, "RequestThrottledException": driver.RateLimited,
	"RequestLimitExceeded": driver.RateLimited, "TooManyRequestsException": driver.RateLimited, "SlowDown": driver.RateLimited,

	"ServiceUnavailable": driver.Unavailable, "ServiceFailure": driver.Unavailable, "InternalFailure": driver.Unavailable,
	"InternalServiceError": driver.Unavailable, "InternalError": driver.Unavailable, "RequestTimeout": driver.Unavailable,
}

// Classify says what an error of this driver means.
func (d *awsDriver) Classify(err error) driver.Verdict { return classify(err) }

func classify(err error) driver.Verdict {
	if verdict, ok := driver.Known(err); ok {
		return verdict
	}
	var named smithy.APIError
	var answer *smithyhttp.ResponseError
	isAnswer := errors.As(err, &answer)
	if errors.As(err, &named) {
		if staleMarker(named) {
			return driver.Verdict{Code: driver.Conflict}
		}
		if code, ok := errorCodes[codeOf(named)]; ok {
			return driver.Verdict{Code: code, RetryAfter: retryAfter(answer)}
		}
	}
	if isAnswer {
		switch answer.HTTPStatusCode() {
		case http.StatusTooManyRequests:
			return driver.Verdict{Code: driver.RateLimited, RetryAfter: retryAfter(answer)}
		case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
			return driver.Verdict{Code: driver.Unavailable, RetryAfter: retryAfter(answer)}
		case http.StatusNotImplemented:
			return driver.Verdict{Code: driver.Unsupported}
		case 0:
		default:
			return driver.Verdict{}
		}
	}
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return driver.Verdict{Code: driver.Unavailable}
	}
	return driver.Verdict{Code: rest.TransportCode(err)}
}

// staleMarker reports whether a list was changed while it was read page by page. The marker is always the server's own; some
// compatible servers name the last entry in it, and refuse it once that is gone. The list has to be read anew.
func staleMarker(err smithy.APIError) bool {
	return codeOf(err) == "InvalidInput" && strings.Contains(strings.ToLower(err.ErrorMessage()), "marker")
}

// codeOf returns the code as the API documents it: some SDKs and servers put a namespace before it, or the suffix of the
// SDK's type behind it.
func codeOf(err smithy.APIError) string {
	code := err.ErrorCode()
	if i := strings.LastIndexByte(code, '#'); i >= 0 {
		code = code[i+1:]
	}
	if _, known := errorCodes[code]; !known {
		code = strings.TrimSuffix(code, "Exception")
	}
	return code
}

func retryAfter(answer *smithyhttp.ResponseError) time.Duration {
	if answer == nil || answer.Response == nil || answer.Response.Response == nil {
		return 0
	}
	seconds, err := strconv.Atoi(answer.Response.Header.Get("Retry-After"))
	if err != nil || seconds < 0 {
		return 0
	}
	return time.Duration(seconds) * time.Second
}

// hasCode reports whether AWS gave this code.
func hasCode(err error, code string) bool {
	var named smithy.APIError
	return errors.As(err, &named) && codeOf(named) == code
}

func isAbsent(err error) bool { return err != nil && classify(err).Code == driver.NotFound }

// gone turns "it does not exist" into success.
func gone(err error) error {
	if isAbsent(err) {
		return nil
	}
	return err
}

// lacks turns "this server has no such operation" into success: what it does not have there are none of.
func lacks(err error) error {
	if err != nil && classify(err).Code == driver.Unsupported {
		return nil
	}
	return err
}
