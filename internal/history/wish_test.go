package history

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"pgregory.net/rapid"

	"github.com/nhi-labs/terraform-provider-nhi/internal/acctest/core"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
)

const stack = "history"

func platformNames() []string { return []string{"p", "q", "r"} }
func identityNames() []string { return []string{"a", "b"} }

func markOf(identity string) nhi.Mark { return nhi.Mark{Stack: stack, Identity: identity} }

// wish is what is declared, before what stands on platforms that are not there is left out.
type wish struct {
	// unplugged platforms are not in the configuration for now; retired ones are gone for good.
	unplugged, retired map[string]bool
	// astray is a platform whose name reaches another system for now, "" if none does.
	astray string
	// evidenced is audit { required = true }.
	evidenced  bool
	identities map[string]*identity
}

type identity struct {
	owner    string
	disabled bool
	expires  time.Time
	keep     bool // on_destroy = "suspend"
	accounts map[string]account
	// main and extra are grants, nil if there is none. Extra is never exclusive; main tolerates it.
	main, extra *grant
	rotation    *rotationWish
}

type account struct {
	name        string // "" is the identity's
	adopt       bool
	description string // "" is not declared
}

type grant struct {
	exclusive, tolerant bool
	expires             time.Time
	entitlements        map[string][]string
	justification       string
	// named says whose grant it is by a text, so that Terraform does not know that it depends on the identity.
	named string
}

type rotationWish struct {
	platform       string
	stores         []string
	every, overlap time.Duration
	trigger        string
}

func (w *wish) configured(platform string) bool {
	return !w.unplugged[platform] && !w.retired[platform]
}

// someOf draws true once in n times.
func someOf(t *rapid.T, n int, label string) bool {
	return rapid.IntRange(0, n-1).Draw(t, label) == n-1
}

func drawWish(t *rapid.T, now time.Time) *wish {
	w := &wish{
		unplugged: map[string]bool{}, retired: map[string]bool{}, evidenced: rapid.Bool().Draw(t, "evidence is required"),
		identities: map[string]*identity{},
	}
	w.identities["a"] = drawIdentity(t, "a", now)
	return w
}

func drawSubset(t *rapid.T, of []string, label string) []string {
	bits := rapid.IntRange(0, 1<<len(of)-1).Draw(t, label)
	var out []string
	for i, one := range of {
		if bits&(1<<i) != 0 {
			out = append(out, one)
		}
	}
	return out
}

func drawExpiry(t *rapid.T, now time.Time) time.Time {
	if hours := rapid.SampledFrom([]int{0, 0, 0, 20, 60}).Draw(t, "expires in hours"); hours > 0 {
		return now.Add(time.Duration(hours) * time.Hour)
	}
	return time.Time{}
}

func drawIdentity(t *rapid.T, name string, now time.Time) *identity {
	id := &identity{
		owner: rapid.SampledFrom([]string{"team", "other-team"}).Draw(t, "owner"), disabled: someOf(t, 5, "disabled"), expires: drawExpiry(t, now),
		keep: someOf(t, 8, "suspend on destroy"), accounts: map[string]account{},
	}
	for _, platform := range drawSubset(t, platformNames(), "accounts on") {
		id.accounts[platform] = account{
			name:        rapid.SampledFrom([]string{"", "", name + "-svc"}).Draw(t, "account name"),
			adopt:       someOf(t, 4, "adopt"),
			description: rapid.SampledFrom([]string{"", "declared"}).Draw(t, "description"),
		}
	}
	on := slices.Sorted(maps.Keys(id.accounts))
	if len(on) == 0 {
		return id
	}
	if !someOf(t, 4, "no grant") {
		id.main = drawGrant(t, on, now)
		id.main.exclusive, id.main.tolerant = !someOf(t, 3, "additive"), someOf(t, 3, "tolerates role:z")
	}
	if someOf(t, 3, "a second grant") {
		id.extra = drawGrant(t, on, now)
		id.part()
	}
	if someOf(t, 2, "rotation") {
		id.rotation = drawRotation(t, on)
	}
	return id
}

