package acctest

import (
	"cmp"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const (
	// usualFaults is how many plans, and how many applies, are tried under a fault unless the environment says otherwise,
	// and usualBeds how many lives are lived at once meanwhile.
	usualFaults, usualBeds = 16, 4
	// appliesUntilEqual is how many applies may be needed once the fault is gone.
	appliesUntilEqual = 1
)

// No fault is read as absence, and once it is gone the next apply makes the platforms equal to the configuration, with
// evidence of every change. A fault begins with each request that the provider makes while it plans or applies; which of
// them are tried is explained in CONTRIBUTING.md. The servers are real, and the provider runs in the test's process.
func TestFaultMatrix(t *testing.T) {
	if !onlyOnce() {
		return
	}
	t.Parallel()
	beds, err := strconv.Atoi(cmp.Or(os.Getenv(envFaultBeds), strconv.Itoa(usualBeds)))
	if err != nil {
		t.Fatal(err)
	}
	b := newFaultCore(t)
	all := b.points(b.countRequests())
	points := spread(all, faultSeed(t), wanted(t, envFaultPoints, usualFaults, len(all)))
	t.Logf("seed %d: %d of the %d points of the matrix", faultSeed(t), len(points), len(all))
	report := newFaultReport()
	t.Cleanup(func() { report.log(t) })
	for i := range beds {
		t.Run("bed"+strconv.Itoa(i), func(t *testing.T) {
			t.Parallel()
			newFaultCore(t).live(share(points, i, beds), report)
		})
	}
}

// The same from outside: the real CLI and the real provider binary, with a fault in one plan and one apply of each step. Here
// names can be gone and a disk can be full, too.
func TestFaultsOutside(t *testing.T) {
	if !onlyOnce() {
		return
	}
	t.Parallel()
	counts := newFaultCore(t).countRequests()
	b := newFaultCLI(t)
	all := b.points(counts)
	points := spread(all, faultSeed(t), wanted(t, envFaultOutside, len(faultLife())-1, len(all)))
	t.Logf("seed %d: %d of the %d points of the matrix", faultSeed(t), len(points), len(all))
	report := newFaultReport()
	b.live(points, report)
	report.log(t)
}

// requestCounts is how many requests each platform gets during a command of a step.
type requestCounts map[string]map[string]int // "step/verb", platform

// countRequests lives a life without faults.
func (b *faultBed) countRequests() requestCounts {
	b.t.Helper()
	counts := make(requestCounts)
	for _, step := range faultLife() {
		b.begin(step)
		commands := map[string]func(faultStep) faultRun{"plan": b.runner.plan, "apply": b.runner.apply}
		for _, verb := range []string{"plan", "apply"} {
			if run := commands[verb](step); run.failed || len(run.broken) > 0 {
				b.t.Fatalf("%s without a fault: %v\n%s", step.name, run.broken, run.output)
			}
			key := step.name + "/" + verb
			counts[key] = make(map[string]int)
			for platform, l := range b.links {
				counts[key][platform] = l.requests()
				l.heal()
			}
		}
		if wrong := b.settled(step); len(wrong) > 0 {
			b.t.Fatalf("%s without a fault: %s", step.name, strings.Join(wrong, "\n"))
		}
	}
	return counts
}

// live lives until every point had its turn: in each life every step has some faults while it is planned, and one while it
// is applied.
func (b *faultBed) live(points []faultPoint, report *faultReport) {
	b.t.Helper()
	waiting := make(map[string][]faultPoint)
	for _, p := range points {
		waiting[p.step+"/"+p.verb] = append(waiting[p.step+"/"+p.verb], p)
	}
	take := func(key string, n int) []faultPoint {
		n = min(n, len(waiting[key]))
		taken := waiting[key][:n]
		waiting[key] = waiting[key][n:]
		return taken
	}
	for left := len(points); left > 0; {
		lives := 1
		for _, step := range faultLife() {
			lives = max(lives, len(waiting[step.name+"/apply"]))
		}
		for _, step := range stepsFor(waiting) {
			b.begin(step)
			plans := take(step.name+"/plan", (len(waiting[step.name+"/plan"])+lives-1)/lives)
			for _, p := range plans {
				b.planUnder(step, p, report)
			}
			applies := take(step.name+"/apply", 1)
			left -= len(plans) + len(applies)
			if len(applies) == 0 {
				b.applyWithout(step)
			} else if !b.applyUnder(step, applies[0], report) {
				b.runner.forget()
				b.wipe()
				break
			}
		}
	}
}

// stepsFor is a life without the steps that no point waits for any more, as far as what comes after them does not build on
// them. Steps have different numbers of points, and a step without a fault costs as much as one with.
func stepsFor(waiting map[string][]faultPoint) []faultStep {
	var steps []faultStep
	life := faultLife()
	for len(life) > 0 {
		removal := slices.IndexFunc(life, func(s faultStep) bool { return s.destroy })
		first, between, last := life[0], life[1:removal], life[removal]
		waits := func(s faultStep) bool { return len(waiting[s.name+"/plan"])+len(waiting[s.name+"/apply"]) > 0 }
		for len(between) > 0 && !waits(between[len(between)-1]) {
			between = between[:len(between)-1]
		}
		if len(between) > 0 || waits(first) || waits(last) {
			steps = append(append(append(steps, first), between...), last)
		}
		life = life[removal+1:]
	}
	return steps
}

// arm makes the point's fault wait for its request.
func (b *faultBed) arm(p faultPoint) {
	if p.fault.only == onDisk {
		b.runner.disk(p.at * diskPage)
		return
	}
	b.links[p.platform].arm(p.fault, p.at)
}

// heal ends the point's fault and reports whether it struck. Whether a full disk did is not known.
func (b *faultBed) heal(p faultPoint) bool {
	if p.fault.only == onDisk {
		b.runner.disk(0)
		return true
	}
	return b.links[p.platform].heal() > 0
}

// judge reports what a point brought to light.
func (b *faultBed) judge(report *faultReport, p faultPoint, outcome string, wrong []string, output string) {
	if progress := report.count(p, outcome, len(wrong) > 0); progress != "" {
		b.t.Log(progress)
	}
	if len(wrong) > 0 {
		b.t.Errorf("%s: %s\n%s", p, strings.Join(wrong, "\n"), output)
	}
}

// outcome says what came of a run under a fault, and what is wrong with that.
func outcome(p faultPoint, run faultRun, struck bool) (string, []string) {
	wrong := run.broken
	switch {
	case run.failed && (!struck || p.fault.harmless):
		return failed, append(wrong, "it failed")
	case run.failed:
		return failed, wrong
	case struck:
		return withstood, wrong
	default:
		return notReached, wrong
	}
}

// planUnder plans under the fault: the plan fails, or it takes nothing for absent. It changes nothing.
func (b *faultBed) planUnder(step faultStep, p faultPoint, report *faultReport) {
	b.t.Helper()
	before, state := b.observe(), b.runner.state()
	b.arm(p)
	run := b.runner.plan(step)
	result, wrong := outcome(p, run, b.heal(p))
	if result == withstood {
		wrong = append(wrong, b.absence(step, state, before)...)
		if step.name == "refresh" && !run.empty {
			wrong = append(wrong, "there is nothing to do, and the plan is not empty")
		}
	}
	wrong = append(wrong, changed(before, b.observe())...)
	b.judge(report, p, result, wrong, run.output)
}

// absence looks for what the plan that was kept takes for absent.
func (b *faultBed) absence(step faultStep, state State, there observed) []string {
	b.t.Helper()
	reading, err := b.runner.reading()
	if err != nil {
		return []string{err.Error()}
	}
	return reading.absence(state, there, step.imports)
}

// changed lists the platforms that a plan has changed.
func changed(before, after observed) []string {
	var texts []string
	for _, platform := range slices.Sorted(maps.Keys(before)) {
		if fmt.Sprint(before[platform]) != fmt.Sprint(after[platform]) {
			texts = append(texts, fmt.Sprintf("%s was changed by a plan: from %+v to %+v", platform, before[platform], after[platform]))
		}
	}
	if len(before) != len(after) {
		texts = append(texts, fmt.Sprintf("accounts before the plan %v, and after it %v", before, after))
	}
	return texts
}

// applyWithout applies the step without a fault.
func (b *faultBed) applyWithout(step faultStep) {
	b.t.Helper()
	run := b.runner.again(step)
	if wrong := append(run.broken, b.settled(step)...); run.failed || len(wrong) > 0 {
		b.t.Fatalf("%s without a fault: %v\n%s", step.name, wrong, run.output)
	}
}

// applyUnder applies the step under the fault, and then without, until the platforms equal the configuration. It reports
// whether they do.
func (b *faultBed) applyUnder(step faultStep, p faultPoint, report *faultReport) bool {
	b.t.Helper()
	before := b.observe()
	if run := b.runner.plan(step); run.failed {
		b.t.Fatalf("%s without a fault:\n%s", step.name, run.output)
	}
	b.arm(p)
	run := b.runner.apply(step)
	var lies []string
	if run.failed && p.fault.times == 0 {
		lies = b.planAfter(step)
	}
	result, wrong := outcome(p, run, b.heal(p))
	wrong = append(wrong, lies...)
	if step.inUse {
		wrong = append(wrong, b.callers()...)
	}
	output, left := b.settle(step, run, report)
	wrong = append(wrong, left...)
	wrong = append(wrong, b.unevidenced(before, b.observe())...)
	b.judge(report, p, result, wrong, "under the fault:\n"+run.output+"\nafter it:\n"+output)
	return len(left) == 0
}

// planAfter plans what an apply under a fault has left, while the fault is still there.
func (b *faultBed) planAfter(step faultStep) []string {
	b.t.Helper()
	state, there := b.runner.state(), b.observe()
	run := b.runner.plan(step)
	if run.failed {
		return run.broken
	}
	return append(run.broken, b.absence(step, state, there)...)
}

// settle applies until there is nothing left to do, and returns what is still wrong then.
func (b *faultBed) settle(step faultStep, last faultRun, report *faultReport) (output string, wrong []string) {
	b.t.Helper()
	for applies := 0; ; applies++ {
		if !last.failed {
			plan := b.runner.plan(step)
			wrong = append(wrong, plan.broken...)
			if plan.empty {
				report.settled(applies)
				return output, append(wrong, b.settled(step)...)
			}
			output += plan.output
		}
		if applies == appliesUntilEqual {
			return output, append(wrong, fmt.Sprintf("%d applies without a fault are not enough", applies))
		}
		last = b.runner.again(step)
		output += last.output
		wrong = append(wrong, last.broken...)
	}
}
