package acctest

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// world is one identity with its platforms, from its creation to its end.
type world struct {
	*audited
	r       rotations
	clock   time.Duration
	clients []*client
	wire    wire
	// lost is set when the CLI has lost its state: the second interrupt hit it while it wrote the local file. What is there
	// is then found by its mark, which takes two applies, because a new grant only adds; and a new rotation looks at what a
	// suspended account has when it is resumed.
	lost bool
	// What the configuration wants.
	there, suspended, rotation bool
}

// newWorld makes a world without the identity.
func newWorld(t *testing.T, sites func(t *testing.T, watch func()) []*site) *world {
	t.Helper()
	w := &world{}
	all := sites(t, w.onWire)
	r := newRotations(t, all)
	r.noGrant, r.holds, r.stores, r.pace = false, []int{0, 1}, all[1:], 250*time.Millisecond
	r.extraProvider += "  audit {\n    file {\n      path = \"events.jsonl\"\n    }\n  }\n"
	w.r, w.audited = r, &audited{Workspace: r.workspace(t), t: t, c: r.config}
	w.record()
	w.Setenv("NHI_ACC_POINTS", "call,audit,rpc")
	w.Setenv("NHI_ACC_TRACE", w.path("trace"))
	return w
}

// step brings the configuration to where a scenario leads.
func (w *world) step(scenario string) {
	w.t.Helper()
	hcl := ""
	switch scenario {
	case scenarioCreate:
		w.there, w.rotation = true, true
	case scenarioImport:
		w.there = true
		for _, s := range w.r.sites {
			s.foreign(w.r.identity, s.texts(w.r.holds...)...)
		}
		for _, resource := range []string{"nhi_identity", "nhi_grant"} {
			hcl += "import {\n  to = " + resource + ".this\n  id = \"" + w.r.identity + "\"\n}\n"
		}
	case scenarioGrants:
		w.r.holds = map[int][]int{0: {1, 2}, 1: {0, 1}}[w.r.holds[0]]
	case scenarioRotate:
		w.clock += cycle
	case scenarioSuspend:
		w.suspended = true
	case scenarioResume:
		w.suspended = false
	case scenarioDestroy:
		w.there, w.rotation = false, false
		return
	}
	w.r.extra = ""
	if w.suspended {
		w.r.extra = "  enabled = false"
	}
	hcl += w.r.config.hcl()
	if w.rotation {
		hcl += w.r.rotation(w.r.sites[0])
	}
	w.Configure(hcl)
}

// call runs the program for a scenario.
func (w *world) call(scenario string) Result {
	w.t.Helper()
	verb := "apply"
	if scenario == scenarioDestroy {
		verb = "destroy"
	}
	return w.Run(verb, "-no-color", "-input=false", "-auto-approve")
}

// take goes through one scenario, which is stopped as t says, and finishes it with one more apply. It fails the test
// unless everything is then as it must be. It returns which points the run has if nothing stops it.
func (w *world) take(m *matrix, t try) passed {
	w.t.Helper()
	w.meet(t.scenario)
	w.step(t.scenario)
	if w.lost {
		w.ApplyOnly()
	}
	w.write("trace", "")
	first, points := w.stop(t)
	stopped, at := t.n > 0 && points.of(t.way) >= t.n, w.at(t)
	if t.n > 0 {
		m.done(t, stopped)
		w.t.Logf("%s at %q", t, at)
	}
	if w.complete(false); !stopped && first.Exit != 0 {
		w.t.Errorf("exit code %d without being stopped", first.Exit)
	}
	second := Result{}
	if stopped && !w.t.Failed() {
		second = w.finish(t.scenario)
	}
	if !w.t.Failed() && second.Exit == 0 {
		w.settled()
	}
	w.lost = w.lost && w.suspended
	if second.Exit != 0 || w.t.Failed() {
		w.t.Fatalf("%s, at %q\nfirst:\n%s\nthen:\n%s", t, at, first.Output, second.Output)
	}
	return points
}

// finish applies once more what was stopped, or twice.
func (w *world) finish(scenario string) Result {
	w.t.Helper()
	if file, err := os.Stat(w.path("terraform.tfstate")); err == nil && file.Size() == 0 {
		w.t.Logf("%s: the CLI has lost its state", scenario)
		w.lost = true
	}
	if w.lost {
		for range 2 {
			w.ApplyOnly() // for destroy too: nothing is known that could be destroyed
		}
	}
	return w.call(scenario)
}

// stop runs the program for a scenario and stops it as t says, if it comes that far. It returns what points it passed.
func (w *world) stop(t try) (Result, passed) {
	w.t.Helper()
	steps, wire := t.n, 0
	if t.way == killedOnWire {
		steps, wire = 0, t.n
	}
	w.Setenv("NHI_ACC_STOP", t.way)
	w.killAfter(steps, w.clock)
	w.wire.start(wire)
	r := w.call(t.scenario)
	w.ended()
	points := passed{steps: steps - w.left(), wire: w.wire.passed()}
	w.wire.start(0) // one that was not reached stops nothing that comes after
	w.killAfter(0, w.clock)
	return r, points
}

// wire counts what passes between the provider and the servers.
type wire struct {
	mu    sync.Mutex
	n, at int
}

func (x *wire) start(at int) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.n, x.at = 0, at
}

