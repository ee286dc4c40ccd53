// Package syslog is the audit sink that sends events to a syslog receiver, over TLS or TCP.
//
// Sources: RFC 5424 (message), RFC 6587 section 3.4.1 (octet counting), RFC 5425 (TLS).
package syslog

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"

	"github.com/nhi-labs/terraform-provider-nhi/internal/audit"
	"github.com/nhi-labs/terraform-provider-nhi/internal/audit/ocsf"
	"github.com/nhi-labs/terraform-provider-nhi/internal/transport"
)

// ExampleEnterprise is the private enterprise number that RFC 5612 sets aside for examples. It stands in the id of the
// structured data until users configure their own.
const ExampleEnterprise = 32473

// Config says where and how to send.
type Config struct {
	// Address is host:port.
	Address string
	// Plain sends over TCP without TLS.
	Plain bool
	TLS   transport.TLS
	// Facility is 0 to 23 (RFC 5424, section 6.2.1).
	Facility int
	// EnterpriseNumber is the IANA private enterprise number in the id of the structured data, nhi@<number>.
	EnterpriseNumber int
	Version          ocsf.Version
}

// Facilities are the names that syslog.conf has for the facilities, by number.
func Facilities() []string {
	return []string{
		"kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp", "ntp", "security",
		"console", "solaris-cron", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7",
	}
}

// Sink sends events to one receiver.
type Sink struct {
	config Config
	tls    *tls.Config // nil for plain TCP
}

var _ audit.Sink = (*Sink)(nil)

// New checks config and makes the sink. It reads certificate files, and does no network I/O.
func New(config Config) (*Sink, error) {
	host, port, err := net.SplitHostPort(config.Address)
	if err != nil || host == "" {
		return nil, fmt.Errorf("%q is no host and port: write for example siem.example:6514", config.Address)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return nil, fmt.Errorf("%q is no port: write a number from 1 to 65535", port)
	}
	s := &Sink{config: config}
	if config.Plain {
		return s, nil
	}
	if s.tls, err = config.TLS.Config(); err != nil {
		return nil, err
	}
	if s.tls.ServerName == "" {
		s.tls.ServerName = host
	}
	s.tls.ClientSessionCache = tls.NewLRUClientSessionCache(0)
	return s, nil
}

// Deliver sends e in a connection of its own and returns once the receiver has closed that in return. Syslog knows no
// acknowledgement, and what is written to a connection may be lost without anybody noticing. But a receiver that has been
// told that nothing more comes, and then closes in order, has read everything before: a system that closes a connection
// with unread data in it resets it, which is an error here.
func (s *Sink) Deliver(ctx context.Context, e audit.Event) error {
	if err := s.deliver(ctx, e); err != nil {
		if ctx.Err() != nil {
			err = fmt.Errorf("%w (%w)", err, ctx.Err())
		}
		return fmt.Errorf("syslog: %w", err)
	}
	return nil
}

func (s *Sink) deliver(ctx context.Context, e audit.Event) error {
	text, err := message(s.config, e)
	if err != nil {
		return err
	}
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", s.config.Address)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	// A connection does not know of ctx: closing it ends whatever waits.
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	stream := conn
	if s.tls != nil {
		encrypted := tls.Client(conn, s.tls)
		if err := encrypted.HandshakeContext(ctx); err != nil {
			return err
		}
		stream = encrypted
	}
	// One write, and so one record of TLS if it is short enough.
	if _, err := stream.Write(fmt.Appendf(nil, "%d %s", len(text), text)); err != nil {
		return err
	}
	return finish(stream, conn)
}

// closeWriter is a connection that can be closed in one direction.
type closeWriter interface{ CloseWrite() error }

// finish says that nothing more comes and waits until the receiver has closed too.
func finish(stream, conn net.Conn) error {
	// For TLS, first its own end, then that of the connection below.
	for _, c := range []net.Conn{stream, conn} {
		half, ok := c.(closeWriter)
		if !ok {
			return fmt.Errorf("a connection of type %T cannot be half closed", c)
		}
		if err := half.CloseWrite(); err != nil {
			return fmt.Errorf("ending the connection: %w", err)
		}
		if stream == conn {
			break
		}
	}
	// A receiver has nothing to say; what it says all the same is not kept.
	_, err := io.Copy(io.Discard, io.LimitReader(stream, 1<<20))
	if err == nil || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil // Many receivers close the connection without the end that TLS has for it.
	}
	return fmt.Errorf("the receiver did not close in order, so the event may be lost: %w", err)
}

// Close does nothing: no connection stays open.
func (s *Sink) Close() error { return nil }
