package provider

import (
	"context"
	"errors"
	"maps"

	"github.com/hashicorp/terraform-plugin-framework-validators/stringvalidator"
	"github.com/hashicorp/terraform-plugin-framework/provider/schema"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/nhi-labs/terraform-provider-nhi/internal/audit"
	"github.com/nhi-labs/terraform-provider-nhi/internal/audit/ocsf"
	"github.com/nhi-labs/terraform-provider-nhi/internal/audit/otlp"
	"github.com/nhi-labs/terraform-provider-nhi/internal/audit/securityevents"
	"github.com/nhi-labs/terraform-provider-nhi/internal/audit/splunk"
	"github.com/nhi-labs/terraform-provider-nhi/internal/audit/webhook"
	"github.com/nhi-labs/terraform-provider-nhi/internal/secret"
	"github.com/nhi-labs/terraform-provider-nhi/internal/transport"
)

// auditTLS holds the attributes of sinks that speak TLS.
type auditTLS struct {
	CACertFile     types.String `tfsdk:"ca_cert_file"`
	ClientCertFile types.String `tfsdk:"client_cert_file"`
	ClientKeyFile  types.String `tfsdk:"client_key_file"`
}

func withTLS(attributes map[string]schema.Attribute) map[string]schema.Attribute {
	maps.Copy(attributes, map[string]schema.Attribute{
		"ca_cert_file":     schema.StringAttribute{Optional: true, MarkdownDescription: "PEM file of the authorities to trust instead of the system's."},
		"client_cert_file": schema.StringAttribute{Optional: true, MarkdownDescription: "PEM file of the client certificate to present."},
		"client_key_file":  schema.StringAttribute{Optional: true, MarkdownDescription: "PEM file of its key."},
	})
	return attributes
}

// set reports whether anything of TLS is configured.
func (t auditTLS) set() bool {
	return !t.CACertFile.IsNull() || !t.ClientCertFile.IsNull() || !t.ClientKeyFile.IsNull()
}

// check reports what is wrong with the files, each problem where it is.
func (t auditTLS) check(b *blockReader) {
	_, err := transport.TLS{CAFile: t.CACertFile.ValueString()}.Config()
	addErrorAt(b.diags, b.path.AtName("ca_cert_file"), "Unusable certificate authorities", err)
	_, err = transport.TLS{CertFile: t.ClientCertFile.ValueString(), KeyFile: t.ClientKeyFile.ValueString()}.Config()
	addErrorAt(b.diags, b.path.AtName("client_cert_file"), "Unusable client certificate", err)
}

func (t auditTLS) config() transport.TLS {
	return transport.TLS{CAFile: t.CACertFile.ValueString(), CertFile: t.ClientCertFile.ValueString(), KeyFile: t.ClientKeyFile.ValueString()}
}

// auditHTTP holds the attributes of sinks that speak HTTP.
type auditHTTP struct {
	auditTLS
	URL            types.String `tfsdk:"url"`
	AllowPlainHTTP types.Bool   `tfsdk:"allow_plain_http"`
	Token          types.String `tfsdk:"token"`
	TokenFile      types.String `tfsdk:"token_file"`
}

// check reports what is wrong with address and files.
func (h auditHTTP) check(b *blockReader) {
	b.checkURL("url", h.URL.ValueString(), h.AllowPlainHTTP.ValueBool())
	h.auditTLS.check(b)
}

const bearerToken = "Bearer token to send"

// withHTTP adds the attributes of auditHTTP. url and token describe those two.
func withHTTP(url, token string, attributes map[string]schema.Attribute) map[string]schema.Attribute {
	attributes["url"] = schema.StringAttribute{Required: true, MarkdownDescription: url}
	attributes["allow_plain_http"] = allowPlainHTTPAttribute()
	return withSecret("token", token, withTLS(attributes))
}

// withSecret adds the attributes <name> and <name>_file of a secret.
func withSecret(name, description string, attributes map[string]schema.Attribute) map[string]schema.Attribute {
	attributes[name] = schema.StringAttribute{
		Optional: true, Sensitive: true,
		MarkdownDescription: description + "; best an ephemeral value. Otherwise `" + name + "_file`, or the environment variable `" +
			environmentName("audit_<name>", name) + "`.",
	}
	attributes[name+"_file"] = schema.StringAttribute{Optional: true, MarkdownDescription: "A file that holds it."}
	return attributes
}

