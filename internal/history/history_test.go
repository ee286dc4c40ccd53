package history

import (
	"flag"
	"runtime/debug"
	"testing"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/providerserver"
	"pgregory.net/rapid"

	"github.com/nhi-labs/terraform-provider-nhi/internal/acctest/core"
	"github.com/nhi-labs/terraform-provider-nhi/internal/provider"
)

// TestHistories looks for a history that breaks a promise. Rapid prints the seed of one that does, and shortens it.
func TestHistories(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(400)) // much garbage, little memory
	t.Setenv("TMPDIR", t.TempDir())                   // the provider notes there what a plan removes
	repeat(t)
	c, dir := newCore(t), newDir(t)
	rapid.Check(t, func(r *rapid.T) {
		h, err := newHistory(c, dir)
		if err != nil {
			r.Fatal(err)
		}
		defer h.world.close()
		h.wish = drawWish(r, h.clock)
		for range rapid.IntRange(1, 9).Draw(r, "steps") {
			h.step(r)
		}
		h.rest(r, drawOrder(r))
		h.end(r, drawOrder(r))
	})
}

// repeat lets a run that nobody gave a seed or a number of histories live the same ones as the run before: what make test
// says of a change must be up to the change. Histories that nobody lived yet are for make histories.
func repeat(t *testing.T) {
	t.Helper()
	seed, checks := flag.Lookup("rapid.seed"), flag.Lookup("rapid.checks")
	if seed.Value.String() != seed.DefValue || checks.Value.String() != checks.DefValue {
		return
	}
	for name, value := range map[string]string{"rapid.seed": "1", "rapid.checks": "50"} {
		if err := flag.Set(name, value); err != nil {
			t.Fatal(err)
		}
	}
	t.Log("seed 1")
}

func newCore(t *testing.T) *core.Core {
	t.Helper()
	c, err := core.New(t.Context(), providerserver.NewProtocol6(provider.New("test", time.Now)())())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// drawOrder returns an order of what may happen in any: forwards, backwards or turned by some places.
func drawOrder(t *rapid.T) core.Order {
	turn := rapid.IntRange(0, 4).Draw(t, "order")
	return func(keys []string) []string {
		if len(keys) == 0 {
			return keys
		}
		n := turn % len(keys)
		return append(append([]string{}, keys[n:]...), keys[:n]...)
	}
}

// step is one thing that happens.
func (h *history) step(t *rapid.T) {
	switch rapid.SampledFrom([]string{
		"apply", "apply", "apply", "apply", "configure", "configure", "by hand", "by hand", "by hand", "wait", "other identity", "destroy",
		"forget", "import", "unplug", "retire", "go astray", "rest",
	}).Draw(t, "step") {
	case "apply":
		h.run(t, h.drawRun(t))
	case "configure":
		h.wish.identities["a"] = drawIdentity(t, "a", h.clock)
	case "other identity":
		h.wish.identities["b"] = nil
		if !someOf(t, 4, "none") {
			h.wish.identities["b"] = drawIdentity(t, "b", h.clock)
		}
	case "by hand":
		h.byHand(t)
	case "wait":
		h.clock = h.clock.Add(time.Duration(rapid.SampledFrom([]int{1, 13, 25, 49}).Draw(t, "hours")) * time.Hour)
	case "destroy":
		o := h.drawRun(t)
		o.destroy = true
		h.run(t, o)
	case "forget":
		h.lose(t)
	case "import":
		h.forgetIdentity("a")
		h.adopt(t, "a")
	case "unplug":
		platform := rapid.SampledFrom(platformNames()).Draw(t, "platform")
		h.wish.unplugged[platform] = !h.wish.unplugged[platform]
	case "go astray":
		h.goAstray(t)
	case "retire":
		if someOf(t, 3, "for good") {
			h.wish.retired[rapid.SampledFrom([]string{"q", "r"}).Draw(t, "platform")] = true
		}
	case "rest":
		h.rest(t, drawOrder(t))
	}
}

// goAstray lets the name of a platform reach another system, or the right one again.
func (h *history) goAstray(t *rapid.T) {
	platform := rapid.SampledFrom(platformNames()).Draw(t, "platform")
	if h.wish.astray != "" {
		platform = ""
	}
	h.wish.astray = platform
}

func (h *history) drawRun(t *rapid.T) options {
	o := options{order: drawOrder(t), applyLuck: drawFault(t, "luck of the apply"), stale: someOf(t, 10, "without a refresh")}
	if o.applyLuck.how == "" {
		o.planLuck = drawFault(t, "luck of the plan")
	}
	if someOf(t, 6, "something happens between plan and apply") {
		o.between = func() { h.byHand(t) }
	}
	return o
}

// lose takes something out of state, as terraform state rm does. An account without a mark would be a stranger's then.
func (h *history) lose(t *rapid.T) {
	addresses := h.state.Addresses()
	if len(addresses) == 0 {
		return
	}
	address := rapid.SampledFrom(addresses).Draw(t, "address")
	if h.state[address].Type == "nhi_identity" {
		h.forgetIdentity(address[len("nhi_identity."):])
		return
	}
	h.forget(address)
}

func (h *history) forgetIdentity(name string) {
	now := h.world.snapshot()
	for platform := range stateOf(h.state, identityAt(name)).object("accounts") {
		id := stateOf(h.state, identityAt(name)).object("accounts").object(platform).text("id")
		if a, there := now.accounts[platform][id]; there && a.Mark.IsZero() {
			return
		}
	}
	h.forget(identityAt(name))
}
