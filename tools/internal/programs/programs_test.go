package programs

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestInstallBuildsOnce(t *testing.T) {
	entry := filepath.Join(t.TempDir(), "program")
	var builds atomic.Int32
	build := func(temp string) error {
		builds.Add(1)
		return os.WriteFile(filepath.Join(temp, "binary"), nil, 0o600)
	}
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			if err := install(t.Context(), entry, build); err != nil {
				t.Error(err)
			}
			if !exists(filepath.Join(entry, "binary")) {
				t.Error("returned before the program was there")
			}
		})
	}
	group.Wait()
	if n := builds.Load(); n != 1 {
		t.Errorf("built %d times, want once", n)
	}
}

func TestInstallLeavesNothingOfAFailedBuild(t *testing.T) {
	dir := t.TempDir()
	entry := filepath.Join(dir, "program")
	broken := errors.New("broken")
	err := install(t.Context(), entry, func(temp string) error {
		return errors.Join(os.WriteFile(filepath.Join(temp, "half"), nil, 0o600), broken)
	})
	if !errors.Is(err, broken) {
		t.Errorf("got %v, want the build's error", err)
	}
	left, err := filepath.Glob(filepath.Join(dir, ".building-*"))
	if err != nil || len(left) > 0 || exists(entry) {
		t.Errorf("left behind: %v, entry exists: %t, %v", left, exists(entry), err)
	}
}

func TestLockExcludesAndEndsWithContext(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	unlock, err := Lock(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := Lock(ctx, path); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("second lock: got %v, want deadline exceeded", err)
	}
	unlock()
	again, err := Lock(t.Context(), path)
	if err != nil {
		t.Fatalf("after unlock: %v", err)
	}
	again()
}

func TestHashFollowsEveryFileAndOption(t *testing.T) {
	dir := t.TempDir()
	write := func(name, content string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	seen := map[string]string{}
	check := func(change string, p Program) {
		t.Helper()
		hash, err := p.hash(dir)
		if err != nil {
			t.Fatal(err)
		}
		if before, ok := seen[hash]; ok {
			t.Errorf("%s: same hash as %s", change, before)
		}
		seen[hash] = change
	}
	check("empty", Program{})
	write("go.mod", "a")
	check("file added", Program{})
	write("go.mod", "b")
	check("file changed", Program{})
	check("tags", Program{Tags: "minimal"})
}
