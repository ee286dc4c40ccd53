package audit

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// receiver is a sink whose answers a test decides. It keeps what it took.
type receiver struct {
	mu     sync.Mutex
	tries  int
	taken  []Event
	answer func(ctx context.Context, e Event) error
	closed bool
}

func (r *receiver) Deliver(ctx context.Context, e Event) error {
	r.mu.Lock()
	r.tries++
	answer := r.answer
	r.mu.Unlock()
	if answer != nil {
		if err := answer(ctx, e); err != nil {
			return err
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.taken = append(r.taken, e)
	return nil
}

func (r *receiver) Close() error {
	r.closed = true
	return nil
}

// down makes the receiver refuse, or take events again.
func (r *receiver) down(yes bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answer = nil
	if yes {
		r.answer = func(context.Context, Event) error { return errDown }
	}
}

var errDown = errors.New("503 Service Unavailable")

// got lists what was taken, each as "activity outcome".
func (r *receiver) got() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	words := make([]string, len(r.taken))
	for i, e := range r.taken {
		words[i] = fmt.Sprintf("%s %s", e.Activity, e.Outcome)
	}
	return strings.Join(words, ", ")
}

// newTrail makes a trail to receivers named "a", "b" and so on.
func newTrail(required bool, receivers ...*receiver) *Trail {
	config := Config{Required: required, Retired: []string{"old"}}
	for i, r := range receivers {
		config.Sinks = append(config.Sinks, NamedSink{Name: string(rune('a' + i)), Sink: r})
	}
	return NewTrail(Source{Actor: Actor{Name: "me"}, Stack: "stack", Version: "1"}, config, time.Now)
}

func grantOn(account string) *Change {
	return &Change{Activity: Grant, Account: Account{Name: account, ID: "id-" + account}, Platform: Platform{Name: "crm"}}
}

func succeed(context.Context) error { return nil }

func (j *Journal) try(t *testing.T, c *Change, do func(context.Context) error) {
	t.Helper()
	if err := j.Change(t.Context(), c, do); err != nil {
		t.Fatal(err)
	}
}

// waitingIn returns what a closed journal left, as "sink activity outcome".
func waitingIn(t *testing.T, left Left) string {
	t.Helper()
	parsed, err := ParseWaiting(left.Waiting)
	if err != nil {
		t.Fatal(err)
	}
	words := make([]string, len(parsed))
	for i, w := range parsed {
		words[i] = fmt.Sprintf("%s %s %s", w.Sink, w.Event.Activity, w.Event.Outcome)
	}
	return strings.Join(words, ", ")
}

// The intent is acknowledged before the change begins, and both events say everything that is known.
func TestIntentThenOutcome(t *testing.T) {
	r := &receiver{}
	op := NewOperation("nhi_grant", Identity{Name: "agent", Owner: "team"}, "CHG-1")
	j := newTrail(false, r).Open(op, nil)
	c := &Change{Activity: CreateAccount, Account: Account{Name: "agent"}, Platform: Platform{Name: "crm", Kind: "scim", Target: "t"}}
	j.try(t, c, func(ctx context.Context) error {
		if Current(ctx) != j || Current(t.Context()) != nil {
			t.Error("the change does not know its journal")
		}
		if got := r.got(); got != "create_account intended" {
			t.Errorf("before the change: %q", got)
		}
		c.Account.ID = "7"
		return nil
	})
	failure := errors.New("refused")
	if err := j.Change(t.Context(), grantOn("agent"), func(context.Context) error { return failure }); !errors.Is(err, failure) {
		t.Errorf("error %v", err)
	}
	if got := r.got(); got != "create_account intended, create_account succeeded, grant intended, grant failed" {
		t.Fatal(got)
	}
	intent, outcome, failed := r.taken[0], r.taken[1], r.taken[3]
	if intent.Change != outcome.Change || intent.ID == outcome.ID || failed.Change == intent.Change {
		t.Errorf("ids: %+v %+v %+v", intent, outcome, failed)
	}
	if outcome.Account.ID != "7" || failed.Error != "refused" {
		t.Errorf("outcome %+v, failed %+v", outcome, failed)
	}
	for _, e := range r.taken {
		if e.Correlation != op.Correlation || e.Identity != op.Identity || e.Justification != "CHG-1" || e.Resource != "nhi_grant" ||
			e.Actor.Name != "me" || e.Stack != "stack" || e.Version != "1" || e.Time.IsZero() || e.Platform.Name != "crm" {
			t.Errorf("incomplete: %+v", e)
		}
	}
	if left := j.Close(t.Context()); len(left.Waiting) > 0 {
		t.Error(left)
	}
}

// A sink that is down does not hold up the change. Of a change whose outcome is known only that waits. Others get all.
func TestSinkDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bad, good := &receiver{}, &receiver{}
		bad.down(true)
		j := newTrail(false, bad, good).Open(Operation{}, nil)
		begin := time.Now()
		for range 100 {
			j.try(t, grantOn("x"), succeed)
		}
		if took := time.Since(begin); took > 10*time.Second {
			t.Errorf("100 changes took %s", took)
		}
		if bad.tries != defaultEffort().attempts {
			t.Errorf("%d tries", bad.tries)
		}
		if n := len(good.taken); n != 200 {
			t.Errorf("the other sink has %d events", n)
		}
		left := j.Close(t.Context())
		if got := waitingIn(t, left); got != strings.TrimSuffix(strings.Repeat("a grant succeeded, ", 100), ", ") {
			t.Error(got)
		}
		if !errors.Is(left.Problems["a"], errDown) {
			t.Errorf("problems %v", left.Problems)
		}
	})
}

