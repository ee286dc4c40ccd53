package provider

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/nhi-labs/terraform-provider-nhi/internal/audit"
)

// deafSink takes nothing.
type deafSink struct{}

func (deafSink) Deliver(context.Context, audit.Event) error { return errors.New("down") }
func (deafSink) Close() error                               { return nil }

// What is handed over while the identity is deleted goes with it; what comes later stays where it is.
func TestHandovers(t *testing.T) {
	t.Parallel()
	trail := audit.NewTrail(audit.Source{}, audit.Config{Sinks: []audit.NamedSink{{Name: "siem", Sink: deafSink{}}}}, time.Now)
	waiting := func(id string) *audit.Journal {
		return trail.Open(audit.Operation{}, []audit.Waiting{{Sink: "siem", Event: audit.Event{ID: id}}})
	}
	h, identity := newHandovers(), trail.Open(audit.Operation{}, nil)
	check := func(want ...string) {
		t.Helper()
		left := identity.Retry(t.Context()).Waiting
		if len(left) != len(want) {
			t.Fatalf("the identity keeps %v, want %v", left, want)
		}
		for i, id := range want {
			if !strings.Contains(left[i], `"id":"`+id+`"`) {
				t.Errorf("the identity keeps %v, want %v", left, want)
			}
		}
	}
	if !h.give("agent", waiting("before")) || !h.give("other", waiting("of another")) {
		t.Error("nobody takes it")
	}
	if err := h.take(t.Context(), "agent", identity); err != nil {
		t.Fatal(err)
	}
	check("before")
	if !h.give("agent", waiting("meanwhile")) {
		t.Error("nobody takes it")
	}
	if err := h.end(t.Context(), "agent", identity); err != nil {
		t.Fatal(err)
	}
	check("before", "meanwhile")
	if h.give("agent", waiting("too late")) {
		t.Error("the identity is deleted, and takes over")
	}
	if !h.give("other", waiting("of another")) {
		t.Error("nobody takes it")
	}
}
