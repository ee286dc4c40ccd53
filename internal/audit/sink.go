package audit

import (
	"context"
	"errors"
	"slices"
)

// Sink takes events. It is safe for concurrent use and does no I/O before the first delivery.
type Sink interface {
	// Deliver returns nil once the receiver has acknowledged the event, as far as its protocol can. It tries once and
	// stops when ctx is done; repeating, and keeping what could not be delivered, is the caller's business. After an error
	// the event may have arrived all the same. Errors repeat no secret. ErrRefused is among them if it is this event that the
	// receiver does not want.
	Deliver(ctx context.Context, e Event) error
	// Close releases connections. Deliver is not called afterwards.
	Close() error
}

// ErrRefused says that a receiver is up and refuses one event for what is in it: trying again does not help, and others may
// well be taken.
var ErrRefused = errors.New("the event is refused")

// NamedSink is one configured sink.
type NamedSink struct {
	// Name is unique among the sinks of a configuration. Events that wait in state name it.
	Name string
	Sink Sink
	Filter
}

// Filter chooses the events that a sink gets. An empty list chooses all.
type Filter struct {
	Activities []Activity
	Platforms  []string
	Outcomes   []Outcome
}

// Wants reports whether e passes the filter.
func (f Filter) Wants(e Event) bool {
	outcome := e.Outcome
	if outcome == Unknown {
		outcome = Failed
	}
	return wants(f.Activities, e.Activity) && wants(f.Platforms, e.Platform.Name) && wants(f.Outcomes, outcome)
}

func wants[T comparable](list []T, v T) bool { return len(list) == 0 || slices.Contains(list, v) }

// Config is what the provider's audit block says.
type Config struct {
	Sinks []NamedSink
	// Required makes every change wait until all sinks that want it have acknowledged that it is intended. If one does
	// not, nothing is changed.
	Required bool
	// Retired names sinks that are gone for good: events that still wait for them are let go. A sink that is
	// configured is not gone.
	Retired []string
}