// What waits goes out first, in order, before anything new; what still fails is kept in order.
func TestWaitingGoesFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &receiver{}
		trail := newTrail(false, r)
		waiting := []Waiting{{"a", Event{ID: "1", Activity: "one"}}, {"a", Event{ID: "2", Activity: "two"}}, {"a", Event{ID: "3", Activity: "three"}}}
		r.answer = func(_ context.Context, e Event) error {
			if e.ID == "2" {
				return errDown
			}
			return nil
		}
		j := trail.Open(Operation{}, waiting)
		j.Deliver(t.Context())
		j.try(t, grantOn("x"), succeed)
		left := j.Close(t.Context())
		if got := waitingIn(t, left); r.got() != "one " || got != "a two , a three , a grant succeeded" {
			t.Errorf("delivered %q, waiting %q", r.got(), got)
		}
		time.Sleep(time.Minute)
		r.down(false)
		parsed, _ := ParseWaiting(left.Waiting)
		j = trail.Open(Operation{}, parsed)
		j.try(t, grantOn("x"), succeed)
		if got := r.got(); got != "one , two , three , grant succeeded, grant intended, grant succeeded" {
			t.Error(got)
		}
	})
}

// With required nothing begins unless every sink that wants the intent has acknowledged it.
func TestRequired(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		good, bad, uninterested := &receiver{}, &receiver{}, &receiver{}
		bad.down(true)
		uninterested.down(true)
		trail := newTrail(true, good, bad, uninterested)
		trail.lines[2].Outcomes = []Outcome{Succeeded}
		j := trail.Open(Operation{}, nil)
		err := j.Change(t.Context(), grantOn("x"), func(context.Context) error {
			t.Error("the change was made")
			return nil
		})
		var refusal *UnacknowledgedError
		if !errors.As(err, &refusal) || refusal.Sink != "b" || !errors.Is(err, errDown) || !strings.Contains(err.Error(), `"b"`) {
			t.Errorf("error %v", err)
		}
		if got := good.got(); got != "grant intended, grant failed" {
			t.Errorf("the sink that acknowledged has %q", got)
		}
		time.Sleep(time.Minute)
		bad.down(false)
		j.try(t, grantOn("x"), succeed)
		left := j.Close(t.Context())
		if got := bad.got(); got != "grant intended, grant succeeded" {
			t.Errorf("the sink that is up again has %q", got)
		}
		if got := waitingIn(t, left); got != "c grant succeeded" {
			t.Errorf("waiting: %q", got)
		}
	})
}

