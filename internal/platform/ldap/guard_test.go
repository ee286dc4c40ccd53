package ldap

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	ber "github.com/go-asn1-ber/asn1-ber"
	goldap "github.com/go-ldap/ldap/v3"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/driver/drivertest/netfault"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
)

// spoken is a connection on which a text comes in.
type spoken struct {
	net.Conn
	io.Reader
}

func (s spoken) Read(p []byte) (int, error) { return s.Reader.Read(p) }

// element encodes one element of BER.
func element(tag byte, content ...byte) []byte {
	n := len(content)
	return append([]byte{tag, 0x84, byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}, content...)
}

func message(parts ...[]byte) []byte { return element(0x30, slices.Concat(parts...)...) }

// nested is an element in an element, and so on.
func nested(levels int) []byte {
	out := []byte{0x04, 0}
	for range levels {
		out = element(0x30, out...)
	}
	return out
}

func TestGuard(t *testing.T) {
	t.Parallel()
	id := []byte{0x02, 1, 1}
	done := element(0x65, 0x0a, 1, 0, 4, 0, 4, 0)
	large := element(searchEntry, slices.Concat([]byte{4, 0}, element(0x30, element(4, bytes.Repeat([]byte{'x'}, 1<<20)...)...))...)
	for name, c := range map[string]struct {
		text []byte
		want string // "" lets it through
	}{
		"nothing":               {nil, ""},
		"a result":              {message(id, done), ""},
		"several":               {slices.Concat(message(id, large), message(id, done), message(id, done)), ""},
		"controls":              {message(id, done, element(0xa0, nested(3)...)), ""},
		"short lengths":         {[]byte{0x30, 5, 2, 1, 1, 0x65, 0}, ""},
		"nested":                {message(id, element(searchEntry, nested(maxDepth)...)), "nested more than"},
		"nested without end":    {bytes.Repeat([]byte{0x30, 0x80}, 1<<20), "length of a part has 0 bytes"},
		"a huge message":        {[]byte{0x30, 0x84, 0x7f, 0xff, 0xff, 0xff}, "announces 2147483647 bytes"},
		"a huge entry":          {append([]byte{0x30, 0x84, 4, 0, 0x10, 0}, 2, 1, 1, searchEntry, 0x84, 4, 0, 0, 1), "announces 67108865 bytes"},
		"a huge result":         {message(id, element(0x65, make([]byte, maxOther+1)...)), "announces 65537 bytes"},
		"huge controls":         {message(id, done, element(0xa0, make([]byte, maxOther+1)...)), "announces 65537 bytes"},
		"longer than its frame": {[]byte{0x30, 6, 2, 1, 1, 0x65, 1, 4, 9}, "announces"},
		"a long tag":            {[]byte{0x3f, 0x81, 1, 0}, "tag of several bytes"},
		"a long length":         {[]byte{0x30, 0x88, 0, 0, 0, 0, 0, 0, 0, 1, 0}, "length of a part has 8 bytes"},
		"a web page":            {[]byte("HTTP/1.1 400 Bad Request\r\n\r\n"), "begins with 0x48"},
	} {
		for how, in := range map[string]io.Reader{
			"at once": bytes.NewReader(c.text), "byte by byte": iotest.OneByteReader(bytes.NewReader(c.text)),
		} {
			got, err := io.ReadAll(&guard{Conn: spoken{Reader: in}})
			if c.want == "" && (err != nil || !bytes.Equal(got, c.text)) || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("%s, %s: %d of %d bytes, %v, want %q", name, how, len(got), len(c.text), err, c.want)
			}
		}
	}
}

// FuzzGuard: whatever the guard lets through, the library reads in bounded depth.
func FuzzGuard(f *testing.F) {
	f.Add(message([]byte{0x02, 1, 1}, element(0x65, 0x0a, 1, 0, 4, 0, 4, 0)))
	f.Add(message([]byte{0x02, 1, 1}, element(searchEntry, nested(4)...)))
	f.Add([]byte{0x30, 0x80, 0, 0})
	f.Fuzz(func(t *testing.T, text []byte) {
		reader := bufio.NewReader(&guard{Conn: spoken{Reader: bytes.NewReader(text)}})
		for {
			packet, err := ber.ReadPacket(reader)
			if err != nil {
				return
			}
			if depth := depthOf(packet); depth > maxDepth+1 {
				t.Fatalf("%d levels", depth)
			}
		}
	})
}

