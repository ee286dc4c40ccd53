// Package guard turns panics into errors. A panic that nobody recovers ends the process, and with it every operation that
// is under way in it: Terraform then has no answer for any of their resources.
//
// What the runtime itself gives up on (a full stack, exhausted memory, a map that is written twice at once) cannot be
// recovered; bounds on what is read keep the first two away.
package guard

import (
	"context"
	"fmt"
	"runtime"
	"strings"

	"github.com/hashicorp/terraform-plugin-log/tflog"
)

// PanicError is what a panic became. Its text names who panicked and where, and holds no secret: of the value that was
// panicked with it repeats only what the runtime says (an index, a type), because a library may panic with an answer.
type PanicError struct {
	// Who panicked, in words: "the driver".
	Who string
	// Reason is the runtime's error, or the type of another value.
	Reason string
	// Place is the function that panicked, with file and line.
	Place string
}

func (e *PanicError) Error() string {
	return fmt.Sprintf("%s panicked; please report this with the provider's log: %s, in %s", e.Who, e.Reason, e.Place)
}

// Call calls f and returns its error, a *PanicError if it panicked. Every goroutine of this program that runs more than a
// few lines runs under it. The stack goes to the log of ctx.
func Call(ctx context.Context, who string, f func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = Caught(ctx, who, r)
		}
	}()
	return f()
}

// Caught makes the error of a value that recover returned, and logs the stack. The deferred function that recovered calls
// it itself: the frames below are those of the panic.
func Caught(ctx context.Context, who string, recovered any) *PanicError {
	frames := stack()
	e := &PanicError{Who: who, Reason: reason(recovered), Place: "unknown"}
	if len(frames) > 0 {
		e.Place = frames[0]
	}
	tflog.Error(ctx, e.Who+" panicked: "+e.Reason, map[string]any{"stack": strings.Join(frames, "\n")})
	return e
}

func reason(recovered any) string {
	if err, ok := recovered.(runtime.Error); ok {
		return err.Error()
	}
	return fmt.Sprintf("a value of type %T", recovered)
}

// stack lists the frames of the panic, innermost first: functions and lines alone, while the arguments that debug.Stack
// prints may be parts of a secret.
func stack() []string {
	counters := make([]uintptr, 64)
	frames := runtime.CallersFrames(counters[:runtime.Callers(1, counters)])
	var lines []string
	panicked := false
	for {
		frame, more := frames.Next()
		if panicked && (len(lines) > 0 || !strings.HasPrefix(frame.Function, "runtime.")) {
			lines = append(lines, fmt.Sprintf("%s (%s:%d)", frame.Function, file(frame.File), frame.Line))
		}
		panicked = panicked || frame.Function == "runtime.gopanic"
		if !more {
			return lines
		}
	}
}

// file is a path without the directories of the machine that built the program.
func file(path string) string {
	parts := strings.Split(path, "/")
	return strings.Join(parts[max(0, len(parts)-2):], "/")
}
