package history

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/nhi-labs/terraform-provider-nhi/internal/acctest/core"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
	"github.com/nhi-labs/terraform-provider-nhi/internal/rotation"
)

// secretPrefix is what every secret of a sandbox begins with.
const secretPrefix = "sbx_"

// object is a value as package encoding/json reads it.
type object map[string]any

func (o object) object(name string) object {
	m, _ := o[name].(map[string]any)
	return m
}

func (o object) text(name string) string {
	s, _ := o[name].(string)
	return s
}

func (o object) objects(name string) []object {
	list, _ := o[name].([]any)
	var out []object
	for _, one := range list {
		if m, ok := one.(map[string]any); ok {
			out = append(out, m)
		}
	}
	return out
}

func (o object) texts(name string) []string {
	list, _ := o[name].([]any)
	var out []string
	for _, one := range list {
		if s, ok := one.(string); ok {
			out = append(out, s)
		}
	}
	return out
}

// stateOf reads an object in state, nil if there is none.
func stateOf(s core.State, address string) object {
	o := s[address]
	if o == nil {
		return nil
	}
	var out object
	if err := json.Unmarshal(o.JSON, &out); err != nil {
		panic(err)
	}
	return out
}

// changed is one change of a plan, in a readable form.
type changed struct {
	core.Change
	prior, planned object
}

func changesOf(plan *core.Plan) []changed {
	var out []changed
	for _, c := range plan.Changes {
		prior, _ := core.Plain(c.Prior).(map[string]any)
		planned, _ := core.Plain(c.Planned).(map[string]any)
		out = append(out, changed{c, prior, planned})
	}
	return out
}

// goes reports whether the object that was there is destroyed.
func (c changed) goes() bool { return c.Action == core.Delete || c.Action == core.Replace }

// account is the name of the account on a platform of a grant or a rotation.
func accountIn(o object, platform string) string {
	ref := o.object("identity")
	if name := ref.object("account_names").text(platform); name != "" {
		return name
	}
	return ref.text("name")
}

// recorded reports whether state knows an account by its id.
func (h *history) recorded(platform, id string) bool {
	for _, name := range identityNames() {
		if stateOf(h.state, identityAt(name)).object("accounts").object(platform).text("id") == id {
			return !h.state[identityAt(name)].Tainted
		}
	}
	return false
}

// checkSecrets looks for secrets where none may be.
func (h *history) checkSecrets(t rapid.TB, where any) {
	var all []string
	switch where := where.(type) {
	case core.State:
		for _, o := range where {
			all = append(all, string(o.JSON), string(o.Private))
		}
	case *core.Plan:
		for _, c := range where.Changes {
			all = append(all, fmt.Sprint(core.Plain(c.Prior), core.Plain(c.Planned)))
		}
		h.checkSecrets(t, where.Refreshed)
	}
	for _, e := range h.events.all {
		all = append(all, fmt.Sprint(e))
	}
	for _, text := range all {
		if strings.Contains(text, secretPrefix) {
			t.Fatalf("there is a secret in %s", text)
		}
	}
}

// checkSeen holds that nothing that is there was taken for gone (promise 5).
func (h *history) checkSeen(t rapid.TB, now snapshot, plan *core.Plan) {
	for address := range h.state {
		before, after := stateOf(h.state, address), stateOf(plan.Refreshed, address)
		if after == nil {
			t.Fatalf("%s was dropped from state", address)
		}
		switch h.state[address].Type {
		case "nhi_identity":
			for platform := range before.object("accounts") {
				id := before.object("accounts").object(platform).text("id")
				_, there := now.accounts[platform][id]
				if there && !h.wish.retired[platform] && after.object("accounts").object(platform).text("id") != id {
					t.Fatalf("%s: the account on %s is there, and the refresh says it is gone", address, platform)
				}
			}
		case "nhi_grant":
			h.checkHeld(t, address, now, before, after)
		case "nhi_rotation":
			platform := before.text("platform")
			a, _ := now.named(platform, accountIn(before, platform))
			for _, c := range before.objects("credentials") {
				listed := func(o object) bool { return o.text("id") == c.text("id") }
				there := slices.ContainsFunc(a.Credentials, func(now nhi.Credential) bool { return now.ID == c.text("id") })
				if there && !h.wish.retired[platform] && !slices.ContainsFunc(after.objects("credentials"), listed) {
					t.Fatalf("%s: the credential %s is there, and the refresh says it is gone", address, c.text("label"))
				}
			}
		}
	}
}

