// Command testbed starts the real servers that the tests run against, on loopback, and tells where they are.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/nhi-labs/terraform-provider-nhi/internal/testenv"
)

const usage = `usage: testbed <command>

  up [--only a,b]           start the servers that are not running; they keep running
  down                      stop them, and what a killed "run" left behind
  status                    say what is running; fails if something that was started is not
  run [--only a,b] -- cmd   start servers of its own, run cmd with NHI_TESTBED set, stop them
  install [name...]         build or install only: every server and command-line program, or the named
  path <name>               print the path of a program, building it first if need be

servers:  %s
programs: %s
`

func main() {
	os.Exit(run(os.Args[1:]))
}

func run(args []string) int {
	if len(args) == 0 {
		printUsage()
		return 2
	}
	err := command(args[0], args[1:])
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0
	case errors.Is(err, errUsage):
		printUsage()
		return 2
	case errors.As(err, &exit) && args[0] == "run":
		return exitCode(exit) // The command has said itself what was wrong.
	}
	fmt.Fprintln(os.Stderr, "testbed:", err)
	return 1
}

var errUsage = errors.New("usage")

func printUsage() {
	fmt.Fprintf(os.Stderr, usage, strings.Join(serverNames(), " "), strings.Join(programNames(), " "))
}

// command runs one subcommand. Ctrl-C ends all of them; `run` passes signals to its command instead.
func command(name string, args []string) error {
	root, err := testenv.Root()
	if err != nil {
		return err
	}
	base := filepath.Join(root, ".testbed")
	if name == "run" {
		return runCommand(base, args)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	switch name {
	case "up":
		return up(ctx, base, args)
	case "down":
		return down(ctx, base)
	case "status":
		return status(ctx, base)
	case "install":
		return installAll(ctx, args)
	case "path":
		return printPath(ctx, args)
	}
	return errUsage
}

func up(ctx context.Context, base string, args []string) error {
	selected, rest, err := selectServers(args)
	if err != nil {
		return err
	}
	if len(rest) > 0 {
		return errUsage
	}
	bed, err := openBed(ctx, base)
	if err != nil {
		return err
	}
	defer bed.close()
	if err := bed.up(ctx, selected); err != nil {
		return err
	}
	bed.describe(os.Stdout)
	return nil
}

func down(ctx context.Context, base string) error {
	bed, err := openBed(ctx, base)
	if err != nil {
		return err
	}
	defer bed.close()
	return errors.Join(bed.down(), removeStaleRuns(ctx, base))
}

func status(ctx context.Context, base string) error {
	bed, err := openBed(ctx, base)
	if err != nil {
		return err
	}
	defer bed.close()
	bed.describe(os.Stdout)
	return bed.health(ctx)
}

// selectServers reads `--only a,b`; without it every server is selected.
func selectServers(args []string) (selected []server, rest []string, err error) {
	flags := flag.NewFlagSet("testbed", flag.ContinueOnError)
	only := flags.String("only", "", "comma-separated names of servers")
	if err := flags.Parse(args); err != nil {
		return nil, nil, errUsage
	}
	if *only == "" {
		return servers(), flags.Args(), nil
	}
	for name := range strings.SplitSeq(*only, ",") {
		s, err := findServer(name)
		if err != nil {
			return nil, nil, err
		}
		selected = append(selected, s)
	}
	return selected, flags.Args(), nil
}
