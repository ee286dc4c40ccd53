package acctest

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
)

// Where a platform is depends on something that this plan changes: what the others say still shows, and nothing of the one that
// cannot be asked is lost.
func TestOnePlatformIsNotConfiguredYet(t *testing.T) {
	if !onlyOnce() {
		return
	}
	t.Parallel()
	s, later := sandboxSite(t, "warehouse"), sandboxSite(t, "crm")
	later.block = func() string { return "sandbox {\n  name = \"crm\"\n  path = terraform_data.path.output\n}\n" }
	c := config{stack: "later", identity: "agent", sites: []*site{s, later}, holds: []int{0}}
	w := c.workspace(t)
	configure := func(version int) {
		w.Configure(c.hcl() + fmt.Sprintf("\nresource \"terraform_data\" \"path\" {\n  input            = %q\n  triggers_replace = %d\n}\n",
			later.path, version))
	}
	configure(1)
	w.must(0, "apply", "-no-color", "-input=false", "-auto-approve", "-target=terraform_data.path")
	w.ApplyOnly()
	s.grantByHand(c.identity, s.entitlements[1])
	configure(2)

	plan := w.Run("plan", "-no-color", "-input=false")
	for _, want := range []string{"was not refreshed everywhere", "configuration of crm is not known yet", `- "` + s.entitlements[1] + `"`} {
		if !strings.Contains(plan.Output, want) {
			t.Errorf("the plan does not say %q", want)
		}
	}
	if plan.Exit != 0 || t.Failed() {
		t.Fatalf("exit code %d\n%s", plan.Exit, plan.Output)
	}
	w.ApplyOnly()
	s.holds(c.identity, s.entitlements[0])
	later.holds(c.identity, later.entitlements[0])
	w.must(exitEmpty, "plan", "-no-color", "-input=false", "-detailed-exitcode")
}

// Whether there is a sink depends on something that this plan makes: the plan leaves room for the events.
func TestSinksAreNotConfiguredYet(t *testing.T) {
	if !onlyOnce() {
		return
	}
	t.Parallel()
	c := config{stack: "later", identity: "agent", sites: []*site{sandboxSite(t, "warehouse")}, holds: []int{0}}
	c.extraProvider = `  audit {
    dynamic "file" {
      for_each = terraform_data.siem.output == "events.jsonl" ? [terraform_data.siem.output] : []
      content {
        path = file.value
      }
    }
  }
`
	w := c.workspace(t)
	w.Configure(c.hcl() + "\nresource \"terraform_data\" \"siem\" {\n  input = \"events.jsonl\"\n}\n")
	w.Apply()
	if lines, err := linesOf(filepath.Join(w.dir, "events.jsonl")); err != nil || len(lines) == 0 {
		t.Errorf("events %v, %v", lines, err)
	}
}