func (h *history) checkHeld(t rapid.TB, address string, now snapshot, before, after object) {
	for platform := range before.object("entitlements") {
		if h.wish.retired[platform] {
			continue
		}
		a, _ := now.named(platform, accountIn(before, platform))
		if a.ID == "" || a.Mark.IsZero() && !h.recorded(platform, a.ID) {
			continue // or a stranger has taken the name of the account that is gone
		}
		held := nhi.Texts(a.Entitlements)
		for _, e := range before.object("entitlements").texts(platform) {
			if slices.Contains(held, e) && !slices.Contains(after.object("entitlements").texts(platform), e) {
				t.Fatalf("%s: %s on %s is held, and the refresh says it is gone", address, e, platform)
			}
		}
	}
}

// checkShown holds that an apply has done nothing that its plan had not shown (promises 1 and 2).
func (h *history) checkShown(t rapid.TB, before, after snapshot, plan *core.Plan) {
	all := changesOf(plan)
	for _, platform := range platformNames() {
		if h.wish.retired[platform] || !h.wish.configured(platform) {
			if diff := cmp.Diff(before.accounts[platform], after.accounts[platform]); diff != "" {
				t.Fatalf("on %s, which is not configured (-before +after):\n%s", platform, diff)
			}
			continue
		}
		for id, old := range before.accounts[platform] {
			now, there := after.accounts[platform][id]
			if !there {
				h.checkDeletion(t, all, platform, old)
				continue
			}
			checkEntitlements(t, all, platform, old, now)
			checkCredentials(t, all, platform, old, now)
			checkAccount(t, all, platform, old, now)
		}
		for id, now := range after.accounts[platform] {
			if _, old := before.accounts[platform][id]; !old {
				checkCreation(t, all, platform, now)
			}
		}
	}
	h.checkStrangers(t, after)
	h.checkCallers(t, before, after, all)
	h.noteKept(all)
}

// checkCallers holds that no caller of a rotated account was broken (promise 7): what a store holds is valid, and so is what
// it held before, if there is an overlap. Callers of an account or a rotation that goes are on their own.
func (h *history) checkCallers(t rapid.TB, before, after snapshot, all []changed) {
	for _, name := range identityNames() {
		o := stateOf(h.state, rotationAt(name))
		if o == nil || slices.ContainsFunc(all, func(c changed) bool { return c.Address == rotationAt(name) && c.goes() }) {
			continue
		}
		platform := o.text("platform")
		account, there := after.named(platform, accountIn(o, platform))
		old, was := before.accounts[platform][account.ID]
		deleted := slices.ContainsFunc(all, func(c changed) bool { return c.deletes(platform, account) })
		if !there || !was || deleted {
			continue
		}
		valid := func(a nhi.Account, label string) bool {
			return slices.ContainsFunc(a.Credentials, func(c nhi.Credential) bool { return c.Label == label })
		}
		for store := range after.secrets {
			if !delivered(all, rotationAt(name), store) {
				continue // nothing is read any more where nothing is delivered
			}
			earlier, now := labelIn(before, store, name), labelIn(after, store, name)
			if earlier == "" || now == "" || !valid(old, earlier) {
				continue
			}
			if !valid(account, now) {
				t.Fatalf("the secret of %s on %s is %s, which is not valid any more; it was %s", name, store, now, earlier)
			}
			if overlap := o.text("overlap"); overlap != "0h" && earlier != now && !valid(account, earlier) {
				t.Fatalf("the secret of %s on %s was %s, which is not valid any more within an overlap of %s", name, store, earlier, overlap)
			}
		}
	}
}

// delivered reports whether a rotation goes on to deliver to a store.
func delivered(all []changed, address, store string) bool {
	return slices.ContainsFunc(all, func(c changed) bool {
		return c.Address == address && slices.ContainsFunc(c.planned.objects("deliver"), func(b object) bool { return b.text("platform") == store })
	})
}