// openHTTP opens a sink from a model that embeds auditHTTP: it decodes the block, checks address and files, and leaves the
// rest to open, whose error is one on the URL if nothing else was found wrong before.
func openHTTP[M interface{ check(b *blockReader) }](
	open func(b *blockReader, m M, version ocsf.Version) (audit.Sink, error),
) func(context.Context, *blockReader, ocsf.Version) audit.Sink {
	return func(ctx context.Context, b *blockReader, version ocsf.Version) audit.Sink {
		var m M
		b.decode(ctx, &m)
		m.check(b)
		sink, err := open(b, m, version)
		if err == nil {
			return sink
		}
		if !b.diags.HasError() {
			b.fail("url", "Invalid audit sink", err)
		}
		return nil
	}
}

type auditSplunkModel struct {
	commonAudit
	auditHTTP
	Acknowledge types.Bool   `tfsdk:"acknowledge"`
	Index       types.String `tfsdk:"index"`
	Source      types.String `tfsdk:"source"`
	SourceType  types.String `tfsdk:"sourcetype"`
}

func auditSplunkKind() auditKind {
	return auditKind{
		name:        "splunk",
		description: "Sends each event to a Splunk HTTP Event Collector.",
		attributes: withHTTP("Base URL of the collector: `https://splunk.internal:8088`.", "Token of the collector",
			map[string]schema.Attribute{
				"acknowledge": schema.BoolAttribute{
					Optional: true,
					MarkdownDescription: "Whether to wait until the event is indexed. The token must have indexer acknowledgement enabled. " +
						"Default `true`. With `false` an event that Splunk has received, and then loses, is lost.",
				},
				"index":      schema.StringAttribute{Optional: true, MarkdownDescription: "Index of the events. Default: the token's."},
				"source":     schema.StringAttribute{Optional: true, MarkdownDescription: "Source of the events. Default: the token's."},
				"sourcetype": schema.StringAttribute{Optional: true, MarkdownDescription: "Source type of the events. Default: the token's."},
			}),
		open: openHTTP(func(b *blockReader, m auditSplunkModel, version ocsf.Version) (audit.Sink, error) {
			return splunk.New(splunk.Config{
				URL: m.URL.ValueString(), TLS: m.config(), AllowPlainHTTP: m.AllowPlainHTTP.ValueBool(),
				Token:       b.requireSecret("token", m.Token, m.TokenFile),
				Acknowledge: m.Acknowledge.IsNull() || m.Acknowledge.ValueBool(), Index: m.Index.ValueString(),
				Source: m.Source.ValueString(), SourceType: m.SourceType.ValueString(), Version: version,
			})
		}),
	}
}

type auditWebhookModel struct {
	commonAudit
	auditHTTP
	Secret     types.String `tfsdk:"secret"`
	SecretFile types.String `tfsdk:"secret_file"`
}

func auditWebhookKind() auditKind {
	attributes := withHTTP("URL that events are posted to.", bearerToken, map[string]schema.Attribute{})
	return auditKind{
		name:        "webhook",
		description: "Posts each event as a CloudEvent (structured mode), signed with HMAC-SHA256.",
		attributes:  withSecret("secret", "Key of the signature, at least 16 bytes. Without it nothing is signed", attributes),
		open: openHTTP(func(b *blockReader, m auditWebhookModel, version ocsf.Version) (audit.Sink, error) {
			key := b.secret("secret", m.Secret, m.SecretFile)
			addErrorAt(b.diags, b.path.AtName("secret"), "Short secret", webhook.CheckSecret(key))
			return webhook.New(webhook.Config{
				URL: m.URL.ValueString(), TLS: m.config(), AllowPlainHTTP: m.AllowPlainHTTP.ValueBool(),
				Secret: key, Token: b.secret("token", m.Token, m.TokenFile), Version: version,
			})
		}),
	}
}

type auditOTLPModel struct {
	commonAudit
	auditHTTP
	Protocol types.String `tfsdk:"protocol"`
	Headers  types.Map    `tfsdk:"headers"`
}

