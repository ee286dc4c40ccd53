package acctest

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

const (
	// envFaultPoints is how many plans and how many applies are tried, spread evenly over faults and steps; "all" is every
	// one. envFaultOutside is the same for the runs of the CLI.
	envFaultPoints  = "NHI_FAULT_POINTS"
	envFaultOutside = "NHI_FAULT_OUTSIDE"
	// envFaultSeed chooses which points these are.
	envFaultSeed = "NHI_FAULT_SEED"
	// envFaultOnly runs only points whose name contains it.
	envFaultOnly = "NHI_FAULT_ONLY"
	// envFaultBeds is how many lives are lived at once.
	envFaultBeds = "NHI_FAULT_BEDS"

	// diskPages is in how many sizes the disk of the sandbox comes, and diskPage the difference.
	diskPages, diskPage = 44, 4096
)

// faultPoint is a fault that begins with one request of one command.
type faultPoint struct {
	step, verb string
	platform   string
	fault      *fault
	at         int
}

func (p faultPoint) String() string {
	return fmt.Sprintf("%s/%s/%s/%s/%d", p.step, p.verb, p.platform, p.fault.name, p.at)
}

// faultSeed is what the choice of points depends on.
func faultSeed(t *testing.T) uint64 {
	t.Helper()
	text := os.Getenv(envFaultSeed)
	if text == "" {
		return 1
	}
	seed, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return seed
}

// wanted is how many points are asked for: the usual number, unless a variable of the environment says otherwise.
func wanted(t *testing.T, variable string, usual, all int) int {
	t.Helper()
	switch text := os.Getenv(variable); text {
	case "":
		return usual
	case "all":
		return all
	default:
		n, err := strconv.Atoi(text)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
}

// points lists the whole matrix, as far as the bed has it: an address has no name that could be gone, and the disk of the
// test's own process is not to be full.
func (b *faultBed) points(counts requestCounts) []faultPoint {
	_, outside := b.runner.(*faultCLI)
	var all []faultPoint
	for _, step := range faultLife() {
		for _, verb := range []string{"plan", "apply"} {
			add := func(platform string, f *fault, n int) {
				for i := range n {
					all = append(all, faultPoint{step: step.name, verb: verb, platform: platform, fault: f, at: i + 1})
				}
			}
			for _, platform := range slices.Sorted(maps.Keys(b.links)) {
				for _, f := range faults() {
					if f.of(platform) && (outside || !f.outside) {
						add(platform, f, counts[step.name+"/"+verb][platform])
					}
				}
			}
			if outside {
				add("vaultlet", diskFull(), diskPages)
			}
		}
	}
	return only(all)
}

// only leaves the points that the environment asks for.
func only(points []faultPoint) []faultPoint {
	part := os.Getenv(envFaultOnly)
	return slices.DeleteFunc(points, func(p faultPoint) bool { return !strings.Contains(p.String(), part) })
}

// shuffled returns the points in an order that depends on the seed alone.
func shuffled(points []faultPoint, seed uint64) []faultPoint {
	random := rand.New(rand.NewPCG(seed, seed)) //nolint:gosec // not a secret
	points = slices.Clone(points)
	random.Shuffle(len(points), func(i, j int) { points[i], points[j] = points[j], points[i] })
	return points
}

// spread chooses as many plans and as many applies as wanted, so that each fault, and for each fault each step, comes as
// often as the others.
func spread(all []faultPoint, seed uint64, wanted int) []faultPoint {
	var out []faultPoint
	for _, verb := range []string{"plan", "apply"} {
		of := slices.DeleteFunc(shuffled(all, seed), func(p faultPoint) bool { return p.verb != verb })
		out = append(out, even(of, wanted)...)
	}
	return out
}

// even takes up to n points, each time the first one whose fault and step were taken least.
func even(from []faultPoint, n int) []faultPoint {
	if n >= len(from) {
		return from
	}
	perFault, perStep, perBoth := make(map[string]int), make(map[string]int), make(map[string]int)
	rank := func(p faultPoint) []int {
		return []int{perStep[p.step], perFault[p.fault.name], perBoth[p.step+p.fault.name]}
	}
	var out []faultPoint
	for range n {
		best := 0
		for i := range from {
			if slices.Compare(rank(from[i]), rank(from[best])) < 0 {
				best = i
			}
		}
		p := from[best]
		from = slices.Delete(from, best, best+1)
		perFault[p.fault.name]++
		perStep[p.step]++
		perBoth[p.step+p.fault.name]++
		out = append(out, p)
	}
	return out
}

// share is the part of one of several.
func share(points []faultPoint, i, of int) []faultPoint {
	var out []faultPoint
	for n, p := range points {
		if n%of == i {
			out = append(out, p)
		}
	}
	return out
}

// faultReport counts what came of the points, and the time that they took.
type faultReport struct {
	mu       sync.Mutex
	begin    time.Duration
	outcomes map[string]int // "plan failed"
	perFault map[string]int
	applies  map[int]int // how many applies were needed after the fault
	done     int
	wrong    int
}

func newFaultReport() *faultReport {
	return &faultReport{begin: cpu(), outcomes: make(map[string]int), perFault: make(map[string]int), applies: make(map[int]int)}
}

// Outcomes of a point.
const (
	notReached = "not reached"
	failed     = "failed"
	withstood  = "withstood"
)

// someFaults is after how many points a long run shows that it goes on.
const someFaults = 250

// count notes what came of a point. It returns a line to print from time to time, and else "".
func (r *faultReport) count(p faultPoint, outcome string, wrong bool) (progress string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.outcomes[p.verb+" "+outcome]++
	if outcome != notReached {
		r.perFault[p.fault.name]++
	}
	if wrong {
		r.wrong++
	}
	if r.done++; r.done%someFaults == 0 {
		progress = fmt.Sprintf("%d points so far, %d of them wrong", r.done, r.wrong)
	}
	return progress
}

// settled counts a point after which so many applies were needed.
func (r *faultReport) settled(applies int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.applies[applies]++
}

func (r *faultReport) log(t *testing.T) {
	r.mu.Lock()
	defer r.mu.Unlock()
	t.Logf("points: %v, wrong: %d, applies after the fault: %v, CPU time of this process and its commands: %s",
		r.outcomes, r.wrong, r.applies, (cpu() - r.begin).Round(time.Second))
	t.Logf("points per fault: %v", r.perFault)
}

// cpu is what this process and the commands that it ran have used.
func cpu() time.Duration {
	var sum time.Duration
	for _, who := range []int{syscall.RUSAGE_SELF, syscall.RUSAGE_CHILDREN} {
		var usage syscall.Rusage
		if syscall.Getrusage(who, &usage) == nil {
			sum += time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
		}
	}
	return sum
}
