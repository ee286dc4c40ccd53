package provider

import (
	"encoding/json"
	"slices"
	"testing"

	"github.com/nhi-labs/terraform-provider-nhi/internal/audit"
)

// TestPendingOn: what waits for audit sinks is none of a platform that is named "audit", and does not double with every read.
func TestPendingOn(t *testing.T) {
	waiting, err := json.Marshal(audit.Waiting{Sink: "siem"})
	if err != nil {
		t.Fatal(err)
	}
	undelivered := stringList([]string{string(waiting)})
	own := []string{"audit: a setting differs"}
	pending := withWaiting(append(own, "crm: a setting differs"), undelivered)
	if got := pendingOn("audit", pending, undelivered); !slices.Equal(got, own) {
		t.Errorf("pending %q, want %q", got, own)
	}
	if got := withWaiting(own, undelivered); !got.Equal(withWaiting(pendingOn("audit", got, undelivered), undelivered)) {
		t.Errorf("a second read changes %v", got)
	}
}
