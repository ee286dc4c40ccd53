package syslog_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http/httptest"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nhi-labs/terraform-provider-nhi/internal/audit"
	"github.com/nhi-labs/terraform-provider-nhi/internal/audit/audittest"
	"github.com/nhi-labs/terraform-provider-nhi/internal/audit/ocsf"
	"github.com/nhi-labs/terraform-provider-nhi/internal/audit/ocsf/ocsftest"
	"github.com/nhi-labs/terraform-provider-nhi/internal/audit/syslog"
	"github.com/nhi-labs/terraform-provider-nhi/internal/testenv"
	"github.com/nhi-labs/terraform-provider-nhi/internal/transport"
)

func open(t *testing.T, config syslog.Config) audit.Sink {
	t.Helper()
	config.Facility, config.EnterpriseNumber, config.Version = 10, syslog.ExampleEnterprise, ocsf.Default
	sink, err := syslog.New(config)
	if err != nil {
		t.Fatal(err)
	}
	return sink
}

// TestReceivers delivers to rsyslog and to syslog-ng, over TLS and TCP: every event arrives once, whole and alone.
func TestReceivers(t *testing.T) {
	t.Parallel()
	servers := testenv.Load(t)
	for name, c := range map[string]struct {
		server  testenv.Syslog
		message string // the receiver's name for the text of the message
	}{"rsyslog": {servers.RSyslog, "msg"}, "syslog-ng": {servers.SyslogNG, "MESSAGE"}} {
		for kind, config := range map[string]syslog.Config{
			"tls": {Address: c.server.TLS, TLS: transport.TLS{CAFile: c.server.CAFile}},
			"tcp": {Address: c.server.TCP, Plain: true},
		} {
			t.Run(name+"/"+kind, func(t *testing.T) {
				t.Parallel()
				sink := open(t, config)
				events := audittest.All()
				for _, text := range audittest.Injections() {
					events = append(events, audittest.Hostile(text))
				}
				audittest.DeliverAll(t, sink, events)
				audittest.Eventually(t, func() error { return audittest.OncePerID(events, idsIn(t, c.server.File, c.message)) })
			})
		}
	}
}

// idsIn validates every message in a receiver's file and returns the events' ids.
func idsIn(t *testing.T, file, message string) []string {
	t.Helper()
	var ids []string
	for _, line := range audittest.Lines(t, file) {
		text := []byte(strings.TrimPrefix(line[message], " "))
		if err := ocsftest.Validate(text); err != nil {
			t.Fatalf("%v\n%.300s", err, text)
		}
		e, err := ocsf.Decode(text)
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, e.ID)
	}
	return ids
}

// listen serves every connection with handle until the test ends, and fails the test if a connection is left open.
func listen(t *testing.T, handle func(conn *net.TCPConn)) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			if tcp, ok := conn.(*net.TCPConn); ok {
				handle(tcp)
			}
			_ = conn.Close()
		}
	}()
	t.Cleanup(func() {
		_ = listener.Close()
		<-done
	})
	return listener.Addr().String()
}

func TestFaults(t *testing.T) {
	t.Parallel()
	down, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = down.Close()
	stranger := httptest.NewUnstartedServer(nil)
	stranger.Config.ErrorLog = log.New(io.Discard, "", 0) // that nobody trusts it
	stranger.StartTLS()
	t.Cleanup(stranger.Close)
	patient := func(conn *net.TCPConn) { _, _ = io.Copy(io.Discard, conn) }
	for name, c := range map[string]struct {
		config syslog.Config
		want   string
	}{
		"down":          {syslog.Config{Address: down.Addr().String(), Plain: true}, "refused"},
		"closed unread": {syslog.Config{Address: listen(t, func(conn *net.TCPConn) { time.Sleep(20 * time.Millisecond) }), Plain: true}, "may be lost"},
		"reset in the middle": {syslog.Config{Address: listen(t, func(conn *net.TCPConn) {
			_, _ = conn.Read(make([]byte, 10))
			_ = conn.SetLinger(0)
		}), Plain: true}, ""},
		"no TLS there":      {syslog.Config{Address: listen(t, func(conn *net.TCPConn) { _, _ = conn.Write([]byte("hello\r\n")) })}, "tls"},
		"another authority": {syslog.Config{Address: stranger.Listener.Addr().String()}, "certificate"},
		"slow":              {syslog.Config{Address: listen(t, func(conn *net.TCPConn) { patient(conn); time.Sleep(700 * time.Millisecond) }), Plain: true}, "deadline"},
		"slow handshake":    {syslog.Config{Address: listen(t, patient)}, "deadline"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sink := open(t, c.config)
			wait := 20 * time.Second
			if strings.HasPrefix(name, "slow") {
				wait = 100 * time.Millisecond
			}
			ctx, cancel := context.WithTimeout(t.Context(), wait)
			defer cancel()
			err := sink.Deliver(ctx, audittest.Event(audit.Grant, audit.Succeeded))
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("error %v, want %q", err, c.want)
			}
			if late := errors.Is(err, context.DeadlineExceeded); late != strings.HasPrefix(name, "slow") {
				t.Errorf("error %v: deadline exceeded is %t", err, late)
			}
		})
	}
}

