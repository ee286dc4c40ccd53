package main

import (
	"slices"
	"sync"
	"time"
)

// traffic is what a platform was asked.
type traffic struct {
	// Requests are HTTP requests, or round trips of a connection to a database.
	Requests int64 `json:"requests"`
	// Busy is the time in which at least one of them was under way.
	Busy time.Duration `json:"busy_ns"`
}

// span is the time that one request took.
type span struct{ from, to time.Time }

// meter measures the traffic to one platform. It is safe for concurrent use.
type meter struct {
	mu    sync.Mutex
	spans []span
}

func (m *meter) add(s span) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.spans = append(m.spans, s)
}

// take returns the traffic since the last call. A request that is still under way belongs to the next.
func (m *meter) take() traffic {
	m.mu.Lock()
	defer m.mu.Unlock()
	t := traffic{Requests: int64(len(m.spans)), Busy: union(m.spans)}
	m.spans = nil
	return t
}

// union is how long at least one of the spans lasts.
func union(spans []span) time.Duration {
	slices.SortFunc(spans, func(a, b span) int { return a.from.Compare(b.from) })
	var total time.Duration
	var end time.Time
	for _, s := range spans {
		if s.from.Before(end) {
			s.from = end
		}
		if s.to.After(s.from) {
			total += s.to.Sub(s.from)
			end = s.to
		}
	}
	return total
}
