package otlp

import (
	"testing"

	collector "go.opentelemetry.io/proto/slim/otlp/collector/logs/v1"
	"google.golang.org/protobuf/proto"

	"github.com/nhi-labs/terraform-provider-nhi/internal/audit/audittest"
	"github.com/nhi-labs/terraform-provider-nhi/internal/audit/ocsf"
)

// FuzzEncode: whatever a text holds, the request is one log record with the event in it. Protobuf refuses texts that are
// not UTF-8.
func FuzzEncode(f *testing.F) {
	for _, text := range audittest.Injections() {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		e := audittest.Hostile(text)
		request, err := encode(ocsf.Default, e)
		if err != nil {
			t.Fatal(err)
		}
		wire, err := proto.Marshal(request)
		if err != nil {
			t.Fatal(err)
		}
		var got collector.ExportLogsServiceRequest
		if err := proto.Unmarshal(wire, &got); err != nil {
			t.Fatal(err)
		}
		records := got.GetResourceLogs()[0].GetScopeLogs()[0].GetLogRecords()
		if len(records) != 1 {
			t.Fatalf("%d records", len(records))
		}
		if inner, err := ocsf.Decode([]byte(records[0].GetBody().GetStringValue())); err != nil || inner.ID != e.ID {
			t.Fatalf("%v: %s", err, records[0].GetBody())
		}
	})
}

// FuzzReason: what a collector says in its answer becomes one line of an error, or nothing.
func FuzzReason(f *testing.F) {
	f.Add([]byte("\x12\x05wrong"))
	f.Add([]byte("<html>"))
	f.Fuzz(func(_ *testing.T, body []byte) {
		_ = reason(body)
		_ = proto.Unmarshal(body, &collector.ExportLogsServiceResponse{})
	})
}
