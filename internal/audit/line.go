package audit

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nhi-labs/terraform-provider-nhi/internal/guard"
)

// effort bounds what is done to deliver one event.
type effort struct {
	attempts int
	pause    time.Duration // before the second attempt; doubles each time
	limit    time.Duration // of all attempts together
	rest     time.Duration // how long a sink that failed is left alone
	backlog  time.Duration // of all events that wait for one sink, before a newer one
}

func defaultEffort() effort {
	return effort{attempts: 3, pause: 100 * time.Millisecond, limit: 10 * time.Second, rest: 30 * time.Second, backlog: 30 * time.Second}
}

// line is the way to one sink, shared by all operations of a run.
type line struct {
	NamedSink
	effort effort

	mu sync.Mutex
	// failure is what the last delivery came to, nil if it succeeded. Until restsUntil nobody tries again: a thousand
	// operations do not wait a thousand times for one sink.
	failure    error
	restsUntil time.Time
}

// deliver delivers one event, with a few attempts. An interrupt does not end it: what was changed is to be known.
func (l *line) deliver(ctx context.Context, e Event) error {
	if err := l.resting(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), l.effort.limit)
	defer cancel()
	pause := l.effort.pause
	for attempt := 1; ; attempt++ {
		err := guard.Call(ctx, "the sink", func() error { return l.Sink.Deliver(ctx, e) }) // evidence must not undo what it is of
		if err == nil {
			l.settle(nil)
			return nil
		}
		if errors.Is(err, ErrRefused) { // The receiver is there.
			l.settle(nil)
			return err
		}
		if attempt == l.effort.attempts || !sleep(ctx, pause) || l.restsNow() {
			l.settle(err)
			return err
		}
		pause *= 2
	}
}

var errResting = errors.New("it did not take an event a moment ago")

// mayHaveTaken reports whether a sink that failed may have taken the event, and was only late to say so.
func mayHaveTaken(err error) bool {
	return errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, errResting)
}

// resting returns why nobody shall try now, nil if the caller shall. After the rest one caller tries; the others are
// told to wait until it has.
func (l *line) resting() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.failure == nil {
		return nil
	}
	if now := time.Now(); now.Before(l.restsUntil) {
		return fmt.Errorf("%w: %w", errResting, l.failure)
	}
	l.restsUntil = time.Now().Add(l.effort.limit)
	return nil
}

// restsNow reports whether another operation has found the sink down meanwhile.
func (l *line) restsNow() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.failure != nil && time.Now().Before(l.restsUntil)
}

func (l *line) settle(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.failure, l.restsUntil = err, time.Now().Add(l.effort.rest)
}

// wake ends the rest.
func (l *line) wake() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.failure = nil
}

// sleep returns false if ctx ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
