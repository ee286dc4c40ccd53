package rest

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strconv"
	"time"
)

// idempotentKey carries Request.Idempotent to checkRetry, which sees the context only.
type idempotentKey struct{}

func isIdempotent(method string) bool {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPut, http.MethodDelete:
		return true
	}
	return false
}

// checkRetry repeats idempotent requests that the platform put off, or that were never sent. It never waits beyond the
// context's deadline: the platform's own answer is a better error than "deadline exceeded".
func checkRetry(ctx context.Context, answer *http.Response, err error) (bool, error) {
	if ctx.Err() != nil {
		return false, ctx.Err()
	}
	if idempotent, _ := ctx.Value(idempotentKey{}).(bool); !idempotent {
		return false, nil
	}
	if err != nil {
		return neverSent(err) && fits(ctx, retryWaitMax), nil
	}
	wait := retryAfter(answer.Header)
	switch answer.StatusCode {
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
	default:
		if !throttled(answer.StatusCode, answer.Header) {
			return false, nil
		}
	}
	return wait <= longestRetryAfter && fits(ctx, max(wait, retryWaitMax)), nil
}

// neverSent reports whether the request cannot have reached the platform.
func neverSent(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "dial"
}

func fits(ctx context.Context, wait time.Duration) bool {
	deadline, ok := ctx.Deadline()
	return !ok || time.Until(deadline) > wait
}

func backoff(low, high time.Duration, attempt int, answer *http.Response) time.Duration {
	if answer != nil {
		if wait := retryAfter(answer.Header); wait > 0 {
			return wait
		}
	}
	return min(low<<attempt, high)
}

// throttled reports whether an answer says "not now" rather than "no". Some platforms, GitHub first among them, throttle
// with 403: a time to wait, or a quota that is used up, tells it from a refusal
// (https://docs.github.com/rest/using-the-rest-api/rate-limits-for-the-rest-api).
func throttled(status int, header http.Header) bool {
	switch status {
	case http.StatusTooManyRequests:
		return true
	case http.StatusForbidden:
		return retryAfter(header) > 0 || quotaUsedUp(header)
	}
	return false
}

func quotaUsedUp(header http.Header) bool { return header.Get("X-RateLimit-Remaining") == "0" }

// retryAfter is how long the platform asks to wait: the Retry-After header in both of its forms, or else the time at which
// a quota that is used up begins anew. It is 0 if there is none, or if it is unreadable or in the past.
func retryAfter(header http.Header) time.Duration {
	text := header.Get("Retry-After")
	if seconds, err := strconv.ParseInt(text, 10, 32); err == nil {
		return max(0, time.Duration(seconds)*time.Second)
	}
	if at, err := http.ParseTime(text); err == nil {
		return max(0, time.Until(at))
	}
	if reset, err := strconv.ParseInt(header.Get("X-RateLimit-Reset"), 10, 64); err == nil && quotaUsedUp(header) {
		return max(0, untilReset(reset))
	}
	return 0
}

// untilReset reads X-RateLimit-Reset, which is a time in seconds since 1970, or with some platforms a number of seconds.
func untilReset(reset int64) time.Duration {
	const longestWait = 366 * 24 * 60 * 60
	if reset <= longestWait {
		return time.Duration(reset) * time.Second
	}
	return time.Until(time.Unix(reset, 0))
}
