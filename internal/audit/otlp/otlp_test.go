package otlp_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	collector "go.opentelemetry.io/proto/slim/otlp/collector/logs/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/nhi-labs/terraform-provider-nhi/internal/audit"
	"github.com/nhi-labs/terraform-provider-nhi/internal/audit/audittest"
	"github.com/nhi-labs/terraform-provider-nhi/internal/audit/ocsf"
	"github.com/nhi-labs/terraform-provider-nhi/internal/audit/ocsf/ocsftest"
	"github.com/nhi-labs/terraform-provider-nhi/internal/audit/otlp"
	"github.com/nhi-labs/terraform-provider-nhi/internal/secret"
	"github.com/nhi-labs/terraform-provider-nhi/internal/testenv"
	"github.com/nhi-labs/terraform-provider-nhi/internal/transport"
)

const token = "token-" + audittest.Canary

func open(t *testing.T, config otlp.Config) audit.Sink {
	t.Helper()
	config.Version = ocsf.V190
	config.Headers = map[string]secret.Value{"Authorization": secret.New("Bearer " + token), "X-Key": secret.New("key-" + audittest.Canary)}
	sink, err := otlp.New(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sink.Close() })
	return sink
}

// TestCollector delivers to an OpenTelemetry Collector with both protocols.
func TestCollector(t *testing.T) {
	t.Parallel()
	server := testenv.Load(t).Collector
	for protocol, endpoint := range map[otlp.Protocol]string{otlp.HTTP: server.OTLPHTTP, otlp.GRPC: server.OTLPGRPC} {
		t.Run(string(protocol), func(t *testing.T) {
			t.Parallel()
			sink := open(t, otlp.Config{Endpoint: endpoint, Protocol: protocol, TLS: transport.TLS{CAFile: server.CAFile}})
			events := audittest.All()
			for _, text := range audittest.Injections() {
				events = append(events, audittest.Hostile(text))
			}
			audittest.DeliverAll(t, sink, events)
			audittest.Eventually(t, func() error {
				var ids []string
				for _, r := range audittest.Collected(t, server.File) {
					if r.Resource["service.name"] != ocsf.ProductName {
						continue
					}
					if err := ocsftest.Validate(r.Body); err != nil {
						t.Fatalf("%v\n%s", err, r.Body)
					}
					if r.Attributes["nhi.event.id"] != r.ID || r.Attributes["nhi.activity"] == "" {
						t.Fatalf("attributes %v", r.Attributes)
					}
					ids = append(ids, r.ID)
				}
				return audittest.OncePerID(events, ids)
			})
		})
	}
}

func TestHTTPFaults(t *testing.T) {
	t.Parallel()
	audittest.HTTPFaults(t, func(t *testing.T, url string) audit.Sink {
		return open(t, otlp.Config{Endpoint: url, Protocol: otlp.HTTP})
	}, audittest.OwnAnswer)
}

func partial(rejected int64, text string) *collector.ExportLogsServiceResponse {
	return &collector.ExportLogsServiceResponse{PartialSuccess: &collector.ExportLogsPartialSuccess{
		RejectedLogRecords: rejected, ErrorMessage: text,
	}}
}

// TestPartialSuccess: a record that the collector rejected is not delivered, although the request succeeded. A warning is.
func TestPartialSuccess(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		answer *collector.ExportLogsServiceResponse
		want   string
	}{
		"rejected": {partial(1, "too\nlarge"), "the event is refused by the collector: too large"},
		"warning":  {partial(0, "deprecated"), ""},
		"success":  {&collector.ExportLogsServiceResponse{}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			body, err := proto.Marshal(c.answer)
			if err != nil {
				t.Fatal(err)
			}
			receiver := audittest.NewReceiver(t, func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path != "/v1/logs" || r.Header.Get("Authorization") != "Bearer "+token || r.Header.Get("X-Key") == "" {
					w.WriteHeader(http.StatusForbidden)
					return
				}
				w.Header().Set("Content-Type", "application/x-protobuf")
				_, _ = w.Write(body)
			})
			service := &service{answer: c.answer}
			for protocol, url := range map[otlp.Protocol]string{otlp.HTTP: receiver.URL, otlp.GRPC: serve(t, service)} {
				err := open(t, otlp.Config{Endpoint: url, Protocol: protocol}).Deliver(t.Context(), audittest.Event(audit.Grant, audit.Succeeded))
				if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
					t.Errorf("%s: %v, want %q", protocol, err, c.want)
				}
				if errors.Is(err, audit.ErrRefused) != (name == "rejected") {
					t.Errorf("%s: the event itself is refused, or not: %v", protocol, err)
				}
			}
			if got := service.header.Get("authorization"); len(got) != 1 || got[0] != "Bearer "+token {
				t.Errorf("header over gRPC: %q", got)
			}
		})
	}
}

