package provider

import (
	"context"
	"errors"
	"slices"

	"github.com/hashicorp/terraform-plugin-framework-validators/int64validator"
	"github.com/hashicorp/terraform-plugin-framework-validators/stringvalidator"
	"github.com/hashicorp/terraform-plugin-framework/provider/schema"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/nhi-labs/terraform-provider-nhi/internal/audit"
	"github.com/nhi-labs/terraform-provider-nhi/internal/audit/ocsf"
	"github.com/nhi-labs/terraform-provider-nhi/internal/audit/syslog"
)

const defaultFacility = "authpriv"

type auditSyslogModel struct {
	commonAudit
	auditTLS
	Address          types.String `tfsdk:"address"`
	Transport        types.String `tfsdk:"transport"`
	Facility         types.String `tfsdk:"facility"`
	EnterpriseNumber types.Int64  `tfsdk:"enterprise_number"`
}

func auditSyslogKind() auditKind {
	return auditKind{
		name:        "syslog",
		description: "Sends each event to a syslog receiver (RFC 5424), over TLS or TCP with octet counting.",
		attributes: withTLS(map[string]schema.Attribute{
			"address": schema.StringAttribute{Required: true, MarkdownDescription: "Host and port of the receiver: `siem.internal:6514`."},
			"transport": schema.StringAttribute{
				Optional: true, Validators: []validator.String{stringvalidator.OneOf("tls", "tcp")},
				MarkdownDescription: "`tls` or `tcp`. Default `tls`. With `tcp` everybody on the way can read and change the events.",
			},
			"facility": schema.StringAttribute{
				Optional: true, Validators: []validator.String{stringvalidator.OneOf(syslog.Facilities()...)},
				MarkdownDescription: "Facility of the messages, by its usual name. Default `" + defaultFacility + "`.",
			},
			"enterprise_number": schema.Int64Attribute{
				Optional: true, Validators: []validator.Int64{int64validator.Between(1, 1<<31-1)},
				MarkdownDescription: "Your IANA private enterprise number, for the id `nhi@<number>` of the structured data. Default `32473`, " +
					"the number set aside for examples.",
			},
		}),
		open: openAuditSyslog,
	}
}

func openAuditSyslog(ctx context.Context, b *blockReader, version ocsf.Version) audit.Sink {
	var m auditSyslogModel
	b.decode(ctx, &m)
	facility := m.Facility.ValueString()
	if facility == "" {
		facility = defaultFacility
	}
	enterprise := int(m.EnterpriseNumber.ValueInt64())
	if enterprise == 0 {
		enterprise = syslog.ExampleEnterprise
	}
	plain := m.Transport.ValueString() == "tcp"
	m.check(b)
	if plain && m.set() {
		b.fail("transport", "Certificates without TLS", errors.New("transport = \"tcp\" uses no certificates: remove them, or use tls"))
		return nil
	}
	sink, err := syslog.New(syslog.Config{
		Address: m.Address.ValueString(), Plain: plain, TLS: m.config(),
		Facility: slices.Index(syslog.Facilities(), facility), EnterpriseNumber: enterprise, Version: version,
	})
	if err != nil {
		if !b.diags.HasError() {
			b.fail("address", "Invalid address", err)
		}
		return nil
	}
	return sink
}
