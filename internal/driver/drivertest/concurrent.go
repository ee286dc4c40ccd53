package drivertest

import (
	"fmt"
	"slices"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
)

// concurrencyCases are about changes that meet.
var concurrencyCases = []testCase{
	{name: "concurrent/one_account", run: concurrentOneAccount},
	{name: "concurrent/shared_entitlement", run: concurrentSharedEntitlement},
	{name: "concurrent/same_name", run: concurrentSameName},
}

// racers is how many changes meet.
const racers = 20

// drivers returns two drivers of one system: two runs of the product.
func (k *kit) drivers() []driver.Driver {
	return []driver.Driver{k.d, k.h.Open(k.T)}
}

// concurrentOneAccount grants and revokes different entitlements of one account at once.
func concurrentOneAccount(k *kit) {
	account, drivers := k.create(), k.drivers()
	es := k.h.Entitlements(k.T, racers)
	if err := together(racers, func(i int) error {
		return k.settle(func() error { return drivers[i%2].Grant(k.ctx, account.Ref, es[i:i+1]) })
	}); err != nil {
		k.Fatalf("grant: %v", err)
	}
	k.wantHolds(account.Ref, nhi.Union(account.Entitlements, es))
	if err := together(racers/2, func(i int) error {
		return k.settle(func() error { return drivers[i%2].Revoke(k.ctx, account.Ref, es[i:i+1]) })
	}); err != nil {
		k.Fatalf("revoke: %v", err)
	}
	k.wantHolds(account.Ref, nhi.Union(account.Entitlements, es[racers/2:]))
}

// concurrentSharedEntitlement grants one entitlement to many accounts at once, and takes it from half of them.
func concurrentSharedEntitlement(k *kit) {
	shared, drivers := k.h.SharedEntitlement(k.T), k.drivers()
	var accounts []nhi.Account
	for range racers {
		accounts = append(accounts, k.create())
	}
	if err := together(racers, func(i int) error {
		return k.settle(func() error { return drivers[i%2].Grant(k.ctx, accounts[i].Ref, []nhi.Entitlement{shared}) })
	}); err != nil {
		k.Fatalf("grant: %v", err)
	}
	for _, account := range accounts {
		k.wantHolds(account.Ref, nhi.Union(account.Entitlements, []nhi.Entitlement{shared}))
	}
	if err := together(racers/2, func(i int) error {
		return k.settle(func() error { return drivers[i%2].Revoke(k.ctx, accounts[i].Ref, []nhi.Entitlement{shared}) })
	}); err != nil {
		k.Fatalf("revoke: %v", err)
	}
	for i, account := range accounts {
		want := slices.Clone(account.Entitlements)
		if i >= racers/2 {
			want = append(want, shared)
		}
		k.wantHolds(account.Ref, want)
	}
}

// concurrentSameName creates one name many times at once: one wins, and all others learn that they did not.
func concurrentSameName(k *kit) {
	name, drivers := k.name(), k.drivers()
	marks, errs := make([]nhi.Mark, racers), make([]error, racers)
	for i := range marks {
		marks[i] = k.mark()
	}
	k.removeLater(nhi.Ref{Name: name})
	_ = together(racers, func(i int) error {
		_, errs[i] = drivers[i%2].CreateAccount(k.ctx, driver.AccountSpec{Name: name, Mark: marks[i]})
		return errs[i]
	})
	var winners []nhi.Mark
	for i, err := range errs {
		if err == nil {
			winners = append(winners, marks[i])
			continue
		}
		k.wantCode(err, fmt.Sprintf("create %d of one name", i), driver.AlreadyExists, driver.Conflict)
	}
	account := k.read(nhi.Ref{Name: name})
	if len(winners) != 1 || winners[0] != account.Mark {
		k.Errorf("%d creations of one name succeeded (%v); the account has the mark %q", len(winners), winners, account.Mark)
	}
}
