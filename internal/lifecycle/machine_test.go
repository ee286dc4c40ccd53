package lifecycle_test

import (
	"context"
	"maps"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/nhi-labs/terraform-provider-nhi/internal/lifecycle"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
)

// machine drives one identity and one exclusive grant over the world, as Terraform would: refresh, plan, apply. state
// is what the last run returned, shown what the last refresh of the grant saw.
type machine struct {
	w       *world
	wish    lifecycle.Identity
	grant   lifecycle.Grant
	exists  bool
	granted bool
	records map[string]lifecycle.Record
	shown   lifecycle.Entitlements
}

func (m *machine) drawWish(t *rapid.T) {
	m.wish = identity(map[string]lifecycle.Account{})
	m.wish.Suspended = rapid.Bool().Draw(t, "suspended")
	m.grant = grant(lifecycle.Entitlements{})
	m.grant.AccountNames = map[string]string{}
	for _, platform := range []string{"a", "b", "c"} {
		name := rapid.SampledFrom([]string{"billing", "renamed"}).Draw(t, "name")
		if !rapid.Bool().Draw(t, "account on "+platform) {
			continue
		}
		m.wish.Accounts[platform] = lifecycle.Account{Name: name, Settings: map[string]string{"note": name}}
		if rapid.Bool().Draw(t, "grant on "+platform) {
			declared := rapid.SliceOfNDistinct(rapid.StringMatching(`[a-d]`), 0, 3, rapid.ID).Draw(t, "roles")
			m.grant.Declared[platform] = nhi.SortEntitlements(roles(declared...))
			m.grant.AccountNames[platform] = name
		}
	}
}

// disturb arms at most one fault.
func (m *machine) disturb(t *rapid.T) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(context.Background())
	m.w.disarm()
	how := rapid.SampledFrom([]mode{"", "", refused, lost, dead, cancelled, panics}).Draw(t, "fault")
	if how != "" {
		m.w.all[rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "platform")].arm(rapid.IntRange(1, 9).Draw(t, "operation"), how, cancel)
	}
	return ctx, cancel
}

// outside changes something by hand.
func (m *machine) outside(t *rapid.T) {
	platform := m.w.all[rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "platform")]
	own := slices.DeleteFunc(platform.all(), func(a nhi.Account) bool { return a.Mark != ours })
	if len(own) == 0 {
		return
	}
	name := own[0].Name
	switch rapid.SampledFrom([]string{"delete", "grant", "revoke", "suspend", "note", "unmark"}).Draw(t, "by hand") {
	case "delete":
		platform.drop(name)
	case "grant":
		platform.edit(name, func(a *nhi.Account) { a.Entitlements = nhi.Union(a.Entitlements, roles("z")) })
	case "revoke":
		platform.edit(name, func(a *nhi.Account) { a.Entitlements = nhi.Without(a.Entitlements, roles("a", "b")) })
	case "suspend":
		platform.edit(name, func(a *nhi.Account) { a.Status = nhi.Suspended })
	case "note":
		platform.edit(name, func(a *nhi.Account) { a.Settings["note"] = "by hand" })
	case "unmark":
		if r, recorded := m.records[platform.name]; recorded && r.ID == own[0].ID {
			platform.edit(name, func(a *nhi.Account) { a.Mark = nhi.Mark{} })
		}
	}
}

// run refreshes and applies, and returns whether all went well.
func (m *machine) run(ctx context.Context) bool {
	f := m.w.fleet()
	if m.exists {
		old := lifecycle.Identity{Name: "billing"} // what the refresh compares with does not matter here
		seen, problems := lifecycle.Observe(ctx, f, old, m.records, true, nil)
		if len(problems) > 0 {
			return false
		}
		m.records = seen.Records
	}
	if m.granted {
		seen, problems := lifecycle.ObserveGrant(ctx, f, m.grant, m.shown, nil)
		if len(problems) > 0 {
			return false
		}
		m.shown = seen.Visible
	}
	f = m.w.fleet()
	var problems lifecycle.Problems
	if m.exists {
		m.records, problems = lifecycle.UpdateIdentity(ctx, f, m.wish, m.records)
	} else {
		m.records, problems = lifecycle.CreateIdentity(ctx, f, m.wish)
	}
	m.exists = m.exists || len(problems) == 0 || len(m.records) > 0
	if len(problems) > 0 {
		return false
	}
	if m.granted {
		m.shown, _, problems = lifecycle.UpdateGrant(ctx, f, m.grant, m.shown, nil)
	} else {
		m.shown, _, problems = lifecycle.CreateGrant(ctx, f, m.grant)
	}
	m.granted = m.granted || len(problems) == 0 || len(m.shown) > 0
	return len(problems) == 0
}

