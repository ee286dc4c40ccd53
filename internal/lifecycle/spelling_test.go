package lifecycle_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/lifecycle"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
)

// An account that the platform finds under a name of another case is neither adopted nor taken for ours: the declared name
// would never be the one that is read back.
func TestNameOfAnotherCase(t *testing.T) {
	for what, mark := range map[string]nhi.Mark{"unmarked": {}, "ours": ours} {
		t.Run(what, func(t *testing.T) {
			w := newWorld()
			w.a.folds = true
			w.a.put(nhi.Account{Ref: nhi.Ref{Name: "BILLING"}, Mark: mark, Entitlements: roles("x")})
			id := identity(map[string]lifecycle.Account{"c": {Name: "billing"}})
			records := create(t, w, id)
			before := w.snapshot()
			id.Accounts["a"] = lifecycle.Account{Name: "billing", Adopt: true}
			const want = `spells the account "BILLING"`
			if _, err := lifecycle.Inspect(t.Context(), w.fleet(), "billing", "a", id.Accounts["a"]); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("plan: %v", err)
			}
			now, problems := lifecycle.UpdateIdentity(t.Context(), w.fleet(), id, records)
			if len(problems) != 1 || !strings.Contains(problems.Error(), want) {
				t.Errorf("update: %v", problems)
			}
			if diff := cmp.Diff(records, now); diff != "" {
				t.Errorf("records (-before +after):\n%s", diff)
			}
			delete(id.Accounts, "c")
			if left, problems := lifecycle.CreateIdentity(t.Context(), w.fleet(), id); len(problems) != 1 || len(left) > 0 {
				t.Errorf("create: left %v, problems %v", left, problems)
			}
			if diff := cmp.Diff(before, w.snapshot()); diff != "" {
				t.Errorf("(-before +after):\n%s", diff)
			}
		})
	}
}

// A platform that rewrites names keeps no account, also if the answer of its creation is lost.
func TestRewrittenName(t *testing.T) {
	for what, want := range map[string]string{
		"answered": `spells the account "billing", and not "Billing"`, "answer lost": "connection reset",
	} {
		t.Run(what, func(t *testing.T) {
			w := newWorld()
			w.a.folds, w.a.rewrites = true, true
			w.a.refuse = func(op string) error {
				if op != "create" || what == "answered" {
					return nil
				}
				w.a.accounts["a-9"] = nhi.Account{Ref: nhi.Ref{Name: "billing", ID: "a-9"}, Mark: ours, Status: nhi.Active}
				return driver.Errorf(driver.Unavailable, "connection reset")
			}
			id := identity(map[string]lifecycle.Account{"a": {Name: "Billing"}, "c": {Name: "billing"}})
			left, problems := lifecycle.CreateIdentity(t.Context(), w.fleet(), id)
			if len(problems) != 1 || !strings.Contains(problems.Error(), want) || len(left) > 0 || len(w.own()) > 0 {
				t.Errorf("left %v, problems %v, accounts %v", left, problems, w.own())
			}
		})
	}
}

// What was renamed on its platform is suspended all the same, and nothing else is done to it. The record keeps its name: by
// the other one the next plan would delete the account.
func TestUpdateOfARenamedAccount(t *testing.T) {
	for what, suspended := range map[string]bool{"changed": false, "suspended": true} {
		t.Run(what, func(t *testing.T) {
			w := newWorld()
			id := settledIdentity()
			records := create(t, w, id)
			w.a.edit("billing", func(a *nhi.Account) { a.Name = "renamed" })
			id.Suspended = suspended
			id.Accounts["a"] = lifecycle.Account{Name: "billing", Settings: map[string]string{"note": "new"}}
			want := records["a"]
			if suspended {
				want.Status = nhi.Suspended
			}
			now, problems := lifecycle.UpdateIdentity(t.Context(), w.fleet(), id, records)
			if len(problems) != 1 || !strings.Contains(problems.Error(), `was renamed to "renamed"`) {
				t.Errorf("problems %v", problems)
			}
			if diff := cmp.Diff(want, now["a"]); diff != "" {
				t.Errorf("record (-want +got):\n%s", diff)
			}
			account := w.own()["a"][0]
			if account.Name != "renamed" || account.Status != want.Status || (account.Settings["note"] == "new") != suspended {
				t.Errorf("account %v", account)
			}
		})
	}
}
