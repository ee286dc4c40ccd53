package history

import (
	"context"
	"errors"
	"maps"
	"strings"
	"sync"

	"pgregory.net/rapid"

	"github.com/nhi-labs/terraform-provider-nhi/internal/audit"
	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/fleet"
)

// what can happen to a call.
const (
	refused    = "refused"      // the platform says no
	denied     = "denied"       // it says why
	lost       = "lost"         // it is done, and the answer does not come
	down       = "down"         // from now on there is no answer at all
	panics     = "panic"        // the driver panics
	interrupts = "interrupt"    // the user presses Ctrl-C
	killed     = "killed"       // the process is killed before the call
	killedLate = "killed after" // the process is killed after it
)

// fault is bad luck at the nth call to a platform, or to the audit sink.
type fault struct {
	at  string // a platform, or sinkOf one
	nth int
	how string
}

// sinkOf is where calls of the audit sink about a platform are counted.
func sinkOf(platform string) string { return "sink of " + platform }

// drawFault draws none in half of all cases.
func drawFault(t *rapid.T, label string) fault {
	how := rapid.SampledFrom([]string{
		"", "", "", "", "", "", "", "", refused, denied, lost, down, panics, interrupts, killed, killedLate,
	}).Draw(t, label)
	if how == "" {
		return fault{}
	}
	return fault{
		at:  rapid.SampledFrom([]string{"p", "q", "r", "p", "q", "r", sinkOf("p"), sinkOf("q"), sinkOf("r")}).Draw(t, "at"),
		nth: rapid.IntRange(1, 14).Draw(t, "call"), how: how,
	}
}

// luck stands between one provider process and the world.
type luck struct {
	fault
	interrupt func()
	world     *world
	sabotage  func(c fleet.Call) error

	mu    sync.Mutex
	count map[string]int
	// fired is set once the fault has happened; dead once the process is killed.
	fired, dead, stopped bool
	// made are the changes that the platforms have made; called counts the calls to each platform.
	made   []audit.Change
	events *events
}

func (h *history) luck(f fault) *luck {
	return &luck{fault: f, world: h.world, sabotage: h.sabotage, count: map[string]int{}, events: h.events}
}

var errDead = errors.New("the process is dead")

// strike says what happens to the next call to where.
func (l *luck) strike(where string) string {
	l.count[where]++
	switch {
	case l.dead:
		return killed
	case l.how == "" || l.at != where || l.count[where] < l.nth || l.count[where] > l.nth && l.how != down:
		return ""
	}
	l.fired = true
	return l.how
}

// pass lets do happen, or not. Calls go one after the other: that makes histories repeatable.
func (l *luck) pass(where string, do func() error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch how := l.strike(where); how {
	case refused:
		return errors.New("bad luck")
	case denied, down:
		return driver.Errorf(driver.PermissionDenied, "bad luck")
	case panics:
		if strings.HasPrefix(where, sinkOf("")) {
			return errors.New("bad luck") // sinks are ours: they do not panic
		}
		panic("bad luck")
	case interrupts:
		l.stopped = true
		l.interrupt()
		return do()
	case killed:
		l.dead = true
		return errDead
	case lost, killedLate:
		_ = do()
		l.dead = how == killedLate
		return errors.New("bad luck: the answer is lost")
	default:
		return do()
	}
}

// call is a fleet.Intercept.
func (l *luck) call(ctx context.Context, c fleet.Call, do func(ctx context.Context) error) error {
	return l.pass(c.Platform, func() error {
		if err := ctx.Err(); err != nil {
			return err
		}
		if l.sabotage != nil {
			if err := l.sabotage(c); err != nil {
				if errors.Is(err, errUndone) {
					return nil
				}
				return err
			}
		}
		if c.Change != nil {
			l.world.touch()
		}
		err := do(ctx)
		if err == nil && c.Change != nil {
			l.made = append(l.made, *c.Change)
		}
		return err
	})
}

func (l *luck) isDead() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.dead
}

func (l *luck) isStopped() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.stopped
}

// events is what the audit sink has taken, once each.
type events struct {
	mu  sync.Mutex
	all []audit.Event
	ids map[string]bool
	// deaf takes nothing and says that it did.
	deaf bool
}

func newEvents() *events { return &events{ids: map[string]bool{}} }

func (e *events) take(event audit.Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.ids[event.ID] && !e.deaf {
		e.ids[event.ID] = true
		e.all = append(e.all, event)
	}
}

// luckySink is the audit sink as one process sees it.
type luckySink struct{ *luck }

func (s luckySink) Deliver(_ context.Context, e audit.Event) error {
	return s.pass(sinkOf(e.Platform.Name), func() error {
		s.events.take(e)
		return nil
	})
}

func (s luckySink) Close() error { return nil }

// occurrence is what a change and its events have in common.
type occurrence struct {
	activity                            audit.Activity
	platform, account, credential, path string
}

func (e *events) count(outcomes ...audit.Outcome) map[occurrence]int {
	e.mu.Lock()
	defer e.mu.Unlock()
	changes := map[occurrence]map[string]bool{}
	for _, event := range e.all {
		for _, outcome := range outcomes {
			if event.Outcome != outcome {
				continue
			}
			key := occurrence{event.Activity, event.Platform.Name, event.Account.Name, event.Credential, event.Path}
			if changes[key] == nil {
				changes[key] = map[string]bool{}
			}
			changes[key][event.Change] = true
		}
	}
	out := map[occurrence]int{}
	for key := range maps.Keys(changes) {
		out[key] = len(changes[key])
	}
	return out
}

func occurrenceOf(c audit.Change) occurrence {
	return occurrence{c.Activity, c.Platform.Name, c.Account.Name, c.Credential, c.Path}
}
