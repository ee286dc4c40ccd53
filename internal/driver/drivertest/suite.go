package drivertest

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
)

// caseTimeout ends a case that hangs; no case that works comes near it.
const caseTimeout = 8 * time.Minute

// testCase is one line of the suite.
type testCase struct {
	// name is the subtest's name and what Harness.Unsupported declares.
	name string
	// needs lists the capabilities without which the case has no meaning.
	needs []driver.Capability
	// alone keeps other cases from changing the system meanwhile.
	alone bool
	run   func(k *kit)
}

// cases is the whole suite.
func cases() []testCase {
	return slices.Concat(staticCases, accountCases, changeCases, grantCases, suspendCases, credentialCases, tokenCases, storeCases,
		sweepCases, listCases, explainCases, hostileCases, concurrencyCases, faultCases, closeCases)
}

// Run proves that a driver keeps the driver contract. It is the whole of a driver's conformance test:
//
//	func TestConformance(t *testing.T) { drivertest.Run(t, newHarness(t)) }
//
// Each case is a subtest ("go test -run 'TestConformance/grant/twice'"). Cases for capabilities that the kind does not
// declare do not run; neither do those that the harness declares unsupported, whose reasons are logged. Most cases run
// in parallel, so calls that race for one object of the platform may return Conflict; where package fleet would repeat
// a call, so does the suite. A harness of a secret store may also implement SecretPather, one of a kind that
// cannot make accounts Maker.
func Run(t *testing.T, h Harness) {
	t.Helper()
	table := cases()
	unsupported := h.Unsupported()
	checkDeclarations(t, table, unsupported)
	spec := h.Spec()
	for _, c := range table {
		if !slices.ContainsFunc(c.needs, func(need driver.Capability) bool { return !spec.Can(need) }) {
			if reason, declared := unsupported[c.name]; declared {
				t.Logf("%s does not apply to %s: %s", c.name, spec.Title, reason)
				continue
			}
			t.Run(c.name, func(t *testing.T) { runCase(t, h, c) })
		}
	}
}

func runCase(t *testing.T, h Harness, c testCase) {
	t.Helper()
	if !c.alone {
		t.Parallel()
	}
	ctx, cancel := context.WithTimeout(t.Context(), caseTimeout)
	defer cancel()
	c.run(&kit{T: t, h: h, spec: h.Spec(), d: h.Open(t), ctx: ctx})
}

// checkDeclarations fails for declarations that would hide nothing: of cases that do not exist, or without a reason.
func checkDeclarations(t *testing.T, table []testCase, unsupported map[string]string) {
	t.Helper()
	for name, reason := range unsupported {
		if !slices.ContainsFunc(table, func(c testCase) bool { return c.name == name }) {
			t.Errorf("the harness declares %q unsupported, but the suite has no such case", name)
		}
		if reason == "" {
			t.Errorf("the harness declares %q unsupported without a reason", name)
		}
	}
}
