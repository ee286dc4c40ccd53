package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/nhi-labs/terraform-provider-nhi/internal/testenv"
)

// runPrefix begins the names of beds that belong to a `run`.
const runPrefix = "run-"

// runCommand runs a command against servers of its own, so that it neither finds what another run left nor disturbs the
// servers that a developer keeps running. The servers are stopped however the command ends. The logs of a run that
// failed stay until the next one.
func runCommand(base string, args []string) (err error) {
	selected, argv, err := selectServers(args)
	if err != nil {
		return err
	}
	if len(argv) == 0 {
		return errUsage
	}
	// From here on no signal ends this process before the servers are stopped.
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()

	b, err := newRun(ctx, base)
	if err != nil {
		return err
	}
	defer b.close()
	err = b.up(ctx, selected)
	if err == nil {
		err = passOn(argv, b.serversFile(), signals)
	}
	if downErr := b.down(); downErr != nil {
		fmt.Fprintln(os.Stderr, "testbed:", downErr)
		return errors.Join(err, downErr)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "testbed: logs of the servers:", filepath.Join(b.dir, "log"))
		return err
	}
	return os.RemoveAll(b.dir)
}

// newRun makes a bed below base and clears away those of runs that have ended.
func newRun(ctx context.Context, base string) (*bed, error) {
	all, err := openBed(ctx, base) // Two runs must not clear each other away before they hold their locks.
	if err != nil {
		return nil, err
	}
	defer all.close()
	if err := removeStaleRuns(ctx, base); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(base, runPrefix)
	if err != nil {
		return nil, err
	}
	return openBed(ctx, dir)
}

// removeStaleRuns stops what killed runs have left. A run that still works holds its lock.
func removeStaleRuns(ctx context.Context, base string) error {
	dirs, err := filepath.Glob(filepath.Join(base, runPrefix+"*"))
	if err != nil {
		return err
	}
	var errs []error
	for _, dir := range dirs {
		short, cancel := context.WithTimeout(ctx, 10*time.Millisecond)
		b, err := openBed(short, dir)
		cancel()
		if errors.Is(err, context.DeadlineExceeded) {
			continue
		}
		if err != nil {
			errs = append(errs, err)
			continue
		}
		err = b.down()
		b.close()
		if err == nil {
			err = os.RemoveAll(dir)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// passOn runs a command and hands it the signals that this process gets. The command has a process group of its own:
// each signal reaches it and its children once, and Ctrl-C at a terminal not twice.
func passOn(argv []string, serversFile string, signals <-chan os.Signal) error {
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), testenv.EnvFile+"="+serversFile)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for {
		select {
		case err := <-ended:
			return err
		case received := <-signals:
			number, ok := received.(syscall.Signal)
			if !ok {
				continue
			}
			if err := syscall.Kill(-cmd.Process.Pid, number); err != nil && !errors.Is(err, syscall.ESRCH) {
				fmt.Fprintln(os.Stderr, "testbed: pass on signal:", err)
			}
		}
	}
}

// exitCode is the code a shell would report.
func exitCode(exit *exec.ExitError) int {
	if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return 128 + int(status.Signal())
	}
	return exit.ExitCode()
}
