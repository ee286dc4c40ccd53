package audit

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"

	"github.com/nhi-labs/terraform-provider-nhi/internal/guard"
)

// Journal is the evidence of one operation. It is safe for concurrent use.
type Journal struct {
	trail *Trail
	op    Operation

	mu     sync.Mutex
	queues []*queue // of every sink, in the order of the configuration, and then of sinks that are gone
	failed map[string]error
	// unbegun are the ids of changes that were refused with an UnacknowledgedError.
	unbegun map[string]bool
}

// Operation is the operation that the journal is of.
func (j *Journal) Operation() Operation { return j.op }

// UnacknowledgedError says that a change was not begun, because evidence is required and a sink did not take the event
// that announces it.
type UnacknowledgedError struct {
	Sink string
	Err  error
}

func (e *UnacknowledgedError) Error() string {
	return fmt.Sprintf("nothing was changed: the audit sink %q did not acknowledge what was about to be done, and the audit block "+
		"says required = true: %v", e.Sink, e.Err)
}

func (e *UnacknowledgedError) Unwrap() error { return e.Err }

// Change makes a change, announces it before and reports after it what came of it. The error is the change's own, or
// an *UnacknowledgedError if it was not begun. Changes of one account on one platform happen one after the other,
// each with its events, whichever operations of this run they belong to. If ctx has ended, nothing happens but do.
//
// A change that finishes another one (Begun) is made without being acknowledged, too: the other one was, and has happened
// already, at least in part. So is one that is part of another (Current).
func (j *Journal) Change(ctx context.Context, c *Change, do func(ctx context.Context) error) error {
	defer j.trail.accounts.lock(c.Platform.Name, c.Account.Name, c.Path)()
	if ctx.Err() != nil {
		return do(ctx) // which does nothing but say so
	}
	id := NewID()
	if err := j.announce(ctx, *c, id); err != nil {
		return err
	}
	err := do(Begun(context.WithValue(ctx, currentKey{}, j)))
	outcome := Succeeded
	switch {
	case err != nil && c.Unanswered:
		outcome = Unknown
	case err != nil:
		outcome = Failed
	}
	j.report(ctx, j.trail.source.event(j.op, *c, id, outcome, err, j.trail.now()))
	return err
}

// currentKey is the key of the journal in the context of a change.
type currentKey struct{}

// Current returns the journal of the change that ctx is in the middle of, nil if there is none. It is for drivers that
// make a change on another platform in order to make their own.
func Current(ctx context.Context) *Journal {
	j, _ := ctx.Value(currentKey{}).(*Journal)
	return j
}

// begunKey is the key of what Begun says.
type begunKey struct{}

// Begun marks a context in which something has been changed that has to be finished, or to be taken back: changes that are made
// in it are not refused because of a sink that takes no events. Their events wait.
func Begun(ctx context.Context) context.Context { return context.WithValue(ctx, begunKey{}, true) }

// announce tells every sink that wants to know that the change is intended.
func (j *Journal) announce(ctx context.Context, c Change, id string) error {
	intent := j.trail.source.event(j.op, c, id, Intended, nil, j.trail.now())
	failures := j.send(ctx, intent)
	if !j.trail.required || len(failures) == 0 || ctx.Value(begunKey{}) != nil {
		return nil
	}
	for _, q := range j.all() {
		q.withdraw(id)
	}
	first := failures[0]
	refusal := &UnacknowledgedError{Sink: first.sink, Err: first.err}
	j.mu.Lock()
	j.unbegun[id] = true
	j.mu.Unlock()
	outcome := j.trail.source.event(j.op, c, id, Failed, refusal, j.trail.now())
	for _, q := range j.all() {
		i := slices.IndexFunc(failures, func(f delivery) bool { return f.sink == q.sink })
		switch {
		case !q.wants(intent) || !q.wants(outcome):
		case i < 0:
			j.note(q, q.deliver(ctx, outcome))
		case mayHaveTaken(failures[i].err):
			q.add(outcome)
		}
	}
	return refusal
}

// report tells every sink that wants to know what came of a change. An intent that still waits need not go out then.
func (j *Journal) report(ctx context.Context, outcome Event) {
	for _, q := range j.all() {
		if q.wants(outcome) {
			q.withdraw(outcome.Change)
		}
	}
	j.send(ctx, outcome)
}

func (q *queue) wants(e Event) bool { return q.line != nil && q.line.Wants(e) }

