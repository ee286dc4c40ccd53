package main

import (
	"bytes"
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nhi-labs/terraform-provider-nhi/internal/testenv"
)

func TestStoryOnSandboxes(t *testing.T) {
	t.Setenv("REAL", "")
	var out bytes.Buffer
	if err := run(t.Context(), &out); err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	for _, text := range []string{
		`- "table:finance.salaries#select"`, `- "group:Billing Admins"`, `"active" -> "suspended"`, "(exit code 2)", "No changes.",
	} {
		if !strings.Contains(out.String(), text) {
			t.Errorf("the story does not show %s", text)
		}
	}
	if strings.Contains(out.String(), "development overrides") {
		t.Error("the story shows the warning about development overrides")
	}
}

// Without Terraform or OpenTofu on PATH, the story is told by an OpenTofu that the demo builds.
func TestStoryWithoutTerraform(t *testing.T) {
	bin := t.TempDir()
	for _, program := range []string{"go", "git", "gcc", "make", "sh", "env"} {
		path, err := exec.LookPath(program)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(path, filepath.Join(bin, program)); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", bin)
	t.Setenv("REAL", "")
	for _, program := range []string{"terraform", "tofu"} {
		if path, err := exec.LookPath(program); err == nil {
			t.Fatalf("%s is still on PATH", path)
		}
	}
	var out bytes.Buffer
	if err := run(t.Context(), &out); err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	if !strings.Contains(out.String(), "OpenTofu will perform the following actions") {
		t.Errorf("not OpenTofu tells the story:\n%s", out.String())
	}
}

// The real servers are started for this test alone: the story presupposes that nothing is there yet.
func TestStoryOnRealServers(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), "go", "run", ".")
	for _, variable := range os.Environ() {
		if !strings.HasPrefix(variable, testenv.EnvFile+"=") {
			cmd.Env = append(cmd.Env, variable)
		}
	}
	cmd.Env = append(cmd.Env, "REAL=1")
	if output, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
}

func TestStoryFailsOnAnotherExitCode(t *testing.T) {
	failing := &terraform{program: "false", dir: t.TempDir(), out: io.Discard}
	if _, err := failing.run(t.Context(), changes, "plan"); err == nil {
		t.Error("exit code 1 passes for 2")
	}
}

func TestStoryFailsOnAnotherState(t *testing.T) {
	for name, dump := range map[string]string{
		"still active":     shown("billing-agent", true, []string{"policy:billing-read"}),
		"lost entitlement": shown("billing-agent", false, nil),
		"extra":            shown("billing-agent", false, []string{"policy:billing-read", "policy:other"}),
		"gone":             nothing,
	} {
		s := &story{out: io.Discard, platforms: []platform{dumper{text: dump}}}
		if err := s.holds(t.Context(), declared(), "suspended"); err == nil {
			t.Errorf("%s: passes", name)
		}
	}
	s := &story{out: io.Discard, platforms: []platform{dumper{text: shown("billing-agent", false, []string{"policy:billing-read"})}}}
	if err := s.holds(t.Context(), declared(), "suspended"); err != nil {
		t.Error(err)
	}
}

// dumper is a platform that only shows something.
type dumper struct {
	platform
	text string
}

func (dumper) name() string                           { return secrets }
func (d dumper) dump(context.Context) (string, error) { return d.text, nil }

func TestOverridesWarningIsDropped(t *testing.T) {
	const kept, dropped = "plan\n\x1b[33m╷\x1b[0m\n│ Warning: kept\n\x1b[33m╵\x1b[0m\nend\n",
		"\x1b[33m╷\x1b[0m\n│ Warning: Provider development overrides are in effect\n\x1b[33m╵\x1b[0m\n"
	if got := withoutOverridesWarning(dropped + kept); got != kept {
		t.Errorf("got %q", got)
	}
}
