package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
)

func TestPassOnReportsTheExitCode(t *testing.T) {
	for script, want := range map[string]int{"exit 7": 7, "kill -9 $$": 128 + 9} {
		err := passOn([]string{"sh", "-c", script}, "", nil)
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exitCode(exit) != want {
			t.Errorf("%s: got %v, want exit code %d", script, err, want)
		}
	}
}

func TestPassOnSetsTheServersFile(t *testing.T) {
	if err := passOn([]string{"sh", "-c", `test "$NHI_TESTBED" = here`}, "here", nil); err != nil {
		t.Error(err)
	}
}

func TestPassOnPassesSignals(t *testing.T) {
	ready := filepath.Join(t.TempDir(), "ready")
	if err := syscall.Mkfifo(ready, 0o600); err != nil {
		t.Fatal(err)
	}
	signals := make(chan os.Signal, 1)
	go func() {
		_, err := os.ReadFile(ready) // Returns when the script has set its trap.
		if err != nil {
			t.Error(err)
		}
		signals <- syscall.SIGTERM
	}()
	script := `trap 'exit 42' TERM; : >"$NHI_TESTBED"; while :; do sleep 0.01; done`
	err := passOn([]string{"sh", "-c", script}, ready, signals)
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exitCode(exit) != 42 {
		t.Errorf("got %v, want exit code 42 from the trap", err)
	}
}
