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
	"strings"
	"syscall"
	"time"

	"github.com/nhi-labs/terraform-provider-nhi/internal/testenv"
	"github.com/nhi-labs/terraform-provider-nhi/tools/bench/internal/usage"
	"github.com/nhi-labs/terraform-provider-nhi/tools/internal/programs"
)

// The providers that are compared, each built from the package of its name.
const (
	subject  = "nhi"
	baseline = "noop"
)

// lab holds what all measurements share.
type lab struct {
	options
	dir string
}

// newLab finds the CLI and builds both providers.
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
}

var steps = []step{
	{"plan (create)", []string{"plan", "-no-color", "-input=false", "-out=saved"}},
	{"apply", []string{"apply", "-no-color", "-input=false", "saved"}},
	{"plan (no-op)", []string{"plan", "-no-color", "-input=false", "-detailed-exitcode"}},
	{"destroy", []string{"destroy", "-no-color", "-input=false", "-auto-approve"}},
}

// cost is what one command used.
type cost struct {
	// Wall is the time that passed, CPU that of the CLI and its providers, Provider that of the providers alone.
	Wall, CPU, Provider time.Duration
	// LargestKB is the peak memory of the largest process, ProviderKB that of the largest provider.
	LargestKB, ProviderKB int64
}

// compare measures a scene with both providers by turns.
func (l *lab) compare(ctx context.Context, s scene) (table, error) {
	pair := [2]string{baseline, subject}
	scenes := [2]scene{s, s}
	if l.audit > 0 {
		pair[0], scenes[1].audited = subject, true
	}
	var costs [2][][]cost // by the one that is measured, then round, then step
	for range l.rounds {
		for i, provider := range pair {
			round, err := l.measure(ctx, scenes[i], provider)
			if err != nil {
				return nil, fmt.Errorf("%d × %s with the provider %s: %w", s.n, s.shape, provider, err)
			}
			costs[i] = append(costs[i], round)
		}
	}
	var rows table
	for i, step := range steps {
		rows = append(rows, row{scene: s, step: step.name, baseline: median(costs[0], i), subject: median(costs[1], i)})
	}
	return rows, nil
}

// median is taken of each figure by itself.
func median(rounds [][]cost, step int) cost {
	return cost{
		Wall:       middle(rounds, func(r []cost) time.Duration { return r[step].Wall }),
		CPU:        middle(rounds, func(r []cost) time.Duration { return r[step].CPU }),
		Provider:   middle(rounds, func(r []cost) time.Duration { return r[step].Provider }),
		LargestKB:  middle(rounds, func(r []cost) int64 { return r[step].LargestKB }),
		ProviderKB: middle(rounds, func(r []cost) int64 { return r[step].ProviderKB }),
	}
}

func middle[T time.Duration | int64](rounds [][]cost, figure func([]cost) T) T {
	var figures []T
	for _, round := range rounds {
		figures = append(figures, figure(round))
	}
	slices.Sort(figures)
	return figures[len(figures)/2]
}

// measure runs every step once, in a directory of its own.
func (l *lab) measure(ctx context.Context, s scene, provider string) (costs []cost, err error) {
	dir, err := os.MkdirTemp(l.dir, "run-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	blocks, stop := s.platforms(dir)
	defer stop()
	config, err := s.configuration(blocks)
	if err != nil {
		return nil, err
	}
	settings := fmt.Sprintf("provider_installation {\n  dev_overrides {\n    \"nhi-labs/nhi\" = %q\n  }\n  direct {}\n}\n",
		filepath.Join(l.dir, provider))
	for name, text := range map[string]string{"main.tf": config, "cli.rc": settings} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			return nil, err
		}
	}
	for _, step := range steps {
		fmt.Fprintf(os.Stderr, "%s, %d × %s, latency %s: %s\n", provider, s.n, s.shape, s.latency, step.name)
		c, err := l.command(ctx, dir, provider, step)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", step.name, err)
		}
		costs = append(costs, c)
	}
	return costs, nil
}

// command runs the CLI once.
func (l *lab) command(ctx context.Context, dir, provider string, s step) (cost, error) {
	reports := filepath.Join(dir, "reports")
	if err := os.MkdirAll(reports, 0o700); err != nil {
		return cost{}, err
	}
	cmd := exec.CommandContext(ctx, l.cli, s.args...)
	cmd.Dir, cmd.Env = dir, append(withoutSettings(os.Environ()), "TF_CLI_CONFIG_FILE="+filepath.Join(dir, "cli.rc"),
		"CHECKPOINT_DISABLE=1", "TF_IN_AUTOMATION=1", usage.EnvReport+"="+reports, usage.EnvSink+"="+l.audit.String())
	if l.profile != "" {
		to := filepath.Join(l.profile, strings.NewReplacer(" ", "-", "(", "", ")", "").Replace(provider+"-"+s.name))
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
	if err := cmd.Run(); err != nil {
		return cost{}, fmt.Errorf("%w\n%s", err, lastLines(output.String()))
	}
	c := cost{Wall: time.Since(begin), CPU: cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()}
	if used, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		c.LargestKB = used.Maxrss
	}
	report, err := usage.Total(reports)
	c.Provider, c.ProviderKB = report.CPU, report.PeakKB
	if err == nil && c.Provider == 0 {
		err = errors.New("the provider left no report of what it used")
	}
	return c, err
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