func (x *wire) passed() int {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.n
}

// onWire is one point. At the chosen one the provider is gone before what is under way arrives.
func (w *world) onWire() {
	w.wire.mu.Lock()
	defer w.wire.mu.Unlock()
	w.wire.n++
	if w.wire.n != w.wire.at {
		return
	}
	pids := w.pids() // who asks has passed a point before
	if err := syscall.Kill(pids[len(pids)-1], syscall.SIGKILL); err != nil {
		w.t.Errorf("kill the provider: %v", err)
	}
	time.Sleep(100 * time.Millisecond) // its connections are closed first
}

// imported reports whether the identity is one that somebody else had made.
func (w *world) imported() bool { return w.there && !w.rotation }

// at is the point of the last run at which t stopped it; on the wire, the one before.
func (w *world) at(t try) string {
	w.t.Helper()
	trace := w.lines("trace")
	if t.way != killedOnWire {
		trace = trace[:min(t.n, len(trace))]
	}
	if len(trace) == 0 {
		return ""
	}
	return trace[len(trace)-1]
}

// meet lets clients come and go: while the identity is made, suspended or going away, they have no business. A creation that
// is interrupted is taken back.
func (w *world) meet(scenario string) {
	w.t.Helper()
	switch scenario {
	case scenarioGrants, scenarioRotate:
		if len(w.clients) > 0 {
			return
		}
		for _, store := range w.r.stores {
			w.clients = append(w.clients, w.r.startClient(w.t, w.r.sites[0], store))
		}
	default:
		for _, c := range w.clients {
			c.finish(w.t)
		}
		w.clients = nil
	}
}

// left reads how many points were left.
func (w *world) left() int {
	w.t.Helper()
	content, err := os.ReadFile(w.path("kill"))
	if err != nil {
		w.t.Fatal(err)
	}
	n, err := strconv.Atoi(string(content))
	if err != nil {
		w.t.Fatal(err)
	}
	return n
}

// pids are the processes of the provider, one for each point of the last run.
func (w *world) pids() []int {
	w.t.Helper()
	var out []int
	for _, line := range w.lines("trace") {
		text, _, _ := strings.Cut(line, " ")
		pid, err := strconv.Atoi(text)
		if err != nil {
			w.t.Fatal(err)
		}
		out = append(out, pid)
	}
	return out
}

// ended waits for the provider's processes. The program that was interrupted twice does not.
func (w *world) ended() {
	w.t.Helper()
	deadline := time.Now().Add(time.Minute)
	for _, pid := range slices.Compact(w.pids()) {
		for !errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
			if time.Now().After(deadline) {
				w.t.Fatalf("a provider outlives the run that started it: process %d", pid)
			}
			time.Sleep(10 * time.Millisecond)
		}
	}
}

// count goes through all scenarios once and returns how many points each has.
func (w *world) count() map[string]passed {
	w.t.Helper()
	points := make(map[string]passed)
	for _, scenario := range []string{scenarioImport, "", scenarioCreate, scenarioRotate, scenarioGrants, scenarioRotate, scenarioSuspend,
		scenarioResume, scenarioDestroy} {
		if scenario == "" {
			w.forget()
			continue
		}
		// The second rotation counts: it has a previous credential to retire.
		points[scenario] = w.take(nil, try{scenario: scenario})
	}
	return points
}

// live is one life, in which tries of the matrix are made as they come.
func (w *world) live(m *matrix) {
	w.t.Helper()
	if t := m.next(scenarioImport); t.n > 0 {
		w.take(m, t)
		w.forget()
	}
	changes := []string{scenarioGrants, scenarioSuspend, scenarioResume}
	if m.left(append(changes, scenarioCreate, scenarioDestroy, scenarioRotate)...) == 0 {
		return
	}
	w.take(m, m.next(scenarioCreate))
	// What needs no new life waits for the last ones, which are long.
	long := m.left(scenarioCreate, scenarioDestroy) <= 2*lanes
	for round := 0; m.left(changes...) > 0 && (round == 0 || long && round < 10); round++ {
		w.change(m)
	}
	if long && m.left(scenarioRotate) > 0 {
		w.take(m, try{scenario: scenarioRotate}) // from now on there is a previous credential to retire as well
		for round := 0; m.left(scenarioRotate) > 0 && round < 10; round++ {
			w.take(m, m.next(scenarioRotate))
		}
	}
	w.take(m, m.next(scenarioDestroy))
}

// change is one round of changes.
func (w *world) change(m *matrix) {
	w.t.Helper()
	if t := m.next(scenarioGrants); t.n > 0 {
		w.take(m, t)
	}
	if m.left(scenarioSuspend, scenarioResume) > 0 {
		w.take(m, m.next(scenarioSuspend))
		w.take(m, m.next(scenarioResume))
	}
}

// forget takes an imported identity away by hand, and its state.
func (w *world) forget() {
	w.t.Helper()
	for _, s := range w.r.sites {
		s.deleteByHand(w.r.identity)
	}
	for _, name := range []string{"terraform.tfstate", "terraform.tfstate.backup", "events.jsonl", "changes"} {
		if err := os.Remove(filepath.Join(w.dir, name)); err != nil && !errors.Is(err, os.ErrNotExist) {
			w.t.Fatal(err)
		}
	}
	w.there = false
}