// service answers the export method of OTLP/gRPC.
type service struct {
	mu     sync.Mutex
	header metadata.MD
	answer *collector.ExportLogsServiceResponse
	err    error
	wait   chan struct{} // nil: answer at once
}

func (s *service) handle(_ any, stream grpc.ServerStream) error {
	var request collector.ExportLogsServiceRequest
	if err := stream.RecvMsg(&request); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if method, _ := grpc.MethodFromServerStream(stream); method != "/opentelemetry.proto.collector.logs.v1.LogsService/Export" {
		return status.Error(codes.Unimplemented, method)
	}
	s.mu.Lock()
	s.header, _ = metadata.FromIncomingContext(stream.Context())
	s.mu.Unlock()
	if s.wait != nil {
		<-s.wait
	}
	if s.err != nil {
		return s.err
	}
	return stream.SendMsg(s.answer)
}

func serve(t *testing.T, s *service) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer(grpc.UnknownServiceHandler(s.handle))
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(listener)
	}()
	t.Cleanup(func() {
		server.Stop()
		<-done
	})
	return "http://" + listener.Addr().String()
}

func TestGRPCFaults(t *testing.T) {
	t.Parallel()
	wait := make(chan struct{})
	t.Cleanup(func() { close(wait) }) // Before the server stops: cleanups run backwards.
	down, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = down.Close()
	web := audittest.NewReceiver(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>")) })
	for name, c := range map[string]struct {
		url, want string
	}{
		"down":        {"http://" + down.Addr().String(), "Unavailable"},
		"no gRPC":     {web.URL, "Unavailable"},
		"unavailable": {serve(t, &service{err: status.Error(codes.Unavailable, "try\nlater")}), "Unavailable: try later"},
		"refused":     {serve(t, &service{err: status.Error(codes.Unauthenticated, "bad "+token)}), "Unauthenticated: bad (secret)"},
		"invalid":     {serve(t, &service{err: status.Error(codes.InvalidArgument, "no")}), "the event is refused: the collector answered InvalidArgument: no"},
		"slow":        {serve(t, &service{wait: wait}), "deadline"},
	} {
		t.Run(name, func(t *testing.T) {
			sink := open(t, otlp.Config{Endpoint: c.url, Protocol: otlp.GRPC})
			timeout := 20 * time.Second
			if name == "slow" {
				timeout = 100 * time.Millisecond
			}
			ctx, cancel := context.WithTimeout(t.Context(), timeout)
			defer cancel()
			err := sink.Deliver(ctx, audittest.Event(audit.Grant, audit.Succeeded))
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.ContainsAny(err.Error(), "\n") || strings.Contains(err.Error(), audittest.Canary) {
				t.Errorf("error %q, want %q", err, c.want)
			}
			if errors.Is(err, context.DeadlineExceeded) != (name == "slow") || errors.Is(err, audit.ErrRefused) != (name == "invalid") {
				t.Errorf("error %v", err)
			}
		})
	}
}

// TestGRPCRecovers: a collector that comes back is used at once.
func TestGRPCRecovers(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	_ = listener.Close()
	sink := open(t, otlp.Config{Endpoint: "http://" + address, Protocol: otlp.GRPC})
	if err := sink.Deliver(t.Context(), audittest.Event(audit.Grant, audit.Succeeded)); err == nil {
		t.Fatal("delivered to nobody")
	}
	if listener, err = net.Listen("tcp", address); err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer(grpc.UnknownServiceHandler((&service{answer: partial(0, "")}).handle))
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	audittest.Eventually(t, func() error { return sink.Deliver(t.Context(), audittest.Event(audit.Grant, audit.Succeeded)) })
}

func TestConfig(t *testing.T) {
	value := secret.New("v")
	for name, c := range map[string]struct {
		config otlp.Config
		want   string
	}{
		"plain HTTP":   {otlp.Config{Endpoint: "http://otel.example:4318", Protocol: otlp.HTTP}, "use https"},
		"plain gRPC":   {otlp.Config{Endpoint: "http://otel.example:4317", Protocol: otlp.GRPC}, "use https"},
		"path":         {otlp.Config{Endpoint: "https://otel.example/v1/logs", Protocol: otlp.GRPC}, "has a path"},
		"protocol":     {otlp.Config{Endpoint: "https://otel.example", Protocol: "udp"}, "no protocol"},
		"header name":  {otlp.Config{Endpoint: "https://h", Protocol: otlp.HTTP, Headers: map[string]secret.Value{"a b": value}}, "name of a header"},
		"reserved":     {otlp.Config{Endpoint: "https://h", Protocol: otlp.HTTP, Headers: map[string]secret.Value{"content-type": value}}, "name of a header"},
		"header value": {otlp.Config{Endpoint: "https://h", Protocol: otlp.HTTP, Headers: map[string]secret.Value{"a": secret.New(audittest.Canary + "\r\nb: c")}}, "characters that a header cannot have"},
	} {
		_, err := otlp.New(c.config)
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), audittest.Canary) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
