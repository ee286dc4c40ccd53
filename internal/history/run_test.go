package history

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/providerserver"
	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"pgregory.net/rapid"

	"github.com/nhi-labs/terraform-provider-nhi/internal/acctest/core"
	"github.com/nhi-labs/terraform-provider-nhi/internal/audit"
	"github.com/nhi-labs/terraform-provider-nhi/internal/fleet"
	"github.com/nhi-labs/terraform-provider-nhi/internal/provider"
)

// history is one history.
type history struct {
	core   *core.Core
	world  *world
	wish   *wish
	state  core.State
	clock  time.Time
	events *events
	// changes are those that processes have made that were not killed, fatal those of processes that were.
	changes, fatal []audit.Change
	// kept are the ids of accounts that were to be suspended and not deleted.
	kept map[string]bool
	// orphans are what a killed process has made and state does not know, or what was taken out of state: ids of accounts
	// and credentials, and platforms with paths. What is declared finds them; until then they are nobody's.
	orphans map[string]bool
	counter int
	// sabotage, if set, is done before each call to a platform: an error is what the call returns, errUndone makes it a lie.
	sabotage func(c fleet.Call) error
}

// errUndone makes a call succeed without being done.
var errUndone = errors.New("not done")

func newHistory(c *core.Core, dir string) (*history, error) {
	w, err := newWorld(dir)
	if err != nil {
		return nil, err
	}
	return &history{
		core: c, world: w, state: core.State{}, events: newEvents(), kept: map[string]bool{}, orphans: map[string]bool{},
		// Long after today, so that no sandbox, which knows today only, ends anything by itself.
		clock: time.Date(2101, time.January, 1, 0, 0, 0, 0, time.UTC),
	}, nil
}

func (h *history) now() time.Time { return h.clock }

func (h *history) number() int {
	h.counter++
	return h.counter
}

// process starts a provider. end ends it and says what it lost.
func (h *history) process(l *luck, config core.Body) (p *core.Process, report *core.Report, end func() error) {
	server := provider.NewServer("test", h.now, provider.Hooks{
		Intercept: l.call,
		Sink:      func(s audit.NamedSink) audit.NamedSink { s.Sink = luckySink{l}; return s },
	})
	served := providerserver.NewProtocol6(server.Provider())()
	l.interrupt = func() { _, _ = served.StopProvider(context.Background(), &tfprotov6.StopProviderRequest{}) }
	p, report = h.core.Start(context.Background(), served, config)
	p.Killed, p.Interrupted = l.isDead, l.isStopped
	return p, report, func() error {
		err := server.Close()
		if l.isDead() {
			h.fatal = append(h.fatal, l.made...)
			return nil
		}
		h.changes = append(h.changes, l.made...)
		return err
	}
}

// options say how a run goes.
type options struct {
	destroy, stale bool
	planLuck       fault
	applyLuck      fault
	// between is done after the plan and before the apply.
	between func()
	order   core.Order
}

// undisturbed reports whether nothing can go wrong.
func (o options) undisturbed() bool { return o.applyLuck.how == "" && o.between == nil && !o.stale }

// run plans and applies.
func (h *history) run(t rapid.TB, o options) *core.Plan {
	if o.stale || !h.noticesStraying() {
		h.wish.astray = ""
	}
	config := h.config()
	plan := h.plan(t, config, o)
	if plan == nil {
		return nil
	}
	if o.between != nil {
		o.between()
	}
	h.apply(t, config, plan, o)
	return plan
}

// noticesStraying reports whether state knows accounts on the platform that went astray. Otherwise nobody could tell.
func (h *history) noticesStraying() bool {
	for address, o := range h.state {
		if o.Type == "nhi_identity" && stateOf(h.state, address).object("accounts").object(h.wish.astray) != nil {
			return true
		}
	}
	return false
}

