package acctest

import (
	"fmt"
	"strings"
	"testing"

	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
)

// Bad input: each a diagnostic on the attribute that says what to write instead, before anything is changed.
func TestBadConfiguration(t *testing.T) {
	t.Parallel()
	s := sandboxSite(t, "warehouse")
	v := vaultSite(t, "secrets", "")
	const identity = `
resource "nhi_identity" "this" {
  name  = "agent"
  kind  = "ai_agent"
  owner = "team@example.com"
  account {
    platform = "warehouse"
  }
}
`
	grant := func(body string) string {
		return identity + "\nresource \"nhi_grant\" \"this\" {\n  identity = nhi_identity.this\n" + body + "\n}\n"
	}
	with := func(from, to string) string { return replaceOnce(t, identity, from, to) }
	cases := map[string]struct {
		provider string // "" is one sandbox
		hcl      string
		want     []string
	}{
		"misspelt argument of a resource": {hcl: with(`owner =`, `ovner =`), want: []string{"ovner", "owner"}},
		"misspelt argument of an account": {hcl: with(`platform = "warehouse"`, `platfrm = "warehouse"`), want: []string{"platfrm", `Did you mean "platform"?`}},
		"misspelt argument of a platform": {
			provider: "  stack = \"stack\"\n  sandbox {\n    name = \"warehouse\"\n    paht = \"x\"\n  }\n",
			hcl:      identity, want: []string{"paht", `Did you mean "path"?`},
		},
		"unknown platform": {hcl: with(`"warehouse"`, `"warehuose"`), want: []string{
			"Unknown platform", `no platform is named "warehuose"`, `did you mean "warehouse"?`, "configured are: secrets, warehouse"}},
		"unknown platform of a grant": {hcl: grant(`entitlements = { warehuose = ["role:x"] }`), want: []string{
			"Unknown platform", `did you mean "warehouse"?`}},
		"unknown kind of identity": {hcl: with(`"ai_agent"`, `"human"`), want: []string{"ai_agent", `"human"`}},
		"bad identity name":        {hcl: with(`"agent"`, `"agent 7"`), want: []string{"Invalid identity name", "letters, digits"}},
		"duplicate account block": {hcl: with("  account {\n", "  account {\n    platform = \"warehouse\"\n    name = \"other\"\n  }\n  account {\n"),
			want: []string{"Duplicate account block", "at most one account per platform"}},
		"settings of another kind": {hcl: with("platform = \"warehouse\"\n", "platform = \"warehouse\"\n    postgresql {\n      connection_limit = 5\n    }\n"),
			want: []string{"Settings of another kind of platform", `kind "sandbox"`}},
		"account name that the platform would change": {hcl: with(`platform = "warehouse"`, "platform = \"secrets\"\n    name = \"Agent\""),
			want: []string{"Invalid account name", `write "agent"`}},
		"unknown entitlement type": {hcl: grant(`entitlements = { warehouse = ["tabel:finance.invoices#select"] }`), want: []string{
			"Invalid entitlement", `unknown type "tabel" (did you mean "table"?)`, "known types:"}},
		"entitlement that is not canonical": {hcl: grant(`entitlements = { warehouse = ["table:finance.invoices#SELECT"] }`), want: []string{
			"canonical spelling", `write "table:finance.invoices#select"`}},
		"policy that is not canonical": {hcl: grant(`entitlements = { secrets = ["policy:Billing-Read"] }`), want: []string{
			"canonical spelling", `write "policy:billing-read"`}},
		"unknown permission": {hcl: grant(`entitlements = { warehouse = ["table:finance.invoices#selct"] }`), want: []string{`did you mean "select"?`}},
		"no entitlement":     {hcl: grant(`entitlements = { warehouse = ["reporting"] }`), want: []string{"write type:target"}},
		"null entitlements":  {hcl: grant(`entitlements = { warehouse = null }`), want: []string{"Write [] for an account that holds nothing"}},
		"null entitlement":   {hcl: grant(`entitlements = { warehouse = ["role:a", null] }`), want: []string{"Missing entitlement", "compact()"}},
		"expired identity":   {hcl: with("owner =", "expires_at = \"2001-01-01T00:00:00Z\"\n  owner ="), want: []string{"Date in the past", "enabled = false"}},
		"expired grant": {hcl: grant("entitlements = { warehouse = [] }\n  expires_at = \"2001-01-01T00:00:00Z\""), want: []string{
			"Date in the past", "remove the entitlements or the grant"}},
		"date that is none": {hcl: with("owner =", "expires_at = \"tomorrow\"\n  owner ="), want: []string{"expires_at", "RFC3339"}},
		"two exclusive grants on one account": {
			hcl: grant(`entitlements = { warehouse = ["role:a"] }`) + "\nresource \"nhi_grant\" \"other\" {\n  identity = nhi_identity.this\n" +
				"  entitlements = { warehouse = [\"role:b\"] }\n}\n",
			want: []string{"Conflicting grants", "exclusive = false", "tolerate"},
		},
		"an exclusive grant that would fight another": {
			hcl: grant(`entitlements = { warehouse = ["role:a"] }`) + "\nresource \"nhi_grant\" \"other\" {\n  identity = nhi_identity.this\n" +
				"  exclusive = false\n  entitlements = { warehouse = [\"role:b\"] }\n}\n",
			want: []string{"Conflicting grants", "role:b", "tolerate = nhi_grant.<the other one>.entitlements"},
		},
		"two platforms of one name": {
			provider: "  stack = \"stack\"\n" + s.block() + s.block(), hcl: identity, want: []string{"Duplicate platform name"},
		},
		"stack that cannot be": {provider: "  stack = \"a b\"\n" + s.block(), hcl: identity, want: []string{"Invalid stack"}},
		"platform both retired and configured": {
			provider: "  stack = \"stack\"\n  retired_platforms = [\"warehouse\"]\n" + s.block(), hcl: identity, want: []string{"Retired platform"},
		},
		"date with a fraction": {hcl: with("owner =", "expires_at = \"2199-01-01T00:00:00.5Z\"\n  owner ="), want: []string{
			"Invalid date", `write whole seconds: "2199-01-01T00:00:00Z"`}},
		"platforms that share an environment variable": {
			provider: "  stack = \"stack\"\n" + s.block() + replaceOnce(t, s.block(), `"warehouse"`, `"ware_house"`) + replaceOnce(t, s.block(), `"warehouse"`, `"ware-house"`),
			hcl:      identity, want: []string{"Ambiguous platform name", "NHI_WARE_HOUSE_"},
		},
		"missing password": {
			provider: "  stack = \"stack\"\n  postgresql {\n    name = \"warehouse\"\n    host = \"localhost\"\n    database = \"d\"\n    username = \"u\"\n  }\n",
			hcl:      identity, want: []string{"Missing password", "NHI_WAREHOUSE_PASSWORD", "password_file"},
		},
		"plain http": {
			provider: "  stack = \"stack\"\n  scim {\n    name = \"warehouse\"\n    url = \"http://scim.example/scim\"\n    token = \"x\"\n  }\n",
			hcl:      identity, want: []string{"Insecure address", "allow_plain_http"},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			provider := tc.provider
			if provider == "" {
				provider = "  stack = \"stack\"\n" + s.block() + v.block()
			}
			w := NewWorkspace(t, v.env...)
			w.Configure("provider \"nhi\" {\n" + provider + "}\n" + tc.hcl)
			r := w.Plan(exitError)
			r.Has(t, tc.want...)
			r.Has(t, "on main.tf line")
			r.HasNot(t, "panic", "Provider produced", "bug")
			s.gone("agent")
		})
	}
}