// labelIn is the label of the credential that a store holds, "" if it holds none.
func labelIn(s snapshot, store, identity string) string {
	var note object
	if err := json.Unmarshal([]byte(s.secrets[store][secretPath(identity)].Fields["nhi"].Reveal()), &note); err != nil {
		return ""
	}
	return note.text("label")
}

// checkStrangers holds that nobody else's account was touched.
func (h *history) checkStrangers(t rapid.TB, now snapshot) {
	for platform, accounts := range h.world.strangers.accounts {
		for id, a := range accounts {
			if diff := cmp.Diff(a, now.accounts[platform][id]); diff != "" {
				t.Fatalf("%s on %s is not ours and was changed (-before +after):\n%s", a.Name, platform, diff)
			}
		}
	}
}

// deletes reports whether a change shows that it deletes the account.
func (c changed) deletes(platform string, a nhi.Account) bool {
	if c.Type != "nhi_identity" || c.prior.object("accounts").object(platform).text("id") != a.ID {
		return false
	}
	if c.goes() {
		return true
	}
	planned := c.planned.object("accounts").object(platform)
	return planned == nil || planned.text("name") != a.Name
}

func (h *history) checkDeletion(t rapid.TB, all []changed, platform string, a nhi.Account) {
	i := slices.IndexFunc(all, func(c changed) bool { return c.deletes(platform, a) })
	if i < 0 {
		t.Fatalf("account %q on %s was deleted, and the plan did not show it", a.Name, platform)
	}
	if a.Mark != markOf(strings.TrimPrefix(all[i].Address, "nhi_identity.")) && !a.Mark.IsZero() {
		t.Fatalf("account %q on %s, marked %q, was deleted for %s", a.Name, platform, a.Mark, all[i].Address)
	}
	if all[i].Action == core.Delete && all[i].prior.text("on_destroy") == "suspend" {
		t.Fatalf("account %q on %s was deleted, and on_destroy says suspend", a.Name, platform)
	}
}

// about reports whether a grant or rotation is about an account, before or after.
func (c changed) about(platform string, a nhi.Account) bool {
	return c.Action != core.NoOp && (accountIn(c.prior, platform) == a.Name || accountIn(c.planned, platform) == a.Name)
}

// checkEntitlements: a grant whose time may be over when the plan is applied has no status in it yet.
func checkEntitlements(t rapid.TB, all []changed, platform string, old, now nhi.Account) {
	for _, e := range nhi.Texts(nhi.Without(old.Entitlements, now.Entitlements)) {
		shown := slices.ContainsFunc(all, func(c changed) bool {
			if c.deletes(platform, old) {
				return true // and deleting it has begun
			}
			if c.Type != "nhi_grant" || !c.about(platform, old) || !slices.Contains(c.prior.object("entitlements").texts(platform), e) {
				return false
			}
			return c.goes() || c.planned.text("status") != "active" || !slices.Contains(c.planned.object("entitlements").texts(platform), e)
		})
		if !shown {
			t.Fatalf("%s was revoked from %q on %s, and the plan did not show it", e, old.Name, platform)
		}
	}
	for _, e := range nhi.Texts(nhi.Without(now.Entitlements, old.Entitlements)) {
		shown := slices.ContainsFunc(all, func(c changed) bool {
			return c.Type == "nhi_grant" && c.about(platform, now) && c.planned.text("status") != "expired" &&
				slices.Contains(c.planned.object("entitlements").texts(platform), e)
		})
		if !shown {
			t.Fatalf("%s was granted to %q on %s, and the plan did not show it", e, now.Name, platform)
		}
	}
}

func checkCredentials(t rapid.TB, all []changed, platform string, old, now nhi.Account) {
	for _, was := range old.Credentials {
		if slices.ContainsFunc(now.Credentials, func(c nhi.Credential) bool { return c.ID == was.ID }) {
			continue
		}
		shown := slices.ContainsFunc(all, func(c changed) bool {
			switch {
			case c.deletes(platform, old):
				return true
			case c.Type != "nhi_rotation" || !c.about(platform, old):
				return false
			case slices.Contains(c.prior.texts("unmanaged"), was.ID):
				return true
			}
			_, ours := rotation.NewLabels(stack, c.identity()).Number(was.Label)
			return ours
		})
		if !shown {
			t.Fatalf("the credential %s of %q on %s was revoked, and the plan did not show it", was.Label, old.Name, platform)
		}
	}
}

