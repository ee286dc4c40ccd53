package main

import (
	"io"
	"net"
	"testing"
	"time"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver/drivertest/netfault"
)

// Round trips over one connection are counted and take at least the latency; what lies between them does not count.
func TestFarTCPMeasuresRoundTrips(t *testing.T) {
	t.Parallel()
	const latency, trips = 20 * time.Millisecond, 3
	backend := netfault.Listen(t, func(conn net.Conn) { _, _ = io.Copy(conn, conn) })
	m := &meter{}
	far, err := newFarTCP(backend, latency, m)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(far.close)
	conn, err := net.Dial("tcp", far.listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	for range trips {
		if _, err := conn.Write([]byte("ping")); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(conn, make([]byte, 4)); err != nil {
			t.Fatal(err)
		}
	}
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
	var got traffic
	for got.Requests < trips {
		more := m.take()
		got.Requests, got.Busy = got.Requests+more.Requests, got.Busy+more.Busy
		time.Sleep(time.Millisecond)
	}
	if got.Requests != trips || got.Busy < trips*latency {
		t.Errorf("%d round trips in %s, want %d in at least %s", got.Requests, got.Busy, trips, trips*latency)
	}
}

func TestUnionCountsWhatOverlapsOnce(t *testing.T) {
	begin := time.Now()
	at := func(from, to int) span {
		return span{begin.Add(time.Duration(from) * time.Second), begin.Add(time.Duration(to) * time.Second)}
	}
	for _, test := range []struct {
		spans []span
		want  time.Duration
	}{
		{nil, 0},
		{[]span{at(0, 2), at(5, 6)}, 3 * time.Second},
		{[]span{at(3, 6), at(0, 4)}, 6 * time.Second},
		{[]span{at(0, 9), at(1, 2), at(3, 10)}, 10 * time.Second},
	} {
		if got := union(test.spans); got != test.want {
			t.Errorf("%v: %s, want %s", test.spans, got, test.want)
		}
	}
}
