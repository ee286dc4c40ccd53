package acctest

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
	"github.com/nhi-labs/terraform-provider-nhi/internal/platform/sandbox"
	"github.com/nhi-labs/terraform-provider-nhi/internal/testenv"
)

// output reads an output of the state.
func output[T any](w *Workspace, name string) T {
	w.t.Helper()
	var v T
	if err := json.Unmarshal([]byte(w.must(0, "output", "-json", name).Output), &v); err != nil {
		w.t.Fatalf("output %s: %v", name, err)
	}
	return v
}

// seenAccount is what the tests read of an account in an output.
type seenAccount struct {
	Platform, Name, ID, Target, Status, Stack, Identity string

	ManagedBy    string            `json:"managed_by"`
	ExpiresAt    string            `json:"expires_at"`
	Entitlements []string          `json:"entitlements"`
	Settings     map[string]string `json:"settings"`
	Credentials  []struct {
		ID, Label string
		CreatedAt string `json:"created_at"`
	} `json:"credentials"`
}

func (a seenAccount) place() string { return a.Platform + "/" + a.Name }

func places(accounts []seenAccount) []string {
	out := []string{}
	for _, a := range accounts {
		out = append(out, a.place())
	}
	return out
}

// seenHolding is a holding in an output.
type seenHolding struct {
	Platform, Account, Entitlement, Identity string

	Direct    bool
	Via       []string
	ManagedBy string `json:"managed_by"`
}

func (h seenHolding) String() string {
	text := h.Platform + "/" + h.Account + " " + h.Entitlement
	if h.Direct {
		return text + " directly"
	}
	return text + " via " + strings.Join(h.Via, ", ")
}

// conferred lets one of the site's groups or roles hold something by hand, which its members then inherit. It returns
// the group, and what it gives.
func conferred(t *testing.T, s *site) (group, gives string) {
	t.Helper()
	switch s.spec.Kind {
	case "postgresql":
		table := strings.Replace(strings.TrimSuffix(strings.TrimPrefix(s.entitlements[0], "table:"), "#select"), "invoices", "ledger", 1)
		s.sql(t, "GRANT INSERT ON "+table+" TO "+strings.TrimPrefix(s.entitlements[1], "role:"))
		return s.entitlements[1], "table:" + table + "#insert"
	case "vault":
		group = s.entitlements[3]
		name := strings.TrimPrefix(group, "group:")
		_, err := vaultClient(t).Logical().Write("identity/group/name/"+name, map[string]any{
			"policies": []string{strings.TrimPrefix(s.entitlements[2], "policy:")},
		})
		s.do(err)
		return group, s.entitlements[2]
	case "scim":
		everybody := unique(t, "Everybody")
		scimGroup(t, testenv.Load(t).SCIM, everybody, scimRef{s.groupIDs[0]})
		return s.entitlements[0], "group:" + everybody
	default:
		admin, err := sandbox.OpenAdmin(sandbox.Config{Path: s.path})
		s.do(err)
		defer admin.Close() //nolint:errcheck // Nothing is buffered.
		s.do(admin.Confer(t.Context(), s.parse(s.entitlements[1]), s.parse("policy:conferred")))
		return s.entitlements[1], "policy:conferred"
	}
}

const reviewHCL = `
data "nhi_platform" "each" {
  for_each = toset(local.platforms)
  name     = each.key
}

data "nhi_account" "each" {
  for_each   = toset(local.platforms)
  platform   = each.key
  name       = nhi_identity.this.name
  depends_on = [nhi_grant.this]
}

data "nhi_accounts" "same_name" {
  name       = "${nhi_identity.this.name}*"
  depends_on = [nhi_grant.this]
}

data "nhi_entitlements" "this" {
  identity   = nhi_identity.this
  depends_on = [nhi_grant.this]
}

data "nhi_entitlements" "foreign" {
  platform = local.platforms[0]
  account  = local.foreign
}

data "nhi_holders" "this" {
  entitlements = local.asked
  depends_on   = [nhi_grant.this]
}

data "nhi_orphans" "this" {
  declared   = [nhi_identity.this.name]
  depends_on = [nhi_grant.this]
}

output "platforms" { value = data.nhi_platform.each }
output "accounts" { value = data.nhi_account.each }
output "same_name" { value = data.nhi_accounts.same_name.accounts }
output "use_unknown" { value = data.nhi_accounts.same_name.use_unknown }
# Other tests change what everybody has on the shared servers.
output "entitlements" {
  value = [for e in data.nhi_entitlements.this.entitlements : e if !contains(e.via, "PUBLIC")]
}
output "foreign" {
  value = [for e in data.nhi_entitlements.foreign.entitlements : e if !contains(e.via, "PUBLIC")]
}
output "holders" { value = data.nhi_holders.this }
output "orphans" { value = data.nhi_orphans.this.accounts }
`