// What looks like an injection is data: it is stored as it stands, or refused with a message, and a bystander is left
// alone.
func TestHostileNames(t *testing.T) {
	if !onlyOnce() {
		return
	}
	t.Parallel()
	names := []string{
		`x"; DROP ROLE victim; --`, `x' OR '1'='1`, `*)(uid=*))(|(uid=*`, `a" or userName pr or userName eq "b`, `../../sys/policies/acl/root`,
		`x/../victim`, `%2e%2e%2fvictim`, `a?b=c#d`, `name with spaces`, `ünïcödé`, "\u202eright-to-left", strings.Repeat("n", 63),
	}
	for kind, newSite := range kindSites() {
		t.Run(kind, func(t *testing.T) {
			s := newSite(t)
			victim := unique(t, "victim")
			s.foreign(victim, s.entitlements[0])
			before := s.account(victim)
			var accepted, refused []string
			for _, name := range names {
				if s.spec.CheckName(name) == nil {
					accepted = append(accepted, name)
				} else {
					refused = append(refused, name)
				}
			}
			stack := unique(t, "stack")
			if len(refused) > 0 {
				w := NewWorkspace(t, s.env...)
				w.Configure(identitiesNamed(t, s, stack, refused))
				r := w.Plan(exitError)
				if n := strings.Count(r.Output, "Error: Invalid account name"); n != len(refused) {
					t.Errorf("%d of %d names refused:\n%s", n, len(refused), r.Output)
				}
			}
			w := NewWorkspace(t, s.env...)
			w.Configure(identitiesNamed(t, s, stack, accepted))
			w.Apply()
			for _, name := range accepted {
				if got := s.account(name); got.Name != name || got.Mark.Stack != stack {
					t.Errorf("stored %q as %+v", name, got)
				}
			}
			w.Destroy()
			if after := s.account(victim); after.ID != before.ID || nhi.JoinTexts(after.Entitlements) != nhi.JoinTexts(before.Entitlements) {
				t.Errorf("the bystander changed: %+v", after)
			}
		})
	}
}

// identitiesNamed declares one identity for each account name.
func identitiesNamed(t *testing.T, s *site, stack string, names []string) string {
	t.Helper()
	var b strings.Builder
	fmt.Fprintf(&b, "provider \"nhi\" {\n  stack = %q\n%s}\n", stack, s.block())
	for i, name := range names {
		s.cleanup(name)
		fmt.Fprintf(&b, "resource \"nhi_identity\" \"i%d\" {\n  name = %q\n  kind = \"api_client\"\n  owner = \"team@example.com\"\n"+
			"  account {\n    platform = %q\n    name = %s\n  }\n}\n", i, fmt.Sprintf("%s-%d", unique(t, "agent"), i), s.name, quoteHCL(name))
	}
	return b.String()
}

func quoteHCL(text string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "${", "$${", "%{", "%%{").Replace(text) + `"`
}