// part takes what main gives out of extra, unless main tolerates it and extra does not end: a plan would refuse it.
func (id *identity) part() {
	if id.main == nil || id.main.exclusive && id.extra.expires.IsZero() {
		return
	}
	for platform, es := range id.extra.entitlements {
		id.extra.entitlements[platform] = slices.DeleteFunc(es, func(e string) bool { return slices.Contains(id.main.entitlements[platform], e) })
	}
}

func drawGrant(t *rapid.T, on []string, now time.Time) *grant {
	g := &grant{
		expires: drawExpiry(t, now), entitlements: map[string][]string{}, justification: rapid.SampledFrom([]string{"", "CHG-1"}).Draw(t, "why"),
	}
	for _, platform := range on {
		if !someOf(t, 4, "nothing on "+platform) {
			g.entitlements[platform] = drawSubset(t, []string{"group:x", "role:a", "role:b"}, "entitlements")
		}
	}
	return g
}

func drawRotation(t *rapid.T, on []string) *rotationWish {
	r := &rotationWish{
		platform: rapid.SampledFrom(on).Draw(t, "rotated on"),
		trigger:  rapid.SampledFrom([]string{"", "1", "2"}).Draw(t, "trigger"),
	}
	r.stores = drawSubset(t, platformNames(), "delivered to")
	if len(r.stores) == 0 {
		r.stores = []string{"p"}
	}
	r.every = time.Duration(rapid.SampledFrom([]int{0, 48}).Draw(t, "every hours")) * time.Hour
	r.overlap = time.Duration(rapid.SampledFrom([]int{12, 0}).Draw(t, "overlap hours")) * time.Hour
	return r
}

// names of addresses.
func identityAt(name string) string { return "nhi_identity." + name }
func mainAt(name string) string     { return "nhi_grant." + name + "_main" }
func extraAt(name string) string    { return "nhi_grant." + name + "_extra" }
func rotationAt(name string) string { return "nhi_rotation." + name }

// secretPath is where credentials of an identity go.
func secretPath(identity string) string { return "kv/" + identity }

// effective leaves out what stands on platforms that are not configured.
func (w *wish) effective(name string) *identity {
	full := w.identities[name]
	if full == nil {
		return nil
	}
	there := func(platform string) bool { return w.configured(platform) }
	id := *full
	id.accounts = map[string]account{}
	for platform, a := range full.accounts {
		if there(platform) {
			id.accounts[platform] = a
		}
	}
	trim := func(g *grant) *grant {
		if g == nil {
			return nil
		}
		out := *g
		out.entitlements = map[string][]string{}
		for platform, es := range g.entitlements {
			if there(platform) {
				out.entitlements[platform] = es
			}
		}
		if len(out.entitlements) == 0 {
			return nil
		}
		return &out
	}
	id.main, id.extra = trim(full.main), trim(full.extra)
	if r := full.rotation; r != nil {
		out := *r
		out.stores = slices.DeleteFunc(slices.Clone(r.stores), func(store string) bool { return !there(store) })
		id.rotation = &out
		if len(out.stores) == 0 || !there(r.platform) {
			id.rotation = nil
		}
	}
	return &id
}

// config writes the configuration.
func (h *history) config() core.Config {
	out := core.Config{Provider: h.providerConfig(), Resources: map[string]core.Resource{}}
	for _, name := range identityNames() {
		id := h.wish.effective(name)
		if id == nil {
			continue
		}
		out.Resources[identityAt(name)] = core.Resource{Type: "nhi_identity", Body: id.body(name)}
		ref := core.Ref(identityAt(name))
		if id.main != nil {
			out.Resources[mainAt(name)] = core.Resource{Type: "nhi_grant", Body: id.mainBody(ref)}
		}
		if id.extra != nil {
			body := id.extra.body(ref)
			body["exclusive"] = false
			out.Resources[extraAt(name)] = core.Resource{Type: "nhi_grant", Body: body}
		}
		if id.rotation != nil {
			out.Resources[rotationAt(name)] = core.Resource{Type: "nhi_rotation", Body: id.rotation.body(ref, name)}
		}
	}
	return out
}

