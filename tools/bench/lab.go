package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/nhi-labs/terraform-provider-nhi/internal/testenv"
	"github.com/nhi-labs/terraform-provider-nhi/tools/bench/internal/usage"
	"github.com/nhi-labs/terraform-provider-nhi/tools/internal/programs"
)

// The providers that are compared.
const (
	// subject and baseline are built from the packages of their names.
	subject  = "nhi"
	baseline = "noop"
	// peer is the provider that PostgreSQL users run today.
	peer = "peer"
)

// lab holds what all measurements share.
type lab struct {
	options
	dir string
	// peerDir is where the peer is, once it was looked for.
	peerDir string
	// skip are the steps that are left out.
	skip []string
}

// newLab finds the CLI and builds the providers.
func newLab(ctx context.Context, dir string, o options) (*lab, error) {
	root, err := testenv.Root()
	if err != nil {
		return nil, err
	}
	if o.cli == "" {
		if o.cli, err = findCLI(ctx); err != nil {
			return nil, err
		}
	}
	if o.profile != "" {
		if o.profile, err = filepath.Abs(o.profile); err != nil {
			return nil, err
		}
	}
	for _, name := range []string{subject, baseline} {
		build := exec.CommandContext(ctx, "go", "build", "-o", filepath.Join(dir, name, "terraform-provider-nhi"), "./bench/"+name)
		build.Dir, build.Stderr = filepath.Join(root, "tools"), os.Stderr
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if err := build.Run(); err != nil {
			return nil, fmt.Errorf("build the provider %s: %w", name, err)
		}
	}
	return &lab{options: o, dir: dir}, nil
}

