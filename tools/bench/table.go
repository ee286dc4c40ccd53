package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"
)

// row compares one step of one scene.
type row struct {
	scene
	baseline, subject cost
}

type table []row

// header begins a table.
const header = "| identities | shape | latency | step | wall s | ratio | CPU s | ratio | provider CPU s | ratio | largest MB | provider MB " +
	"| requests | busy s | errors |\n|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|\n"

// place says what was measured where.
func (l *lab) place(ctx context.Context) string {
	version, _, _ := strings.Cut(output(ctx, l.cli, "version"), "\n")
	load, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		load = []byte("unknown")
	}
	cells := fmt.Sprintf("%s / nhi; the ratio is nhi to %s", l.against, l.against)
	if l.audit > 0 {
		cells = fmt.Sprintf("without audit / with a sink that answers in %s; the ratio is with to without", l.audit)
	}
	return fmt.Sprintf("%s, %d CPUs, load average at the end %s, %d round(s). Each cell is %s.\n",
		version, runtime.NumCPU(), strings.TrimSpace(string(load)), l.rounds, cells)
}

func output(ctx context.Context, name string, args ...string) string {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(withoutSettings(os.Environ()), "CHECKPOINT_DISABLE=1")
	text, err := cmd.Output()
	if err != nil {
		return name
	}
	return string(text)
}

// markdown gives the lines of the table.
func (t table) markdown() string {
	var text strings.Builder
	for _, r := range t {
		a, b := r.baseline, r.subject
		fmt.Fprintf(&text, "| %d | %s | %s | %s | %s | %s | %s | %d / %d | %d / %d | %d / %d | %.2f / %.2f | %d / %d |\n", r.n, r.shape, r.latency, a.Step,
			times(a.Wall, b.Wall), times(a.CPU, b.CPU), times(a.Provider, b.Provider),
			a.LargestKB/1024, b.LargestKB/1024, a.ProviderKB/1024, b.ProviderKB/1024,
			tripsOf(a), tripsOf(b), busyOf(a).Seconds(), busyOf(b).Seconds(), a.Errors, b.Errors)
	}
	return text.String()
}

// times are two cells: both times, and their ratio.
func times(a, b time.Duration) string {
	return fmt.Sprintf("%.1f / %.1f | %.2f", a.Seconds(), b.Seconds(), b.Seconds()/a.Seconds())
}
