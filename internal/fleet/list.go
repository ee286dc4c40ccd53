package fleet

import (
	"context"
	"errors"
	"slices"
	"sync"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/guard"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
)

// errEnough ends a sweep whose caller has seen enough.
var errEnough = errors.New("enough")

// All calls page with every account on the platform, whole and whoever made it, until page returns false: that is no
// error. A read that broke off begins anew, so an account may come more than once. A platform without a bulk read is
// asked for one account after the other. Code Unsupported: the platform cannot list its accounts.
func (c *Conn) All(ctx context.Context, page func([]nhi.Account) bool) error {
	if sweeper, ok := c.driver.(driver.Sweeper); ok {
		return c.platform.call(ctx, call{op: readAll, idempotent: true, sweep: true}, func(ctx context.Context) error {
			return untilEnough(func(enough func(bool) error) error {
				return sweeper.Sweep(ctx, driver.SweepFilter{}, func(accounts []nhi.Account) error { return enough(page(accounts)) })
			})
		})
	}
	lister, ok := c.driver.(driver.Lister)
	if !ok {
		return c.lacks("list its accounts")
	}
	refs, err := ask(ctx, c.platform, call{op: "list all accounts", idempotent: true, sweep: true}, func(ctx context.Context) ([]nhi.Ref, error) {
		var refs []nhi.Ref
		err := lister.ListAccounts(ctx, func(page []nhi.Ref) error {
			refs = append(refs, page...)
			return nil
		})
		return refs, err
	})
	if err != nil {
		return err
	}
	for some := range slices.Chunk(refs, readAtOnce) {
		accounts, err := c.readMany(ctx, some)
		if err != nil {
			return err
		}
		if !page(accounts) {
			return nil
		}
	}
	return nil
}

// AllMarked returns every account with the given mark, asked of the platform now and not remembered. complete is false if
// the platform cannot list its accounts, so that there may be others.
func (c *Conn) AllMarked(ctx context.Context, mark nhi.Mark) (found []nhi.Account, complete bool, err error) {
	found, err = c.markedNow(ctx, mark)
	if err != nil && driver.CodeOf(err) == driver.Unsupported {
		return nil, false, nil
	}
	return found, true, err
}

// untilEnough runs a read whose pages end it with errEnough, which is no error then.
func untilEnough(read func(enough func(more bool) error) error) error {
	stopped := false
	err := read(func(more bool) error {
		if more {
			return nil
		}
		stopped = true
		return errEnough
	})
	if stopped {
		return nil
	}
	return err
}

// readAtOnce is how many accounts are read at the same time where each is a call of its own, bounded again by what the
// platform is asked to bear.
const readAtOnce = 16

// readMany reads accounts singly, in their order. What was deleted since it was listed is left out.
func (c *Conn) readMany(ctx context.Context, refs []nhi.Ref) ([]nhi.Account, error) {
	found, failures := make([]nhi.Account, len(refs)), make([]error, len(refs))
	var wg sync.WaitGroup
	for i, ref := range refs {
		wg.Go(func() {
			failures[i] = guard.Call(ctx, "the provider", func() (err error) {
				found[i], err = c.ReadNow(ctx, ref)
				return err
			})
		})
	}
	wg.Wait()
	var accounts []nhi.Account
	for i, err := range failures {
		switch {
		case err == nil:
			accounts = append(accounts, found[i])
		case driver.CodeOf(err) != driver.NotFound:
			return nil, err
		}
	}
	return accounts, nil
}
