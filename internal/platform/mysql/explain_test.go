package mysql

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
)

// TestExplainPrefersRolesThatAreOn has a role that is off and one that is on, both members of a third one.
func TestExplainPrefersRolesThatAreOn(t *testing.T) {
	role := func(name string) nhi.Entitlement { return nhi.Entitlement{Type: typeRole, Target: name} }
	held := holdings{
		who{user: "a_off"}: {role("both"), role("off")}, who{user: "b_on"}: {role("both")},
		who{user: "both"}: {{Type: typeGlobal, Target: "process"}}, who{user: "off"}: {{Type: typeGlobal, Target: "shutdown"}},
		public: {role("everybody")}, who{user: "everybody"}: {{Type: typeGlobal, Target: "file"}},
	}
	got, err := explain(mariaDB{}, held, []nhi.Entitlement{
		role("a_off"), role("b_on"), {Type: typeDefaultRole, Target: "b_on"}, {Type: typeGlobal, Target: "event"},
	})
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, h := range got {
		lines = append(lines, h.Entitlement.String()+" via "+strings.Join(h.Via, ", "))
	}
	want := []string{
		"default_role:b_on via ", "global:event via ", "role:a_off via ", "role:b_on via ",
		"global:file via PUBLIC, role:everybody", "global:process via role:b_on, role:both",
		"global:shutdown via SET ROLE a_off, role:off", "role:both via SET ROLE a_off", "role:both via role:b_on",
		"role:everybody via PUBLIC", "role:off via SET ROLE a_off",
	}
	if diff := cmp.Diff(want, lines); diff != "" {
		t.Errorf("explained (-want +got):\n%s", diff)
	}
}
