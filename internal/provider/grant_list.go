package provider

import (
	"context"

	"github.com/hashicorp/terraform-plugin-framework/list"
	"github.com/hashicorp/terraform-plugin-framework/list/schema"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/nhi-labs/terraform-provider-nhi/internal/lifecycle"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
)

var _ list.ListResourceWithConfigure = (*grantList)(nil)

// grantList lists what the accounts of platforms hold as grants that could be imported.
type grantList struct{ grantResource }

func newGrantList() list.ListResource { return &grantList{} }

// ListResourceConfigSchema implements list.ListResource.
func (l *grantList) ListResourceConfigSchema(_ context.Context, _ list.ListResourceSchemaRequest, resp *list.ListResourceSchemaResponse) {
	resp.Schema = schema.Schema{
		MarkdownDescription: "Finds what the accounts on the platforms hold directly, one grant for each identity that holds anything. Written " +
			"with the same arguments as a list of `nhi_identity`, it finds the grants of the same identities under the same names. What a " +
			"grant cannot give, because the platform only shows it, stands under `tolerate`.",
		Attributes: searchAttributes(),
	}
}

// List implements list.ListResource.
func (l *grantList) List(ctx context.Context, req list.ListRequest, stream *list.ListResultsStream) {
	result := req.NewListResult(ctx)
	var m searchModel
	result.Diagnostics.Append(req.Config.Get(ctx, &m)...)
	search := m.search(l.data, &result.Diagnostics)
	if result.Diagnostics.HasError() {
		stream.Results = list.ListResultsStreamDiagnostics(result.Diagnostics)
		return
	}
	work := listing{data: l.data, search: search, result: func(d lifecycle.Discovered) (list.ListResult, bool) {
		return l.result(ctx, req, d)
	}}
	stream.Results = work.stream(ctx, req.Limit)
}

func (l *grantList) result(ctx context.Context, req list.ListRequest, d lifecycle.Discovered) (list.ListResult, bool) {
	var held []nhi.Entitlement
	for _, a := range d.Accounts {
		held = append(held, a.Entitlements...)
	}
	result := req.NewListResult(ctx)
	result.DisplayName = displayName(d)
	result.Diagnostics.Append(result.Identity.Set(ctx, grantIdentity{
		Identity: types.StringValue(d.Name), Accounts: accountTexts(d.Records),
	})...)
	if req.IncludeResource {
		result.Diagnostics.Append(setAll(ctx, result.Resource, importedGrant(l.data, d.Name, d.Records, d.Accounts))...)
	}
	return result, len(held) > 0
}
