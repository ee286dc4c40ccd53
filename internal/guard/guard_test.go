package guard_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-log/tflogtest"

	"github.com/nhi-labs/terraform-provider-nhi/internal/guard"
)

const canary = "canary-secret"

type answer struct{ text string }

// held panics in the way that index says, with a secret in its arguments and, where it can, in the value.
func held(index int, secret string) error {
	switch index {
	case 0:
		var list []string
		_ = list[len(secret)]
	case 1:
		m := map[string]map[string]int{}
		m[secret][secret] = 1
	case 2:
		var p *answer
		_ = p.text
	case 3:
		panic(errors.New(secret))
	case 4:
		panic(answer{secret})
	case 5:
		panic(secret)
	case 6:
		panic(nil) //nolint:govet // What libraries may do.
	case 7:
		defer func() { _ = []int{}[len(secret)] }()
		panic(secret)
	}
	return nil
}

func TestCall(t *testing.T) {
	for index, want := range []string{
		"index out of range [13] with length 0", "assignment to entry in nil map", "nil pointer dereference",
		"a value of type *errors.errorString", "a value of type guard_test.answer", "a value of type string",
		"panic called with nil argument", "index out of range [13]",
	} {
		var log bytes.Buffer
		ctx := tflogtest.RootLogger(t.Context(), &log)
		err := guard.Call(ctx, "the test", func() error { return held(index, canary) })
		var caught *guard.PanicError
		if !errors.As(err, &caught) {
			t.Fatalf("%d: %v", index, err)
		}
		if text := err.Error(); !strings.HasPrefix(text, "the test panicked; ") || !strings.Contains(text, want) ||
			!strings.Contains(text, "guard_test.held") || !strings.Contains(text, "guard/guard_test.go:") {
			t.Errorf("%d: %s", index, text)
		}
		if text := log.String(); !strings.Contains(text, "guard_test.TestCall") {
			t.Errorf("%d: the log lacks the stack: %s", index, text)
		}
		if strings.Contains(err.Error()+log.String(), canary) {
			t.Errorf("%d: a secret is in the error or in the log", index)
		}
	}
}

func TestCallWithoutPanic(t *testing.T) {
	failure := errors.New("failed")
	for _, want := range []error{nil, failure} {
		if err := guard.Call(context.Background(), "the test", func() error { return want }); !errors.Is(err, want) || (err == nil) != (want == nil) {
			t.Errorf("%v, want %v", err, want)
		}
	}
}
