package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/nhi-labs/terraform-provider-nhi/internal/audit/ocsf"
)

// auditSection is what the code knows of the form of events: the classes, and an example that a test keeps true.
func auditSection() (string, error) {
	var out strings.Builder
	out.WriteString("\n| Activity | OCSF 1.8.0 | OCSF 1.9.0 |\n|---|---|---|\n")
	for _, m := range ocsf.Mappings() {
		fmt.Fprintf(&out, "| `%s` | %s | %s |\n", m.Activity, form(m.V180), form(m.V190))
	}
	add, remove := form(ocsf.GroupForm(true)), form(ocsf.GroupForm(false))
	fmt.Fprintf(&out, "| `grant` of one membership (`group:…`) | %s | %s |\n", add, add)
	fmt.Fprintf(&out, "| `revoke` of one membership (`group:…`) | %s | %s |\n", remove, remove)
	example, err := os.ReadFile(filepath.Join("internal", "audit", "ocsf", "testdata", "grant-"+string(ocsf.Default)+".json"))
	if err != nil {
		return "", err
	}
	fmt.Fprintf(&out, "\nA grant, in the default version (events are on one line; this one is laid out for reading):\n\n```json\n%s```\n\n", example)
	return out.String(), nil
}

func form(f ocsf.Form) string {
	return fmt.Sprintf("%s (%d): %s (%d)", f.Class.Name, f.Class.UID, f.Name, f.Activity)
}
