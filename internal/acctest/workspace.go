// Package acctest drives the real CLI with the real provider binary against real servers. Its tests run once per CLI:
// the environment variable NHI_ACC_CLI chooses terraform (the default), terraform_new or opentofu.
package acctest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nhi-labs/terraform-provider-nhi/internal/testenv"
)

const (
	envCLI    = "NHI_ACC_CLI"
	envBinary = "NHI_PROVIDER_BINARY"

	// Exit codes of plan -detailed-exitcode.
	exitEmpty   = 0
	exitError   = 1
	exitChanges = 2
)

// Workspace is a directory with a configuration, its state, and a CLI that uses the provider built from this checkout.
type Workspace struct {
	t   testing.TB
	dir string
	cli string
	env []string
}

// Result is what one command of the CLI did.
type Result struct {
	Exit int
	// Output is standard output and standard error together, without colours.
	Output string
}

// NewWorkspace makes an empty workspace. env is added to the CLI's environment, as "NAME=value".
func NewWorkspace(t testing.TB, env ...string) *Workspace {
	t.Helper()
	return newWorkspace(t, cliPath(t), env...)
}

func newWorkspace(t testing.TB, cli string, env ...string) *Workspace {
	t.Helper()
	w := &Workspace{t: t, dir: t.TempDir(), cli: cli}
	config := filepath.Join(w.dir, "cli.rc")
	w.useProvider(providerBinary(t))
	w.env = append(slices.DeleteFunc(os.Environ(), func(v string) bool {
		return strings.HasPrefix(v, "TF_") || strings.HasPrefix(v, "NHI_")
	}), "TF_CLI_CONFIG_FILE="+config, "CHECKPOINT_DISABLE=1", "TF_IN_AUTOMATION=1")
	w.env = append(w.env, env...)
	return w
}

// cliPath is the path of the CLI that this run of the tests is for.
func cliPath(t testing.TB) string {
	t.Helper()
	name := os.Getenv(envCLI)
	if name == "" {
		name = "terraform"
	}
	path := cliPaths(t)[name]
	if path == "" {
		t.Fatalf("%s = %q: no such CLI in the testbed", envCLI, name)
	}
	return path
}

// cliPaths are the paths of all CLIs, by what NHI_ACC_CLI calls them.
func cliPaths(t testing.TB) map[string]string {
	t.Helper()
	cli := testenv.Load(t).CLI
	return map[string]string{"terraform": cli.Terraform, "terraform_new": cli.TerraformNew, "opentofu": cli.OpenTofu}
}

// providerBinary is the provider under test: the one that the environment names, or one that is built here once.
func providerBinary(t testing.TB) string {
	t.Helper()
	if path := os.Getenv(envBinary); path != "" {
		return path
	}
	path, err := buildOnce()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

var buildOnce = sync.OnceValues(func() (string, error) {
	root, err := testenv.Root()
	if err != nil {
		return "", err
	}
	path := filepath.Join(root, "bin", "terraform-provider-nhi")
	return path, build(root, path, ".")
})

func build(root, path, source string) error {
	cmd := exec.Command("go", "build", "-o", path, source)
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build the provider: %w\n%s", err, out)
	}
	return nil
}

// buildClockOnce builds the provider whose clock a test can move.
var buildClockOnce = sync.OnceValues(func() (string, error) {
	root, err := testenv.Root()
	if err != nil {
		return "", err
	}
	path := filepath.Join(root, "bin", "clock", "terraform-provider-nhi")
	return path, build(root, path, "./internal/acctest/clockprovider")
})

// MoveClock lets the workspace's provider believe from now on that it is later by d. It makes the workspace use a
// provider that differs in its clock alone.
func (w *Workspace) MoveClock(d time.Duration) {
	w.t.Helper()
	path, err := buildClockOnce()
	if err != nil {
		w.t.Fatal(err)
	}
	w.useProvider(path)
	w.Setenv("NHI_ACC_CLOCK", d.String())
}

