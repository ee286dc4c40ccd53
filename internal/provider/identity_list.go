package provider

import (
	"context"

	"github.com/hashicorp/terraform-plugin-framework-validators/stringvalidator"
	"github.com/hashicorp/terraform-plugin-framework/list"
	"github.com/hashicorp/terraform-plugin-framework/list/schema"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/nhi-labs/terraform-provider-nhi/internal/lifecycle"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
)

var _ list.ListResourceWithConfigure = (*identityList)(nil)

// identityList lists the accounts of platforms as identities that could be imported.
type identityList struct{ identityResource }

func newIdentityList() list.ListResource { return &identityList{} }

// identityListModel is a list block.
type identityListModel struct {
	searchModel
	Kind  types.String `tfsdk:"kind"`
	Owner types.String `tfsdk:"owner"`
}

const (
	defaultKind  = nhi.ServiceAccount
	defaultOwner = "unknown"
)

// ListResourceConfigSchema implements list.ListResource.
func (l *identityList) ListResourceConfigSchema(_ context.Context, _ list.ListResourceSchemaRequest, resp *list.ListResourceSchemaResponse) {
	attributes := searchAttributes()
	kinds := identityKindNames()
	attributes["kind"] = schema.StringAttribute{
		Optional: true, Validators: []validator.String{stringvalidator.OneOf(kinds...)},
		MarkdownDescription: "The `kind` that the generated configuration gives to what is found, because no platform knows it: " +
			codeList(kinds) + ". Default `" + string(defaultKind) + "`.",
	}
	attributes["owner"] = schema.StringAttribute{
		Optional: true, Validators: []validator.String{stringvalidator.LengthAtLeast(1)},
		MarkdownDescription: "The `owner` that the generated configuration gives to what is found. Default `" + defaultOwner + "`.",
	}
	resp.Schema = schema.Schema{
		MarkdownDescription: "Finds the accounts on the platforms, whoever manages them, and joins those of one identity. With " +
			"`terraform query -generate-config-out` the result is a configuration that imports them: its plan changes nothing, and importing " +
			"writes nothing on any platform. Settings of accounts are not part of it, so they stay unmanaged.",
		Attributes: attributes,
	}
}

// List implements list.ListResource.
func (l *identityList) List(ctx context.Context, req list.ListRequest, stream *list.ListResultsStream) {
	result := req.NewListResult(ctx)
	var m identityListModel
	result.Diagnostics.Append(req.Config.Get(ctx, &m)...)
	search := m.search(l.data, &result.Diagnostics)
	if result.Diagnostics.HasError() {
		stream.Results = list.ListResultsStreamDiagnostics(result.Diagnostics)
		return
	}
	if m.Kind.IsNull() {
		m.Kind = types.StringValue(string(defaultKind))
	}
	if m.Owner.IsNull() {
		m.Owner = types.StringValue(defaultOwner)
	}
	work := listing{data: l.data, search: search, result: func(d lifecycle.Discovered) (list.ListResult, bool) {
		return m.result(ctx, req, d), true
	}}
	stream.Results = work.stream(ctx, req.Limit)
}

// result is what an import of d reads, and the resource identity that imports it.
func (m identityListModel) result(ctx context.Context, req list.ListRequest, d lifecycle.Discovered) list.ListResult {
	result := req.NewListResult(ctx)
	result.DisplayName = displayName(d)
	name := types.StringValue(d.Name)
	result.Diagnostics.Append(result.Identity.Set(ctx, identityIdentity{
		Name: name, Accounts: accountTexts(d.Records), Kind: m.Kind, Owner: m.Owner,
	})...)
	if !req.IncludeResource {
		return result
	}
	state := identityModel{Name: name, Kind: m.Kind, Owner: m.Owner}
	state.importAccounts(d.Records, d.Accounts, accountType(req.ResourceSchema.Type()))
	result.Diagnostics.Append(setAll(ctx, result.Resource, state.imported())...)
	return result
}
