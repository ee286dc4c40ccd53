package drivertest

import (
	"maps"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
)

// accountCases are about making, reading and removing accounts.
var accountCases = []testCase{
	{name: "account/round_trip", run: accountRoundTrip},
	{name: "account/absent", run: accountAbsent},
	{name: "account/delete_twice", run: accountDeleteTwice},
	{name: "account/delete_leaves_no_trace", run: accountDeleteLeavesNoTrace},
	{name: "account/recreated_is_another", run: accountRecreatedIsAnother},
	{name: "account/create_over_own", run: accountCreateOverOwn},
	{name: "account/create_over_foreign", run: accountCreateOverForeign},
	{name: "account/made_elsewhere", run: accountMadeElsewhere},
	{name: "account/create_suspended", needs: []driver.Capability{driver.CanSuspend}, run: accountCreateSuspended},
}

// expiry is a native expiry that every platform can store: far enough, whole days.
func expiry(days int) time.Time {
	return time.Now().UTC().Truncate(24*time.Hour).AddDate(0, 0, days)
}

func accountRoundTrip(k *kit) {
	spec := driver.AccountSpec{Name: k.name(), Mark: k.mark(), Settings: k.h.Settings()}
	if k.spec.NativeExpiry {
		spec.ExpiresAt = expiry(30)
	}
	ref, err := k.createErr(spec)
	if err != nil {
		k.Fatalf("create: %v", err)
	}
	if ref.Name != spec.Name || ref.ID == "" {
		k.Fatalf("create returned %+v, want the name %q and an id", ref, spec.Name)
	}
	byName, byID := k.read(nhi.Ref{Name: spec.Name}), k.read(ref)
	if diff := diffAccounts(byName, byID); diff != "" {
		k.Errorf("read by name and by id differ (-name +id):\n%s", diff)
	}
	if byID.Ref != ref {
		k.Errorf("read returns %+v, create returned %+v", byID.Ref, ref)
	}
	if byID.Mark != spec.Mark {
		k.Errorf("mark is %q, want %q", byID.Mark, spec.Mark)
	}
	if byID.Status != nhi.Active {
		k.Errorf("status is %q, want %q", byID.Status, nhi.Active)
	}
	if !byID.ExpiresAt.Equal(spec.ExpiresAt) {
		k.Errorf("expires at %v, want %v", byID.ExpiresAt, spec.ExpiresAt)
	}
	k.wantSettings(byID, spec.Settings)
}

// wantSettings checks that the account has the given settings; it may have others.
func (k *kit) wantSettings(account nhi.Account, want map[string]string) {
	k.Helper()
	got := map[string]string{}
	for name := range maps.Keys(want) {
		got[name] = account.Settings[name]
	}
	if diff := cmp.Diff(want, got); len(want) > 0 && diff != "" {
		k.Errorf("settings (-want +got):\n%s", diff)
	}
}

func accountAbsent(k *kit) {
	k.wantAbsent(nhi.Ref{Name: k.name()})
	account := k.create()
	k.delete(account.Ref)
	k.wantAbsent(nhi.Ref{Name: account.Name})
	k.wantAbsent(account.Ref)
	mark := k.mark()
	err := k.d.UpdateAccount(k.ctx, account.Ref, driver.AccountChange{Mark: &mark})
	k.wantCode(err, "update of an absent account", driver.NotFound)
}

func accountDeleteTwice(k *kit) {
	account := k.create()
	k.delete(account.Ref)
	k.delete(account.Ref)
	k.delete(nhi.Ref{Name: account.Name})
	k.delete(nhi.Ref{Name: k.name()})
}

func accountDeleteLeavesNoTrace(k *kit) {
	first := k.create()
	k.grant(first.Ref, k.h.Entitlements(k.T, 3)...)
	k.delete(first.Ref)
	k.wantAbsent(first.Ref)
	second := k.create(func(s *driver.AccountSpec) { s.Name = first.Name })
	if diff := cmp.Diff(nhi.Texts(first.Entitlements), nhi.Texts(second.Entitlements)); diff != "" {
		k.Errorf("the second account of the name does not begin as the first did (-first +second):\n%s", diff)
	}
	if len(second.Credentials) != len(first.Credentials) {
		k.Errorf("the second account of the name begins with the credentials %+v", second.Credentials)
	}
}

// accountRecreatedIsAnother checks that an id means one account, not whichever has its name now. Where the platform
// gives both accounts the same id there is nothing to tell them apart.
func accountRecreatedIsAnother(k *kit) {
	first := k.create()
	k.delete(first.Ref)
	second := k.create(func(s *driver.AccountSpec) { s.Name = first.Name })
	if second.ID == first.ID {
		k.Logf("accounts of one name share one id here: %q", first.ID)
		return
	}
	k.wantAbsent(first.Ref)
	k.delete(first.Ref)
	mark := k.mark()
	err := k.d.UpdateAccount(k.ctx, first.Ref, driver.AccountChange{Mark: &mark})
	k.wantCode(err, "update by the id of a deleted account", driver.NotFound)
	k.wantSame(second)
}

func accountCreateOverOwn(k *kit) {
	account := k.create()
	k.grant(account.Ref, k.h.Entitlements(k.T, 1)...)
	before := k.read(account.Ref)
	_, err := k.d.CreateAccount(k.ctx, driver.AccountSpec{Name: account.Name, Mark: account.Mark})
	k.wantCode(err, "create with a name that is taken", driver.AlreadyExists)
	k.wantSame(before)
}

func accountCreateOverForeign(k *kit) {
	before := k.foreign(k.h.Entitlements(k.T, 2)...)
	if !before.Mark.IsZero() {
		k.Fatalf("a foreign account has the mark %q", before.Mark)
	}
	_, err := k.d.CreateAccount(k.ctx, driver.AccountSpec{Name: before.Name, Mark: k.mark(), Settings: k.h.Settings()})
	k.wantCode(err, "create over a foreign account", driver.AlreadyExists)
	k.wantSame(before)
}

// accountMadeElsewhere checks that a platform that cannot make accounts says so, and makes none.
func accountMadeElsewhere(k *kit) {
	if _, ok := k.h.(Maker); !ok {
		k.Log("accounts are made here")
		return
	}
	name := k.name()
	_, err := k.d.CreateAccount(k.ctx, driver.AccountSpec{Name: name, Mark: k.mark()})
	k.wantCode(err, "create where the platform cannot", driver.Unsupported)
	k.wantAbsent(nhi.Ref{Name: name})
}

func accountCreateSuspended(k *kit) {
	account := k.create(func(s *driver.AccountSpec) { s.Suspended = true })
	if account.Status != nhi.Suspended {
		k.Errorf("status is %q, want %q", account.Status, nhi.Suspended)
	}
	k.resume(account.Ref)
	if got := k.read(account.Ref).Status; got != nhi.Active {
		k.Errorf("status after resume is %q, want %q", got, nhi.Active)
	}
}
