package audittest

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nhi-labs/terraform-provider-nhi/internal/audit"
)

// Canary is a secret that tests configure; it must not turn up in any error.
const Canary = "canary-7d1f4c2b9a"

// Receiver is an HTTP server whose connections can be counted.
type Receiver struct {
	URL  string
	open atomic.Int64
}

// NewReceiver starts a receiver on this machine that ends with the test.
func NewReceiver(t testing.TB, handler http.HandlerFunc) *Receiver {
	t.Helper()
	r := &Receiver{}
	server := httptest.NewUnstartedServer(handler)
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		switch state {
		case http.StateNew:
			r.open.Add(1)
		case http.StateClosed, http.StateHijacked:
			r.open.Add(-1)
		}
	}
	server.Start()
	t.Cleanup(server.Close)
	r.URL = server.URL
	return r
}

// Acknowledged says what a protocol takes for an acknowledgement.
type Acknowledged int

// The ways to acknowledge.
const (
	// AnyOK: a status from 200 to 299, whatever the answer says.
	AnyOK Acknowledged = iota
	// OwnAnswer: an answer that only a receiver of the protocol gives.
	OwnAnswer
)

// HTTPFaults checks that a sink reports every way in which a receiver does not acknowledge, repeats none of its secrets
// (which contain Canary), takes no notice of a redirect, and leaves no connection behind. open makes the sink for a URL.
func HTTPFaults(t *testing.T, open func(t *testing.T, url string) audit.Sink, acknowledged Acknowledged) {
	t.Helper()
	echo := func(r *http.Request) string {
		var said strings.Builder
		for _, values := range r.Header {
			said.WriteString(strings.Join(values, " ") + " ")
		}
		return said.String()
	}
	elsewhere := NewReceiver(t, func(http.ResponseWriter, *http.Request) { t.Error("a redirect was followed") })
	const refusal = "refused, and the request repeated"
	faults := map[string]http.HandlerFunc{
		"unavailable": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) },
		refusal: func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusBadRequest)
			said := strings.ReplaceAll(echo(r), `"`, `'`)
			_, _ = w.Write([]byte(`{"text":"` + said + `","err":"` + said + `","description":"` + said + `","error":"` + said + `"}`))
		},
		"forbidden":         func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) },
		"too many requests": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTooManyRequests) },
		"redirect": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, elsewhere.URL, http.StatusTemporaryRedirect)
		},
		"closed before the answer": func(w http.ResponseWriter, _ *http.Request) { hijack(t, w, "") },
		"closed in the headers":    func(w http.ResponseWriter, _ *http.Request) { hijack(t, w, "HTTP/1.1 200 OK\r\nContent-Le") },
		"closed in the body": func(w http.ResponseWriter, _ *http.Request) {
			hijack(t, w, "HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{")
		},
		"endless answer": func(w http.ResponseWriter, r *http.Request) { endless(w, r) },
		"no HTTP":        func(w http.ResponseWriter, _ *http.Request) { hijack(t, w, "220 mail.example.com ESMTP\r\n") },
	}
	if acknowledged == OwnAnswer {
		faults["a login page with the status OK"] = func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>Log in</html>")) }
	}
	for name, fault := range faults {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			receiver := NewReceiver(t, fault)
			sink := open(t, receiver.URL)
			err := checkRefused(t, sink)
			if itself := errors.Is(err, audit.ErrRefused); itself != (name == refusal) {
				t.Errorf("the event itself is refused: %v, by %v", itself, err)
			}
			checkClosed(t, sink, receiver)
		})
	}
	t.Run("slow", func(t *testing.T) {
		t.Parallel()
		release := make(chan struct{})
		receiver := NewReceiver(t, func(http.ResponseWriter, *http.Request) { <-release })
		t.Cleanup(func() { close(release) }) // Before the receiver ends: cleanups run backwards.
		sink := open(t, receiver.URL)
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		if err := sink.Deliver(ctx, Event(audit.Grant, audit.Succeeded)); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("slow receiver: %v", err)
		}
		if err := sink.Close(); err != nil {
			t.Error(err)
		}
	})
	t.Run("down", func(t *testing.T) {
		t.Parallel()
		down := httptest.NewServer(http.NotFoundHandler())
		down.Close()
		if err := checkRefused(t, open(t, down.URL)); errors.Is(err, audit.ErrRefused) {
			t.Errorf("the event itself is refused by %v", err)
		}
	})
}

func hijack(t *testing.T, w http.ResponseWriter, answer string) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		t.Error(err)
		return
	}
	_, _ = conn.Write([]byte(answer))
	_ = conn.Close()
}

func endless(w http.ResponseWriter, r *http.Request) {
	for r.Context().Err() == nil {
		if _, err := w.Write(make([]byte, 32<<10)); err != nil {
			return
		}
	}
}

func checkRefused(t *testing.T, sink audit.Sink) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	err := sink.Deliver(ctx, Event(audit.SuspendAccount, audit.Succeeded))
	switch {
	case err == nil:
		t.Error("no error")
	case ctx.Err() != nil:
		t.Errorf("only the deadline ended it: %v", err)
	case strings.Contains(err.Error(), Canary):
		t.Errorf("the error repeats a secret: %v", err)
	case strings.ContainsAny(err.Error(), "\r\n"):
		t.Errorf("the error has several lines: %q", err)
	}
	return err
}

func checkClosed(t *testing.T, sink audit.Sink, receiver *Receiver) {
	t.Helper()
	if err := sink.Close(); err != nil {
		t.Error(err)
	}
	Eventually(t, func() error {
		if receiver.open.Load() > 0 {
			return errors.New("a connection is still open after Close")
		}
		return nil
	})
}
