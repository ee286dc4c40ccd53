package provider

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/nhi-labs/terraform-provider-nhi/internal/audit"
	"github.com/nhi-labs/terraform-provider-nhi/internal/fleet"
)

// undeliveredAttribute is where a resource keeps audit events that wait for their sinks. It is an attribute and not
// private state, which does not survive the replacement of a tainted object.
const undeliveredAttribute = "undelivered"

func undeliveredSchema() schema.Attribute {
	return schema.ListAttribute{
		Computed: true, ElementType: types.StringType,
		MarkdownDescription: "Audit events of this resource that a sink has not taken yet, each as JSON, without secrets. The next apply " +
			"delivers them. Empty when none wait.",
	}
}

// operation is one operation on a resource, with its evidence.
type operation struct {
	// fleet evidences every change in the operation's journal.
	fleet   *fleet.Fleet
	journal *audit.Journal
	data    *providerData
}

// begin begins an operation and delivers what waits from earlier ones, before anything new happens. Events that cannot be
// read are an error that the plan has shown before; a deletion keeps them in state.
func (d *providerData) begin(ctx context.Context, op audit.Operation, waiting types.List, diags *diag.Diagnostics) *operation {
	return d.beginWith(ctx, op, parseWaiting(waiting, diags))
}

func (d *providerData) beginWith(ctx context.Context, op audit.Operation, waiting []audit.Waiting) *operation {
	op.Identity = d.owners.fill(op.Identity)
	journal := d.trail.Open(op, waiting)
	journal.Deliver(ctx)
	return &operation{fleet: d.fleet.Under(journal), journal: journal, data: d}
}

func parseWaiting(list types.List, diags *diag.Diagnostics) []audit.Waiting {
	waiting, err := audit.ParseWaiting(stringsIn(list))
	addErrorAt(diags, path.Root(undeliveredAttribute), "Damaged state", err)
	return waiting
}

// stringsIn returns the known strings of a list, in order.
func stringsIn(list types.List) []string {
	var out []string
	for _, v := range list.Elements() {
		if s, ok := v.(types.String); ok && known(s) {
			out = append(out, s.ValueString())
		}
	}
	return out
}

// end ends an operation and returns what state has to keep. It warns of that.
func (o *operation) end(ctx context.Context, diags *diag.Diagnostics) types.List {
	return keepWaiting(o.journal.Close(ctx), diags)
}

func keepWaiting(left audit.Left, diags *diag.Diagnostics) types.List {
	if len(left.Waiting) > 0 {
		diags.AddAttributeWarning(path.Root(undeliveredAttribute), "Audit events wait", whyWaiting(left)+
			"\n\nThey are kept in state, and the next apply delivers them.")
	}
	if left.GivenUp > 0 {
		diags.AddAttributeWarning(path.Root(undeliveredAttribute), "Audit events were given up", fmt.Sprintf(
			"%d events of changes that failed are lost: more waited than state can keep. Events of changes that were made are all kept.", left.GivenUp))
	}
	return stringList(left.Waiting)
}

// endCreation ends a creation and returns what state has to keep. keep is false if nothing has to be in state: the creation failed and
// left nothing on any platform, and no evidence of what it did waits. That it did nothing is no reason to keep it: what fails and is
// kept is tainted, and the next apply deletes it first, with what was there before.
func (o *operation) endCreation(ctx context.Context, failed bool, diags *diag.Diagnostics) (undelivered types.List, keep bool) {
	left := o.journal.Close(ctx)
	if !failed || !left.NothingDone {
		return keepWaiting(left, diags), true
	}
	if len(left.Waiting) > 0 {
		o.journal.Reopen()
		diags.AddWarning("Audit events are not delivered", whyWaiting(left)+"\n\nThey say that nothing was changed, to a sink that may have "+
			"taken what was about to be done. A creation that changed nothing is not kept in state: they are tried once more at the end of "+
			"this run, and are lost then.")
	}
	return stringList(nil), false
}

func whyWaiting(left audit.Left) string {
	lines := audit.Words(left.Waiting)
	for _, sink := range slices.Sorted(maps.Keys(left.Problems)) {
		if err := left.Problems[sink]; err != nil {
			lines = append(lines, fmt.Sprintf("sink %q: %v", sink, err))
		}
	}
	return strings.Join(lines, "\n")
}

