package provider

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework-timeouts/resource/timeouts"
	"github.com/hashicorp/terraform-plugin-framework-timetypes/timetypes"
	"github.com/hashicorp/terraform-plugin-framework-validators/mapvalidator"
	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/resource/identityschema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/booldefault"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/objectplanmodifier"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/planmodifier"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/nhi-labs/terraform-provider-nhi/internal/lifecycle"
)

var (
	_ resource.ResourceWithConfigure   = (*grantResource)(nil)
	_ resource.ResourceWithModifyPlan  = (*grantResource)(nil)
	_ resource.ResourceWithImportState = (*grantResource)(nil)
	_ resource.ResourceWithIdentity    = (*grantResource)(nil)

	_ resource.ResourceWithUpgradeIdentity = (*grantResource)(nil)
)

const (
	grantActive  = "active"
	grantExpired = "expired"
)

type grantResource struct {
	data *providerData
}

func newGrantResource() resource.Resource { return &grantResource{} }

func (r *grantResource) Metadata(_ context.Context, _ resource.MetadataRequest, resp *resource.MetadataResponse) {
	resp.TypeName = "nhi_grant"
}

func (r *grantResource) Configure(_ context.Context, req resource.ConfigureRequest, resp *resource.ConfigureResponse) {
	r.data = configured(req.ProviderData, &resp.Diagnostics)
}

func (r *grantResource) IdentitySchema(_ context.Context, _ resource.IdentitySchemaRequest, resp *resource.IdentitySchemaResponse) {
	resp.IdentitySchema = identityschema.Schema{Version: identityVersion, Attributes: map[string]identityschema.Attribute{
		"identity":  identityschema.StringAttribute{RequiredForImport: true, Description: "The identity's name."},
		accountsKey: accountsIdentityAttribute(),
	}}
}

// UpgradeIdentity implements resource.ResourceWithUpgradeIdentity.
func (r *grantResource) UpgradeIdentity(context.Context) map[int64]resource.IdentityUpgrader {
	return fromNameAlone("identity", func(name types.String) any {
		return grantIdentity{Identity: name, Accounts: types.ListNull(types.StringType)}
	})
}

// grantIdentity is the resource identity. In state it is the identity's name alone.
type grantIdentity struct {
	Identity types.String `tfsdk:"identity"`
	Accounts types.List   `tfsdk:"accounts"`
}

func (r *grantResource) Schema(ctx context.Context, _ resource.SchemaRequest, resp *resource.SchemaResponse) {
	resp.Schema = schema.Schema{
		MarkdownDescription: "What an identity's accounts may do, on all platforms at once.\n\n" +
			"Creating a grant only adds. By default a grant is exclusive: what the accounts hold beyond it shows as removals in the " +
			"next plan. An update revokes exactly what its plan listed, grants before it revokes, and is finished by the next run if " +
			"a platform fails.",
		Attributes: grantAttributes(),
		Blocks: map[string]schema.Block{
			"timeouts": timeouts.Block(ctx, timeouts.Opts{Create: true, Read: true, Update: true, Delete: true}),
		},
	}
}

func identityReferenceTypes() map[string]attr.Type {
	return map[string]attr.Type{"name": types.StringType, "account_names": types.MapType{ElemType: types.StringType}}
}

