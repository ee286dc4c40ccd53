package audit

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

// picky is a receiver that is up and refuses all grants.
func picky() *receiver {
	r := &receiver{}
	r.answer = func(_ context.Context, e Event) error {
		if e.Activity == Grant {
			return fmt.Errorf("%w: 413 Request Entity Too Large", ErrRefused)
		}
		return nil
	}
	return r
}

func revokeFrom(account string) *Change {
	c := grantOn(account)
	c.Activity = Revoke
	return c
}

// An event that a receiver refuses waits and holds up no other, neither of its own resource nor of others, also where
// evidence is required.
func TestRefusedEvent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := picky()
		trail := newTrail(true, r)
		waiting := []Waiting{{"a", Event{ID: "refused", Activity: Grant, Outcome: Succeeded}}, {"a", Event{ID: "other", Activity: Revoke, Outcome: Failed}}}
		begin := time.Now()
		sick := trail.Open(Operation{}, waiting)
		sick.Deliver(t.Context())
		trail.Open(Operation{}, nil).try(t, revokeFrom("other"), succeed)
		sick.try(t, revokeFrom("sick"), succeed)
		if err := sick.Change(t.Context(), grantOn("sick"), succeed); err == nil {
			t.Error("changed although nobody acknowledged that")
		}
		sick.try(t, revokeFrom("sick"), succeed)
		left := sick.Close(t.Context())
		if got := waitingIn(t, left); got != "a grant succeeded" || left.Problems["a"] == nil {
			t.Errorf("waiting %q because of %v", got, left.Problems)
		}
		const one = "revoke intended, revoke succeeded"
		if got := r.got(); got != "revoke failed, "+one+", "+one+", "+one {
			t.Errorf("taken %q", got)
		}
		if took := time.Since(begin); took > 0 || r.tries != 9 { // seven were taken, and two refused, once each
			t.Errorf("%d tries in %s", r.tries, took)
		}

		kept, err := ParseWaiting(left.Waiting)
		if err != nil {
			t.Fatal(err)
		}
		r.down(false)
		if left := trail.Open(Operation{}, kept).Close(t.Context()); len(left.Waiting) > 0 {
			t.Errorf("still waiting: %v", left.Waiting)
		}
	})
}

// What is refused stays in its place among what waits, and a sink that goes down is down.
func TestRefusedAndDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := picky()
		j := newTrail(false, r).Open(Operation{}, nil)
		j.try(t, grantOn("x"), succeed)
		r.down(true)
		j.try(t, revokeFrom("x"), succeed)
		left := j.Close(t.Context())
		if got := waitingIn(t, left); got != "a grant succeeded, a revoke succeeded" {
			t.Errorf("waiting %q", got)
		}
	})
}

// A sink that takes the intent and is late to acknowledge it hears that nothing was changed, as soon as it can. One that is
// not asked at all, because it was found down a moment ago, does not.
func TestIntentAcknowledgedTooLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &receiver{}
		r.answer = func(ctx context.Context, e Event) error {
			r.mu.Lock()
			r.taken = append(r.taken, e)
			r.mu.Unlock()
			<-ctx.Done()
			return ctx.Err()
		}
		trail := newTrail(true, r)
		late, rested := trail.Open(Operation{}, nil), trail.Open(Operation{}, nil)
		for _, j := range []*Journal{late, rested} {
			if err := j.Change(t.Context(), grantOn("x"), succeed); err == nil {
				t.Error("changed although nobody acknowledged that")
			}
		}
		if left := late.Close(t.Context()); waitingIn(t, left) != "a grant failed" || !left.NothingDone {
			t.Errorf("waiting %q, %+v", waitingIn(t, left), left)
		}
		late.Reopen()
		if left := rested.Close(t.Context()); len(left.Waiting) > 0 {
			t.Errorf("waiting %q", left.Waiting)
		}
		time.Sleep(time.Hour)
		r.down(false)
		lost, err := trail.Close(t.Context())
		if err != nil || len(lost) > 0 || r.got() != "grant intended, grant failed" || r.taken[0].Change != r.taken[1].Change {
			t.Errorf("the receiver has %q, lost %q, %v", r.got(), lost, err)
		}
	})
}
