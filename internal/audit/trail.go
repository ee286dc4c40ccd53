package audit

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/nhi-labs/terraform-provider-nhi/internal/guard"
)

// Trail is the way of all events of one run to the configured sinks. It is safe for concurrent use.
//
// An event is delivered at once, inside the operation. What a sink does not take waits with the operation, which keeps
// it in state; the sink is left alone for a while. A journal that nobody closed, because its operation panicked, is
// tried once more by Close, and so is one that was reopened.
type Trail struct {
	source   Source
	required bool
	retired  []string
	lines    []*line
	now      func() time.Time
	accounts keyed

	mu   sync.Mutex
	open []*Journal
}

// NewTrail makes the trail of a run. It delivers nothing yet. Times are now's.
func NewTrail(source Source, config Config, now func() time.Time) *Trail {
	t := &Trail{source: source, required: config.Required, retired: slices.Clone(config.Retired), now: now}
	for _, sink := range config.Sinks {
		t.lines = append(t.lines, &line{NamedSink: sink, effort: defaultEffort()})
	}
	return t
}

func (t *Trail) configured(sink string) bool {
	return slices.ContainsFunc(t.lines, func(l *line) bool { return l.Name == sink })
}

// Silent reports whether there is no sink.
func (t *Trail) Silent() bool { return len(t.lines) == 0 }

// Open begins the journal of an operation. waiting is what an earlier one left; events of retired sinks are let go.
func (t *Trail) Open(op Operation, waiting []Waiting) *Journal {
	j := &Journal{trail: t, op: op, failed: make(map[string]error), unbegun: make(map[string]bool)}
	for _, l := range t.lines {
		j.queues = append(j.queues, &queue{sink: l.Name, line: l})
	}
	j.Adopt(waiting)
	t.remember(j)
	return j
}

// Homeless lists the sinks that waiting events name and that are neither configured nor retired, without repetition.
func (t *Trail) Homeless(waiting []Waiting) []string {
	var out []string
	for _, w := range waiting {
		if !t.configured(w.Sink) && !slices.Contains(t.retired, w.Sink) {
			out = append(out, w.Sink)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func (t *Trail) remember(j *Journal) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.open = append(t.open, j)
}

func (t *Trail) forget(j *Journal) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.open = slices.DeleteFunc(t.open, func(other *Journal) bool { return other == j })
}

// Close delivers what nobody has taken over, until ctx ends, and closes the sinks. It returns what is lost: the
// process is about to end.
func (t *Trail) Close(ctx context.Context) ([]string, error) {
	t.mu.Lock()
	open := slices.Clone(t.open)
	t.mu.Unlock()
	for _, l := range t.lines {
		l.wake()
	}
	var lost []string
	for _, j := range open {
		done := make(chan Left, 1)
		go func() {
			_ = guard.Call(ctx, "the provider", func() error { // After a panic, ctx ends the wait.
				done <- j.Close(ctx)
				return nil
			})
		}()
		select {
		case left := <-done:
			lost = append(lost, left.Waiting...)
		case <-ctx.Done():
			lost = append(lost, j.left().Waiting...)
		}
	}
	var errs []error
	for _, l := range t.lines {
		errs = append(errs, guard.Call(ctx, "the sink", l.Sink.Close))
	}
	return lost, errors.Join(errs...)
}

// keyed serialises what is done about one account.
type keyed struct {
	mu    sync.Mutex
	locks map[[3]string]*held
}

type held struct {
	turn  chan struct{} // holds one element while nobody has the lock
	users int
}

// lock locks the account, or the place of a secret, and returns the function that unlocks it.
func (k *keyed) lock(platform, account, path string) (unlock func()) {
	key := [3]string{platform, account, path}
	k.mu.Lock()
	if k.locks == nil {
		k.locks = make(map[[3]string]*held)
	}
	h := k.locks[key]
	if h == nil {
		h = &held{turn: make(chan struct{}, 1)}
		h.turn <- struct{}{}
		k.locks[key] = h
	}
	h.users++
	k.mu.Unlock()
	<-h.turn
	return func() {
		h.turn <- struct{}{}
		k.mu.Lock()
		defer k.mu.Unlock()
		if h.users--; h.users == 0 {
			delete(k.locks, key)
		}
	}
}
