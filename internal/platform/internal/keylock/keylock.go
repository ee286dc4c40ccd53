// Package keylock serializes changes of one object that a platform itself cannot make in one step.
package keylock

import (
	"context"
	"sync"
)

// Set is a set of locks by name. A lock exists while somebody holds it or waits for it. The zero Set is ready.
type Set struct {
	mu   sync.Mutex
	held map[string]*lock
}

type lock struct {
	token chan struct{}
	users int
}

// Lock waits for the lock called key until ctx is done, and returns what releases it.
func (l *Set) Lock(ctx context.Context, key string) (func(), error) {
	l.mu.Lock()
	k, ok := l.held[key]
	if !ok {
		k = &lock{token: make(chan struct{}, 1)}
		if l.held == nil {
			l.held = map[string]*lock{}
		}
		l.held[key] = k
	}
	k.users++
	l.mu.Unlock()
	select {
	case k.token <- struct{}{}:
		return func() { <-k.token; l.leave(key, k) }, nil
	case <-ctx.Done():
		l.leave(key, k)
		return nil, ctx.Err()
	}
}

func (l *Set) leave(key string, k *lock) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if k.users--; k.users == 0 {
		delete(l.held, key)
	}
}
