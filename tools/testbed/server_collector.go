package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"github.com/nhi-labs/terraform-provider-nhi/internal/testenv"
	"github.com/nhi-labs/terraform-provider-nhi/tools/internal/programs"
)

// collector is an OpenTelemetry Collector that takes OTLP and what is meant for Splunk, and writes everything to a file.
type collector struct{}

func (collector) name() string { return "collector" }

func (collector) install(ctx context.Context) error {
	_, err := programs.Collector.Path(ctx, os.Stderr)
	return err
}

const collectorConfig = `extensions:
  ack:
receivers:
  otlp:
    protocols:
      http: {endpoint: "127.0.0.1:@HTTP@", tls: {cert_file: "@DIR@/server.crt", key_file: "@DIR@/server.key"}}
      grpc: {endpoint: "127.0.0.1:@GRPC@", tls: {cert_file: "@DIR@/server.crt", key_file: "@DIR@/server.key"}}
  splunk_hec:
    endpoint: "127.0.0.1:@HEC@"
    tls: {cert_file: "@DIR@/server.crt", key_file: "@DIR@/server.key"}
    access_token_passthrough: true
    ack: {extension: ack}
exporters:
  file: {path: "@DIR@/received", flush_interval: 50ms}
service:
  extensions: [ack]
  telemetry: {metrics: {level: none}}
  pipelines:
    logs: {receivers: [otlp, splunk_hec], exporters: [file]}
`

func (collector) start(ctx context.Context, p *place, all *testenv.Servers) error {
	binary, err := programs.Collector.Path(ctx, os.Stderr)
	if err != nil {
		return err
	}
	if err := writeCertificate(p.dir); err != nil {
		return err
	}
	plain, err1 := freePort()
	grpc, err2 := freePort()
	hec, err3 := freePort()
	if err := errors.Join(err1, err2, err3); err != nil {
		return err
	}
	url := func(port int) string { return fmt.Sprintf("https://127.0.0.1:%d", port) }
	all.Collector = testenv.Collector{
		OTLPHTTP: url(plain), OTLPGRPC: url(grpc), SplunkHEC: url(hec),
		CAFile: filepath.Join(p.dir, "ca.pem"), File: filepath.Join(p.dir, "received"),
	}
	config := filepath.Join(p.dir, "config.yaml")
	text := strings.NewReplacer("@DIR@", p.dir, "@HTTP@", fmt.Sprint(plain), "@GRPC@", fmt.Sprint(grpc), "@HEC@", fmt.Sprint(hec)).
		Replace(collectorConfig)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return err
	}
	return p.spawn(spawn{path: binary, args: []string{"--config", config}})
}

func (collector) health(ctx context.Context, all testenv.Servers) error {
	authority, err := os.ReadFile(all.Collector.CAFile)
	if err != nil {
		return err
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(authority)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}}}
	defer client.CloseIdleConnections()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, all.Collector.SplunkHEC+"/services/collector/health", nil)
	if err != nil {
		return err
	}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		err = errors.New(response.Status)
	}
	return errors.Join(err, response.Body.Close())
}

func (collector) describe(all testenv.Servers) string {
	return fmt.Sprintf("OTLP %s, gRPC %s, HEC %s", all.Collector.OTLPHTTP, all.Collector.OTLPGRPC, all.Collector.SplunkHEC)
}
