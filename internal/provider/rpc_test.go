package provider

import (
	"bytes"
	"context"
	"fmt"
	"iter"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-go/tftypes"
)

// broken panics in every call.
type broken struct{ protocolServer }

// brokenStreams panics in the middle of its answers.
type brokenStreams struct{ protocolServer }

func (brokenStreams) ListResource(context.Context, *tfprotov6.ListResourceRequest) (*tfprotov6.ListResourceServerStream, error) {
	return &tfprotov6.ListResourceServerStream{Results: func(push func(tfprotov6.ListResourceResult) bool) {
		push(tfprotov6.ListResourceResult{DisplayName: "first"})
		panic("canary-secret")
	}}, nil
}

func (brokenStreams) InvokeAction(context.Context, *tfprotov6.InvokeActionRequest) (*tfprotov6.InvokeActionServerStream, error) {
	return &tfprotov6.InvokeActionServerStream{Events: func(push func(tfprotov6.InvokeActionEvent) bool) {
		push(tfprotov6.InvokeActionEvent{Type: tfprotov6.ProgressInvokeActionEventType{Message: "first"}})
		panic("canary-secret")
	}}, nil
}

// calls lists the names of Terraform's calls that may run code of this provider.
func calls() []string {
	var names []string
	all, stores := reflect.TypeFor[protocolServer](), reflect.TypeFor[tfprotov6.StateStoreServer]()
	for i := range all.NumMethod() {
		name := all.Method(i).Name
		if _, store := stores.MethodByName(name); !store && name != "StopProvider" {
			names = append(names, name)
		}
	}
	return names
}

// must returns v as a T, which it is.
func must[T any](v any) T {
	out, ok := v.(T)
	if !ok {
		panic(fmt.Sprintf("%T", v))
	}
	return out
}

// errorTexts collects the errors in what a call answers, wherever they are.
func errorTexts(answer reflect.Value) []string {
	var found []string
	switch v := answer.Elem(); {
	case v.FieldByName("Results").IsValid():
		for result := range must[iter.Seq[tfprotov6.ListResourceResult]](v.FieldByName("Results").Interface()) {
			found = append(found, diagnosticTexts(result.Diagnostics)...)
		}
	case v.FieldByName("Events").IsValid():
		for event := range must[iter.Seq[tfprotov6.InvokeActionEvent]](v.FieldByName("Events").Interface()) {
			if completed, ok := event.Type.(tfprotov6.CompletedInvokeActionEventType); ok {
				found = append(found, diagnosticTexts(completed.Diagnostics)...)
			}
		}
	case v.FieldByName("Error").IsValid():
		if e := must[*tfprotov6.FunctionError](v.FieldByName("Error").Interface()); e != nil {
			found = append(found, e.Text)
		}
	default:
		found = diagnosticTexts(must[[]*tfprotov6.Diagnostic](v.FieldByName("Diagnostics").Interface()))
	}
	return found
}

func diagnosticTexts(ds []*tfprotov6.Diagnostic) []string {
	var found []string
	for _, d := range ds {
		if d.Severity == tfprotov6.DiagnosticSeverityError {
			found = append(found, d.Summary+": "+d.Detail)
		}
	}
	return found
}

// TestPanicInEveryCall goes through the protocol as it is compiled in, so that a call that comes with a new version is not
// forgotten. A call panics in what it is served by, before that, or in the middle of a stream.
func TestPanicInEveryCall(t *testing.T) {
	hooked := func(string) { panic("canary-secret") }
	for how, server := range map[string]*rpcServer{
		"inner": newRPCServer(broken{}, nil), "hook": newRPCServer(broken{}, hooked),
		"middle": newRPCServer(brokenStreams{broken{}}, nil),
	} {
		for _, name := range calls() {
			method := reflect.ValueOf(server).MethodByName(name)
			request := reflect.New(method.Type().In(1).Elem())
			out := method.Call([]reflect.Value{reflect.ValueOf(t.Context()), request})
			if err := out[1].Interface(); err != nil {
				t.Errorf("%s, %s: error %v", how, name, err)
				continue
			}
			found := errorTexts(out[0])
			if len(found) != 1 || !strings.Contains(found[0], panicSummary) || strings.Contains(found[0], "canary") {
				t.Errorf("%s, %s: %q", how, name, found)
			}
		}
		if server.running != 0 {
			t.Errorf("%s: %d calls are under way for ever", how, server.running)
		}
	}
	if len(calls()) < 27 {
		t.Errorf("the protocol has lost calls: %q", calls())
	}
}

