package provider

import (
	"context"
	"errors"

	"github.com/hashicorp/terraform-plugin-framework-validators/int64validator"
	"github.com/hashicorp/terraform-plugin-framework/provider/schema"
	resourceschema "github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/platform/sapbtp"
)

type sapBTPModel struct {
	commonPlatform
	URL              types.String           `tfsdk:"url"`
	TokenURL         types.String           `tfsdk:"token_url"`
	ClientID         types.String           `tfsdk:"client_id"`
	ClientSecret     types.String           `tfsdk:"client_secret"`
	ClientSecretFile types.String           `tfsdk:"client_secret_file"`
	ClientCertFile   types.String           `tfsdk:"client_cert_file"`
	ClientKeyFile    types.String           `tfsdk:"client_key_file"`
	Origin           types.String           `tfsdk:"origin"`
	PageSize         types.Int64            `tfsdk:"page_size"`
	CACertFile       types.String           `tfsdk:"ca_cert_file"`
	AllowPlainHTTP   types.Bool             `tfsdk:"allow_plain_http"`
	LevelAbove       *sapBTPLoginModel      `tfsdk:"level_above"`
	ServiceManager   *sapBTPServiceManagers `tfsdk:"service_manager"`
}

type sapBTPLoginModel struct {
	URL              types.String `tfsdk:"url"`
	TokenURL         types.String `tfsdk:"token_url"`
	ClientID         types.String `tfsdk:"client_id"`
	ClientSecret     types.String `tfsdk:"client_secret"`
	ClientSecretFile types.String `tfsdk:"client_secret_file"`
	ClientCertFile   types.String `tfsdk:"client_cert_file"`
	ClientKeyFile    types.String `tfsdk:"client_key_file"`
}

type sapBTPServiceManagers struct {
	sapBTPLoginModel
	ServiceInstanceID types.String `tfsdk:"service_instance_id"`
}

func sapBTPKind() kind {
	attributes := sapBTPLogin("", true)
	attributes["origin"] = schema.StringAttribute{
		Optional: true,
		MarkdownDescription: "Origin key of the identity provider whose shadow users are the accounts (in the cockpit under *Trust " +
			"Configuration*). Default `sap.default`.",
	}
	attributes["page_size"] = schema.Int64Attribute{
		Optional: true, Validators: []validator.Int64{int64validator.Between(2, 500)},
		MarkdownDescription: "How many users to ask for at once, default 100. The service may give fewer.",
	}
	attributes["ca_cert_file"] = schema.StringAttribute{Optional: true, MarkdownDescription: "PEM file of the authorities to trust instead of the system's."}
	attributes["allow_plain_http"] = allowPlainHTTPAttribute()
	manager := sapBTPLogin("SERVICE_MANAGER_", false)
	manager["service_instance_id"] = schema.StringAttribute{
		Optional: true,
		MarkdownDescription: "Id of the service instance whose bindings are the credentials of the accounts, for example one of the service " +
			"`xsuaa`. What its clients may do is the instance's business. Required.",
	}
	return kind{
		spec: sapbtp.Spec(),
		description: "A subaccount of SAP BTP. Accounts are shadow users; entitlements are role collections. Log in with `client_secret`, or " +
			"with a client certificate (X.509) alone.",
		attributes: attributes,
		subblocks: map[string]schema.Block{
			"level_above": schema.SingleNestedBlock{
				MarkdownDescription: "The same API of the level above, the global account or directory. A user is deleted there, too; otherwise it " +
					"comes back at its next logon.",
				Attributes: sapBTPLogin("LEVEL_ABOVE_", false),
			},
			"service_manager": schema.SingleNestedBlock{
				MarkdownDescription: "The Service Manager, for `nhi_rotation`. Without it, accounts have no credentials here.",
				Attributes:          manager,
			},
		},
		settings: map[string]resourceschema.Attribute{
			"email": resourceschema.StringAttribute{Optional: true, MarkdownDescription: "The user's e-mail address. Default: the name, if it is " +
				"an address, else one that never receives mail."},
		},
		open: openSAPBTP,
	}
}

