package ldap

import (
	"bufio"
	"crypto/rand"
	"net"
	"strconv"
	"testing"

	ber "github.com/go-asn1-ber/asn1-ber"
	goldap "github.com/go-ldap/ldap/v3"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/driver/drivertest"
	"github.com/nhi-labs/terraform-provider-nhi/internal/driver/drivertest/netfault"
	"github.com/nhi-labs/terraform-provider-nhi/internal/secret"
)

func (s *server) WithFault(t *testing.T, fault drivertest.Fault) driver.Driver {
	t.Helper()
	cfg := s.config()
	switch fault {
	case drivertest.Refused:
		cfg.URL = "ldap://" + netfault.ClosedPort(t)
	case drivertest.Silent:
		cfg.URL = "ldap://" + netfault.Listen(t, netfault.Drain)
	case drivertest.WrongCredentials:
		cfg.Password = secret.New("wrong-" + rand.Text())
	case drivertest.MissingRights:
		cfg.BindDN, cfg.Password = s.bed.ReaderDN, secret.New(s.bed.ReaderPassword)
	case drivertest.Cut:
		_, port, err := net.SplitHostPort(netfault.Listen(t, netfault.CutAfter(net.JoinHostPort(s.bed.Host, strconv.Itoa(s.bed.Port)), 1500)))
		if err != nil {
			t.Fatal(err)
		}
		cfg.URL = "ldaps://localhost:" + port
	case drivertest.Malformed:
		cfg.URL = "ldap://" + netfault.Listen(t, netfault.AnswerHTTP)
	case drivertest.EmptyAnswers:
		cfg.URL = "ldap://" + netfault.Listen(t, answerLDAP(goldap.LDAPResultSuccess))
	case drivertest.Overloaded:
		cfg.URL = "ldap://" + netfault.Listen(t, answerLDAP(goldap.LDAPResultBusy))
	default:
		return nil
	}
	return openClient(t, cfg)
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
