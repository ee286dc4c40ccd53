package drivertest

import (
	"context"
	"slices"
	"time"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
)

// faultCases are about what a driver makes of a broken connection. There is one case per Fault.
var faultCases = []testCase{
	{name: "context/cancelled", run: contextCancelled},
	{name: "fault/refused", run: everyCallFails(Refused, driver.Unavailable)},
	{name: "fault/silent", run: everyCallFails(Silent, driver.Unavailable)},
	{name: "fault/wrong_credentials", run: everyCallFails(WrongCredentials, driver.Unauthenticated)},
	{name: "fault/missing_rights", run: faultMissingRights},
	{name: "fault/cut", run: faultCut},
	{name: "fault/malformed", run: everyCallFails(Malformed, noLie...)},
	{name: "fault/empty_answers", run: faultEmptyAnswers},
	{name: "fault/overloaded", run: everyCallFails(Overloaded, driver.RateLimited, driver.Unavailable)},
}

// patience is how long a call may take that gets an answer, and silence how long it waits for one that does not come.
const (
	patience = 20 * time.Second
	silence  = 2 * time.Second
)

// noLie are the codes that may come of an answer that cannot be understood: all but those that would claim to know
// whether something exists.
var noLie = []driver.Code{
	driver.Unknown, driver.Conflict, driver.Invalid, driver.Unauthenticated, driver.PermissionDenied, driver.Unsupported,
	driver.RateLimited, driver.Unavailable,
}

// contextCancelled calls every method with a context that has ended before.
func contextCancelled(k *kit) {
	s := k.subject()
	ctx, cancel := context.WithCancel(k.ctx)
	cancel()
	for _, c := range k.calls(s) {
		k.wantCode(c.do(ctx, k.d), c.name+" with a cancelled context", driver.Unavailable)
	}
	k.wantUnharmed(s)
}

// broken returns a driver with the fault. A kind to which it cannot happen declares that.
func (k *kit) broken(fault Fault) driver.Driver {
	k.Helper()
	d := k.h.WithFault(k.T, fault)
	if d == nil {
		k.Fatalf("WithFault returns nil: declare fault/%s unsupported", fault)
	}
	return d
}

// everyCallFails is the case of a fault under which no request reaches the platform.
func everyCallFails(fault Fault, want ...driver.Code) func(k *kit) {
	return func(k *kit) {
		s, broken := k.subject(), k.broken(fault)
		calls := k.calls(s)
		if fault == WrongCredentials {
			// Whether Verify needs the admin's own login is the driver's business.
			calls = slices.DeleteFunc(calls, func(c call) bool { return c.needs == driver.CanVerify })
		}
		wait := patience
		if fault == Silent {
			wait = silence
		}
		for i, err := range k.callAll(broken, calls, wait) {
			k.wantCode(err, calls[i].name, want...)
		}
		k.wantUnharmed(s)
	}
}

// callAll makes all calls at once, so that those that wait for an answer wait together.
func (k *kit) callAll(d driver.Driver, calls []call, wait time.Duration) []error {
	errs := make([]error, len(calls))
	_ = together(len(calls), func(i int) error {
		ctx, cancel := context.WithTimeout(k.ctx, wait)
		defer cancel()
		errs[i] = calls[i].do(ctx, d)
		return errs[i]
	})
	return errs
}

// faultMissingRights allows that a driver is refused late or early, and that an admin without the right to create may
// still grant.
func faultMissingRights(k *kit) {
	s, broken := k.subject(), k.broken(MissingRights)
	_, createErr := broken.CreateAccount(k.ctx, driver.AccountSpec{Name: s.absent, Mark: k.mark()})
	grantErr := broken.Grant(k.ctx, s.before.Ref, []nhi.Entitlement{s.next})
	if grantErr == nil {
		k.revoke(s.before.Ref, s.next)
	} else {
		k.wantCode(grantErr, "Grant", driver.PermissionDenied)
	}
	if createErr != nil {
		k.wantCode(createErr, "CreateAccount", driver.PermissionDenied)
	} else {
		k.delete(nhi.Ref{Name: s.absent})
	}
	if createErr == nil && grantErr == nil {
		k.Error("an admin without rights creates accounts and grants entitlements")
	}
	k.wantUnharmed(s)
}

// reads are the calls whose answers a plan is made from.
func (k *kit) reads(s subject, names ...string) []call {
	return slices.DeleteFunc(k.calls(s), func(c call) bool { return !slices.Contains(names, c.name) })
}

// faultCut makes only reads: a change whose answer is cut may have happened.
func faultCut(k *kit) {
	s, broken := k.subject(), k.broken(Cut)
	calls := k.reads(s, "Probe", "ReadAccount", "ReadAccount by name", "Sweep", "Explain")
	for i, err := range k.callAll(broken, calls, patience) {
		k.wantCode(err, calls[i].name, noLie...)
	}
	k.wantUnharmed(s)
}

// faultEmptyAnswers reads and explains an account by its id. A sweep may come back empty: fleet never reads absence from it.
func faultEmptyAnswers(k *kit) {
	s, broken := k.subject(), k.broken(EmptyAnswers)
	calls := k.reads(s, "ReadAccount", "Explain")
	for i, err := range k.callAll(broken, calls, patience) {
		k.wantCode(err, calls[i].name, noLie...)
	}
	for _, c := range k.reads(s, "Sweep") {
		if err := k.callAll(broken, []call{c}, patience)[0]; err != nil {
			k.wantCode(err, c.name, noLie...)
		}
	}
	k.wantUnharmed(s)
}
