package audit

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
)

const waitingEvent = `{"sink":"siem","event":{"id":"1","change":"2","correlation":"3","time":"2026-01-01T00:00:00Z","activity":"grant",` +
	`"outcome":"succeeded","actor":{"name":"a"},"stack":"s","identity":{"name":"i"},"account":{"name":"a"},` +
	`"platform":{"name":"p","kind":"k","target":"t"},"version":"1"}}`

// TestWaitingDamaged: what is no event is an error, so that nothing is delivered in its place and nobody believes it to be.
func TestWaitingDamaged(t *testing.T) {
	if _, err := ParseWaiting([]string{waitingEvent}); err != nil {
		t.Error(err)
	}
	for _, text := range []string{
		"", "null", "{}", "[]", `"x"`, `{"sink":"siem"}`, `{"sink":"siem","event":{}}`, waitingEvent + "x", waitingEvent[:100],
		strings.Replace(waitingEvent, `"siem"`, `""`, 1), strings.Replace(waitingEvent, `"id":"1",`, "", 1),
		strings.Replace(waitingEvent, `2026-01-01T`, "soon", 1),
	} {
		if _, err := ParseWaiting([]string{waitingEvent, text}); err == nil || !strings.Contains(err.Error(), "audit event 2 ") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// FuzzWaiting: what is accepted is kept as it is.
func FuzzWaiting(f *testing.F) {
	for _, text := range []string{waitingEvent, "{}", "null", `{"sink":"s","event":{"time":"9999-12-31T23:59:59-23:59"}}`} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		_ = Words([]string{text})
		waiting, err := ParseWaiting([]string{text})
		if err != nil {
			return
		}
		j := newTrail(false).Open(Operation{}, waiting)
		left := j.left().Waiting
		again, err := ParseWaiting(left)
		if err != nil || len(left) != 1 || again[0].Sink != waiting[0].Sink || !reflect.DeepEqual(normal(t, again[0]), normal(t, waiting[0])) {
			t.Errorf("%q became %q: %v", text, left, err)
		}
	})
}

// normal is an event without the differences that JSON does not keep.
func normal(t *testing.T, w Waiting) any {
	t.Helper()
	text, err := json.Marshal(w)
	if err != nil {
		t.Fatal(err)
	}
	var out any
	if err := json.Unmarshal(text, &out); err != nil {
		t.Fatal(err)
	}
	return out
}
