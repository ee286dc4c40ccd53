package history

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/nhi-labs/terraform-provider-nhi/internal/acctest/core"
	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
	"github.com/nhi-labs/terraform-provider-nhi/internal/rotation"
	"github.com/nhi-labs/terraform-provider-nhi/internal/secret"
)

// passed reports whether a date was written that is past by now: on what is to be made that is an error.
func (h *history) passed(address string, expires time.Time) bool {
	if expires.IsZero() || h.clock.Before(expires) {
		return false
	}
	o := h.state[address]
	return o == nil || o.Tainted || stateOf(h.state, address).text("expires_at") != expires.Format(time.RFC3339)
}

// obstacles are the reasons for which a plan may refuse what is declared, whatever luck it has. Each is one that the
// documentation tells, and that somebody has to decide about.
func (h *history) obstacles(o options) []string {
	var out []string
	for address := range h.state {
		for _, platform := range h.mentions(address) {
			if h.wish.astray == platform {
				out = append(out, fmt.Sprintf("%s is on %s, which is another system", address, platform))
			}
			if h.wish.unplugged[platform] {
				out = append(out, fmt.Sprintf("%s is on %s, which is not configured", address, platform))
			}
		}
	}
	now := h.world.snapshot()
	for _, name := range identityNames() {
		id := h.wish.effective(name)
		if id == nil || o.destroy {
			continue
		}
		if h.passed(identityAt(name), id.expires) || id.main != nil && h.passed(mainAt(name), id.main.expires) ||
			id.extra != nil && h.passed(extraAt(name), id.extra.expires) {
			out = append(out, "a date in the past on "+name)
		}
		for platform, a := range id.accounts {
			there, found := now.named(platform, a.accountName(name))
			if found && !h.ours(name, platform, there) && !(a.adopt && there.Mark.IsZero()) {
				out = append(out, fmt.Sprintf("account %q on %s is not ours", there.Name, platform))
			}
			if o.stale && found && there.Mark.IsZero() && h.newOn(name, id, platform) {
				out = append(out, fmt.Sprintf("account %q on %s has lost its mark, which only a refresh finds", there.Name, platform))
			}
		}
		if r := id.rotation; r != nil {
			for _, platform := range r.stores {
				if stored, there := now.secrets[platform][secretPath(name)]; there && h.strange(name, r, platform, stored) {
					out = append(out, fmt.Sprintf("the secret of %s on %s is that of another rotation", name, platform))
				}
			}
			there, _ := now.named(r.platform, id.accounts[r.platform].accountName(name))
			if len(there.Credentials) > 1 {
				out = append(out, "no slot for a credential of "+name)
			}
		}
	}
	return out
}

// newOn reports whether a grant or a rotation is to be made on a platform: where nothing of the identity changes, an account
// without a mark gets none.
func (h *history) newOn(name string, id *identity, platform string) bool {
	fresh := func(address string) bool {
		o := h.state[address]
		return o == nil || o.Tainted || !slices.Contains(h.mentions(address), platform)
	}
	return id.main != nil && fresh(mainAt(name)) || id.extra != nil && fresh(extraAt(name)) ||
		id.rotation != nil && id.rotation.platform == platform && fresh(rotationAt(name))
}

// ours reports whether an account carries the mark of the identity, or is the one that state records.
func (h *history) ours(name, platform string, a nhi.Account) bool {
	address := identityAt(name)
	known := h.state[address] != nil && !h.state[address].Tainted &&
		stateOf(h.state, address).object("accounts").object(platform).text("id") == a.ID
	return a.Mark == markOf(name) || a.Mark.IsZero() && known
}

// strange reports whether a stored secret is of a rotation that state does not know any more.
func (h *history) strange(name string, r *rotationWish, platform string, stored driver.StoredSecret) bool {
	for _, place := range stateOf(h.state, rotationAt(name)).objects("delivered") {
		if place.text("platform") == platform && !h.state[rotationAt(name)].Tainted {
			return false
		}
	}
	return !strings.Contains(stored.Fields["nhi"].Reveal(), fmt.Sprintf("%q", r.platform))
}

// mentions lists the platforms that a resource in state is on.
func (h *history) mentions(address string) []string {
	o := stateOf(h.state, address)
	out := append(sortedKeys(o.object("accounts")), sortedKeys(o.object("entitlements"))...)
	out = append(out, sortedKeys(o.object("targets"))...)
	for _, place := range o.objects("delivered") {
		out = append(out, place.text("platform"))
	}
	if platform := o.text("platform"); platform != "" { // that of a rotation
		out = append(out, platform)
	}
	return out
}

