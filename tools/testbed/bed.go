package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/nhi-labs/terraform-provider-nhi/internal/testenv"
	"github.com/nhi-labs/terraform-provider-nhi/tools/internal/programs"
)

// readyWithin is how long a server may take to answer after its start.
const readyWithin = 90 * time.Second

// A bed is a set of servers that are started and stopped together. Its directory holds what is known of them: servers.json
// for the tests, state.json for stopping them, log/ for people, and a lock that says that somebody works on it.
type bed struct {
	dir     string
	unlock  func()
	records []*record
	servers testenv.Servers
}

// A record is what stopping a server needs.
type record struct {
	Server    string    `json:"server"`
	Dir       string    `json:"dir"`
	Processes []process `json:"processes"`
}

// openBed locks the bed in dir and reads what is there. close must be called.
func openBed(ctx context.Context, dir string) (*bed, error) {
	if err := os.MkdirAll(filepath.Join(dir, "log"), 0o700); err != nil {
		return nil, err
	}
	unlock, err := programs.Lock(ctx, filepath.Join(dir, "lock"))
	if err != nil {
		return nil, err
	}
	b := &bed{dir: dir, unlock: unlock}
	if err := b.read(); err != nil {
		b.close()
		return nil, err
	}
	return b, nil
}

func (b *bed) close() { b.unlock() }

func (b *bed) serversFile() string { return filepath.Join(b.dir, "servers.json") }
func (b *bed) stateFile() string   { return filepath.Join(b.dir, "state.json") }

func (b *bed) read() error {
	content, err := os.ReadFile(b.stateFile())
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := json.Unmarshal(content, &b.records); err != nil {
		return fmt.Errorf("%s: %w", b.stateFile(), err)
	}
	b.servers, err = testenv.Read(b.serversFile())
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

func (b *bed) save() error {
	content, err := json.MarshalIndent(b.records, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(b.stateFile(), append(content, '\n'), 0o600)
}

// up starts those of the selected servers that do not answer, and waits until all of them do.
func (b *bed) up(ctx context.Context, selected []server) error {
	for _, s := range selected {
		if err := s.install(ctx); err != nil {
			return fmt.Errorf("install %s: %w", s.name(), err)
		}
	}
	var started []server
	for _, s := range selected {
		if b.answers(ctx, s) {
			continue
		}
		if err := b.restart(ctx, s); err != nil {
			return fmt.Errorf("start %s: %w", s.name(), err)
		}
		started = append(started, s)
	}
	for _, s := range started {
		if err := b.waitReady(ctx, s); err != nil {
			return fmt.Errorf("%s does not get ready: %w\n%s", s.name(), err, tail(b.logFile(s)))
		}
	}
	return testenv.Write(b.serversFile(), b.servers)
}

func (b *bed) logFile(s server) string { return filepath.Join(b.dir, "log", s.name()+".log") }

func (b *bed) find(s server) *record {
	i := slices.IndexFunc(b.records, func(r *record) bool { return r.Server == s.name() })
	if i < 0 {
		return nil
	}
	return b.records[i]
}

// answers says whether the server runs and is well.
func (b *bed) answers(ctx context.Context, s server) bool {
	r := b.find(s)
	if r == nil || slices.ContainsFunc(r.Processes, func(p process) bool { return !p.alive() }) {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	return s.health(ctx, b.servers) == nil
}

// restart starts a server with no data. What is left of an earlier one is removed.
func (b *bed) restart(ctx context.Context, s server) error {
	if old := b.find(s); old != nil {
		if err := b.remove(old); err != nil {
			return err
		}
	}
	if err := os.RemoveAll(b.logFile(s)); err != nil {
		return err
	}
	// Not below the checkout, which may be closed to the other users that some servers run as.
	dir, err := os.MkdirTemp("/tmp", "nhi-testbed-"+s.name()+"-")
	if err != nil {
		return err
	}
	r := &record{Server: s.name(), Dir: dir}
	b.records = append(b.records, r)
	if err := b.save(); err != nil {
		return err
	}
	if err := os.Chmod(dir, 0o711); err != nil { // See place.dir.
		return err
	}
	return s.start(ctx, &place{dir: dir, logFile: b.logFile(s), record: r, save: b.save}, &b.servers)
}

func (b *bed) waitReady(ctx context.Context, s server) error {
	ctx, cancel := context.WithTimeout(ctx, readyWithin)
	defer cancel()
	for {
		err := s.health(ctx, b.servers)
		if err == nil {
			return nil
		}
		for _, p := range b.find(s).Processes {
			if !p.alive() {
				return fmt.Errorf("process %d has ended", p.PID)
			}
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// remove stops a server and deletes its data. Its record stays if that fails.
func (b *bed) remove(r *record) error {
	var errs []error
	for _, p := range r.Processes {
		errs = append(errs, p.stop())
	}
	errs = append(errs, os.RemoveAll(r.Dir))
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("stop %s: %w", r.Server, err)
	}
	b.records = slices.DeleteFunc(b.records, func(other *record) bool { return other == r })
	return b.save()
}

// down stops every server. One that does not stop does not keep the others from it.
func (b *bed) down() error {
	var errs []error
	for _, r := range slices.Backward(slices.Clone(b.records)) {
		errs = append(errs, b.remove(r))
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	b.servers = testenv.Servers{}
	return errors.Join(os.RemoveAll(b.serversFile()), os.RemoveAll(b.stateFile()))
}

// describe prints what was started.
func (b *bed) describe(out io.Writer) {
	if len(b.records) == 0 {
		fmt.Fprintln(out, "nothing is running")
		return
	}
	for _, s := range servers() {
		if b.find(s) != nil {
			fmt.Fprintf(out, "%-12s %s\n", s.name(), s.describe(b.servers))
		}
	}
	fmt.Fprintf(out, "%-12s %s\n", "described in", b.serversFile())
}

// health fails if something that was started does not answer.
func (b *bed) health(ctx context.Context) error {
	var errs []error
	for _, s := range servers() {
		if b.find(s) != nil && !b.answers(ctx, s) {
			errs = append(errs, fmt.Errorf("%s does not answer: start it again: testbed up", s.name()))
		}
	}
	return errors.Join(errs...)
}

// tail is the end of a log.
func tail(path string) string {
	content, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(content)), "\n")
	return path + ":\n" + strings.Join(lines[max(0, len(lines)-20):], "\n")
}
