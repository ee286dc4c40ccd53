package fleet

import (
	"context"
	"slices"
	"sync"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/guard"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
)

// Explains reports whether the platform tells what accounts come by indirectly. Where it does not, Explain and Holders
// know what accounts hold directly, and nothing else.
func (c *Conn) Explains() bool {
	_, ok := c.driver.(driver.Explainer)
	return ok
}

// Explain returns everything that an account may do (driver.Explainer).
func (c *Conn) Explain(ctx context.Context, ref nhi.Ref) ([]driver.Holding, error) {
	explainer, ok := c.driver.(driver.Explainer)
	if !ok {
		account, err := c.Read(ctx, ref)
		return directly(account), err
	}
	return ask(ctx, c.platform, call{op: "explain account", account: ref.Name, idempotent: true},
		func(ctx context.Context) ([]driver.Holding, error) { return explainer.Explain(ctx, ref) })
}

func directly(account nhi.Account) []driver.Holding {
	holdings := make([]driver.Holding, len(account.Entitlements))
	for i, e := range account.Entitlements {
		holdings[i] = driver.Holding{Entitlement: e}
	}
	return holdings
}

// Holders returns the accounts that hold one of the wanted entitlements, whoever made them, each with those of its
// holdings that are wanted. It reads everything in bulk where the platform can, and account by account where it cannot.
// Code Unsupported: the platform cannot list its accounts.
func (c *Conn) Holders(ctx context.Context, wanted func(nhi.Entitlement) bool) ([]driver.Explained, error) {
	bulk, ok := c.driver.(driver.BulkExplainer)
	if !ok {
		return c.holdersSingly(ctx, wanted)
	}
	return ask(ctx, c.platform, call{op: "explain all accounts", idempotent: true, sweep: true},
		func(ctx context.Context) ([]driver.Explained, error) {
			var found []driver.Explained
			err := bulk.ExplainAll(ctx, func(page []driver.Explained) error {
				for _, e := range page {
					found = appendHolder(found, e, wanted)
				}
				return nil
			})
			return found, err
		})
}

// holdersSingly asks for one account after the other. What is deleted meanwhile is left out.
func (c *Conn) holdersSingly(ctx context.Context, wanted func(nhi.Entitlement) bool) ([]driver.Explained, error) {
	var found []driver.Explained
	var failure error
	seen := make(map[nhi.Ref]bool)
	err := c.All(ctx, func(page []nhi.Account) bool {
		page = slices.DeleteFunc(slices.Clone(page), func(a nhi.Account) bool { return seen[a.Ref] })
		all := make([][]driver.Holding, len(page))
		failures := make([]error, len(page))
		limit := make(chan struct{}, readAtOnce)
		var wg sync.WaitGroup
		for i, a := range page {
			seen[a.Ref] = true
			limit <- struct{}{}
			wg.Go(func() {
				defer func() { <-limit }()
				failures[i] = guard.Call(ctx, "the provider", func() (err error) {
					if !c.Explains() {
						all[i] = directly(a)
						return nil
					}
					all[i], err = c.Explain(ctx, a.Ref)
					return err
				})
			})
		}
		wg.Wait()
		for i, a := range page {
			if failures[i] != nil && driver.CodeOf(failures[i]) != driver.NotFound {
				failure = failures[i]
				return false
			}
			found = appendHolder(found, driver.Explained{Account: a, Holdings: all[i]}, wanted)
		}
		return true
	})
	if err == nil {
		err = failure
	}
	if err != nil {
		return nil, err
	}
	return found, nil
}

func appendHolder(found []driver.Explained, e driver.Explained, wanted func(nhi.Entitlement) bool) []driver.Explained {
	// A new list: the one of a page is the driver's.
	var holdings []driver.Holding
	for _, h := range e.Holdings {
		if wanted(h.Entitlement) {
			holdings = append(holdings, h)
		}
	}
	if len(holdings) == 0 {
		return found
	}
	return append(found, driver.Explained{Account: e.Account, Holdings: holdings})
}