func depthOf(p *ber.Packet) int {
	deepest := 0
	for _, child := range p.Children {
		deepest = max(deepest, depthOf(child))
	}
	return deepest + 1
}

// TestHostileServer nests an answer so deep that the library would use up the stack, which ends a process.
func TestHostileServer(t *testing.T) {
	t.Parallel()
	address := netfault.Listen(t, func(conn net.Conn) {
		if _, err := ber.ReadPacket(conn); err != nil {
			return
		}
		layer := bytes.Repeat([]byte{0x30, 0x80}, 1<<16)
		for range 64 {
			if _, err := conn.Write(layer); err != nil {
				return
			}
		}
	})
	s := newServer(t, OpenLDAP)
	cfg := s.config()
	cfg.URL = "ldap://" + address
	d := openClient(t, cfg)
	_, err := d.ReadAccount(t.Context(), nhi.Ref{Name: "billing"})
	if err == nil || d.Classify(err).Code == driver.NotFound || !strings.Contains(err.Error(), "not LDAP") {
		t.Errorf("an answer without end: %v", err)
	}
}

// TestReferralsAreNotFollowed: a directory that sends elsewhere sees no login there.
func TestReferralsAreNotFollowed(t *testing.T) {
	t.Parallel()
	elsewhere := netfault.Listen(t, func(conn net.Conn) {
		if n, _ := io.Copy(io.Discard, conn); n > 0 {
			t.Errorf("%d bytes were sent to where the referral leads", n)
		}
	})
	address := netfault.Listen(t, func(conn net.Conn) {
		reader := bufio.NewReader(conn)
		for {
			request, err := ber.ReadPacket(reader)
			if err != nil || len(request.Children) < 2 {
				return
			}
			tag := request.Children[1].Tag
			code := int64(goldap.LDAPResultReferral)
			if tag == goldap.ApplicationBindRequest {
				code = goldap.LDAPResultSuccess
			}
			if _, err := conn.Write(referral(request.Children[0], tag, code, "ldap://"+elsewhere+"/dc=example")); err != nil {
				return
			}
		}
	})
	s := newServer(t, OpenLDAP)
	cfg := s.config()
	cfg.URL = "ldap://" + address
	d := openClient(t, cfg)
	_, err := d.ReadAccount(t.Context(), nhi.Ref{Name: "billing"})
	if err == nil || errors.Is(err, io.EOF) || d.Classify(err).Code == driver.NotFound {
		t.Errorf("a referral: %v", err)
	}
}

// referral is the answer to a request, with an address to go to.
func referral(id *ber.Packet, request ber.Tag, code int64, to string) []byte {
	answers := map[ber.Tag]ber.Tag{goldap.ApplicationBindRequest: goldap.ApplicationBindResponse, goldap.ApplicationSearchRequest: goldap.ApplicationSearchResultDone}
	operation := ber.Encode(ber.ClassApplication, ber.TypeConstructed, answers[request], nil, "operation")
	operation.AppendChild(ber.NewInteger(ber.ClassUniversal, ber.TypePrimitive, ber.TagEnumerated, code, "result"))
	operation.AppendChild(ber.NewString(ber.ClassUniversal, ber.TypePrimitive, ber.TagOctetString, "", "matched"))
	operation.AppendChild(ber.NewString(ber.ClassUniversal, ber.TypePrimitive, ber.TagOctetString, "", "message"))
	if code == goldap.LDAPResultReferral {
		addresses := ber.Encode(ber.ClassContext, ber.TypeConstructed, 3, nil, "referral")
		addresses.AppendChild(ber.NewString(ber.ClassUniversal, ber.TypePrimitive, ber.TagOctetString, to, "address"))
		operation.AppendChild(addresses)
	}
	answer := ber.NewSequence("answer")
	answer.AppendChild(id)
	answer.AppendChild(operation)
	return answer.Bytes()
}
