package acctest

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/nhi-labs/terraform-provider-nhi/internal/audit"
	"github.com/nhi-labs/terraform-provider-nhi/internal/audit/check"
	"github.com/nhi-labs/terraform-provider-nhi/internal/audit/ocsf"
)

// audited is a workspace whose provider writes its evidence to a file, and whose platforms write down what really
// happened on them.
type audited struct {
	*Workspace
	t *testing.T
	c config
}

// newAudited makes a workspace. block goes into the audit block beside the file sink. The test chooses the provider's
// behaviour by sink and kill.
func newAudited(t *testing.T, c config, block string) *audited {
	t.Helper()
	c.extraProvider += "  audit {\n    file {\n      path = \"events.jsonl\"\n    }\n" + block + "  }\n"
	a := &audited{Workspace: c.workspace(t), t: t, c: c}
	a.record()
	return a
}

// record makes the workspace's platforms write down what happens on them.
func (a *audited) record() {
	a.killAfter(0, 0)
	a.Setenv("NHI_ACC_SINK", a.path("sink"))
	a.Setenv("NHI_ACC_CHANGES", a.path("changes"))
	a.sink("up")
}

func (a *audited) path(name string) string { return filepath.Join(a.dir, name) }

// sink makes the sinks behave in a way that killprovider knows.
func (a *audited) sink(mode string) { a.write("sink", mode) }

// lines reads a file of lines; none is no lines.
func (a *audited) lines(name string) []string {
	a.t.Helper()
	lines, err := linesOf(a.path(name))
	if err != nil {
		a.t.Fatal(err)
	}
	return lines
}

// linesOf reads a file of lines; none is no lines.
func linesOf(path string) ([]string, error) {
	content, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	var out []string
	for scan := bufio.NewScanner(bytes.NewReader(content)); scan.Scan(); {
		out = append(out, scan.Text())
	}
	return out, nil
}

// events reads the evidence, each event once.
func (a *audited) events() []audit.Event {
	a.t.Helper()
	events, err := eventsOf(a.lines("events.jsonl"))
	if err != nil {
		a.t.Fatal(err)
	}
	return events
}

// eventsOf reads events, each once. A line that a full disk has cut short is no event.
func eventsOf(lines []string) ([]audit.Event, error) {
	var out []audit.Event
	for _, line := range lines {
		if !json.Valid([]byte(line)) {
			continue
		}
		e, err := ocsf.Decode([]byte(line))
		if err != nil {
			return nil, err
		}
		if !slices.ContainsFunc(out, func(other audit.Event) bool { return other.ID == e.ID }) {
			out = append(out, e)
		}
	}
	return out, nil
}

// happening is a change in the words of the file of changes.
func happening(activity audit.Activity, platform audit.Platform, account audit.Account, path string) string {
	return fmt.Sprint(activity, " ", platform.Name, " ", account.Name+path)
}

// counted counts the changes that events tell of, and those that happened, by their words.
func counted(events []audit.Event, changes []string) (told, happened map[string]int) {
	told, happened = make(map[string]int), make(map[string]int)
	seen := make(map[string]bool)
	for _, e := range events {
		if !seen[e.Change] {
			told[happening(e.Activity, e.Platform, e.Account, e.Path)]++
		}
		seen[e.Change] = true
	}
	for _, line := range changes {
		happened[line]++
	}
	return told, happened
}

// untold lists changes that platforms accepted and no event tells of, and events that do not say where they come from.
func untold(events []audit.Event, changes []string) []string {
	var wrong []string
	for _, e := range events {
		if e.Correlation == "" || e.Resource == "" || e.Identity.Name == "" || e.Stack == "" || e.Actor.Name == "" || e.Platform.Target == "" {
			wrong = append(wrong, fmt.Sprintf("an event that does not say where it comes from: %+v", e))
		}
	}
	told, happened := counted(events, changes)
	for change, n := range happened {
		if told[change] < n {
			wrong = append(wrong, fmt.Sprintf("%d times in evidence, and it happened %d times: %s", told[change], n, change))
		}
	}
	return wrong
}

