package acctest

import (
	"fmt"
	"net"
	"slices"
	"strconv"
	"testing"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
	"github.com/nhi-labs/terraform-provider-nhi/internal/testenv"
)

// A platform that cannot be read fails every data source that would need it, by its name; nothing is shown without it.
func TestReviewWithAPlatformDown(t *testing.T) {
	if !onlyOnce() {
		return
	}
	t.Parallel()
	server := testenv.Load(t).PostgreSQL
	gate := NewGate(t, net.JoinHostPort(server.Host, strconv.Itoa(server.Port)))
	pg, box := postgresqlSite(t, "warehouse", gate.Addr), sandboxSite(t, "company")
	w := NewWorkspace(t, pg.env...)
	whole := providerOver(unique(t, "stack"), pg, box)
	gate.Shut()
	for _, block := range []string{
		`data "nhi_platform" "this" { name = "warehouse" }`,
		`data "nhi_accounts" "this" {}`,
		`data "nhi_orphans" "this" { declared = [] }`,
		`data "nhi_holders" "this" { entitlements = ["role:reporting"] }`,
		`data "nhi_entitlements" "this" { identity = { name = "agent", account_names = {} } }`,
		`data "nhi_account" "this" {
  platform = "warehouse"
  name     = "agent"
}`,
	} {
		w.Configure(whole + block)
		r := w.Plan(exitError)
		r.Has(t, `Unable to read platform "warehouse"`)
		r.HasNot(t, `Unable to read platform "company"`)
	}
	w.Configure(whole + `data "nhi_accounts" "this" { platforms = ["company"] }`)
	w.Plan(exitEmpty)
}

// What is asked wrongly is refused, and what it should be is said.
func TestReviewRefusals(t *testing.T) {
	if !onlyOnce() {
		return
	}
	t.Parallel()
	box, vault := sandboxSite(t, "company"), vaultSite(t, "secrets", "")
	c := config{stack: unique(t, "stack"), identity: unique(t, "agent"), sites: []*site{box, vault}}
	box.foreign(c.identity)
	box.marked("theirs", nhi.Mark{Stack: "another", Identity: c.identity})
	w := NewWorkspace(t, vault.env...)
	for _, test := range []struct{ block, says string }{
		{`data "nhi_platform" "this" { name = "compony" }`, `did you mean "company"?`},
		{`data "nhi_accounts" "this" { platforms = ["company", "nowhere"] }`, `no platform is named "nowhere"`},
		{`data "nhi_accounts" "this" { managed_by = "me" }`, `value must be one of: ["this_stack" "another_stack" "nobody"]`},
		{`data "nhi_orphans" "this" {}`, `At least one of these attributes must be configured: [declared,identities]`},
		{`data "nhi_holders" "this" { entitlements = ["tabel:x#select"] }`, `did you mean "table"?`},
		{`data "nhi_holders" "this" { entitlements = ["table:finance.invoices#SELECT"] }`, `write "table:finance.invoices#select"`},
		{`data "nhi_holders" "this" { entitlements = [] }`, `set must contain at least 1 elements`},
		{`data "nhi_entitlements" "this" { platform = "company" }`, `Missing Attribute Configuration`},
		{`data "nhi_entitlements" "this" { identity = { name = "x", account_names = { company = "theirs" } } }`, `belongs to the stack "another"`},
		{`data "nhi_entitlements" "this" { identity = { name = null, account_names = {} } }`, `Invalid identity name`},
		{fmt.Sprintf(`data "nhi_entitlements" "this" { identity = { name = %q, account_names = {} } }`, c.identity),
			fmt.Sprintf(`account_names = { company = %q }`, c.identity)},
		{`data "nhi_entitlements" "this" {
  platform = "company"
  account  = "nobody-there"
}`, `has no account "nobody-there"`},
		{`data "nhi_account" "this" {
  platform = "company"
  name     = "nobody-there"
}`, `No such account`},
	} {
		w.Configure(providerOver(c.stack, c.sites...) + test.block)
		w.Plan(exitError).Has(t, test.says)
	}
}

