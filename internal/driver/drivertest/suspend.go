package drivertest

import (
	"fmt"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
)

// suspendCases are about Suspender and SessionEnder.
var suspendCases = []testCase{
	{name: "suspend/twice", needs: []driver.Capability{driver.CanSuspend}, run: suspendTwice},
	{name: "suspend/survives_changes", needs: []driver.Capability{driver.CanSuspend}, run: suspendSurvivesChanges},
	{name: "suspend/blocks_login",
		needs: []driver.Capability{driver.CanSuspend, driver.CanIssue, driver.CanVerify}, run: suspendBlocksLogin},
	{name: "sessions/end_twice", needs: []driver.Capability{driver.CanEndSessions}, run: sessionsEndTwice},
}

func (k *kit) suspend(ref nhi.Ref) {
	k.Helper()
	if err := as[driver.Suspender](k).Suspend(k.ctx, ref); err != nil {
		k.Fatalf("suspend account %q: %v", ref.Name, err)
	}
}

func (k *kit) resume(ref nhi.Ref) {
	k.Helper()
	if err := as[driver.Suspender](k).Resume(k.ctx, ref); err != nil {
		k.Fatalf("resume account %q: %v", ref.Name, err)
	}
}

// as returns the driver as one of the optional interfaces that its kind declares.
func as[T any](k *kit) T {
	k.Helper()
	return on[T](k.d)
}

// on returns d as an optional interface. It panics if d is none: a kind that declares what it does not implement.
func on[T any](d driver.Driver) T {
	capable, ok := d.(T)
	if !ok {
		panic(fmt.Sprintf("%T does not implement %T, which its kind declares", d, (*T)(nil)))
	}
	return capable
}

func suspendTwice(k *kit) {
	account := k.create()
	k.grant(account.Ref, k.h.Entitlements(k.T, 2)...)
	active := k.read(account.Ref)
	suspended := active
	suspended.Status = nhi.Suspended
	for range 2 {
		k.suspend(account.Ref)
		k.wantSame(suspended)
	}
	for range 2 {
		k.resume(account.Ref)
		k.wantSame(active)
	}
}

// suspendSurvivesChanges checks that no other change of a suspended account lets it in again.
func suspendSurvivesChanges(k *kit) {
	account := k.create()
	k.suspend(account.Ref)
	es := k.h.Entitlements(k.T, 2)
	mark := k.mark()
	k.grant(account.Ref, es...)
	k.revoke(account.Ref, es[0])
	k.update(account.Ref, driver.AccountChange{Mark: &mark, Settings: k.h.Settings()})
	after := k.read(account.Ref)
	if after.Status != nhi.Suspended || after.Mark != mark {
		k.Errorf("status %q, mark %q; want %q, %q", after.Status, after.Mark, nhi.Suspended, mark)
	}
	k.wantHolds(account.Ref, nhi.Union(account.Entitlements, es[1:]))
}

// suspendBlocksLogin really logs in.
func suspendBlocksLogin(k *kit) {
	account := k.create()
	k.grant(account.Ref, k.h.Entitlements(k.T, 2)...)
	issued := k.issue(account.Ref)
	before := k.read(account.Ref)
	k.wantLogin(issued)
	k.suspend(account.Ref)
	k.wantNoLogin(issued)
	suspended := before
	suspended.Status = nhi.Suspended
	k.wantSame(suspended)
	k.resume(account.Ref)
	k.wantLogin(issued)
	k.wantSame(before)
}

func sessionsEndTwice(k *kit) {
	account := k.create()
	k.grant(account.Ref, k.h.Entitlements(k.T, 1)...)
	before := k.read(account.Ref)
	for range 2 {
		if err := as[driver.SessionEnder](k).EndSessions(k.ctx, account.Ref); err != nil {
			k.Fatalf("end sessions: %v", err)
		}
	}
	k.wantSame(before)
}
