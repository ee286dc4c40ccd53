package provider

import (
	"context"

	"github.com/hashicorp/terraform-plugin-framework-timetypes/timetypes"
	"github.com/hashicorp/terraform-plugin-framework-validators/datasourcevalidator"
	"github.com/hashicorp/terraform-plugin-framework-validators/listvalidator"
	"github.com/hashicorp/terraform-plugin-framework-validators/stringvalidator"
	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/datasource"
	"github.com/hashicorp/terraform-plugin-framework/datasource/schema"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/nhi-labs/terraform-provider-nhi/internal/lifecycle"
)

var (
	_ datasource.DataSourceWithConfigure = (*accountsData)(nil)
	_ datasource.DataSourceWithConfigure = (*orphansData)(nil)

	_ datasource.DataSourceWithConfigValidators = (*orphansData)(nil)
)

// accountsData is the inventory.
type accountsData struct{ dataSource }

func newAccountsData() datasource.DataSource { return &accountsData{} }

type accountsModel struct {
	Platforms            types.List           `tfsdk:"platforms"`
	ManagedBy            types.String         `tfsdk:"managed_by"`
	Name                 types.String         `tfsdk:"name"`
	Disabled             types.Bool           `tfsdk:"disabled"`
	UnusedFor            timetypes.GoDuration `tfsdk:"unused_for"`
	CredentialsOlderThan timetypes.GoDuration `tfsdk:"credentials_older_than"`
	UseUnknown           types.Set            `tfsdk:"use_unknown"`
	Accounts             []accountView        `tfsdk:"accounts"`
}

func (d *accountsData) Metadata(_ context.Context, _ datasource.MetadataRequest, resp *datasource.MetadataResponse) {
	resp.TypeName = "nhi_accounts"
}

func (d *accountsData) Schema(_ context.Context, _ datasource.SchemaRequest, resp *datasource.SchemaResponse) {
	var managers []string
	for _, m := range lifecycle.Managers() {
		managers = append(managers, string(m))
	}
	resp.Schema = schema.Schema{
		MarkdownDescription: "The accounts on the platforms, whoever made them. All conditions must hold. What an identity is for (its `kind`, " +
			"its `owner`) no platform knows; look it up in the configuration by `identity`. Every account goes through the plan: on a " +
			"large platform use the conditions, or `terraform query`.",
		Attributes: map[string]schema.Attribute{
			"platforms": platformsAttribute(""),
			"managed_by": schema.StringAttribute{
				Optional: true, Validators: []validator.String{stringvalidator.OneOf(managers...)},
				MarkdownDescription: "Only accounts that are managed so: " + codeList(managers) + ".",
			},
			"name": schema.StringAttribute{
				Optional: true, Validators: []validator.String{stringvalidator.LengthAtLeast(1)},
				MarkdownDescription: "Only accounts with such a name: `*` stands for any text, `?` for any letter.",
			},
			"disabled": schema.BoolAttribute{
				Optional: true, MarkdownDescription: "`true`: only suspended accounts, `false`: only active ones.",
			},
			"unused_for": schema.StringAttribute{
				Optional: true, CustomType: timetypes.GoDurationType{},
				MarkdownDescription: "Only accounts none of whose credentials was made or used for this long, for example `2160h`. Nothing is " +
					"found on the platforms that `use_unknown` names.",
			},
			"credentials_older_than": schema.StringAttribute{
				Optional: true, CustomType: timetypes.GoDurationType{},
				MarkdownDescription: "Only accounts with a credential that is older than this, for example `2160h`. Credentials whose age the " +
					"platform does not tell do not count.",
			},
			"use_unknown": schema.SetAttribute{
				Computed: true, ElementType: types.StringType,
				MarkdownDescription: "With `unused_for`: the platforms that do not tell when a credential was last used. Their accounts are not " +
					"in the result, used or not.",
			},
			"accounts": accountsAttribute("The accounts."),
		},
	}
}

// Read implements datasource.DataSource.
func (d *accountsData) Read(ctx context.Context, req datasource.ReadRequest, resp *datasource.ReadResponse) {
	defer recovered(ctx, &resp.Diagnostics)
	var m accountsModel
	resp.Diagnostics.Append(req.Config.Get(ctx, &m)...)
	if resp.Diagnostics.HasError() {
		return
	}
	search := searchModel{
		Platforms: m.Platforms, ManagedBy: m.ManagedBy, Name: m.Name, Disabled: m.Disabled, UnusedFor: m.UnusedFor,
		CredentialsOlderThan: m.CredentialsOlderThan,
	}.search(d.data, &resp.Diagnostics)
	if resp.Diagnostics.HasError() {
		return
	}
	ctx, cancel := bounded(ctx)
	defer cancel()
	found, problems := lifecycle.Inventory(ctx, d.data.fleet, search)
	addProblems(&resp.Diagnostics, problems)
	if resp.Diagnostics.HasError() {
		return
	}
	m.Accounts, m.UseUnknown = viewsOf(found), stringSet(silent(d.data, search))
	resp.Diagnostics.Append(resp.State.Set(ctx, &m)...)
}

