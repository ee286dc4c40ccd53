package provider

import (
	"context"
	"fmt"
	"maps"

	"github.com/hashicorp/terraform-plugin-framework-timeouts/resource/timeouts"
	"github.com/hashicorp/terraform-plugin-framework-timetypes/timetypes"
	"github.com/hashicorp/terraform-plugin-framework-validators/listvalidator"
	"github.com/hashicorp/terraform-plugin-framework-validators/stringvalidator"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/resource/identityschema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/booldefault"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/objectplanmodifier"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/planmodifier"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/stringplanmodifier"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/lifecycle"
	"github.com/nhi-labs/terraform-provider-nhi/internal/rotation"
)

var (
	_ resource.ResourceWithConfigure      = (*rotationResource)(nil)
	_ resource.ResourceWithModifyPlan     = (*rotationResource)(nil)
	_ resource.ResourceWithIdentity       = (*rotationResource)(nil)
	_ resource.ResourceWithImportState    = (*rotationResource)(nil)
	_ resource.ResourceWithValidateConfig = (*rotationResource)(nil)
)

type rotationResource struct {
	data *providerData
}

func newRotationResource() resource.Resource { return &rotationResource{} }

func (r *rotationResource) Metadata(_ context.Context, _ resource.MetadataRequest, resp *resource.MetadataResponse) {
	resp.TypeName = "nhi_rotation"
}

func (r *rotationResource) Configure(_ context.Context, req resource.ConfigureRequest, resp *resource.ConfigureResponse) {
	r.data = configured(req.ProviderData, &resp.Diagnostics)
}

func (r *rotationResource) IdentitySchema(_ context.Context, _ resource.IdentitySchemaRequest, resp *resource.IdentitySchemaResponse) {
	resp.IdentitySchema = identityschema.Schema{Attributes: map[string]identityschema.Attribute{
		"identity": identityschema.StringAttribute{RequiredForImport: true, Description: "The identity's name."},
		"platform": identityschema.StringAttribute{RequiredForImport: true, Description: "The platform that issues the credentials."},
	}}
}

func (r *rotationResource) Schema(ctx context.Context, _ resource.SchemaRequest, resp *resource.SchemaResponse) {
	attributes := rotationAttributes()
	for name, attribute := range rotationComputed() {
		attributes[name] = attribute
	}
	resp.Schema = schema.Schema{
		MarkdownDescription: "The credentials of an identity's account on one platform: issued, proven, delivered to the secret stores " +
			"that its callers read, and retired once the overlap is over.\n\n" +
			"No secret is ever in plan or state: it goes from the platform that issued it straight into the stores. The old credential " +
			"stays valid until the new one is delivered everywhere and proven, and `overlap` after that. What is due is decided when " +
			"planning and stands in `pending`, so a scheduled plan finds it; the apply does it. A run that was killed at any point is " +
			"finished by the next one, with the credential that it had issued.",
		Attributes: attributes,
		Blocks: map[string]schema.Block{
			"deliver":  deliverBlockSchema(),
			"timeouts": timeouts.Block(ctx, timeouts.Opts{Create: true, Read: true, Update: true, Delete: true}),
		},
	}
}

// ImportState refuses: an import would show the account's other credentials for revocation at once, and creating takes over
// without that.
func (r *rotationResource) ImportState(_ context.Context, _ resource.ImportStateRequest, resp *resource.ImportStateResponse) {
	resp.Diagnostics.AddError("A rotation is not imported", "Declare the nhi_rotation without an import and apply: creating it takes over the "+
		"credential that an earlier rotation of the same identity in this stack has delivered, or else issues one beside those that exist. It "+
		"revokes none; the plan after that shows what would be, and names the one that has to go where the account can have no more.")
}

