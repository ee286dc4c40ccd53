package provider

import (
	"context"

	"github.com/hashicorp/terraform-plugin-framework-validators/int64validator"
	"github.com/hashicorp/terraform-plugin-framework/provider/schema"
	resourceschema "github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/platform/mysql"
)

type mysqlModel struct {
	commonPlatform
	Host           types.String `tfsdk:"host"`
	Port           types.Int64  `tfsdk:"port"`
	Username       types.String `tfsdk:"username"`
	Password       types.String `tfsdk:"password"`
	PasswordFile   types.String `tfsdk:"password_file"`
	TLS            types.Bool   `tfsdk:"tls"`
	CACertFile     types.String `tfsdk:"ca_cert_file"`
	AllowPlainText types.Bool   `tfsdk:"allow_plain_text"`
	Schema         types.String `tfsdk:"schema"`
	MaxConnections types.Int64  `tfsdk:"max_connections"`
}

func mysqlKind() kind {
	return kind{
		spec:        mysql.Spec(),
		description: "A MySQL or MariaDB server. Accounts are what the server calls so: `user`, or `user@host`.",
		attributes: map[string]schema.Attribute{
			"host":     schema.StringAttribute{Required: true, MarkdownDescription: "Host name or address."},
			"port":     schema.Int64Attribute{Optional: true, Validators: []validator.Int64{int64validator.Between(1, 65535)}, MarkdownDescription: "Port, default 3306."},
			"username": schema.StringAttribute{Required: true, MarkdownDescription: "The administrative account that the provider logs in with."},
			"password": schema.StringAttribute{
				Optional: true, Sensitive: true,
				MarkdownDescription: "Its password; best an ephemeral value. Otherwise `password_file`, or the environment variable `NHI_<NAME>_PASSWORD`.",
			},
			"password_file": schema.StringAttribute{Optional: true, MarkdownDescription: "A file that holds the password."},
			"tls": schema.BoolAttribute{
				Optional:            true,
				MarkdownDescription: "Whether to use TLS and check the server's certificate. Default `true`; `false` is for this machine alone.",
			},
			"ca_cert_file":     schema.StringAttribute{Optional: true, MarkdownDescription: "PEM file of the authorities that may have signed the server's certificate."},
			"allow_plain_text": schema.BoolAttribute{Optional: true, MarkdownDescription: "Allow `tls = false` to another machine than this one. Default `false`."},
			"schema":           schema.StringAttribute{Optional: true, MarkdownDescription: "The database with the provider's own tables (see the guide). Default `nhi`."},
			"max_connections": schema.Int64Attribute{
				Optional: true, Validators: []validator.Int64{int64validator.Between(1, 1000)},
				MarkdownDescription: "How many connections the provider opens at most, default 8.",
			},
		},
		settings: map[string]resourceschema.Attribute{
			"max_user_connections": resourceschema.Int64Attribute{
				Optional: true, Validators: []validator.Int64{int64validator.AtLeast(0)},
				MarkdownDescription: "How many connections the account may have at once, 0 for the server's own limit.",
			},
		},
		open: func(ctx context.Context, b *blockReader) func() (driver.Driver, error) {
			var m mysqlModel
			b.decode(ctx, &m)
			config := mysql.Config{
				Host: m.Host.ValueString(), Port: int(m.Port.ValueInt64()), Username: m.Username.ValueString(),
				Password:  b.requireSecret("password", m.Password, m.PasswordFile),
				PlainText: !m.TLS.IsNull() && !m.TLS.ValueBool(), AllowPlainText: m.AllowPlainText.ValueBool(),
				CAFile: m.CACertFile.ValueString(), Schema: m.Schema.ValueString(), MaxConnections: int(m.MaxConnections.ValueInt64()),
			}
			return func() (driver.Driver, error) { return mysql.Open(config) }
		},
	}
}
