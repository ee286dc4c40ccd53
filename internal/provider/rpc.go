package provider

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/providerserver"
	"github.com/hashicorp/terraform-plugin-go/tfprotov6"

	"github.com/nhi-labs/terraform-provider-nhi/internal/guard"
)

// protocolServer is everything that Terraform can call. The interfaces behind the first are optional to Terraform, which
// finds them by type assertion.
type protocolServer interface {
	tfprotov6.ProviderServer
	tfprotov6.ListResourceServer
	tfprotov6.ActionServer
	tfprotov6.StateStoreServer
}

// rpcServer stands between Terraform and the framework. A call that panics answers with an error: Terraform then keeps what
// it knows of the resource, and every other call in the process goes on. And it takes from the framework the contexts of
// calls that are over, which the framework would keep until the end of the process.
type rpcServer struct {
	protocolServer // The calls of state stores, of which there are none, reach the framework as they are.
	watch          func(call string)

	mu      sync.Mutex
	running int // calls under way
	over    int // calls that are over since the framework last let go of their contexts
}

// ProtocolServer makes a provider and what serves it to Terraform.
func (s *Server) ProtocolServer() tfprotov6.ProviderServer {
	framework := providerserver.NewProtocol6(s.Provider())()
	return newRPCServer(framework.(protocolServer), s.hooks.Call) //nolint:forcetypeassert // The framework serves all that there is.
}

func newRPCServer(inner protocolServer, watch func(call string)) *rpcServer {
	if watch == nil {
		watch = func(string) {}
	}
	return &rpcServer{protocolServer: inner, watch: watch}
}

// releaseAfter is how many calls may be over before the framework is told to let go of their contexts.
const releaseAfter = 256

// begin begins a call, and returns its context and the function that ends it.
func (s *rpcServer) begin(ctx context.Context) (context.Context, func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.running++
	own := newCallContext(ctx)
	return own, func() {
		own.release()
		s.mu.Lock()
		defer s.mu.Unlock()
		s.running--
		s.over++
		if s.running > 0 || s.over < releaseAfter {
			return
		}
		s.over = 0
		// All that this does in the framework is to end the contexts that it was ever given, none of which is in use now: a
		// call that begins waits for the lock. Terraform itself calls it at an interrupt.
		_, _ = s.StopProvider(context.Background(), &tfprotov6.StopProviderRequest{})
	}
}

// ended is the context of calls that are over.
var ended = func() context.Context {
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(errors.New("the call is over"))
	return ctx
}()

// callContext is the context of one call. Whoever keeps it longer keeps nothing alive by it: the loggers in a call's
// context alone take more than ten kilobytes.
type callContext struct {
	current atomic.Pointer[context.Context]
}

func newCallContext(ctx context.Context) *callContext {
	c := &callContext{}
	c.current.Store(&ctx)
	return c
}

func (c *callContext) release() { c.current.Store(&ended) }

func (c *callContext) Deadline() (time.Time, bool) { return (*c.current.Load()).Deadline() }
func (c *callContext) Done() <-chan struct{}       { return (*c.current.Load()).Done() }
func (c *callContext) Err() error                  { return (*c.current.Load()).Err() }
func (c *callContext) Value(key any) any           { return (*c.current.Load()).Value(key) }

// answer serves the call of that name. Should it panic, its answer is what failed makes of the diagnostic.
func answer[Request, Response any](ctx context.Context, s *rpcServer, name string, request Request,
	call func(context.Context, Request) (Response, error), failed func([]*tfprotov6.Diagnostic) Response,
) (response Response, err error) {
	ctx, end := s.begin(ctx)
	defer end()
	defer func() {
		if r := recover(); r != nil {
			response, err = failed(panicDiagnostics(guard.Caught(ctx, "the provider", r))), nil
		}
	}()
	s.watch(name)
	return call(ctx, request)
}

// stream serves the call of that name, which answers with many elements: what open returns goes to push, and should anything of it panic,
// what failed makes of the diagnostic as the last one.
func stream[T any](ctx context.Context, s *rpcServer, name string, open func(context.Context) (iter.Seq[T], error),
	failed func([]*tfprotov6.Diagnostic) T, push func(T) bool,
) {
	ctx, end := s.begin(ctx)
	defer end()
	pushing, stopped := false, false
	defer func() {
		if pushing {
			return // It is Terraform's side that panicked, whose panic is not ours to end.
		}
		if r := recover(); r != nil {
			if caught := guard.Caught(ctx, "the provider", r); !stopped {
				push(failed(panicDiagnostics(caught)))
			}
		}
	}()
	s.watch(name)
	elements, err := open(ctx)
	if err != nil {
		push(failed([]*tfprotov6.Diagnostic{{Severity: tfprotov6.DiagnosticSeverityError, Summary: err.Error()}}))
		return
	}
	elements(func(element T) bool {
		pushing = true
		stopped = !push(element)
		pushing = false
		return !stopped
	})
}

const panicSummary = "The provider panicked"

func panicDetail(e *guard.PanicError) string {
	return fmt.Sprintf("This is a bug; please report it with the provider's log (TF_LOG_PROVIDER=ERROR): %s, in %s.\n\n"+
		"What was changed until here is found by the next run.", e.Reason, e.Place)
}

func panicDiagnostics(e *guard.PanicError) []*tfprotov6.Diagnostic {
	return []*tfprotov6.Diagnostic{{Severity: tfprotov6.DiagnosticSeverityError, Summary: panicSummary, Detail: panicDetail(e)}}
}

// recovered turns a panic into a diagnostic, with what the operation had already put into its response. Use it with defer.
func recovered(ctx context.Context, diags *diag.Diagnostics) {
	if r := recover(); r != nil {
		diags.AddError(panicSummary, panicDetail(guard.Caught(ctx, "the provider", r)))
	}
}
