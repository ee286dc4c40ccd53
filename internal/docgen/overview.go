package main

import (
	"fmt"
	"strings"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
)

// overview compares all kinds: one row each, one column per ability, and what the driver is proven against.
func overview(specs []driver.Spec) string {
	columns := []struct {
		title string
		has   func(driver.Spec) bool
	}{
		{"Suspend", func(s driver.Spec) bool { return s.Can(driver.CanSuspend) }},
		{"End sessions", func(s driver.Spec) bool { return s.Can(driver.CanEndSessions) }},
		{"Native expiry", func(s driver.Spec) bool { return s.NativeExpiry }},
		{"Rotation", func(s driver.Spec) bool { return s.Can(driver.CanIssue) }},
		{"Last use", func(s driver.Spec) bool { return s.TellsLastUse }},
		{"Tokens", func(s driver.Spec) bool { return s.Can(driver.CanMintTokens) }},
		{"Secret store", func(s driver.Spec) bool { return s.Can(driver.CanStoreSecrets) }},
		{"Bulk read", func(s driver.Spec) bool { return s.Can(driver.CanSweep) }},
		{"Inherited access", func(s driver.Spec) bool { return s.Can(driver.CanExplain) }},
	}
	var out strings.Builder
	out.WriteString("\n| Kind |")
	for _, c := range columns {
		fmt.Fprintf(&out, " %s |", c.title)
	}
	out.WriteString(" Proven against |\n|---|" + strings.Repeat("---|", len(columns)+1) + "\n")
	for _, spec := range specs {
		fmt.Fprintf(&out, "| [%s](platform-%s) |", spec.Title, spec.Kind)
		for _, c := range columns {
			fmt.Fprintf(&out, " %s |", yesNo(c.has(spec)))
		}
		fmt.Fprintf(&out, " %s |\n", spec.Evidence)
	}
	out.WriteString("\n")
	return out.String()
}
