package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// A place is where one server lives: its data, its log, its processes.
type place struct {
	dir     string // An empty directory that every user of the machine can pass through.
	logFile string
	record  *record
	save    func() error // Writes the record down, so that a killed testbed still finds its processes.
}

// A spawn says how to start a process.
type spawn struct {
	path string
	args []string
	// env is added to a minimal environment. What the caller has set for its own servers (VAULT_ADDR, PGHOST) must not
	// reach ours. Secrets belong here, not in args.
	env []string
	// user is whom the process runs as; nil for whoever runs the testbed.
	user *syscall.Credential
}

// command prepares a process; its output goes to the log of the place.
func (p *place) command(s spawn, log *os.File) *exec.Cmd {
	cmd := exec.Command(s.path, s.args...) // Not bound to a context: it outlives us.
	cmd.Dir = p.dir
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + p.dir, "LANG=C.UTF-8"}, s.env...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Credential: s.user}
	return cmd
}

// spawn starts a process that outlives the testbed and records it.
func (p *place) spawn(s spawn) error {
	log, err := p.openLog()
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := p.command(s, log)
	if err := cmd.Start(); err != nil {
		return err
	}
	go func() { _ = cmd.Wait() }() // Leaves no zombie when it ends first; how it ended stands in its log.
	started, err := startTime(cmd.Process.Pid)
	if err != nil {
		return fmt.Errorf("%s ended at once: %w", s.path, err)
	}
	p.record.Processes = append(p.record.Processes, process{PID: cmd.Process.Pid, Started: started})
	return p.save()
}

// run runs a process to its end, with stdin as its input.
func (p *place) run(s spawn, stdin string) error {
	log, err := p.openLog()
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := p.command(s, log)
	cmd.Stdin = bytes.NewBufferString(stdin)
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w, see %s", filepath.Base(s.path), err, p.logFile)
	}
	return nil
}

func (p *place) openLog() (*os.File, error) {
	return os.OpenFile(p.logFile, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
}

// A process is known by its number and the moment it started, as the system may give the number to another one later.
type process struct {
	PID     int    `json:"pid"`
	Started string `json:"started"`
}

func (p process) alive() bool {
	started, err := startTime(p.PID)
	return err == nil && started == p.Started
}

// stop asks the process group to end, waits, and in the end forces it.
func (p process) stop() error {
	for _, signal := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGKILL} {
		if !p.alive() {
			return nil
		}
		if err := syscall.Kill(-p.PID, signal); err != nil && !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("stop process %d: %w", p.PID, err)
		}
		for deadline := time.Now().Add(10 * time.Second); p.alive() && time.Now().Before(deadline); {
			time.Sleep(20 * time.Millisecond)
		}
	}
	if p.alive() {
		return fmt.Errorf("process %d does not end", p.PID)
	}
	return nil
}

// startTime reads when a process started, in the unit of the system. It fails for a process that has ended.
func startTime(pid int) (string, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return "", err
	}
	// "pid (name) state ...": the name may hold anything, so fields are counted after its closing parenthesis.
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	const state, started = 0, 19
	if len(fields) <= started {
		return "", fmt.Errorf("/proc/%d/stat has %d fields", pid, len(fields))
	}
	if string(fields[state]) == "Z" {
		return "", os.ErrProcessDone
	}
	return string(fields[started]), nil
}