func auditOTLPKind() auditKind {
	return auditKind{
		name:        "otlp",
		description: "Sends each event as an OpenTelemetry log record (OTLP).",
		attributes: withHTTP("Base URL of the collector: `https://otel.internal:4318`, or `https://otel.internal:4317` for gRPC.",
			bearerToken, map[string]schema.Attribute{
				"protocol": schema.StringAttribute{
					Optional: true, Validators: []validator.String{stringvalidator.OneOf(texts(otlp.Protocols())...)},
					MarkdownDescription: "`http` (binary protobuf, to the path `/v1/logs`) or `grpc`. Default `http`.",
				},
				"headers": schema.MapAttribute{
					Optional: true, Sensitive: true, ElementType: types.StringType,
					MarkdownDescription: "Headers to add to each request, for collectors that want a key in a header of their own.",
				},
			}),
		open: openHTTP(openAuditOTLP),
	}
}

func openAuditOTLP(b *blockReader, m auditOTLPModel, version ocsf.Version) (audit.Sink, error) {
	headers := make(map[string]secret.Value)
	for name, text := range mapOfStrings(m.Headers) {
		headers[name] = secret.New(text)
	}
	addErrorAt(b.diags, b.path.AtName("headers"), "Invalid header", otlp.CheckHeaders(headers))
	if token := b.secret("token", m.Token, m.TokenFile); !token.IsZero() {
		headers["Authorization"] = secret.New("Bearer " + token.Reveal())
	}
	protocol := otlp.Protocol(m.Protocol.ValueString())
	if protocol == "" {
		protocol = otlp.Protocols()[0]
	}
	return otlp.New(otlp.Config{
		Endpoint: m.URL.ValueString(), Protocol: protocol, TLS: m.config(), AllowPlainHTTP: m.AllowPlainHTTP.ValueBool(),
		Headers: headers, Version: version,
	})
}

type auditSecurityEventsModel struct {
	commonAudit
	auditHTTP
	Issuer         types.String `tfsdk:"issuer"`
	Audience       types.String `tfsdk:"audience"`
	SigningKey     types.String `tfsdk:"signing_key"`
	SigningKeyFile types.String `tfsdk:"signing_key_file"`
	KeyID          types.String `tfsdk:"key_id"`
}

func auditSecurityEventsKind() auditKind {
	attributes := withHTTP("Push endpoint of the receiver.", bearerToken, map[string]schema.Attribute{
		"issuer":   schema.StringAttribute{Required: true, MarkdownDescription: "Who issues the tokens (`iss`), as agreed with the receiver: a URL."},
		"audience": schema.StringAttribute{Optional: true, MarkdownDescription: "Whom they are for (`aud`)."},
		"key_id":   schema.StringAttribute{Optional: true, MarkdownDescription: "Id of the signing key in the receiver's key set (`kid`)."},
	})
	attributes = withSecret("signing_key", "Private key in PEM that signs the tokens: P-256 (ES256), or RSA of 2048 bits or more (RS256)", attributes)
	return auditKind{
		name: "security_events",
		description: "Pushes changes that have succeeded as security event tokens (RFC 8417, RFC 8935) with the types of CAEP and RISC. " +
			"Activities that those have no form for are not sent.",
		attributes: attributes,
		filter:     securityevents.Filter(),
		open:       openHTTP(openAuditSecurityEvents),
	}
}

func openAuditSecurityEvents(b *blockReader, m auditSecurityEventsModel, _ ocsf.Version) (audit.Sink, error) {
	key := b.requireSecret("signing_key", m.SigningKey, m.SigningKeyFile)
	if key.IsZero() {
		return nil, errors.New("no signing key")
	}
	addErrorAt(b.diags, b.path.AtName("signing_key"), "Unusable signing key", securityevents.CheckKey(key))
	if m.Issuer.ValueString() == "" {
		b.fail("issuer", "Missing issuer", errors.New("issuer is empty: write the URL that the receiver knows you by"))
	}
	return securityevents.New(securityevents.Config{
		URL: m.URL.ValueString(), TLS: m.config(), AllowPlainHTTP: m.AllowPlainHTTP.ValueBool(),
		Token: b.secret("token", m.Token, m.TokenFile), Issuer: m.Issuer.ValueString(), Audience: m.Audience.ValueString(),
		SigningKey: key, KeyID: m.KeyID.ValueString(),
	})
}