// identity is the name of the identity that a grant or rotation is about.
func (c changed) identity() string {
	if name := c.planned.object("identity").text("name"); name != "" {
		return name
	}
	return c.prior.object("identity").text("name")
}

// checkAccount is about what is neither entitlements nor credentials.
func checkAccount(t rapid.TB, all []changed, platform string, old, now nhi.Account) {
	for _, a := range []*nhi.Account{&old, &now} {
		a.Entitlements, a.Credentials = nil, nil
	}
	if cmp.Equal(old, now) {
		return
	}
	shown := slices.ContainsFunc(all, func(c changed) bool {
		if c.Type != "nhi_identity" || c.Action == core.NoOp {
			return false
		}
		mark := markOf(strings.TrimPrefix(c.Address, "nhi_identity."))
		return c.deletes(platform, old) || (old.Mark == mark || old.Mark.IsZero()) && now.Mark == mark &&
			c.planned.object("accounts").object(platform).text("name") == now.Name
	})
	if !shown {
		t.Fatalf("account %q on %s was changed, and the plan did not show it (-before +after):\n%s", old.Name, platform, cmp.Diff(old, now))
	}
}

func checkCreation(t rapid.TB, all []changed, platform string, now nhi.Account) {
	shown := slices.ContainsFunc(all, func(c changed) bool {
		return c.Type == "nhi_identity" && c.Action != core.NoOp && now.Mark == markOf(strings.TrimPrefix(c.Address, "nhi_identity.")) &&
			c.planned.object("accounts").object(platform).text("name") == now.Name
	})
	if !shown {
		t.Fatalf("account %q on %s was made, and the plan did not show it", now.Name, platform)
	}
}

// noteKept notes which accounts go out of state and stay.
func (h *history) noteKept(all []changed) {
	for _, c := range all {
		if c.Type == "nhi_identity" && c.Action == core.Delete && c.prior.text("on_destroy") == "suspend" && h.state[c.Address] == nil {
			for platform := range c.prior.object("accounts") {
				h.kept[c.prior.object("accounts").object(platform).text("id")] = true
			}
		}
	}
}

// noteOrphans drops what state knows from orphans and kept; after a loss it adds what state does not know.
func (h *history) noteOrphans(loss bool) {
	known := map[string]bool{}
	for address := range h.state {
		o := stateOf(h.state, address)
		for platform := range o.object("accounts") {
			known[o.object("accounts").object(platform).text("id")] = true
		}
		for _, c := range o.objects("credentials") {
			known[c.text("id")] = true
		}
		for _, place := range o.objects("delivered") {
			known[place.text("platform")+" "+place.text("path")] = true
		}
	}
	for id := range known {
		delete(h.orphans, id)
		delete(h.kept, id)
	}
	if !loss {
		return
	}
	now := h.world.snapshot()
	note := func(id string) {
		if !known[id] {
			h.orphans[id] = true
		}
	}
	for _, platform := range platformNames() {
		for id, a := range now.accounts[platform] {
			if a.Mark.Stack == stack {
				note(id)
			}
			for _, c := range a.Credentials {
				note(c.ID)
			}
		}
		for path := range now.secrets[platform] {
			note(platform + " " + path)
		}
	}
}

// checkEvidence holds that every change of a process that was not killed has an event of what came of it; and, if evidence
// is required, every change an event that announced it (promise 10).
func (h *history) checkEvidence(t rapid.TB) {
	reported, announced := h.events.count("succeeded", "failed", "unknown"), h.events.count("intended", "succeeded", "failed", "unknown")
	made, all := map[occurrence]int{}, map[occurrence]int{}
	for _, c := range h.changes {
		made[occurrenceOf(c)]++
		all[occurrenceOf(c)]++
	}
	for _, c := range h.fatal {
		all[occurrenceOf(c)]++
	}
	for key, n := range made {
		if reported[key] < n {
			t.Fatalf("%+v was done %d times and is reported %d times", key, n, reported[key])
		}
	}
	if !h.wish.evidenced {
		return
	}
	for key, n := range all {
		if announced[key] < n {
			t.Fatalf("%+v was done %d times and was announced %d times", key, n, announced[key])
		}
	}
}

// sortedKeys is for messages.
func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
