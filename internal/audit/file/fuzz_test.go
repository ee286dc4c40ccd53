package file_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/nhi-labs/terraform-provider-nhi/internal/audit/audittest"
	"github.com/nhi-labs/terraform-provider-nhi/internal/audit/file"
	"github.com/nhi-labs/terraform-provider-nhi/internal/audit/ocsf"
)

// FuzzLine: whatever a text holds and whatever stands at the end of the file, an event is one line of its own.
func FuzzLine(f *testing.F) {
	for _, text := range audittest.Injections() {
		f.Add(text, []byte(text))
	}
	path := filepath.Join(f.TempDir(), "audit.jsonl")
	sink := file.New(file.Config{Path: path, Version: ocsf.Default})
	f.Fuzz(func(t *testing.T, text string, before []byte) {
		if err := os.WriteFile(path, before, 0o600); err != nil {
			t.Fatal(err)
		}
		e := audittest.Hostile(text)
		if err := sink.Deliver(t.Context(), e); err != nil {
			t.Fatal(err)
		}
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		rest, ok := bytes.CutPrefix(content, before)
		rest = bytes.TrimPrefix(rest, []byte("\n")) // ends what was there
		line, after, whole := bytes.Cut(rest, []byte("\n"))
		got, err := ocsf.Decode(line)
		if !ok || !whole || len(after) > 0 || err != nil || got.ID != e.ID {
			t.Fatalf("after %q stands %q: %v", before, rest, err)
		}
	})
}