func grantAttributes() map[string]schema.Attribute {
	entitlementSets := types.SetType{ElemType: types.StringType}
	var spellings strings.Builder
	for _, k := range kinds() {
		fmt.Fprintf(&spellings, "\n  - %s: %s", k.spec.Title, examplesOf(k.spec.Grammar))
	}
	return map[string]schema.Attribute{
		"identity": schema.ObjectAttribute{
			Required: true, AttributeTypes: identityReferenceTypes(),
			PlanModifiers: []planmodifier.Object{objectplanmodifier.RequiresReplaceIf(identityNameChanged,
				"Another identity replaces the grant.", "Another identity replaces the grant.")},
			MarkdownDescription: "The identity: `nhi_identity.x`, or from another workspace " +
				"`{ name = \"billing-agent\", account_names = { sap = \"T_BILLING_AGENT\" } }`, where `account_names` holds the accounts " +
				"that are not named like the identity.",
		},
		"entitlements": schema.MapAttribute{
			Required: true, ElementType: entitlementSets, Validators: []validator.Map{mapvalidator.SizeAtLeast(1)},
			MarkdownDescription: "What the accounts hold: a set of entitlements per platform, each `type:target` or " +
				"`type:target#permission` in its one canonical spelling. An empty set means that the account holds nothing there. " +
				"For example:" + spellings.String(),
		},
		"exclusive": schema.BoolAttribute{
			Optional: true, Computed: true, Default: booldefault.StaticBool(true),
			MarkdownDescription: "`true` (default): whatever else the accounts hold on the platforms named in `entitlements` is drift and " +
				"is revoked once a plan has shown it. `false`: only the entitlements of this grant are looked at.",
		},
		"tolerate": schema.MapAttribute{
			Optional: true, ElementType: entitlementSets,
			MarkdownDescription: "Entitlements that an exclusive grant leaves alone because another grant answers for them: " +
				"`tolerate = nhi_grant.other.entitlements`.",
		},
		"expires_at": schema.StringAttribute{
			Optional: true, CustomType: timetypes.RFC3339Type{},
			MarkdownDescription: "From this time (RFC 3339) on, the next plan revokes every entitlement of the grant.",
		},
		"justification": schema.StringAttribute{
			Optional: true, MarkdownDescription: "Why the access is given: a change number, a ticket.",
		},
		"status": schema.StringAttribute{
			Computed: true, MarkdownDescription: "`active`, or `expired` once `expires_at` has passed and everything was revoked.",
		},
		"targets": schema.MapAttribute{
			Computed: true, ElementType: types.StringType,
			MarkdownDescription: "Stable ids of the systems that the entitlements are on, by platform.",
		},
		"pending": schema.ListAttribute{
			Computed: true, ElementType: types.StringType,
			MarkdownDescription: "What an expired grant still has to revoke, and which audit events wait, in words. Empty when all is done.",
		},
		undeliveredAttribute: undeliveredSchema(),
	}
}

func identityNameChanged(_ context.Context, req planmodifier.ObjectRequest, resp *objectplanmodifier.RequiresReplaceIfFuncResponse) {
	before, after := req.StateValue.Attributes()["name"], req.PlanValue.Attributes()["name"]
	// A reference that is wholly unknown may turn out to be another identity's.
	resp.RequiresReplace = before != nil && !before.Equal(after)
}

func (r *grantResource) Create(ctx context.Context, req resource.CreateRequest, resp *resource.CreateResponse) {
	defer recovered(ctx, &resp.Diagnostics)
	var plan grantModel
	resp.Diagnostics.Append(req.Plan.Get(ctx, &plan)...)
	grant := plan.wish(r.data, &resp.Diagnostics)
	if resp.Diagnostics.HasError() {
		return
	}
	ctx, cancel := withTimeout(ctx, plan.Timeouts.Create, &resp.Diagnostics)
	defer cancel()

	resp.Diagnostics.Append(r.data.owners.keep(ctx, grant.Identity, resp.Private)...)
	op := r.data.begin(ctx, plan.operation(), types.List{}, &resp.Diagnostics)
	left, ids, problems := lifecycle.CreateGrant(ctx, op.fleet, grant)
	plan.report("create", problems, &resp.Diagnostics)
	undelivered, keep := op.endCreation(ctx, len(problems) > 0 && len(left) == 0, &resp.Diagnostics)
	if !keep {
		return // all was taken back: there is nothing to keep in state
	}
	plan.Undelivered = undelivered
	plan.Status = grantStatus(grant.Expired)
	plan.record(r.data, left, len(problems) > 0)
	plan.resolveTargets(ctx, r.data)
	resp.Diagnostics.Append(setAccountIDs(ctx, resp.Private, ids)...)
	resp.Diagnostics.Append(resp.State.Set(ctx, &plan)...)
	resp.Diagnostics.Append(resp.Identity.SetAttribute(ctx, path.Root("identity"), grant.Identity)...)
}

