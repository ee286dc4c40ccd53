package acctest

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
)

// Ways to stop a run, as killprovider knows them.
const (
	killed         = "kill"       // SIGKILL to the provider
	interrupted    = "interrupt"  // one SIGINT to the CLI
	interruptedTwo = "interrupt2" // a second one while the first is being served
	// killedOnWire is SIGKILL to the provider while a part of a call is on its way: its points are what passes between the
	// provider and the servers, in either direction.
	killedOnWire = "wire"
)

func ways() []string { return []string{killed, interrupted, interruptedTwo, killedOnWire} }

// try is one cell of the matrix: a scenario is stopped in some way at its point number n, counted from 1.
type try struct {
	scenario, way string
	n             int
}

func (t try) String() string { return fmt.Sprintf("%s/%s/%d", t.scenario, t.way, t.n) }

// matrix hands out tries and counts what came of them. Its methods are safe for concurrent use.
type matrix struct {
	mu     sync.Mutex
	counts map[string]passed
	ahead  map[string][]try
	// stopped counts the tries that did stop their run, by scenario and way; missed are those that found no such point,
	// because fewer steps were needed than in the run that counted.
	stopped map[string]map[string]int
	missed  []try
	failed  int
}

// passed says how many points a run of a scenario has.
type passed struct {
	steps int // of the provider
	wire  int // between provider and servers
}

func (p passed) of(way string) int {
	if way == killedOnWire {
		return p.wire
	}
	return p.steps
}

// newMatrix fills a matrix. choose picks the points of a scenario with n points for one way to stop.
func newMatrix(counts map[string]passed, choose func(scenario, way string, n int) []int) *matrix {
	m := &matrix{counts: counts, ahead: make(map[string][]try), stopped: make(map[string]map[string]int)}
	for scenario, points := range counts {
		m.stopped[scenario] = make(map[string]int)
		for _, way := range ways() {
			for _, point := range choose(scenario, way, points.of(way)) {
				m.ahead[scenario] = append(m.ahead[scenario], try{scenario, way, point})
			}
		}
	}
	return m
}

// everyNth chooses k points from 1 to n, as far apart as can be; shift moves all of them.
func everyNth(n, k, shift int) []int {
	var out []int
	k = min(k, n)
	for i := range k {
		out = append(out, 1+(i*n/k+shift)%n)
	}
	slices.Sort(out)
	return out
}

// next takes the next try of a scenario; the zero try, which stops nothing, if none is left.
func (m *matrix) next(scenario string) try {
	m.mu.Lock()
	defer m.mu.Unlock()
	left := m.ahead[scenario]
	if len(left) == 0 {
		return try{scenario: scenario}
	}
	m.ahead[scenario] = left[1:]
	return left[0]
}

// left is how many tries of scenarios are to be made.
func (m *matrix) left(scenarios ...string) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := 0
	for _, scenario := range scenarios {
		n += len(m.ahead[scenario])
	}
	return n
}

// done notes what came of a try.
func (m *matrix) done(t try, stopped bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if stopped {
		m.stopped[t.scenario][t.way]++
		return
	}
	m.missed = append(m.missed, t)
}

// tries is how many tries were made.
func (m *matrix) tries() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := len(m.missed)
	for _, byWay := range m.stopped {
		for _, some := range byWay {
			n += some
		}
	}
	return n
}

// lived notes how a life ended.
func (m *matrix) lived(well bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !well {
		m.failed++
	}
}

// failures is how many lives have ended badly.
func (m *matrix) failures() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.failed
}

// String is the table of results.
func (m *matrix) String() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var b strings.Builder
	fmt.Fprintf(&b, "%-10s", "scenario")
	for _, way := range ways() {
		fmt.Fprintf(&b, " %14s", way)
	}
	points, stopped := 0, 0
	for _, scenario := range scenarios() {
		fmt.Fprintf(&b, "\n%-10s", scenario)
		for _, way := range ways() {
			there, done := m.counts[scenario].of(way), m.stopped[scenario][way]
			fmt.Fprintf(&b, " %14s", fmt.Sprintf("%d of %d", done, there))
			points, stopped = points+there, stopped+done
		}
	}
	fmt.Fprintf(&b, "\n%d runs stopped of %d possible; %d found no such point %v; %d failed", stopped, points, len(m.missed), m.missed, m.failed)
	return b.String()
}

// Whatever the seed, as many different points are chosen as are asked for, and all if that many.
func TestSpread(t *testing.T) {
	for n := range 40 {
		for k := range 45 {
			for shift := range 50 {
				got := slices.Compact(everyNth(n, k, shift))
				if len(got) != min(k, n) || len(got) > 0 && (got[0] < 1 || got[len(got)-1] > n) {
					t.Fatalf("%d of %d points, shifted by %d: %v", k, n, shift, got)
				}
			}
		}
	}
}
