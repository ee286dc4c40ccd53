package provider

import (
	"context"
	"fmt"

	"github.com/hashicorp/terraform-plugin-framework-validators/listvalidator"
	"github.com/hashicorp/terraform-plugin-framework/action"
	"github.com/hashicorp/terraform-plugin-framework/action/schema"
	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/lifecycle"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
)

var _ action.ActionWithConfigure = (*rotateAction)(nil)

// rotateAction rotates at once.
type rotateAction struct{ actionBase }

func newRotateAction() action.Action { return &rotateAction{} }

type rotateModel struct {
	Identity     types.String `tfsdk:"identity"`
	AccountNames types.Map    `tfsdk:"account_names"`
	Platform     types.String `tfsdk:"platform"`
	Delivered    types.List   `tfsdk:"delivered"`
}

// Metadata implements action.Action.
func (a *rotateAction) Metadata(_ context.Context, _ action.MetadataRequest, resp *action.MetadataResponse) {
	resp.TypeName = "nhi_rotate"
}

// Schema implements action.Action.
func (a *rotateAction) Schema(_ context.Context, _ action.SchemaRequest, resp *action.SchemaResponse) {
	resp.Schema = schema.Schema{
		MarkdownDescription: "Rotates the credential of an `nhi_rotation` now: issues a new one, proves it by logging in, and delivers it to the " +
			"same places in the same form. Callers get it when they next read their secret; the previous one keeps working.\n\n" +
			"An action has no state. To the next plan of the `nhi_rotation` the new credential is one of a rotation that was not finished: it " +
			"says `rotate: finish …`, and its apply makes the credential the current one and begins the overlap of the previous one. " +
			"Until then the previous one is not retired, so apply soon. If the action fails half-way, the same plan finishes or takes " +
			"back what it began.\n\n" +
			"Without actions (before Terraform 1.14, OpenTofu), change a value under `rotate_when_changed` and apply that alone: " +
			"`terraform apply -target=nhi_rotation.x`.",
		Attributes: map[string]schema.Attribute{
			"identity": identityNameAttribute(),
			"account_names": schema.MapAttribute{
				Optional: true, ElementType: types.StringType,
				MarkdownDescription: "Names of the accounts that are not named like the identity, by platform: `nhi_identity.x.account_names`.",
			},
			"platform": schema.StringAttribute{Required: true, MarkdownDescription: "The platform whose credential is rotated."},
			"delivered": schema.ListAttribute{
				Required: true, ElementType: placeType(), Validators: []validator.List{listvalidator.SizeAtLeast(1)},
				MarkdownDescription: "Where the rotation delivers to: `nhi_rotation.x.delivered`, or a list of objects with `platform` and `path`. " +
					"All of the places, because callers that read one that is left out are cut off when the previous credential is retired.",
			},
		},
	}
}

// Invoke implements action.Action.
func (a *rotateAction) Invoke(ctx context.Context, req action.InvokeRequest, resp *action.InvokeResponse) {
	defer recovered(ctx, &resp.Diagnostics)
	var m rotateModel
	resp.Diagnostics.Append(req.Config.Get(ctx, &m)...)
	r, places := m.wish(a.data, &resp.Diagnostics)
	if resp.Diagnostics.HasError() {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, defaultTimeout)
	defer cancel()
	end, err := a.data.made.turn(ctx, rotationThing(r.Identity, r.Platform))
	if err != nil {
		resp.Diagnostics.AddError("Unable to rotate now", err.Error())
		return
	}
	defer end()
	op := a.data.beginAction(ctx, "nhi_rotate", r.Identity)
	label, problems := lifecycle.RotateNow(ctx, op.fleet, r, places, a.data.now, progress(resp))
	op.endAction(ctx, &resp.Diagnostics)
	for _, p := range problems {
		resp.Diagnostics.AddError(fmt.Sprintf("Unable to rotate the credential of %q on platform %q now", r.Identity, r.Platform),
			fmt.Sprintf("%v\n\nThe credential that callers use is still valid. The next plan of the nhi_rotation finishes what was begun, or "+
				"takes it back.", p.Err))
	}
	if len(problems) == 0 {
		resp.Diagnostics.AddWarning(fmt.Sprintf("Apply the nhi_rotation of %q on platform %q", r.Identity, r.Platform), fmt.Sprintf(
			"The new credential %s is delivered. The previous one stays valid until the next apply of the nhi_rotation has made the new one "+
				"the current one, and its overlap is over.", label))
	}
}

// wish reads the model, checked against the configured platforms.
func (m rotateModel) wish(data *providerData, diags *diag.Diagnostics) (lifecycle.Rotation, []lifecycle.Place) {
	r := lifecycle.Rotation{
		Identity: m.Identity.ValueString(), AccountNames: mapOfStrings(m.AccountNames), Platform: m.Platform.ValueString(),
	}
	addErrorAt(diags, path.Root("identity"), "Invalid identity name", nhi.CheckIdentityName(r.Identity))
	platform, err := data.fleet.Platform(r.Platform)
	addErrorAt(diags, path.Root("platform"), "Unknown platform", err)
	if err == nil {
		r.Verify = platform.Spec().Can(driver.CanVerify)
	}
	var places []lifecycle.Place
	for i, element := range m.Delivered.Elements() {
		at := path.Root("delivered").AtListIndex(i)
		attributes := map[string]attr.Value{}
		if object, ok := element.(types.Object); ok {
			attributes = object.Attributes()
		}
		place := lifecycle.Place{Platform: stringOf(attributes["platform"]), Path: stringOf(attributes["path"])}
		_, err := data.fleet.Platform(place.Platform)
		addErrorAt(diags, at.AtName("platform"), "Unknown platform", err)
		addErrorAt(diags, at.AtName("path"), "Invalid path", checkSecretPath(place.Path))
		places = append(places, place)
	}
	return r, places
}
