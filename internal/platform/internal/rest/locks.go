package rest

import (
	"context"
	"sync"
)

// Locks is one lock per key. Waiting for one ends with the context. The zero Locks is ready.
type Locks struct {
	locks sync.Map
}

// Lock waits for the key's lock and returns what releases it.
func (l *Locks) Lock(ctx context.Context, key string) (unlock func(), err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	held, _ := l.locks.LoadOrStore(key, make(chan struct{}, 1))
	turn := held.(chan struct{}) //nolint:forcetypeassert // Nothing else is stored.
	select {
	case turn <- struct{}{}:
		return func() { <-turn }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