// useProvider makes the CLI run the provider at path.
func (w *Workspace) useProvider(path string) {
	w.t.Helper()
	w.write("cli.rc", fmt.Sprintf("provider_installation {\n  dev_overrides {\n    \"nhi-labs/nhi\" = %q\n  }\n  direct {}\n}\n",
		filepath.Dir(path)))
}

func (w *Workspace) write(name, content string) {
	w.t.Helper()
	if err := os.WriteFile(filepath.Join(w.dir, name), []byte(content), 0o600); err != nil {
		w.t.Fatal(err)
	}
}

// Configure replaces the configuration.
func (w *Workspace) Configure(hcl string) {
	w.t.Helper()
	w.write("main.tf", "terraform {\n  required_providers {\n    nhi = { source = \"nhi-labs/nhi\" }\n  }\n}\n\n"+hcl)
}

// knowsResourceIdentity reports whether the CLI has import blocks with an identity: Terraform 1.12, OpenTofu 1.12.
func (w *Workspace) knowsResourceIdentity() bool {
	w.t.Helper()
	var version struct {
		Version string `json:"terraform_version"`
	}
	if err := json.Unmarshal([]byte(w.must(0, "version", "-json").Output), &version); err != nil {
		w.t.Fatal(err)
	}
	var major, minor int
	if _, err := fmt.Sscanf(version.Version, "%d.%d", &major, &minor); err != nil {
		w.t.Fatal(err)
	}
	return major > 1 || minor >= 12
}

// Setenv changes the CLI's environment from now on.
func (w *Workspace) Setenv(name, value string) { w.env = append(w.env, name+"="+value) }

// Run runs the CLI. It fails the test only if the CLI cannot be started.
func (w *Workspace) Run(args ...string) Result {
	w.t.Helper()
	cmd := exec.CommandContext(w.t.Context(), w.cli, args...)
	cmd.Dir, cmd.Env = w.dir, w.env
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		w.t.Fatalf("%s %s: %v", w.cli, strings.Join(args, " "), err)
	}
	return Result{Exit: cmd.ProcessState.ExitCode(), Output: out.String()}
}

// must runs the CLI and fails the test unless it exits with code.
func (w *Workspace) must(code int, args ...string) Result {
	w.t.Helper()
	r := w.Run(args...)
	if r.Exit != code {
		w.t.Fatalf("%s: exit code %d, want %d\n%s", strings.Join(args, " "), r.Exit, code, r.Output)
	}
	return r
}

// Plan plans with -detailed-exitcode, which must exit with code. extra are further arguments.
func (w *Workspace) Plan(code int, extra ...string) Result {
	w.t.Helper()
	return w.must(code, append([]string{"plan", "-no-color", "-input=false", "-detailed-exitcode"}, extra...)...)
}

// Apply applies, and then expects an empty plan: nothing may be left to do.
func (w *Workspace) Apply(extra ...string) Result {
	w.t.Helper()
	r := w.ApplyOnly(extra...)
	w.Plan(exitEmpty)
	return r
}

// ApplyOnly applies without looking at the next plan.
func (w *Workspace) ApplyOnly(extra ...string) Result {
	w.t.Helper()
	return w.must(0, append([]string{"apply", "-no-color", "-input=false", "-auto-approve"}, extra...)...)
}

// ApplyFails applies, which must fail.
func (w *Workspace) ApplyFails(extra ...string) Result {
	w.t.Helper()
	return w.must(exitError, append([]string{"apply", "-no-color", "-input=false", "-auto-approve"}, extra...)...)
}

// Destroy destroys everything, and then expects an empty state.
func (w *Workspace) Destroy(extra ...string) Result {
	w.t.Helper()
	r := w.must(0, append([]string{"destroy", "-no-color", "-input=false", "-auto-approve"}, extra...)...)
	if left := w.State(); len(left.Resources) > 0 {
		w.t.Fatalf("state after destroy: %+v", left)
	}
	return r
}