// TestFraming reads the stream as RFC 6587 has it.
func TestFraming(t *testing.T) {
	t.Parallel()
	got := make(chan string, 1)
	address := listen(t, func(conn *net.TCPConn) {
		all, err := io.ReadAll(conn)
		got <- fmt.Sprintf("%v %s", err, all)
	})
	if err := open(t, syslog.Config{Address: address, Plain: true}).Deliver(t.Context(), audittest.Hostile("3 <14")); err != nil {
		t.Fatal(err)
	}
	reader := bufio.NewReader(strings.NewReader(strings.TrimPrefix(<-got, "<nil> ")))
	count, err := reader.ReadString(' ')
	if err != nil {
		t.Fatal(err)
	}
	rest, err := io.ReadAll(reader)
	if n, parseErr := strconv.Atoi(strings.TrimSpace(count)); err != nil || parseErr != nil || n != len(rest) || !strings.HasPrefix(string(rest), "<84>1 ") {
		t.Errorf("frame of %q bytes, %d came: %.60q", count, len(rest), rest)
	}
}

// TestClientCertificate: the sink shows its certificate to a receiver that wants one, and fails without.
func TestClientCertificate(t *testing.T) {
	t.Parallel()
	server := testenv.Load(t).RSyslog
	authority, err := os.ReadFile(server.CAFile)
	if err != nil {
		t.Fatal(err)
	}
	// The receiver's own certificate serves for both sides.
	dir := strings.TrimSuffix(server.CAFile, "ca.pem")
	pair, err := tls.LoadX509KeyPair(dir+"server.crt", dir+"server.key")
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(authority)
	shown := make(chan int, 2)
	address := listen(t, func(conn *net.TCPConn) {
		encrypted := tls.Server(conn, &tls.Config{
			MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}, ClientAuth: tls.RequireAnyClientCert,
		})
		if _, err := io.Copy(io.Discard, encrypted); err == nil {
			shown <- len(encrypted.ConnectionState().PeerCertificates)
		}
		_ = encrypted.Close()
	})
	with := transport.TLS{CAFile: server.CAFile, CertFile: dir + "server.crt", KeyFile: dir + "server.key"}
	if err := open(t, syslog.Config{Address: address, TLS: with}).Deliver(t.Context(), audittest.Event(audit.Grant, audit.Succeeded)); err != nil {
		t.Fatal(err)
	}
	if n := <-shown; n != 1 {
		t.Errorf("%d certificates were shown", n)
	}
	without := open(t, syslog.Config{Address: address, TLS: transport.TLS{CAFile: server.CAFile}})
	if err := without.Deliver(t.Context(), audittest.Event(audit.Grant, audit.Succeeded)); err == nil {
		t.Error("delivered without a certificate")
	}
}

func TestConfig(t *testing.T) {
	for _, address := range []string{"", "siem.example", ":514", "siem.example:", "siem.example:syslog", "siem.example:0", "siem.example:70000"} {
		if _, err := syslog.New(syslog.Config{Address: address}); err == nil {
			t.Errorf("%q was taken", address)
		}
	}
	if _, err := syslog.New(syslog.Config{Address: "h:1", TLS: transport.TLS{CAFile: "missing.pem"}}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing authorities: %v", err)
	}
	names := syslog.Facilities()
	if len(names) != 24 || slices.Index(names, "authpriv") != 10 || names[23] != "local7" {
		t.Errorf("facilities %v", names)
	}
}
