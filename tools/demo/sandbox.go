package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"

	"github.com/nhi-labs/terraform-provider-nhi/internal/secret"
)

// exitRefused is what sandboxctl exits with when the sandbox refuses a login.
const exitRefused = 3

// sandbox is a platform in a file.
type sandbox struct {
	title string
	ctl   string // the program sandboxctl
	dir   string
	key   secret.Value
}

func sandboxes(ctl, dir string) []platform {
	var all []platform
	for _, title := range []string{warehouse, secrets, sap} {
		all = append(all, &sandbox{title: title, ctl: ctl, dir: dir})
	}
	return all
}

func (s *sandbox) name() string       { return s.title }
func (s *sandbox) file() string       { return s.title + ".db" }
func (s *sandbox) env() []string      { return nil }
func (s *sandbox) loginMeans() string { return "login with the agent's key" }

func (s *sandbox) prepare(context.Context) error { return nil }

func (s *sandbox) block() string {
	return fmt.Sprintf("  sandbox {\n    name = %q\n    path = %q\n  }\n", s.title, s.file())
}

func (s *sandbox) run(ctx context.Context, input string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, s.ctl, append([]string{s.file()}, args...)...)
	cmd.Dir, cmd.Stdin = s.dir, strings.NewReader(input)
	output, err := cmd.Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		if exit.ExitCode() == exitRefused {
			return "", errRefused
		}
		return "", fmt.Errorf("%w: %s", err, strings.TrimSpace(string(exit.Stderr)))
	}
	return string(output), err
}

func (s *sandbox) dump(ctx context.Context) (string, error) { return s.run(ctx, "", "dump") }

func (s *sandbox) grant(ctx context.Context, text string) (string, error) {
	_, err := s.run(ctx, "", "grant", account(s.title), text)
	return fmt.Sprintf("sandboxctl %s grant %s %q", s.file(), account(s.title), text), err
}

func (s *sandbox) newLogin(ctx context.Context) error {
	key, err := s.run(ctx, "", "issue", account(s.title), "demo")
	s.key = secret.New(strings.TrimSpace(key))
	return err
}

func (s *sandbox) login(ctx context.Context) error {
	_, err := s.run(ctx, s.key.Reveal()+"\n", "login", account(s.title))
	return err
}