func (r *grantResource) Read(ctx context.Context, req resource.ReadRequest, resp *resource.ReadResponse) {
	defer recovered(ctx, &resp.Diagnostics)
	var state grantModel
	resp.Diagnostics.Append(req.State.Get(ctx, &state)...)
	grant := state.wish(r.data, &resp.Diagnostics)
	if resp.Diagnostics.HasError() {
		return
	}
	ctx, cancel := withTimeout(ctx, state.Timeouts.Read, &resp.Diagnostics)
	defer cancel()

	grant.Expired = state.expired(r.data.now())
	if grant.AccountIDs = accountIDs(ctx, req.Private, &resp.Diagnostics); resp.Diagnostics.HasError() {
		return
	}
	seen, problems := lifecycle.ObserveGrant(ctx, r.data.fleet, grant, grant.Declared, mapOfStrings(state.Targets))
	resp.Diagnostics.Append(resp.Identity.SetAttribute(ctx, path.Root("identity"), grant.Identity)...)
	if onlyUnconfigured(problems) {
		warnUnconfigured(problems, "nhi_grant of", grant.Identity, &resp.Diagnostics)
		for _, platform := range problems.Platforms() {
			seen.Visible[platform] = grant.Declared[platform]
			seen.Pending = append(seen.Pending, pendingOn(platform, state.Pending, state.Undelivered)...)
			copyIfThere(seen.Targets, mapOfStrings(state.Targets), platform)
			copyIfThere(seen.AccountIDs, grant.AccountIDs, platform)
		}
	} else if state.report("read", problems, &resp.Diagnostics); len(problems) > 0 {
		return
	}
	state.hold(r.data, seen.Visible)
	state.Pending, state.Undelivered = withWaiting(seen.Pending, state.Undelivered), keptList(state.Undelivered)
	state.Targets = stringMap(seen.Targets)
	resp.Diagnostics.Append(setAccountIDs(ctx, resp.Private, seen.AccountIDs)...)
	resp.Diagnostics.Append(noteSoon(ctx, resp.Private, state.ExpiresAt, r.data.now())...)
	resp.Diagnostics.Append(resp.State.Set(ctx, &state)...)
}

func (r *grantResource) Update(ctx context.Context, req resource.UpdateRequest, resp *resource.UpdateResponse) {
	defer recovered(ctx, &resp.Diagnostics)
	var plan, state grantModel
	resp.Diagnostics.Append(req.Plan.Get(ctx, &plan)...)
	resp.Diagnostics.Append(req.State.Get(ctx, &state)...)
	grant, shown := plan.wish(r.data, &resp.Diagnostics), state.recorded(r.data, &resp.Diagnostics)
	if resp.Diagnostics.HasError() {
		return
	}
	ctx, cancel := withTimeout(ctx, plan.Timeouts.Update, &resp.Diagnostics)
	defer cancel()

	if grant.AccountIDs = accountIDs(ctx, req.Private, &resp.Diagnostics); resp.Diagnostics.HasError() {
		return // without them another account of the same name would do
	}
	r.data.owners.recall(ctx, grant.Identity, req.Private, &resp.Diagnostics)
	op := r.data.begin(ctx, plan.operation(), state.Undelivered, &resp.Diagnostics)
	held, ids, problems := lifecycle.UpdateGrant(ctx, op.fleet, grant, shown, mapOfStrings(state.Targets))
	plan.report("update", problems, &resp.Diagnostics)
	plan.Undelivered = op.end(ctx, &resp.Diagnostics)
	plan.Status = grantStatus(grant.Expired)
	plan.record(r.data, held, len(problems) > 0)
	if len(problems) > 0 {
		// Platforms that failed keep their target; without an answer there is no newer one.
		targets := mapOfStrings(state.Targets)
		maps.Copy(targets, mapOfStrings(plan.Targets))
		plan.Targets = stringMap(targets)
		plan.Status = state.Status
	}
	plan.resolveTargets(ctx, r.data)
	resp.Diagnostics.Append(setAccountIDs(ctx, resp.Private, ids)...)
	resp.Diagnostics.Append(resp.State.Set(ctx, &plan)...)
	resp.Diagnostics.Append(resp.Identity.SetAttribute(ctx, path.Root("identity"), grant.Identity)...)
}