// orphansData finds what this stack made and no configuration declares any more.
type orphansData struct{ dataSource }

func newOrphansData() datasource.DataSource { return &orphansData{} }

type orphansModel struct {
	Platforms  types.List         `tfsdk:"platforms"`
	Declared   types.Set          `tfsdk:"declared"`
	Identities []declaredIdentity `tfsdk:"identities"`
	Accounts   []accountView      `tfsdk:"accounts"`
}

// declaredIdentity is what a review needs of an nhi_identity.
type declaredIdentity struct {
	Name     types.String               `tfsdk:"name"`
	Accounts map[string]declaredAccount `tfsdk:"accounts"`
}

type declaredAccount struct {
	Name types.String `tfsdk:"name"`
}

func declaredIdentityType() types.ObjectType {
	account := types.ObjectType{AttrTypes: map[string]attr.Type{"name": types.StringType}}
	return types.ObjectType{AttrTypes: map[string]attr.Type{"name": types.StringType, "accounts": types.MapType{ElemType: account}}}
}

// declared is the model in the words of package lifecycle.
func (m orphansModel) declared() lifecycle.Declared {
	out := lifecycle.Declared{Identities: knownStrings(m.Declared.Elements()), Accounts: make(map[string]map[string]string)}
	for _, identity := range m.Identities {
		accounts := make(map[string]string)
		for platform, account := range identity.Accounts {
			accounts[platform] = account.Name.ValueString()
		}
		out.Accounts[identity.Name.ValueString()] = accounts
	}
	return out
}

func (d *orphansData) Metadata(_ context.Context, _ datasource.MetadataRequest, resp *datasource.MetadataResponse) {
	resp.TypeName = "nhi_orphans"
}

func (d *orphansData) Schema(_ context.Context, _ datasource.SchemaRequest, resp *datasource.SchemaResponse) {
	resp.Schema = schema.Schema{
		MarkdownDescription: "Accounts that carry the ownership mark of this stack and are declared nowhere: what is left on the platforms " +
			"after `terraform state rm`, a lost state, a killed run whose change was then withdrawn, or a platform that was not reachable " +
			"when its account was removed. Accounts of other stacks, and accounts without a mark, are never among them.\n\nA provider " +
			"cannot see which resources a configuration declares, so `declared` or `identities` has to name them. The mark holds the stack " +
			"and the identity, and no owner: to find the accounts whose owner is gone, leave those identities out.",
		Attributes: map[string]schema.Attribute{
			"platforms": platformsAttribute(""),
			"declared": schema.SetAttribute{
				Optional: true, ElementType: types.StringType,
				MarkdownDescription: "Names of identities that this stack declares, in whichever workspace: together with `identities`, all of " +
					"them. Every account of theirs counts as declared. Write the names as constants, or as what `for_each` goes over: those that " +
					"come from `nhi_identity` resources are read before their change is applied.",
			},
			"identities": schema.ListAttribute{
				Optional: true, ElementType: declaredIdentityType(), Validators: []validator.List{listvalidator.NoNullValues()},
				MarkdownDescription: "Identities that this stack declares, with their accounts: `[nhi_identity.x]`, `values(nhi_identity.each)`, " +
					"or from another workspace `[{ name = \"billing-agent\", accounts = { sap = { name = \"T_BILLING_AGENT\" } } }]`. Of these " +
					"identities only the accounts that they have on these platforms, under these names, count as declared, even if " +
					"`declared` names them too. An account that the same plan deletes is still there when it is looked for.",
			},
			"accounts": accountsAttribute("The orphans. Adopt one with an `import` block of its identity, or remove it by hand."),
		},
	}
}

// ConfigValidators implements datasource.DataSourceWithConfigValidators.
func (d *orphansData) ConfigValidators(context.Context) []datasource.ConfigValidator {
	return []datasource.ConfigValidator{datasourcevalidator.AtLeastOneOf(path.MatchRoot("declared"), path.MatchRoot("identities"))}
}

// Read implements datasource.DataSource.
func (d *orphansData) Read(ctx context.Context, req datasource.ReadRequest, resp *datasource.ReadResponse) {
	defer recovered(ctx, &resp.Diagnostics)
	var m orphansModel
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
	found, problems := lifecycle.Orphans(ctx, d.data.fleet, platforms, m.declared())
	addProblems(&resp.Diagnostics, problems)
	if resp.Diagnostics.HasError() {
		return
	}
	m.Accounts = viewsOf(found)
	resp.Diagnostics.Append(resp.State.Set(ctx, &m)...)
}
