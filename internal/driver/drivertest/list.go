package drivertest

import (
	"errors"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
)

var canList = []driver.Capability{driver.CanList}

// listCases are about Lister.
var listCases = []testCase{
	{name: "list/all", needs: canList, run: listAll},
	{name: "list/stops_at_error", needs: canList, run: listStopsAtError},
}

// list returns how often each account name is listed.
func (k *kit) list() map[string]int {
	k.Helper()
	found := map[string]int{}
	err := as[driver.Lister](k).ListAccounts(k.ctx, func(page []nhi.Ref) error {
		for _, ref := range page {
			found[ref.Name]++
		}
		return nil
	})
	if err != nil {
		k.Fatalf("list: %v", err)
	}
	return found
}

// listAll lists more accounts than one page holds, and those that nobody marked.
func listAll(k *kit) {
	many := k.createMany(k.h.Many(), k.mark(), k.h.SharedEntitlement(k.T))
	many = append(many, k.foreign())
	found := k.list()
	for _, account := range many {
		if found[account.Name] != 1 {
			k.Errorf("account %q is listed %d times", account.Name, found[account.Name])
		}
	}
	k.delete(many[0].Ref)
	if k.list()[many[0].Name] != 0 {
		k.Errorf("the deleted account %q is listed", many[0].Name)
	}
}

func listStopsAtError(k *kit) {
	k.create()
	stop := errors.New("the caller has seen enough")
	calls := 0
	err := as[driver.Lister](k).ListAccounts(k.ctx, func([]nhi.Ref) error {
		calls++
		return stop
	})
	if !errors.Is(err, stop) || calls != 1 {
		k.Errorf("the list returned %v after %d pages, want the page's error after one", err, calls)
	}
}
