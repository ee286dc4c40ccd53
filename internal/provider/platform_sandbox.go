package provider

import (
	"context"

	"github.com/hashicorp/terraform-plugin-framework-validators/int64validator"
	"github.com/hashicorp/terraform-plugin-framework/provider/schema"
	resourceschema "github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/platform/sandbox"
)

type sandboxModel struct {
	commonPlatform
	Path            types.String `tfsdk:"path"`
	CredentialSlots types.Int64  `tfsdk:"credential_slots"`
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
			"credential_slots": schema.Int64Attribute{
				Optional: true, Validators: []validator.Int64{int64validator.Between(1, 100)},
				MarkdownDescription: "How many credentials an account can have at once, default 2. With 1 it behaves like a system that " +
					"knows one password per account.",
			},
		},
		settings: map[string]resourceschema.Attribute{
			"description":  resourceschema.StringAttribute{Optional: true, MarkdownDescription: "A text for people."},
			"max_sessions": resourceschema.Int64Attribute{Optional: true, MarkdownDescription: "How many sessions may be open at once, 0 for any number."},
		},
		open: func(ctx context.Context, b *blockReader) func() (driver.Driver, error) {
			var m sandboxModel
			b.decode(ctx, &m)
			config := sandbox.Config{Path: m.Path.ValueString(), CredentialSlots: int(m.CredentialSlots.ValueInt64())}
			return func() (driver.Driver, error) { return sandbox.Open(config) }
		},
	}
}