// TestPanicKeepsState is about what Terraform is told of a resource besides the error.
func TestPanicKeepsState(t *testing.T) {
	server := newRPCServer(broken{}, nil)
	state, identity, private := &tfprotov6.DynamicValue{MsgPack: []byte{0x80}}, &tfprotov6.ResourceIdentityData{}, []byte("private")
	read, _ := server.ReadResource(t.Context(), &tfprotov6.ReadResourceRequest{CurrentState: state, CurrentIdentity: identity, Private: private})
	if read.NewState != state || read.NewIdentity != identity || !bytes.Equal(read.Private, private) {
		t.Errorf("read: %+v", read)
	}
	applied, _ := server.ApplyResourceChange(t.Context(), &tfprotov6.ApplyResourceChangeRequest{PriorState: state, PlannedState: state})
	value, err := applied.NewState.Unmarshal(tftypes.Object{AttributeTypes: map[string]tftypes.Type{"a": tftypes.String}})
	if err != nil || !value.IsNull() {
		t.Errorf("applied: %v, %v", value, err)
	}
	renewed, _ := server.RenewEphemeralResource(t.Context(), &tfprotov6.RenewEphemeralResourceRequest{Private: private})
	if !bytes.Equal(renewed.Private, private) {
		t.Errorf("renewed: %+v", renewed)
	}
}

// TestStreams pass on what comes, stop when Terraform stops, and do not swallow a panic of Terraform's own side.
func TestStreams(t *testing.T) {
	server := newRPCServer(brokenStreams{}, nil)
	for range 2 {
		stream, _ := server.ListResource(t.Context(), &tfprotov6.ListResourceRequest{})
		var names []string
		for result := range stream.Results {
			names = append(names, result.DisplayName)
		}
		if !slices.Equal(names, []string{"first", ""}) {
			t.Errorf("results %q", names)
		}
		for range stream.Results {
			break
		}
	}
	defer func() {
		if r := recover(); r != "of Terraform" {
			t.Errorf("recovered %v", r)
		}
		if server.running != 0 {
			t.Errorf("%d calls are under way for ever", server.running)
		}
	}()
	stream, _ := server.ListResource(t.Context(), &tfprotov6.ListResourceRequest{})
	for range stream.Results {
		panic("of Terraform")
	}
}

// TestContextsAreReleased makes more calls than a large plan does, with contexts as heavy as plugin-go's, and looks at what
// of them is still there: with another call under way all the time, and without.
func TestContextsAreReleased(t *testing.T) {
	const n, weight = 20_000, 10 << 10
	for _, busy := range []bool{false, true} {
		t.Run(fmt.Sprintf("busy %t", busy), func(t *testing.T) {
			server := must[*rpcServer](NewServer("test", time.Now, Hooks{}).ProtocolServer())
			if busy {
				_, end := server.begin(t.Context())
				defer end()
			}
			type key struct{}
			call := func() {
				ctx, cancel := context.WithCancel(context.WithValue(t.Context(), key{}, make([]byte, weight)))
				defer cancel()
				if _, err := server.GetMetadata(ctx, &tfprotov6.GetMetadataRequest{}); err != nil {
					t.Fatal(err)
				}
			}
			call()
			before := heap()
			for range n {
				call()
			}
			grown := int64(heap()) - int64(before)
			runtime.KeepAlive(server)
			// A framework that keeps all of it would have 200 MB. What is left while it is busy are empty contexts.
			if limit := int64(6 << 20); grown > limit {
				t.Errorf("the heap has grown by %d KB after %d calls, more than %d KB", grown>>10, n, limit>>10)
			}
			t.Logf("the heap has grown by %d KB", grown>>10)
		})
	}
}

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// TestReleaseSparesCallsUnderWay: the framework ends the contexts that it holds, and no other call's may be among them.
func TestReleaseSparesCallsUnderWay(t *testing.T) {
	server := must[*rpcServer](NewServer("test", time.Now, Hooks{}).ProtocolServer())
	ctx, end := server.begin(t.Context())
	for range 3 * releaseAfter {
		_, over := server.begin(t.Context())
		over()
	}
	if ctx.Err() != nil {
		t.Errorf("a call under way was ended: %v", context.Cause(ctx))
	}
	end()
	if ctx.Err() == nil || server.over != 0 {
		t.Errorf("error %v, %d calls over and not released", ctx.Err(), server.over)
	}
}
