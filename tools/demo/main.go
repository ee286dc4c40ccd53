// Command demo tells the story of one identity with real plans: declared once, drifted, suspended, taken away.
//
// It needs nothing but Go. The platforms are sandboxes, one file each; with REAL=1 in the environment they are a real
// PostgreSQL, Vault and SCIM server of the testbed. Whatever does not turn out as told ends the demo with an error.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/nhi-labs/terraform-provider-nhi/internal/testenv"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

// run works in a directory of its own, which it removes.
func run(ctx context.Context, out io.Writer) (err error) {
	onServers := os.Getenv("REAL") != ""
	if onServers && os.Getenv(testenv.EnvFile) == "" {
		return runInTestbed(ctx)
	}
	root, err := testenv.Root()
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "nhi-demo-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	work := workshop{root: root, dir: dir}
	platforms, err := work.platforms(ctx, onServers)
	if err != nil {
		return err
	}
	terraform, err := work.terraform(ctx, out)
	if err != nil {
		return err
	}
	for _, p := range platforms {
		terraform.env = append(terraform.env, p.env()...)
	}
	story := &story{out: out, dir: dir, terraform: terraform, platforms: platforms}
	return story.tell(ctx)
}

// runInTestbed runs the demo again, with servers that are started for it and stopped afterwards.
func runInTestbed(ctx context.Context) (err error) {
	dir, err := os.MkdirTemp("", "nhi-demo-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	root, err := testenv.Root()
	if err != nil {
		return err
	}
	work := workshop{root: root, dir: dir}
	testbed, err := work.goBuild(ctx, filepath.Join(root, "tools"), "./testbed")
	if err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, testbed, "run", "--only", "postgresql,vault,scim", "--", self)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	// The testbed passes an interrupt on to the demo and stops the servers after it. In a process group of its own it
	// gets Ctrl-C from here alone, once.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("on real servers: %w", err)
	}
	return nil
}
