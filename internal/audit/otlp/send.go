package otlp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	collector "go.opentelemetry.io/proto/slim/otlp/collector/logs/v1"
	rpcstatus "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/nhi-labs/terraform-provider-nhi/internal/audit"
	"github.com/nhi-labs/terraform-provider-nhi/internal/audit/internal/post"
	"github.com/nhi-labs/terraform-provider-nhi/internal/transport"
)

// httpSender speaks OTLP/HTTP.
type httpSender struct {
	config Config
	client *post.Client
}

func newHTTP(config Config) (sender, error) {
	client, err := post.New(post.Config{URL: config.Endpoint, TLS: config.TLS, AllowPlainHTTP: config.AllowPlainHTTP})
	if err != nil {
		return nil, err
	}
	return &httpSender{config, client}, nil
}

func (s *httpSender) send(ctx context.Context, id string, request *collector.ExportLogsServiceRequest) (*collector.ExportLogsServiceResponse, error) {
	body, err := proto.Marshal(request)
	if err != nil {
		return nil, err
	}
	h := header(s.config)
	h.Set("Content-Type", "application/x-protobuf")
	answer, err := s.client.Post(ctx, "/v1/logs", id, h, body)
	if err != nil {
		return nil, err
	}
	if answer.Status < 200 || answer.Status > 299 {
		return nil, answer.Refused(reason(answer.Body))
	}
	var response collector.ExportLogsServiceResponse
	// What is behind the URL may be something else that answers 200 to everything; an empty answer is a full success.
	if err := proto.Unmarshal(answer.Body, &response); err != nil {
		return nil, errors.New("the answer is not OTLP: is something else behind this URL?")
	}
	return &response, nil
}

// reason is what a collector says of a request that it refuses: a Status message.
func reason(body []byte) string {
	var said rpcstatus.Status
	if proto.Unmarshal(body, &said) != nil {
		return ""
	}
	return said.GetMessage()
}

func (s *httpSender) close() error { return s.client.Close() }

// export is the method of OTLP/gRPC that takes log records.
const export = "/opentelemetry.proto.collector.logs.v1.LogsService/Export"

// grpcSender speaks OTLP/gRPC.
type grpcSender struct {
	config Config
	conn   *grpc.ClientConn
}

func newGRPC(config Config) (sender, error) {
	base, err := transport.ParseBase(config.Endpoint, config.AllowPlainHTTP)
	if err != nil {
		return nil, err
	}
	if base.Path != "" {
		return nil, fmt.Errorf("the endpoint %q has a path, which gRPC does not use: remove it", base)
	}
	port := base.Port()
	if port == "" {
		port = "4317"
	}
	security := insecure.NewCredentials()
	if base.Scheme == "https" {
		tlsConfig, err := config.TLS.Config()
		if err != nil {
			return nil, err
		}
		tlsConfig.NextProtos = []string{"h2"}
		security = credentials.NewTLS(tlsConfig)
	}
	conn, err := grpc.NewClient("passthrough:///"+net.JoinHostPort(base.Hostname(), port),
		grpc.WithTransportCredentials(security), grpc.WithDisableRetry(), grpc.WithDisableServiceConfig(),
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: backoff.DefaultConfig, MinConnectTimeout: time.Second}),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(1<<20)))
	if err != nil {
		return nil, err
	}
	return &grpcSender{config, conn}, nil
}

func (s *grpcSender) send(ctx context.Context, _ string, request *collector.ExportLogsServiceRequest) (*collector.ExportLogsServiceResponse, error) {
	for name, values := range header(s.config) {
		ctx = metadata.AppendToOutgoingContext(ctx, name, values[0])
	}
	var response collector.ExportLogsServiceResponse
	err := s.conn.Invoke(ctx, export, request, &response)
	if err == nil {
		return &response, nil
	}
	// The next delivery tries to connect at once, whatever came of this one.
	s.conn.ResetConnectBackoff()
	said := status.Convert(err)
	switch {
	case said.Code() == codes.DeadlineExceeded: // The server may notice the deadline before ctx does.
		return nil, fmt.Errorf("the collector did not answer: %w", context.DeadlineExceeded)
	case ctx.Err() != nil:
		return nil, fmt.Errorf("the collector did not answer: %w", ctx.Err())
	case said.Code() == codes.InvalidArgument:
		return nil, fmt.Errorf("%w: the collector answered %s: %s", audit.ErrRefused, said.Code(), post.Line(said.Message()))
	}
	return nil, fmt.Errorf("the collector answered %s: %s", said.Code(), post.Line(said.Message()))
}

func (s *grpcSender) close() error { return s.conn.Close() }
