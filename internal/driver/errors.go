package driver

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Code says what an error of a platform means. The numbers are stable: they may be in logs and metrics.
type Code int

// The error codes.
const (
	// Unknown: none of the below, or not understood. Never retried, never read as absence.
	Unknown Code = iota
	// NotFound: the system itself said that the thing does not exist.
	NotFound
	// AlreadyExists: the name is taken.
	AlreadyExists
	// Conflict: another change came first (stale ETag, failed check-and-set, slots full). Re-read and decide again.
	Conflict
	// Invalid: the request can never succeed as it is.
	Invalid
	// Unauthenticated: the credentials were refused.
	Unauthenticated
	// PermissionDenied: the credentials are good and do not suffice.
	PermissionDenied
	// Unsupported: this system cannot do it.
	Unsupported
	// RateLimited: too many requests; nothing was done, or all of it was taken back (AfterChange).
	RateLimited
	// Unavailable: no answer, or none that says whether anything was done: refused connection, timeout, 503.
	Unavailable
)

var codeNames = map[Code]string{
	Unknown: "unknown", NotFound: "not found", AlreadyExists: "already exists", Conflict: "conflict", Invalid: "invalid",
	Unauthenticated: "unauthenticated", PermissionDenied: "permission denied", Unsupported: "unsupported",
	RateLimited: "rate limited", Unavailable: "unavailable",
}

// String returns the code in words.
func (c Code) String() string {
	if name, ok := codeNames[c]; ok {
		return name
	}
	return fmt.Sprintf("code %d", int(c))
}

// Verdict is what Classify says of an error.
type Verdict struct {
	Code Code
	// RetryAfter is how long the platform asked to wait, 0 if it did not say.
	RetryAfter time.Duration
}

// Error carries a verdict. Drivers return it for what they detect themselves; package fleet wraps everything else in
// one, once.
type Error struct {
	Verdict
	Err error
}

func (e *Error) Error() string { return e.Err.Error() }

// Unwrap returns the client library's error.
func (e *Error) Unwrap() error { return e.Err }

// Errorf makes an error with a code.
func Errorf(code Code, format string, args ...any) error {
	return &Error{Verdict: Verdict{Code: code}, Err: fmt.Errorf(format, args...)}
}

// AfterChange returns err as it must be once something was done that is not taken back: "rate limited" would say that
// nothing was, and the call would be repeated whatever it does. That is Unavailable then. Every other error stays, as does
// nil. classify is the driver's Classify.
func AfterChange(classify func(error) Verdict, err error) error {
	if err == nil {
		return nil
	}
	verdict := classify(err)
	if verdict.Code != RateLimited {
		return err
	}
	verdict.Code = Unavailable
	return &Error{Verdict: verdict, Err: err}
}

// LeftoverError is what DeleteAccount fails with if the account itself is gone for good, and something of it on the platform
// could not be taken away: what only its name holds together, which the next account of that name would come by, or
// credentials that log in without it. The account stays in state, until DeleteAccount with the same ID finds nothing left. Err
// has a code, names everything that is left, and says how to remove it.
//
// ReadAccount by an ID may fail with it, too: with the code NotFound, if credentials of the account that is gone still log in.
type LeftoverError struct{ Err error }

func (e *LeftoverError) Error() string { return e.Err.Error() }

// Unwrap returns Err.
func (e *LeftoverError) Unwrap() error { return e.Err }

// CodeOf returns the code that an error of this package carries, Unknown for every other error. It returns Unknown for
// nil, too: ask only about errors.
func CodeOf(err error) Code {
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return Unknown
}

// Known answers Classify for the errors that need no knowledge of a platform: those made by Errorf, and ended contexts.
func Known(err error) (Verdict, bool) {
	var e *Error
	switch {
	case errors.As(err, &e):
		return e.Verdict, true
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return Verdict{Code: Unavailable}, true
	default:
		return Verdict{}, false
	}
}