func findCLI(ctx context.Context) (string, error) {
	for _, name := range []string{"terraform", "tofu"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return programs.OpenTofu.Path(ctx, os.Stderr)
}

// step is one command that is measured.
type step struct {
	name string
	args []string
	// backwards goes through the states in the opposite order.
	backwards bool
	// repeat are the arguments of a further attempt, nil if there is none.
	repeat []string
}

const (
	planCreate = "plan (create)"
	apply      = "apply"
	planNoop   = "plan (no-op)"
	refresh    = "refresh"
	destroy    = "destroy"
)

func steps() []step {
	again := []string{"apply", "-no-color", "-input=false", "-auto-approve"}
	return []step{
		{name: planCreate, args: []string{"plan", "-no-color", "-input=false", "-out=saved"}},
		{name: apply, args: []string{"apply", "-no-color", "-input=false", "saved"}, repeat: again},
		{name: planNoop, args: []string{"plan", "-no-color", "-input=false", "-detailed-exitcode"}},
		{name: refresh, args: []string{"plan", "-no-color", "-input=false", "-refresh-only"}},
		{name: destroy, args: append(again, "-destroy"), backwards: true, repeat: append(again, "-destroy")},
	}
}

// compare measures a scene with both providers by turns.
func (l *lab) compare(ctx context.Context, s scene) (table, error) {
	pair := []contender{{s, l.against}, {s, subject}}
	if l.audit > 0 {
		pair[0].provider, pair[1].audited = subject, true
	}
	costs, err := l.byTurns(ctx, pair)
	if err != nil {
		return nil, err
	}
	var rows table
	for i := range costs[0] {
		rows = append(rows, row{scene: s, baseline: costs[0][i], subject: costs[1][i]})
	}
	return rows, nil
}

// byTurns measures the contenders one after the other, again and again, so that whatever else the machine does falls on
// all. It returns the medians, by contender and step.
func (l *lab) byTurns(ctx context.Context, all []contender) ([][]cost, error) {
	rounds := make([][][]cost, len(all))
	for range l.rounds {
		for i, c := range all {
			round, err := l.measure(ctx, c.scene, c.provider)
			if err != nil {
				return nil, fmt.Errorf("%s with the provider %s: %w", c.scene, c.provider, err)
			}
			rounds[i] = append(rounds[i], round)
		}
	}
	out := make([][]cost, len(all))
	for i := range all {
		for step := range rounds[i][0] {
			out[i] = append(out[i], median(rounds[i], step))
		}
	}
	return out, nil
}

// measure runs every step once, in a directory of its own.
func (l *lab) measure(ctx context.Context, s scene, provider string) (costs []cost, err error) {
	dir, err := os.MkdirTemp(l.dir, "run-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	at, err := s.open(ctx, dir)
	defer func() { err = errors.Join(err, at.stop()) }()
	if err != nil {
		return nil, err
	}
	states, err := l.prepare(s, at, dir, provider)
	if err != nil {
		return nil, err
	}
	for _, step := range steps() {
		if slices.Contains(l.skip, step.name) {
			continue
		}
		fmt.Fprintf(os.Stderr, "%s, %s: %s\n", provider, s, step.name)
		total := cost{Step: step.name}
		for i := range states {
			if step.backwards {
				i = len(states) - 1 - i
			}
			c, err := l.attempt(ctx, trial{scene: s, provider: provider, dir: dir, state: states[i]}, step)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", step.name, err)
			}
			total = total.plus(c)
		}
		total.Traffic = at.traffic()
		costs = append(costs, total)
	}
	return costs, nil
}

// prepare writes the settings of the CLI and the configurations, and returns the directories of the latter.
func (l *lab) prepare(s scene, at *site, dir, provider string) ([]string, error) {
	address, place := "nhi-labs/nhi", filepath.Join(l.dir, provider)
	var configurations []string
	var err error
	if provider == peer {
		address, place = "cyrilgdn/postgresql", l.peerDir
		configurations = []string{s.peerConfiguration(at.peer)}
	} else if configurations, err = s.configurations(at); err != nil {
		return nil, err
	}
	settings := fmt.Sprintf("provider_installation {\n  dev_overrides {\n    %q = %q\n  }\n  direct {}\n}\n", address, place)
	if err := os.WriteFile(filepath.Join(dir, "cli.rc"), []byte(settings), 0o600); err != nil {
		return nil, err
	}
	var states []string
	for i, text := range configurations {
		state := filepath.Join(dir, strconv.Itoa(i))
		if err := os.Mkdir(state, 0o700); err != nil {
			return nil, err
		}
		if err := os.WriteFile(filepath.Join(state, "main.tf"), []byte(text), 0o600); err != nil {
			return nil, err
		}
		states = append(states, state)
	}
	return states, nil
}

// trial is where and with what a command runs.
type trial struct {
	scene
	provider, dir, state string
}

// mostAttempts is how often an apply is tried on PostgreSQL, where the providers are compared by their errors, too.
const mostAttempts = 10

// attempt runs a step, on PostgreSQL until it succeeds. What each attempt costs, and what it says is wrong, is added up.
func (l *lab) attempt(ctx context.Context, r trial, s step) (cost, error) {
	total, err := l.command(ctx, r, s.name, s.args)
	for n := 1; err != nil && ctx.Err() == nil && r.site == onPostgreSQL && s.repeat != nil && n < mostAttempts; n++ {
		var more cost
		more, err = l.command(ctx, r, s.name, s.repeat)
		total = total.plus(more)
	}
	return total, err
}

// command runs the CLI once. If it fails its cost is known nevertheless.
func (l *lab) command(ctx context.Context, r trial, name string, args []string) (cost, error) {
	reports := filepath.Join(r.dir, "reports")
	if err := os.MkdirAll(reports, 0o700); err != nil {
		return cost{}, err
	}
	if r.parallelism > 0 {
		args = slices.Insert(slices.Clone(args), 1, "-parallelism="+strconv.Itoa(r.parallelism))
	}
	cmd := exec.CommandContext(ctx, l.cli, args...)
	cmd.Dir, cmd.Env = r.state, append(withoutSettings(os.Environ()), "TF_CLI_CONFIG_FILE="+filepath.Join(r.dir, "cli.rc"),
		"CHECKPOINT_DISABLE=1", "TF_IN_AUTOMATION=1", usage.EnvReport+"="+reports, usage.EnvSink+"="+l.audit.String())
	if l.profile != "" {
		to := filepath.Join(l.profile, strings.NewReplacer(" ", "-", "(", "", ")", "").Replace(r.provider+"-"+name))
		if err := os.MkdirAll(to, 0o700); err != nil {
			return cost{}, err
		}
		cmd.Env = append(cmd.Env, usage.EnvProfile+"="+to)
	}
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGINT) }
	cmd.WaitDelay = time.Minute
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	begin := time.Now()
	failed := cmd.Run()
	c := cost{Step: name, Wall: time.Since(begin)}
	if cmd.ProcessState == nil {
		return c, failed
	}
	c.CPU = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	if used, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		c.LargestKB = used.Maxrss
	}
	report, err := usage.Total(reports)
	c.Provider, c.ProviderKB = report.CPU, report.PeakKB
	if failed != nil {
		c.Errors, c.Said = complaints(output.String())
		return c, fmt.Errorf("%w\n%s", failed, lastLines(output.String()))
	}
	if err == nil && c.Provider == 0 && r.provider != peer {
		err = errors.New("the provider left no report of what it used")
	}
	return c, err
}

// complaints counts the errors in what the CLI printed, and returns the first.
func complaints(output string) (count int, first string) {
	for line := range strings.Lines(output) {
		if _, text, found := strings.Cut(line, "Error: "); found {
			if count++; first == "" {
				first = strings.TrimSpace(text)
			}
		}
	}
	return count, first
}

// lastLines keeps an error readable.
func lastLines(output string) string {
	const most = 4000
	if len(output) > most {
		return "…" + output[len(output)-most:]
	}
	return output
}

// withoutSettings drops what would make the CLI behave differently from machine to machine.
func withoutSettings(env []string) []string {
	return slices.DeleteFunc(env, func(v string) bool { return strings.HasPrefix(v, "TF_") || strings.HasPrefix(v, "NHI_") })
}
