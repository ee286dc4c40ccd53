package vault

import (
	"context"
	"sync"
)

// objectLocks is shared by all drivers of the process, because two provider blocks may point to the same Vault.
var objectLocks = keyedLocks{held: map[string]*keyedLock{}}

// keyedLocks is a set of locks by name. A lock exists while somebody holds it or waits for it.
type keyedLocks struct {
	mu   sync.Mutex
	held map[string]*keyedLock
}

type keyedLock struct {
	token chan struct{}
	users int
}

// lock waits for the lock called key until ctx is done, and returns what releases it.
func (l *keyedLocks) lock(ctx context.Context, key string) (func(), error) {
	l.mu.Lock()
	k, ok := l.held[key]
	if !ok {
		k = &keyedLock{token: make(chan struct{}, 1)}
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

func (l *keyedLocks) leave(key string, k *keyedLock) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if k.users--; k.users == 0 {
		delete(l.held, key)
	}
}

// cached holds a value that is fetched once. A fetch that fails is repeated by the next caller.
type cached[T any] struct {
	mu    sync.Mutex
	value *T
}

func (c *cached[T]) get(fetch func() (T, error)) (T, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.value == nil {
		v, err := fetch()
		if err != nil {
			return v, err
		}
		c.value = &v
	}
	return *c.value, nil
}