func rotationAttributes() map[string]schema.Attribute {
	return map[string]schema.Attribute{
		"identity": schema.ObjectAttribute{
			Required: true, AttributeTypes: identityReferenceTypes(),
			PlanModifiers: []planmodifier.Object{objectplanmodifier.RequiresReplaceIf(identityNameChanged,
				"Another identity replaces the rotation.", "Another identity replaces the rotation.")},
			MarkdownDescription: "The identity: `nhi_identity.x`, or from another workspace " +
				"`{ name = \"billing-agent\", account_names = { sap = \"T_BILLING_AGENT\" } }`.",
		},
		"platform": schema.StringAttribute{
			Required: true, PlanModifiers: []planmodifier.String{stringplanmodifier.RequiresReplace()},
			MarkdownDescription: "The platform whose credentials are rotated. The identity has an account there, and no other rotation.",
		},
		"rotate_every": schema.StringAttribute{
			Optional: true, CustomType: timetypes.GoDurationType{},
			MarkdownDescription: "How old the current credential may get, for example `720h`. From then on the next plan rotates. Without " +
				"it only `rotate_when_changed` rotates.",
		},
		"overlap": schema.StringAttribute{
			Optional: true, CustomType: timetypes.GoDurationType{},
			MarkdownDescription: "How long the previous credential stays valid after the new one is in use, for example `24h`, the default: " +
				"the time that callers may take to read the new one. `0s` retires it in the same apply. Where the platform has a native " +
				"expiry, credentials get `rotate_every` and twice the overlap.",
		},
		"rotate_when_changed": schema.MapAttribute{
			Optional: true, ElementType: types.StringType,
			MarkdownDescription: "Any values; when one of them changes, the next apply rotates. While the account is suspended that waits: the apply " +
				"that resumes the identity rotates, or the next one. A rotation that was begun before is finished first. Not for secrets.",
		},
		"allow_outage": schema.BoolAttribute{
			Optional: true, Computed: true, Default: booldefault.StaticBool(false),
			MarkdownDescription: "`true` permits to rotate in place where an account has one credential at a time: callers fail until they " +
				"have read the new one.",
		},
		"verify": schema.BoolAttribute{
			Optional: true, Computed: true, Default: booldefault.StaticBool(true),
			MarkdownDescription: "`true` (default): a new credential is delivered only after a login with it has worked.",
		},
		"require_use_before_retire": schema.BoolAttribute{
			Optional: true, Computed: true, Default: booldefault.StaticBool(false),
			MarkdownDescription: fmt.Sprintf("`true` keeps the previous credential, also after the overlap, until somebody has used the current one, more "+
				"than %d minutes after it became that or this provider last proved it. Only where the platform tells when a credential was last used.",
				int(rotation.UseMargin.Minutes())),
		},
	}
}

func rotationComputed() map[string]schema.Attribute {
	return map[string]schema.Attribute{
		"current": schema.StringAttribute{
			Computed: true, MarkdownDescription: "Label of the current credential. `nhi_credential` takes it, to be read after a rotation.",
		},
		"rotates_at": schema.StringAttribute{
			Computed: true, MarkdownDescription: "When the next rotation is due (RFC 3339).",
		},
		"credentials": schema.ListNestedAttribute{
			Computed: true, MarkdownDescription: "The credentials of this rotation, oldest first.",
			NestedObject: schema.NestedAttributeObject{Attributes: map[string]schema.Attribute{
				"label":       schema.StringAttribute{Computed: true, MarkdownDescription: "The label it carries on the platform."},
				"id":          schema.StringAttribute{Computed: true, MarkdownDescription: "The platform's own id of it."},
				"stage":       schema.StringAttribute{Computed: true, MarkdownDescription: "`pending`, `current` or `previous`."},
				"issued_at":   schema.StringAttribute{Computed: true, MarkdownDescription: "When it was issued."},
				"promoted_at": schema.StringAttribute{Computed: true, MarkdownDescription: "When it became the current one."},
				"retire_at":   schema.StringAttribute{Computed: true, MarkdownDescription: "When its overlap ends, if it is a previous one."},
				"used_at_promotion": schema.StringAttribute{
					Computed:            true,
					MarkdownDescription: "The last use that may be this provider's own: its proof, or what the platform said when it became the current one.",
				},
			}},
		},
		"delivered": schema.ListNestedAttribute{
			Computed: true, MarkdownDescription: "Where the credential was delivered to. While the account is suspended that stays as it is, whatever the `deliver` " +
				"blocks say.",
			NestedObject: schema.NestedAttributeObject{Attributes: map[string]schema.Attribute{
				"platform": schema.StringAttribute{Computed: true, MarkdownDescription: "The secret store."},
				"path":     schema.StringAttribute{Computed: true, MarkdownDescription: "The path in it."},
			}},
		},
		"unmanaged": schema.ListAttribute{
			Computed: true, ElementType: types.StringType,
			MarkdownDescription: "Ids of credentials of the account that no rotation made. The next apply revokes them.",
		},
		"targets": schema.MapAttribute{
			Computed: true, ElementType: types.StringType,
			MarkdownDescription: "Stable ids of the systems that are involved, by platform; under `<platform>/store`, that of its secret store, where the " +
				"system has several (AWS: one in each region).",
		},
		"pending": schema.ListAttribute{
			Computed: true, ElementType: types.StringType,
			MarkdownDescription: "What is due, in words: a rotation, a retirement, a delivery, a revocation, audit events that wait. Empty when " +
				"nothing is.",
		},
		undeliveredAttribute: undeliveredSchema(),
	}
}

