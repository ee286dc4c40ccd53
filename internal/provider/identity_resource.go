package provider

import (
	"context"
	"fmt"
	"maps"
	"time"

	"github.com/hashicorp/terraform-plugin-framework-timeouts/resource/timeouts"
	"github.com/hashicorp/terraform-plugin-framework-timetypes/timetypes"
	"github.com/hashicorp/terraform-plugin-framework-validators/stringvalidator"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/resource/identityschema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/booldefault"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/planmodifier"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/stringdefault"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/stringplanmodifier"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/nhi-labs/terraform-provider-nhi/internal/audit"
	"github.com/nhi-labs/terraform-provider-nhi/internal/lifecycle"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
	"github.com/nhi-labs/terraform-provider-nhi/internal/reconcile"
)

var (
	_ resource.ResourceWithConfigure      = (*identityResource)(nil)
	_ resource.ResourceWithModifyPlan     = (*identityResource)(nil)
	_ resource.ResourceWithImportState    = (*identityResource)(nil)
	_ resource.ResourceWithIdentity       = (*identityResource)(nil)
	_ resource.ResourceWithValidateConfig = (*identityResource)(nil)

	_ resource.ResourceWithUpgradeIdentity = (*identityResource)(nil)
)

// defaultTimeout bounds one operation of a resource on all its platforms together.
const defaultTimeout = 20 * time.Minute

const (
	onDestroyDelete  = "delete"
	onDestroySuspend = "suspend"
)

type identityResource struct {
	data *providerData
}

func newIdentityResource() resource.Resource { return &identityResource{} }

func (r *identityResource) Metadata(_ context.Context, _ resource.MetadataRequest, resp *resource.MetadataResponse) {
	resp.TypeName = "nhi_identity"
}

func (r *identityResource) Configure(_ context.Context, req resource.ConfigureRequest, resp *resource.ConfigureResponse) {
	r.data = configured(req.ProviderData, &resp.Diagnostics)
}

func (r *identityResource) IdentitySchema(_ context.Context, _ resource.IdentitySchemaRequest, resp *resource.IdentitySchemaResponse) {
	resp.IdentitySchema = identityschema.Schema{Version: identityVersion, Attributes: map[string]identityschema.Attribute{
		"name":      identityschema.StringAttribute{RequiredForImport: true, Description: "The identity's name."},
		accountsKey: accountsIdentityAttribute(),
		"kind": identityschema.StringAttribute{
			OptionalForImport: true, Description: "For an import: the kind, which no platform knows. Not kept in state.",
		},
		"owner": identityschema.StringAttribute{
			OptionalForImport: true, Description: "For an import: the owner, whom no platform knows. Not kept in state.",
		},
	}}
}

// UpgradeIdentity implements resource.ResourceWithUpgradeIdentity.
func (r *identityResource) UpgradeIdentity(context.Context) map[int64]resource.IdentityUpgrader {
	return fromNameAlone("name", func(name types.String) any {
		return identityIdentity{Name: name, Accounts: types.ListNull(types.StringType)}
	})
}

// identityIdentity is the resource identity. In state it is the name alone; the rest says what an import is to find.
type identityIdentity struct {
	Name     types.String `tfsdk:"name"`
	Accounts types.List   `tfsdk:"accounts"`
	Kind     types.String `tfsdk:"kind"`
	Owner    types.String `tfsdk:"owner"`
}

func (r *identityResource) Schema(ctx context.Context, _ resource.SchemaRequest, resp *resource.SchemaResponse) {
	resp.Schema = schema.Schema{
		MarkdownDescription: "One non-human identity and its accounts on the configured platforms.\n\n" +
			"Every account carries an ownership mark (stack and identity name) on its platform. An account that exists without " +
			"the mark is never taken over silently: set `adopt = true`, or import the identity. Removing an `account` block deletes " +
			"that account; the plan says so in a warning.",
		Attributes: identityAttributes(),
		Blocks: map[string]schema.Block{
			"account":  accountBlockSchema(),
			"timeouts": timeouts.Block(ctx, timeouts.Opts{Create: true, Read: true, Update: true, Delete: true}),
		},
	}
}

func identityKindNames() []string {
	var names []string
	for _, k := range nhi.IdentityKinds() {
		names = append(names, string(k))
	}
	return names
}

