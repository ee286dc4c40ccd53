package ldap

import (
	"bufio"
	"crypto/rand"
	"io"
	"net"
	"strconv"
	"testing"

	ber "github.com/go-asn1-ber/asn1-ber"
	goldap "github.com/go-ldap/ldap/v3"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/driver/drivertest"
	"github.com/nhi-labs/terraform-provider-nhi/internal/secret"
)

func (s *server) WithFault(t *testing.T, fault drivertest.Fault) driver.Driver {
	t.Helper()
	cfg := s.config()
	switch fault {
	case drivertest.Refused:
		cfg.URL = "ldap://" + closedPort(t)
	case drivertest.Silent:
		cfg.URL = "ldap://" + listen(t, func(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) })
	case drivertest.WrongCredentials:
		cfg.Password = secret.New("wrong-" + rand.Text())
	case drivertest.MissingRights:
		cfg.BindDN, cfg.Password = s.bed.ReaderDN, secret.New(s.bed.ReaderPassword)
	case drivertest.Cut:
		_, port, err := net.SplitHostPort(listen(t, s.cutAfter(1500)))
		if err != nil {
			t.Fatal(err)
		}
		cfg.URL = "ldaps://localhost:" + port
	case drivertest.Malformed:
		cfg.URL = "ldap://" + listen(t, answerHTTP)
	case drivertest.EmptyAnswers:
		cfg.URL = "ldap://" + listen(t, answerLDAP(goldap.LDAPResultSuccess))
	case drivertest.Overloaded:
		cfg.URL = "ldap://" + listen(t, answerLDAP(goldap.LDAPResultBusy))
	default:
		return nil
	}
	return openClient(t, cfg)
}

// closedPort returns an address where nobody listens.
func closedPort(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

// listen serves connections until the test ends and returns its address.
func listen(t *testing.T, serve func(net.Conn)) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				serve(conn)
			}()
		}
	}()
	return listener.Addr().String()
}

// cutAfter passes a connection on to the real server and cuts it after n bytes of its answers.
func (s *server) cutAfter(n int64) func(net.Conn) {
	return func(conn net.Conn) {
		upstream, err := net.Dial("tcp", net.JoinHostPort(s.bed.Host, strconv.Itoa(s.bed.Port)))
		if err != nil {
			return
		}
		defer upstream.Close()
		go func() { _, _ = io.Copy(upstream, conn) }()
		_, _ = io.CopyN(conn, upstream, n)
	}
}

func answerHTTP(conn net.Conn) {
	_, _ = conn.Read(make([]byte, 1024))
	_, _ = io.WriteString(conn, "HTTP/1.1 502 Bad Gateway\r\nContent-Type: text/html\r\nContent-Length: 12\r\n\r\n<h1>502</h1>")
}

// answerLDAP answers every request with a result and nothing else.
func answerLDAP(result int64) func(net.Conn) {
	// The tags of requests and of what ends their answers (RFC 4511, 4.2 to 4.12).
	answers := map[ber.Tag]ber.Tag{0: 1, 3: 5, 6: 7, 8: 9, 10: 11, 12: 13, 14: 15, 23: 24}
	return func(conn net.Conn) {
		reader := bufio.NewReader(conn)
		for {
			packet, err := ber.ReadPacket(reader)
			if err != nil || len(packet.Children) < 2 {
				return
			}
			tag, known := answers[packet.Children[1].Tag]
			if !known {
				return
			}
			answer := ber.Encode(ber.ClassUniversal, ber.TypeConstructed, ber.TagSequence, nil, "answer")
			answer.AppendChild(packet.Children[0])
			operation := ber.Encode(ber.ClassApplication, ber.TypeConstructed, tag, nil, "operation")
			operation.AppendChild(ber.NewInteger(ber.ClassUniversal, ber.TypePrimitive, ber.TagEnumerated, result, "result"))
			operation.AppendChild(ber.NewString(ber.ClassUniversal, ber.TypePrimitive, ber.TagOctetString, "", "matched"))
			operation.AppendChild(ber.NewString(ber.ClassUniversal, ber.TypePrimitive, ber.TagOctetString, "", "message"))
			answer.AppendChild(operation)
			if _, err := conn.Write(answer.Bytes()); err != nil {
				return
			}
		}
	}
}
