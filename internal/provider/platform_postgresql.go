package provider

import (
	"context"

	"github.com/hashicorp/terraform-plugin-framework-validators/int64validator"
	"github.com/hashicorp/terraform-plugin-framework-validators/stringvalidator"
	"github.com/hashicorp/terraform-plugin-framework/provider/schema"
	resourceschema "github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/platform/postgresql"
)

type postgresqlModel struct {
	commonPlatform
	Host            types.String `tfsdk:"host"`
	Port            types.Int64  `tfsdk:"port"`
	Database        types.String `tfsdk:"database"`
	Username        types.String `tfsdk:"username"`
	Password        types.String `tfsdk:"password"`
	PasswordFile    types.String `tfsdk:"password_file"`
	SSLMode         types.String `tfsdk:"sslmode"`
	SSLRootCert     types.String `tfsdk:"sslrootcert"`
	MaxConnections  types.Int64  `tfsdk:"max_connections"`
	ReassignOwnedTo types.String `tfsdk:"reassign_owned_to"`
}

func postgresqlKind() kind {
	return kind{
		spec:        postgresql.Spec(),
		description: "A database of a PostgreSQL cluster. Accounts are roles.",
		attributes: map[string]schema.Attribute{
			"host":     schema.StringAttribute{Required: true, MarkdownDescription: "Host name or address."},
			"port":     schema.Int64Attribute{Optional: true, Validators: []validator.Int64{int64validator.Between(1, 65535)}, MarkdownDescription: "Port, default 5432."},
			"database": schema.StringAttribute{Required: true, MarkdownDescription: "The database whose schemas, tables and functions entitlements name."},
			"username": schema.StringAttribute{Required: true, MarkdownDescription: "The administrative role that the provider logs in with."},
			"password": schema.StringAttribute{
				Optional: true, Sensitive: true,
				MarkdownDescription: "Its password; best an ephemeral value. Otherwise `password_file`, or the environment variable `NHI_<NAME>_PASSWORD`.",
			},
			"password_file": schema.StringAttribute{Optional: true, MarkdownDescription: "A file that holds the password."},
			"sslmode": schema.StringAttribute{
				Optional:            true,
				Validators:          []validator.String{stringvalidator.OneOf("disable", "require", "verify-ca", "verify-full")},
				MarkdownDescription: "`verify-full` (default), `verify-ca`, `require` or `disable`, as in libpq.",
			},
			"sslrootcert": schema.StringAttribute{Optional: true, MarkdownDescription: "PEM file of the authorities that may have signed the server's certificate."},
			"max_connections": schema.Int64Attribute{
				Optional: true, Validators: []validator.Int64{int64validator.Between(1, 1000)},
				MarkdownDescription: "How many connections the provider opens at most, default 8.",
			},
			"reassign_owned_to": schema.StringAttribute{
				Optional: true,
				MarkdownDescription: "The role that inherits the objects which a deleted account owned, and those whose ownership a plan removes. " +
					"Default: the administrative role. Objects are never dropped, and those that would act for others with the rights " +
					"of a privileged role do not go to one: see the guide.",
			},
		},
		settings: map[string]resourceschema.Attribute{
			"connection_limit": resourceschema.Int64Attribute{
				Optional: true, Validators: []validator.Int64{int64validator.AtLeast(-1)},
				MarkdownDescription: "How many connections the account may have at once, -1 for no limit.",
			},
		},
		open: func(ctx context.Context, b *blockReader) func() (driver.Driver, error) {
			var m postgresqlModel
			b.decode(ctx, &m)
			config := postgresql.Config{
				Host: m.Host.ValueString(), Port: int(m.Port.ValueInt64()), Database: m.Database.ValueString(),
				Username: m.Username.ValueString(), Password: b.requireSecret("password", m.Password, m.PasswordFile),
				SSLMode: m.SSLMode.ValueString(), SSLRootCert: m.SSLRootCert.ValueString(),
				MaxConnections: int(m.MaxConnections.ValueInt64()), ReassignOwnedTo: m.ReassignOwnedTo.ValueString(),
			}
			return func() (driver.Driver, error) { return postgresql.Open(config) }
		},
	}
}
