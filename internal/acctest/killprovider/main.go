// Command killprovider is the provider with a clock that tests can move, which kills itself after a change on a
// platform, and whose audit sinks can fail:
//
//   - NHI_ACC_CLOCK is how much later it believes to be.
//   - NHI_ACC_KILL names a file with the number of changes that it may make. The file is counted down, so that processes
//     of one run count together; at 0 the process is gone before anything else happens. With NHI_ACC_KILL_AUDIT the
//     beginning and the end of each delivery of an audit event count as well.
//   - NHI_ACC_PANIC is a call of Terraform's protocol that panics.
//   - NHI_ACC_CHANGES names a file that gets a line for each change that a platform has accepted.
//   - NHI_ACC_SINK names a file that says how the audit sinks behave: see faulty.
//   - NHI_ACC_DNS is the address of a name server that resolves the names of all hosts.
//   - NHI_ACC_FILE_SIZE names a file with the number of bytes beyond which no file can grow, 0 for none.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nhi-labs/terraform-provider-nhi/internal/audit"
	"github.com/nhi-labs/terraform-provider-nhi/internal/provider"
)

func main() {
	var later time.Duration
	var err error
	if text := os.Getenv("NHI_ACC_CLOCK"); text != "" {
		if later, err = time.ParseDuration(text); err != nil {
			log.Fatal(err)
		}
	}
	resolve()
	if err := limitFiles(); err != nil {
		log.Fatal(err)
	}
	c := &countdown{path: os.Getenv("NHI_ACC_KILL")}
	now := func() time.Time { return time.Now().Add(later) }
	server := provider.NewServer("test", now, provider.Hooks{
		Change: func(change audit.Change) {
			record(change)
			c.step()
		},
		Call: func(name string) {
			if name == os.Getenv("NHI_ACC_PANIC") {
				panic("as the test wants it")
			}
		},
		Sink: func(s audit.NamedSink) audit.NamedSink {
			s.Sink = faulty{s.Sink, c}
			return s
		},
	})
	err = server.Serve(false)
	if err := errors.Join(err, server.Close()); err != nil {
		log.Fatal(err)
	}
}

// record writes down what happened on a platform, whatever becomes of its evidence.
func record(change audit.Change) {
	path := os.Getenv("NHI_ACC_CHANGES")
	if path == "" {
		return
	}
	file, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err == nil {
		_, err = fmt.Fprintln(file, change.Activity, change.Platform.Name, change.Account.Name+change.Path)
	}
	if err == nil {
		err = file.Close()
	}
	if err != nil {
		log.Fatal(err)
	}
}

type countdown struct {
	path string
	mu   sync.Mutex
}

// step counts one step, and may be the last thing that the process does.
func (c *countdown) step() {
	if c.path == "" {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	content, err := os.ReadFile(c.path)
	if err != nil {
		log.Fatal(err)
	}
	left, err := strconv.Atoi(strings.TrimSpace(string(content)))
	if err != nil {
		log.Fatal(err)
	}
	left--
	if err := os.WriteFile(c.path, []byte(strconv.Itoa(left)), 0o600); err != nil {
		log.Fatal(err)
	}
	if left != 0 {
		return
	}
	self, err := os.FindProcess(os.Getpid())
	if err == nil {
		err = self.Kill()
	}
	log.Fatal("the process outlives its own death: ", err)
}

// faulty is a sink that fails as the file NHI_ACC_SINK says: "down" refuses every event, "lost" takes them and loses the
// acknowledgement, "hang" does not answer, "after N" takes N events of this process and is down then.
type faulty struct {
	audit.Sink
	countdown *countdown
}

var taken struct {
	sync.Mutex
	n int
}

func (f faulty) Deliver(ctx context.Context, e audit.Event) error {
	counting := os.Getenv("NHI_ACC_KILL_AUDIT") != ""
	if counting {
		f.countdown.step()
	}
	err := f.deliver(ctx, e)
	if counting {
		f.countdown.step()
	}
	return err
}

func (f faulty) deliver(ctx context.Context, e audit.Event) error {
	mode := "up"
	if path := os.Getenv("NHI_ACC_SINK"); path != "" {
		content, err := os.ReadFile(path)
		if err != nil {
			log.Fatal(err)
		}
		mode = strings.TrimSpace(string(content))
	}
	if text, found := strings.CutPrefix(mode, "after "); found {
		n, err := strconv.Atoi(text)
		if err != nil {
			log.Fatal(err)
		}
		taken.Lock()
		taken.n++
		mode = "up"
		if taken.n > n {
			mode = "down"
		}
		taken.Unlock()
	}
	switch mode {
	case "down":
		return errors.New("503 Service Unavailable")
	case "hang":
		<-ctx.Done()
		return ctx.Err()
	case "lost":
		return errors.Join(f.Sink.Deliver(ctx, e), errors.New("connection reset by peer"))
	default:
		return f.Sink.Deliver(ctx, e)
	}
}
