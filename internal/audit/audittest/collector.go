package audittest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"testing"

	common "go.opentelemetry.io/proto/slim/otlp/common/v1"
	logs "go.opentelemetry.io/proto/slim/otlp/logs/v1"
	"google.golang.org/protobuf/encoding/protojson"
)

// Record is one log record that the testbed's collector wrote down.
type Record struct {
	// ID is the metadata.uid of the OCSF event in the body, "" if there is none.
	ID string
	// Body is the OCSF event as JSON.
	Body       []byte
	Resource   map[string]string
	Attributes map[string]string
}

// Collected reads what the testbed's collector has written to a file so far.
func Collected(t testing.TB, path string) []Record {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var out []Record
	for line := range bytes.Lines(content) {
		if !bytes.HasSuffix(line, []byte("\n")) {
			break // It is still being written.
		}
		var data logs.LogsData
		if err := protojson.Unmarshal(line, &data); err != nil {
			t.Fatalf("line %.200q: %v", line, err)
		}
		for _, resource := range data.GetResourceLogs() {
			for _, scope := range resource.GetScopeLogs() {
				for _, record := range scope.GetLogRecords() {
					out = append(out, newRecord(t, resource.GetResource().GetAttributes(), record))
				}
			}
		}
	}
	return out
}

func newRecord(t testing.TB, resource []*common.KeyValue, record *logs.LogRecord) Record {
	t.Helper()
	out := Record{Resource: texts(resource), Attributes: texts(record.GetAttributes())}
	out.Body = []byte(record.GetBody().GetStringValue())
	if len(out.Body) == 0 {
		body, err := json.Marshal(plain(record.GetBody()))
		if err != nil {
			t.Fatal(err)
		}
		out.Body = body
	}
	var event struct {
		Metadata struct {
			UID string `json:"uid"`
		} `json:"metadata"`
	}
	if json.Unmarshal(out.Body, &event) == nil {
		out.ID = event.Metadata.UID
	}
	return out
}

func texts(list []*common.KeyValue) map[string]string {
	out := map[string]string{}
	for _, kv := range list {
		out[kv.GetKey()] = kv.GetValue().GetStringValue()
	}
	return out
}

// plain is a value as encoding/json would have decoded it.
func plain(v *common.AnyValue) any {
	switch v := v.GetValue().(type) {
	case *common.AnyValue_StringValue:
		return v.StringValue
	case *common.AnyValue_BoolValue:
		return v.BoolValue
	case *common.AnyValue_IntValue:
		return v.IntValue
	case *common.AnyValue_DoubleValue:
		return v.DoubleValue
	case *common.AnyValue_ArrayValue:
		out := []any{}
		for _, e := range v.ArrayValue.GetValues() {
			out = append(out, plain(e))
		}
		return out
	case *common.AnyValue_KvlistValue:
		out := map[string]any{}
		for _, kv := range v.KvlistValue.GetValues() {
			out[kv.GetKey()] = plain(kv.GetValue())
		}
		return out
	default:
		return nil
	}
}

// Lines reads a file of JSON objects, one on a line, as the testbed's syslog receivers write it. A value that is no text is
// left out.
func Lines(t testing.TB, path string) []map[string]string {
	t.Helper()
	content, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil // Nothing has arrived yet.
	}
	if err != nil {
		t.Fatal(err)
	}
	var out []map[string]string
	for line := range bytes.Lines(content) {
		if !bytes.HasSuffix(line, []byte("\n")) {
			break
		}
		var values map[string]json.RawMessage
		if err := json.Unmarshal(line, &values); err != nil {
			t.Fatal(fmt.Errorf("line %.300q: %w", line, err))
		}
		object := map[string]string{}
		for name, raw := range values {
			var text string
			if json.Unmarshal(raw, &text) == nil {
				object[name] = text
			}
		}
		out = append(out, object)
	}
	return out
}
