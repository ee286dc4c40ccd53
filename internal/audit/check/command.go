package check

import (
	"bufio"
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"

	"github.com/nhi-labs/terraform-provider-nhi/internal/audit"
	"github.com/nhi-labs/terraform-provider-nhi/internal/audit/ocsf"
)

// Exit codes of Command: those of a plan with -detailed-exitcode.
const (
	exitMatches  = 0
	exitError    = 1
	exitFindings = 2
)

// Command is the program for auditors: it prints one line per finding, and returns 0 if there is none, 2 if there are
// some, 1 after an error.
func Command(args []string, out, problems io.Writer) int {
	var eventFiles, stateFiles files
	flags := flag.NewFlagSet("audit-check", flag.ContinueOnError)
	flags.SetOutput(problems)
	flags.Var(&eventFiles, "events", "a file of audit events as the file sink writes them, one JSON object a line; may be repeated")
	flags.Var(&stateFiles, "state", "a state file, as `terraform state pull` prints it; may be repeated")
	stack := flags.String("stack", "", "compare events of this stack only; needed if the files hold those of stacks whose state is not given")
	if err := flags.Parse(args); err != nil {
		return exitError
	}
	findings, err := run(eventFiles, stateFiles, *stack, problems)
	if err == nil && flags.NArg() > 0 {
		err = fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	if err != nil {
		_, _ = fmt.Fprintln(problems, "audit-check:", err)
		return exitError
	}
	for _, f := range findings {
		if _, err := fmt.Fprintln(out, f); err != nil {
			return exitError
		}
	}
	if len(findings) > 0 {
		return exitFindings
	}
	return exitMatches
}

// files is a flag that may be repeated.
type files []string

func (f *files) String() string { return fmt.Sprint(*f) }

func (f *files) Set(path string) error {
	*f = append(*f, path)
	return nil
}

func run(eventFiles, stateFiles files, stack string, problems io.Writer) ([]Finding, error) {
	if len(eventFiles) == 0 || len(stateFiles) == 0 {
		return nil, errors.New("name at least one file with -events and one with -state")
	}
	var events []audit.Event
	for _, path := range eventFiles {
		more, skipped, err := readEvents(path)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		if skipped > 0 {
			_, _ = fmt.Fprintf(problems, "audit-check: %s: %d lines are no events of this provider and were left out\n", path, skipped)
		}
		for _, e := range more {
			if stack == "" || e.Stack == stack {
				events = append(events, e)
			}
		}
	}
	var states []State
	for _, path := range stateFiles {
		content, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		state, err := ReadState(bytes.NewReader(content))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		states = append(states, state)
	}
	return Run(events, states), nil
}

// readEvents reads lines; a line may be long. Lines that are something else are counted: a log may hold more than ours,
// and the last line of a run that was killed may be half.
func readEvents(path string) (events []audit.Event, skipped int, err error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, 0, err
	}
	defer file.Close() //nolint:errcheck // only read
	reader := bufio.NewReader(file)
	for {
		line, err := reader.ReadBytes('\n')
		if text := bytes.TrimSpace(line); len(text) > 0 {
			if e, decodeErr := ocsf.Decode(text); decodeErr == nil {
				events = append(events, e)
			} else {
				skipped++
			}
		}
		if errors.Is(err, io.EOF) {
			return events, skipped, nil
		}
		if err != nil {
			return nil, 0, err
		}
	}
}
