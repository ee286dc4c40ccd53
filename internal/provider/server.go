package provider

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/user"
	"sync"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/provider"
	"github.com/hashicorp/terraform-plugin-go/tfprotov6/tf6server"

	"github.com/nhi-labs/terraform-provider-nhi/internal/audit"
	"github.com/nhi-labs/terraform-provider-nhi/internal/fleet"
	"github.com/nhi-labs/terraform-provider-nhi/internal/guard"
)

// Hooks let tests look at what the provider does.
type Hooks struct {
	// Change, if set, is told of every change on a platform, as soon as it was made.
	Change fleet.Watch
	// Call, if set, is told of every call of Terraform by its name in the protocol, before it is served.
	Call func(name string)
	// Intercept, if set, stands before every call to a platform.
	Intercept fleet.Intercept
	// Sink, if set, may replace a configured audit sink.
	Sink func(audit.NamedSink) audit.NamedSink
}

// Server is what one process serves: providers, and what their configurations opened.
type Server struct {
	version string
	now     func() time.Time
	hooks   Hooks

	mu     sync.Mutex
	opened []*providerData
}

// NewServer makes a server. Whether something has expired is judged by now.
func NewServer(version string, now func() time.Time, hooks Hooks) *Server {
	return &Server{version: version, now: now, hooks: hooks}
}

// Provider makes a provider for those that want the framework's.
func (s *Server) Provider() provider.Provider { return &nhiProvider{server: s} }

// Serve serves Terraform until it has no more calls. With debug, a debugger can be attached meanwhile.
func (s *Server) Serve(debug bool) error {
	var options []tf6server.ServeOpt
	if debug {
		options = append(options, tf6server.WithManagedDebug())
	} else if err := silenceLogs(); err != nil {
		return err
	}
	return tf6server.Serve("registry.terraform.io/nhi-labs/nhi", s.ProtocolServer, options...)
}

func (s *Server) register(data *providerData) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.opened = append(s.opened, data)
}

// closingTime is what Terraform leaves a provider after the last call, less what it takes to end: after two seconds the
// process is killed.
const closingTime = 1500 * time.Millisecond

// Close is for the end of the process: it tries once more to deliver audit events that nobody keeps, closes the sinks
// and the platforms, and returns within two seconds. The error names the events that are lost.
func (s *Server) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), closingTime)
	defer cancel()
	s.mu.Lock()
	opened := s.opened
	s.mu.Unlock()
	done := make(chan error, 1)
	go func() {
		var errs []error
		for _, data := range opened {
			errs = append(errs, guard.Call(ctx, "the provider", func() error { return data.close(ctx) }))
		}
		done <- errors.Join(errs...)
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return errors.New("the audit sinks and platforms could not be closed in time")
	}
}

func (d *providerData) close(ctx context.Context) error {
	lost, err := d.trail.Close(ctx)
	errs := []error{err, d.fleet.Close()}
	for _, event := range lost {
		errs = append(errs, fmt.Errorf("an audit event was not delivered, and no resource is there to keep it: %s", event))
	}
	return errors.Join(errs...)
}

// actor is who runs this process.
func actor() audit.Actor {
	name := ""
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	host, _ := os.Hostname() // without one the event has none
	return audit.WhoRuns(os.Getenv, name, host)
}
