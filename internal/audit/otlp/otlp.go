// Package otlp is the audit sink that sends each event as a log record to an OpenTelemetry collector, over HTTP or gRPC.
//
// It uses the protocol's own messages rather than the logs SDK: that one exports in the background and reports what the
// collector rejected to a global handler, so nobody could tell whether an event has arrived.
//
// Source: the OTLP specification 1.9, https://opentelemetry.io/docs/specs/otlp/.
package otlp

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/textproto"
	"slices"
	"strings"
	"time"

	collector "go.opentelemetry.io/proto/slim/otlp/collector/logs/v1"
	common "go.opentelemetry.io/proto/slim/otlp/common/v1"
	logs "go.opentelemetry.io/proto/slim/otlp/logs/v1"
	resource "go.opentelemetry.io/proto/slim/otlp/resource/v1"
	"golang.org/x/net/http/httpguts"

	"github.com/nhi-labs/terraform-provider-nhi/internal/audit"
	"github.com/nhi-labs/terraform-provider-nhi/internal/audit/internal/post"
	"github.com/nhi-labs/terraform-provider-nhi/internal/audit/ocsf"
	"github.com/nhi-labs/terraform-provider-nhi/internal/secret"
	"github.com/nhi-labs/terraform-provider-nhi/internal/transport"
)

// Protocol is how records travel.
type Protocol string

// The protocols.
const (
	// HTTP is binary protobuf over HTTP, to the path /v1/logs.
	HTTP Protocol = "http"
	GRPC Protocol = "grpc"
)

// Protocols lists every protocol; the first is the default.
func Protocols() []Protocol { return []Protocol{HTTP, GRPC} }

// Config says where and how to send.
type Config struct {
	// Endpoint is the collector's base URL: https://host:4318, or https://host:4317 for GRPC, which takes no path.
	Endpoint       string
	Protocol       Protocol
	TLS            transport.TLS
	AllowPlainHTTP bool
	// Headers are added to every request. Names are checked by New.
	Headers map[string]secret.Value
	Version ocsf.Version
}

// sink sends events to one collector.
type sink struct {
	config Config
	sender sender
}

// sender sends one request and returns what the collector answered.
type sender interface {
	send(ctx context.Context, id string, request *collector.ExportLogsServiceRequest) (*collector.ExportLogsServiceResponse, error)
	close() error
}

// New checks config and makes the sink. It reads certificate files, and does no network I/O.
func New(config Config) (audit.Sink, error) {
	if err := CheckHeaders(config.Headers); err != nil {
		return nil, err
	}
	var s sender
	var err error
	switch config.Protocol {
	case HTTP:
		s, err = newHTTP(config)
	case GRPC:
		s, err = newGRPC(config)
	default:
		err = fmt.Errorf("no protocol %q", config.Protocol)
	}
	if err != nil {
		return nil, err
	}
	var secrets []secret.Value
	for _, value := range config.Headers {
		// What comes after the scheme is the secret: "Bearer ...".
		_, credential, _ := strings.Cut(value.Reveal(), " ")
		secrets = append(secrets, value, secret.New(credential))
	}
	return audit.Redacted(&sink{config, s}, secrets...), nil
}

// CheckHeaders refuses headers that cannot be sent, or that belong to the protocol.
func CheckHeaders(headers map[string]secret.Value) error {
	for _, name := range slices.Sorted(maps.Keys(headers)) {
		switch {
		case !httpguts.ValidHeaderFieldName(name) || reserved(name):
			return fmt.Errorf("%q cannot be the name of a header", name)
		case !httpguts.ValidHeaderFieldValue(headers[name].Reveal()):
			return fmt.Errorf("the value of the header %q holds characters that a header cannot have", name)
		}
	}
	return nil
}

