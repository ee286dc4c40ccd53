package splunk

import (
	"encoding/json"
	"testing"

	"github.com/nhi-labs/terraform-provider-nhi/internal/audit/audittest"
	"github.com/nhi-labs/terraform-provider-nhi/internal/audit/ocsf"
)

// FuzzEncode: whatever a text holds, the body is one record. The collector takes any number of them that follow each other.
func FuzzEncode(f *testing.F) {
	for _, text := range audittest.Injections() {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		e := audittest.Hostile(text)
		s := &sink{config: Config{Version: ocsf.Default}}
		body, err := s.encode(e)
		if err != nil {
			t.Fatal(err)
		}
		var got envelope
		if err := json.Unmarshal(body, &got); err != nil {
			t.Fatalf("%v: %s", err, body)
		}
		if inner, err := ocsf.Decode(got.Event); err != nil || inner.ID != e.ID {
			t.Fatalf("%v: %s", err, got.Event)
		}
	})
}
