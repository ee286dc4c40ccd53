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

// A sink that is down, or loses its acknowledgements, or does not answer, holds up nothing: neither what is given nor
// what is taken away. What it did not take waits in state, is shown by the next plan, and goes out as soon as it can.
func TestSinkFails(t *testing.T) {
	if !onlyOnce() {
		return
	}
	for _, mode := range []string{"down", "lost", "hang", "after 3"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			w := newAudited(t, twoSandboxes(t), "")
			c := w.c
			w.sink(mode)
			w.ApplyOnly().Has(t, "Audit events wait")
			for _, s := range c.sites {
				s.holds(c.identity, s.texts(0, 1)...)
			}
			waiting := w.undelivered()
			w.Plan(exitChanges).Has(t, "for sink \\\"file\\\"") // in pending, quoted by the CLI
			w.Plan(exitChanges, "-refresh=false")
			if waiting == 0 || w.undelivered() != waiting {
				t.Errorf("%d events wait, and after a plan %d", waiting, w.undelivered())
			}
			w.sink("up")
			w.Apply()
			w.complete(false)
			if n := w.undelivered(); n > 0 {
				t.Errorf("%d events still wait", n)
			}

			// The whole offboarding, with a sink that fails again.
			w.sink(mode)
			w.DestroyFails().Has(t, "All access of identity \"agent\" is gone", "retired_sinks")
			for _, s := range c.sites {
				s.gone(c.identity)
			}
			if left := w.State().Resources; len(left) != 1 || left[0].Type != "nhi_identity" {
				t.Errorf("in state: %+v", left)
			}
			w.sink("up")
			w.Destroy()
			w.complete(false)
		})
	}
}

// A grant that names its identity by a text is deleted at the same time as that. No evidence is lost between the two.
func TestGrantBesideItsIdentityKeepsItsEvidence(t *testing.T) {
	if !onlyOnce() {
		return
	}
	t.Parallel()
	c := twoSandboxes(t)
	c.noGrant = true
	w := newAudited(t, c, "")
	w.ApplyOnly()
	c = w.c
	c.noGrant = false
	w.Configure(strings.Replace(c.hcl(), "identity = nhi_identity.this", "identity = { name = \"agent\", account_names = {} }", 1))
	w.Apply()
	w.sink("down")
	w.DestroyFails().Has(t, "Audit events wait")
	for _, s := range c.sites {
		s.gone(c.identity)
	}
	w.sink("up")
	w.Destroy()
	w.complete(false)
}

// A grant that goes alone, while its sink is down, stays in state until its evidence is out. Nothing else would keep it.
func TestGrantAloneKeepsItsEvidence(t *testing.T) {
	t.Parallel()
	w := newAudited(t, twoSandboxes(t), "")
	c := w.c
	w.Apply()
	c.noGrant = true
	w.Configure(c.hcl())
	w.sink("down")
	w.ApplyFails().Has(t, "All access of the grant of \"agent\" is gone")
	for _, s := range c.sites {
		s.holds(c.identity)
	}
	w.DestroyFails("-target=nhi_grant.this").Has(t, "for sink \"file\"")
	w.sink("up")
	w.Apply()
	w.complete(false)
	if n := w.undelivered(); n > 0 {
		t.Errorf("%d events still wait", n)
	}
}

// A creation that failed and was taken back stays in state while its evidence waits, and the next apply goes on.
func TestFailedCreationKeepsItsEvidence(t *testing.T) {
	if !onlyOnce() {
		return
	}
	t.Parallel()
	w := newAudited(t, twoSandboxes(t), "")
	c := w.c
	c.noGrant = true
	w.Configure(c.hcl())
	w.ApplyOnly()
	c.noGrant = false
	w.Configure(c.hcl())
	w.must(0, "plan", "-no-color", "-input=false", "-out=plan")
	c.sites[1].deleteByHand(c.identity)
	w.sink("down")
	w.must(exitError, "apply", "-no-color", "-input=false", "plan").Has(t, "Unable to create the grant", "Audit events wait")
	c.sites[0].holds(c.identity)
	if n := w.undelivered(); n != 2 { // granted, and taken back
		t.Errorf("%d events wait", n)
	}
	w.sink("up")
	w.Apply()
	w.complete(false)
	if n := w.undelivered(); n > 0 {
		t.Errorf("%d events still wait", n)
	}
}

// With required, a sink that takes nothing keeps every platform untouched, for whatever is planned.
func TestRequiredEvidence(t *testing.T) {
	if !onlyOnce() {
		return
	}
	t.Parallel()
	w := newAudited(t, twoSandboxes(t), "    required = true\n")
	c := w.c
	w.sink("down")
	w.ApplyFails().Has(t, `the audit sink "file" did not acknowledge`, "nothing was changed")
	w.sink("up")
	w.Apply()
	before := w.lines("changes")
	w.sink("down")
	for _, change := range []config{{holds: []int{2}}, {holds: []int{0, 1}, extra: "  enabled = false"}} {
		next := c
		next.holds, next.extra = change.holds, change.extra
		w.Configure(next.hcl())
		w.ApplyFails().Has(t, `the audit sink "file" did not acknowledge`)
	}
	w.DestroyFails().Has(t, `the audit sink "file" did not acknowledge`)
	if now := w.lines("changes"); len(now) != len(before) {
		t.Errorf("changed without evidence: %v", now[len(before):])
	}
	for _, s := range c.sites {
		s.holds(c.identity, s.texts(0, 1)...)
	}
	w.sink("up")
	w.Destroy()
	w.complete(true)
}

// A sink that went away with events waiting for it: the plan says how to let them go.
func TestRetiredSink(t *testing.T) {
	if !onlyOnce() {
		return
	}
	t.Parallel()
	w := newAudited(t, twoSandboxes(t), "")
	c := w.c
	w.sink("down")
	w.ApplyOnly()
	w.sink("up")
	c.extraProvider = strings.Replace(c.extraProvider, "file {", "file {\n      name = \"other\"", 1)
	w.Configure(c.hcl())
	w.Plan(exitChanges).Has(t, "wait for a sink that is not configured", "retired_sinks")
	c.extraProvider += "  retired_sinks = [\"file\"]\n"
	w.Configure(c.hcl())
	w.Apply()
	if n := w.undelivered(); n > 0 {
		t.Errorf("%d events still wait", n)
	}
	w.Destroy()
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
