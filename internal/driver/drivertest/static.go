package drivertest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/google/go-cmp/cmp"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
)

// staticCases are about what the kind says of itself.
var staticCases = []testCase{
	{name: "spec/complete", run: specComplete},
	{name: "spec/grammar", run: specGrammar},
	{name: "spec/capabilities", run: specCapabilities},
	{name: "classify/total", run: classifyTotal},
	{name: "probe/stable", run: probeStable},
	{name: "canary/driver", run: canaryDriver},
}

func specComplete(k *kit) {
	for what, text := range map[string]string{"Kind": k.spec.Kind, "Title": k.spec.Title} {
		if text == "" {
			k.Errorf("Spec.%s is empty", what)
		}
	}
	if kinds := []string{"real server", "compatible server", "checked fake"}; !slices.Contains(kinds, k.spec.Evidence) {
		k.Errorf("Spec.Evidence is %q, want one of %q", k.spec.Evidence, kinds)
	}
	known := map[string]bool{}
	for _, s := range k.spec.Settings {
		known[s.Name] = true
		if s.Name == "" || s.Description == "" {
			k.Errorf("setting %q needs a name and a description", s.Name)
		}
	}
	for name := range maps.Keys(k.h.Settings()) {
		if !known[name] {
			k.Errorf("the harness sets %q, which is not in Spec.Settings", name)
		}
	}
}

func specGrammar(k *kit) {
	seen := map[string]bool{}
	for _, row := range k.spec.Grammar.Types {
		if row.Name == "" || row.Description == "" || row.Example == "" {
			k.Errorf("type %q needs a name, a description and an example", row.Name)
		}
		if seen[row.Name] {
			k.Errorf("type %q is declared twice", row.Name)
		}
		seen[row.Name] = true
		parse := k.spec.Grammar.Parse
		if row.Observed != "" {
			parse = k.spec.Grammar.ParseObserved
		}
		e, err := parse(row.Example)
		if err != nil {
			k.Errorf("example of type %q: %v", row.Name, err)
			continue
		}
		if e.String() != row.Example || e.Type != row.Name {
			k.Errorf("example %q of type %q parses as %#v", row.Example, row.Name, e)
		}
	}
	if len(seen) == 0 {
		k.Error("the grammar has no type")
	}
}

func specCapabilities(k *kit) {
	declared := slices.Sorted(slices.Values(k.spec.Capabilities))
	implemented := slices.Sorted(slices.Values(driver.Capabilities(k.d)))
	if diff := cmp.Diff(declared, implemented); diff != "" {
		k.Errorf("capabilities (-declared +implemented):\n%s", diff)
	}
}

// classifyTotal checks what Classify must know without the platform.
func classifyTotal(k *kit) {
	want := map[error]driver.Code{
		errors.New("never seen before"): driver.Unknown,
		context.Canceled:                driver.Unavailable,
		context.DeadlineExceeded:        driver.Unavailable,
	}
	for code := driver.Unknown; code <= driver.Unavailable; code++ {
		want[driver.Errorf(code, "made by the driver")] = code
	}
	for err, code := range want {
		for _, e := range []error{err, fmt.Errorf("read account: %w", err)} {
			if got := k.d.Classify(e).Code; got != code {
				k.Errorf("Classify(%v) is %q, want %q", e, got, code)
			}
		}
	}
}

func probeStable(k *kit) {
	var ids []string
	for _, d := range []driver.Driver{k.d, k.d, k.h.Open(k.T)} {
		target, err := d.Probe(k.ctx)
		if err != nil {
			k.Fatalf("probe: %v", err)
		}
		k.noSecrets("probe", target)
		if complaints := slices.Concat(target.Blind, target.Lacking); len(complaints) > 0 {
			k.Errorf("the harness opens with full rights, but the probe says: %q", complaints)
		}
		ids = append(ids, target.ID)
	}
	if ids[0] == "" || ids[0] != ids[1] || ids[0] != ids[2] {
		k.Errorf("target ids are %q, want the same one three times", ids)
	}
}

// canaryDriver prints the driver itself before and after it has connected: what it was opened with must not show.
func canaryDriver(k *kit) {
	k.noSecrets("the driver", k.d)
	if _, err := k.d.Probe(k.ctx); err != nil {
		k.Fatalf("probe: %v", err)
	}
	k.noSecrets("the connected driver", k.d)
}
