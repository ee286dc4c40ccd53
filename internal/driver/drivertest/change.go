package drivertest

import (
	"time"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
)

// changeCases are about UpdateAccount.
var changeCases = []testCase{
	{name: "change/adopt_and_release", run: changeAdoptAndRelease},
	{name: "change/marks_of_two_stacks", run: changeMarksOfTwoStacks},
	{name: "change/settings_keep_others", run: changeSettingsKeepOthers},
	{name: "change/expiry", run: changeExpiry},
	{name: "change/nothing", run: changeNothing},
}

func (k *kit) update(ref nhi.Ref, change driver.AccountChange) {
	k.Helper()
	if err := k.settle(func() error { return k.d.UpdateAccount(k.ctx, ref, change) }); err != nil {
		k.Fatalf("update account %q: %v", ref.Name, err)
	}
}

func changeAdoptAndRelease(k *kit) {
	before := k.foreign(k.h.Entitlements(k.T, 2)...)
	mark := k.mark()
	k.update(before.Ref, driver.AccountChange{Mark: &mark})
	adopted := before
	adopted.Mark = mark
	k.wantSame(adopted)
	k.update(before.Ref, driver.AccountChange{Mark: &mark})
	k.wantSame(adopted)
	k.update(before.Ref, driver.AccountChange{Mark: &nhi.Mark{}})
	k.wantSame(before)
}

func changeMarksOfTwoStacks(k *kit) {
	a, b := k.create(), k.create()
	if a.Mark == b.Mark || a.Mark.Stack == b.Mark.Stack {
		k.Fatalf("marks are %q and %q, want two stacks", a.Mark, b.Mark)
	}
	moved := a
	moved.Mark = nhi.Mark{Stack: b.Mark.Stack, Identity: "another-agent"}
	k.update(a.Ref, driver.AccountChange{Mark: &moved.Mark})
	k.wantSame(moved)
	k.wantSame(b)
}

func changeSettingsKeepOthers(k *kit) {
	all := k.h.Settings()
	for name, value := range all {
		account := k.create()
		k.update(account.Ref, driver.AccountChange{Settings: map[string]string{name: value}})
		changed := k.read(account.Ref)
		k.wantSettings(changed, map[string]string{name: value})
		for other := range all {
			if other != name && changed.Settings[other] != account.Settings[other] {
				k.Errorf("setting %q changed %q from %q to %q", name, other, account.Settings[other], changed.Settings[other])
			}
		}
		changed.Settings = account.Settings
		if diff := diffAccounts(account, changed); diff != "" {
			k.Errorf("setting %q changed the account (-before +after):\n%s", name, diff)
		}
	}
	account := k.create(func(s *driver.AccountSpec) { s.Settings = all })
	mark := k.mark()
	k.update(account.Ref, driver.AccountChange{Mark: &mark})
	account.Mark = mark
	k.wantSame(account)
}

func changeExpiry(k *kit) {
	if !k.spec.NativeExpiry {
		k.Log("the kind has no native expiry")
		return
	}
	account := k.create()
	for _, at := range []time.Time{expiry(10), expiry(20), {}} {
		k.update(account.Ref, driver.AccountChange{ExpiresAt: &at})
		if got := k.read(account.Ref).ExpiresAt; !got.Equal(at) {
			k.Errorf("expires at %v, want %v", got, at)
		}
	}
	k.wantSame(account)
}

func changeNothing(k *kit) {
	account := k.create(func(s *driver.AccountSpec) { s.Settings = k.h.Settings() })
	k.update(account.Ref, driver.AccountChange{})
	k.wantSame(account)
}