// Every data source on every kind of platform shows what is there, direct and inherited, and whose it is.
func TestReview(t *testing.T) {
	t.Parallel()
	sites := []*site{postgresqlSite(t, "warehouse", ""), scimSite(t, "sap", ""), vaultSite(t, "secrets", ""), sandboxSite(t, "company")}
	c := config{stack: unique(t, "stack"), identity: unique(t, "agent"), sites: sites, holds: []int{0, 1, 2, 3}}
	foreign := c.identity + "-not"
	var names, asked, wantHolders, wantPlaces []string
	for _, s := range sites {
		group, gives := conferred(t, s)
		s.foreign(foreign, group)
		names, asked = append(names, fmt.Sprintf("%q", s.name)), append(asked, fmt.Sprintf("%q", gives))
		for _, account := range []string{c.identity, foreign} {
			wantHolders = append(wantHolders, s.name+"/"+account+" "+gives+" via "+group)
			wantPlaces = append(wantPlaces, s.name+"/"+account)
		}
		if slices.Contains(s.entitlements, gives) {
			wantHolders = append(wantHolders, s.name+"/"+c.identity+" "+gives+" directly")
		}
	}
	w := c.workspace(t)
	w.Configure(c.hcl() + fmt.Sprintf("\nlocals {\n  platforms = [%s]\n  asked = [%s]\n  foreign = %q\n}\n", strings.Join(names, ", "),
		strings.Join(asked, ", "), foreign) + reviewHCL)
	w.Apply()

	same := output[[]seenAccount](w, "same_name")
	slices.Sort(wantPlaces)
	if diff := cmp.Diff(wantPlaces, places(same)); diff != "" {
		t.Errorf("inventory (-want +got):\n%s", diff)
	}
	holders := output[struct {
		Holders    []seenHolding
		DirectOnly []string `json:"direct_only"`
	}](w, "holders")
	// The owner of a table and the role that holds it are accounts, too.
	seen := slices.DeleteFunc(holders.Holders, func(h seenHolding) bool { return !strings.HasPrefix(h.Account, c.identity) })
	if diff := cmp.Diff(sorted(wantHolders), sorted(texts(seen))); diff != "" || len(holders.DirectOnly) > 0 {
		t.Errorf("holders (-want +got), direct only %v:\n%s", holders.DirectOnly, diff)
	}
	for _, h := range seen {
		if ours := h.Account == c.identity; ours != (h.ManagedBy == "this_stack") || ours != (h.Identity == c.identity) {
			t.Errorf("holder %s is managed by %s for %q", h, h.ManagedBy, h.Identity)
		}
	}
	if orphans := output[[]seenAccount](w, "orphans"); len(orphans) > 0 {
		t.Errorf("orphans: %v", places(orphans))
	}
	if texts := texts(output[[]seenHolding](w, "foreign")); !slices.Contains(texts, wantHolders[1]) {
		t.Errorf("the foreign account holds %q, want %q among it", texts, wantHolders[1])
	}
	for _, s := range sites {
		s.checkReview(w, c.identity)
	}
	w.Configure(c.hcl())
	w.Destroy()
}

