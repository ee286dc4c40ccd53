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
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
	case http.StatusForbidden:
		// Some platforms throttle with 403; the wait is what tells it from a refusal.
		if wait == 0 {
			return false, nil
		}
	default:
		return false, nil
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

// retryAfter reads the header in both of its forms; 0 if it is absent, unreadable or in the past.
func retryAfter(header http.Header) time.Duration {
	text := header.Get("Retry-After")
	if seconds, err := strconv.ParseInt(text, 10, 32); err == nil {
		return max(0, time.Duration(seconds)*time.Second)
	}
	if at, err := http.ParseTime(text); err == nil {
		return max(0, time.Until(at))
	}
	return 0
}