// decide does what a person has to decide.
func (h *history) decide() {
	h.wish.unplugged, h.wish.astray = map[string]bool{}, ""
	now := h.world.snapshot()
	for _, name := range identityNames() {
		id := h.wish.identities[name]
		if id == nil {
			continue
		}
		if h.passed(identityAt(name), id.expires) {
			id.expires = time.Time{}
		}
		if id.main != nil && h.passed(mainAt(name), id.main.expires) {
			id.main.expires = time.Time{}
		}
		if id.extra != nil && h.passed(extraAt(name), id.extra.expires) {
			id.extra.expires = time.Time{}
		}
		for platform, stored := range h.secretsOf(now, name) {
			if id.rotation != nil && h.strange(name, id.rotation, platform, stored) {
				h.do(h.world.platforms[platform].RemoveSecret(context.Background(), secretPath(name)))
			}
		}
		for platform, a := range id.accounts {
			there, found := now.named(platform, a.accountName(name))
			if !found {
				continue
			}
			if !h.ours(name, platform, there) && !(a.adopt && there.Mark.IsZero()) {
				h.do(h.world.platforms[platform].DeleteAccount(context.Background(), there.Ref))
			}
			for _, c := range there.Credentials {
				if _, rotated := rotation.NewLabels(stack, name).Number(c.Label); !rotated && len(there.Credentials) > 1 {
					h.do(h.world.platforms[platform].RevokeCredential(context.Background(), there.Ref, c.ID))
				}
			}
		}
	}
}

// secretsOf returns what is stored for an identity, by platform.
func (h *history) secretsOf(now snapshot, name string) map[string]driver.StoredSecret {
	out := map[string]driver.StoredSecret{}
	for platform, secrets := range now.secrets {
		if stored, there := secrets[secretPath(name)]; there {
			out[platform] = stored
		}
	}
	return out
}

// tries is how many runs without bad luck it takes at most until nothing is left to do.
const tries = 4

// rest lets luck be good until nothing is left to do, and looks at everything.
func (h *history) rest(t rapid.TB, order core.Order) {
	h.decide()
	for try := 0; ; try++ {
		plan := h.plan(t, h.config(), options{order: order})
		if plan == nil && try < tries {
			h.clock = h.clock.Add(13 * time.Hour) // full slots become free when the overlap is over
			h.decide()
			continue
		}
		if plan == nil {
			t.Fatalf("nothing can be planned at rest: %v", h.obstacles(options{}))
		}
		if plan.Empty() {
			break
		}
		if try >= tries {
			t.Fatalf("after %d runs there is still something to do: %s", try, describe(plan))
		}
		h.apply(t, h.config(), plan, options{order: order})
	}
	h.checkWorld(t)
	h.checkEvidence(t)
}

// describe says what a plan changes.
func describe(plan *core.Plan) string {
	text := ""
	for _, c := range changesOf(plan) {
		if c.Action != core.NoOp {
			text += fmt.Sprintf("%s %s: %s\n", c.Action, c.Address, cmp.Diff(c.prior, c.planned))
		}
	}
	return text
}

// checkWorld compares the platforms with what is declared.
func (h *history) checkWorld(t rapid.TB) {
	now := h.world.snapshot()
	declared := map[string]map[string]bool{} // by platform, ids
	for _, platform := range platformNames() {
		declared[platform] = map[string]bool{}
	}
	for _, name := range identityNames() {
		id := h.wish.effective(name)
		if id == nil {
			continue
		}
		for platform := range id.accounts {
			a := h.checkDeclared(t, now, name, id, platform)
			declared[platform][a.ID] = true
		}
		h.checkRotation(t, now, name, id)
	}
	for _, platform := range platformNames() {
		if h.wish.retired[platform] {
			continue
		}
		for id, a := range now.accounts[platform] {
			if a.Mark.Stack == stack && !declared[platform][id] && !h.kept[id] && !h.orphans[id] {
				t.Fatalf("account %q on %s carries our mark, and nothing declares it", a.Name, platform)
			}
		}
	}
}

// checkDeclared compares one account with what is declared.
func (h *history) checkDeclared(t rapid.TB, now snapshot, name string, id *identity, platform string) nhi.Account {
	declared := id.accounts[platform]
	a, found := now.named(platform, declared.accountName(name))
	if !found {
		t.Fatalf("%s has no account on %s", name, platform)
	}
	passed := !id.expires.IsZero() && !h.clock.Before(id.expires)
	want := nhi.Account{
		Ref: a.Ref, Mark: markOf(name), Status: nhi.Active, ExpiresAt: id.expires, Settings: a.Settings,
		Entitlements: id.held(platform, a, h.clock), Credentials: a.Credentials,
	}
	if id.disabled || passed {
		want.Status = nhi.Suspended
	}
	if declared.description != "" && a.Settings["description"] != declared.description {
		t.Fatalf("%s on %s has the description %q", name, platform, a.Settings["description"])
	}
	if diff := cmp.Diff(want, a); diff != "" {
		t.Fatalf("%s on %s at rest (-want +got):\n%s", name, platform, diff)
	}
	return a
}

