package acctest

import (
	"testing"

	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
)

func allKinds(t *testing.T) []*site {
	t.Helper()
	return []*site{postgresqlSite(t, "warehouse", ""), vaultSite(t, "secrets", ""), scimSite(t, "sap", "")}
}

// One configuration, three real platforms: created in one apply, changed, suspended, resumed, destroyed. Apply itself
// expects an empty plan after every step.
func TestOneIdentityOnThreeRealPlatforms(t *testing.T) {
	t.Parallel()
	sites := allKinds(t)
	c := config{stack: unique(t, "stack"), identity: unique(t, "agent"), sites: sites, holds: []int{0, 1}}
	w := c.workspace(t)
	w.Apply()
	for _, s := range sites {
		s.holds(c.identity, s.texts(0, 1)...)
		if mark := s.account(c.identity).Mark; mark != (nhi.Mark{Stack: c.stack, Identity: c.identity}) {
			t.Errorf("%s: mark %v", s.name, mark)
		}
	}

	c.holds = []int{1, 2, 3}
	w.Configure(c.hcl())
	w.Apply()
	for _, s := range sites {
		s.holds(c.identity, s.texts(1, 2, 3)...)
	}

	c.extra = "  enabled = false"
	w.Configure(c.hcl())
	w.Apply()
	for _, s := range sites {
		s.holds(c.identity, s.texts(1, 2, 3)...)
		if status := s.account(c.identity).Status; status != nhi.Suspended {
			t.Errorf("%s: status %s", s.name, status)
		}
	}

	c.extra = ""
	w.Configure(c.hcl())
	w.Apply()
	for _, s := range sites {
		if status := s.account(c.identity).Status; status != nhi.Active {
			t.Errorf("%s: status %s", s.name, status)
		}
	}

	w.Destroy()
	for _, s := range sites {
		s.gone(c.identity)
	}
}

// Removing an account block deletes that account, and the plan says so.
func TestRemovedAccountBlock(t *testing.T) {
	t.Parallel()
	sites := []*site{sandboxSite(t, "warehouse"), sandboxSite(t, "sap")}
	c := config{stack: "stack", identity: "agent", sites: sites, holds: []int{0}}
	w := c.workspace(t)
	w.Apply()
	c.sites = sites[:1]
	c.extraProvider = sites[1].block()
	w.Configure(c.hcl())
	w.Plan(exitChanges).Has(t, `Account "agent" on platform "sap" will be deleted`)
	w.Apply()
	sites[0].holds("agent", sites[0].texts(0)...)
	sites[1].gone("agent")
}

// What appears between plan and apply was in no plan: it survives the apply, and the next plan shows it.
func TestNothingIsRevokedThatNoPlanShowed(t *testing.T) {
	t.Parallel()
	for kind, newSite := range kindSites() {
		t.Run(kind, func(t *testing.T) {
			s := newSite(t)
			c := config{stack: unique(t, "stack"), identity: unique(t, "agent"), sites: []*site{s}, holds: []int{0, 1}}
			w := c.workspace(t)
			w.Apply()

			c.holds = []int{1}
			w.Configure(c.hcl())
			w.Plan(exitChanges, "-out=saved")
			s.grantByHand(c.identity, s.entitlements[2])
			w.must(0, "apply", "-no-color", "saved")
			s.holds(c.identity, s.texts(1, 2)...)

			w.Plan(exitChanges).Has(t, `- "`+s.entitlements[2]+`"`)
			w.Apply()
			s.holds(c.identity, s.texts(1)...)
		})
	}
}

// Creating a grant adds only; what else the account holds is shown by the next plan.
func TestCreatingAGrantOnlyAdds(t *testing.T) {
	t.Parallel()
	s := sandboxSite(t, "warehouse")
	c := config{stack: "stack", identity: "agent", sites: []*site{s}, holds: []int{0}, accountExtra: "adopt = true"}
	w := c.workspace(t)
	s.foreign("agent", s.entitlements[1])
	w.ApplyOnly()
	s.holds("agent", s.texts(0, 1)...)
	w.Plan(exitChanges).Has(t, `- "`+s.entitlements[1]+`"`)
	w.Apply()
	s.holds("agent", s.texts(0)...)
}

