package webhook

import (
	"testing"

	cloudevents "github.com/cloudevents/sdk-go/v2/event"

	"github.com/nhi-labs/terraform-provider-nhi/internal/audit/audittest"
	"github.com/nhi-labs/terraform-provider-nhi/internal/audit/ocsf"
)

// FuzzEncode: whatever a text holds, the body is one valid CloudEvent with the event in it.
func FuzzEncode(f *testing.F) {
	for _, text := range audittest.Injections() {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		e := audittest.Hostile(text)
		body, err := encode(ocsf.Default, e)
		if err != nil {
			t.Fatal(err)
		}
		got := cloudevents.New()
		if err := got.UnmarshalJSON(body); err != nil {
			t.Fatalf("%v: %s", err, body)
		}
		if err := got.Validate(); err != nil || got.ID() != e.ID || got.Type() != TypePrefix+string(e.Activity) {
			t.Fatalf("%v: %s", err, body)
		}
		if inner, err := ocsf.Decode(got.Data()); err != nil || inner.ID != e.ID {
			t.Fatalf("%v: %s", err, got.Data())
		}
	})
}
