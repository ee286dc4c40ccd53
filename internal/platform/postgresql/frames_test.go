package postgresql

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver/drivertest/netfault"
	"github.com/nhi-labs/terraform-provider-nhi/internal/secret"
)

// A server that announces a message of two gigabytes gets no room for it.
func TestServerAnnouncesTooMuch(t *testing.T) {
	t.Parallel()
	address := netfault.Listen(t, func(conn net.Conn) {
		_, _ = conn.Write(message('R', 1<<31-1, nil))
		netfault.Drain(conn)
	})
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	number, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	d, err := Open(Config{
		Host: "127.0.0.1", Port: number, Database: "postgres", Username: "postgres", Password: secret.New("x"), SSLMode: "disable",
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	if _, err := d.Probe(t.Context()); err == nil || !strings.Contains(err.Error(), "announces a message of 2147483647 bytes") {
		t.Errorf("Probe: %v", err)
	}
}

// Messages pass as they are, however they are cut.
func TestMessagesPass(t *testing.T) {
	t.Parallel()
	stream := bytes.Join([][]byte{message('T', 9, []byte("12345")), message('Z', 4, nil), message('D', longestMessage, make([]byte, longestMessage-4)),
		message('C', 5, []byte("x"))}, nil)
	for name, r := range map[string]io.Reader{
		"whole": bytes.NewReader(stream), "halves": iotest.HalfReader(bytes.NewReader(stream)),
		"bytes": io.MultiReader(iotest.OneByteReader(bytes.NewReader(stream[:40])), bytes.NewReader(stream[40:])),
	} {
		got, err := io.ReadAll(&boundedMessages{r: r})
		if err != nil || !bytes.Equal(got, stream) {
			t.Errorf("%s: %d of %d bytes, %v", name, len(got), len(stream), err)
		}
	}
	for _, length := range []uint32{longestMessage + 1, 1<<32 - 1} {
		if _, err := io.ReadAll(&boundedMessages{r: bytes.NewReader(message('D', length, nil))}); err == nil {
			t.Errorf("a message of %d bytes passes", length)
		}
	}
}

func message(kind byte, length uint32, body []byte) []byte {
	return append(binary.BigEndian.AppendUint32([]byte{kind}, length), body...)
}
