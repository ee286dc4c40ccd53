package provider

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/terraform-plugin-framework/diag"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/fleet"
	"github.com/nhi-labs/terraform-provider-nhi/internal/lifecycle"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
)

// TestLeaveOut: beside a platform that cannot list its accounts, a query looks at the others and says so; one that is named
// stays, and the platform's own error comes.
func TestLeaveOut(t *testing.T) {
	data := &providerData{fleet: fleet.New("stack", nil, []fleet.Config{
		{Name: "a", Spec: driver.Spec{Title: "A", Capabilities: []driver.Capability{driver.CanSweep}}},
		{Name: "b", Spec: driver.Spec{Title: "B", Capabilities: []driver.Capability{driver.CanList}}},
		{Name: "c", Spec: driver.Spec{Title: "C"}},
	})}
	for _, test := range []struct {
		asked, want []string
		warnings    string
	}{
		{nil, []string{"a", "b"}, "c (C)"},
		{[]string{"c"}, []string{"c"}, ""},
	} {
		var diags diag.Diagnostics
		search := lifecycle.Search{Platforms: test.asked}
		leaveOut(data, &search, &diags)
		var texts []string
		for _, d := range diags {
			texts = append(texts, d.Detail())
		}
		if diff := cmp.Diff(test.want, search.Platforms); diff != "" {
			t.Errorf("asked for %v (-want +got):\n%s", test.asked, diff)
		}
		if text := strings.Join(texts, " "); !strings.Contains(text, test.warnings) || (text == "") != (test.warnings == "") {
			t.Errorf("asked for %v: warnings %q", test.asked, text)
		}
	}
}

func TestDisplayName(t *testing.T) {
	records := map[string]lifecycle.Record{"sap": {Name: "T_1", Status: nhi.Suspended}, "warehouse": {Name: "billing", Status: nhi.Active}}
	for want, d := range map[string]lifecycle.Discovered{
		"billing on sap=T_1 (suspended), warehouse, managed by nobody":          {Name: "billing", ManagedBy: lifecycle.Nobody, Records: records},
		"billing on sap=T_1 (suspended), warehouse, managed by this stack":      {Name: "billing", ManagedBy: lifecycle.ThisStack, Records: records},
		`billing on sap=T_1 (suspended), warehouse, managed by the stack "crm"`: {Name: "billing", ManagedBy: lifecycle.AnotherStack, Stack: "crm", Records: records},
	} {
		if got := displayName(d); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
