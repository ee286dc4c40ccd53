package provider

import (
	"context"

	"github.com/hashicorp/terraform-plugin-framework/provider/schema"
	resourceschema "github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/platform/sandbox"
)

type sandboxModel struct {
	commonPlatform
	Path types.String `tfsdk:"path"`
}

func sandboxKind() kind {
	return kind{
		spec: sandbox.Spec(),
		description: "A platform in a file: accounts, entitlements, credentials and secrets, for trying the provider and for testing " +
			"configurations. Not for production.",
		attributes: map[string]schema.Attribute{
			"path": schema.StringAttribute{
				Required: true, MarkdownDescription: "The file. It is created if it does not exist; its directory is not.",
			},
		},
		settings: map[string]resourceschema.Attribute{
			"description":  resourceschema.StringAttribute{Optional: true, MarkdownDescription: "A text for people."},
			"max_sessions": resourceschema.Int64Attribute{Optional: true, MarkdownDescription: "How many sessions may be open at once, 0 for any number."},
		},
		open: func(ctx context.Context, b *blockReader) func() (driver.Driver, error) {
			var m sandboxModel
			b.decode(ctx, &m)
			return func() (driver.Driver, error) { return sandbox.Open(sandbox.Config{Path: m.Path.ValueString()}) }
		},
	}
}
