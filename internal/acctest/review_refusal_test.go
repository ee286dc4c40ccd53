package acctest

import (
	"fmt"
	"net"
	"strconv"
	"testing"

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
		{fmt.Sprintf(`data "nhi_entitlements" "this" { identity = { name = "x", account_names = { company = %q } } }`, c.identity),
			`was not made by this provider`},
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
	// An unmarked account of the identity's name is not the identity's; looked at by its name it shows.
	w.Configure(providerOver(c.stack, c.sites...) + fmt.Sprintf(`
data "nhi_entitlements" "identity" { identity = { name = %[1]q, account_names = {} } }

data "nhi_account" "this" {
  platform = "company"
  name     = %[1]q
}

output "identity" { value = length(data.nhi_entitlements.identity.entitlements) }
output "account" { value = data.nhi_account.this }
`, c.identity))
	w.Apply()
	seen := output[seenAccount](w, "account")
	if n := output[int](w, "identity"); n != 0 || seen.ManagedBy != "nobody" || seen.Identity != "" || seen.Name != c.identity {
		t.Errorf("the identity holds %d entitlements, the account is %+v", n, seen)
	}
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
