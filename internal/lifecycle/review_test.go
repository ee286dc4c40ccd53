package lifecycle_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/fleet"
	"github.com/nhi-labs/terraform-provider-nhi/internal/lifecycle"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
)

// reviewed is a world with an account of ours on a and b, and another of our stack on a.
func reviewed() *world {
	w := newWorld()
	w.a.put(nhi.Account{Ref: nhi.Ref{Name: "billing"}, Mark: ours, Entitlements: roles("x")})
	w.b.put(nhi.Account{Ref: nhi.Ref{Name: "billing"}, Mark: theirs, Entitlements: roles("x")})
	w.b.put(nhi.Account{Ref: nhi.Ref{Name: "b-billing"}, Mark: ours, Entitlements: roles("y")})
	w.a.put(nhi.Account{Ref: nhi.Ref{Name: "left"}, Mark: nhi.Mark{Stack: ours.Stack, Identity: "left"}, Status: nhi.Suspended})
	return w
}

var both = []string{"a", "b"}

func foundTexts(found []lifecycle.Found) []string {
	var out []string
	for _, f := range found {
		out = append(out, fmt.Sprintf("%s/%s %s", f.Platform, f.Account.Name, f.ManagedBy))
	}
	return out
}

func heldTexts(r lifecycle.Review) []string {
	var out []string
	for _, h := range r.Held {
		out = append(out, fmt.Sprintf("%s/%s %s", h.Platform, h.Account.Name, h.Entitlement))
	}
	return out
}

func TestInventory(t *testing.T) {
	w, yes := reviewed(), true
	for _, test := range []struct {
		search lifecycle.Search
		want   []string
	}{
		{lifecycle.Search{Platforms: []string{"b", "a", "a"}, Name: "*b*"}, []string{
			"a/billing this_stack", "a/bystander nobody", "b/b-billing this_stack", "b/billing another_stack", "b/bystander nobody",
		}},
		{lifecycle.Search{Platforms: both, ManagedBy: lifecycle.AnotherStack}, []string{
			"a/foreign another_stack", "b/billing another_stack", "b/foreign another_stack",
		}},
		{lifecycle.Search{Platforms: both, Suspended: &yes}, []string{"a/left this_stack"}},
	} {
		found, problems := lifecycle.Inventory(t.Context(), w.fleet(), test.search)
		if diff := cmp.Diff(test.want, foundTexts(found)); diff != "" || problems != nil {
			t.Errorf("%+v, problems %v (-want +got):\n%s", test.search, problems, diff)
		}
	}
}

func TestOrphans(t *testing.T) {
	w := reviewed()
	accounts := func(names map[string]string) map[string]map[string]string {
		return map[string]map[string]string{"billing": names}
	}
	for _, test := range []struct {
		declared lifecycle.Declared
		want     []string
	}{
		{lifecycle.Declared{}, []string{"a/billing this_stack", "a/left this_stack", "b/b-billing this_stack"}},
		{lifecycle.Declared{Identities: []string{"billing", "bystander"}}, []string{"a/left this_stack"}},
		{lifecycle.Declared{Identities: []string{"left"}}, []string{"a/billing this_stack", "b/b-billing this_stack"}},
		{lifecycle.Declared{Identities: []string{"left", "billing"}}, nil},
		{lifecycle.Declared{Accounts: accounts(map[string]string{"a": "billing", "b": "b-billing"})}, []string{"a/left this_stack"}},
		{lifecycle.Declared{Identities: []string{"left", "billing"}, Accounts: accounts(map[string]string{"a": "billing", "b": "billing"})},
			[]string{"b/b-billing this_stack"}},
		{lifecycle.Declared{Identities: []string{"left", "billing"}, Accounts: accounts(nil)},
			[]string{"a/billing this_stack", "b/b-billing this_stack"}},
	} {
		found, problems := lifecycle.Orphans(t.Context(), w.fleet(), both, test.declared)
		if diff := cmp.Diff(test.want, foundTexts(found)); diff != "" || problems != nil {
			t.Errorf("beside %v, problems %v (-want +got):\n%s", test.declared, problems, diff)
		}
	}
}

