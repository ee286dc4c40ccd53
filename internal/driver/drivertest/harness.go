// Package drivertest is the conformance suite that every driver passes: one text of what the driver contract means,
// run against the real system where one is available. A driver's own tests cover only what is peculiar to it.
package drivertest

import (
	"testing"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
	"github.com/nhi-labs/terraform-provider-nhi/internal/secret"
)

// Harness tells the suite how to reach one real system. Its methods fail the test instead of returning errors. They are
// called concurrently by parallel tests and must not disturb each other: names are unique per call of the suite.
type Harness interface {
	// Spec is the kind under test.
	Spec() driver.Spec

	// Open returns a driver with full administrative rights, closed when the test ends.
	Open(t *testing.T) driver.Driver

	// Entitlements prepares n distinct targets out of band (tables, policies, groups) and returns one entitlement on
	// each, mixing the kind's types as far as n allows. Nobody holds them yet. Targets may be left behind.
	Entitlements(t *testing.T, n int) []nhi.Entitlement

	// SharedEntitlements prepares one target out of band and returns it as an entitlement that many accounts can hold
	// at the same time (one table, one group).
	SharedEntitlement(t *testing.T) nhi.Entitlement

	// Foreign makes an account without an ownership mark, out of band: as an administrator of the platform would with
	// its own tools, not through the driver. It holds the given entitlements.
	Foreign(t *testing.T, name string, holds ...nhi.Entitlement)

	// GrantByHand gives an existing account one entitlement out of band.
	GrantByHand(t *testing.T, name string, e nhi.Entitlement)

	// MissingEntitlement returns a well-formed entitlement whose target does not exist. Return false if every target
	// that can be named exists on this platform.
	MissingEntitlement(t *testing.T) (nhi.Entitlement, bool)

	// HostileNames returns account names beyond the suite's own that are hard for this kind in particular.
	HostileNames() []string

	// Settings returns values for the kind's settings that differ from the platform's defaults; nil if it has none.
	Settings() map[string]string

	// WithFault returns a driver whose connection to the real system has the fault. Return nil if the fault cannot
	// happen to this kind and declare it in Unsupported under "fault/<name>".
	WithFault(t *testing.T, fault Fault) driver.Driver

	// Secrets returns every secret text that the driver was opened with.
	Secrets() []secret.Value

	// Many is how many accounts the paging test makes: more than one page of the system under test.
	Many() int

	// Unsupported declares cases that the platform cannot meet: name of the case → the reason, a sentence for people.
	// A declared case must really fail to apply: the suite reports declarations of cases that do not exist.
	Unsupported() map[string]string
}

// Maker is implemented by harnesses of kinds whose accounts are made elsewhere and only adopted here: there CreateAccount
// returns Unsupported for every name that is not taken.
type Maker interface {
	// Make makes an account without an ownership mark and without entitlements, out of band. An account of that name that
	// was deleted before is another one, if the platform tells them apart.
	Make(t *testing.T, name string)
}

// Fault is a way in which the connection to a platform fails.
type Fault string

// The faults. What the driver must make of each is in the suite.
const (
	// Refused: nobody listens.
	Refused Fault = "refused"
	// Silent: the connection opens and no answer comes. The test's context has a deadline.
	Silent Fault = "silent"
	// WrongCredentials: our own login is refused.
	WrongCredentials Fault = "wrong_credentials"
	// MissingRights: our own login works and may not do what is asked.
	MissingRights Fault = "missing_rights"
	// Cut: the connection breaks in the middle of an answer.
	Cut Fault = "cut"
	// Malformed: something answers that is not the platform's protocol (a proxy's error page).
	Malformed Fault = "malformed"
	// EmptyAnswers: something answers in the right protocol and says "nothing here" to every question: an empty list,
	// an empty object.
	EmptyAnswers Fault = "empty_answers"
	// Overloaded: the platform answers that it is overloaded or rate limited.
	Overloaded Fault = "overloaded"
)

// Faults lists every fault.
func Faults() []Fault {
	return []Fault{Refused, Silent, WrongCredentials, MissingRights, Cut, Malformed, EmptyAnswers, Overloaded}
}