func identityAttributes() map[string]schema.Attribute {
	kindNames := identityKindNames()
	return map[string]schema.Attribute{
		"name": schema.StringAttribute{
			Required: true, PlanModifiers: []planmodifier.String{stringplanmodifier.RequiresReplace()},
			MarkdownDescription: "Name of the identity, unique in its stack, and default name of its accounts. 1 to 63 letters, " +
				"digits, `.`, `_` or `-`. Changing it replaces the identity with all its accounts, also those that have a `name` of their " +
				"own. With `on_destroy = \"suspend\"` or `create_before_destroy` the old ones would be in the way, which is refused.",
		},
		"kind": schema.StringAttribute{
			Required: true, Validators: []validator.String{stringvalidator.OneOf(kindNames...)},
			MarkdownDescription: "Who or what uses the identity: " + codeList(kindNames) + ".",
		},
		"owner": schema.StringAttribute{
			Required: true, Validators: []validator.String{stringvalidator.LengthAtLeast(1)},
			MarkdownDescription: "Who answers for the identity: a team's address, not a person's where that can be avoided.",
		},
		"purpose": schema.StringAttribute{
			Optional: true, MarkdownDescription: "What the identity is for, in a sentence.",
		},
		"enabled": schema.BoolAttribute{
			Optional: true, Computed: true, Default: booldefault.StaticBool(true),
			MarkdownDescription: "`false` suspends every account: no login works any more and live sessions are ended, while " +
				"entitlements stay. `true` (default) resumes.",
		},
		"expires_at": schema.StringAttribute{
			Optional: true, CustomType: timetypes.RFC3339Type{},
			MarkdownDescription: "From this time (RFC 3339) on, the next plan suspends every account. Platforms with a native expiry " +
				"get it as well, so that access ends there even without an apply.",
		},
		"on_destroy": schema.StringAttribute{
			Optional: true, Computed: true, Default: stringdefault.StaticString(onDestroyDelete),
			Validators: []validator.String{stringvalidator.OneOf(onDestroyDelete, onDestroySuspend)},
			MarkdownDescription: "What destroying the identity does to its accounts: `delete` (default), or `suspend`, which keeps them " +
				"with their mark and entitlements but without credentials.",
		},
		"accounts": schema.MapNestedAttribute{
			Computed:            true,
			MarkdownDescription: "The accounts as the platforms show them, by platform.",
			NestedObject: schema.NestedAttributeObject{Attributes: map[string]schema.Attribute{
				"name":   schema.StringAttribute{Computed: true, MarkdownDescription: "Name of the account."},
				"id":     schema.StringAttribute{Computed: true, MarkdownDescription: "The platform's own stable id of the account."},
				"target": schema.StringAttribute{Computed: true, MarkdownDescription: "Stable id of the system that holds the account."},
				"status": schema.StringAttribute{Computed: true, MarkdownDescription: "`active` or `suspended`; `deleted` if the account is gone and " +
					"what its name holds, or a credential of it, is not (the page of its platform says more)."},
			}},
		},
		"account_names": schema.MapAttribute{
			Computed: true, ElementType: types.StringType,
			MarkdownDescription: "Names of those accounts that are not named like the identity, by platform. Grants use it.",
		},
		"pending": schema.ListAttribute{
			Computed: true, ElementType: types.StringType,
			MarkdownDescription: "What the platforms still need beyond what `accounts` shows, in words (a removed ownership mark, " +
				"a changed native expiry, sessions that may live on after a suspension), and which audit events wait. Empty when all is as " +
				"declared; otherwise the next apply sees to it.",
		},
		undeliveredAttribute: undeliveredSchema(),
	}
}

func accountBlockSchema() schema.SetNestedBlock {
	blocks := make(map[string]schema.Block)
	for name, k := range kindsWithSettings() {
		blocks[name] = schema.SingleNestedBlock{
			MarkdownDescription: fmt.Sprintf("Settings of accounts on %s platforms. What is not set here is not managed.", k.spec.Title),
			Attributes:          k.settings,
		}
	}
	return schema.SetNestedBlock{
		MarkdownDescription: "An account on one platform; at most one per platform. Without any, the identity has no access anywhere.",
		NestedObject: schema.NestedBlockObject{
			Attributes: map[string]schema.Attribute{
				"platform": schema.StringAttribute{Required: true, MarkdownDescription: "Name of a configured platform."},
				"name": schema.StringAttribute{
					Optional: true, Validators: []validator.String{stringvalidator.LengthAtLeast(1)},
					MarkdownDescription: "Name of the account. Default: the identity's name. Changing it deletes the account and makes another one.",
				},
				"adopt": schema.BoolAttribute{
					Optional: true,
					MarkdownDescription: "`true` takes over an account that exists without an ownership mark, with everything it holds. " +
						"Accounts marked by another stack are never taken over.",
				},
			},
			Blocks: blocks,
		},
	}
}

