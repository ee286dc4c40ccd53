// Package netfault makes the connections of a driver under test fail, below its protocol.
package netfault

import (
	"io"
	"net"
	"testing"
)

// ClosedPort returns an address ("host:port") where nobody listens.
func ClosedPort(t testing.TB) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close() //nolint:errcheck // only its address was wanted
	return listener.Addr().String()
}

// Listen serves connections until the test ends and returns its address. A connection is closed when serve returns.
func Listen(t testing.TB, serve func(net.Conn)) string {
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
				defer conn.Close() //nolint:errcheck // the other side sees it
				serve(conn)
			}()
		}
	}()
	return listener.Addr().String()
}

// Drain reads until the other side goes away, and never answers.
func Drain(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) }

// CutAfter passes a connection on to the real server at address and cuts it after n bytes of its answers.
func CutAfter(address string, n int64) func(net.Conn) {
	return func(conn net.Conn) {
		upstream, err := net.Dial("tcp", address)
		if err != nil {
			return
		}
		defer upstream.Close() //nolint:errcheck // cut on purpose
		go func() { _, _ = io.Copy(upstream, conn) }()
		_, _ = io.CopyN(conn, upstream, n)
	}
}

// AnswerHTTP answers whatever comes with a proxy's error page.
func AnswerHTTP(conn net.Conn) {
	_, _ = conn.Read(make([]byte, 1024))
	_, _ = io.WriteString(conn, "HTTP/1.1 502 Bad Gateway\r\nContent-Type: text/html\r\nContent-Length: 12\r\n\r\n<h1>502</h1>")
}
