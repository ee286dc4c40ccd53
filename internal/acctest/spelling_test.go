package acctest

import (
	"testing"

	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
)

// Where names that differ in case are one name, the declared one must be the platform's own spelling: an adopted account
// would otherwise be tainted by Terraform, and deleted by the next apply.
func TestNameInAnotherCase(t *testing.T) {
	t.Parallel()
	s, _, _ := fakeSCIMSite(t, "sap")
	c := config{stack: "stack", identity: "t_billing", sites: []*site{s}, noGrant: true, accountExtra: "adopt = true"}
	w := c.workspace(t)
	s.foreign("T_BILLING", s.entitlements[0])
	before := s.account("T_BILLING")
	const want = `platform "sap" spells the account "T_BILLING", and not "t_billing"; write it so`
	w.Plan(exitError).Has(t, want)
	w.ApplyFails().Has(t, want)
	if after := s.account("T_BILLING"); !after.Mark.IsZero() || after.ID != before.ID {
		t.Errorf("the account was %+v and is %+v", before, after)
	}

	c.accountExtra = "adopt = true\nname = \"T_BILLING\""
	w.Configure(c.hcl())
	w.Apply()
	c.accountExtra = ""
	w.Configure(c.hcl())
	w.Plan(exitError).Has(t, want)
	after := s.account("T_BILLING")
	if after.Mark != (nhi.Mark{Stack: "stack", Identity: "t_billing"}) || after.ID != before.ID {
		t.Errorf("the account was %+v and is %+v", before, after)
	}
	s.holds("T_BILLING", s.texts(0)...)
}