// complete fails the test unless every change that a platform accepted is in evidence, and every event of a change
// belongs to an operation of the provider. With exact, nothing else is in evidence, and every change's outcome is.
func (a *audited) complete(exact bool) {
	a.t.Helper()
	events, changes := a.events(), a.lines("changes")
	for _, wrong := range untold(events, changes) {
		a.t.Error(wrong)
	}
	if !exact {
		return
	}
	told, happened := counted(events, changes)
	for change, n := range told {
		if happened[change] < n {
			a.t.Errorf("%d times in evidence, and it happened %d times: %s", n, happened[change], change)
		}
	}
	outcomes := make(map[string]audit.Outcome)
	for _, e := range events {
		if outcomes[e.Change] != audit.Succeeded {
			outcomes[e.Change] = e.Outcome
		}
	}
	for change, outcome := range outcomes {
		if outcome == audit.Intended {
			a.t.Errorf("change %s has no outcome", change)
		}
	}
	checkEvents(a.t, a.dir)
}

// checkEvents compares the events of a workspace's file sink with its state.
func checkEvents(t *testing.T, dir string) {
	t.Helper()
	var out bytes.Buffer
	args := []string{"-events", filepath.Join(dir, "events.jsonl"), "-state", filepath.Join(dir, "terraform.tfstate")}
	if exit := check.Command(args, &out, &out); exit != 0 {
		t.Errorf("audit-check: exit code %d\n%s", exit, out.String())
	}
}

// undelivered counts the events that wait in state.
func (a *audited) undelivered() int {
	a.t.Helper()
	content, err := os.ReadFile(a.path("terraform.tfstate"))
	if errors.Is(err, os.ErrNotExist) {
		return 0
	}
	var state struct {
		Resources []struct {
			Instances []struct {
				Attributes struct {
					Undelivered []string `json:"undelivered"`
				} `json:"attributes"`
			} `json:"instances"`
		} `json:"resources"`
	}
	if err == nil {
		err = json.Unmarshal(content, &state)
	}
	if err != nil {
		a.t.Fatal(err)
	}
	n := 0
	for _, r := range state.Resources {
		for _, i := range r.Instances {
			n += len(i.Attributes.Undelivered)
		}
	}
	return n
}

func twoSandboxes(t *testing.T) config {
	return config{stack: "stack", identity: "agent", sites: []*site{sandboxSite(t, "warehouse"), sandboxSite(t, "sap")}, holds: []int{0, 1},
		extraGrant: "  justification = \"CHG-4711\"\n"}
}

// onlyOnce leaves a test to the first CLI: what it is about does not depend on the program that asks.
func onlyOnce() bool { return os.Getenv(envCLI) == "" || os.Getenv(envCLI) == "terraform" }

