package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"
)

// terraform runs Terraform or OpenTofu as a reader of the story would.
type terraform struct {
	program string
	dir     string
	env     []string
	out     io.Writer
	color   bool
}

// The exit codes of `plan -detailed-exitcode`.
const (
	nothingToDo = 0
	changes     = 2
)

var colors = regexp.MustCompile("\x1b\\[[0-9;]*m")

// run prints the command and what it says, and fails unless it exits with the code that the story tells. It returns
// what was said, without colors.
func (t *terraform) run(ctx context.Context, want int, args ...string) (string, error) {
	name := filepath.Base(t.program)
	fmt.Fprintf(t.out, "\n$ %s %s\n", name, strings.Join(args, " "))
	args = slices.Insert(slices.Clone(args), 1, "-input=false")
	cmd := exec.CommandContext(ctx, t.program, args...)
	cmd.Dir, cmd.Env = t.dir, t.env
	// Terraform gets time to save its state.
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGINT) }
	cmd.WaitDelay = time.Minute
	raw, err := cmd.CombinedOutput()
	colored := withoutOverridesWarning(string(raw))
	output := strings.Trim(colors.ReplaceAllString(colored, ""), "\n")
	if t.color {
		fmt.Fprintln(t.out, strings.TrimSpace(colored))
	} else {
		fmt.Fprintln(t.out, output)
	}
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return "", err
	}
	got := cmd.ProcessState.ExitCode()
	if slices.Contains(args, "-detailed-exitcode") {
		fmt.Fprintf(t.out, "(exit code %d)\n", got)
	}
	if got != want {
		return "", fmt.Errorf("%s %s: exit code %d, want %d", name, args[0], got, want)
	}
	return output, nil
}

// withoutOverridesWarning drops the box in which Terraform warns that the provider is not an installed one. The output
// must be colored: Terraform draws boxes with colors only.
func withoutOverridesWarning(output string) string {
	var kept, box strings.Builder
	into := &kept
	for line := range strings.Lines(output) {
		plain := colors.ReplaceAllString(line, "")
		if strings.HasPrefix(plain, "╷") {
			box.Reset()
			into = &box
		}
		into.WriteString(line)
		if strings.HasPrefix(plain, "╵") {
			if !strings.Contains(box.String(), "Provider development overrides are in effect") {
				kept.WriteString(box.String())
			}
			box.Reset()
			into = &kept
		}
	}
	kept.WriteString(box.String())
	return kept.String()
}
