package core

import (
	"context"
	"maps"
	"slices"

	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-go/tftypes"
)

// Action is what a plan does to a resource.
type Action string

// The actions. A replacement deletes first.
const (
	NoOp    Action = "no-op"
	Create  Action = "create"
	Update  Action = "update"
	Replace Action = "replace"
	Delete  Action = "delete"
)

// Change is what a plan says of one resource.
type Change struct {
	Address, Type string
	Action        Action
	// Prior is the object as the refresh left it, Planned as it will be; null where there is none.
	Prior, Planned tftypes.Value

	private  []byte
	identity *tfprotov6.ResourceIdentityData
}

func (c Change) destroys() bool { return c.Action == Delete || c.Action == Replace }
func (c Change) makes() bool    { return c.Action != Delete && c.Action != NoOp }

// Plan is a plan.
type Plan struct {
	Report
	// Refreshed is the state as the platforms were seen. The CLI writes it when the plan is applied.
	Refreshed State
	Changes   []Change
	config    Config
}

// Empty reports whether nothing is to be done.
func (p *Plan) Empty() bool {
	return !p.Failed() && !slices.ContainsFunc(p.Changes, func(c Change) bool { return c.Action != NoOp })
}

// PlanOptions say how to plan.
type PlanOptions struct {
	// Destroy plans to destroy everything.
	Destroy bool
	// SkipRefresh takes state as it is.
	SkipRefresh bool
	Order       Order
}

// planning is one walk.
type planning struct {
	*Process
	plan   *Plan
	o      PlanOptions
	values map[string]tftypes.Value // what references see
	failed map[string]bool
}

// Plan refreshes and plans. It changes nothing.
func (p *Process) Plan(ctx context.Context, config Config, state State, o PlanOptions) *Plan {
	if o.Destroy {
		config.Resources = nil
	}
	w := &planning{
		Process: p, o: o, plan: &Plan{Refreshed: maps.Clone(state), config: config},
		values: make(map[string]tftypes.Value), failed: make(map[string]bool),
	}
	waits := make(map[string][]string)
	keys := slices.Collect(maps.Keys(config.Resources))
	for address := range state {
		if _, declared := config.Resources[address]; !declared {
			keys = append(keys, address)
		}
	}
	for address, r := range config.Resources {
		waits[address] = r.needs()
	}
	for _, address := range ordered(keys, waits, o.Order) {
		if p.interrupted() || p.killed() {
			w.plan.Lost = true
			return w.plan
		}
		if slices.ContainsFunc(waits[address], func(need string) bool { return w.failed[need] }) || !w.instance(ctx, address) {
			w.failed[address] = true
		}
	}
	w.plan.Lost = p.killed()
	return w.plan
}

// instance refreshes and plans one resource.
func (w *planning) instance(ctx context.Context, address string) (ok bool) {
	if w.plan.Refreshed[address] != nil && !w.refresh(ctx, address) {
		return false
	}
	r, declared := w.plan.config.Resources[address]
	before := w.plan.Refreshed[address]
	if !declared {
		return before == nil || w.deletion(ctx, address, before)
	}
	if before != nil {
		fresh := *before
		fresh.Needs = union(before.Needs, r.needs())
		before = &fresh
		w.plan.Refreshed[address] = before
	}
	config := blockValue(w.core.block(r.Type), r.Body, resolver{resource: func(address string) tftypes.Value { return w.values[address] }})
	change, ok := w.change(ctx, &w.plan.Report, address, r.Type, config, before)
	if ok {
		w.values[address] = change.Planned
		w.plan.Changes = append(w.plan.Changes, change)
	}
	return ok
}

func union(a, b []string) []string {
	all := slices.Sorted(slices.Values(slices.Concat(a, b)))
	return slices.Compact(all)
}

func (w *planning) refresh(ctx context.Context, address string) (ok bool) {
	object := w.plan.Refreshed[address]
	upgraded, err := w.server.UpgradeResourceState(ctx, &tfprotov6.UpgradeResourceStateRequest{
		TypeName: object.Type, Version: w.core.schemas.ResourceSchemas[object.Type].Version, RawState: &tfprotov6.RawState{JSON: object.JSON},
	})
	if w.plan.call(address, err) || w.plan.take(address, upgraded.Diagnostics) {
		return false
	}
	if w.o.SkipRefresh {
		return true
	}
	fresh, ok := w.read(ctx, &w.plan.Report, address, object, upgraded.UpgradedState)
	if !ok {
		return false
	}
	if fresh == nil {
		delete(w.plan.Refreshed, address)
		return true
	}
	w.plan.Refreshed[address] = fresh
	return true
}

