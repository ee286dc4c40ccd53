package provider

import (
	"context"
	"fmt"

	"github.com/hashicorp/terraform-plugin-framework/action"
	"github.com/hashicorp/terraform-plugin-framework/action/schema"

	"github.com/nhi-labs/terraform-provider-nhi/internal/fleet"
	"github.com/nhi-labs/terraform-provider-nhi/internal/lifecycle"
)

var _ action.ActionWithConfigure = (*emergencyAction)(nil)

// emergencyAction does one thing to every account of an identity.
type emergencyAction struct {
	actionBase
	verb, description string
	do                func(context.Context, *fleet.Fleet, lifecycle.Emergency, lifecycle.Tell) (found int, problems lifecycle.Problems)
	// left is what there is left to do once an account was found: a summary with the place of the identity's name in it, and
	// the details.
	left struct{ summary, detail string }
}

// newSuspendAction is the emergency stop.
func newSuspendAction() action.Action {
	a := &emergencyAction{verb: "suspend", do: lifecycle.SuspendNow}
	a.description = "The emergency stop: suspends every account of an identity, on all platforms in parallel, ends the live sessions " +
		"and revokes all credentials. It needs nothing but the identity's name: no plan and no state of anything else. A platform that " +
		"does not answer holds up no other one; the error names it, and invoking the action again finishes it. It is an error as well " +
		"where an account can still be used, because the platform cannot suspend it, and where nobody knows whether there is one, because " +
		"the platform cannot list its accounts.\n\n" +
		"~> **The configuration does not know of it.** While the `nhi_identity` says `enabled = true`, the next plan shows the accounts as " +
		"`suspended` and its apply resumes them. Set `enabled = false` as well, before anybody applies.\n\n" +
		"Without actions (before Terraform 1.14, OpenTofu), set `enabled = false` and apply that alone: " +
		"`terraform apply -target=nhi_identity.x -refresh=false`. That suspends and ends sessions on every platform that answers; credentials " +
		"stay and work again after resuming."
	a.left.summary = "Set enabled = false in the nhi_identity %q now"
	a.left.detail = "Its configuration does not know of the emergency stop. While it says enabled = true, the next plan shows the suspended " +
		"accounts and its apply resumes them. Revoked credentials do not come back: an nhi_rotation issues a new one once the account is " +
		"resumed; on a platform that cannot suspend, the next apply does, so remove the nhi_rotation there."
	return a
}

// newResumeAction undoes the suspension.
func newResumeAction() action.Action {
	a := &emergencyAction{verb: "resume", do: lifecycle.ResumeNow}
	a.description = "Resumes every account of an identity, after `nhi_suspend`. Credentials that were revoked stay revoked: the next " +
		"apply of an `nhi_rotation` issues and delivers a new one.\n\n" +
		"~> If the `nhi_identity` says `enabled = false`, the next apply suspends it again.\n\n" +
		"Without actions (before Terraform 1.14, OpenTofu), set `enabled = true` and apply that alone: " +
		"`terraform apply -target=nhi_identity.x`."
	a.left.summary = "Credentials of %q that were revoked stay revoked"
	a.left.detail = "The next apply of an nhi_rotation issues and delivers a new one. While the nhi_identity says enabled = false, the next apply of " +
		"that suspends the accounts again."
	return a
}

func (a *emergencyAction) typeName() string { return "nhi_" + a.verb }

// Metadata implements action.Action.
func (a *emergencyAction) Metadata(_ context.Context, _ action.MetadataRequest, resp *action.MetadataResponse) {
	resp.TypeName = a.typeName()
}

// Schema implements action.Action.
func (a *emergencyAction) Schema(_ context.Context, _ action.SchemaRequest, resp *action.SchemaResponse) {
	resp.Schema = schema.Schema{MarkdownDescription: a.description, Attributes: emergencyAttributes()}
}

// Invoke implements action.Action.
func (a *emergencyAction) Invoke(ctx context.Context, req action.InvokeRequest, resp *action.InvokeResponse) {
	defer recovered(ctx, &resp.Diagnostics)
	var m emergencyModel
	e := m.read(ctx, req, a.data, &resp.Diagnostics)
	if resp.Diagnostics.HasError() {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, defaultTimeout)
	defer cancel()
	op := a.data.beginAction(ctx, a.typeName(), e.Identity)
	found, problems := a.do(ctx, op.fleet, e, progress(resp))
	op.endAction(ctx, &resp.Diagnostics)
	reportEmergency(a.verb, e, found, problems, &resp.Diagnostics)
	if found > 0 {
		resp.Diagnostics.AddWarning(fmt.Sprintf(a.left.summary, e.Identity), a.left.detail)
	}
}
