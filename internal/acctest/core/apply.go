package core

import (
	"context"
	"maps"
	"slices"

	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-go/tftypes"
)

// applying is one walk.
type applying struct {
	*Process
	*Report
	plan  *Plan
	state State
}

// destroying is the key of the node that destroys a resource; the one that makes it has the bare address.
func destroying(address string) string { return address + " (destroy)" }

// Apply carries out a plan that has not failed and returns the state that the CLI writes. Like the CLI it goes on with
// what does not depend on what failed.
func (p *Process) Apply(ctx context.Context, plan *Plan, order Order) (State, *Report) {
	w := &applying{Process: p, Report: &Report{}, plan: plan, state: maps.Clone(plan.Refreshed)}
	keys, waits := w.graph()
	failed := make(map[string]bool)
	for _, key := range ordered(keys, waits, order) {
		if p.interrupted() || p.killed() {
			w.Lost = w.Lost || p.killed()
			w.Errors = append(w.Errors, key+": not begun")
			failed[key] = true
			continue
		}
		if slices.ContainsFunc(waits[key], func(k string) bool { return failed[k] }) {
			failed[key] = true
			continue
		}
		failed[key] = !w.node(ctx, key)
	}
	return w.state, w.Report
}

// graph returns the nodes, and for each the nodes that come before it: what a resource refers to is made first and
// destroyed last.
func (w *applying) graph() (keys []string, waits map[string][]string) {
	waits = make(map[string][]string)
	for _, c := range w.plan.Changes {
		if c.destroys() {
			keys = append(keys, destroying(c.Address))
		}
		if c.makes() {
			keys = append(keys, c.Address)
			waits[c.Address] = append(waits[c.Address], w.plan.config.Resources[c.Address].needs()...)
		}
		if c.Action == Replace {
			waits[c.Address] = append(waits[c.Address], destroying(c.Address))
		}
		if before := w.state[c.Address]; before != nil {
			for _, need := range before.Needs {
				if c.destroys() {
					waits[destroying(need)] = append(waits[destroying(need)], destroying(c.Address))
					waits[need] = append(waits[need], destroying(c.Address)) // an update waits, too
				}
				if c.makes() {
					waits[c.Address] = append(waits[c.Address], destroying(need))
				}
			}
		}
	}
	return keys, waits
}

func (w *applying) node(ctx context.Context, key string) (ok bool) {
	for _, c := range w.plan.Changes {
		switch key {
		case c.Address:
			return w.make(ctx, c)
		case destroying(c.Address):
			return w.destroy(ctx, c)
		}
	}
	panic("no change for " + key)
}

func (w *applying) destroy(ctx context.Context, c Change) (ok bool) {
	before := w.state[c.Address]
	none := null(c.Prior.Type())
	applied, err := w.server.ApplyResourceChange(ctx, &tfprotov6.ApplyResourceChangeRequest{
		TypeName: c.Type, PriorState: dynamic(w.core.Value(before)), PlannedState: dynamic(none), Config: dynamic(none),
		PlannedPrivate: c.private, PlannedIdentity: c.identity,
	})
	if w.killed() {
		w.Lost = true
		return false
	}
	if w.call(c.Address, err) {
		return false
	}
	failed := w.take(c.Address, applied.Diagnostics)
	value, err := applied.NewState.Unmarshal(c.Prior.Type())
	must(err)
	switch {
	case failed && value.IsNull(): // core keeps what an error says nothing about
	case failed:
		w.keep(c, value, applied, before)
	case !value.IsNull():
		w.violate(c.Address, "an object is left after a deletion without an error")
		return false
	default:
		delete(w.state, c.Address)
	}
	return !failed
}

// keep puts what a call returned into state.
func (w *applying) keep(c Change, value tftypes.Value, applied *tfprotov6.ApplyResourceChangeResponse, before *Object) {
	object := &Object{Type: c.Type, JSON: encoded(value), Private: applied.Private, identity: applied.NewIdentity}
	if before != nil {
		object.Tainted, object.Needs = before.Tainted, before.Needs
	}
	if r, declared := w.plan.config.Resources[c.Address]; declared {
		object.Needs = r.needs()
	}
	w.state[c.Address] = object
}

func (w *applying) make(ctx context.Context, c Change) (ok bool) {
	r := w.plan.config.Resources[c.Address]
	config := blockValue(w.core.block(c.Type), r.Body, resolver{applying: true, resource: func(address string) tftypes.Value {
		if object := w.state[address]; object != nil {
			return w.core.Value(object)
		}
		panic(c.Address + " refers to " + address + ", which is not there")
	}})
	before := w.state[c.Address]
	final, ok := w.final(ctx, c, config, before)
	if !ok || final.Action == NoOp {
		return ok
	}
	prior := null(config.Type())
	if before != nil {
		prior = w.core.Value(before)
	}
	applied, err := w.server.ApplyResourceChange(ctx, &tfprotov6.ApplyResourceChangeRequest{
		TypeName: c.Type, PriorState: dynamic(prior), PlannedState: dynamic(final.Planned), Config: dynamic(config),
		PlannedPrivate: final.private, PlannedIdentity: final.identity,
	})
	if w.killed() {
		w.Lost = true
		return false
	}
	if w.call(c.Address, err) {
		return false
	}
	return w.made(c, final, applied, before)
}

// final plans again with what is known by now. The first plan must have promised nothing else.
func (w *applying) final(ctx context.Context, c Change, config tftypes.Value, before *Object) (Change, bool) {
	final, ok := w.change(ctx, w.Report, c.Address, c.Type, config, before)
	if w.killed() {
		w.Lost = true
		return final, false
	}
	if !ok {
		return final, false
	}
	if want := c.Action; want == Update && final.Action == Replace || want != Update && final.Action != Create {
		w.violate(c.Address, "the plan said %s, and the final plan says %s", c.Action, final.Action)
		return final, false
	}
	wrong := incompatible("it", c.Planned, final.Planned)
	for _, problem := range wrong {
		w.violate(c.Address, "the final plan is inconsistent: %s", problem)
	}
	return final, len(wrong) == 0
}

// made judges the answer and keeps what it says.
func (w *applying) made(c, final Change, applied *tfprotov6.ApplyResourceChangeResponse, before *Object) (ok bool) {
	failed := w.take(c.Address, applied.Diagnostics)
	value, err := applied.NewState.Unmarshal(c.Prior.Type())
	must(err)
	if !value.IsFullyKnown() {
		w.violate(c.Address, "something is unknown after the apply: %v", Plain(value))
		return false
	}
	if failed {
		if !value.IsNull() {
			w.keep(c, value, applied, before)
			w.state[c.Address].Tainted = w.state[c.Address].Tainted || before == nil
		}
		return false
	}
	wrong := incompatible("it", final.Planned, value)
	for _, problem := range wrong {
		w.violate(c.Address, "the result is inconsistent: %s", problem)
	}
	w.keep(c, value, applied, before)
	return len(wrong) == 0
}
