package ldap

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"sync"

	ber "github.com/go-asn1-ber/asn1-ber"
	goldap "github.com/go-ldap/ldap/v3"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/secret"
)

// session is one connection. The library's calls take no context, so a session serves one call of the driver at a time,
// and a context that ends closes the network connection under it.
type session struct {
	*goldap.Conn
	network net.Conn
}

// pool keeps connections that are logged in as the administrator.
type pool struct {
	config Config
	tls    *tls.Config
	// places holds one token for each connection that may be open.
	places chan struct{}

	mu     sync.Mutex
	idle   []*session
	closed bool
}

func newPool(cfg Config, config *tls.Config) *pool {
	return &pool{config: cfg, tls: config, places: make(chan struct{}, cfg.MaxConnections)}
}

// with runs work on a connection that is logged in. When ctx ends the connection is closed, so that work returns.
func (p *pool) with(ctx context.Context, work func(s *session) error) error {
	select {
	case p.places <- struct{}{}:
		defer func() { <-p.places }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	s := p.take()
	if s == nil {
		var err error
		if s, err = p.dial(ctx, p.config.BindDN, p.config.Password); err != nil {
			return err
		}
	}
	err := s.run(ctx, func() error { return work(s) })
	if ctx.Err() != nil || s.IsClosing() {
		_ = s.network.Close()
	} else {
		p.put(s)
	}
	return err
}

// run runs work and, should ctx end first, closes the connection and returns the error of ctx.
func (s *session) run(ctx context.Context, work func() error) (err error) {
	stop := context.AfterFunc(ctx, func() { _ = s.network.Close() })
	defer func() {
		stop()
		if r := recover(); r != nil { // The library trusts that answers have the parts that the protocol requires.
			_ = s.network.Close()
			err = driver.Errorf(driver.Unknown, "the server's answer is not LDAP: %v", r)
		}
		if err != nil && ctx.Err() != nil {
			err = fmt.Errorf("%w: %w", ctx.Err(), err)
		}
	}()
	return work()
}

// take returns an idle connection that still stands, nil if there is none.
func (p *pool) take() *session {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.idle) > 0 {
		last := p.idle[len(p.idle)-1]
		p.idle = p.idle[:len(p.idle)-1]
		if !last.IsClosing() {
			return last
		}
		_ = last.network.Close()
	}
	return nil
}

func (p *pool) put(s *session) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		_ = s.network.Close()
		return
	}
	p.idle = append(p.idle, s)
}

func (p *pool) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	for _, s := range p.idle {
		_ = s.Close()
	}
	p.idle = nil
}

// dial connects and logs in.
func (p *pool) dial(ctx context.Context, login string, password secret.Value) (*session, error) {
	u, err := url.Parse(p.config.URL)
	if err != nil {
		return nil, err
	}
	short, cancel := context.WithTimeout(ctx, p.config.ConnectTimeout)
	defer cancel()
	network, err := p.connect(short, u)
	if err != nil {
		return nil, driver.Errorf(driver.Unavailable, "connect to %s: %w", u.Host, err)
	}
	if p.config.StartTLS {
		if network, err = p.startTLS(short, network); err != nil {
			return nil, fmt.Errorf("start TLS with %s: %w", u.Host, err)
		}
	}
	s := &session{Conn: goldap.NewConn(&guard{Conn: network}, u.Scheme == "ldaps" || p.config.StartTLS), network: network}
	s.Start()
	err = s.run(short, func() error { return explained(s.Bind(login, password.Reveal())) })
	if err != nil {
		_ = network.Close()
		return nil, fmt.Errorf("log in to %s as %q: %w", u.Host, login, err)
	}
	return s, nil
}

func (p *pool) connect(ctx context.Context, u *url.URL) (net.Conn, error) {
	port := u.Port()
	if port == "" {
		port = map[string]string{"ldap": goldap.DefaultLdapPort, "ldaps": goldap.DefaultLdapsPort}[u.Scheme]
	}
	var dialer net.Dialer
	network, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort(u.Hostname(), port))
	if err != nil || u.Scheme == "ldap" {
		return network, err
	}
	conn := tls.Client(network, p.tls.Clone())
	if err := conn.HandshakeContext(ctx); err != nil {
		return nil, errors.Join(err, network.Close())
	}
	return conn, nil
}

// startTLS goes on with TLS on a connection (RFC 4511, section 4.14), or closes it. The library can do that, but not with a
// guard between TLS and itself.
func (p *pool) startTLS(ctx context.Context, network net.Conn) (net.Conn, error) {
	conn := tls.Client(network, p.tls.Clone())
	err := (&session{network: network}).run(ctx, func() error {
		if err := askForTLS(network); err != nil {
			return err
		}
		if err := conn.HandshakeContext(ctx); err != nil {
			return goldap.NewError(goldap.ErrorNetwork, fmt.Errorf("TLS handshake: %w", err))
		}
		return nil
	})
	if err != nil {
		return nil, errors.Join(err, network.Close())
	}
	return conn, nil
}

// askForTLS reads nothing behind the answer: what comes before TLS must not count as said in it.
func askForTLS(network net.Conn) error {
	operation := ber.Encode(ber.ClassApplication, ber.TypeConstructed, goldap.ApplicationExtendedRequest, nil, "ExtendedRequest")
	operation.AppendChild(ber.NewString(ber.ClassContext, ber.TypePrimitive, 0, "1.3.6.1.4.1.1466.20037", "requestName"))
	request := ber.NewSequence("LDAPMessage")
	request.AppendChild(ber.NewInteger(ber.ClassUniversal, ber.TypePrimitive, ber.TagInteger, 1, "messageID"))
	request.AppendChild(operation)
	if _, err := network.Write(request.Bytes()); err != nil {
		return goldap.NewError(goldap.ErrorNetwork, err)
	}
	answer, err := ber.ReadPacket(&guard{Conn: network})
	if err != nil {
		return goldap.NewError(goldap.ErrorNetwork, err)
	}
	return goldap.GetLDAPError(answer)
}

// Verify implements driver.Verifier by a simple bind on a connection of its own.
func (c *client) Verify(ctx context.Context, login string, text secret.Value) error {
	if login == "" || text.IsZero() {
		// A directory takes such a bind for an anonymous one, and may accept it.
		return driver.Errorf(driver.Unauthenticated, "an empty login or password proves nothing")
	}
	s, err := c.pool.dial(ctx, login, text)
	if err == nil {
		return s.Close()
	}
	if goldap.IsErrorAnyOf(err, refusals...) {
		return driver.Errorf(driver.Unauthenticated, "%w", err)
	}
	return err
}

// refusals are the results of a bind that say that login and password are not accepted: also a login that is no name at
// all, or an entry without a password.
var refusals = []uint16{
	goldap.LDAPResultInvalidCredentials, goldap.LDAPResultInvalidDNSyntax, goldap.LDAPResultNoSuchObject,
	goldap.LDAPResultInappropriateAuthentication, goldap.LDAPResultUnwillingToPerform,
}
