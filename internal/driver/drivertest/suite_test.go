package drivertest

import (
	"slices"
	"testing"
)

func TestCasesHaveDistinctNames(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range cases() {
		if c.name == "" || c.run == nil || seen[c.name] {
			t.Errorf("case %q is incomplete or declared twice", c.name)
		}
		seen[c.name] = true
	}
}

func TestEveryFaultHasACase(t *testing.T) {
	for _, fault := range Faults() {
		if !slices.ContainsFunc(cases(), func(c testCase) bool { return c.name == "fault/"+string(fault) }) {
			t.Errorf("there is no case for the fault %q", fault)
		}
	}
}