// read returns the object as the provider sees it now, nil if it is gone.
func (p *Process) read(ctx context.Context, report *Report, address string, object *Object, current *tfprotov6.DynamicValue) (*Object, bool) {
	read, err := p.server.ReadResource(ctx, &tfprotov6.ReadResourceRequest{
		TypeName: object.Type, CurrentState: current, Private: object.Private, CurrentIdentity: object.identity,
	})
	if report.call(address, err) || report.take(address, read.Diagnostics) {
		return nil, false
	}
	value, err := read.NewState.Unmarshal(p.core.block(object.Type).ValueType())
	must(err)
	if value.IsNull() {
		return nil, true
	}
	if !value.IsFullyKnown() {
		report.violate(address, "reading returns unknown values: %v", Plain(value))
	}
	fresh := *object
	fresh.JSON, fresh.Private, fresh.identity = encoded(value), read.Private, read.NewIdentity
	return &fresh, true
}

func (w *planning) deletion(ctx context.Context, address string, before *Object) (ok bool) {
	prior := w.core.Value(before)
	planned, err := w.server.PlanResourceChange(ctx, &tfprotov6.PlanResourceChangeRequest{
		TypeName: before.Type, PriorState: dynamic(prior), ProposedNewState: dynamic(null(prior.Type())), Config: dynamic(null(prior.Type())),
		PriorPrivate: before.Private, PriorIdentity: before.identity,
	})
	if w.plan.call(address, err) || w.plan.take(address, planned.Diagnostics) {
		return false
	}
	w.plan.Changes = append(w.plan.Changes, Change{
		Address: address, Type: before.Type, Action: Delete, Prior: prior, Planned: null(prior.Type()),
		private: planned.PlannedPrivate, identity: planned.PlannedIdentity,
	})
	return true
}

// change plans a declared resource. A tainted one is planned as if it were not there, and replaced.
func (p *Process) change(ctx context.Context, report *Report, address, resourceType string, config tftypes.Value, before *Object) (Change, bool) {
	validated, err := p.server.ValidateResourceConfig(ctx, &tfprotov6.ValidateResourceConfigRequest{TypeName: resourceType, Config: dynamic(config)})
	if report.call(address, err) || report.take(address, validated.Diagnostics) {
		return Change{}, false
	}
	none := null(config.Type())
	c := Change{Address: address, Type: resourceType, Action: Create, Prior: none}
	prior, private, identity := none, []byte(nil), (*tfprotov6.ResourceIdentityData)(nil)
	if before != nil {
		c.Prior, c.Action = p.core.Value(before), Replace
		if !before.Tainted {
			prior, private, identity, c.Action = c.Prior, before.Private, before.identity, Update
		}
	}
	planned, ok := p.ask(ctx, report, address, resourceType, config, prior, private, identity)
	if !ok {
		return c, false
	}
	c.Planned, c.private, c.identity = planned.value, planned.private, planned.identity
	switch {
	case c.Action == Update && planned.value.Equal(prior):
		c.Action = NoOp
	case c.Action == Update && planned.replaces:
		again, ok := p.ask(ctx, report, address, resourceType, config, none, planned.private, planned.identity)
		if !ok {
			return c, false
		}
		c.Action, c.Planned, c.private, c.identity = Replace, again.value, again.private, again.identity
	}
	return c, true
}

// answer is what PlanResourceChange returns.
type answer struct {
	value    tftypes.Value
	private  []byte
	identity *tfprotov6.ResourceIdentityData
	replaces bool
}

func (p *Process) ask(ctx context.Context, report *Report, address, resourceType string, config, prior tftypes.Value, private []byte,
	identity *tfprotov6.ResourceIdentityData,
) (answer, bool) {
	block := p.core.block(resourceType)
	planned, err := p.server.PlanResourceChange(ctx, &tfprotov6.PlanResourceChangeRequest{
		TypeName: resourceType, PriorState: dynamic(prior), ProposedNewState: dynamic(proposed(block, prior, config)), Config: dynamic(config),
		PriorPrivate: private, PriorIdentity: identity,
	})
	if report.call(address, err) || report.take(address, planned.Diagnostics) {
		return answer{}, false
	}
	value, err := planned.PlannedState.Unmarshal(block.ValueType())
	must(err)
	wrong := misplanned(block, prior, config, value)
	for _, problem := range wrong {
		report.violate(address, "the plan is invalid: %s", problem)
	}
	return answer{value, planned.PlannedPrivate, planned.PlannedIdentity, len(planned.RequiresReplace) > 0}, len(wrong) == 0
}

// Import imports a resource and reads it, as the CLI does with an import block.
func (p *Process) Import(ctx context.Context, address, resourceType, id string) (*Object, *Report) {
	report := &Report{}
	imported, err := p.server.ImportResourceState(ctx, &tfprotov6.ImportResourceStateRequest{TypeName: resourceType, ID: id})
	if report.call(address, err) || report.take(address, imported.Diagnostics) {
		return nil, report
	}
	one := imported.ImportedResources[0]
	value, err := one.State.Unmarshal(p.core.block(resourceType).ValueType())
	must(err)
	object := &Object{Type: resourceType, JSON: encoded(value), Private: one.Private, identity: one.Identity}
	fresh, ok := p.read(ctx, report, address, object, one.State)
	if ok && fresh == nil {
		report.Errors = append(report.Errors, address+": Cannot import non-existent remote object")
	}
	report.Lost = p.killed()
	return fresh, report
}
