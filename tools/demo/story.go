package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// story tells, and checks as it goes.
type story struct {
	out       io.Writer
	dir       string
	terraform *terraform
	platforms []platform
	chapter   int
}

// The plan that a reviewer has seen is the plan that is applied.
const planFile = "reviewed.tfplan"

func (s *story) tell(ctx context.Context) error {
	for _, p := range s.platforms {
		if err := p.prepare(ctx); err != nil {
			return fmt.Errorf("prepare %s: %w", p.name(), err)
		}
	}
	for _, chapter := range []func(context.Context) error{
		s.declare, s.create, s.drift, s.repair, s.logIn, s.suspend, s.resume, s.destroy,
	} {
		if err := chapter(ctx); err != nil {
			return err
		}
	}
	s.say("Everything turned out as told.")
	return nil
}

func (s *story) title(text string) {
	s.chapter++
	line := fmt.Sprintf("%d. %s", s.chapter, text)
	fmt.Fprintf(s.out, "\n%s\n%s\n", line, strings.Repeat("=", len(line)))
}

func (s *story) say(format string, args ...any) { fmt.Fprintf(s.out, "\n"+format+"\n", args...) }

func (s *story) declare(ctx context.Context) error {
	s.title("An AI agent is declared once, with its accounts on three platforms")
	text := configuration(s.platforms, true)
	fmt.Fprintf(s.out, "\n%s", text)
	if err := s.write(text); err != nil {
		return err
	}
	s.say("The plan says who gains which access, on all platforms at once.")
	output, err := s.terraform.run(ctx, changes, "plan", "-detailed-exitcode", "-out="+planFile)
	if err != nil {
		return err
	}
	for _, e := range declared() {
		if err := expect(output, fmt.Sprintf("+ %q", e.text)); err != nil {
			return err
		}
	}
	return nil
}

func (s *story) write(text string) error {
	return os.WriteFile(filepath.Join(s.dir, "main.tf"), []byte(text), 0o600)
}

func (s *story) create(ctx context.Context) error {
	s.title("The reviewed plan is applied")
	if _, err := s.terraform.run(ctx, 0, "apply", planFile); err != nil {
		return err
	}
	s.say("What the platforms say of themselves:")
	if err := s.holds(ctx, declared(), "active"); err != nil {
		return err
	}
	s.say("A second plan has nothing to do.")
	return s.settled(ctx)
}

func (s *story) settled(ctx context.Context) error {
	_, err := s.terraform.run(ctx, nothingToDo, "plan", "-detailed-exitcode")
	return err
}

// holds prints what the platforms hold and checks that it is exactly what is given.
func (s *story) holds(ctx context.Context, want []entitlement, status string) error {
	for _, p := range s.platforms {
		dump, err := s.dump(ctx, p)
		if err != nil {
			return err
		}
		wanted := account(p.name()) + "  " + status
		if !strings.HasPrefix(dump, wanted) {
			return fmt.Errorf("platform %s shows %q, want it to begin with %q", p.name(), dump, wanted)
		}
		var texts []string
		for line := range strings.Lines(dump) {
			if text, ok := strings.CutPrefix(line, "    "); ok {
				texts = append(texts, strings.TrimSpace(text))
			}
		}
		if got, wanted := strings.Join(texts, ", "), strings.Join(textsOn(want, p.name()), ", "); got != wanted {
			return fmt.Errorf("platform %s shows that the account holds %s, want %s", p.name(), got, wanted)
		}
	}
	return nil
}

func (s *story) dump(ctx context.Context, p platform) (string, error) {
	dump, err := p.dump(ctx)
	if err != nil {
		return "", fmt.Errorf("ask %s: %w", p.name(), err)
	}
	fmt.Fprintf(s.out, "\n[%s]\n%s\n", p.name(), strings.TrimRight(dump, "\n"))
	return dump, nil
}

