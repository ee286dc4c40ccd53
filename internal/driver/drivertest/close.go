package drivertest

import (
	"bytes"
	"context"
	"crypto/rand"
	"runtime/pprof"
	"strings"
	"testing"
	"time"
)

// closeCases are about what is left of a driver.
var closeCases = []testCase{
	{name: "close/leaves_nothing", alone: true, run: closeLeavesNothing},
}

// settleTime is how long what a driver has started may take to end after Close.
const settleTime = 10 * time.Second

// closeLeavesNothing uses a driver in every way, also one that gets no answer, and looks for the goroutines that are left
// once both are closed. Client libraries keep a goroutine for each connection, so those are seen as well; the test of a kind
// whose library does not counts them itself.
func closeLeavesNothing(k *kit) {
	s := k.subject()
	calls := k.calls(s)
	label := rand.Text()
	// What a goroutine starts inherits its labels, also what a library starts; what other tests do meanwhile has none.
	pprof.Do(k.ctx, pprof.Labels("drivertest", label), func(ctx context.Context) {
		k.Run("use", func(t *testing.T) { // Its end closes the drivers.
			d := k.h.Open(t)
			for _, c := range calls {
				_ = c.do(ctx, d)
			}
			if _, declared := k.h.Unsupported()["fault/"+string(Silent)]; declared {
				return
			}
			silent := k.h.WithFault(t, Silent)
			_ = together(len(calls), func(i int) error {
				ctx, cancel := context.WithTimeout(ctx, silence/4)
				defer cancel()
				return calls[i].do(ctx, silent)
			})
		})
	})
	var left []string
	for begin := time.Now(); time.Since(begin) < settleTime; time.Sleep(10 * time.Millisecond) {
		if left = goroutines(label); len(left) == 0 {
			return
		}
	}
	k.Errorf("still there after Close:\n%s", strings.Join(left, "\n"))
}

// goroutines lists the goroutines with the label.
func goroutines(label string) []string {
	var all bytes.Buffer
	if err := pprof.Lookup("goroutine").WriteTo(&all, 1); err != nil {
		return []string{err.Error()}
	}
	var found []string
	for group := range strings.SplitSeq(all.String(), "\n\n") {
		if strings.Contains(group, label) {
			found = append(found, group)
		}
	}
	return found
}
