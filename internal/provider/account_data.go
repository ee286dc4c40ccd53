package provider

import (
	"context"
	"fmt"

	"github.com/hashicorp/terraform-plugin-framework/datasource"
	"github.com/hashicorp/terraform-plugin-framework/datasource/schema"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/lifecycle"
)

var (
	_ datasource.DataSourceWithConfigure = (*accountData)(nil)
	_ datasource.DataSourceWithConfigure = (*platformData)(nil)
)

// accountData shows one account.
type accountData struct{ dataSource }

func newAccountData() datasource.DataSource { return &accountData{} }

func (d *accountData) Metadata(_ context.Context, _ datasource.MetadataRequest, resp *datasource.MetadataResponse) {
	resp.TypeName = "nhi_account"
}

func (d *accountData) Schema(_ context.Context, _ datasource.SchemaRequest, resp *datasource.SchemaResponse) {
	attributes := accountAttributes()
	attributes["platform"] = schema.StringAttribute{Required: true, MarkdownDescription: "Name of the configured platform."}
	attributes["name"] = schema.StringAttribute{Required: true, MarkdownDescription: "Name of the account."}
	resp.Schema = schema.Schema{
		MarkdownDescription: "One account on one platform, whoever made it. That there is no such account is an error; to ask whether there " +
			"is one, look at `length(data.nhi_accounts.x.accounts)` with a `name`.",
		Attributes: attributes,
	}
}

// Read implements datasource.DataSource.
func (d *accountData) Read(ctx context.Context, req datasource.ReadRequest, resp *datasource.ReadResponse) {
	defer recovered(ctx, &resp.Diagnostics)
	var m accountView
	resp.Diagnostics.Append(req.Config.Get(ctx, &m)...)
	if resp.Diagnostics.HasError() {
		return
	}
	d.checkPlatform(m.Platform, &resp.Diagnostics)
	if resp.Diagnostics.HasError() {
		return
	}
	ctx, cancel := bounded(ctx)
	defer cancel()
	found, err := lifecycle.Look(ctx, d.data.fleet, m.Platform.ValueString(), m.Name.ValueString())
	if err != nil && driver.CodeOf(err) == driver.NotFound {
		resp.Diagnostics.AddAttributeError(path.Root("name"), "No such account", err.Error())
		return
	}
	if err != nil {
		addProblems(&resp.Diagnostics, lifecycle.Problems{{Platform: m.Platform.ValueString(), Err: err}})
		return
	}
	if found.Account.Name != m.Name.ValueString() {
		resp.Diagnostics.AddAttributeError(path.Root("name"), "Another spelling",
			fmt.Sprintf("Platform %q spells the account %q; write it so.", found.Platform, found.Account.Name))
		return
	}
	resp.Diagnostics.Append(resp.State.Set(ctx, viewOf(found))...)
}

// platformData shows one platform.
type platformData struct{ dataSource }

func newPlatformData() datasource.DataSource { return &platformData{} }

type platformModel struct {
	Name         types.String `tfsdk:"name"`
	Kind         types.String `tfsdk:"kind"`
	Target       types.String `tfsdk:"target"`
	Version      types.String `tfsdk:"version"`
	Capabilities types.List   `tfsdk:"capabilities"`
	Blind        types.List   `tfsdk:"blind"`
	Lacking      types.List   `tfsdk:"lacking"`
}

func (d *platformData) Metadata(_ context.Context, _ datasource.MetadataRequest, resp *datasource.MetadataResponse) {
	resp.TypeName = "nhi_platform"
}

func (d *platformData) Schema(_ context.Context, _ datasource.SchemaRequest, resp *datasource.SchemaResponse) {
	texts := func(description string) schema.ListAttribute {
		return schema.ListAttribute{Computed: true, ElementType: types.StringType, MarkdownDescription: description}
	}
	resp.Schema = schema.Schema{
		MarkdownDescription: "One configured platform: which system answers, what the provider can do there, and what its administrator's " +
			"account may not see. Reading it needs no account on the platform but the provider's own.",
		Attributes: map[string]schema.Attribute{
			"name": schema.StringAttribute{Required: true, MarkdownDescription: "Name of the configured platform."},
			"kind": schema.StringAttribute{Computed: true, MarkdownDescription: "The kind of platform, which is the name of its block."},
			"target": schema.StringAttribute{
				Computed: true, MarkdownDescription: "The system's own stable id. Accounts are pinned to it, and `previous_targets` lists such ids.",
			},
			"version": schema.StringAttribute{Computed: true, MarkdownDescription: "What the system says of its version."},
			"capabilities": texts("What the provider can do on platforms of this kind beyond managing accounts and entitlements: " +
				codeList(capabilityNames()) + "."),
			"blind": texts("What the provider's account may not see or do here, one sentence each. Empty: nothing is known to be missing."),
			"lacking": texts("What the provider's account may not do here although every change needs it, one sentence each. Empty: nothing is " +
				"known to be missing. A plan that changes something on the platform fails with these sentences."),
		},
	}
}

func capabilityNames() []string {
	var names []string
	for _, c := range driver.AllCapabilities() {
		names = append(names, string(c))
	}
	return names
}

// Read implements datasource.DataSource.
func (d *platformData) Read(ctx context.Context, req datasource.ReadRequest, resp *datasource.ReadResponse) {
	defer recovered(ctx, &resp.Diagnostics)
	var m platformModel
	resp.Diagnostics.Append(req.Config.Get(ctx, &m)...)
	if resp.Diagnostics.HasError() {
		return
	}
	ctx, cancel := bounded(ctx)
	defer cancel()
	p, err := d.data.fleet.Platform(m.Name.ValueString())
	if err != nil {
		resp.Diagnostics.AddAttributeError(path.Root("name"), "Unknown platform", err.Error())
		return
	}
	conn, err := d.data.fleet.Connect(ctx, p.Name(), "")
	if err != nil {
		addProblems(&resp.Diagnostics, lifecycle.Problems{{Platform: p.Name(), Err: err}})
		return
	}
	spec, target := p.Spec(), conn.Target()
	capabilities := make([]string, len(spec.Capabilities))
	for i, c := range spec.Capabilities {
		capabilities[i] = string(c)
	}
	m.Kind, m.Target, m.Version = types.StringValue(spec.Kind), types.StringValue(target.ID), textOrNull(target.Version)
	m.Capabilities, m.Blind, m.Lacking = stringList(capabilities), stringList(target.Blind), stringList(target.Lacking)
	resp.Diagnostics.Append(resp.State.Set(ctx, &m)...)
}
