package provider

import (
	"context"
	"regexp"

	"github.com/hashicorp/terraform-plugin-framework-validators/stringvalidator"
	"github.com/hashicorp/terraform-plugin-framework/provider/schema"
	resourceschema "github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/platform/vault"
	"github.com/nhi-labs/terraform-provider-nhi/internal/secret"
)

type vaultModel struct {
	commonPlatform
	Address        types.String `tfsdk:"address"`
	Namespace      types.String `tfsdk:"namespace"`
	Token          types.String `tfsdk:"token"`
	TokenFile      types.String `tfsdk:"token_file"`
	RoleID         types.String `tfsdk:"role_id"`
	SecretID       types.String `tfsdk:"secret_id"`
	SecretIDFile   types.String `tfsdk:"secret_id_file"`
	AppRoleMount   types.String `tfsdk:"approle_mount"`
	LoginMount     types.String `tfsdk:"login_mount"`
	CACertFile     types.String `tfsdk:"ca_cert_file"`
	ClientCertFile types.String `tfsdk:"client_cert_file"`
	ClientKeyFile  types.String `tfsdk:"client_key_file"`
	AllowPlainHTTP types.Bool   `tfsdk:"allow_plain_http"`
}

func vaultKind() kind {
	return kind{
		spec:        vault.Spec(),
		description: "A Vault server. Accounts are AppRole roles with an identity entity; it also stores secrets (KV version 2).",
		attributes: map[string]schema.Attribute{
			"address":   schema.StringAttribute{Required: true, MarkdownDescription: "URL of the server."},
			"namespace": schema.StringAttribute{Optional: true, MarkdownDescription: "Namespace of everything that this platform manages."},
			"token": schema.StringAttribute{
				Optional: true, Sensitive: true,
				MarkdownDescription: "Token of the provider; best an ephemeral value. Otherwise `token_file`, or the environment variable " +
					"`NHI_<NAME>_TOKEN`, or `role_id` with `secret_id`.",
			},
			"token_file": schema.StringAttribute{Optional: true, MarkdownDescription: "A file that holds the token."},
			"role_id":    schema.StringAttribute{Optional: true, MarkdownDescription: "Role id of the AppRole that the provider logs in with instead of a token."},
			"secret_id": schema.StringAttribute{
				Optional: true, Sensitive: true,
				MarkdownDescription: "Its secret id; or `secret_id_file`, or the environment variable `NHI_<NAME>_SECRET_ID`.",
			},
			"secret_id_file":   schema.StringAttribute{Optional: true, MarkdownDescription: "A file that holds the secret id."},
			"login_mount":      schema.StringAttribute{Optional: true, MarkdownDescription: "AppRole mount that the provider itself logs in to. Default: `approle_mount`."},
			"approle_mount":    schema.StringAttribute{Optional: true, MarkdownDescription: "AppRole mount that holds the accounts. Default `approle`."},
			"ca_cert_file":     schema.StringAttribute{Optional: true, MarkdownDescription: "PEM file of the authorities to trust instead of the system's."},
			"client_cert_file": schema.StringAttribute{Optional: true, MarkdownDescription: "PEM file of the client certificate to present."},
			"client_key_file":  schema.StringAttribute{Optional: true, MarkdownDescription: "PEM file of its key."},
			"allow_plain_http": allowPlainHTTPAttribute(),
		},
		settings: map[string]resourceschema.Attribute{
			"token_ttl":         vaultDuration("How long a token of the account lives"),
			"token_max_ttl":     vaultDuration("How long a token of the account can be renewed at most"),
			"secret_id_ttl":     vaultDuration("How long a secret id lives that has no end of its own"),
			"token_bound_cidrs": resourceschema.StringAttribute{Optional: true, MarkdownDescription: "The networks that tokens may be used from, separated by commas: `10.0.0.0/8,192.0.2.7`."},
		},
		open: openVault,
	}
}

func allowPlainHTTPAttribute() schema.Attribute {
	return schema.BoolAttribute{
		Optional: true,
		MarkdownDescription: "Allows `http://` addresses beyond this machine. Credentials are then readable on the network unless it is " +
			"protected otherwise.",
	}
}

// vaultDuration is a duration in the one spelling that reads back as it was written: whole seconds.
func vaultDuration(description string) resourceschema.Attribute {
	return resourceschema.StringAttribute{
		Optional: true,
		Validators: []validator.String{stringvalidator.RegexMatches(regexp.MustCompile(`^(0|[1-9][0-9]*)s$`),
			"must be in whole seconds, for example 3600s")},
		MarkdownDescription: description + ", in seconds: `3600s`. `0s` is Vault's default.",
	}
}

func openVault(ctx context.Context, b *blockReader) func() (driver.Driver, error) {
	var m vaultModel
	b.decode(ctx, &m)
	b.checkURL("address", m.Address.ValueString(), m.AllowPlainHTTP.ValueBool())
	var token, secretID secret.Value
	if m.RoleID.ValueString() != "" {
		secretID = b.requireSecret("secret_id", m.SecretID, m.SecretIDFile)
	} else {
		token = b.requireSecret("token", m.Token, m.TokenFile)
	}
	config := vault.Config{
		Address: m.Address.ValueString(), Namespace: m.Namespace.ValueString(), Token: token,
		RoleID: m.RoleID.ValueString(), SecretID: secretID, LoginMount: m.LoginMount.ValueString(),
		AppRoleMount: m.AppRoleMount.ValueString(), CACertFile: m.CACertFile.ValueString(),
		ClientCertFile: m.ClientCertFile.ValueString(), ClientKeyFile: m.ClientKeyFile.ValueString(),
	}
	return func() (driver.Driver, error) { return vault.Open(config) }
}