func (r *identityResource) Create(ctx context.Context, req resource.CreateRequest, resp *resource.CreateResponse) {
	defer recovered(ctx, &resp.Diagnostics)
	var plan identityModel
	resp.Diagnostics.Append(req.Plan.Get(ctx, &plan)...)
	if resp.Diagnostics.HasError() {
		return
	}
	ctx, cancel := withTimeout(ctx, plan.Timeouts.Create, &resp.Diagnostics)
	defer cancel()

	end, err := r.data.made.turn(ctx, identityThing(plan.Name.ValueString()))
	if err != nil {
		resp.Diagnostics.AddError(fmt.Sprintf("Unable to create identity %q", plan.Name.ValueString()), err.Error())
		return
	}
	defer end()
	op := r.data.begin(ctx, plan.operation(), types.List{}, &resp.Diagnostics)
	records, problems := lifecycle.CreateIdentity(ctx, op.fleet, plan.wish(r.data))
	plan.report("create", problems, &resp.Diagnostics)
	undelivered, keep := op.endCreation(ctx, len(problems) > 0 && len(records) == 0, &resp.Diagnostics)
	if !keep {
		return // all was taken back: there is nothing to keep in state
	}
	plan.Undelivered = undelivered
	r.data.made.created(records)
	plan.record(records, nil)
	if len(problems) > 0 {
		plan.Pending = stringList([]string{identityFailed})
	}
	resp.Diagnostics.Append(resp.State.Set(ctx, &plan)...)
	resp.Diagnostics.Append(resp.Identity.SetAttribute(ctx, path.Root("name"), plan.Name)...)
}

func (r *identityResource) Read(ctx context.Context, req resource.ReadRequest, resp *resource.ReadResponse) {
	defer recovered(ctx, &resp.Diagnostics)
	var state identityModel
	resp.Diagnostics.Append(req.State.Get(ctx, &state)...)
	if resp.Diagnostics.HasError() {
		return
	}
	ctx, cancel := withTimeout(ctx, state.Timeouts.Read, &resp.Diagnostics)
	defer cancel()

	imported, diags := req.Private.GetKey(ctx, importedKey)
	resp.Diagnostics.Append(diags...)
	seen, problems := lifecycle.Observe(ctx, r.data.fleet, state.wish(r.data), state.records(), imported == nil, stringsIn(state.Pending))
	resp.Diagnostics.Append(resp.Identity.SetAttribute(ctx, path.Root("name"), state.Name)...)
	if onlyUnconfigured(problems) {
		warnUnconfigured(problems, "nhi_identity", state.Name.ValueString(), &resp.Diagnostics)
		for _, platform := range problems.Platforms() {
			seen.Records[platform] = state.records()[platform]
			seen.Pending = append(seen.Pending, pendingOn(platform, state.Pending, state.Undelivered)...)
		}
	} else if state.report("read", problems, &resp.Diagnostics); len(problems) > 0 {
		return
	}
	r.data.accounts.record(state.Name.ValueString(), seen.Records)
	if state.failed() {
		r.data.accounts.fail(state.Name.ValueString(), seen.Records)
		seen.Pending = append([]string{identityFailed}, seen.Pending...)
	}
	state.record(seen.Records, seen.Pending)
	state.Pending, state.Undelivered = withWaiting(seen.Pending, state.Undelivered), keptList(state.Undelivered)
	state.refreshSettings(seen.Accounts)
	resp.Diagnostics.Append(noteSoon(ctx, resp.Private, state.ExpiresAt, r.data.now())...)
	resp.Diagnostics.Append(resp.State.Set(ctx, &state)...)
}

func (r *identityResource) Update(ctx context.Context, req resource.UpdateRequest, resp *resource.UpdateResponse) {
	defer recovered(ctx, &resp.Diagnostics)
	var plan, state identityModel
	resp.Diagnostics.Append(req.Plan.Get(ctx, &plan)...)
	resp.Diagnostics.Append(req.State.Get(ctx, &state)...)
	if resp.Diagnostics.HasError() {
		return
	}
	ctx, cancel := withTimeout(ctx, plan.Timeouts.Update, &resp.Diagnostics)
	defer cancel()

	op := r.data.begin(ctx, plan.operation(), state.Undelivered, &resp.Diagnostics)
	wish, removed := plan.wish(r.data), state.wish(r.data)
	records, problems := lifecycle.UpdateIdentity(ctx, op.fleet, wish, state.records())
	for platform := range wish.Accounts {
		delete(removed.Accounts, platform)
	}
	left, more := r.removeStrays(ctx, op, removed, state.records(), false, &resp.Diagnostics)
	maps.Copy(records, left)
	problems = append(problems, more...)
	plan.report("update", problems, &resp.Diagnostics)
	plan.reportRemade(records, &resp.Diagnostics)
	plan.reportStatuses(r.data.fleet, records, &resp.Diagnostics)
	plan.Undelivered = op.end(ctx, &resp.Diagnostics)
	plan.record(records, pendingOf(problems))
	// Also where a platform failed: that its account carries no mark is then what is left to do.
	resp.Diagnostics.Append(resp.Private.SetKey(ctx, importedKey, nil)...)
	resp.Diagnostics.Append(resp.State.Set(ctx, &plan)...)
	resp.Diagnostics.Append(resp.Identity.SetAttribute(ctx, path.Root("name"), plan.Name)...)
}