func deliverBlockSchema() schema.ListNestedBlock {
	return schema.ListNestedBlock{
		MarkdownDescription: "Where the credential goes, in this order. At least one; each needs read access as well, because a " +
			"rotation that was interrupted goes on with what the stores hold.",
		Validators: []validator.List{listvalidator.IsRequired()},
		NestedObject: schema.NestedBlockObject{Attributes: map[string]schema.Attribute{
			"platform": schema.StringAttribute{Required: true, MarkdownDescription: "Name of a configured platform that stores secrets."},
			"path": schema.StringAttribute{
				Required: true, Validators: []validator.String{stringvalidator.LengthAtLeast(1)},
				MarkdownDescription: "Path of the secret, for example `kv/billing-agent/warehouse`. What somebody else has stored there is " +
					"never overwritten.",
			},
			"fields": schema.MapAttribute{
				Optional: true, ElementType: types.StringType,
				MarkdownDescription: "The fields of the secret, each a text with placeholders: " + placeholderList() +
					". Default: `login` and `secret`. A field `" + lifecycle.NoteField + "`, without secrets, is added: it says which credential " +
					"this is.",
			},
		}},
	}
}

func placeholderList() string {
	var names []string
	for _, name := range lifecycle.Placeholders() {
		names = append(names, "{{"+name+"}}")
	}
	return codeList(names)
}

func (r *rotationResource) Create(ctx context.Context, req resource.CreateRequest, resp *resource.CreateResponse) {
	defer recovered(ctx, &resp.Diagnostics)
	var plan rotationModel
	resp.Diagnostics.Append(req.Plan.Get(ctx, &plan)...)
	wish := plan.wish(&resp.Diagnostics)
	if resp.Diagnostics.HasError() {
		return
	}
	ctx, cancel := withTimeout(ctx, plan.Timeouts.Create, &resp.Diagnostics)
	defer cancel()

	this := plan.thing()
	end, err := r.data.made.turn(ctx, this)
	if err != nil {
		resp.Diagnostics.AddError("Unable to create "+this.name, err.Error())
		return
	}
	defer end()
	resp.Diagnostics.Append(r.data.owners.keep(ctx, wish.Identity, resp.Private)...)
	op := r.data.begin(ctx, plan.operation(), types.List{}, &resp.Diagnostics)
	record, problems := lifecycle.CreateRotation(ctx, op.fleet, wish, r.data.now)
	plan.report("create", problems, &resp.Diagnostics)
	undelivered, keep := op.endCreation(ctx, len(problems) > 0 && len(record.Credentials) == 0 && len(record.Delivered) == 0, &resp.Diagnostics)
	if !keep {
		return // all was taken back: there is nothing to keep in state
	}
	plan.Undelivered = undelivered
	r.data.made.rotated(this)
	plan.setRecord(record)
	plan.Pending, plan.Unmanaged = stringList(pendingOf(problems)), stringList(nil)
	if len(problems) == 0 {
		plan.warnWaits(record, &resp.Diagnostics)
	} else {
		plan.Pending = stringList(append([]string{creationFailed}, pendingOf(problems)...))
	}
	resp.Diagnostics.Append(keepAccountID(ctx, resp.Private, wish, record.AccountID)...)
	resp.Diagnostics.Append(resp.State.Set(ctx, &plan)...)
	resp.Diagnostics.Append(plan.identify(ctx, resp.Identity)...)
}

