// Command killprovider is the provider with a clock that tests can move, which stops its own run at some point, and whose
// audit sinks can fail:
//
//   - NHI_ACC_CLOCK is how much later it believes to be.
//   - NHI_ACC_KILL names a file with a number of points. The file is counted down, so that processes of one run count
//     together; at 0 the run is stopped before anything else happens. NHI_ACC_POINTS lists the kinds of points that count
//     ("change" if it is not set), NHI_ACC_STOP says how the run is stopped (by killing this process, if it is not set).
//   - NHI_ACC_TRACE names a file that gets a line for each point.
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

	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-go/tfprotov6/tf6server"

	"github.com/nhi-labs/terraform-provider-nhi/internal/audit"
	"github.com/nhi-labs/terraform-provider-nhi/internal/fleet"
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
	p := newPoints()
	now := func() time.Time { return time.Now().Add(later) }
	server := provider.NewServer("test", now, provider.Hooks{
		Change: func(change audit.Change) {
			p.pass(pointChange, string(change.Activity)+" on "+change.Platform.Name)
		},
		Intercept: func(ctx context.Context, c fleet.Call, do func(ctx context.Context) error) error {
			defer p.around(pointCall, c.Op+" on "+c.Platform)()
			err := do(ctx)
			if err == nil && c.Change != nil {
				record(*c.Change)
			}
			return err
		},
		Call: func(name string) {
			if name == os.Getenv("NHI_ACC_PANIC") {
				panic("as the test wants it")
			}
		},
		Sink: func(s audit.NamedSink) audit.NamedSink {
			s.Sink = faulty{s.Sink, p}
			return s
		},
	})
	counted, err := newCounted(server, p)
	if err != nil {
		log.Fatal(err)
	}
	err = tf6server.Serve("registry.terraform.io/nhi-labs/nhi", func() tfprotov6.ProviderServer { return counted })
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
	appendLine(path, fmt.Sprint(change.Activity, " ", change.Platform.Name, " ", change.Account.Name+change.Path))
}

// faulty is a sink that fails as the file NHI_ACC_SINK says: "down" refuses every event, "lost" takes them and loses the
// acknowledgement, "hang" does not answer, "after N" takes N events of this process and is down then.
type faulty struct {
	audit.Sink
	points *points
}

var taken struct {
	sync.Mutex
	n int
}

func (f faulty) Deliver(ctx context.Context, e audit.Event) error {
	defer f.points.around(pointAudit, fmt.Sprintf("delivery of %s %s on %s", e.Outcome, e.Activity, e.Platform.Name))()
	return f.deliver(ctx, e)
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
