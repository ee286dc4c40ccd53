package provider

import (
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nhi-labs/terraform-provider-nhi/internal/acctest/core"
	"github.com/nhi-labs/terraform-provider-nhi/internal/audit"
	"github.com/nhi-labs/terraform-provider-nhi/internal/audit/audittest"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
)

// lateSink takes every event and does not say so in time.
type lateSink struct {
	audittest.Sink

	inTime atomic.Bool
}

func (s *lateSink) Deliver(ctx context.Context, e audit.Event) error {
	if err := s.Sink.Deliver(ctx, e); err != nil || s.inTime.Load() {
		return err
	}
	return fmt.Errorf("no acknowledgement: %w", context.DeadlineExceeded)
}

// TestLateSinkTaintsNothing: state is lost, and creating it again is refused, because a sink that is required was late. Nothing is in
// state then: a tainted resource would be replaced by the next apply, which takes away what is in use.
func TestLateSinkTaintsNothing(t *testing.T) {
	t.Parallel()
	described := core.Body{"platform": "q", "sandbox": core.Body{"description": "x"}}
	rotation := rotationResourceOf("nhi_identity.x", "q", "kv/a")
	delivered, _ := rotation.Body["deliver"].([]core.Body)
	elsewhere := rotationResourceOf("nhi_identity.x", "q", "kv/a")
	elsewhere.Body["deliver"] = append(delivered, core.Body{"platform": "p", "path": "kv/b"})
	for lost, changed := range map[string]core.Resource{
		"nhi_identity.x": identityResourceOf("agent", nil, on("p"), described),
		"nhi_rotation.x": elsewhere,
		"nhi_grant.x":    grantResourceOf("nhi_identity.x", nil, map[string][]string{"q": {"role:a", "role:b"}}),
	} {
		t.Run(lost, func(t *testing.T) {
			t.Parallel()
			s := newScene(t)
			s.provider["audit"] = core.Body{"required": true, "file": []core.Body{{"path": filepath.Join(s.dir, "events")}}}
			declared := map[string]core.Resource{
				"nhi_identity.x": identityResourceOf("agent", nil, on("p"), on("q")), "nhi_rotation.x": rotation,
				"nhi_grant.x": grantResourceOf("nhi_identity.x", nil, map[string][]string{"q": {"role:a"}}),
			}
			s.apply(declared)
			account := func() nhi.Account {
				a, err := s.hand("q").ReadAccount(t.Context(), nhi.Ref{Name: "agent"})
				if err != nil {
					t.Fatal(err)
				}
				return a
			}
			before := account()
			delete(s.state, lost)
			declared = maps.Clone(declared)
			declared[lost] = changed

			sink := &lateSink{}
			report := s.applyLate(s.plan(declared), sink)
			failed, warned := strings.Join(report.Errors, "\n"), strings.Join(report.Warnings, "\n")
			if !strings.Contains(failed, "nothing was changed") || !strings.Contains(warned, "say that nothing was changed") || len(report.Violations) > 0 {
				t.Errorf("errors %q, warnings %q, violations %q", failed, warned, report.Violations)
			}
			if s.state[lost] != nil {
				t.Error("what was not created is in state")
			}
			outcomes := map[string]audit.Outcome{}
			for _, e := range sink.Taken() {
				outcomes[e.Change] = e.Outcome
			}
			for change, outcome := range outcomes {
				if outcome != audit.Failed {
					t.Errorf("of the change %s the sink knows last that it was %s", change, outcome)
				}
			}

			s.hooks.Change = func(c audit.Change) {
				switch c.Activity {
				case audit.DeleteAccount, audit.Revoke, audit.RevokeCredential, audit.RemoveSecret:
					t.Errorf("the next apply takes away what is in use: %s", c.Activity)
				default:
				}
			}
			s.apply(declared)
			if after := account(); after.ID != before.ID || after.Credentials[0].ID != before.Credentials[0].ID {
				t.Errorf("before %+v, after %+v", before, after)
			}
		})
	}
}

// applyLate applies in a process whose sink answers in time only once the process ends.
func (s *scene) applyLate(plan *core.Plan, sink *lateSink) *core.Report {
	s.t.Helper()
	if plan.Failed() {
		s.t.Fatalf("plan: %q, %q", plan.Errors, plan.Violations)
	}
	hooks := Hooks{
		Sink:   func(n audit.NamedSink) audit.NamedSink { n.Sink = sink; return n },
		Change: func(c audit.Change) { s.t.Errorf("changed although nobody acknowledged that: %s", c.Activity) },
	}
	server := NewServer("test", func() time.Time { return s.clock }, hooks)
	p, report := s.core.Start(s.t.Context(), server.ProtocolServer(), s.provider)
	if report.Failed() {
		s.t.Fatalf("%+v", report)
	}
	state, report := p.Apply(s.t.Context(), plan, nil)
	s.state = state
	sink.inTime.Store(true)
	if err := server.Close(); err != nil {
		s.t.Errorf("at the end of the run: %v", err)
	}
	return report
}
