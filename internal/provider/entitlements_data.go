package provider

import (
	"context"

	"github.com/hashicorp/terraform-plugin-framework-validators/datasourcevalidator"
	"github.com/hashicorp/terraform-plugin-framework-validators/setvalidator"
	"github.com/hashicorp/terraform-plugin-framework/datasource"
	"github.com/hashicorp/terraform-plugin-framework/datasource/schema"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/nhi-labs/terraform-provider-nhi/internal/lifecycle"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
)

var (
	_ datasource.DataSourceWithConfigure        = (*entitlementsData)(nil)
	_ datasource.DataSourceWithConfigValidators = (*entitlementsData)(nil)
	_ datasource.DataSourceWithConfigure        = (*holdersData)(nil)
)

// entitlementsData tells everything that an identity or an account effectively holds.
type entitlementsData struct{ dataSource }

func newEntitlementsData() datasource.DataSource { return &entitlementsData{} }

type entitlementsModel struct {
	Identity     types.Object `tfsdk:"identity"`
	Platforms    types.List   `tfsdk:"platforms"`
	Platform     types.String `tfsdk:"platform"`
	Account      types.String `tfsdk:"account"`
	DirectOnly   types.Set    `tfsdk:"direct_only"`
	Entitlements []heldView   `tfsdk:"entitlements"`
}

// heldView is one holding.
type heldView struct {
	Platform    types.String `tfsdk:"platform"`
	Account     types.String `tfsdk:"account"`
	Entitlement types.String `tfsdk:"entitlement"`
	Direct      types.Bool   `tfsdk:"direct"`
	Via         types.List   `tfsdk:"via"`
}

func heldViewOf(h lifecycle.Held) heldView {
	return heldView{
		Platform: types.StringValue(h.Platform), Account: types.StringValue(h.Account.Name),
		Entitlement: types.StringValue(h.Entitlement.String()), Direct: types.BoolValue(len(h.Via) == 0), Via: stringList(h.Via),
	}
}

func heldAttributes() map[string]schema.Attribute {
	return map[string]schema.Attribute{
		"platform":    schema.StringAttribute{Computed: true, MarkdownDescription: "Name of the configured platform."},
		"account":     schema.StringAttribute{Computed: true, MarkdownDescription: "Name of the account."},
		"entitlement": schema.StringAttribute{Computed: true, MarkdownDescription: "The entitlement, in canonical text."},
		"direct":      schema.BoolAttribute{Computed: true, MarkdownDescription: "Whether the account itself holds it."},
		"via": schema.ListAttribute{
			Computed: true, ElementType: types.StringType,
			MarkdownDescription: "By what the account comes by it, where it does not hold it itself: first the group or role that the account " +
				"is a member of, last the one that holds the entitlement. The guide of each kind lists the steps that are no group or role.",
		},
	}
}

func directOnlyAttribute() schema.SetAttribute {
	return schema.SetAttribute{
		Computed: true, ElementType: types.StringType,
		MarkdownDescription: "The platforms that do not tell what accounts come by indirectly. Of these the result has direct entitlements " +
			"only.",
	}
}

func (d *entitlementsData) Metadata(_ context.Context, _ datasource.MetadataRequest, resp *datasource.MetadataResponse) {
	resp.TypeName = "nhi_entitlements"
}

func (d *entitlementsData) Schema(_ context.Context, _ datasource.SchemaRequest, resp *datasource.SchemaResponse) {
	resp.Schema = schema.Schema{
		MarkdownDescription: "Everything that an identity, or one account, effectively holds: directly and through groups and roles, with the " +
			"way it comes by each. Each entitlement is listed once for everything that holds it and that the account is a member of, so " +
			"every membership that matters is in the result.",
		Attributes: map[string]schema.Attribute{
			"identity": schema.ObjectAttribute{
				Optional: true, AttributeTypes: identityReferenceTypes(),
				MarkdownDescription: "The identity: `nhi_identity.x`, or `{ name = \"billing-agent\", account_names = { sap = " +
					"\"T_BILLING_AGENT\" } }`. Its accounts are those with the ownership mark of this stack and the identity, whatever they are " +
					"called (where there is no bulk read, as on `vault`, one that is named like the identity is enough). An account that " +
					"`account_names` names must be one of them or carry no mark, and is the only one looked at on its platform. An account without " +
					"a mark that is named like the identity counts where this configuration has it in an `nhi_identity`, as after an import. " +
					"Where the configuration does not say, it may be a stranger's, which is an error until `account_names` names it or " +
					"`platforms` leaves the platform out. A " +
					"platform that cannot list its accounts (`jira`, `oauth_client`) is an error where it has none that is named in " +
					"`account_names` or like the identity: leave it out with `platforms`.",
			},
			"platforms": platformsAttribute(" Only with `identity`."),
			"platform": schema.StringAttribute{
				Optional: true, MarkdownDescription: "Name of the configured platform of `account`.",
			},
			"account": schema.StringAttribute{
				Optional: true, MarkdownDescription: "Name of one account, whoever made it, instead of an identity.",
			},
			"direct_only": directOnlyAttribute(),
			"entitlements": schema.ListNestedAttribute{
				Computed: true, MarkdownDescription: "The entitlements: by platform and account, direct ones first.",
				NestedObject: schema.NestedAttributeObject{Attributes: heldAttributes()},
			},
		},
	}
}

// ConfigValidators implements datasource.DataSourceWithConfigValidators.
func (d *entitlementsData) ConfigValidators(context.Context) []datasource.ConfigValidator {
	at := func(name string) path.Expression { return path.MatchRoot(name) }
	return []datasource.ConfigValidator{
		datasourcevalidator.ExactlyOneOf(at("identity"), at("account")),
		datasourcevalidator.RequiredTogether(at("platform"), at("account")),
		datasourcevalidator.Conflicting(at("platforms"), at("account")),
	}
}