// destroy takes the grant away and then the identity.
func (m *machine) destroy(ctx context.Context) bool {
	var problems lifecycle.Problems
	if m.granted {
		if m.shown, problems = lifecycle.DeleteGrant(ctx, m.w.fleet(), m.grant, m.shown, nil); len(problems) > 0 {
			return false
		}
		m.granted, m.shown = false, nil
	}
	if m.exists {
		if m.records, problems = lifecycle.DeleteIdentity(ctx, m.w.fleet(), m.wish, m.records, false); len(problems) > 0 {
			return false
		}
		m.exists, m.records = false, nil
	}
	return true
}

// settle applies without faults until nothing is left to do: the first run may show what the second one revokes.
func (m *machine) settle(t *rapid.T) {
	m.w.disarm()
	for range 2 {
		if !m.run(context.Background()) {
			t.Fatal("a run without faults fails")
		}
	}
	want, got := map[string][]nhi.Account{}, m.w.own()
	for platform, account := range m.wish.Accounts {
		a := nhi.Account{Ref: nhi.Ref{Name: account.Name}, Mark: ours, Status: nhi.Active, Settings: maps.Clone(account.Settings)}
		if m.wish.Suspended && platform != "c" {
			a.Status = nhi.Suspended
		}
		if declared, ok := m.grant.Declared[platform]; ok {
			a.Entitlements = declared
		} else if there := got[platform]; len(there) == 1 {
			a.Entitlements = there[0].Entitlements // nobody answers for them
		}
		if platform == "c" {
			if there := got["c"]; len(there) == 1 {
				a.Status = there[0].Status // it cannot be resumed
			}
		}
		want[platform] = []nhi.Account{a}
	}
	for _, accounts := range []map[string][]nhi.Account{want, got} {
		for _, list := range accounts {
			for i := range list {
				list[i].Entitlements = append([]nhi.Entitlement{}, list[i].Entitlements...)
			}
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("settled (-want +got):\n%s", diff)
	}
	if !cmp.Equal(names(m.wish.Accounts), names(m.records)) || !cmp.Equal(m.grant.Declared, m.shown) {
		t.Fatalf("records %v, shown %v", m.records, m.shown)
	}
}

// TestMachine changes the configuration, the platforms by hand, and the luck, in any order. Whatever happened, runs
// without faults make it as declared, nobody else's account is touched, and destroying leaves nothing.
func TestMachine(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		m := &machine{w: newWorld()}
		m.drawWish(r)
		r.Repeat(map[string]func(*rapid.T){
			"configure": m.drawWish,
			"by hand":   m.outside,
			"apply": func(r *rapid.T) {
				ctx, cancel := m.disturb(r)
				defer cancel()
				m.run(ctx)
			},
			"destroy": func(r *rapid.T) {
				ctx, cancel := m.disturb(r)
				defer cancel()
				m.destroy(ctx)
			},
			"settle": m.settle,
			"": func(r *rapid.T) {
				for name, platform := range m.w.all {
					rest := slices.DeleteFunc(platform.all(), func(a nhi.Account) bool { return a.Name != "bystander" && a.Name != "foreign" })
					if diff := cmp.Diff(m.w.foreign[name], rest); diff != "" {
						r.Fatalf("foreign accounts on %s (-before +after):\n%s", name, diff)
					}
				}
			},
		})
		m.settle(r)
		if !m.destroy(context.Background()) || len(m.w.own()) > 0 {
			r.Fatalf("after destroying there is %v", m.w.own())
		}
	})
}