// TestReviewIsWholeOrNothing: with one platform that fails there is no result, and the platform is named.
func TestReviewIsWholeOrNothing(t *testing.T) {
	w := reviewed()
	w.b.refuse = func(op string) error { return fmt.Errorf("%s: %w", op, errRefused) }
	f := w.fleet()
	found, problems := lifecycle.Orphans(t.Context(), f, both, lifecycle.Declared{})
	if diff := cmp.Diff([]string{"b"}, problems.Platforms()); diff != "" || len(found) > 0 {
		t.Errorf("orphans %v, problems on (-want +got):\n%s", found, diff)
	}
	r, problems, err := lifecycle.Holders(t.Context(), f, both, []string{"role:x"})
	if diff := cmp.Diff([]string{"b"}, problems.Platforms()); diff != "" || len(r.Held) > 0 || err != nil {
		t.Errorf("holders %v, error %v, problems on (-want +got):\n%s", r.Held, err, diff)
	}
	// The plain platform cannot list its accounts, which is no empty list.
	_, problems = lifecycle.Inventory(t.Context(), reviewed().fleet(), lifecycle.Search{})
	if diff := cmp.Diff([]string{"c"}, problems.Platforms()); diff != "" || driver.CodeOf(problems[0].Err) != driver.Unsupported {
		t.Errorf("problems %v on (-want +got):\n%s", problems, diff)
	}
}

func TestHolders(t *testing.T) {
	w := reviewed()
	r, problems, err := lifecycle.Holders(t.Context(), w.fleet(), both, []string{"role:x", "role:nobody's"})
	want := []string{
		"a/billing role:x", "a/bystander role:x", "a/foreign role:x", "b/billing role:x", "b/bystander role:x", "b/foreign role:x",
	}
	if diff := cmp.Diff(want, heldTexts(r)); diff != "" || problems != nil || err != nil {
		t.Errorf("problems %v, error %v (-want +got):\n%s", problems, err, diff)
	}
	if diff := cmp.Diff(both, r.DirectOnly); diff != "" {
		t.Errorf("platforms that tell direct ones only (-want +got):\n%s", diff)
	}
	for text, want := range map[string]string{"rule:x": `platform "a"`, "role:": "names no target"} {
		_, _, err := lifecycle.Holders(t.Context(), w.fleet(), both, []string{"role:x", text})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %q", text, err, want)
		}
	}
}

// TestHoldersInOtherSpelling: what one platform knows as it is written and another one spells otherwise is looked for on both.
func TestHoldersInOtherSpelling(t *testing.T) {
	exact := nhi.Grammar{Types: []nhi.EntitlementType{{Name: "group", Example: "group:x"}, {Name: "role", Example: "role:x"}}}
	lower := nhi.Grammar{Types: []nhi.EntitlementType{{Name: "group", Example: "group:x", Canonical: func(e nhi.Entitlement) (nhi.Entitlement, error) {
		e.Target = strings.ToLower(e.Target)
		return e, nil
	}}}}
	group := func(target string) []nhi.Entitlement { return []nhi.Entitlement{{Type: "group", Target: target}} }
	var configs []fleet.Config
	for _, p := range []struct {
		name    string
		grammar nhi.Grammar
		holds   string
	}{{"crm", exact, "Admins"}, {"directory", lower, "admins"}} {
		m := newMemory(p.name)
		m.put(nhi.Account{Ref: nhi.Ref{Name: "mallory"}, Entitlements: group(p.holds)})
		configs = append(configs, fleet.Config{
			Name: p.name, Spec: driver.Spec{Grammar: p.grammar}, Open: func() (driver.Driver, error) { return full{plain{m}}, nil },
		})
	}
	f := fleet.New("payments", nil, configs)
	for _, test := range []struct {
		platforms []string
		text      string
		want      []string
		says      string
	}{
		{nil, "group:Admins", []string{"crm/mallory group:Admins", "directory/mallory group:admins"}, ""},
		{nil, "group:admins", []string{"directory/mallory group:admins"}, ""},
		{[]string{"crm"}, "group:Admins", []string{"crm/mallory group:Admins"}, ""},
		{[]string{"directory"}, "group:Admins", nil, `write "group:admins"`},
		{nil, "role:Admins", nil, ""},
	} {
		r, problems, err := lifecycle.Holders(t.Context(), f, test.platforms, []string{test.text})
		if diff := cmp.Diff(test.want, heldTexts(r)); diff != "" || problems != nil {
			t.Errorf("%s on %v, problems %v (-want +got):\n%s", test.text, test.platforms, problems, diff)
		}
		if (err != nil) != (test.says != "") || err != nil && !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s on %v: error %v, want %q", test.text, test.platforms, err, test.says)
		}
	}
}

// undeclared knows of no declaration.
func undeclared(string, string) (theirs, known bool) { return false, false }