func (s *story) drift(ctx context.Context) error {
	s.title("Somebody grants access by hand, and a scheduled plan finds it")
	for _, p := range s.platforms {
		for _, e := range byHand() {
			if e.platform != p.name() {
				continue
			}
			command, err := p.grant(ctx, e.text)
			if err != nil {
				return fmt.Errorf("grant by hand on %s: %w", p.name(), err)
			}
			s.say("on %s: %s", p.name(), command)
		}
	}
	output, err := s.terraform.run(ctx, changes, "plan", "-detailed-exitcode", "-out="+planFile)
	if err != nil {
		return err
	}
	for _, e := range byHand() {
		if err := expect(output, fmt.Sprintf("- %q", e.text)); err != nil {
			return err
		}
	}
	s.say("Exit code 2 is what a pipeline alarms on.")
	return nil
}

func (s *story) repair(ctx context.Context) error {
	s.title("Applying that plan takes the access away again, and nothing else")
	if _, err := s.terraform.run(ctx, 0, "apply", planFile); err != nil {
		return err
	}
	if err := s.holds(ctx, declared(), "active"); err != nil {
		return err
	}
	return s.settled(ctx)
}

func (s *story) logIn(ctx context.Context) error {
	s.title("The agent logs in")
	for _, p := range s.platforms {
		if err := p.newLogin(ctx); err != nil {
			return fmt.Errorf("make a login on %s: %w", p.name(), err)
		}
	}
	return s.logins(ctx, true)
}

// logins tries to log in everywhere.
func (s *story) logins(ctx context.Context, want bool) error {
	fmt.Fprintln(s.out)
	for _, p := range s.platforms {
		err := p.login(ctx)
		if err != nil && !errors.Is(err, errRefused) {
			return fmt.Errorf("log in on %s: %w", p.name(), err)
		}
		answer := "accepted"
		if err != nil {
			answer = "refused"
		}
		fmt.Fprintf(s.out, "%-10s %s: %s\n", p.name(), p.loginMeans(), answer)
		if (err == nil) != want {
			return fmt.Errorf("the login on %s was %s", p.name(), answer)
		}
	}
	return nil
}

func (s *story) suspend(ctx context.Context) error {
	s.title("Something is wrong with the agent: enabled = false suspends it everywhere")
	if err := s.enable(ctx, false); err != nil {
		return err
	}
	s.say("No login works any more. What the agent may do stays recorded on the platforms.")
	if err := s.logins(ctx, false); err != nil {
		return err
	}
	return s.holds(ctx, declared(), "suspended")
}

func (s *story) resume(ctx context.Context) error {
	s.title("All is well again: enabled = true")
	if err := s.enable(ctx, true); err != nil {
		return err
	}
	return s.logins(ctx, true)
}

// enable changes the one line, plans and applies.
func (s *story) enable(ctx context.Context, enabled bool) error {
	if err := s.write(configuration(s.platforms, enabled)); err != nil {
		return err
	}
	if _, err := s.terraform.run(ctx, changes, "plan", "-detailed-exitcode", "-out="+planFile); err != nil {
		return err
	}
	if _, err := s.terraform.run(ctx, 0, "apply", planFile); err != nil {
		return err
	}
	return s.settled(ctx)
}

func (s *story) destroy(ctx context.Context) error {
	s.title("The agent is retired: destroy leaves nothing behind")
	if _, err := s.terraform.run(ctx, 0, "destroy", "-auto-approve"); err != nil {
		return err
	}
	for _, p := range s.platforms {
		dump, err := s.dump(ctx, p)
		if err != nil {
			return err
		}
		if dump != nothing {
			return fmt.Errorf("platform %s still shows %q", p.name(), dump)
		}
	}
	return s.logins(ctx, false)
}

func expect(output, text string) error {
	if !strings.Contains(output, text) {
		return fmt.Errorf("the plan does not say %s", text)
	}
	return nil
}