// An account that exists is never taken over silently; adopted, it loses nothing; another stack's is always refused.
func TestAdoption(t *testing.T) {
	t.Parallel()
	for kind, newSite := range kindSites() {
		t.Run(kind, func(t *testing.T) {
			s := newSite(t)
			c := config{stack: unique(t, "stack"), identity: unique(t, "agent"), sites: []*site{s}, noGrant: true}
			w := c.workspace(t)
			s.foreign(c.identity, s.entitlements[0], s.entitlements[1])
			before := s.account(c.identity)

			w.Plan(exitError).Has(t, "was not made by this provider", "adopt = true", s.name)
			w.ApplyFails()
			if after := s.account(c.identity); !after.Mark.IsZero() {
				t.Errorf("a refused account was marked: %v", after.Mark)
			}

			c.accountExtra = "adopt = true"
			w.Configure(c.hcl())
			w.Apply()
			after := s.account(c.identity)
			if after.ID != before.ID || nhi.JoinTexts(after.Entitlements) != nhi.JoinTexts(before.Entitlements) {
				t.Errorf("adoption changed %+v to %+v", before, after)
			}

			other := config{stack: unique(t, "other"), identity: c.identity, sites: []*site{s}, noGrant: true, accountExtra: "adopt = true"}
			other.workspace(t).Plan(exitError).Has(t, `belongs to the stack "`+c.stack+`"`)
		})
	}
}

// A run that was killed after it made an account: the next one finds the account by its mark.
func TestAccountLeftByAKilledRun(t *testing.T) {
	t.Parallel()
	s := sandboxSite(t, "warehouse")
	c := config{stack: "stack", identity: "agent", sites: []*site{s}, holds: []int{0}}
	w := c.workspace(t)
	s.marked("agent", nhi.Mark{Stack: "stack", Identity: "agent"})
	w.Plan(exitChanges).Has(t, "an earlier run made it")
	w.Apply()
	s.holds("agent", s.texts(0)...)
}

// Import by id and, where the CLI has it, by resource identity: nothing is revoked.
func TestImport(t *testing.T) {
	t.Parallel()
	for kind, newSite := range kindSites() {
		t.Run(kind, func(t *testing.T) {
			s := newSite(t)
			c := config{stack: unique(t, "stack"), identity: unique(t, "agent"), sites: []*site{s}, holds: []int{0, 1}}
			w := c.workspace(t)
			s.foreign(c.identity, s.entitlements[0], s.entitlements[1])
			w.must(0, "import", "-no-color", "nhi_identity.this", c.identity)
			w.must(0, "import", "-no-color", "nhi_grant.this", c.identity)
			s.holds(c.identity, s.texts(0, 1)...)
			w.Plan(exitChanges).HasNot(t, s.entitlements[0], "will be destroyed", "must be replaced")
			w.Apply()
			s.holds(c.identity, s.texts(0, 1)...)
			w.Destroy()
			s.gone(c.identity)
		})
	}
}

// Import blocks, by id and by resource identity.
func TestImportBlocks(t *testing.T) {
	t.Parallel()
	for name, block := range map[string]string{
		"id":       "import {\n  to = nhi_identity.this\n  id = \"agent\"\n}\nimport {\n  to = nhi_grant.this\n  id = \"agent\"\n}\n",
		"names":    "import {\n  to = nhi_identity.this\n  id = \"agent:warehouse=agent\"\n}\nimport {\n  to = nhi_grant.this\n  id = \"agent:warehouse\"\n}\n",
		"identity": "import {\n  to = nhi_identity.this\n  identity = { name = \"agent\" }\n}\nimport {\n  to = nhi_grant.this\n  identity = { identity = \"agent\" }\n}\n",
	} {
		t.Run(name, func(t *testing.T) {
			s := sandboxSite(t, "warehouse")
			c := config{stack: "stack", identity: "agent", sites: []*site{s}, holds: []int{0, 1}}
			w := c.workspace(t)
			s.foreign("agent", s.entitlements[0], s.entitlements[1])
			w.Configure(c.hcl() + block)
			if name == "identity" && !w.knowsResourceIdentity() {
				w.Plan(exitError).Has(t, "identity") // this CLI is older than resource identity
				return
			}
			r := w.Plan(exitChanges)
			r.Has(t, "2 to import")
			r.HasNot(t, "to destroy, ", "- \"role")
			w.Apply()
			s.holds("agent", s.texts(0, 1)...)
		})
	}
}

func TestImportOfNothing(t *testing.T) {
	t.Parallel()
	s := sandboxSite(t, "warehouse")
	c := config{stack: "stack", identity: "agent", sites: []*site{s}, holds: []int{0}}
	w := c.workspace(t)
	w.must(exitError, "import", "-no-color", "nhi_identity.this", "agent").Has(t, "No configured platform (warehouse) has an account")
	w.must(exitError, "import", "-no-color", "nhi_identity.this", "a gent").Has(t, "Invalid import id")
}
