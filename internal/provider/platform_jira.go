package provider

import (
	"context"

	"github.com/hashicorp/terraform-plugin-framework/provider/schema"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/platform/jira"
)

type jiraModel struct {
	commonPlatform
	URL                 types.String `tfsdk:"url"`
	Username            types.String `tfsdk:"username"`
	Token               types.String `tfsdk:"token"`
	TokenFile           types.String `tfsdk:"token_file"`
	Projects            types.Set    `tfsdk:"projects"`
	OrganizationKey     types.String `tfsdk:"organization_key"`
	OrganizationKeyFile types.String `tfsdk:"organization_key_file"`
	OrganizationURL     types.String `tfsdk:"organization_url"`
	AllowPlainHTTP      types.Bool   `tfsdk:"allow_plain_http"`
}

func jiraKind() kind {
	return kind{
		spec: jira.Spec(true),
		description: "A site of Jira Cloud. Accounts are Atlassian accounts, which are adopted and never made; entitlements are groups and " +
			"roles in projects.",
		attributes: map[string]schema.Attribute{
			"url":      schema.StringAttribute{Required: true, MarkdownDescription: "URL of the site: `https://example.atlassian.net`."},
			"username": schema.StringAttribute{Required: true, MarkdownDescription: "E-mail address of the administrator that the provider logs in as."},
			"token": schema.StringAttribute{
				Optional: true, Sensitive: true,
				MarkdownDescription: "Their API token; best an ephemeral value. Otherwise `token_file`, or the environment variable `NHI_<NAME>_TOKEN`.",
			},
			"token_file": schema.StringAttribute{Optional: true, MarkdownDescription: "A file that holds the API token."},
			"projects": schema.SetAttribute{
				Optional: true, ElementType: types.StringType,
				MarkdownDescription: "Keys of the projects whose roles are managed and seen. Default: all that the administrator sees. Each read " +
					"asks once for every role of each.",
			},
			"organization_key": schema.StringAttribute{
				Optional: true, Sensitive: true,
				MarkdownDescription: "API key of the organization, with which accounts are suspended; best an ephemeral value. Otherwise " +
					"`organization_key_file`, or the environment variable `NHI_<NAME>_ORGANIZATION_KEY`. With none of them, accounts here are " +
					"not suspended.",
			},
			"organization_key_file": schema.StringAttribute{Optional: true, MarkdownDescription: "A file that holds the organization's API key."},
			"organization_url": schema.StringAttribute{
				Optional: true, MarkdownDescription: "URL of the user management API. Default `https://api.atlassian.com`.",
			},
			"allow_plain_http": allowPlainHTTPAttribute(),
		},
		open: openJira,
	}
}

func openJira(ctx context.Context, b *blockReader) func() (driver.Driver, error) {
	var m jiraModel
	b.decode(ctx, &m)
	allowPlain := m.AllowPlainHTTP.ValueBool()
	b.checkURL("url", m.URL.ValueString(), allowPlain)
	if m.OrganizationURL.ValueString() != "" {
		b.checkURL("organization_url", m.OrganizationURL.ValueString(), allowPlain)
	}
	config := jira.Config{
		URL: m.URL.ValueString(), Username: m.Username.ValueString(), Token: b.requireSecret("token", m.Token, m.TokenFile),
		Projects: knownStrings(m.Projects.Elements()), OrganizationURL: m.OrganizationURL.ValueString(), AllowPlainHTTP: allowPlain,
		OrganizationKey: b.secret("organization_key", m.OrganizationKey, m.OrganizationKeyFile),
	}
	b.spec = config.Spec()
	return func() (driver.Driver, error) { return jira.Open(config) }
}
