package audit

import (
	"context"
	"errors"

	"github.com/nhi-labs/terraform-provider-nhi/internal/secret"
)

// Redacted returns s with errors in which the given secrets are masked: what a receiver says of a request may repeat it.
// Of the original errors only "deadline exceeded", "cancelled" and ErrRefused can still be told by errors.Is.
func Redacted(s Sink, secrets ...secret.Value) Sink {
	r := &redacted{sink: s}
	r.redactor.Add(secrets...)
	return r
}

type redacted struct {
	sink     Sink
	redactor secret.Redactor
}

func (r *redacted) Deliver(ctx context.Context, e Event) error { return r.mask(r.sink.Deliver(ctx, e)) }

func (r *redacted) Close() error { return r.mask(r.sink.Close()) }

func (r *redacted) mask(err error) error {
	if err == nil {
		return nil
	}
	masked := &maskedError{text: r.redactor.Redact(err.Error())}
	for _, known := range []error{context.DeadlineExceeded, context.Canceled, ErrRefused} {
		if errors.Is(err, known) {
			masked.cause = known
		}
	}
	return masked
}

type maskedError struct {
	text  string
	cause error
}

func (e *maskedError) Error() string { return e.text }
func (e *maskedError) Unwrap() error { return e.cause }
