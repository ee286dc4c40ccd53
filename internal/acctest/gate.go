package acctest

import (
	"io"
	"net"
	"sync"
	"testing"
)

// Gate is a TCP forwarder on loopback that can be closed and opened again while its address stays: a platform that is
// down for a while.
type Gate struct {
	Addr    string // "127.0.0.1:port"
	backend string

	mu       sync.Mutex
	shut     bool
	watch    func()
	listener net.Listener
	conns    map[net.Conn]struct{}
}

// NewGate opens a gate to backend ("host:port").
func NewGate(t testing.TB, backend string) *Gate {
	t.Helper()
	g := &Gate{backend: backend, conns: make(map[net.Conn]struct{})}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g.listener, g.Addr = listener, listener.Addr().String()
	go g.serve(listener)
	t.Cleanup(func() {
		g.Shut()
		_ = listener.Close()
	})
	return g
}

func (g *Gate) serve(listener net.Listener) {
	for {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		go g.forward(conn)
	}
}

func (g *Gate) forward(client net.Conn) {
	server, err := net.Dial("tcp", g.backend)
	if err != nil || !g.keep(client, server) {
		_ = client.Close()
		if err == nil {
			_ = server.Close()
		}
		return
	}
	defer g.drop(client, server)
	done := make(chan struct{}, 2)
	for _, pair := range [][2]net.Conn{{client, server}, {server, client}} {
		go func() {
			_, _ = io.Copy(watched{pair[0], g}, pair[1])
			done <- struct{}{}
		}()
	}
	<-done
}

func (g *Gate) keep(conns ...net.Conn) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, c := range conns {
		g.conns[c] = struct{}{}
	}
	return !g.shut
}

func (g *Gate) drop(conns ...net.Conn) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, c := range conns {
		_ = c.Close()
		delete(g.conns, c)
	}
}

// Watch has f called before anything goes on through the gate, in either direction. What is to go waits for f.
func (g *Gate) Watch(f func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.watch = f
}

// watched is one end of a connection through a gate.
type watched struct {
	net.Conn
	gate *Gate
}

func (w watched) Write(b []byte) (int, error) {
	w.gate.mu.Lock()
	watch := w.gate.watch
	w.gate.mu.Unlock()
	if watch != nil {
		watch()
	}
	return w.Conn.Write(b)
}

// Shut cuts every connection, and every new one at once.
func (g *Gate) Shut() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.shut = true
	for c := range g.conns {
		_ = c.Close()
	}
}

// Open lets connections through again.
func (g *Gate) Open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.shut = false
}