func (h *history) providerConfig() core.Body {
	body := core.Body{
		"stack": stack,
		"audit": core.Body{"required": h.wish.evidenced, "file": []core.Body{{"path": "/nowhere"}}}, // the sink is replaced
	}
	var platforms []core.Body
	var retired []string
	for _, name := range platformNames() {
		if h.wish.retired[name] {
			retired = append(retired, name)
		}
		if h.wish.configured(name) {
			path := h.world.path(name)
			if h.wish.astray == name {
				path = h.world.path("elsewhere")
			}
			platforms = append(platforms, core.Body{"name": name, "path": path})
		}
	}
	body["sandbox"], body["retired_platforms"] = platforms, retired
	return body
}

func dateText(at time.Time) any {
	if at.IsZero() {
		return nil
	}
	return at.Format(time.RFC3339)
}

func (id *identity) body(name string) core.Body {
	body := core.Body{
		"name": name, "kind": "workload", "owner": id.owner, "enabled": !id.disabled, "expires_at": dateText(id.expires),
	}
	if id.keep {
		body["on_destroy"] = "suspend"
	}
	var accounts []core.Body
	for _, platform := range slices.Sorted(maps.Keys(id.accounts)) {
		a := id.accounts[platform]
		block := core.Body{"platform": platform}
		if a.name != "" {
			block["name"] = a.name
		}
		if a.adopt {
			block["adopt"] = true
		}
		if a.description != "" {
			block["sandbox"] = core.Body{"description": a.description}
		}
		accounts = append(accounts, block)
	}
	body["account"] = accounts
	return body
}

func (g *grant) body(ref core.Ref) core.Body {
	body := core.Body{"identity": ref, "entitlements": g.entitlements, "expires_at": dateText(g.expires)}
	if g.justification != "" {
		body["justification"] = g.justification
	}
	if g.named != "" {
		body["identity"] = core.Body{"name": g.named, "account_names": map[string]string{}}
	}
	return body
}

func (id *identity) mainBody(ref core.Ref) core.Body {
	body := id.main.body(ref)
	body["exclusive"] = id.main.exclusive
	if tolerated := id.tolerated(); len(tolerated) > 0 {
		body["tolerate"] = tolerated
	}
	return body
}

// tolerated is what an exclusive main grant leaves alone.
func (id *identity) tolerated() map[string][]string {
	out := map[string][]string{}
	if id.main == nil || !id.main.exclusive {
		return out
	}
	if id.extra != nil {
		for platform, es := range id.extra.entitlements {
			out[platform] = append(out[platform], es...)
		}
	}
	if id.main.tolerant {
		for platform := range id.main.entitlements {
			out[platform] = append(out[platform], "role:z")
		}
	}
	return out
}

func (r *rotationWish) body(ref core.Ref, identity string) core.Body {
	body := core.Body{"identity": ref, "platform": r.platform, "overlap": fmt.Sprintf("%dh", int(r.overlap.Hours()))}
	if r.every > 0 {
		body["rotate_every"] = fmt.Sprintf("%dh", int(r.every.Hours()))
	}
	if r.trigger != "" {
		body["rotate_when_changed"] = map[string]string{"trigger": r.trigger}
	}
	var deliver []core.Body
	for _, store := range r.stores {
		deliver = append(deliver, core.Body{"platform": store, "path": secretPath(identity)})
	}
	body["deliver"] = deliver
	return body
}

// accountName is the name of an account of an identity.
func (a account) accountName(identity string) string {
	if a.name != "" {
		return a.name
	}
	return identity
}
