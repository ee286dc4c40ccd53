package provider

import (
	"context"

	"github.com/hashicorp/terraform-plugin-framework-validators/int64validator"
	"github.com/hashicorp/terraform-plugin-framework-validators/stringvalidator"
	"github.com/hashicorp/terraform-plugin-framework/provider/schema"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/platform/ldap"
)

type ldapModel struct {
	commonPlatform
	Dialect           types.String `tfsdk:"dialect"`
	URL               types.String `tfsdk:"url"`
	StartTLS          types.Bool   `tfsdk:"start_tls"`
	AllowPlain        types.Bool   `tfsdk:"allow_plain"`
	CACertFile        types.String `tfsdk:"ca_cert_file"`
	BindDN            types.String `tfsdk:"bind_dn"`
	Password          types.String `tfsdk:"password"`
	PasswordFile      types.String `tfsdk:"password_file"`
	BaseDN            types.String `tfsdk:"base_dn"`
	GroupsDN          types.String `tfsdk:"groups_dn"`
	ObjectClass       types.String `tfsdk:"object_class"`
	PasswordScheme    types.String `tfsdk:"password_scheme"`
	PlaceholderMember types.String `tfsdk:"placeholder_member"`
	PageSize          types.Int64  `tfsdk:"page_size"`
	MaxConnections    types.Int64  `tfsdk:"max_connections"`
}

func ldapKind() kind {
	return kind{
		spec:        ldap.Spec(""),
		description: "An LDAP directory: OpenLDAP or Active Directory. Accounts are entries with a password, entitlements are group memberships.",
		attributes:  ldapAttributes(),
		open:        openLDAP,
	}
}

func ldapAttributes() map[string]schema.Attribute {
	return map[string]schema.Attribute{
		"dialect": schema.StringAttribute{
			Required: true, Validators: []validator.String{stringvalidator.OneOf(string(ldap.OpenLDAP), string(ldap.ActiveDirectory))},
			MarkdownDescription: "`openldap` or `active_directory`.",
		},
		"url": schema.StringAttribute{Required: true, MarkdownDescription: "`ldaps://host[:port]`, or `ldap://host[:port]` with `start_tls`."},
		"start_tls": schema.BoolAttribute{
			Optional:            true,
			MarkdownDescription: "Turns an `ldap://` connection into one with TLS before anything is sent.",
		},
		"allow_plain": schema.BoolAttribute{
			Optional: true,
			MarkdownDescription: "Allows `ldap://` without TLS beyond this machine. Passwords are then readable on the network unless it is " +
				"protected otherwise.",
		},
		"ca_cert_file": schema.StringAttribute{Optional: true, MarkdownDescription: "PEM file of the authorities to trust instead of the system's."},
		"bind_dn": schema.StringAttribute{
			Required:            true,
			MarkdownDescription: "DN that the provider logs in with; on Active Directory also `name@domain`.",
		},
		"password": schema.StringAttribute{
			Optional: true, Sensitive: true,
			MarkdownDescription: "Its password; best an ephemeral value. Otherwise `password_file`, or the environment variable `NHI_<NAME>_PASSWORD`.",
		},
		"password_file": schema.StringAttribute{Optional: true, MarkdownDescription: "A file that holds the password."},
		"base_dn": schema.StringAttribute{
			Required:            true,
			MarkdownDescription: "The entry below which accounts are made, and below which existing ones are looked for.",
		},
		"groups_dn": schema.StringAttribute{
			Optional: true,
			MarkdownDescription: "OpenLDAP: the entry below which groups are. Default: the whole directory. Memberships in groups elsewhere " +
				"are not seen.",
		},
		"object_class": schema.StringAttribute{
			Optional: true, Validators: []validator.String{stringvalidator.OneOf(ldap.ClassInetOrgPerson, ldap.ClassAccount)},
			MarkdownDescription: "OpenLDAP: what new accounts are, `inetOrgPerson` (default) or `account` (with `simpleSecurityObject`).",
		},
		"password_scheme": schema.StringAttribute{
			Optional: true, Validators: []validator.String{stringvalidator.OneOf(ldap.SchemeSSHA, ldap.SchemeSSHA512)},
			MarkdownDescription: "OpenLDAP: how new passwords are stored, `SSHA` (default) or `SSHA512`, for which slapd needs its module " +
				"`pw-sha2`. Both protect 256 random bits.",
		},
		"placeholder_member": schema.StringAttribute{
			Optional: true,
			MarkdownDescription: "OpenLDAP: the DN that takes the place of the last member of a group that must not be empty. Default: the " +
				"group's own.",
		},
		"page_size": schema.Int64Attribute{
			Optional: true, Validators: []validator.Int64{int64validator.Between(1, 10000)},
			MarkdownDescription: "How many entries to ask for at once, default 500. Active Directory gives no more than 1,000.",
		},
		"max_connections": schema.Int64Attribute{
			Optional: true, Validators: []validator.Int64{int64validator.Between(1, 100)},
			MarkdownDescription: "How many connections the provider opens at most, default 6.",
		},
	}
}

func openLDAP(ctx context.Context, b *blockReader) func() (driver.Driver, error) {
	var m ldapModel
	b.decode(ctx, &m)
	if err := ldap.CheckURL(m.URL.ValueString(), m.StartTLS.ValueBool(), m.AllowPlain.ValueBool()); err != nil {
		b.fail("url", "Invalid address", err)
	}
	config := ldap.Config{
		Dialect: ldap.Dialect(m.Dialect.ValueString()), URL: m.URL.ValueString(), StartTLS: m.StartTLS.ValueBool(),
		AllowPlain: m.AllowPlain.ValueBool(), CAFile: m.CACertFile.ValueString(), BindDN: m.BindDN.ValueString(),
		Password: b.requireSecret("password", m.Password, m.PasswordFile), BaseDN: m.BaseDN.ValueString(),
		GroupsDN: m.GroupsDN.ValueString(), ObjectClass: m.ObjectClass.ValueString(), PasswordScheme: m.PasswordScheme.ValueString(),
		PlaceholderMember: m.PlaceholderMember.ValueString(), PageSize: int(m.PageSize.ValueInt64()),
		MaxConnections: int(m.MaxConnections.ValueInt64()),
	}
	b.spec = config.Spec()
	return func() (driver.Driver, error) { return ldap.Open(config) }
}