// held is what an account has to hold, given what it holds: where no exclusive grant is, nobody minds more.
func (id *identity) held(platform string, a nhi.Account, now time.Time) []nhi.Entitlement {
	var want []nhi.Entitlement
	for _, g := range []*grant{id.main, id.extra} {
		if g != nil && (g.expires.IsZero() || now.Before(g.expires)) {
			want = nhi.Union(want, entitlements(g.entitlements[platform]...))
		}
	}
	free := a.Entitlements
	if id.main != nil && id.main.exclusive {
		if _, covered := id.main.entitlements[platform]; covered {
			free = nhi.Intersect(a.Entitlements, entitlements(id.tolerated()[platform]...))
		}
	}
	if all := nhi.Union(want, free); len(all) > 0 {
		return all
	}
	return nil
}

// checkRotation compares credentials and stores with what is declared, and logs in.
func (h *history) checkRotation(t rapid.TB, now snapshot, name string, id *identity) {
	for _, platform := range platformNames() {
		stored, there := now.secrets[platform][secretPath(name)]
		wanted := id.rotation != nil && slices.Contains(id.rotation.stores, platform)
		if h.wish.retired[platform] || there && !wanted && h.orphans[platform+" "+secretPath(name)] {
			continue
		}
		if there != wanted {
			if id.rotation != nil && h.asleep(id) {
				continue // a suspended account is not rotated, and its rotation waits
			}
			t.Fatalf("the secret of %s on %s: there %v, declared %v", name, platform, there, wanted)
		}
		if there && !h.asleep(id) {
			h.checkLogin(t, name, id, stored)
		}
	}
	labels := rotation.NewLabels(stack, name)
	for platform := range id.accounts {
		a, _ := now.named(platform, id.accounts[platform].accountName(name))
		var known []string
		if id.rotation != nil && id.rotation.platform == platform {
			for _, c := range stateOf(h.state, rotationAt(name)).objects("credentials") {
				known = append(known, c.text("id"))
			}
		}
		for _, c := range a.Credentials {
			_, ours := labels.Number(c.Label)
			if h.orphans[c.ID] && (id.rotation == nil || id.rotation.platform != platform) {
				continue
			}
			if ours && !slices.Contains(known, c.ID) && !(id.rotation != nil && h.asleep(id)) {
				t.Fatalf("the credential %s of %s on %s is ours, and no rotation knows it", c.Label, name, platform)
			}
			if !ours && id.rotation != nil && id.rotation.platform == platform && !h.asleep(id) {
				t.Fatalf("the credential %s of %s on %s was made by no rotation", c.Label, name, platform)
			}
		}
	}
}

// asleep reports whether an identity is suspended.
func (h *history) asleep(id *identity) bool {
	return id.disabled || !id.expires.IsZero() && !h.clock.Before(id.expires)
}

func (h *history) checkLogin(t rapid.TB, name string, id *identity, stored driver.StoredSecret) {
	platform := id.rotation.platform
	login := id.accounts[platform].accountName(name)
	if stored.Fields["login"].Reveal() != login {
		t.Fatalf("the secret of %s holds the login %q", name, stored.Fields["login"].Reveal())
	}
	if err := h.world.platforms[platform].Verify(context.Background(), login, secret.New(stored.Fields["secret"].Reveal())); err != nil {
		t.Fatalf("what is delivered for %s does not open its account on %s: %v", name, platform, err)
	}
}

// end destroys everything, and nothing of ours is left but what was to stay.
func (h *history) end(t rapid.TB, order core.Order) {
	h.wish.unplugged, h.wish.astray = map[string]bool{}, ""
	for try := 0; len(h.state) > 0; try++ {
		if try == 2 {
			t.Fatalf("after destroying there is still %v", h.state.Addresses())
		}
		if h.run(t, options{destroy: true, order: order}) == nil {
			t.Fatalf("destroying cannot be planned")
		}
	}
	now := h.world.snapshot()
	for _, platform := range platformNames() {
		if h.wish.retired[platform] {
			continue
		}
		for id, a := range now.accounts[platform] {
			if a.Mark.Stack == stack && !h.kept[id] && !h.orphans[id] {
				t.Fatalf("after destroying there is still account %q on %s", a.Name, platform)
			}
			if h.kept[id] && a.Mark.Stack == stack && (a.Status != nhi.Suspended || len(a.Credentials) > 0) {
				t.Fatalf("account %q on %s was to be suspended and is %s with %d credentials", a.Name, platform, a.Status, len(a.Credentials))
			}
		}
		for path := range now.secrets[platform] {
			if h.orphans[platform+" "+path] {
				continue
			}
			t.Fatalf("after destroying there is still the secret %s on %s", path, platform)
		}
	}
	h.checkEvidence(t)
}
