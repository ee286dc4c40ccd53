package acctest

import (
	"fmt"
	"strings"
	"testing"
)

// twoGrants are grants of one account that leave each other alone.
func twoGrants(c config, a, b string) string {
	hcl := c.hcl()
	for name, held := range map[string]string{"a": a, "b": b} {
		if held != "" {
			hcl += fmt.Sprintf("\nresource \"nhi_grant\" %q {\n  identity = nhi_identity.this\n  exclusive = false\n  entitlements = { warehouse = [%s] }\n}\n",
				name, held)
		}
	}
	return hcl
}

// What moves from one grant to another is held all along, whichever Terraform does first.
func TestEntitlementMovesBetweenGrants(t *testing.T) {
	t.Parallel()
	s := sandboxSite(t, "warehouse")
	c := config{stack: "stack", identity: "agent", sites: []*site{s}, noGrant: true}
	w := c.workspace(t)
	for _, step := range []struct{ a, b, holds string }{
		{`"role:a", "role:x"`, `"role:b"`, "role:a role:b role:x"},
		{`"role:a"`, `"role:b", "role:x"`, "role:a role:b role:x"},
		{`"role:a", "role:x"`, `"role:b"`, "role:a role:b role:x"},
		{"", `"role:b", "role:x"`, "role:b role:x"},
		{`"role:x"`, "", "role:x"},
		{"", `"role:x"`, "role:x"},
	} {
		w.Configure(twoGrants(c, step.a, step.b))
		w.Apply("-parallelism=1")
		s.holds("agent", strings.Fields(step.holds)...)
	}
	w.Configure(twoGrants(c, `"role:x", "role:y"`, `"role:x"`))
	w.Plan(exitError).Has(t, "Conflicting grants", "Leave it to one of them")
}

// An apply that got only so far has left an entitlement with two grants. The one that goes leaves it to the other, which has
// nothing to do in that apply; where the one changes, the plan says what will happen.
func TestEntitlementThatTwoGrantsHold(t *testing.T) {
	if !onlyOnce() {
		return
	}
	t.Parallel()
	s := sandboxSite(t, "warehouse")
	c := config{stack: "stack", identity: "agent", sites: []*site{s}, noGrant: true}
	w := c.workspace(t)
	both := func() {
		w.Configure(twoGrants(c, `"role:a", "role:x"`, `"role:b"`))
		w.Apply()
		w.Configure(twoGrants(c, `"role:a"`, `"role:b", "role:x"`))
		w.ApplyOnly("-target=nhi_grant.b")
		s.holds("agent", "role:a", "role:b", "role:x")
	}
	both()
	w.Configure(twoGrants(c, "", `"role:b", "role:x"`))
	w.Apply()
	s.holds("agent", "role:b", "role:x")
	both()
	w.Plan(exitChanges).Has(t, "One grant gives up what another one holds already", "role:x")
	w.Configure(twoGrants(c, `"role:a"`, `"role:b", "role:x"`) + "\n# nothing else\n")
	w.ApplyOnly()
	w.Apply()
	s.holds("agent", "role:a", "role:b", "role:x")
}
