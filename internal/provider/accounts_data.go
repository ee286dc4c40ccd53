package provider

import (
	"context"

	"github.com/hashicorp/terraform-plugin-framework-timetypes/timetypes"
	"github.com/hashicorp/terraform-plugin-framework-validators/stringvalidator"
	"github.com/hashicorp/terraform-plugin-framework/datasource"
	"github.com/hashicorp/terraform-plugin-framework/datasource/schema"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/nhi-labs/terraform-provider-nhi/internal/lifecycle"
)

var (
	_ datasource.DataSourceWithConfigure = (*accountsData)(nil)
	_ datasource.DataSourceWithConfigure = (*orphansData)(nil)
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
	Platforms types.List    `tfsdk:"platforms"`
	Declared  types.Set     `tfsdk:"declared"`
	Accounts  []accountView `tfsdk:"accounts"`
}

func (d *orphansData) Metadata(_ context.Context, _ datasource.MetadataRequest, resp *datasource.MetadataResponse) {
	resp.TypeName = "nhi_orphans"
}

func (d *orphansData) Schema(_ context.Context, _ datasource.SchemaRequest, resp *datasource.SchemaResponse) {
	resp.Schema = schema.Schema{
		MarkdownDescription: "Accounts that carry the ownership mark of this stack for an identity that is declared nowhere: what is left on " +
			"the platforms after `terraform state rm`, a lost state, or a platform that was not reachable when its account was removed. " +
			"Accounts of other stacks, and accounts without a mark, are never among them.\n\nA provider cannot see which resources a " +
			"configuration declares, so `declared` has to name them. The mark holds the stack and the identity, and no owner: to find the " +
			"accounts whose owner is gone, leave those identities out of `declared`.",
		Attributes: map[string]schema.Attribute{
			"platforms": platformsAttribute(""),
			"declared": schema.SetAttribute{
				Required: true, ElementType: types.StringType,
				MarkdownDescription: "The names of all identities that this stack declares, in whichever workspace. Write them as constants, " +
					"or as what `for_each` goes over: names that come from `nhi_identity` resources are read before their change is applied.",
			},
			"accounts": accountsAttribute("The orphans. Adopt one with an `import` block of its identity, or remove it by hand."),
		},
	}
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
	found, problems := lifecycle.Orphans(ctx, d.data.fleet, platforms, knownStrings(m.Declared.Elements()))
	addProblems(&resp.Diagnostics, problems)
	if resp.Diagnostics.HasError() {
		return
	}
	m.Accounts = viewsOf(found)
	resp.Diagnostics.Append(resp.State.Set(ctx, &m)...)
}