// Read implements datasource.DataSource.
func (d *entitlementsData) Read(ctx context.Context, req datasource.ReadRequest, resp *datasource.ReadResponse) {
	defer recovered(ctx, &resp.Diagnostics)
	var m entitlementsModel
	resp.Diagnostics.Append(req.Config.Get(ctx, &m)...)
	if resp.Diagnostics.HasError() {
		return
	}
	platforms := d.checkPlatforms(m.Platforms, &resp.Diagnostics)
	reference := grantModel{Identity: m.Identity}
	identity := reference.identityName().ValueString()
	if !m.Account.IsNull() {
		d.checkPlatform(m.Platform, &resp.Diagnostics)
	} else {
		addErrorAt(&resp.Diagnostics, path.Root("identity").AtName("name"), "Invalid identity name", nhi.CheckIdentityName(identity))
	}
	if resp.Diagnostics.HasError() {
		return
	}
	ctx, cancel := bounded(ctx)
	defer cancel()
	var review lifecycle.Review
	var problems lifecycle.Problems
	if m.Account.IsNull() {
		review, problems = lifecycle.ExplainIdentity(ctx, d.data.fleet, identity, mapOfStrings(reference.accountNames()), platforms,
			d.data.accounts.knows(identity))
	} else {
		review, problems = lifecycle.ExplainAccount(ctx, d.data.fleet, m.Platform.ValueString(), m.Account.ValueString())
	}
	addProblems(&resp.Diagnostics, problems)
	if resp.Diagnostics.HasError() {
		return
	}
	m.DirectOnly, m.Entitlements = stringSet(review.DirectOnly), []heldView{}
	for _, h := range review.Held {
		m.Entitlements = append(m.Entitlements, heldViewOf(h))
	}
	resp.Diagnostics.Append(resp.State.Set(ctx, &m)...)
}

// holdersData tells who holds an entitlement.
type holdersData struct{ dataSource }

func newHoldersData() datasource.DataSource { return &holdersData{} }

type holdersModel struct {
	Entitlements types.Set    `tfsdk:"entitlements"`
	Platforms    types.List   `tfsdk:"platforms"`
	DirectOnly   types.Set    `tfsdk:"direct_only"`
	Holders      []holderView `tfsdk:"holders"`
}

// holderView is a holding with whose it is.
type holderView struct {
	heldView
	ManagedBy types.String `tfsdk:"managed_by"`
	Stack     types.String `tfsdk:"stack"`
	Identity  types.String `tfsdk:"identity"`
	Status    types.String `tfsdk:"status"`
}

func (d *holdersData) Metadata(_ context.Context, _ datasource.MetadataRequest, resp *datasource.MetadataResponse) {
	resp.TypeName = "nhi_holders"
}

func (d *holdersData) Schema(_ context.Context, _ datasource.SchemaRequest, resp *datasource.SchemaResponse) {
	attributes, account := heldAttributes(), accountAttributes()
	for _, name := range []string{"managed_by", "stack", "identity", "status"} {
		attributes[name] = account[name]
	}
	resp.Schema = schema.Schema{
		MarkdownDescription: "Who holds an entitlement, on every platform, directly and through groups and roles, whoever granted it. Rights " +
			"over everything are entitlements of their own: ask for `attribute:superuser`, too. Each such data source reads the accounts " +
			"of its platforms once, so ask for many entitlements in one.",
		Attributes: map[string]schema.Attribute{
			"entitlements": schema.SetAttribute{
				Required: true, ElementType: types.StringType, Validators: []validator.Set{setvalidator.SizeAtLeast(1)},
				MarkdownDescription: "The entitlements, in canonical text. Each is looked for on the platforms whose grammar has its type, also on " +
					"one that spells it otherwise than another does; one that no platform can have as it is written is an error.",
			},
			"platforms":   platformsAttribute(""),
			"direct_only": directOnlyAttribute(),
			"holders": schema.ListNestedAttribute{
				Computed: true, MarkdownDescription: "Who holds them: by platform, account and entitlement, direct ones first.",
				NestedObject: schema.NestedAttributeObject{Attributes: attributes},
			},
		},
	}
}

// Read implements datasource.DataSource.
func (d *holdersData) Read(ctx context.Context, req datasource.ReadRequest, resp *datasource.ReadResponse) {
	defer recovered(ctx, &resp.Diagnostics)
	var m holdersModel
	resp.Diagnostics.Append(req.Config.Get(ctx, &m)...)
	if resp.Diagnostics.HasError() {
		return
	}
	platforms := d.checkPlatforms(m.Platforms, &resp.Diagnostics)
	if resp.Diagnostics.HasError() {
		return
	}
	ctx, cancel := bounded(ctx)
	defer cancel()
	review, problems, err := lifecycle.Holders(ctx, d.data.fleet, platforms, knownStrings(m.Entitlements.Elements()))
	addErrorAt(&resp.Diagnostics, path.Root("entitlements"), "Invalid entitlement", err)
	addProblems(&resp.Diagnostics, problems)
	if resp.Diagnostics.HasError() {
		return
	}
	m.DirectOnly, m.Holders = stringSet(review.DirectOnly), []holderView{}
	for _, h := range review.Held {
		m.Holders = append(m.Holders, holderView{
			heldView: heldViewOf(h), ManagedBy: types.StringValue(string(h.ManagedBy)), Stack: textOrNull(h.Account.Mark.Stack),
			Identity: textOrNull(h.Account.Mark.Identity), Status: types.StringValue(string(h.Account.Status)),
		})
	}
	resp.Diagnostics.Append(resp.State.Set(ctx, &m)...)
}
