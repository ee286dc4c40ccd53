package drivertest

import (
	"slices"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
)

// explainCases are about Explainer. That what is inherited is what the platform itself says is for the driver's own
// tests: only they can make groups of groups.
var explainCases = []testCase{
	{name: "explain/direct", needs: []driver.Capability{driver.CanExplain}, run: explainDirect},
	{name: "explain/absent_account", needs: []driver.Capability{driver.CanExplain}, run: explainAbsentAccount},
	{name: "explain/all", needs: []driver.Capability{driver.CanExplain, driver.CanSweep}, run: explainAll},
}

func (k *kit) explain(ref nhi.Ref) []driver.Holding {
	k.Helper()
	holdings, err := as[driver.Explainer](k).Explain(k.ctx, ref)
	if err != nil {
		k.Fatalf("explain account %q (id %q): %v", ref.Name, ref.ID, err)
	}
	k.noSecrets("what Explain returns", holdings)
	return holdings
}

// wantExplained checks that the direct holdings are what the account holds, and the form of all.
func (k *kit) wantExplained(account nhi.Account, holdings []driver.Holding) {
	k.Helper()
	var direct []nhi.Entitlement
	for _, h := range holdings {
		if len(h.Via) == 0 {
			direct = append(direct, h.Entitlement)
		}
		if slices.Contains(h.Via, "") {
			k.Errorf("%s comes by a way with an empty step: %q", h.Entitlement, h.Via)
		}
		if _, err := k.spec.Grammar.ParseObserved(h.Entitlement.String()); err != nil {
			k.Errorf("explained entitlement %#v: %v", h.Entitlement, err)
		}
	}
	if diff := cmp.Diff(nhi.Texts(account.Entitlements), nhi.Texts(direct), cmpopts.EquateEmpty()); diff != "" {
		k.Fatalf("direct holdings of %q (-held +explained):\n%s", account.Name, diff)
	}
	if diff := cmp.Diff(driver.SortHoldings(slices.Clone(holdings)), holdings, cmpopts.EquateEmpty()); diff != "" {
		k.Errorf("holdings of %q are not sorted (-sorted +explained):\n%s", account.Name, diff)
	}
}

func explainDirect(k *kit) {
	account := k.create()
	if k.spec.Can(driver.CanIssue) && as[driver.Issuer](k).Slots() > 0 {
		k.issue(account.Ref)
		account = k.read(account.Ref)
	}
	k.wantExplained(account, k.explain(account.Ref))
	k.grant(account.Ref, k.h.Entitlements(k.T, 8)...)
	granted := k.read(account.Ref)
	k.wantExplained(granted, k.explain(account.Ref))
	k.wantExplained(granted, k.explain(nhi.Ref{Name: account.Name}))
	k.wantSame(granted)
	k.revoke(account.Ref, nhi.Without(granted.Entitlements, account.Entitlements)...)
	k.wantExplained(account, k.explain(account.Ref))
	foreign := k.foreign(k.h.Entitlements(k.T, 2)...)
	k.wantExplained(foreign, k.explain(foreign.Ref))
}

func explainAbsentAccount(k *kit) {
	_, err := as[driver.Explainer](k).Explain(k.ctx, nhi.Ref{Name: k.name()})
	k.wantCode(err, "Explain of an account that never was", driver.NotFound)
	account := k.create()
	k.delete(account.Ref)
	_, err = as[driver.Explainer](k).Explain(k.ctx, account.Ref)
	k.wantCode(err, "Explain of a deleted account", driver.NotFound)
}

// explainAll compares what is told of two accounts in bulk with what is told of each. Where nothing is told in bulk,
// package fleet asks for each.
func explainAll(k *kit) {
	bulk, ok := k.d.(driver.BulkExplainer)
	if !ok {
		return
	}
	shared := k.h.SharedEntitlement(k.T)
	wanted := map[string]nhi.Account{}
	for range 2 {
		account := k.create()
		k.grant(account.Ref, append(k.h.Entitlements(k.T, 3), shared)...)
		wanted[account.ID] = k.read(account.Ref)
	}
	found := map[string]driver.Explained{}
	err := bulk.ExplainAll(k.ctx, func(page []driver.Explained) error {
		for _, e := range page {
			if _, ok := wanted[e.Account.ID]; ok {
				found[e.Account.ID] = e
			}
		}
		return nil
	})
	if err != nil {
		k.Fatalf("explain all: %v", err)
	}
	for id, account := range wanted {
		e := found[id]
		if diff := diffAccounts(account, e.Account); diff != "" {
			k.Errorf("account %q in bulk (-read +explained):\n%s", account.Name, diff)
		}
		alone := own(account, k.explain(account.Ref))
		if diff := cmp.Diff(alone, own(account, e.Holdings), cmpopts.EquateEmpty()); diff != "" {
			k.Errorf("holdings of %q in bulk (-alone +bulk):\n%s", account.Name, diff)
		}
	}
}

// own leaves out what the platform gives to everybody: other cases change it meanwhile.
func own(account nhi.Account, holdings []driver.Holding) []driver.Holding {
	return slices.DeleteFunc(slices.Clone(holdings), func(h driver.Holding) bool {
		return len(h.Via) > 0 && !slices.Contains(nhi.Texts(account.Entitlements), h.Via[0])
	})
}