// DestroyFails destroys, which must fail.
func (w *Workspace) DestroyFails(extra ...string) Result {
	w.t.Helper()
	return w.must(exitError, append([]string{"destroy", "-no-color", "-input=false", "-auto-approve"}, extra...)...)
}

// State is the part of the state file that the tests look at.
type State struct {
	Resources []StateResource `json:"resources"`
}

// StateResource is one resource of the state file.
type StateResource struct {
	Type      string `json:"type"`
	Name      string `json:"name"`
	Instances []struct {
		Status     string          `json:"status"`
		Attributes StateAttributes `json:"attributes"`
	} `json:"instances"`
}

// StateAttributes holds the attributes of both resources that the tests look at.
type StateAttributes struct {
	Accounts     map[string]StateAccount `json:"accounts"`
	Entitlements map[string][]string     `json:"entitlements"`
	Pending      []string                `json:"pending"`
	Status       string                  `json:"status"`
}

// StateAccount is one element of nhi_identity's accounts.
type StateAccount struct {
	Name   string `json:"name"`
	ID     string `json:"id"`
	Target string `json:"target"`
	Status string `json:"status"`
}

// UnmarshalJSON leaves out data sources: their attributes are others, and nothing is left behind by them.
func (s *State) UnmarshalJSON(content []byte) error {
	var file struct {
		Resources []json.RawMessage `json:"resources"`
	}
	if err := json.Unmarshal(content, &file); err != nil {
		return err
	}
	for _, raw := range file.Resources {
		var head struct {
			Mode string `json:"mode"`
		}
		var resource StateResource
		if err := json.Unmarshal(raw, &head); err != nil {
			return err
		}
		if head.Mode == "data" {
			continue
		}
		if err := json.Unmarshal(raw, &resource); err != nil {
			return err
		}
		s.Resources = append(s.Resources, resource)
	}
	return nil
}

// State reads the state file. No file is an empty state.
func (w *Workspace) State() State {
	w.t.Helper()
	var state State
	content, err := os.ReadFile(filepath.Join(w.dir, "terraform.tfstate"))
	if errors.Is(err, os.ErrNotExist) {
		return state
	}
	if err == nil {
		err = json.Unmarshal(content, &state)
	}
	if err != nil {
		w.t.Fatal(err)
	}
	// Terraform 1.11 keeps an entry without instances for a resource that could not be created.
	state.Resources = slices.DeleteFunc(state.Resources, func(r StateResource) bool { return len(r.Instances) == 0 })
	return state
}

// Attributes returns the attributes of the only instance of a resource, which must be in state.
func (w *Workspace) Attributes(resourceType, name string) StateAttributes {
	w.t.Helper()
	for _, r := range w.State().Resources {
		if r.Type == resourceType && r.Name == name && len(r.Instances) == 1 {
			return r.Instances[0].Attributes
		}
	}
	w.t.Fatalf("%s.%s is not in state: %+v", resourceType, name, w.State())
	return StateAttributes{}
}

// Has fails the test unless the output has every text. White space, which the CLIs wrap differently, counts as one
// space, and the frame of diagnostics is ignored.
func (r Result) Has(t testing.TB, texts ...string) {
	t.Helper()
	flat := flatten(r.Output)
	for _, text := range texts {
		if !strings.Contains(flat, flatten(text)) {
			t.Errorf("the output lacks %q:\n%s", text, r.Output)
		}
	}
}

// HasNot fails the test if the output has one of the texts.
func (r Result) HasNot(t testing.TB, texts ...string) {
	t.Helper()
	flat := flatten(r.Output)
	for _, text := range texts {
		if strings.Contains(flat, flatten(text)) {
			t.Errorf("the output has %q:\n%s", text, r.Output)
		}
	}
}

var frame = regexp.MustCompile(`[│╷╵\s]+`)

func flatten(text string) string { return frame.ReplaceAllString(text, " ") }
