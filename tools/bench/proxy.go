package main

import (
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"sync"
	"time"
)

// slow answers each request after a time and measures it.
func slow(service http.Handler, latency time.Duration, m *meter) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		begin := time.Now()
		defer func() { m.add(span{begin, time.Now()}) }()
		time.Sleep(latency)
		service.ServeHTTP(w, r)
	})
}

// farHTTP stands before an HTTP service and makes it slower. The URL is that of the service with another host.
func farHTTP(service string, latency time.Duration, m *meter) (far string, stop func(), err error) {
	target, err := url.Parse(service)
	if err != nil {
		return "", nil, err
	}
	origin := &url.URL{Scheme: target.Scheme, Host: target.Host}
	transport := &http.Transport{MaxIdleConnsPerHost: 100}
	server := httptest.NewServer(slow(&httputil.ReverseProxy{
		Transport: transport, Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(origin) },
	}, latency, m))
	return server.URL + target.Path, func() {
		server.Close()
		transport.CloseIdleConnections()
	}, nil
}

// farTCP is a forwarder on loopback that delivers what clients send after a time, and measures each round trip: what a
// client sends after an answer, until the last answer to it. Making a connection itself costs no more time than without it.
type farTCP struct {
	listener net.Listener
	backend  string
	latency  time.Duration
	meter    *meter

	mu    sync.Mutex
	conns map[net.Conn]struct{} // nil once it is closed
}

func newFarTCP(backend string, latency time.Duration, m *meter) (*farTCP, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	f := &farTCP{listener: listener, backend: backend, latency: latency, meter: m, conns: make(map[net.Conn]struct{})}
	go f.serve()
	return f, nil
}

func (f *farTCP) port() int {
	if address, ok := f.listener.Addr().(*net.TCPAddr); ok {
		return address.Port
	}
	return 0
}

func (f *farTCP) close() {
	_ = f.listener.Close()
	f.mu.Lock()
	defer f.mu.Unlock()
	for conn := range f.conns {
		_ = conn.Close()
	}
	f.conns = nil
}

func (f *farTCP) serve() {
	for {
		client, err := f.listener.Accept()
		if err != nil {
			return
		}
		go f.forward(client)
	}
}

func (f *farTCP) keep(conns ...net.Conn) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.conns == nil {
		return false
	}
	for _, conn := range conns {
		f.conns[conn] = struct{}{}
	}
	return true
}

func (f *farTCP) drop(conns ...net.Conn) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, conn := range conns {
		_ = conn.Close()
		delete(f.conns, conn)
	}
}

func (f *farTCP) forward(client net.Conn) {
	server, err := net.Dial("tcp", f.backend)
	if err != nil {
		_ = client.Close()
		return
	}
	defer f.drop(client, server)
	if !f.keep(client, server) {
		return
	}
	turns := &turns{meter: f.meter}
	var both sync.WaitGroup
	both.Go(func() { f.send(client, server, turns) })
	both.Go(func() {
		defer f.drop(client, server)
		_, _ = io.Copy(answers{client, turns}, server)
	})
	both.Wait()
	turns.end()
}

// packet is what was sent at a time.
type packet struct {
	at   time.Time
	data []byte
}

// send delivers in order, each packet when its time has come.
func (f *farTCP) send(client io.Reader, server net.Conn, turns *turns) {
	packets := make(chan packet, 1024)
	var delivery sync.WaitGroup
	delivery.Go(func() {
		var failed error
		for p := range packets {
			time.Sleep(time.Until(p.at.Add(f.latency)))
			if failed == nil {
				_, failed = server.Write(p.data)
			}
		}
		if half, ok := server.(*net.TCPConn); ok {
			_ = half.CloseWrite()
		}
	})
	for {
		buffer := make([]byte, 32<<10)
		n, err := client.Read(buffer)
		if n > 0 {
			now := time.Now()
			turns.asked(now)
			packets <- packet{now, buffer[:n]}
		}
		if err != nil {
			close(packets)
			delivery.Wait()
			return
		}
	}
}

// answers notes what passes through it to a client.
type answers struct {
	io.Writer
	turns *turns
}

func (a answers) Write(p []byte) (int, error) {
	a.turns.answered(time.Now())
	return a.Writer.Write(p)
}

// turns tells the round trips of one connection apart. What is sent and never answered, such as a farewell, is none.
type turns struct {
	meter *meter

	mu   sync.Mutex
	open span
}

func (t *turns) asked(now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.open.from.IsZero() || !t.open.to.IsZero() {
		t.finish()
		t.open = span{from: now}
	}
}

func (t *turns) answered(now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.open.to = now
}

func (t *turns) end() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.finish()
}

func (t *turns) finish() {
	if !t.open.from.IsZero() && !t.open.to.IsZero() {
		t.meter.add(t.open)
	}
	t.open = span{}
}

var errNoServers = errors.New("the testbed does not run postgresql, vault and scim: use make bench-report, or start them with " +
	"bin/testbed up --only postgresql,vault,scim")