// plan returns nil if there is no plan.
func (h *history) plan(t rapid.TB, config core.Config, o options) *core.Plan {
	l := h.luck(o.planLuck)
	obstacles := h.obstacles(o)
	before := h.world.snapshot()
	process, report, end := h.process(l, config.Provider)
	if report.Failed() {
		t.Fatalf("the provider cannot be configured: %v", report)
	}
	plan := process.Plan(context.Background(), config, h.state, core.PlanOptions{Destroy: o.destroy, SkipRefresh: o.stale, Order: o.order})
	h.ended(t, end)
	h.checkReport(t, "plan", &plan.Report)
	h.checkSecrets(t, plan)
	h.checkSeen(t, before, plan)
	if len(l.made) > 0 {
		t.Fatalf("planning has changed something: %v", l.made)
	}
	if plan.Failed() {
		if !l.fired && len(obstacles) == 0 {
			t.Fatalf("the plan fails without a reason: %s", strings.Join(plan.Errors, "\n"))
		}
		return nil
	}
	return plan
}

func (h *history) apply(t rapid.TB, config core.Config, plan *core.Plan, o options) {
	l := h.luck(o.applyLuck)
	before := h.world.snapshot()
	process, report, end := h.process(l, config.Provider)
	if report.Failed() {
		t.Fatalf("the provider cannot be configured: %v", report)
	}
	state, applied := process.Apply(context.Background(), plan, o.order)
	h.ended(t, end)
	h.state = state
	h.checkReport(t, "apply", applied)
	h.checkSecrets(t, state)
	h.checkShown(t, before, h.world.snapshot(), plan)
	h.noteOrphans(applied.Lost)
	if applied.Failed() && !l.fired && o.undisturbed() {
		t.Fatalf("the apply fails without a reason: %s", strings.Join(applied.Errors, "\n"))
	}
}

// ended ends a process.
func (h *history) ended(t rapid.TB, end func() error) {
	if err := end(); err != nil {
		t.Fatalf("at the end of the process: %v", err)
	}
}

func (h *history) checkReport(t rapid.TB, walk string, r *core.Report) {
	if len(r.Violations) > 0 {
		t.Fatalf("%s: %s", walk, strings.Join(r.Violations, "\n"))
	}
	for _, text := range slices.Concat(r.Errors, r.Warnings) {
		if strings.Contains(text, secretPrefix) {
			t.Fatalf("%s: a message holds a secret: %s", walk, text)
		}
		if strings.Contains(text, "panic") && !strings.Contains(text, "(*luck).pass") { // The message names the place alone.
			t.Fatalf("%s: %s", walk, text)
		}
	}
}

// forget takes a resource out of state.
func (h *history) forget(address string) {
	h.state = maps.Clone(h.state)
	delete(h.state, address)
	h.noteOrphans(true)
}

// adopt imports what stands in the configuration and not in state.
func (h *history) adopt(t rapid.TB, name string) {
	h.wish.astray = ""
	config := h.config()
	address := identityAt(name)
	id := h.wish.effective(name)
	if id == nil || h.state[address] != nil || len(id.accounts) == 0 {
		return
	}
	now := h.world.snapshot()
	var accounts []string
	for _, platform := range platformNames() {
		a, declared := id.accounts[platform]
		if !declared {
			continue
		}
		there, found := now.named(platform, a.accountName(name))
		if !found || there.Mark != markOf(name) {
			continue
		}
		accounts = append(accounts, fmt.Sprintf("%s=%s", platform, there.Name))
	}
	if len(accounts) == 0 {
		return
	}
	l := h.luck(fault{})
	process, _, end := h.process(l, config.Provider)
	object, report := process.Import(context.Background(), address, "nhi_identity", name+":"+strings.Join(accounts, ","))
	h.ended(t, end)
	h.checkReport(t, "import", report)
	if report.Failed() || len(l.made) > 0 {
		t.Fatalf("importing fails, or changes something: %v %v", report.Errors, l.made)
	}
	h.forget(address)
	h.state[address] = object
}
