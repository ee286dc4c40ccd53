package provider

import (
	"context"
	"errors"

	"github.com/hashicorp/terraform-plugin-framework-validators/int64validator"
	"github.com/hashicorp/terraform-plugin-framework-validators/stringvalidator"
	"github.com/hashicorp/terraform-plugin-framework/provider/schema"
	resourceschema "github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/platform/scim"
)

type scimModel struct {
	commonPlatform
	URL            types.String     `tfsdk:"url"`
	Dialect        types.String     `tfsdk:"dialect"`
	Token          types.String     `tfsdk:"token"`
	TokenFile      types.String     `tfsdk:"token_file"`
	Username       types.String     `tfsdk:"username"`
	Password       types.String     `tfsdk:"password"`
	PasswordFile   types.String     `tfsdk:"password_file"`
	PageSize       types.Int64      `tfsdk:"page_size"`
	EmailDomain    types.String     `tfsdk:"email_domain"`
	CACertFile     types.String     `tfsdk:"ca_cert_file"`
	ClientCertFile types.String     `tfsdk:"client_cert_file"`
	ClientKeyFile  types.String     `tfsdk:"client_key_file"`
	AllowPlainHTTP types.Bool       `tfsdk:"allow_plain_http"`
	OAuth2         *scimOAuth2Model `tfsdk:"oauth2"`
}

type scimOAuth2Model struct {
	TokenURL         types.String `tfsdk:"token_url"`
	ClientID         types.String `tfsdk:"client_id"`
	ClientSecret     types.String `tfsdk:"client_secret"`
	ClientSecretFile types.String `tfsdk:"client_secret_file"`
	Scopes           types.Set    `tfsdk:"scopes"`
	Audience         types.String `tfsdk:"audience"`
}

func scimKind() kind {
	return kind{
		spec: scim.Spec(scim.Standard),
		description: "A system that speaks SCIM 2.0, SAP Cloud Identity Services among them. Accounts are users. Log in with one of: " +
			"`token`, `username` and `password`, `oauth2`, or a client certificate alone.",
		attributes: scimAttributes(),
		subblocks: map[string]schema.Block{
			"oauth2": schema.SingleNestedBlock{
				MarkdownDescription: "OAuth 2.0 client credentials.",
				Attributes: map[string]schema.Attribute{
					"token_url": schema.StringAttribute{Optional: true, MarkdownDescription: "URL of the token endpoint. Required."},
					"client_id": schema.StringAttribute{Optional: true, MarkdownDescription: "Client id. Required."},
					"client_secret": schema.StringAttribute{
						Optional: true, Sensitive: true,
						MarkdownDescription: "Client secret; best an ephemeral value. Otherwise `client_secret_file`, or the environment variable " +
							"`NHI_<NAME>_CLIENT_SECRET`. With none of them the client certificate authenticates the client.",
					},
					"client_secret_file": schema.StringAttribute{Optional: true, MarkdownDescription: "A file that holds the client secret."},
					"scopes":             schema.SetAttribute{Optional: true, ElementType: types.StringType, MarkdownDescription: "Scopes to ask for."},
					"audience":           schema.StringAttribute{Optional: true, MarkdownDescription: "Audience to ask for."},
				},
			},
		},
		settings: map[string]resourceschema.Attribute{
			"email":        resourceschema.StringAttribute{Optional: true, MarkdownDescription: "The primary e-mail address."},
			"display_name": resourceschema.StringAttribute{Optional: true, MarkdownDescription: "The name shown to people."},
			"user_type":    resourceschema.StringAttribute{Optional: true, MarkdownDescription: "The service's own classification of the user (`userType`)."},
		},
		open: openSCIM,
	}
}