// delivery is what one delivery failed with.
type delivery struct {
	sink string
	err  error
}

// send delivers an event to every sink that wants it, at the same time, and returns the failures in the order of the
// configuration. What failed waits.
func (j *Journal) send(ctx context.Context, e Event) []delivery {
	var wanting []*queue
	for _, q := range j.all() {
		if q.wants(e) {
			wanting = append(wanting, q)
		}
	}
	errs := make([]error, len(wanting))
	var wg sync.WaitGroup
	for i, q := range wanting {
		if i == len(wanting)-1 {
			errs[i] = q.deliver(ctx, e) // the last one, or the only one, here
			break
		}
		wg.Go(func() {
			errs[i] = guard.Call(ctx, "the provider", func() error { return q.deliver(ctx, e) })
		})
	}
	wg.Wait()
	var failures []delivery
	for i, err := range errs {
		j.note(wanting[i], err)
		if err != nil {
			failures = append(failures, delivery{wanting[i].sink, err})
		}
	}
	return failures
}

// note remembers why a sink did not take an event.
func (j *Journal) note(q *queue, err error) {
	if err != nil {
		j.mu.Lock()
		defer j.mu.Unlock()
		j.failed[q.sink] = err
	}
}

func (j *Journal) all() []*queue {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Clone(j.queues)
}

// queue returns the queue of a sink, making one for a sink that is not configured.
func (j *Journal) queue(sink string) *queue {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, q := range j.queues {
		if q.sink == sink {
			return q
		}
	}
	q := &queue{sink: sink}
	j.queues = append(j.queues, q)
	return q
}

// Adopt takes over what another operation left; events of retired sinks are let go, unless these are configured again.
func (j *Journal) Adopt(waiting []Waiting) {
	for _, w := range waiting {
		if j.trail.configured(w.Sink) || !slices.Contains(j.trail.retired, w.Sink) {
			j.queue(w.Sink).add(w.Event)
		}
	}
}

// Deliver delivers what waits from earlier runs, as far as the sinks take it.
func (j *Journal) Deliver(ctx context.Context) {
	var wg sync.WaitGroup
	for _, q := range j.all() {
		wg.Go(func() {
			j.note(q, guard.Call(ctx, "the provider", func() error { return q.tryAll(ctx) }))
		})
	}
	wg.Wait()
}

// Retry tries once more to deliver what waits, and returns what still does. The operation goes on.
func (j *Journal) Retry(ctx context.Context) Left {
	j.Deliver(ctx)
	return j.left()
}

// Left is what an operation leaves behind.
type Left struct {
	// Waiting are the events that wait, as ParseWaiting reads them. None of it is secret.
	Waiting []string
	// Problems says, by sink, why they wait.
	Problems map[string]error
	// GivenUp is how many events of failed changes were too many to keep.
	GivenUp int
	// NothingDone reports whether what waits, if anything, only says of changes that they were not begun (UnacknowledgedError).
	NothingDone bool
}

// Close ends the operation: it tries once more to deliver what waits, and hands over what still does. The caller keeps
// it; nothing else does.
func (j *Journal) Close(ctx context.Context) Left {
	j.Deliver(ctx)
	j.trail.forget(j)
	return j.left()
}

// Reopen is for a journal that was closed, and what it left is kept by nobody: the trail's Close tries that once more.
func (j *Journal) Reopen() { j.trail.remember(j) }

func (j *Journal) left() Left {
	left := Left{Waiting: []string{}, Problems: make(map[string]error), NothingDone: true}
	for _, q := range j.all() {
		all := q.snapshot()
		left.NothingDone = left.NothingDone && !slices.ContainsFunc(all, j.begun)
		events, givenUp := bounded(all, maxWaiting)
		left.GivenUp += givenUp
		for _, e := range events {
			text, err := json.Marshal(Waiting{Sink: q.sink, Event: e})
			if err != nil {
				panic(err) // an Event has nothing that JSON cannot say
			}
			left.Waiting = append(left.Waiting, string(text))
		}
		if len(events) > 0 {
			j.mu.Lock()
			left.Problems[q.sink] = j.failed[q.sink]
			j.mu.Unlock()
		}
	}
	return left
}

// begun reports whether the change of an event was begun, or may have been by an earlier operation.
func (j *Journal) begun(e Event) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return !j.unbegun[e.Change]
}
