package drivertest

import (
	"errors"
	"fmt"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
)

var canSweep = []driver.Capability{driver.CanSweep}

// sweepCases are about Sweeper.
var sweepCases = []testCase{
	{name: "sweep/whole", needs: canSweep, alone: true, run: sweepWhole},
	{name: "sweep/stack_filter", needs: canSweep, run: sweepStackFilter},
	{name: "sweep/stops_at_error", needs: canSweep, run: sweepStopsAtError},
}

// helpers is how many calls the suite makes at once where only the result matters.
const helpers = 8

// sweep returns every account that a sweep shows, and fails if one comes twice.
func (k *kit) sweep(filter driver.SweepFilter) map[string]nhi.Account {
	k.Helper()
	found := map[string]nhi.Account{}
	err := as[driver.Sweeper](k).Sweep(k.ctx, filter, func(page []nhi.Account) error {
		for _, account := range page {
			if _, twice := found[account.ID]; twice {
				return fmt.Errorf("account %q (id %q) came twice", account.Name, account.ID)
			}
			found[account.ID] = account
		}
		return nil
	})
	if err != nil {
		k.Fatalf("sweep: %v", err)
	}
	k.noSecrets("sweep", found)
	return found
}

// wantSwept checks that a sweep showed the account as ReadAccount does.
func (k *kit) wantSwept(found map[string]nhi.Account, want nhi.Account) {
	k.Helper()
	got, ok := found[want.ID]
	if !ok {
		k.Errorf("the sweep lacks account %q (id %q)", want.Name, want.ID)
		return
	}
	if diff := diffAccounts(want, got); diff != "" {
		k.Errorf("account %q (-read +swept):\n%s", want.Name, diff)
	}
}

// createMany makes n accounts with one mark and returns them as they are read. Some hold the given entitlement.
func (k *kit) createMany(n int, mark nhi.Mark, shared nhi.Entitlement) []nhi.Account {
	k.Helper()
	names := make([]string, n)
	for i := range names {
		names[i] = k.name()
	}
	accounts := make([]nhi.Account, n)
	err := together(helpers, func(worker int) error {
		for i := worker; i < n; i += helpers {
			ref, err := k.createErr(driver.AccountSpec{Name: names[i], Mark: mark})
			if err != nil {
				return fmt.Errorf("create %q: %w", names[i], err)
			}
			if i%10 == 0 {
				err = k.settle(func() error { return k.d.Grant(k.ctx, ref, []nhi.Entitlement{shared}) })
			}
			if err != nil {
				return fmt.Errorf("grant %s to %q: %w", shared, names[i], err)
			}
			if accounts[i], err = k.d.ReadAccount(k.ctx, ref); err != nil {
				return fmt.Errorf("read %q: %w", names[i], err)
			}
		}
		return nil
	})
	if err != nil {
		k.Fatal(err)
	}
	return accounts
}

// sweepWhole reads more accounts than one page holds, of every sort.
func sweepWhole(k *kit) {
	special := k.create(func(s *driver.AccountSpec) {
		s.Settings = k.h.Settings()
		if k.spec.NativeExpiry {
			s.ExpiresAt = expiry(30)
		}
	})
	k.grant(special.Ref, k.h.Entitlements(k.T, 4)...)
	if k.spec.Can(driver.CanIssue) && as[driver.Issuer](k).Slots() > 0 {
		k.issue(special.Ref)
	}
	if k.spec.Can(driver.CanSuspend) {
		k.suspend(special.Ref)
	}
	foreign := k.foreign(k.h.Entitlements(k.T, 2)...)
	many := k.createMany(k.h.Many(), k.mark(), k.h.SharedEntitlement(k.T))
	many = append(many, k.read(special.Ref), foreign)

	found := k.sweep(driver.SweepFilter{})
	for _, account := range many {
		k.wantSwept(found, account)
	}
	k.delete(special.Ref)
	if _, still := k.sweep(driver.SweepFilter{})[special.ID]; still {
		k.Errorf("a sweep shows the deleted account %q", special.Name)
	}
}

func sweepStackFilter(k *kit) {
	ours, theirs := k.mark(), k.mark()
	shared := k.h.SharedEntitlement(k.T)
	mine, others := k.createMany(3, ours, shared), k.createMany(3, theirs, shared)
	adopted := k.foreign(shared)
	k.update(adopted.Ref, driver.AccountChange{Mark: &ours})
	mine = append(mine, k.read(adopted.Ref))
	found := k.sweep(driver.SweepFilter{Stack: ours.Stack})
	for _, account := range mine {
		k.wantSwept(found, account)
	}
	for _, account := range others {
		if _, ok := found[account.ID]; ok {
			k.wantSwept(found, account)
		}
	}
}

func sweepStopsAtError(k *kit) {
	k.create()
	stop := errors.New("the caller has seen enough")
	calls := 0
	err := as[driver.Sweeper](k).Sweep(k.ctx, driver.SweepFilter{}, func([]nhi.Account) error {
		calls++
		return stop
	})
	if !errors.Is(err, stop) || calls != 1 {
		k.Errorf("the sweep returned %v after %d pages, want the page's error after one", err, calls)
	}
}
