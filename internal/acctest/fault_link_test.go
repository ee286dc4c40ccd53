package acctest

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"

	"github.com/nhi-labs/terraform-provider-nhi/internal/testenv"
)

// faultLink is the way from the provider to one real platform. The provider knows the platform by a host name and reaches
// Toxiproxy there, which does what networks do; behind it is a front of ours that ends TLS, counts requests, lets a fault
// begin at one of them and can answer in the platform's place.
type faultLink struct {
	t        testing.TB
	platform string
	host     string // the name that the provider looks up
	addr     string // where Toxiproxy listens
	front    net.Listener
	names    *nameServer
	own      *faultAuthority
	other    *faultAuthority // nobody trusts it
	silence  time.Duration
	// sessions ends the platform's own sessions with the provider; nil if it has none.
	sessions func()

	mu      sync.Mutex
	proxy   *toxiproxy.Proxy
	count   int    // requests since the link was armed
	fault   *fault // nil is none
	at      int    // the request that it begins with
	struck  int
	spoiled bool
	swapped bool      // the certificate is another authority's
	down    time.Time // until then nobody listens
}

// faultWays are links to platforms with one name server and one authority.
type faultWays struct {
	t          *testing.T
	names      *nameServer
	own, other *faultAuthority
	links      map[string]*faultLink // by platform
}

func newFaultWays(t *testing.T) *faultWays {
	t.Helper()
	return &faultWays{
		t: t, names: newNameServer(t), own: newFaultAuthority(t), other: newFaultAuthority(t), links: make(map[string]*faultLink),
	}
}

// link makes a link without a platform behind it. host is a name that ends in .test, or an address of loopback.
func (w *faultWays) link(platform, host string) *faultLink {
	w.t.Helper()
	front, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		w.t.Fatal(err)
	}
	l := &faultLink{t: w.t, platform: platform, host: host, addr: "127.0.0.1:0", front: front, names: w.names, own: w.own, other: w.other, silence: silence}
	w.names.set(host, true)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.renew()
	w.t.Cleanup(func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.proxy.Stop()
		_ = front.Close()
	})
	w.links[platform] = l
	return l
}

// http makes a link to a platform that speaks HTTP at a base URL, and returns the base URL for the provider.
func (w *faultWays) http(platform, host, backend string) string {
	w.t.Helper()
	return w.link(platform, host).serveHTTP(w.t, backend)
}

// faultAdmin is a link to the real PostgreSQL with an administrator of its own, whose sessions can be ended.
type faultAdmin struct {
	link           *faultLink
	name, password string
}

func (w *faultWays) postgresql(platform, host string) faultAdmin {
	w.t.Helper()
	server := testenv.Load(w.t).PostgreSQL
	a := faultAdmin{w.link(platform, host), strings.ReplaceAll(unique(w.t, "admin"), "-", "_"), unique(w.t, "pw")}
	conn := pgAdmin(w.t)
	w.t.Cleanup(func() {
		_, err := conn.Exec(context.Background(), "DROP ROLE "+a.name)
		if err := errors.Join(err, conn.Close(context.Background())); err != nil {
			w.t.Error(err)
		}
	})
	if _, err := conn.Exec(w.t.Context(), "CREATE ROLE "+a.name+" SUPERUSER LOGIN PASSWORD '"+a.password+"'"); err != nil {
		w.t.Fatal(err)
	}
	a.link.silence = silencePostgreSQL
	a.link.sessions = func() {
		if err := endSessions(w.t, server, a.name); err != nil {
			w.t.Errorf("end the sessions of %s: %v", a.name, err)
		}
	}
	a.link.servePostgreSQL(w.t, server)
	return a
}

// port is where the provider finds the platform, on the address that its name has.
func (l *faultLink) port() int {
	_, text, _ := net.SplitHostPort(l.addr)
	port, _ := strconv.Atoi(text)
	return port
}

// renew ends all connections and listens for new ones, without toxics.
func (l *faultLink) renew() {
	if l.proxy != nil {
		l.proxy.Stop()
	}
	quiet := zerolog.Nop()
	l.proxy = toxiproxy.NewProxy(toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), quiet), l.platform, l.addr, l.front.Addr().String())
	err := l.proxy.Start()
	for tries := 0; errors.Is(err, syscall.EADDRINUSE) && tries < 100; tries++ {
		time.Sleep(100 * time.Millisecond) // somebody's connection goes out from that port meanwhile
		err = l.proxy.Start()
	}
	if err != nil {
		l.t.Errorf("%s: toxiproxy: %v", l.platform, err)
	}
	l.addr = l.proxy.Listen
}

// arm lets f begin with the n-th request from now on, and forgets all that was before.
func (l *faultLink) arm(f *fault, n int) {
	l.heal()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.fault, l.at = f, n
	if f.prepare != nil {
		f.prepare(l)
	}
}

// heal ends the fault and returns how many requests it struck.
func (l *faultLink) heal() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	struck := l.struck
	if l.fault != nil {
		l.renew()
	}
	l.fault, l.count, l.struck, l.spoiled, l.swapped, l.down = nil, 0, 0, false, false, time.Time{}
	l.names.set(l.host, true)
	return struck
}

// requests is how many there were since the link was armed or healed.
func (l *faultLink) requests() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.count
}

// request counts one and returns the fault that strikes it.
func (l *faultLink) request() *fault {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.count++
	if l.fault == nil || l.count < l.at || l.fault.times > 0 && l.struck >= l.fault.times {
		return nil
	}
	l.struck++
	if l.struck == 1 && l.fault.strike != nil {
		l.fault.strike(l)
	}
	return l.fault
}

// spoil does to the network what the fault does when an answer of so many bytes is about to go out.
func (l *faultLink) spoil(f *fault, size int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if f != l.fault || l.spoiled || f.spoil == nil {
		return
	}
	l.spoiled = true
	f.spoil(l, size)
}

// toxic adds a toxic to what the provider receives; it acts on a connection with a probability of 0 or 1.
func (l *faultLink) toxic(kind string, probability int, attributes string) {
	text := fmt.Sprintf(`{"name":%q,"type":%q,"stream":"downstream","toxicity":%d,"attributes":{%s}}`, kind, kind, probability, attributes)
	if _, err := l.proxy.Toxics.AddToxicJson(strings.NewReader(text)); err != nil {
		l.t.Errorf("%s: toxic %s: %v", l.platform, kind, err)
	}
}

// listening reports whether the platform takes connections at all.
func (l *faultLink) listening() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return time.Now().After(l.down)
}

// tls is the front's side of TLS.
func (l *faultLink) tls() *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.swapped {
			return l.other.sign(l.host)
		}
		return l.own.sign(l.host)
	}}
}
