package vault

import (
	"sync"

	"github.com/nhi-labs/terraform-provider-nhi/internal/platform/internal/keylock"
)

// objectLocks is shared by all drivers of the process, because two provider blocks may point to the same Vault.
var objectLocks keylock.Set

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
