package provider

import (
	"context"

	"github.com/hashicorp/terraform-plugin-framework/provider/schema"
	resourceschema "github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/platform/redmine"
)

type redmineModel struct {
	commonPlatform
	URL            types.String `tfsdk:"url"`
	APIKey         types.String `tfsdk:"api_key"`
	APIKeyFile     types.String `tfsdk:"api_key_file"`
	MarkField      types.String `tfsdk:"mark_field"`
	EmailDomain    types.String `tfsdk:"email_domain"`
	CACertFile     types.String `tfsdk:"ca_cert_file"`
	AllowPlainHTTP types.Bool   `tfsdk:"allow_plain_http"`
}

func redmineKind() kind {
	return kind{
		spec:        redmine.Spec(),
		description: "A Redmine. Accounts are users.",
		attributes: map[string]schema.Attribute{
			"url": schema.StringAttribute{Required: true, MarkdownDescription: "URL of the start page."},
			"api_key": schema.StringAttribute{
				Optional: true, Sensitive: true,
				MarkdownDescription: "The API key of an administrator; best an ephemeral value. Otherwise `api_key_file`, or the environment " +
					"variable `NHI_<NAME>_API_KEY`.",
			},
			"api_key_file": schema.StringAttribute{Optional: true, MarkdownDescription: "A file that holds the API key."},
			"mark_field": schema.StringAttribute{
				Optional:            true,
				MarkdownDescription: "Name of the custom field of users that holds the ownership mark (see the guide). Default `NHI`.",
			},
			"email_domain": schema.StringAttribute{
				Optional: true,
				MarkdownDescription: "Domain of the address of accounts without `email`, because Redmine requires one. Default: a domain that " +
					"never receives mail.",
			},
			"ca_cert_file":     schema.StringAttribute{Optional: true, MarkdownDescription: "PEM file of the authorities to trust instead of the system's."},
			"allow_plain_http": allowPlainHTTPAttribute(),
		},
		settings: map[string]resourceschema.Attribute{
			"email":      resourceschema.StringAttribute{Optional: true, MarkdownDescription: "The address."},
			"first_name": resourceschema.StringAttribute{Optional: true, MarkdownDescription: "The first name that people see."},
			"last_name":  resourceschema.StringAttribute{Optional: true, MarkdownDescription: "The last name that people see."},
		},
		open: func(ctx context.Context, b *blockReader) func() (driver.Driver, error) {
			var m redmineModel
			b.decode(ctx, &m)
			b.checkURL("url", m.URL.ValueString(), m.AllowPlainHTTP.ValueBool())
			config := redmine.Config{
				URL: m.URL.ValueString(), APIKey: b.requireSecret("api_key", m.APIKey, m.APIKeyFile), MarkField: m.MarkField.ValueString(),
				EmailDomain: m.EmailDomain.ValueString(), CAFile: m.CACertFile.ValueString(), AllowPlainHTTP: m.AllowPlainHTTP.ValueBool(),
			}
			return func() (driver.Driver, error) { return redmine.Open(config) }
		},
	}
}