// TestReviewOfAdopted: an account that nobody marked is an identity's where the configuration or state has it, or account_names
// names it.
func TestReviewOfAdopted(t *testing.T) {
	t.Parallel()
	box := sandboxSite(t, "company")
	c := config{stack: "stack", identity: "agent", sites: []*site{box}}
	box.foreign(c.identity, box.entitlements[0])
	w := NewWorkspace(t)
	review := func(identity string) string {
		return "data \"nhi_entitlements\" \"this\" { identity = " + identity + " }\n" +
			"output \"held\" { value = data.nhi_entitlements.this.entitlements[*].entitlement }\n"
	}
	holds := func() {
		t.Helper()
		if got := output[[]string](w, "held"); !slices.Equal(got, []string{box.entitlements[0]}) {
			t.Errorf("the review shows %q", got)
		}
	}
	w.Configure(providerOver(c.stack, box) + review(`{ name = "agent", account_names = { company = "agent" } }`) +
		"data \"nhi_account\" \"this\" {\n  platform = \"company\"\n  name     = \"agent\"\n}\noutput \"account\" { value = data.nhi_account.this }\n")
	w.Apply()
	holds()
	if seen := output[seenAccount](w, "account"); seen.ManagedBy != "nobody" || seen.Identity != "" || seen.Name != c.identity {
		t.Errorf("the account is %+v", seen)
	}

	w.Configure(providerOver(c.stack, box) + review("nhi_identity.this") + `
import {
  to = nhi_identity.this
  id = "agent"
}
resource "nhi_identity" "this" {
  name  = "agent"
  kind  = "workload"
  owner = "team@example.com"
  account { platform = "company" }
}
`)
	w.Apply()
	holds()
	none := nhi.Mark{}
	box.do(box.hand.UpdateAccount(t.Context(), nhi.Ref{Name: "agent"}, driver.AccountChange{Mark: &none}))
	w.ApplyOnly("-refresh-only") // The identity is read, and not planned.
	holds()
}

const functionsHCL = `
output "table" { value = provider::nhi::entitlement("table", "finance.invoices", "select") }
output "group" { value = provider::nhi::entitlement("group", "Team #1: readers", "") }
output "policy" { value = provider::nhi::entitlement("policy", "billing-read", "") }
output "parsed" { value = provider::nhi::parse_entitlement("column:finance.invoices.\"a.b#c\"#update+grant") }
output "parsed_group" { value = provider::nhi::parse_entitlement("group:Team #1: readers") }
`

// The functions work in every CLI, without a platform.
func TestFunctions(t *testing.T) {
	t.Parallel()
	w := NewWorkspace(t)
	w.Configure(functionsHCL)
	w.Apply()
	for name, want := range map[string]string{
		"table": "table:finance.invoices#select", "group": "group:Team #1: readers", "policy": "policy:billing-read",
	} {
		if got := output[string](w, name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	type parts struct {
		Type, Target string
		Permission   *string
	}
	if p := output[parts](w, "parsed"); p.Type != "column" || p.Target != `finance.invoices."a.b#c"` || p.Permission == nil || *p.Permission != "update+grant" {
		t.Errorf("parsed %+v", p)
	}
	if p := output[parts](w, "parsed_group"); p.Type != "group" || p.Target != "Team #1: readers" || p.Permission != nil {
		t.Errorf("parsed %+v", p)
	}
	if w.atLeast(8) { // OpenTofu cannot pass null.
		w.Configure(`output "role" { value = provider::nhi::entitlement("role", "reporting", null) }`)
		w.Apply()
		if got := output[string](w, "role"); got != "role:reporting" {
			t.Errorf("with null: %q", got)
		}
	}
	w.Configure(`output "x" { value = provider::nhi::entitlement("tabel", "finance.invoices", "select") }`)
	w.Plan(exitError).Has(t, `Invalid value for "type" parameter`, `did you mean "table"?`)
	w.Configure(`output "x" { value = provider::nhi::parse_entitlement("table:finance.invoices#SELECT") }`)
	w.Plan(exitError).Has(t, `Invalid value for "text" parameter`, `write "table:finance.invoices#select"`)
}