// checkReview compares what the data sources show of the site with what its driver says.
func (s *site) checkReview(w *Workspace, identity string) {
	s.t.Helper()
	account := s.account(identity)
	seen := output[map[string]seenAccount](w, "accounts")[s.name]
	state := w.Attributes("nhi_identity", "this").Accounts[s.name]
	if seen.ID != state.ID || seen.Target != state.Target || seen.Status != "active" || seen.ManagedBy != "this_stack" ||
		seen.Identity != identity || seen.Stack != account.Mark.Stack || !maps.Equal(seen.Settings, account.Settings) {
		s.t.Errorf("%s: account %+v; state has %+v", s.name, seen, state)
	}
	if diff := cmp.Diff(nhi.Texts(account.Entitlements), sorted(seen.Entitlements)); diff != "" {
		s.t.Errorf("%s: direct entitlements (-driver +data source):\n%s", s.name, diff)
	}
	explainer, ok := s.hand.(driver.Explainer)
	if !ok {
		s.t.Fatalf("%s explains nothing", s.name)
	}
	holdings, err := explainer.Explain(s.t.Context(), account.Ref)
	s.do(err)
	var want, got []string
	for _, h := range holdings {
		if len(h.Via) == 0 || slices.Contains(nhi.Texts(account.Entitlements), h.Via[0]) { // Others change what everybody has.
			want = append(want, seenHolding{s.name, identity, h.Entitlement.String(), "", len(h.Via) == 0, h.Via, ""}.String())
		}
	}
	for _, h := range output[[]seenHolding](w, "entitlements") {
		if h.Platform == s.name && (h.Direct || slices.Contains(seen.Entitlements, h.Via[0])) {
			got = append(got, h.String())
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		s.t.Errorf("%s: entitlements (-driver +data source):\n%s", s.name, diff)
	}
	target, err := s.hand.Probe(s.t.Context())
	s.do(err)
	platform := output[map[string]struct {
		Kind, Target, Version        string
		Capabilities, Blind, Lacking []string
	}](w, "platforms")[s.name]
	if platform.Kind != s.spec.Kind || platform.Target != target.ID || platform.Version != target.Version ||
		!slices.Contains(platform.Capabilities, "explain") || len(platform.Blind) != len(target.Blind) || len(platform.Lacking) > 0 {
		s.t.Errorf("%s: platform %+v, the driver says %+v", s.name, platform, target)
	}
}

func sorted(list []string) []string { return slices.Sorted(slices.Values(list)) }

func texts(holdings []seenHolding) []string {
	var out []string
	for _, h := range holdings {
		out = append(out, h.String())
	}
	return out
}

const orphansHCL = `
variable "declared" {
  type    = set(string)
  default = []
}

data "nhi_orphans" "this" {
  declared = var.declared
}

output "orphans" { value = data.nhi_orphans.this.accounts }
`

// An account whose resource was removed from state is found by its mark; nobody else's account ever is, whatever it is
// called and however its mark reads.
func TestOrphans(t *testing.T) {
	if !onlyOnce() {
		return
	}
	t.Parallel()
	sites := []*site{postgresqlSite(t, "warehouse", ""), scimSite(t, "sap", ""), vaultSite(t, "secrets", ""), sandboxSite(t, "company")}
	c := config{stack: unique(t, "stack"), identity: unique(t, "agent"), sites: sites, holds: []int{0}}
	var want []string
	for _, s := range sites {
		s.foreign(c.identity + "-nobody")
		s.marked(c.identity+"-other", nhi.Mark{Stack: c.stack + "-2", Identity: c.identity})
		s.marked(c.identity+"-prefix", nhi.Mark{Stack: c.stack[:len(c.stack)-1], Identity: c.identity})
		want = append(want, s.name+"/"+c.identity)
	}
	w := c.workspace(t)
	w.Apply()
	w.must(0, "state", "rm", "nhi_grant.this", "nhi_identity.this")
	w.Configure(providerOver(c.stack, sites...) + orphansHCL)
	check := func(want []string, declared ...string) {
		t.Helper()
		w.Setenv("TF_VAR_declared", fmt.Sprintf("[%s]", strings.Join(declared, ",")))
		w.Apply()
		found := output[[]seenAccount](w, "orphans")
		if diff := cmp.Diff(sorted(want), places(found), cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("orphans beside %v (-want +got):\n%s", declared, diff)
		}
		for _, a := range found {
			if a.ManagedBy != "this_stack" || a.Stack != c.stack || a.Identity != c.identity || len(a.Entitlements) != 1 {
				t.Errorf("orphan %+v", a)
			}
		}
	}
	check(want)
	check(want, fmt.Sprintf("%q", c.identity+"-nobody"))
	check([]string{}, fmt.Sprintf("%q", c.identity), `"another"`)
	sites[1].deleteByHand(c.identity)
	check(slices.DeleteFunc(want, func(place string) bool { return strings.HasPrefix(place, "sap/") }))
	for _, s := range []*site{sites[0], sites[2], sites[3]} {
		s.holds(c.identity, s.texts(0)...)
	}
}
