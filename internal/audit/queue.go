package audit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// queue holds what one operation could not deliver to one sink, in order.
type queue struct {
	sink string
	line *line // nil: no sink of this name is configured

	// sending is held while what waits is delivered, so that it goes out in order.
	sending sync.Mutex
	mu      sync.Mutex
	events  []Event
	// refused are the ids of events that the sink has refused (ErrRefused). They wait for another operation to try them, and
	// hold up nothing. refusal is what the sink said last.
	refused map[string]bool
	refusal error
}

// deliver delivers e after everything that waits. What fails waits, and is returned as an error.
func (q *queue) deliver(ctx context.Context, e Event) error {
	if _, waiting := q.next(); waiting {
		q.sending.Lock()
		defer q.sending.Unlock()
		if err := q.flush(ctx); err != nil {
			q.add(e)
			return err
		}
	}
	err := q.line.deliver(ctx, e)
	if err != nil {
		q.refuse(e, err)
		q.add(e)
	}
	return err
}

// next returns the event that goes out first.
func (q *queue) next() (Event, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, e := range q.events {
		if !q.refused[e.ID] {
			return e, true
		}
	}
	return Event{}, false
}

// refuse reports whether err refuses e itself, and notes that.
func (q *queue) refuse(e Event, err error) bool {
	if !errors.Is(err, ErrRefused) {
		return false
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.refused == nil {
		q.refused = make(map[string]bool)
	}
	q.refused[e.ID], q.refusal = true, err
	return true
}

func (q *queue) add(e Event) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.events = append(q.events, e)
}

// flush delivers what waits, oldest first, and stops at the first that fails without being refused. The caller holds sending.
func (q *queue) flush(ctx context.Context) error {
	begin := time.Now()
	for {
		e, waiting := q.next()
		switch {
		case !waiting:
			return nil
		case q.line == nil:
			return fmt.Errorf("no audit sink is named %q", q.sink)
		case time.Since(begin) > q.line.effort.backlog:
			return errors.New("events that wait from earlier go out first, and it takes them too slowly")
		}
		if err := q.line.deliver(ctx, e); q.refuse(e, err) {
			continue
		} else if err != nil {
			return err
		}
		q.remove(func(other Event) bool { return other.ID == e.ID })
	}
}

// tryAll is flush for those who do not hold sending. The error is why something still waits.
func (q *queue) tryAll(ctx context.Context) error {
	q.sending.Lock()
	defer q.sending.Unlock()
	if err := q.flush(ctx); err != nil {
		return err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.refusal
}

func (q *queue) remove(which func(Event) bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.events = slices.DeleteFunc(q.events, which)
}

// snapshot returns what waits.
func (q *queue) snapshot() []Event {
	q.mu.Lock()
	defer q.mu.Unlock()
	return slices.Clone(q.events)
}

// withdraw takes back the intent of a change: either nothing was changed, or what came of it says more.
func (q *queue) withdraw(change string) {
	q.remove(func(e Event) bool { return e.Change == change && e.Outcome == Intended })
}

// Waiting is an event that a sink has not taken yet.
type Waiting struct {
	Sink  string `json:"sink"`
	Event Event  `json:"event"`
}

// maxWaiting is how many events of one sink wait in one resource. Beyond it the oldest events of changes that failed
// are given up, which only repeat that a platform refused; what was changed is never given up.
const maxWaiting = 1000

// bounded returns what is kept of events, and how many are not.
func bounded(events []Event, limit int) ([]Event, int) {
	excess := len(events) - limit
	if excess <= 0 {
		return events, 0
	}
	dropped := 0
	kept := slices.DeleteFunc(slices.Clone(events), func(e Event) bool {
		drop := dropped < excess && e.Outcome == Failed
		if drop {
			dropped++
		}
		return drop
	})
	return kept, dropped
}

// ParseWaiting reads what Journal.Close returned. Anything else is an error: no receiver could make something of it.
func ParseWaiting(texts []string) ([]Waiting, error) {
	out := make([]Waiting, 0, len(texts))
	for i, text := range texts {
		var w Waiting
		err := json.Unmarshal([]byte(text), &w)
		if err == nil && (w.Sink == "" || w.Event.ID == "") {
			err = errors.New("it names no sink or no event")
		}
		if err != nil {
			return nil, fmt.Errorf("audit event %d of those that wait is damaged: %w", i+1, err)
		}
		out = append(out, w)
	}
	return out, nil
}

// Words says in words what waits: one text per sink, in the order in which they first occur.
func Words(texts []string) []string {
	var order []string
	count := make(map[string]int)
	for _, text := range texts {
		var w Waiting
		_ = json.Unmarshal([]byte(text), &w) // what is damaged counts as well, for a sink without a name
		if count[w.Sink] == 0 {
			order = append(order, w.Sink)
		}
		count[w.Sink]++
	}
	out := make([]string, len(order))
	for i, sink := range order {
		events, wait := "events", "wait"
		if count[sink] == 1 {
			events, wait = "event", "waits"
		}
		out[i] = fmt.Sprintf("audit: %d %s %s for sink %q", count[sink], events, wait, sink)
	}
	return out
}
