package audittest

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/nhi-labs/terraform-provider-nhi/internal/audit"
)

// Sink remembers the events that it has taken.
type Sink struct {
	// Dies, if set, is asked about every event; from the first one on for which it says true, the sink is down.
	Dies func(e audit.Event) bool

	mu    sync.Mutex
	down  bool
	taken []audit.Event
}

// Required is a trail that makes no change before the sink has taken what announces it.
func (s *Sink) Required() *audit.Trail {
	return audit.NewTrail(audit.Source{}, audit.Config{Required: true, Sinks: []audit.NamedSink{{Name: "siem", Sink: s}}}, time.Now)
}

// Deliver implements audit.Sink.
func (s *Sink) Deliver(_ context.Context, e audit.Event) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down = s.down || s.Dies != nil && s.Dies(e); s.down {
		return errors.New("503 Service Unavailable")
	}
	s.taken = append(s.taken, e)
	return nil
}

// Close implements audit.Sink.
func (s *Sink) Close() error { return nil }

// Down makes the sink take nothing, or events again.
func (s *Sink) Down(yes bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down = yes
}

// Taken is what the sink has taken.
func (s *Sink) Taken() []audit.Event {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.taken)
}
