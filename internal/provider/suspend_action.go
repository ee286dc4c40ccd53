package provider

import (
	"context"
	"fmt"

	"github.com/hashicorp/terraform-plugin-framework/action"
	"github.com/hashicorp/terraform-plugin-framework/action/schema"

	"github.com/nhi-labs/terraform-provider-nhi/internal/lifecycle"
)

var (
	_ action.ActionWithConfigure = (*suspendAction)(nil)
	_ action.ActionWithConfigure = (*resumeAction)(nil)
)

// suspendAction is the emergency stop.
type suspendAction struct{ actionBase }

func newSuspendAction() action.Action { return &suspendAction{} }

// Metadata implements action.Action.
func (a *suspendAction) Metadata(_ context.Context, _ action.MetadataRequest, resp *action.MetadataResponse) {
	resp.TypeName = "nhi_suspend"
}

// Schema implements action.Action.
func (a *suspendAction) Schema(_ context.Context, _ action.SchemaRequest, resp *action.SchemaResponse) {
	resp.Schema = schema.Schema{
		MarkdownDescription: "The emergency stop: suspends every account of an identity, on all platforms in parallel, ends the live sessions " +
			"and revokes all credentials. It needs nothing but the identity's name: no plan and no state of anything else. A platform that " +
			"does not answer holds up no other one; the error names it, and invoking the action again finishes it.\n\n" +
			"~> **The configuration does not know of it.** While the `nhi_identity` says `enabled = true`, the next plan shows the accounts as " +
			"`suspended` and its apply resumes them. Set `enabled = false` as well, before anybody applies.\n\n" +
			"Without actions (before Terraform 1.14, OpenTofu), set `enabled = false` and apply that alone: " +
			"`terraform apply -target=nhi_identity.x -refresh=false`. That suspends and ends sessions on every platform that answers; credentials " +
			"stay and work again after resuming.",
		Attributes: emergencyAttributes(),
	}
}

// Invoke implements action.Action.
func (a *suspendAction) Invoke(ctx context.Context, req action.InvokeRequest, resp *action.InvokeResponse) {
	defer guard(&resp.Diagnostics)
	var m emergencyModel
	e := m.read(ctx, req, a.data, &resp.Diagnostics)
	if resp.Diagnostics.HasError() {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, defaultTimeout)
	defer cancel()
	op := a.data.beginAction(ctx, "nhi_suspend", e.Identity)
	found, problems := lifecycle.SuspendNow(ctx, op.fleet, e, progress(resp))
	op.endAction(ctx, &resp.Diagnostics)
	reportEmergency("suspend", e, found, problems, &resp.Diagnostics)
	if found > 0 {
		resp.Diagnostics.AddWarning(fmt.Sprintf("Set enabled = false in the nhi_identity %q now", e.Identity),
			"Its configuration does not know of the emergency stop. While it says enabled = true, the next plan shows the accounts as "+
				"suspended and its apply resumes them. Revoked credentials do not come back: an nhi_rotation issues a new one once the identity "+
				"is resumed.")
	}
}

// resumeAction undoes the suspension.
type resumeAction struct{ actionBase }

func newResumeAction() action.Action { return &resumeAction{} }

// Metadata implements action.Action.
func (a *resumeAction) Metadata(_ context.Context, _ action.MetadataRequest, resp *action.MetadataResponse) {
	resp.TypeName = "nhi_resume"
}

// Schema implements action.Action.
func (a *resumeAction) Schema(_ context.Context, _ action.SchemaRequest, resp *action.SchemaResponse) {
	resp.Schema = schema.Schema{
		MarkdownDescription: "Resumes every account of an identity, after `nhi_suspend`. Credentials that were revoked stay revoked: the next " +
			"apply of an `nhi_rotation` issues and delivers a new one.\n\n" +
			"~> If the `nhi_identity` says `enabled = false`, the next apply suspends it again.\n\n" +
			"Without actions (before Terraform 1.14, OpenTofu), set `enabled = true` and apply that alone: " +
			"`terraform apply -target=nhi_identity.x`.",
		Attributes: emergencyAttributes(),
	}
}

// Invoke implements action.Action.
func (a *resumeAction) Invoke(ctx context.Context, req action.InvokeRequest, resp *action.InvokeResponse) {
	defer guard(&resp.Diagnostics)
	var m emergencyModel
	e := m.read(ctx, req, a.data, &resp.Diagnostics)
	if resp.Diagnostics.HasError() {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, defaultTimeout)
	defer cancel()
	op := a.data.beginAction(ctx, "nhi_resume", e.Identity)
	found, problems := lifecycle.ResumeNow(ctx, op.fleet, e, progress(resp))
	op.endAction(ctx, &resp.Diagnostics)
	reportEmergency("resume", e, found, problems, &resp.Diagnostics)
	if found > 0 {
		resp.Diagnostics.AddWarning(fmt.Sprintf("Credentials of %q that were revoked stay revoked", e.Identity),
			"The next apply of an nhi_rotation issues and delivers a new one. While the nhi_identity says enabled = false, the next apply of "+
				"that suspends the accounts again.")
	}
}