// sapBTPLogin is how to reach and log in to one of the APIs. variable is the middle of the environment variable's name.
func sapBTPLogin(variable string, top bool) map[string]schema.Attribute {
	required := " Required."
	if top {
		required = ""
	}
	text := func(description string) schema.StringAttribute {
		return schema.StringAttribute{Required: top, Optional: !top, MarkdownDescription: description + required}
	}
	return map[string]schema.Attribute{
		"url":       text("URL of the API: `apiurl` in the credentials of a binding (for the Service Manager, `sm_url`)."),
		"token_url": text("URL of the token endpoint: `url`, or `certurl` for a certificate, with `/oauth/token`."),
		"client_id": text("Client id: `clientid`."),
		"client_secret": schema.StringAttribute{
			Optional: true, Sensitive: true,
			MarkdownDescription: "Client secret; best an ephemeral value. Otherwise `client_secret_file`, or the environment variable `NHI_<NAME>_" +
				variable + "CLIENT_SECRET`. With none of them the client certificate is the login.",
		},
		"client_secret_file": schema.StringAttribute{Optional: true, MarkdownDescription: "A file that holds the client secret."},
		"client_cert_file":   schema.StringAttribute{Optional: true, MarkdownDescription: "PEM file of the client certificate (X.509) to log in with."},
		"client_key_file":    schema.StringAttribute{Optional: true, MarkdownDescription: "PEM file of its key."},
	}
}

func openSAPBTP(ctx context.Context, b *blockReader) func() (driver.Driver, error) {
	var m sapBTPModel
	b.decode(ctx, &m)
	allowPlain := m.AllowPlainHTTP.ValueBool()
	login := sapBTPLoginModel{m.URL, m.TokenURL, m.ClientID, m.ClientSecret, m.ClientSecretFile, m.ClientCertFile, m.ClientKeyFile}
	config := sapbtp.Config{
		API: sapBTPAPI(b, "", login, allowPlain), Origin: m.Origin.ValueString(), PageSize: int(m.PageSize.ValueInt64()),
		CAFile: m.CACertFile.ValueString(), AllowPlainHTTP: allowPlain,
	}
	if m.LevelAbove != nil {
		api := sapBTPAPI(b, "level_above", *m.LevelAbove, allowPlain)
		config.Upper = &api
	}
	if m.ServiceManager != nil {
		config.Bindings = &sapbtp.Bindings{
			API:        sapBTPAPI(b, "service_manager", m.ServiceManager.sapBTPLoginModel, allowPlain),
			InstanceID: m.ServiceManager.ServiceInstanceID.ValueString(),
		}
		if config.Bindings.InstanceID == "" {
			b.fail("service_manager", "Incomplete service_manager block", errors.New("service_instance_id is required"))
		}
	}
	return func() (driver.Driver, error) { return sapbtp.Open(config) }
}

// sapBTPAPI reads one login; block is "" for the platform's own.
func sapBTPAPI(b *blockReader, block string, m sapBTPLoginModel, allowPlain bool) sapbtp.API {
	attribute, secretName := func(name string) string { return name }, "client_secret"
	if block != "" {
		attribute, secretName = func(string) string { return block }, block+"_client_secret"
		if m.URL.ValueString() == "" || m.TokenURL.ValueString() == "" || m.ClientID.ValueString() == "" {
			b.fail(block, "Incomplete "+block+" block", errors.New("url, token_url and client_id are required"))
			return sapbtp.API{}
		}
	}
	b.checkURL(attribute("url"), m.URL.ValueString(), allowPlain)
	b.checkURL(attribute("token_url"), m.TokenURL.ValueString(), allowPlain)
	api := sapbtp.API{
		URL: m.URL.ValueString(), TokenURL: m.TokenURL.ValueString(), ClientID: m.ClientID.ValueString(),
		ClientSecret: b.secret(secretName, m.ClientSecret, m.ClientSecretFile),
		CertFile:     m.ClientCertFile.ValueString(), KeyFile: m.ClientKeyFile.ValueString(),
	}
	if api.ClientSecret.IsZero() && api.CertFile == "" && !b.diags.HasError() {
		b.fail(attribute("client_secret"), "No way to log in", errors.New("give client_secret, client_secret_file or the environment variable "+
			environmentName(b.name.ValueString(), secretName)+", or client_cert_file and client_key_file"))
	}
	return api
}