// Everything that happens on the platforms in the life of an identity is in evidence, once, and one correlation id joins
// what one operation did on all of them. Plans, refreshes and imports are no changes and leave no evidence.
func TestEveryChangeLeavesEvidence(t *testing.T) {
	t.Parallel()
	c := twoSandboxes(t)
	store := sandboxSite(t, "vaultlet")
	w := newAudited(t, c, "")
	rotation := "\nresource \"nhi_rotation\" \"this\" {\n  identity = nhi_identity.this\n  platform = \"warehouse\"\n" +
		"  deliver {\n    platform = \"vaultlet\"\n    path = \"kv/agent\"\n  }\n}\n"
	c = w.c
	c.extraProvider += store.block()
	steps := []config{c, c, c, c}
	steps[1].holds, steps[2].extra, steps[3].extra = []int{1, 2}, "  enabled = false", ""
	for _, step := range steps {
		w.Configure(step.hcl() + rotation)
		before := len(w.events())
		w.Plan(exitChanges)
		if now := len(w.events()); now != before {
			t.Errorf("the plan left %d events", now-before)
		}
		w.Apply()
		w.complete(true)
	}
	held, err := store.secrets().GetSecret(t.Context(), "kv/agent")
	if err != nil {
		t.Fatal(err)
	}
	canary := held.Fields["secret"].Reveal()
	w.Destroy()
	w.complete(true)
	for _, line := range w.lines("events.jsonl") {
		if canary == "" || strings.Contains(line, canary) {
			t.Errorf("the credential %q is in evidence: %s", canary, line)
		}
	}
	joined := make(map[string]map[string]bool)
	seen := make(map[audit.Activity]bool)
	for _, e := range w.events() {
		if joined[e.Correlation] == nil {
			joined[e.Correlation] = make(map[string]bool)
		}
		joined[e.Correlation][e.Platform.Name] = true
		seen[e.Activity] = true
		if e.Resource == "nhi_grant" && (e.Justification != "CHG-4711" || e.Activity == audit.Grant && len(e.After) == 0) {
			t.Errorf("incomplete: %+v", e)
		}
		if e.Identity.Owner != "team@example.com" || e.Identity.Kind != "ai_agent" {
			t.Errorf("incomplete: %+v", e)
		}
	}
	// identity: created, suspended, resumed, destroyed; grant: created, updated twice, destroyed; rotation: created, destroyed.
	if len(joined) != 10 {
		t.Errorf("%d operations: %v", len(joined), joined)
	}
	for correlation, platforms := range joined {
		if len(platforms) != 2 {
			t.Errorf("operation %s was on %v", correlation, platforms)
		}
	}
	for _, activity := range audit.Activities() {
		// Nothing here has another shape than declared, and the sandbox mints no tokens.
		if !seen[activity] && !slices.Contains([]audit.Activity{audit.UpdateAccount, audit.MintToken, audit.RevokeToken}, activity) {
			t.Errorf("no event of %s", activity)
		}
	}
}

// An import changes nothing and leaves no evidence; taking the imported accounts over is a change of each.
func TestEvidenceOfAdoption(t *testing.T) {
	if !onlyOnce() {
		return
	}
	t.Parallel()
	c := twoSandboxes(t)
	c.noGrant = true
	for _, s := range c.sites {
		s.foreign(c.identity)
	}
	w := newAudited(t, c, "")
	w.must(0, "import", "-no-color", "-input=false", "nhi_identity.this", c.identity)
	if events := w.events(); len(events) > 0 {
		t.Errorf("the import left %+v", events)
	}
	w.Apply()
	w.complete(true)
	for _, e := range w.events() {
		if e.Activity != audit.UpdateAccount {
			t.Errorf("%+v", e)
		}
	}
}

// The provider is killed before and after each delivery and after each change, one step later with every round, until a
// round is not killed any more. What happened on the platforms is always in evidence.
func TestKilledRunLeavesEvidence(t *testing.T) {
	if !onlyOnce() {
		return
	}
	t.Parallel()
	c := config{stack: "stack", identity: "agent", sites: []*site{sandboxSite(t, "warehouse")}, holds: []int{0}}
	w := newAudited(t, c, "")
	w.Setenv("NHI_ACC_POINTS", "change,audit")
	stride := 3
	if os.Getenv(envCrash) == "full" {
		stride = 1
	}
	killed := make(map[string]int)
	// run runs a command that is killed after some steps, and checks the evidence before anything else happens.
	run := func(round int, verb string) (done bool) {
		w.killAfter(round, 0)
		r := w.Run(verb, "-no-color", "-input=false", "-auto-approve")
		w.killAfter(0, 0)
		if w.complete(false); t.Failed() {
			t.Fatalf("after the kill in round %d of %s:\n%s", round, verb, r.Output)
		}
		if r.Exit != 0 {
			killed[verb]++
		}
		return r.Exit == 0
	}
	for round, done := 1, false; !done; round += stride {
		if !run(round, "apply") {
			w.ApplyOnly() // takes over what the killed run made
		}
		if done = run(round, "destroy"); !done {
			w.must(0, "destroy", "-no-color", "-input=false", "-auto-approve")
		}
	}
	w.complete(false)
	// Each change has five steps: before and after the intent, the change, before and after the outcome. Here two changes
	// create, and four destroy. make crash tries every one of them.
	if killed["apply"] != (5*2+stride-1)/stride || killed["destroy"] != (5*4+stride-1)/stride {
		t.Errorf("killed %v", killed)
	}
}
