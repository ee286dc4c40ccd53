package mysql

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"testing"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver/drivertest/netfault"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
)

// packet writes one packet of MySQL's protocol: three bytes of length, the number in the sequence, the payload.
func packet(conn net.Conn, sequence byte, payload string) {
	header := make([]byte, 4)
	binary.LittleEndian.PutUint32(header, uint32(len(payload)))
	header[3] = sequence
	_, _ = io.WriteString(conn, string(header)+payload)
}

// readPacket returns the payload of the next packet.
func readPacket(conn net.Conn) (string, error) {
	header := make([]byte, 4)
	if _, err := io.ReadFull(conn, header); err != nil {
		return "", err
	}
	header[3] = 0
	payload := make([]byte, binary.LittleEndian.Uint32(header))
	_, err := io.ReadFull(conn, payload)
	return string(payload), err
}

// answerTooMany refuses as the servers do when all their connections are in use: in place of a greeting.
func answerTooMany(conn net.Conn) {
	packet(conn, 0, "\xff\x10\x04Too many connections") // 0x0410 is 1040.
	netfault.Drain(conn)
}

const (
	okPacket  = "\x00\x00\x00\x02\x00\x00\x00"
	endPacket = "\xfe\x00\x00\x02\x00"
)

// answerEmpty speaks MySQL's protocol, lets everybody in, and has no row for any question.
func answerEmpty(conn net.Conn) {
	greeting := "\x0a8.0.36\x00" + "\x01\x00\x00\x00" + "12345678\x00" +
		"\xff\xf7" + "\x2d" + "\x02\x00" + "\x08\x00" + "\x15" + "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00" +
		"123456789012\x00" + pluginNative + "\x00"
	packet(conn, 0, greeting)
	if _, err := readPacket(conn); err != nil {
		return
	}
	packet(conn, 2, okPacket)
	for {
		command, err := readPacket(conn)
		if err != nil || command == "" {
			return
		}
		const query = '\x03'
		if command[0] != query || len(command) > 4 && (command[1:4] == "SET" || command[1:3] == "do") {
			packet(conn, 1, okPacket)
			continue
		}
		packet(conn, 1, "\x01") // One column.
		packet(conn, 2, "\x03def\x00\x00\x00\x01c\x00\x0c\x2d\x00\x00\x01\x00\x00\xfd\x00\x00\x00\x00\x00")
		packet(conn, 3, endPacket)
		packet(conn, 4, endPacket)
	}
}

func TestEmptyAnswersAreNotAbsence(t *testing.T) {
	t.Parallel()
	// The fake must get as far as the answer without rows: else the conformance case proves nothing.
	d := open(t, plainTo(t, Config{Username: "u"}, netfault.Listen(t, answerEmpty)))
	c, ok := d.(*client)
	if !ok {
		t.Fatalf("Open returns %T", d)
	}
	c.known = mariaDB{}
	_, err := c.ReadAccount(t.Context(), nhi.Ref{Name: "billing-agent"})
	if !errors.Is(err, errIncomplete) {
		t.Errorf("read of an account from an empty answer: %v, want %v", err, errIncomplete)
	}
}
