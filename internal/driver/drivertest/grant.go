package drivertest

import (
	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
)

// grantCases are about entitlements.
var grantCases = []testCase{
	{name: "grant/listed_as_granted", run: grantListedAsGranted},
	{name: "grant/twice", run: grantTwice},
	{name: "grant/nothing", run: grantNothing},
	{name: "grant/missing_target", run: grantMissingTarget},
	{name: "grant/all_or_nothing", run: grantAllOrNothing},
	{name: "grant/absent_account", run: grantAbsentAccount},
	{name: "grant/foreign_survives", run: grantForeignSurvives},
	{name: "revoke/keeps_others", run: revokeKeepsOthers},
	{name: "revoke/twice", run: revokeTwice},
	{name: "revoke/not_held", run: revokeNotHeld},
	{name: "revoke/absent_account", run: revokeAbsentAccount},
}

func grantListedAsGranted(k *kit) {
	account := k.create()
	es := k.h.Entitlements(k.T, 8)
	k.wantCanonical(nhi.SortEntitlements(append([]nhi.Entitlement(nil), es...)))
	k.grant(account.Ref, es...)
	k.wantHolds(account.Ref, nhi.Union(account.Entitlements, es))
	k.revoke(account.Ref, es...)
	k.wantSame(account)
}

func grantTwice(k *kit) {
	account := k.create()
	es := k.h.Entitlements(k.T, 3)
	k.grant(account.Ref, es[0], es[1])
	k.grant(account.Ref, es[0], es[1])
	k.wantHolds(account.Ref, nhi.Union(account.Entitlements, es[:2]))
	k.grant(account.Ref, es...)
	k.wantHolds(account.Ref, nhi.Union(account.Entitlements, es))
	k.grant(nhi.Ref{Name: account.Name}, es...)
	k.wantHolds(account.Ref, nhi.Union(account.Entitlements, es))
}

func grantNothing(k *kit) {
	account := k.create()
	k.grant(account.Ref)
	k.revoke(account.Ref)
	k.wantSame(account)
}

// missing returns an entitlement whose target does not exist. Where there is none, the harness says so.
func (k *kit) missing() nhi.Entitlement {
	k.Helper()
	e, ok := k.h.MissingEntitlement(k.T)
	if !ok {
		k.Fatal("no missing target can be named: declare grant/missing_target and grant/all_or_nothing unsupported")
	}
	return e
}

func grantMissingTarget(k *kit) {
	account := k.create()
	missing := k.missing()
	for range 2 {
		err := k.d.Grant(k.ctx, account.Ref, []nhi.Entitlement{missing})
		k.wantCode(err, "grant of "+missing.String(), driver.Invalid)
	}
	k.wantSame(account)
	k.revoke(account.Ref, missing)
}

func grantAllOrNothing(k *kit) {
	account := k.create()
	es := k.h.Entitlements(k.T, 3)
	k.grant(account.Ref, es[0])
	missing := k.missing()
	for _, set := range [][]nhi.Entitlement{{es[0], es[1], es[2], missing}, {missing, es[2], es[1]}} {
		err := k.d.Grant(k.ctx, account.Ref, set)
		k.wantCode(err, "grant of a set with a missing target", driver.Invalid)
		k.wantHolds(account.Ref, nhi.Union(account.Entitlements, es[:1]))
	}
}

func grantAbsentAccount(k *kit) {
	es := k.h.Entitlements(k.T, 1)
	err := k.d.Grant(k.ctx, nhi.Ref{Name: k.name()}, es)
	k.wantCode(err, "grant to an account that never was", driver.NotFound)
	account := k.create()
	k.delete(account.Ref)
	err = k.d.Grant(k.ctx, account.Ref, es)
	k.wantCode(err, "grant to a deleted account", driver.NotFound)
	k.wantAbsent(nhi.Ref{Name: account.Name})
}

func grantForeignSurvives(k *kit) {
	account := k.create()
	es := k.h.Entitlements(k.T, 4)
	byHand, ours := es[:2], es[2:]
	k.h.GrantByHand(k.T, account.Name, byHand[0])
	k.grant(account.Ref, ours[0])
	k.h.GrantByHand(k.T, account.Name, byHand[1])
	k.wantHolds(account.Ref, nhi.Union(account.Entitlements, es[:3]))
	k.grant(account.Ref, ours[1])
	k.revoke(account.Ref, ours[0])
	k.wantHolds(account.Ref, nhi.Union(account.Entitlements, append([]nhi.Entitlement{ours[1]}, byHand...)))
	k.revoke(account.Ref, byHand...)
	k.wantHolds(account.Ref, nhi.Union(account.Entitlements, ours[1:]))
}

func revokeKeepsOthers(k *kit) {
	account := k.create()
	es := k.h.Entitlements(k.T, 4)
	k.grant(account.Ref, es...)
	for i := range es {
		k.revoke(account.Ref, es[i])
		k.wantHolds(account.Ref, nhi.Union(account.Entitlements, es[i+1:]))
	}
}

func revokeTwice(k *kit) {
	account := k.create()
	es := k.h.Entitlements(k.T, 2)
	k.grant(account.Ref, es...)
	k.revoke(account.Ref, es[0])
	k.revoke(account.Ref, es[0])
	k.wantHolds(account.Ref, nhi.Union(account.Entitlements, es[1:]))
}

// revokeNotHeld revokes what another account holds.
func revokeNotHeld(k *kit) {
	account, other := k.create(), k.create()
	shared := k.h.SharedEntitlement(k.T)
	k.grant(other.Ref, shared)
	before := k.read(other.Ref)
	k.revoke(account.Ref, append(k.h.Entitlements(k.T, 2), shared)...)
	k.wantSame(account)
	k.wantSame(before)
}

func revokeAbsentAccount(k *kit) {
	account, es := k.create(), k.h.Entitlements(k.T, 2)
	k.grant(account.Ref, es...)
	k.delete(account.Ref)
	k.revoke(account.Ref, es...)
	k.revoke(nhi.Ref{Name: account.Name}, es...)
	k.wantAbsent(account.Ref)
}