func (r *identityResource) Delete(ctx context.Context, req resource.DeleteRequest, resp *resource.DeleteResponse) {
	defer recovered(ctx, &resp.Diagnostics)
	var state identityModel
	resp.Diagnostics.Append(req.State.Get(ctx, &state)...)
	if resp.Diagnostics.HasError() {
		return
	}
	ctx, cancel := withTimeout(ctx, state.Timeouts.Delete, &resp.Diagnostics)
	defer cancel()

	end, err := r.data.made.turn(ctx, identityThing(state.Name.ValueString()))
	if err == nil {
		defer end()
		err = r.data.made.check(state.records())
	}
	if err != nil {
		resp.Diagnostics.AddError(fmt.Sprintf("Unable to delete identity %q", state.Name.ValueString()), err.Error())
		return
	}
	suspendOnly := state.OnDestroy.ValueString() == onDestroySuspend
	op := r.data.begin(ctx, state.operation(), state.Undelivered, &resp.Diagnostics)
	takeOver := func(take func(ctx context.Context, identity string, to *audit.Journal) error) {
		addErrorAt(&resp.Diagnostics, path.Root(undeliveredAttribute), "Unable to take over audit events",
			take(ctx, state.Name.ValueString(), op.journal))
	}
	takeOver(r.data.handovers.take)
	left, problems := lifecycle.DeleteIdentity(ctx, op.fleet, state.wish(r.data), state.records(), suspendOnly)
	if !state.failed() || r.data.removals.planned(ctx, req.Private) {
		strays, more := r.removeStrays(ctx, op, state.wish(r.data), state.records(), suspendOnly, &resp.Diagnostics)
		maps.Copy(left, strays)
		problems = append(problems, more...)
	}
	state.report("delete", problems, &resp.Diagnostics)
	takeOver(r.data.handovers.end) // of grants and rotations that were deleted meanwhile
	kept := op.endDeletion(ctx, deletion{
		what: fmt.Sprintf("identity %q", state.Name.ValueString()), failed: len(problems) > 0,
	}, &resp.Diagnostics)
	if kept == nil {
		r.data.removals.done(ctx, req.Private, state.Name.ValueString())
		return
	}
	state.Undelivered = *kept
	resp.Diagnostics.Append(r.data.removals.failed(ctx, resp.Private)...)
	var pending []string
	if state.failed() {
		pending = []string{identityFailed}
	}
	state.record(left, pending)
	resp.Diagnostics.Append(resp.State.Set(ctx, &state)...)
}

// removeStrays removes accounts that the identity declared and state does not record: a run that was killed may have made
// them again after a refresh had seen them gone. A platform that cannot be asked holds nothing up, since there need not be any.
func (r *identityResource) removeStrays(ctx context.Context, op *operation, id lifecycle.Identity, recorded map[string]lifecycle.Record,
	suspendOnly bool, diags *diag.Diagnostics,
) (map[string]lifecycle.Record, lifecycle.Problems) {
	strays, unasked := lifecycle.Strays(ctx, op.fleet, id, recorded)
	for _, p := range unasked {
		diags.AddWarning(fmt.Sprintf("Platform %q was not asked for an account of identity %q", p.Platform, id.Name), p.Err.Error()+
			"\n\nState records none there. If one is left nevertheless, nhi_orphans finds it by its mark.")
	}
	maps.DeleteFunc(strays, func(platform string, stray lifecycle.Record) bool {
		return r.data.made.check(map[string]lifecycle.Record{platform: stray}) != nil // it is the one that replaces this identity's
	})
	return lifecycle.DeleteIdentity(ctx, op.fleet, id, strays, suspendOnly)
}

// pendingOf words problems as pending work. A failed update may leave state equal to the plan (a setting, an expiry);
// this keeps the next plan from being empty.
func pendingOf(problems lifecycle.Problems) []string {
	var out []string
	for _, platform := range problems.Platforms() {
		out = append(out, reconcile.Failed(platform))
	}
	return out
}

func codeList(names []string) string {
	text := ""
	for i, name := range names {
		if i > 0 {
			text += ", "
		}
		text += "`" + name + "`"
	}
	return text
}

// withTimeout applies one of a resource's timeouts.
func withTimeout(ctx context.Context, get func(context.Context, time.Duration) (time.Duration, diag.Diagnostics),
	diags *diag.Diagnostics,
) (context.Context, context.CancelFunc) {
	limit, more := get(ctx, defaultTimeout)
	diags.Append(more...)
	return context.WithTimeout(ctx, limit)
}
