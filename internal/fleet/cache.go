package fleet

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/guard"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
)

// sweepAfter is how many single reads a platform answers before the next one makes a sweep: a run that concerns a few
// accounts does not read a directory of a hundred thousand, and a run over a thousand accounts reads it once.
const sweepAfter = 8

// cache remembers what was read of one platform during one run of the provider. A plan only reads, so there it answers
// for the whole run; every write forgets the account that it concerns.
//
// It remembers presence only. That an account is not in a sweep says nothing: absence is always asked for singly.
type cache struct {
	stack string

	mu       sync.Mutex
	byID     map[string]nhi.Account
	idByName map[string]string
	reads    int
	// writes counts the changes made, so that a read which was under way during a change is not remembered.
	writes int

	// bulk is the sweep that is under way or has ended, nil if none was begun or the last one was given up.
	bulk *bulk
	// sweptAt is the number of writes before the sweep, -1 while no sweep has succeeded.
	sweptAt int
}

// bulk is a sweep. It goes on as long as somebody waits for it.
type bulk struct {
	waiting int
	cancel  context.CancelFunc
	done    chan struct{}
	err     error
}

func newCache(stack string) *cache {
	return &cache{stack: stack, byID: make(map[string]nhi.Account), idByName: make(map[string]string), sweptAt: -1}
}

// get returns what is remembered.
func (c *cache) get(ref nhi.Ref) (nhi.Account, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	id := ref.ID
	if id == "" {
		id = c.idByName[ref.Name]
	}
	account, ok := c.byID[id]
	return clone(account), ok && id != ""
}

// begin notes that an account is about to be read. It returns the number to give to put, and whether it is time to
// sweep.
func (c *cache) begin() (writes int, sweep bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reads++
	return c.writes, c.reads > sweepAfter
}

// put remembers accounts that were read, unless something was written since begin.
func (c *cache) put(writes int, accounts ...nhi.Account) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.writes != writes {
		return
	}
	for _, account := range accounts {
		if account.ID == "" {
			continue // nothing tells it from another one
		}
		c.byID[account.ID] = clone(account)
		c.idByName[account.Name] = account.ID
	}
}

// forget drops an account that is about to be written or was just written.
func (c *cache) forget(ref nhi.Ref) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.writes++
	delete(c.byID, c.idByName[ref.Name])
	delete(c.byID, ref.ID)
	delete(c.idByName, ref.Name)
}

// fill sweeps the platform once. Whoever comes meanwhile waits. A failure stays: a run that cannot read the platform
// in bulk should say so at once and not a thousand times slowly. Who stops waiting gets the error of ctx.
func (c *cache) fill(ctx context.Context, sweep func(ctx context.Context, page func([]nhi.Account)) error) error {
	b := c.join(ctx, sweep)
	select {
	case <-b.done:
		return b.err
	case <-ctx.Done():
		c.leave(b)
		return ctx.Err()
	}
}

// join begins the sweep if there is none. It serves everybody who waits for it, so it does not end with ctx.
func (c *cache) join(ctx context.Context, sweep func(ctx context.Context, page func([]nhi.Account)) error) *bulk {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.bulk == nil {
		ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
		b, writes := &bulk{cancel: cancel, done: make(chan struct{})}, c.writes
		c.bulk = b
		go func() {
			defer cancel()
			err := guard.Call(ctx, "the sweep", func() error {
				return sweep(ctx, func(page []nhi.Account) { c.put(writes, page...) })
			})
			c.end(b, err, writes)
		}()
	}
	c.bulk.waiting++
	return c.bulk
}

func (c *cache) end(b *bulk, err error, writes int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	b.err = err
	if err == nil {
		c.sweptAt = writes
	}
	close(b.done)
}

// leave gives up a sweep for which nobody waits any more: the next one begins anew.
func (c *cache) leave(b *bulk) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if b.waiting--; b.waiting == 0 && c.bulk == b {
		b.cancel()
		c.bulk = nil
	}
}

// marked returns what is remembered with the given mark, in no order. complete is false if there may be more: something
// was written since the sweep began, or there was none.
func (c *cache) marked(mark nhi.Mark) (found []nhi.Account, complete bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, account := range c.byID {
		if account.Mark == mark {
			found = append(found, clone(account))
		}
	}
	return found, c.sweptAt == c.writes
}

// clone keeps callers from changing what is remembered.
func clone(a nhi.Account) nhi.Account {
	a.Entitlements = slices.Clone(a.Entitlements)
	a.Credentials = slices.Clone(a.Credentials)
	a.Settings = maps.Clone(a.Settings)
	return a
}

// read answers from the cache, by a sweep, or singly.
func (c *Conn) read(ctx context.Context, ref nhi.Ref) (nhi.Account, error) {
	cache := c.platform.cache
	if account, ok := cache.get(ref); ok {
		return account, nil
	}
	writes, sweepNow := cache.begin()
	if _, ok := c.driver.(driver.Sweeper); ok && sweepNow {
		if err := c.fill(ctx); err != nil {
			return nhi.Account{}, err
		}
		if account, ok := cache.get(ref); ok {
			return account, nil
		}
	}
	account, err := c.ReadNow(ctx, ref)
	if err == nil {
		cache.put(writes, account)
	}
	return account, err
}

func (c *Conn) fill(ctx context.Context) error {
	err := c.platform.cache.fill(ctx, c.sweep)
	if ended := ctx.Err(); ended != nil && errors.Is(err, ended) {
		return explained(c.platform)(call{op: readAll}, func(ctx context.Context) error { return ctx.Err() })(ctx)
	}
	return err
}

// readAll is what errors and logs call a sweep.
const readAll = "read all accounts"

// sweep reads all accounts of the stack, and perhaps others: one after the other where the platform has no bulk read. It may
// call page with an account more than once: a sweep that broke off begins anew. Code Unsupported: the platform cannot list
// its accounts.
func (c *Conn) sweep(ctx context.Context, page func([]nhi.Account)) error {
	sweeper, ok := c.driver.(driver.Sweeper)
	if !ok {
		return c.All(ctx, func(accounts []nhi.Account) bool {
			page(accounts)
			return true
		})
	}
	return c.platform.call(ctx, call{op: readAll, idempotent: true, sweep: true}, func(ctx context.Context) error {
		return sweeper.Sweep(ctx, driver.SweepFilter{Stack: c.platform.cache.stack}, func(accounts []nhi.Account) error {
			page(accounts)
			return nil
		})
	})
}

// Marked returns every account with the given mark, perhaps from a read of all made earlier in this run. Absence must be
// certain here, so the cache answers only if it is complete. Code Unsupported: the platform cannot list its accounts.
func (c *Conn) Marked(ctx context.Context, mark nhi.Mark) ([]nhi.Account, error) {
	if err := c.fill(ctx); err != nil {
		return nil, err
	}
	if found, complete := c.platform.cache.marked(mark); complete {
		return found, nil
	}
	return c.markedNow(ctx, mark)
}

// markedNow is Marked, asked of the platform.
func (c *Conn) markedNow(ctx context.Context, mark nhi.Mark) ([]nhi.Account, error) {
	byID := make(map[string]nhi.Account)
	err := c.sweep(ctx, func(page []nhi.Account) {
		for _, account := range page {
			if account.Mark == mark {
				byID[account.ID] = account
			}
		}
	})
	return slices.Collect(maps.Values(byID)), err
}
