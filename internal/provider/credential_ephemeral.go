package provider

import (
	"context"
	"fmt"

	"github.com/hashicorp/terraform-plugin-framework/ephemeral"
	"github.com/hashicorp/terraform-plugin-framework/ephemeral/schema"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/nhi-labs/terraform-provider-nhi/internal/lifecycle"
)

var _ ephemeral.EphemeralResourceWithConfigure = (*credentialEphemeral)(nil)

// credentialEphemeral reads what a rotation has delivered, for provider blocks and write-only arguments.
type credentialEphemeral struct {
	data *providerData
}

func newCredentialEphemeral() ephemeral.EphemeralResource { return &credentialEphemeral{} }

type credentialModel struct {
	Platform types.String `tfsdk:"platform"`
	Path     types.String `tfsdk:"path"`
	Label    types.String `tfsdk:"label"`
	Fields   types.Map    `tfsdk:"fields"`
	Login    types.String `tfsdk:"login"`
	Secret   types.String `tfsdk:"secret"`
	Version  types.Int64  `tfsdk:"version"`
}

func (e *credentialEphemeral) Metadata(_ context.Context, _ ephemeral.MetadataRequest, resp *ephemeral.MetadataResponse) {
	resp.TypeName = "nhi_credential"
}

func (e *credentialEphemeral) Configure(_ context.Context, req ephemeral.ConfigureRequest, resp *ephemeral.ConfigureResponse) {
	e.data = configured(req.ProviderData, &resp.Diagnostics)
}

func (e *credentialEphemeral) Schema(_ context.Context, _ ephemeral.SchemaRequest, resp *ephemeral.SchemaResponse) {
	resp.Schema = schema.Schema{
		MarkdownDescription: "The current credential, read from the store that an `nhi_rotation` delivered it to. It is in no plan and no " +
			"state: use it in provider blocks and write-only arguments.",
		Attributes: map[string]schema.Attribute{
			"platform": schema.StringAttribute{Required: true, MarkdownDescription: "Name of the configured platform that stores the secret."},
			"path":     schema.StringAttribute{Required: true, MarkdownDescription: "Path of the secret."},
			"label": schema.StringAttribute{
				Optional: true, Computed: true,
				MarkdownDescription: "Label of the credential. Set it to `nhi_rotation.x.current`: while a rotation is planned that is not " +
					"known, so the credential is read after it. What the store holds must have this label.",
			},
			"fields": schema.MapAttribute{
				Computed: true, Sensitive: true, ElementType: types.StringType,
				MarkdownDescription: "The fields as they were delivered.",
			},
			"login": schema.StringAttribute{
				Computed: true, MarkdownDescription: "What is presented together with the secret. Null if no rotation delivered what is there.",
			},
			"secret": schema.StringAttribute{
				Computed: true, Sensitive: true, MarkdownDescription: "The secret. Null if no rotation delivered what is there.",
			},
			"version": schema.Int64Attribute{
				Computed: true, MarkdownDescription: "The store's version of the secret; it grows with every write.",
			},
		},
	}
}

// Open reads the secret.
func (e *credentialEphemeral) Open(ctx context.Context, req ephemeral.OpenRequest, resp *ephemeral.OpenResponse) {
	defer recovered(ctx, &resp.Diagnostics)
	var m credentialModel
	resp.Diagnostics.Append(req.Config.Get(ctx, &m)...)
	if resp.Diagnostics.HasError() {
		return
	}
	if _, err := e.data.fleet.Platform(m.Platform.ValueString()); err != nil {
		resp.Diagnostics.AddAttributeError(path.Root("platform"), "Unknown platform", err.Error())
		return
	}
	ctx, cancel := context.WithTimeout(ctx, defaultTimeout)
	defer cancel()
	place := lifecycle.Place{Platform: m.Platform.ValueString(), Path: m.Path.ValueString()}
	stored, err := lifecycle.ReadCredential(ctx, e.data.fleet, place)
	if err != nil {
		resp.Diagnostics.AddAttributeError(path.Root("path"), fmt.Sprintf("Unable to read the credential at %s", place), err.Error()+
			"\n\nIf a rotation of this configuration delivers it for the first time, set label = nhi_rotation.<name>.current, so that it is read after that.")
		return
	}
	if known(m.Label) && m.Label.ValueString() != stored.Label {
		resp.Diagnostics.AddAttributeError(path.Root("label"), "Another credential", fmt.Sprintf(
			"%s holds the credential %q and not %q. The next apply of its rotation corrects that.", place, stored.Label, m.Label.ValueString()))
		return
	}
	fields := make(map[string]string, len(stored.Fields))
	for name, value := range stored.Fields {
		fields[name] = value.Reveal()
	}
	m.Fields, m.Version = stringMap(fields), types.Int64Value(stored.Version)
	m.Label, m.Login, m.Secret = types.StringNull(), types.StringNull(), types.StringNull()
	if stored.Label != "" {
		m.Label, m.Login, m.Secret = types.StringValue(stored.Label), types.StringValue(stored.Login), types.StringValue(stored.Secret.Reveal())
	}
	resp.Diagnostics.Append(resp.Result.Set(ctx, &m)...)
}