func (r *rotationResource) Read(ctx context.Context, req resource.ReadRequest, resp *resource.ReadResponse) {
	defer recovered(ctx, &resp.Diagnostics)
	var state rotationModel
	resp.Diagnostics.Append(req.State.Get(ctx, &state)...)
	wish := state.wish(&resp.Diagnostics)
	state.checkRecord(&resp.Diagnostics)
	if resp.Diagnostics.HasError() {
		return
	}
	ctx, cancel := withTimeout(ctx, state.Timeouts.Read, &resp.Diagnostics)
	defer cancel()
	resp.Diagnostics.Append(state.identify(ctx, resp.Identity)...)
	if r.data.fleet.Retired(wish.Platform) {
		return // nothing can be asked; deleting the rotation works
	}
	if own := state.own(); own != nil {
		r.data.rotations.leave(state.thing(), own)
		return // what is there is not this rotation's, but for what state says
	}
	wish.Deliveries = withoutRetired(r.data.fleet, wish.Deliveries)
	wish.AccountIDs = accountIDs(ctx, req.Private, &resp.Diagnostics)
	wish.Owed, wish.Begun = isOwed(ctx, req.Private, &resp.Diagnostics), begun(ctx, req.Private, state.RotateWhenChanged, &resp.Diagnostics)
	seen, problems := lifecycle.PlanRotation(ctx, r.data.fleet, wish, state.record(), nil, r.data.now())
	if onlyUnconfigured(problems) {
		warnUnconfigured(problems, "nhi_rotation of", wish.Identity, &resp.Diagnostics)
		return
	}
	if impossible(problems) {
		return // the plan says so
	}
	if state.report("read", problems, &resp.Diagnostics); len(problems) > 0 {
		return
	}
	record := state.record()
	record.Credentials = seen.Record
	state.setRecord(record)
	state.Pending, state.Undelivered = withWaiting(seen.Words, state.Undelivered), keptList(state.Undelivered)
	state.Unmanaged = stringList(credentialIDs(seen.Unmanaged))
	resp.Diagnostics.Append(keepAccountID(ctx, resp.Private, wish, seen.AccountID)...)
	resp.Diagnostics.Append(resp.State.Set(ctx, &state)...)
}

func (r *rotationResource) Update(ctx context.Context, req resource.UpdateRequest, resp *resource.UpdateResponse) {
	defer recovered(ctx, &resp.Diagnostics)
	var plan, state rotationModel
	resp.Diagnostics.Append(req.Plan.Get(ctx, &plan)...)
	resp.Diagnostics.Append(req.State.Get(ctx, &state)...)
	wish, before := plan.wish(&resp.Diagnostics), state.record()
	state.checkRecord(&resp.Diagnostics)
	if resp.Diagnostics.HasError() {
		return
	}
	ctx, cancel := withTimeout(ctx, plan.Timeouts.Update, &resp.Diagnostics)
	defer cancel()

	this := plan.thing()
	end, err := r.data.made.turn(ctx, this)
	if err != nil {
		resp.Diagnostics.AddError("Unable to update "+this.name, err.Error())
		return
	}
	defer end()
	wish.Forced, wish.Owed = forced(plan, state), isOwed(ctx, req.Private, &resp.Diagnostics)
	wish.Begun = begun(ctx, req.Private, plan.RotateWhenChanged, &resp.Diagnostics)
	wish.Frozen = !plan.Credentials.IsUnknown()
	wish.AccountIDs = accountIDs(ctx, req.Private, &resp.Diagnostics)
	r.data.owners.recall(ctx, wish.Identity, req.Private, &resp.Diagnostics)
	op := r.data.begin(ctx, plan.operation(), state.Undelivered, &resp.Diagnostics)
	record, problems := lifecycle.ApplyRotation(ctx, op.fleet, wish, before, state.shown(), r.data.now)
	plan.report("update", problems, &resp.Diagnostics)
	plan.Undelivered = op.end(ctx, &resp.Diagnostics)
	plan.setRecord(record)
	plan.Pending, plan.Unmanaged = stringList(pendingOf(problems)), stringList(nil)
	current := plan.Current.ValueString()
	rotated := current != state.Current.ValueString() && current != "" && (current == record.Issued || current == wish.Begun)
	if asked := wish.Forced || wish.Owed; rotated || !asked && len(problems) == 0 {
		resp.Diagnostics.Append(setBegun(ctx, resp.Private, "", types.Map{})...)
	} else if asked && record.Issued != "" {
		resp.Diagnostics.Append(setBegun(ctx, resp.Private, record.Issued, plan.RotateWhenChanged)...)
	}
	if len(problems) > 0 {
		plan.Unmanaged = state.Unmanaged
		if !rotated {
			plan.RotateWhenChanged = state.RotateWhenChanged // what forces the rotation must force it again
		}
	} else {
		plan.warnWaits(record, &resp.Diagnostics)
		wish.Owed = wish.Owed || wish.Forced
	}
	resp.Diagnostics.Append(setOwed(ctx, resp.Private, (wish.Owed || record.WentBack) && !rotated)...)
	resp.Diagnostics.Append(keepAccountID(ctx, resp.Private, wish, record.AccountID)...)
	resp.Diagnostics.Append(resp.State.Set(ctx, &plan)...)
	resp.Diagnostics.Append(plan.identify(ctx, resp.Identity)...)
}

