package provider

import (
	"context"

	"github.com/hashicorp/terraform-plugin-framework-validators/stringvalidator"
	"github.com/hashicorp/terraform-plugin-framework/provider/schema"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/platform/oauthclient"
)

type oauthClientModel struct {
	commonPlatform
	Issuer                 types.String `tfsdk:"issuer"`
	InitialAccessToken     types.String `tfsdk:"initial_access_token"`
	InitialAccessTokenFile types.String `tfsdk:"initial_access_token_file"`
	RegistryPlatform       types.String `tfsdk:"registry_platform"`
	RegistryPath           types.String `tfsdk:"registry_path"`
	ClientAuth             types.String `tfsdk:"client_auth"`
	PlaceholderScope       types.String `tfsdk:"placeholder_scope"`
	CACertFile             types.String `tfsdk:"ca_cert_file"`
	ClientCertFile         types.String `tfsdk:"client_cert_file"`
	ClientKeyFile          types.String `tfsdk:"client_key_file"`
	AllowPlainHTTP         types.Bool   `tfsdk:"allow_plain_http"`
}

func oauthClientKind() kind {
	return kind{
		spec: oauthclient.Spec(),
		description: "An OAuth 2.0 authorization server with dynamic client registration (RFC 7591, RFC 7592). Accounts are clients: the " +
			"API clients and AI agents of the server.",
		attributes: map[string]schema.Attribute{
			"issuer": schema.StringAttribute{
				Required:            true,
				MarkdownDescription: "The server's issuer identifier: `https://login.example.com`. Its endpoints are found from there.",
			},
			"initial_access_token": schema.StringAttribute{
				Optional: true, Sensitive: true,
				MarkdownDescription: "Token that allows to register clients; best an ephemeral value. Otherwise `initial_access_token_file`, or " +
					"the environment variable `NHI_<NAME>_INITIAL_ACCESS_TOKEN`. With none of them, the server must let anybody register.",
			},
			"initial_access_token_file": schema.StringAttribute{Optional: true, MarkdownDescription: "A file that holds the initial access token."},
			"registry_platform": schema.StringAttribute{
				Required: true,
				MarkdownDescription: "Name of another platform of this provider that stores secrets. It keeps the registration access token of " +
					"each client, without which the client cannot be read or changed.",
			},
			"registry_path": schema.StringAttribute{
				Required:            true,
				MarkdownDescription: "Path there below which each client has an entry, for example `kv/nhi/oauth-clients`.",
			},
			"client_auth": schema.StringAttribute{
				Optional: true,
				Validators: []validator.String{
					stringvalidator.OneOf(oauthclient.PrivateKeyJWT, oauthclient.ClientSecret),
				},
				MarkdownDescription: "What `nhi_rotation` issues: `private_key_jwt` (default), keys of which several work at the same time; or " +
					"`client_secret_basic`, one secret, whose rotation is an outage.",
			},
			"placeholder_scope": schema.StringAttribute{
				Optional: true,
				MarkdownDescription: "A scope that the server knows and that opens nothing, default `openid`. Every client is registered with it, " +
					"because a registration without scopes means every scope to many servers.",
			},
			"ca_cert_file":     schema.StringAttribute{Optional: true, MarkdownDescription: "PEM file of the authorities to trust instead of the system's."},
			"client_cert_file": schema.StringAttribute{Optional: true, MarkdownDescription: "PEM file of the client certificate to present."},
			"client_key_file":  schema.StringAttribute{Optional: true, MarkdownDescription: "PEM file of its key."},
			"allow_plain_http": allowPlainHTTPAttribute(),
		},
		open: openOAuthClient,
	}
}

func openOAuthClient(ctx context.Context, b *blockReader) func() (driver.Driver, error) {
	var m oauthClientModel
	b.decode(ctx, &m)
	allowPlain := m.AllowPlainHTTP.ValueBool()
	b.checkURL("issuer", m.Issuer.ValueString(), allowPlain)
	config := oauthclient.Config{
		Issuer:             m.Issuer.ValueString(),
		InitialAccessToken: b.secret("initial_access_token", m.InitialAccessToken, m.InitialAccessTokenFile),
		Registry:           platformStore{later: b.later, name: m.RegistryPlatform.ValueString(), of: b.name.ValueString()},
		RegistryPath:       m.RegistryPath.ValueString(), ClientAuth: m.ClientAuth.ValueString(),
		Placeholder: m.PlaceholderScope.ValueString(), AllowPlainHTTP: allowPlain,
		TLS: oauthclient.TLS{CAFile: m.CACertFile.ValueString(), CertFile: m.ClientCertFile.ValueString(), KeyFile: m.ClientKeyFile.ValueString()},
	}
	return func() (driver.Driver, error) { return oauthclient.Open(config) }
}
