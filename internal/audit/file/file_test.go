//go:build !windows

package file_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nhi-labs/terraform-provider-nhi/internal/audit"
	"github.com/nhi-labs/terraform-provider-nhi/internal/audit/file"
	"github.com/nhi-labs/terraform-provider-nhi/internal/audit/ocsf"
)

// writerEnv makes this test binary write events to the file it names, as another process.
const writerEnv = "NHI_TEST_AUDIT_FILE"

func TestMain(m *testing.M) {
	if path := os.Getenv(writerEnv); path != "" {
		if err := deliver(context.Background(), path, os.Getenv(writerEnv+"_ID"), 40); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

func deliver(ctx context.Context, path, prefix string, n int) error {
	sink := file.New(file.Config{Path: path, Version: ocsf.Default})
	var wg sync.WaitGroup
	errs := make([]error, n)
	for i := range n {
		wg.Go(func() { errs[i] = sink.Deliver(ctx, event(fmt.Sprintf("%s-%d", prefix, i))) })
	}
	wg.Wait()
	return errors.Join(errors.Join(errs...), sink.Close())
}

func event(id string) audit.Event {
	return audit.Event{
		ID: id, Time: time.UnixMilli(1_790_000_000_000).UTC(), Activity: audit.Grant, Outcome: audit.Succeeded,
		After: []string{"role:" + strings.Repeat("x", 3000)}, Justification: "line\nbreak",
	}
}

// ids reads the file as strictly as a consumer would: every line is an event.
func ids(t *testing.T, path string) map[string]int {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]int{}
	for line := range bytes.Lines(content) {
		e, err := ocsf.Decode(line)
		if err != nil {
			t.Fatalf("line %.80q: %v", line, err)
		}
		seen[e.ID]++
	}
	return seen
}

func TestConcurrentProcesses(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	const processes, each = 3, 40
	var wg sync.WaitGroup
	for i := range processes {
		wg.Go(func() {
			cmd := exec.CommandContext(t.Context(), self)
			cmd.Env = append(os.Environ(), writerEnv+"="+path, fmt.Sprintf("%s_ID=p%d", writerEnv, i))
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%v: %s", err, out)
			}
		})
	}
	wg.Wait()
	seen := ids(t, path)
	for i := range processes {
		for j := range each {
			if id := fmt.Sprintf("p%d-%d", i, j); seen[id] != 1 {
				t.Errorf("%s is there %d times", id, seen[id])
			}
		}
	}
	if len(seen) != processes*each {
		t.Errorf("%d events", len(seen))
	}
}

func TestMode(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	if err := deliver(t.Context(), path, "a", 1); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("mode %o", info.Mode().Perm())
	}
}

// TestBrokenLine: what a full disk left of an event does not swallow the next one.
func TestBrokenLine(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	if err := os.WriteFile(path, []byte(`{"broken":`), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := deliver(t.Context(), path, "a", 2); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	rest, found := bytes.CutPrefix(content, []byte("{\"broken\":\n"))
	if !found || bytes.Count(rest, []byte("\n")) != 2 {
		t.Fatalf("content %.200q", content)
	}
}

func TestRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	pipe := filepath.Join(dir, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, path := range map[string]string{
		"no directory": filepath.Join(dir, "missing", "audit.jsonl"), "a directory": dir, "a pipe": pipe, "a device": os.DevNull,
	} {
		if err := deliver(t.Context(), path, "a", 1); err == nil || !strings.Contains(err.Error(), "audit file: ") {
			t.Errorf("%s: %v", name, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	path := filepath.Join(dir, "audit.jsonl")
	if err := deliver(ctx, path, "a", 1); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("cancelled, and the file is there: %v", err)
	}
}

// TestRenamed: a rotated log is left alone.
func TestRenamed(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	sink := file.New(file.Config{Path: path, Version: ocsf.Default})
	for _, id := range []string{"a", "b"} {
		if err := sink.Deliver(t.Context(), event(id)); err != nil {
			t.Fatal(err)
		}
		if seen := ids(t, path); len(seen) != 1 || seen[id] != 1 {
			t.Fatalf("events %v", seen)
		}
		if err := os.Rename(path, path+".1"); err != nil {
			t.Fatal(err)
		}
	}
}