// reserved reports whether a header belongs to the protocol.
func reserved(name string) bool {
	switch textproto.CanonicalMIMEHeaderKey(name) {
	case "Content-Type", "Content-Length", "Host", "Connection", "Te", "Transfer-Encoding":
		return true
	}
	return strings.HasPrefix(strings.ToLower(name), "grpc-")
}

// Deliver implements audit.Sink: it sends e once and returns once the collector has accepted it. What the collector then does with it is its own
// business: configure its exporters with a persistent queue.
func (s *sink) Deliver(ctx context.Context, e audit.Event) error {
	request, err := encode(s.config.Version, e)
	if err != nil {
		return err
	}
	answer, err := s.sender.send(ctx, e.ID, request)
	if err != nil {
		return fmt.Errorf("otlp: %w", err)
	}
	if partial := answer.GetPartialSuccess(); partial.GetRejectedLogRecords() > 0 {
		return fmt.Errorf("otlp: %w by the collector: %s", audit.ErrRefused, post.Line(partial.GetErrorMessage()))
	}
	return nil
}

// Close implements audit.Sink.
func (s *sink) Close() error { return s.sender.close() }

// encode writes e as one log record whose body is the OCSF event, with what is searched for most as attributes.
func encode(v ocsf.Version, e audit.Event) (*collector.ExportLogsServiceRequest, error) {
	text, err := ocsf.Encode(v, e)
	if err != nil {
		return nil, err
	}
	severity, severityText := logs.SeverityNumber_SEVERITY_NUMBER_INFO, "INFO"
	if e.Outcome == audit.Failed || e.Outcome == audit.Unknown {
		severity, severityText = logs.SeverityNumber_SEVERITY_NUMBER_WARN, "WARN"
	}
	record := &logs.LogRecord{
		TimeUnixNano: nanoseconds(e.Time), ObservedTimeUnixNano: nanoseconds(e.Time), EventName: "nhi.audit." + string(e.Activity),
		SeverityNumber: severity, SeverityText: severityText,
		Body: stringValue(string(text)),
		Attributes: attributes(
			"nhi.event.id", e.ID, "nhi.change", e.Change, "nhi.correlation", e.Correlation, "nhi.activity", string(e.Activity),
			"nhi.outcome", string(e.Outcome), "nhi.stack", e.Stack, "nhi.identity", e.Identity.Name, "nhi.account", e.Account.Name,
			"nhi.platform", e.Platform.Name, "nhi.platform.kind", e.Platform.Kind, "nhi.target", e.Platform.Target,
		),
	}
	return &collector.ExportLogsServiceRequest{ResourceLogs: []*logs.ResourceLogs{{
		Resource: &resource.Resource{Attributes: attributes("service.name", ocsf.ProductName, "service.version", e.Version)},
		ScopeLogs: []*logs.ScopeLogs{{
			Scope: &common.InstrumentationScope{Name: "nhi.audit"}, LogRecords: []*logs.LogRecord{record},
		}},
	}}}, nil
}

// nanoseconds is a time as OTLP has it; 0 is unknown.
func nanoseconds(t time.Time) uint64 { return uint64(max(0, t.UnixNano())) } //nolint:gosec // Not negative.

// attributes makes attributes of names and values that follow each other; empty values are left out. Texts must be UTF-8,
// or the message cannot be encoded.
func attributes(namesAndValues ...string) []*common.KeyValue {
	var out []*common.KeyValue
	for i := 0; i+1 < len(namesAndValues); i += 2 {
		if value := strings.ToValidUTF8(namesAndValues[i+1], "�"); value != "" {
			out = append(out, &common.KeyValue{Key: namesAndValues[i], Value: stringValue(value)})
		}
	}
	return out
}

func stringValue(text string) *common.AnyValue {
	return &common.AnyValue{Value: &common.AnyValue_StringValue{StringValue: text}}
}

func header(config Config) http.Header {
	out := http.Header{}
	for name, value := range config.Headers {
		out.Set(name, value.Reveal())
	}
	return out
}
