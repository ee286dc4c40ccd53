// Command nhi is the provider of this checkout, so that its use of CPU and memory can be measured. Its audit sinks take
// the time in the environment variable usage.EnvSink to answer, and keep nothing.
package main

import (
	"context"
	"errors"
	"log"
	"os"
	"time"

	"github.com/nhi-labs/terraform-provider-nhi/internal/audit"
	"github.com/nhi-labs/terraform-provider-nhi/internal/audit/ocsf"
	"github.com/nhi-labs/terraform-provider-nhi/internal/provider"
	"github.com/nhi-labs/terraform-provider-nhi/tools/bench/internal/usage"
)

func main() {
	answer, err := time.ParseDuration(os.Getenv(usage.EnvSink))
	if err != nil {
		log.Fatal(err)
	}
	server := provider.NewServer("bench", time.Now, provider.Hooks{Sink: func(s audit.NamedSink) audit.NamedSink {
		s.Sink = sink(answer)
		return s
	}})
	if err := errors.Join(usage.Measure(func() error { return server.Serve(false) }), server.Close()); err != nil {
		log.Fatal(err)
	}
}

// sink encodes each event as a real one does, and answers after a while.
type sink time.Duration

func (s sink) Deliver(_ context.Context, e audit.Event) error {
	_, err := ocsf.Encode(ocsf.Default, e)
	time.Sleep(time.Duration(s))
	return err
}

func (s sink) Close() error { return nil }
