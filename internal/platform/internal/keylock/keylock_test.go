package keylock

import (
	"context"
	"errors"
	"testing"
)

func TestLocks(t *testing.T) {
	var locks Set
	unlock, err := locks.Lock(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	other, err := locks.Lock(t.Context(), "b")
	if err != nil {
		t.Fatalf("another key waits: %v", err)
	}
	other()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := locks.Lock(ctx, "a"); !errors.Is(err, context.Canceled) {
		t.Fatalf("waiting for a held lock ends with %v", err)
	}
	var inside int
	done := make(chan struct{})
	go func() {
		defer close(done)
		again, err := locks.Lock(t.Context(), "a")
		if err != nil {
			t.Error(err)
			return
		}
		inside++
		again()
	}()
	inside++
	unlock()
	<-done
	if inside != 2 || len(locks.held) != 0 {
		t.Errorf("%d holders, %d locks are left", inside, len(locks.held))
	}
}
