package mysql

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"strconv"
	"testing"

	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
)

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

// drain reads until the other side goes away, and never answers.
func drain(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) }

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
	_, _ = io.WriteString(conn, "HTTP/1.1 502 Bad Gateway\r\nContent-Type: text/html\r\nContent-Length: 12\r\n\r\n<h1>502</h1>")
}

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
	drain(conn)
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
	d := open(t, plainTo(t, Config{Username: "u"}, listen(t, answerEmpty)))
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
