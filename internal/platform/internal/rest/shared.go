package rest

import (
	"context"
	"sync"
)

// Shared is a value that many callers need and one fetches. Callers that come while it is being fetched get the same
// answer, also if it is an error: a platform that is down is asked once, not once by each of them in turn. The zero
// Shared is ready. It is safe for concurrent use.
type Shared[T any] struct {
	mu      sync.Mutex
	known   bool
	value   T
	running *flight[T]
}

// flight is one fetch.
type flight[T any] struct {
	done  chan struct{}
	value T
	err   error
	// abandoned is set if the fetch ended because its own caller gave up, or panicked: that says nothing to the others.
	abandoned bool
}

// Get returns the value if there is a valid one, and otherwise fetches it. Errors are not kept.
func (s *Shared[T]) Get(ctx context.Context, valid func(T) bool, fetch func(context.Context) (T, error)) (T, error) {
	for {
		s.mu.Lock()
		if s.known && valid(s.value) {
			defer s.mu.Unlock()
			return s.value, nil
		}
		f, lead := s.running, false
		if f == nil {
			f, lead = &flight[T]{done: make(chan struct{})}, true
			s.running = f
		}
		s.mu.Unlock()
		if lead {
			s.fetch(ctx, f, fetch)
			return f.value, f.err
		}
		select {
		case <-f.done:
		case <-ctx.Done():
			var zero T
			return zero, ctx.Err()
		}
		if !f.abandoned {
			return f.value, f.err
		}
	}
}

func (s *Shared[T]) fetch(ctx context.Context, f *flight[T], fetch func(context.Context) (T, error)) {
	f.abandoned = true
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if f.err == nil && !f.abandoned {
			s.known, s.value = true, f.value
		}
		s.running = nil
		close(f.done)
	}()
	f.value, f.err = fetch(ctx)
	f.abandoned = f.err != nil && ctx.Err() != nil
}

// Drop forgets the value if it is one that match accepts.
func (s *Shared[T]) Drop(match func(T) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.known && match(s.value) {
		var zero T
		s.known, s.value = false, zero
	}
}
