package main

import (
	"fmt"
	"log"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Kinds of points, as NHI_ACC_POINTS lists them.
const (
	pointChange = "change" // after a change on a platform
	pointAudit  = "audit"  // beginning and end of the delivery of an audit event
	pointCall   = "call"   // beginning and end of a call to a platform
	pointRPC    = "rpc"    // beginning and end of what Terraform asks for
)

// Ways to stop a run at a point, as NHI_ACC_STOP names them.
const (
	stopKill      = "kill"       // SIGKILL to this process
	stopInterrupt = "interrupt"  // one SIGINT to the program that started this process
	stopTwice     = "interrupt2" // another one as soon as the first has arrived here
)

// arrival is how long an interrupt may take through the CLI back to the provider. There are phases in which the CLI
// passes none on.
const arrival = 2 * time.Second

// points counts the points that a run passes, and stops it at one of them.
type points struct {
	countdown, trace string // files
	kinds, how       string

	// mu makes all others wait who come to a point while one stops the run.
	mu      sync.Mutex
	stop    sync.Once
	stopped chan struct{} // closed when an interrupt has arrived
}

// newPoints reads from the environment what counts.
func newPoints() *points {
	p := &points{countdown: os.Getenv("NHI_ACC_KILL"), trace: os.Getenv("NHI_ACC_TRACE"), kinds: os.Getenv("NHI_ACC_POINTS"),
		how: os.Getenv("NHI_ACC_STOP"), stopped: make(chan struct{})}
	if p.kinds == "" {
		p.kinds = pointChange
	}
	return p
}

// interrupted notes that an interrupt has arrived.
func (p *points) interrupted() { p.stop.Do(func() { close(p.stopped) }) }

// around passes a point before something, and one after it, when the returned function is called.
func (p *points) around(kind, what string) func() {
	p.pass(kind, "before "+what)
	return func() { p.pass(kind, "after "+what) }
}

// pass is one point. It may be the last thing that the process does.
func (p *points) pass(kind, what string) {
	if p.countdown == "" || !strings.Contains(p.kinds, kind) {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	content, err := os.ReadFile(p.countdown)
	if err != nil {
		log.Fatal(err)
	}
	left, err := strconv.Atoi(strings.TrimSpace(string(content)))
	if err != nil {
		log.Fatal(err)
	}
	left--
	replaceFile(p.countdown, strconv.Itoa(left))
	if p.trace != "" {
		appendLine(p.trace, fmt.Sprintf("%d %s: %s", os.Getpid(), kind, what))
	}
	if left == 0 {
		p.end()
	}
}

// end stops the run.
func (p *points) end() {
	switch p.how {
	case stopInterrupt:
		p.interrupt()
	case stopTwice:
		p.interrupt()
		send(os.Getppid(), os.Interrupt)
	default:
		send(os.Getpid(), os.Kill)
		time.Sleep(time.Minute)
		log.Fatal("the process outlives its own death")
	}
}

// interrupt interrupts the CLI and waits until the provider is told of it.
func (p *points) interrupt() {
	send(os.Getppid(), os.Interrupt)
	select {
	case <-p.stopped:
	case <-time.After(arrival):
	}
}

func send(pid int, s os.Signal) {
	process, err := os.FindProcess(pid)
	if err == nil {
		err = process.Signal(s)
	}
	if err != nil {
		log.Fatal(err)
	}
}

// replaceFile leaves the old content or the new one: the process may end at any time.
func replaceFile(path, content string) {
	err := os.WriteFile(path+".new", []byte(content), 0o600)
	if err == nil {
		err = os.Rename(path+".new", path)
	}
	if err != nil {
		log.Fatal(err)
	}
}

func appendLine(path, line string) {
	file, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err == nil {
		_, err = fmt.Fprintln(file, line)
	}
	if err == nil {
		err = file.Close()
	}
	if err != nil {
		log.Fatal(err)
	}
}