func TestExplainIdentity(t *testing.T) {
	w := reviewed()
	w.c.put(nhi.Account{Ref: nhi.Ref{Name: "712020:x"}, Mark: ours, Entitlements: roles("z")})
	f := w.fleet()
	for _, test := range []struct {
		names     map[string]string
		platforms []string
		want      []string
		problems  []string
	}{
		{nil, both, []string{"a/billing role:x", "b/b-billing role:y"}, nil}, // By the mark, under any name.
		{nil, nil, nil, []string{"c"}},                                       // Nobody knows whether it has an account there: c lists none.
		{map[string]string{"c": "712020:x"}, nil, []string{"a/billing role:x", "b/b-billing role:y", "c/712020:x role:z"}, nil},
		{map[string]string{"b": "b-billing"}, []string{"b"}, []string{"b/b-billing role:y"}, nil},
		{map[string]string{"b": "billing"}, both, nil, []string{"b"}}, // Another stack's.
		{map[string]string{"c": "gone", "b": "bystander"}, nil, nil, []string{"c"}},
		{map[string]string{"b": "bystander"}, []string{"b"}, []string{"b/bystander role:x"}, nil}, // Nobody's, and named.
	} {
		r, problems := lifecycle.ExplainIdentity(t.Context(), f, "billing", test.names, test.platforms, undeclared)
		if diff := cmp.Diff(test.want, heldTexts(r)); diff != "" {
			t.Errorf("%v on %v (-want +got):\n%s", test.names, test.platforms, diff)
		}
		if diff := cmp.Diff(test.problems, problems.Platforms(), cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%v on %v: problems on (-want +got):\n%s", test.names, test.platforms, diff)
		}
	}
	w.c.put(nhi.Account{Ref: nhi.Ref{Name: "billing"}, Mark: ours, Entitlements: roles("z")})
	r, problems := lifecycle.ExplainIdentity(t.Context(), f, "billing", nil, []string{"c"}, undeclared)
	if diff := cmp.Diff([]string{"c/billing role:z"}, heldTexts(r)); diff != "" || problems != nil {
		t.Errorf("by the identity's name, problems %v (-want +got):\n%s", problems, diff)
	}
	r, problems = lifecycle.ExplainAccount(t.Context(), f, "b", "billing")
	if diff := cmp.Diff([]string{"b/billing role:x"}, heldTexts(r)); diff != "" || problems != nil {
		t.Errorf("another stack's account, problems %v (-want +got):\n%s", problems, diff)
	}
	if _, problems = lifecycle.ExplainAccount(t.Context(), f, "b", "nobody"); len(problems) != 1 || driver.CodeOf(problems[0].Err) != driver.NotFound {
		t.Errorf("nobody: %v", problems)
	}
}

// TestExplainNobodysAccount: what nobody marked may be the identity's, as after an import. It is not known to hold nothing.
func TestExplainNobodysAccount(t *testing.T) {
	w := reviewed()
	w.c.put(nhi.Account{Ref: nhi.Ref{Name: "left"}, Entitlements: roles("z")})
	f := w.fleet()
	r, problems := lifecycle.ExplainIdentity(t.Context(), f, "bystander", nil, both, undeclared)
	if diff := cmp.Diff(both, problems.Platforms()); diff != "" || len(r.Held) > 0 || !strings.Contains(problems.Error(), `account_names = { a = "bystander" }`) {
		t.Errorf("nobody's accounts of the identity's name: %v, problems %v on (-want +got):\n%s", r.Held, problems, diff)
	}
	_, problems = lifecycle.ExplainIdentity(t.Context(), f, "left", nil, []string{"a", "c"}, undeclared)
	if len(problems) != 1 || !strings.Contains(problems.Error(), `account_names = { c = "left" }`) {
		t.Errorf("nobody's account where accounts cannot be listed: problems %v", problems)
	}
	declared := func(platform, account string) (theirs, known bool) {
		return platform != "a" && account == "left", account == "left"
	}
	r, problems = lifecycle.ExplainIdentity(t.Context(), f, "left", nil, []string{"a", "c"}, declared)
	if diff := cmp.Diff([]string{"c/left role:z"}, heldTexts(r)); diff != "" || problems != nil {
		t.Errorf("declared, problems %v (-want +got):\n%s", problems, diff)
	}
	r, problems = lifecycle.ExplainIdentity(t.Context(), f, "bystander", nil, []string{"b"}, declared)
	if len(problems) != 1 || len(r.Held) > 0 {
		t.Errorf("another account is declared: %v, problems %v", r.Held, problems)
	}
	elsewhere := func(string, string) (theirs, known bool) { return false, true }
	r, problems = lifecycle.ExplainIdentity(t.Context(), f, "bystander", nil, both, elsewhere)
	if problems != nil || len(r.Held) > 0 {
		t.Errorf("a stranger's, as the identity is known to have none there: %v, problems %v", r.Held, problems)
	}
}