// The sink breaks after it took the intent of a change. What that change has to write elsewhere must not be refused then.
func TestRequiredInsideChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sink := &receiver{}
		j := newTrail(true, sink).Open(Operation{}, nil)
		inner := &Change{Activity: StoreSecret, Path: "registry/x", Platform: Platform{Name: "vault"}}
		written := false
		err := j.Change(t.Context(), grantOn("x"), func(ctx context.Context) error {
			sink.down(true)
			return Current(ctx).Change(ctx, inner, func(context.Context) error {
				written = true
				return nil
			})
		})
		if err != nil || !written {
			t.Errorf("written: %v, error %v", written, err)
		}
		time.Sleep(time.Minute)
		sink.down(false)
		if left := j.Close(t.Context()); len(left.Waiting) > 0 {
			t.Errorf("waiting: %q", waitingIn(t, left))
		}
		if got := sink.got(); got != "grant intended, store_secret succeeded, grant succeeded" {
			t.Errorf("the sink has %q", got)
		}
	})
}

// A filter decides which events wait. An intent waits only for those who do not want to know what came of it.
func TestFilters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		intents, elsewhere := &receiver{}, &receiver{}
		intents.down(true)
		trail := newTrail(true, elsewhere)
		trail.required = false
		trail.lines[0].Platforms = []string{"other"}
		trail.lines = append(trail.lines, &line{NamedSink: NamedSink{Name: "i", Sink: intents, Filter: Filter{Outcomes: []Outcome{Intended}}}, effort: defaultEffort()})
		j := trail.Open(Operation{}, nil)
		j.try(t, grantOn("x"), succeed)
		if got := waitingIn(t, j.Close(t.Context())); got != "i grant intended" || elsewhere.tries > 0 {
			t.Errorf("waiting %q, %d tries elsewhere", got, elsewhere.tries)
		}
	})
}

// A sink that hangs costs one time limit, a sink that panics nothing, and an interrupt ends neither delivery.
func TestHangingPanickingInterrupted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hanging, panicking := &receiver{}, &receiver{}
		hanging.answer = func(ctx context.Context, _ Event) error {
			<-ctx.Done()
			return ctx.Err()
		}
		panicking.answer = func(context.Context, Event) error { panic("oops") }
		j := newTrail(false, hanging, panicking).Open(Operation{}, nil)
		begin := time.Now()
		for range 20 {
			ctx, cancel := context.WithCancel(t.Context())
			err := j.Change(ctx, grantOn("x"), func(context.Context) error {
				cancel()
				return nil
			})
			cancel()
			if err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(begin); took != defaultEffort().limit {
			t.Errorf("took %s", took)
		}
		if n := len(j.Close(t.Context()).Waiting); n != 40 {
			t.Errorf("%d events wait", n)
		}
	})
}

// Whoever comes after the context has ended changes nothing, and there is no evidence of what did not happen.
func TestCancelledBefore(t *testing.T) {
	r := &receiver{}
	j := newTrail(false, r).Open(Operation{}, nil)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := j.Change(ctx, grantOn("x"), func(ctx context.Context) error { return ctx.Err() })
	if !errors.Is(err, context.Canceled) || r.tries > 0 {
		t.Errorf("error %v, %d tries", err, r.tries)
	}
}

// Intent, change and outcome of one account are not interleaved with those of another operation; accounts do not wait for
// each other.
func TestOrderPerAccount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &receiver{}
		trail := newTrail(false, r)
		var wg sync.WaitGroup
		begin := time.Now()
		for range 4 {
			j := trail.Open(Operation{}, nil)
			for _, account := range []string{"x", "y"} {
				wg.Go(func() {
					j.try(t, grantOn(account), func(context.Context) error {
						time.Sleep(time.Second)
						return nil
					})
				})
			}
		}
		wg.Wait()
		if took := time.Since(begin); took != 4*time.Second {
			t.Errorf("took %s", took)
		}
		for _, account := range []string{"x", "y"} {
			events := slices.DeleteFunc(slices.Clone(r.taken), func(e Event) bool { return e.Account.Name != account })
			for i := 0; i < len(events); i += 2 {
				if events[i].Outcome != Intended || events[i+1].Outcome != Succeeded || events[i].Change != events[i+1].Change {
					t.Errorf("%s: %+v", account, events)
				}
			}
		}
		if len(trail.accounts.locks) > 0 {
			t.Errorf("locks are left: %v", trail.accounts.locks)
		}
	})
}

