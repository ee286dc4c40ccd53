package sandbox_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
)

func TestExplainRolesAndGroups(t *testing.T) {
	path := newPath(t)
	d, admin := open(t, path), openAdmin(t, path)
	check(t, admin.CreateForeign(t.Context(), "a", entitlement(t, "group:Ops"), entitlement(t, "policy:read")))
	check(t, admin.CreateForeign(t.Context(), "b"))
	for holder, held := range map[string]string{
		"group:Ops": "role:admin", "role:admin": "table:finance.invoices#delete", "role:other": "policy:write", "group:Ring": "group:Ops",
	} {
		check(t, admin.Confer(t.Context(), entitlement(t, holder), entitlement(t, held)))
	}
	check(t, admin.Confer(t.Context(), entitlement(t, "role:admin"), entitlement(t, "group:Ring")))
	wantCode(t, d, admin.Confer(t.Context(), entitlement(t, "policy:read"), entitlement(t, "role:admin")), driver.Invalid)
	explainer, ok := d.(driver.BulkExplainer)
	if !ok {
		t.Fatalf("%T explains nothing in bulk", d)
	}
	got, err := explainer.Explain(t.Context(), nhi.Ref{Name: "a"})
	check(t, err)
	var lines []string
	for _, h := range got {
		lines = append(lines, h.Entitlement.String()+" via "+strings.Join(h.Via, ", "))
	}
	want := []string{
		"group:Ops via ", "policy:read via ", "group:Ring via group:Ops, role:admin", "role:admin via group:Ops",
		"table:finance.invoices#delete via group:Ops, role:admin",
	}
	if diff := cmp.Diff(want, lines); diff != "" {
		t.Errorf("explained (-want +got):\n%s", diff)
	}
	names := map[string]int{}
	check(t, explainer.ExplainAll(t.Context(), func(page []driver.Explained) error {
		for _, e := range page {
			names[e.Account.Name] = len(e.Holdings)
		}
		return nil
	}))
	if diff := cmp.Diff(map[string]int{"a": len(want), "b": 0}, names); diff != "" {
		t.Errorf("in bulk (-want +got):\n%s", diff)
	}
}
