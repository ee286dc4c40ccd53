package acctest

import (
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/nhi-labs/terraform-provider-nhi/internal/platform/jira/jirafake"
)

// TestJira adopts an account of the checked fake, after a configuration that wanted to make one was told what to do.
func TestJira(t *testing.T) {
	if !onlyOnce() {
		return
	}
	const account = "712020:agent"
	options := jirafake.Options{Username: "admin@example.com", Token: unique(t, "token"), OrganizationKey: unique(t, "key"), Lag: 1}
	fake, err := jirafake.New(options)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(fake)
	t.Cleanup(server.Close)
	fake.AddProject("BILL", "Developer", "Administrator")
	fake.AddGroup("billing-agents", "jira-software")
	stack := unique(t, "stack")
	hcl := func(enabled bool, adopt string) string {
		return fmt.Sprintf(`
provider "nhi" {
  stack = %q

  jira {
    name             = "tickets"
    url              = %q
    username         = %q
    organization_url = %q
  }
}

resource "nhi_identity" "this" {
  name    = "billing-agent"
  kind    = "ai_agent"
  owner   = "team@example.com"
  enabled = %t

  account {
    platform = "tickets"
    name     = %q
    %s
  }
}

resource "nhi_grant" "this" {
  identity     = nhi_identity.this
  entitlements = { tickets = ["group:billing-agents", "project:BILL#Developer"] }
}
`, stack, server.URL, options.Username, server.URL+jirafake.OrganizationPath, enabled, account, adopt)
	}
	w := NewWorkspace(t, "NHI_TICKETS_TOKEN="+options.Token, "NHI_TICKETS_ORGANIZATION_KEY="+options.OrganizationKey)
	w.Configure(hcl(true, ""))
	if got := w.ApplyFails().Output; !strings.Contains(strings.Join(strings.Fields(got), " "), "admin.atlassian.com") {
		t.Errorf("the error does not say where accounts are made:\n%s", got)
	}
	fake.AddUser(account, false)
	w.Configure(hcl(true, "adopt = true"))
	w.Apply()
	w.Plan(exitEmpty)
	if err := fake.PlayRole(account, "", "BILL", "Administrator"); err != nil {
		t.Fatal(err)
	}
	if got := w.Plan(exitChanges).Output; !strings.Contains(got, `- "project:BILL#Administrator"`) {
		t.Errorf("the plan does not show the role that was given by hand:\n%s", got)
	}
	fake.AddProject("OPS", "Developer")
	w.Configure(strings.Replace(hcl(true, "adopt = true"), "username ", "projects = [\"OPS\"]\n username ", 1))
	if got := strings.Join(strings.Fields(w.DestroyFails().Output), " "); !strings.Contains(got, "add it to projects") {
		t.Errorf("roles in a project that is not looked at any more are forgotten:\n%s", got)
	}
	w.Configure(hcl(false, "adopt = true"))
	w.Apply()
	if fake.Active(account) {
		t.Error("the suspended account still logs in")
	}
	w.Destroy()
	for _, problem := range fake.Broken() {
		t.Errorf("the fake's answer is not what Atlassian's document says: %s", problem)
	}
}