func (r *rotationResource) Delete(ctx context.Context, req resource.DeleteRequest, resp *resource.DeleteResponse) {
	defer recovered(ctx, &resp.Diagnostics)
	var state rotationModel
	resp.Diagnostics.Append(req.State.Get(ctx, &state)...)
	wish := state.wish(&resp.Diagnostics)
	state.checkRecord(&resp.Diagnostics)
	if resp.Diagnostics.HasError() {
		return
	}
	ctx, cancel := withTimeout(ctx, state.Timeouts.Delete, &resp.Diagnostics)
	defer cancel()

	this := state.thing()
	end, err := r.data.made.turn(ctx, this)
	if err == nil {
		defer end()
		err = r.data.made.checkRotation(this)
	}
	if err != nil {
		resp.Diagnostics.AddError("Unable to delete "+this.name, err.Error())
		return
	}
	wish.AccountIDs = accountIDs(ctx, req.Private, &resp.Diagnostics)
	if !r.data.removals.planned(ctx, req.Private) { // What is destroyed leaves nothing, also of what was there before.
		wish.Own = state.own()
	}
	r.data.owners.recall(ctx, wish.Identity, req.Private, &resp.Diagnostics)
	op := r.data.begin(ctx, state.operation(), state.Undelivered, &resp.Diagnostics)
	left, problems := lifecycle.DeleteRotation(ctx, op.fleet, wish, state.record())
	if len(problems) > 0 && r.data.removals.ahead(ctx, op, req.Private, wish.Identity, problems, &resp.Diagnostics) {
		left, problems = lifecycle.DeleteRotation(ctx, op.fleet, wish, left)
	}
	state.report("delete", problems, &resp.Diagnostics)
	kept := op.endDeletion(ctx, deletion{
		what: fmt.Sprintf("the rotation of %q", wish.Identity), failed: len(problems) > 0, identity: wish.Identity,
		private: req.Private,
	}, &resp.Diagnostics)
	if kept == nil {
		return
	}
	state.Undelivered = *kept
	resp.Diagnostics.Append(r.data.removals.failed(ctx, resp.Private)...)
	own := state.own()
	state.Pending = stringList(pendingOf(problems))
	if own != nil {
		left.Credentials = state.record().Credentials // a place that is left may hold what was revoked
		state.Pending = stringList(append([]string{creationFailed}, pendingOf(problems)...))
	}
	state.setRecord(left)
	resp.Diagnostics.Append(resp.State.Set(ctx, &state)...)
}

// keepAccountID keeps in private state which account the rotation is of: without a mark it is accepted with this id only.
func keepAccountID(ctx context.Context, private privateWriter, wish lifecycle.Rotation, id string) diag.Diagnostics {
	ids := maps.Clone(wish.AccountIDs)
	if id != "" {
		ids = map[string]string{wish.Platform: id}
	}
	return setAccountIDs(ctx, private, ids)
}

// needs lists the capabilities that a rotation needs of the platform that issues.
func (m rotationModel) needs() []driver.Capability {
	needs := []driver.Capability{driver.CanIssue}
	if m.Verify.ValueBool() {
		needs = append(needs, driver.CanVerify)
	}
	return needs
}
