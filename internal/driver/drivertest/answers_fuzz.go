package drivertest

import (
	"bytes"
	"compress/gzip"
	"context"
	"io"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
)

// hostileStatuses are the statuses of hostile answers.
var hostileStatuses = []int{
	http.StatusOK, http.StatusNotFound, http.StatusCreated, http.StatusNoContent, http.StatusBadRequest, http.StatusForbidden,
	http.StatusConflict, http.StatusUnauthorized, http.StatusGone, http.StatusFound, http.StatusMethodNotAllowed,
	http.StatusPreconditionFailed, http.StatusUnprocessableEntity, http.StatusNotImplemented, http.StatusTooManyRequests,
	http.StatusServiceUnavailable, http.StatusInternalServerError, http.StatusPartialContent, 299, 599,
}

const (
	// hurry bounds a call whose hostile answer drivers wait after, calm every other one.
	hurry = 50 * time.Millisecond
	calm  = 400 * time.Millisecond
	// hang is how long a call may go on after its context has ended.
	hang = 20 * time.Second
)

// Fuzz is the whole of a fuzz target: it replaces one answer of one call by a hostile one. The call must come to an end, in
// time and without a panic; what is not the platform's own word for it is never absence, and what is read of an account is
// about that account, in texts that state can hold.
func (a Answers) Fuzz(f *testing.F) {
	all := a.load(f)
	for call, r := range all {
		for at, answer := range r.Answers {
			f.Add(uint8(call), uint8(at), uint8(max(0, slices.Index(hostileStatuses, answer.Status))), answer.Header, []byte(answer.Body))
		}
	}
	f.Add(uint8(0), uint8(0), uint8(14), "Retry-After: 99999999999999999999", []byte("{}"))
	f.Add(uint8(1), uint8(0), uint8(9), "Location: {{base}}/elsewhere", []byte(""))
	f.Add(uint8(1), uint8(1), uint8(1), "Content-Type: application/json", []byte(`{"errors":[]}`))
	f.Add(uint8(1), uint8(1), uint8(1), "Content-Type: text/html", []byte(`<h1>Not Found</h1>`))
	server := newReplay(f)
	f.Fuzz(func(t *testing.T, call, at, status uint8, header string, body []byte) {
		r := all[int(call)%len(all)]
		if len(r.Answers) == 0 {
			return // it makes no request
		}
		hostile := Answer{Status: hostileStatuses[int(status)%len(hostileStatuses)], Header: header, Body: string(body)}
		position := int(at) % len(r.Answers)
		wait := calm
		if hostile.Status == http.StatusTooManyRequests || hostile.Status >= http.StatusInternalServerError {
			wait = hurry
		}
		server.play(r, position, hostile)
		watch := time.AfterFunc(wait+hang, func() { panic(r.Call + " hangs") })
		defer watch.Stop()
		a.judge(t, r, position, hostile, a.call(t, server, r, wait))
	})
}

// judge checks what a call made of a hostile answer.
func (a Answers) judge(t *testing.T, r recording, at int, hostile Answer, got outcome) {
	t.Helper()
	said := a.Absent(hostile) || slices.ContainsFunc(slices.Delete(slices.Clone(r.Answers), at, at+1), a.Absent)
	if got.code == driver.NotFound.String() && !said {
		t.Errorf("%s takes for absence what nobody said: %d %s", r.Call, hostile.Status, hostile.Body)
	}
	if got.account != nil {
		if want := r.Account.ID; r.Call == "ReadAccount" && got.account.ID != want {
			t.Errorf("read account %q, got %q", want, got.account.ID)
		}
		a.judgeAccount(t, *got.account)
	}
	for _, account := range got.swept {
		a.judgeAccount(t, account)
	}
}

// judgeAccount checks what state and the plan rely on.
func (a Answers) judgeAccount(t *testing.T, account nhi.Account) {
	t.Helper()
	if account.Name == "" {
		t.Errorf("an account without a name: %+v", account)
	}
	if !slices.IsSortedFunc(account.Entitlements, nhi.Entitlement.Compare) {
		t.Errorf("entitlements are not sorted: %s", nhi.JoinTexts(account.Entitlements))
	}
	for _, e := range account.Entitlements {
		if again, err := a.Spec.Grammar.ParseObserved(e.String()); err != nil || again != e {
			t.Errorf("listed entitlement %#v is read from state as %#v, %v", e, again, err)
		}
	}
}

// mostMemory is what a call may allocate in all while it reads one answer without an end: some times the bound of an
// answer, because what is read grows by doubling.
const mostMemory = 512 << 20

// Bounded checks that an answer without an end, plain or compressed, costs neither memory nor time: the answer to the last
// request of each sort of read.
func (a Answers) Bounded(t *testing.T) {
	server := newReplay(t)
	for _, r := range a.load(t) {
		if !slices.Contains([]string{"Probe", "ReadAccount", "Sweep", "GetSecret"}, r.Call) {
			continue
		}
		at := len(r.Answers) - 1
		for _, encoding := range []string{"identity", "gzip"} {
			t.Run(r.Call+"/"+encoding, func(t *testing.T) {
				header := r.Answers[at].Header
				if encoding == "gzip" {
					header += "\nContent-Encoding: gzip"
				}
				server.play(r, at, Answer{Status: http.StatusOK, Header: header, endless: true})
				var before, after runtime.MemStats
				runtime.ReadMemStats(&before)
				got := a.call(t, server, r, patience)
				runtime.ReadMemStats(&after)
				if got.code == "" || got.code == driver.NotFound.String() {
					t.Errorf("an answer without an end came to %q", got.code)
				}
				if used := after.TotalAlloc - before.TotalAlloc; used > mostMemory {
					t.Errorf("an answer without an end took %d MB", used>>20)
				}
			})
		}
	}
}

// bomb is a piece of JSON that goes on as long as somebody reads, compressed: 64 MiB in 64 KiB.
var bomb = sync.OnceValue(func() []byte {
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	piece := []byte(strings.Repeat(" ", 1<<20))
	for range 64 {
		_, _ = w.Write(piece)
	}
	_ = w.Close()
	return packed.Bytes()
})

// writeEndless writes until the reader goes away or ctx ends. Compressed files that follow each other are one.
func writeEndless(ctx context.Context, w io.Writer, compressed bool) {
	piece := []byte(strings.Repeat(" ", 1<<16))
	if compressed {
		piece = bomb()
	}
	for ctx.Err() == nil {
		if _, err := w.Write(piece); err != nil {
			return
		}
	}
}