// beginAction begins an operation that no resource is there to keep the evidence of.
func (d *providerData) beginAction(ctx context.Context, name, identity string) *operation {
	return d.beginWith(ctx, audit.NewOperation(name, audit.Identity{Name: identity}, ""), nil)
}

// endAction warns of events that wait. They are tried once more when the process ends.
func (o *operation) endAction(ctx context.Context, diags *diag.Diagnostics) {
	if left := o.journal.Retry(ctx); len(left.Waiting) > 0 {
		diags.AddWarning("Audit events are not delivered", whyWaiting(left)+"\n\nAn action has no state to keep them in. They are tried once "+
			"more at the end of this run, and are lost then. Note down what was done:\n"+strings.Join(left.Waiting, "\n"))
	}
}

// deletion is what a deletion has come to.
type deletion struct {
	what     string // for messages
	identity string
	// private is the private state of a resource whose evidence may go on with the identity, nil if there is none.
	private privateReader
	// failed is set if something is left on a platform.
	failed bool
}

// identityGoes reports whether the plan that deletes a resource removes its identity as well.
func (d *providerData) identityGoes(ctx context.Context, of deletion) bool {
	if of.private == nil {
		return false
	}
	_, goes := d.removals.find(ctx, of.private, of.identity)
	return goes
}

// endDeletion ends a deletion and returns what state has to keep, nil if the resource may go: then nothing is left on any
// platform, and no event waits but those that the identity takes over.
func (o *operation) endDeletion(ctx context.Context, d deletion, diags *diag.Diagnostics) *types.List {
	if d.failed {
		list := o.end(ctx, diags)
		return &list
	}
	now := o.journal.Retry(ctx)
	if len(now.Waiting) > 0 && o.data.identityGoes(ctx, d) && o.data.handovers.give(d.identity, o.journal) {
		diags.AddWarning("Audit events wait", fmt.Sprintf("%s\n\nThey go on with the identity %q, which is destroyed as well as %s.",
			whyWaiting(now), d.identity, d.what))
		return nil
	}
	left := o.journal.Close(ctx)
	if len(left.Waiting) == 0 {
		return nil
	}
	diags.AddAttributeError(path.Root(undeliveredAttribute), "Audit events wait", fmt.Sprintf(
		"All access of %s is gone, but the evidence of that is not delivered:\n%s\n\nIt stays in state until it is. Run again once the sink "+
			"takes events. If the sink is gone for good, list its name in retired_sinks of the provider: its events are let go then.",
		d.what, whyWaiting(left)))
	list := stringList(left.Waiting)
	return &list
}

// withWaiting adds to the words of pending what waits for audit sinks.
func withWaiting(pending []string, undelivered types.List) types.List {
	return stringList(append(slices.Clone(pending), audit.Words(stringsIn(undelivered))...))
}

// keptList is an undelivered list as state keeps it: never null.
func keptList(undelivered types.List) types.List { return stringList(stringsIn(undelivered)) }

// planUndelivered plans the attribute of that name, after everything else of the plan. Events that wait make the plan an
// update. Whether the sinks will take the events of a change is not known before.
func (d *providerData) planUndelivered(ctx context.Context, req resource.ModifyPlanRequest, resp *resource.ModifyPlanResponse, before types.List) {
	creating := req.State.Raw.IsNull()
	waiting := parseWaiting(before, &resp.Diagnostics)
	set := func(v attr.Value) {
		resp.Diagnostics.Append(resp.Plan.SetAttribute(ctx, path.Root(undeliveredAttribute), v)...)
	}
	if !creating {
		if set(before); len(waiting) == 0 && resp.Plan.Raw.Equal(req.State.Raw) {
			return // nothing is to be done
		}
	}
	if homeless := d.trail.Homeless(waiting); len(homeless) > 0 {
		resp.Diagnostics.AddAttributeWarning(path.Root(undeliveredAttribute), "Audit events wait for a sink that is not configured", fmt.Sprintf(
			"%s. Configure the sink again under the same name, or let its events go by listing the name in retired_sinks of the provider.",
			strings.Join(audit.Words(stringsIn(before)), "; ")))
	}
	if d.trail.Silent() && len(waiting) == 0 {
		set(stringList(nil))
		return
	}
	set(types.ListUnknown(types.StringType))
}
