package provider

import (
	"context"
	"strings"
	"testing"

	"github.com/nhi-labs/terraform-provider-nhi/internal/acctest/core"
	"github.com/nhi-labs/terraform-provider-nhi/internal/audit"
	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
)

// downSink takes no events.
type downSink struct{ audit.Sink }

func (downSink) Deliver(context.Context, audit.Event) error {
	return driver.Errorf(driver.Unavailable, "the sink is down")
}

// TestFailedCreationOwnsLittle: state of a rotation is lost, and making it again fails. What it leaves in state, tainted, is replaced
// by the next apply, which revokes what the creation has issued, and nothing that was there before. The plan says so.
func TestFailedCreationOwnsLittle(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		path    string
		refused []string
		down    bool
		words   string
		// left are the credentials after the creation that failed, want those after the apply that follows.
		left, want string
	}{
		"taken over, and the sink is down": {"kv/a", []string{"write the secret"}, true, "rotate: finish nhi-1", "nhi-1", "nhi-1"},
		"issued, and the sink is down":     {"kv/c", []string{`write the secret at "kv/b"`}, true, "keep nhi-1", "nhi-1", "nhi-1 nhi-2"},
		"issued, and not taken back":       {"kv/c", []string{`write the secret at "kv/b"`, "revoke"}, false, "keep nhi-1", "nhi-1 nhi-2", "nhi-1 nhi-2"},
		"issued, delivered, and not taken back": {"kv/c", []string{`write the secret at "kv/b"`, "revoke", "remove the secret"}, false, "keep nhi-1",
			"nhi-1 nhi-2", "nhi-1 nhi-2"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRotating(t)
			overlap := core.Body{"overlap": "24h"}
			if _, failed := r.run(overlap, "kv/a", "kv/b"); failed != "" {
				t.Fatal(failed)
			}
			before := r.ids()
			delete(r.state, "nhi_rotation.x")
			r.empty("kv/b")
			r.refuse(c.refused...)
			if c.down {
				r.hooks.Sink = func(s audit.NamedSink) audit.NamedSink {
					s.Sink = downSink{s.Sink}
					return s
				}
			}
			if _, failed := r.run(overlap, c.path, "kv/b"); !strings.Contains(failed, "no right to") || r.labels() != c.left {
				t.Fatalf("%s: credentials %s", failed, r.labels())
			}
			if o := r.state["nhi_rotation.x"]; o == nil || !o.Tainted {
				t.Fatalf("not tainted: %+v", o)
			}
			r.refuse()
			r.hooks.Sink = nil
			left := r.ids()
			warnings, failed := r.run(overlap, c.path, "kv/b")
			if failed != "" || r.labels() != c.want || !strings.Contains(warnings, c.words) {
				t.Errorf("%s: credentials %s, warnings %s", failed, r.labels(), warnings)
			}
			if len(left) > 1 && strings.Contains(warnings, "nhi-2") {
				t.Errorf("the plan goes on with what is to go: %s", warnings)
			}
			now := r.ids()
			if now[0] != before[0] || len(left) > 1 && now[1] == left[1] {
				t.Errorf("the one in use has to stay, and the one that was left to go: before %q, then %q and %q", before, left, now)
			}
		})
	}
}

// TestFailedRotationIsDestroyed: what a creation that failed has left is destroyed with everything of the rotation, also what was
// there before.
func TestFailedRotationIsDestroyed(t *testing.T) {
	t.Parallel()
	r := newRotating(t)
	overlap := core.Body{"overlap": "24h"}
	if _, failed := r.run(overlap, "kv/a"); failed != "" {
		t.Fatal(failed)
	}
	delete(r.state, "nhi_rotation.x")
	r.refuse("write the secret")
	r.hooks.Sink = func(s audit.NamedSink) audit.NamedSink {
		s.Sink = downSink{s.Sink}
		return s
	}
	if _, failed := r.run(overlap, "kv/a", "kv/b"); failed == "" || r.state["nhi_rotation.x"] == nil {
		t.Fatalf("%s: in state %v", failed, r.state)
	}
	r.refuse()
	r.hooks.Sink = nil
	r.apply(map[string]core.Resource{"nhi_identity.x": identityResourceOf("agent", nil, on("p"))})
	if left := r.labels(); left != "" {
		t.Errorf("credentials %s", left)
	}
}

// TestFailedRotationIsKept: what a creation that failed has left does not make what was there before the rotation's own, neither by
// a destroy that fails nor by an untaint.
func TestFailedRotationIsKept(t *testing.T) {
	t.Parallel()
	for name, between := range map[string]func(r rotating){
		"a destroy that fails": func(r rotating) {
			plan := r.plan(map[string]core.Resource{"nhi_identity.x": identityResourceOf("agent", nil, on("p"))})
			state, report := r.process().Apply(r.t.Context(), plan, nil)
			if r.state = state; !report.Failed() || state["nhi_rotation.x"] == nil {
				r.t.Errorf("the destroy should fail: %q", report.Errors)
			}
		},
		"untaint": func(r rotating) {
			r.state["nhi_rotation.x"].Tainted = false
			r.refuse("write the secret")
			if _, failed := r.run(core.Body{"overlap": "24h"}, "kv/c", "kv/b"); failed == "" {
				r.t.Error("the store should refuse")
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRotating(t)
			overlap := core.Body{"overlap": "24h"}
			if _, failed := r.run(overlap, "kv/a"); failed != "" {
				t.Fatal(failed)
			}
			inUse := r.ids()[0]
			delete(r.state, "nhi_rotation.x")
			r.refuse("write the secret", "revoke")
			if _, failed := r.run(overlap, "kv/c", "kv/b"); failed == "" || r.labels() != "nhi-1 nhi-2" {
				t.Fatalf("%s: credentials %s", failed, r.labels())
			}
			between(r)
			r.refuse()
			for range 2 {
				if warnings, failed := r.run(overlap, "kv/c", "kv/b"); failed != "" || r.ids()[0] != inUse {
					t.Errorf("%s: credentials %s, warnings %s", failed, r.labels(), warnings)
				}
			}
		})
	}
}