func (r *grantResource) Delete(ctx context.Context, req resource.DeleteRequest, resp *resource.DeleteResponse) {
	defer recovered(ctx, &resp.Diagnostics)
	var state grantModel
	resp.Diagnostics.Append(req.State.Get(ctx, &state)...)
	grant, shown := state.wish(r.data, &resp.Diagnostics), state.recorded(r.data, &resp.Diagnostics)
	if resp.Diagnostics.HasError() {
		return
	}
	ctx, cancel := withTimeout(ctx, state.Timeouts.Delete, &resp.Diagnostics)
	defer cancel()

	if grant.AccountIDs = accountIDs(ctx, req.Private, &resp.Diagnostics); resp.Diagnostics.HasError() {
		return
	}
	r.data.recallMoved(ctx, req.Private, grant, shown)
	r.data.owners.recall(ctx, grant.Identity, req.Private, &resp.Diagnostics)
	op := r.data.begin(ctx, state.operation(), state.Undelivered, &resp.Diagnostics)
	remove := func() (lifecycle.Entitlements, lifecycle.Problems) {
		return lifecycle.DeleteGrant(ctx, op.fleet, grant, shown, mapOfStrings(state.Targets))
	}
	left, problems := remove()
	if len(problems) > 0 && r.data.removals.ahead(ctx, op, req.Private, grant.Identity, problems, &resp.Diagnostics) {
		left, problems = remove() // An account that is gone holds nothing.
	}
	state.report("delete", problems, &resp.Diagnostics)
	kept := op.endDeletion(ctx, deletion{
		what: fmt.Sprintf("the grant of %q", grant.Identity), failed: len(problems) > 0, identity: grant.Identity,
		private: req.Private,
	}, &resp.Diagnostics)
	if kept == nil {
		return
	}
	state.Undelivered = *kept
	resp.Diagnostics.Append(r.data.removals.failed(ctx, resp.Private)...)
	state.record(r.data, left, true)
	resp.Diagnostics.Append(resp.State.Set(ctx, &state)...)
}

// accountIDsKey holds in private state the platforms' ids of the accounts that the grant is about.
const accountIDsKey = "account_ids"

// privateReader is private state, as requests carry it.
type privateReader interface {
	GetKey(ctx context.Context, key string) ([]byte, diag.Diagnostics)
}

func accountIDs(ctx context.Context, private privateReader, diags *diag.Diagnostics) map[string]string {
	text, more := private.GetKey(ctx, accountIDsKey)
	diags.Append(more...)
	if text == nil {
		return nil
	}
	var ids map[string]string
	if err := json.Unmarshal(text, &ids); err != nil {
		diags.AddError("Unreadable private state", fmt.Sprintf("The key %q of the grant's private state is damaged: %v.", accountIDsKey, err))
	}
	return ids
}

// privateWriter is private state, as responses carry it.
type privateWriter interface {
	SetKey(ctx context.Context, key string, value []byte) diag.Diagnostics
}

func setAccountIDs(ctx context.Context, private privateWriter, ids map[string]string) diag.Diagnostics {
	text, err := json.Marshal(ids)
	if err != nil {
		return diag.Diagnostics{diag.NewErrorDiagnostic("Unable to keep the accounts' ids", err.Error())}
	}
	return private.SetKey(ctx, accountIDsKey, text)
}