// After a rest one operation tries, while the others are not kept waiting; then all do.
func TestRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &receiver{}
		r.down(true)
		trail := newTrail(false, r)
		change := func() { trail.Open(Operation{}, nil).try(t, grantOn("x"), succeed) }
		change()
		tries := r.tries
		change()
		if r.tries != tries {
			t.Error("tried again at once")
		}
		time.Sleep(defaultEffort().rest)
		r.down(false)
		change()
		if got := r.got(); got != "grant intended, grant succeeded" {
			t.Error(got)
		}
	})
}

func TestSinksThatAreGone(t *testing.T) {
	trail := newTrail(false, &receiver{})
	waiting := []Waiting{{"old", Event{ID: "1"}}, {"lost", Event{ID: "2"}}, {"a", Event{ID: "3"}}, {"lost", Event{ID: "4"}}}
	if got := trail.Homeless(waiting); !slices.Equal(got, []string{"lost"}) {
		t.Errorf("homeless: %v", got)
	}
	left := trail.Open(Operation{}, waiting).Close(t.Context())
	want := []string{`audit: 2 events wait for sink "lost"`}
	if got := Words(left.Waiting); !slices.Equal(got, want) || left.Problems["lost"] == nil {
		t.Errorf("%v, %v", got, left.Problems)
	}
}

// A sink that is retired and configured is there: its events are not let go.
func TestSinkThatCameBack(t *testing.T) {
	r := &receiver{}
	trail := NewTrail(Source{}, Config{Sinks: []NamedSink{{Name: "a", Sink: r}}, Retired: []string{"a", "old"}}, time.Now)
	waiting := []Waiting{{"a", Event{ID: "1", Activity: Grant, Outcome: Succeeded}}, {"old", Event{ID: "2"}}}
	left := trail.Open(Operation{}, waiting).Close(t.Context())
	if r.got() != "grant succeeded" || len(left.Waiting) > 0 {
		t.Errorf("delivered %q, waiting %q", r.got(), left.Waiting)
	}
}

// State does not grow without end: what only repeats that a platform refused is given up, oldest first.
func TestBounded(t *testing.T) {
	var events []Event
	for i := range 6 {
		outcome := []Outcome{Failed, Succeeded}[i%2]
		events = append(events, Event{ID: fmt.Sprint(i), Outcome: outcome})
	}
	ids := func(events []Event) (out string) {
		for _, e := range events {
			out += e.ID
		}
		return out
	}
	for limit, want := range map[int]string{6: "012345", 5: "12345", 4: "1345", 1: "135"} {
		kept, dropped := bounded(events, limit)
		if ids(kept) != want || dropped != 6-len(want) {
			t.Errorf("limit %d: %s, %d dropped", limit, ids(kept), dropped)
		}
	}
}

// What an operation did not get to hand over is tried once more at the end, and named if it is lost.
func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, up := range []bool{true, false} {
			r := &receiver{}
			r.down(true)
			trail := newTrail(false, r)
			kept, open := trail.Open(Operation{}, nil), trail.Open(Operation{}, nil)
			kept.try(t, grantOn("kept"), succeed)
			open.try(t, grantOn("open"), succeed)
			kept.Close(t.Context())
			r.down(!up)
			lost, err := trail.Close(t.Context())
			if err != nil || !r.closed || up != (len(lost) == 0) || up != (r.got() == "grant succeeded") {
				t.Errorf("up %t: lost %v, delivered %q, error %v, closed %t", up, lost, r.got(), err, r.closed)
			}
			if !up && (len(lost) != 1 || !strings.Contains(lost[0], `"open"`)) {
				t.Errorf("lost %v", lost)
			}
		}
	})
}