func scimAttributes() map[string]schema.Attribute {
	return map[string]schema.Attribute{
		"url": schema.StringAttribute{Required: true, MarkdownDescription: "Base URL of the service, the part before `/Users`."},
		"dialect": schema.StringAttribute{
			Optional: true, Validators: []validator.String{stringvalidator.OneOf(string(scim.SAPCloudIdentity))},
			MarkdownDescription: "`sap_cloud_identity` for SAP Cloud Identity Services; leave it out for standard SCIM 2.0.",
		},
		"token": schema.StringAttribute{
			Optional: true, Sensitive: true,
			MarkdownDescription: "Bearer token; best an ephemeral value. Otherwise `token_file`, or the environment variable `NHI_<NAME>_TOKEN`.",
		},
		"token_file": schema.StringAttribute{Optional: true, MarkdownDescription: "A file that holds the bearer token."},
		"username":   schema.StringAttribute{Optional: true, MarkdownDescription: "User name for basic authentication."},
		"password": schema.StringAttribute{
			Optional: true, Sensitive: true,
			MarkdownDescription: "Its password; or `password_file`, or the environment variable `NHI_<NAME>_PASSWORD`.",
		},
		"password_file": schema.StringAttribute{Optional: true, MarkdownDescription: "A file that holds the password."},
		"page_size": schema.Int64Attribute{
			Optional: true, Validators: []validator.Int64{int64validator.Between(1, 10000)},
			MarkdownDescription: "How many users to ask for at once, default 100. The service may give fewer.",
		},
		"email_domain": schema.StringAttribute{
			Optional: true,
			MarkdownDescription: "Domain of the address of accounts without `email`, where the service requires one. Default: a domain that " +
				"never receives mail.",
		},
		"ca_cert_file":     schema.StringAttribute{Optional: true, MarkdownDescription: "PEM file of the authorities to trust instead of the system's."},
		"client_cert_file": schema.StringAttribute{Optional: true, MarkdownDescription: "PEM file of the client certificate to present."},
		"client_key_file":  schema.StringAttribute{Optional: true, MarkdownDescription: "PEM file of its key."},
		"allow_plain_http": allowPlainHTTPAttribute(),
	}
}

func openSCIM(ctx context.Context, b *blockReader) func() (driver.Driver, error) {
	var m scimModel
	b.decode(ctx, &m)
	allowPlain := m.AllowPlainHTTP.ValueBool()
	b.checkURL("url", m.URL.ValueString(), allowPlain)
	config := scim.Config{
		URL: m.URL.ValueString(), Dialect: scim.Dialect(m.Dialect.ValueString()), PageSize: int(m.PageSize.ValueInt64()),
		EmailDomain: m.EmailDomain.ValueString(), AllowPlainHTTP: allowPlain,
		TLS: scim.TLS{CAFile: m.CACertFile.ValueString(), CertFile: m.ClientCertFile.ValueString(), KeyFile: m.ClientKeyFile.ValueString()},
	}
	config.Auth = scimAuth(b, m, allowPlain)
	b.spec = scim.Spec(config.Dialect)
	return func() (driver.Driver, error) { return scim.Open(config) }
}

// scimAuth chooses the one way to log in that is configured.
func scimAuth(b *blockReader, m scimModel, allowPlain bool) scim.Auth {
	switch {
	case m.OAuth2 != nil:
		o := m.OAuth2
		if o.TokenURL.ValueString() == "" || o.ClientID.ValueString() == "" {
			b.fail("oauth2", "Incomplete oauth2 block", errors.New("token_url and client_id are required"))
			return scim.Auth{}
		}
		b.checkURL("oauth2", o.TokenURL.ValueString(), allowPlain)
		return scim.Auth{OAuth2: &scim.ClientCredentials{
			TokenURL: o.TokenURL.ValueString(), ClientID: o.ClientID.ValueString(),
			ClientSecret: b.secret("client_secret", o.ClientSecret, o.ClientSecretFile),
			Scopes:       knownStrings(o.Scopes.Elements()), Audience: o.Audience.ValueString(),
		}}
	case m.Username.ValueString() != "":
		return scim.Auth{Username: m.Username.ValueString(), Password: b.requireSecret("password", m.Password, m.PasswordFile)}
	case m.ClientCertFile.ValueString() != "" && m.Token.IsNull() && m.TokenFile.IsNull():
		return scim.Auth{Bearer: b.secret("token", m.Token, m.TokenFile)}
	default:
		return scim.Auth{Bearer: b.requireSecret("token", m.Token, m.TokenFile)}
	}
}
