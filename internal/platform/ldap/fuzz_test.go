package ldap

import (
	"bufio"
	"context"
	"net"
	"sync/atomic"
	"testing"
	"time"

	ber "github.com/go-asn1-ber/asn1-ber"
	goldap "github.com/go-ldap/ldap/v3"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
	"github.com/nhi-labs/terraform-provider-nhi/internal/secret"
)

// lying is a directory that lets everybody in and answers every other request with the same bytes: as operations of an
// answer to it, or as they are.
type lying struct {
	answer []byte
	raw    bool
}

func (h lying) serve(conn net.Conn) {
	defer func() { _ = conn.Close() }()
	reader := bufio.NewReader(conn)
	for {
		packet, err := ber.ReadPacket(reader)
		if err != nil || len(packet.Children) < 2 {
			return
		}
		id, _ := packet.Children[0].Value.(int64)
		answer := h.answer
		switch tag := packet.Children[1].Tag; {
		case tag == goldap.ApplicationUnbindRequest:
			return
		case tag == goldap.ApplicationBindRequest && !h.raw:
			answer = resultOf(goldap.ApplicationBindResponse, 0)
		}
		if !h.raw {
			answer = asMessages(id, answer)
		}
		if _, err := conn.Write(answer); err != nil {
			return
		}
	}
}

// asMessages wraps operations, each as the answer with the id.
func asMessages(id int64, operations []byte) []byte {
	var out []byte
	for len(operations) > 0 {
		packet := ber.NewSequence("")
		packet.AppendChild(ber.NewInteger(ber.ClassUniversal, ber.TypePrimitive, ber.TagInteger, id, ""))
		operation, err := ber.DecodePacketErr(operations)
		if err != nil {
			return append(out, operations...)
		}
		packet.AppendChild(operation)
		out, operations = append(out, packet.Bytes()...), operations[min(len(operations), len(operation.Bytes())):]
	}
	return out
}

// resultOf is a result.
func resultOf(tag ber.Tag, code int64) []byte {
	packet := ber.Encode(ber.ClassApplication, ber.TypeConstructed, tag, nil, "")
	packet.AppendChild(ber.NewInteger(ber.ClassUniversal, ber.TypePrimitive, ber.TagEnumerated, code, ""))
	for range 2 {
		packet.AppendChild(ber.NewString(ber.ClassUniversal, ber.TypePrimitive, ber.TagOctetString, "", ""))
	}
	return packet.Bytes()
}

// entryOf is what a search finds.
func entryOf(dn string, attributes map[string]string) []byte {
	packet := ber.Encode(ber.ClassApplication, ber.TypeConstructed, goldap.ApplicationSearchResultEntry, nil, "")
	packet.AppendChild(ber.NewString(ber.ClassUniversal, ber.TypePrimitive, ber.TagOctetString, dn, ""))
	list := ber.NewSequence("")
	for name, value := range attributes {
		one, values := ber.NewSequence(""), ber.Encode(ber.ClassUniversal, ber.TypeConstructed, ber.TagSet, nil, "")
		values.AppendChild(ber.NewString(ber.ClassUniversal, ber.TypePrimitive, ber.TagOctetString, value, ""))
		one.AppendChild(ber.NewString(ber.ClassUniversal, ber.TypePrimitive, ber.TagOctetString, name, ""))
		one.AppendChild(values)
		list.AppendChild(one)
	}
	packet.AppendChild(list)
	return packet.Bytes()
}

// FuzzDirectory: whatever a directory answers, reads come to an end in time and without a panic, and only the results that
// say so are absence: success without entries, and noSuchObject.
func FuzzDirectory(f *testing.F) {
	done := resultOf(goldap.ApplicationSearchResultDone, 0)
	account := entryOf("cn=agent,ou=accounts,dc=nhi,dc=test", map[string]string{
		"objectClass": "inetOrgPerson", "cn": "agent", "uid": "agent", "entryUUID": "1e1b3b9e-0000-1000-8000-000000000000",
		"createTimestamp": "20260101000000Z", "description": "x",
	})
	for _, answer := range [][]byte{
		done, append(account, done...), account, resultOf(goldap.ApplicationSearchResultDone, 32), resultOf(goldap.ApplicationSearchResultDone, 51),
		resultOf(goldap.ApplicationModifyResponse, 0), {}, {0x30, 0x80}, []byte("HTTP/1.1 200 OK\r\n\r\n"), {0x64, 0x02, 0x04, 0x00}, {0x65, 0x03, 0x0a, 0x01, 0x00},
	} {
		for call := range uint8(3) {
			f.Add(call, answer, false)
			f.Add(call, answer, true)
		}
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = listener.Close() })
	var now atomic.Pointer[lying]
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go now.Load().serve(conn)
		}
	}()
	f.Fuzz(func(t *testing.T, call uint8, answer []byte, raw bool) {
		now.Store(&lying{answer, raw})
		c, err := open(Config{
			Dialect: OpenLDAP, URL: "ldap://" + listener.Addr().String(), BindDN: "cn=admin,dc=nhi,dc=test", Password: secret.New("x"),
			BaseDN: "ou=accounts,dc=nhi,dc=test",
		})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = c.Close() }()
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		watch := time.AfterFunc(20*time.Second, func() { panic("the call hangs") })
		defer watch.Stop()
		switch call % 3 {
		case 0:
			_, err = c.ReadAccount(ctx, nhi.Ref{Name: "agent", ID: "1e1b3b9e-0000-1000-8000-000000000000"})
		case 1:
			_, err = c.Probe(ctx)
		case 2:
			err = c.Sweep(ctx, driver.SweepFilter{}, func([]nhi.Account) error { return nil })
		}
		if err != nil && c.Classify(err).Code == driver.NotFound && raw && len(answer) < 9 {
			t.Errorf("%x was taken for absence", answer)
		}
	})
}
