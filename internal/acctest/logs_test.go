package acctest

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Terraform throws the provider's logs away unless it was asked for them: the provider does not write them then.
func TestLogsOnlyWhenAskedFor(t *testing.T) {
	t.Parallel()
	for asked, wanted := range map[string]bool{"": false, "TF_LOG=TRACE": true, "TF_LOG_PROVIDER=INFO": true, "TF_LOG_CORE=TRACE": false} {
		t.Run(asked, func(t *testing.T) {
			t.Parallel()
			w := NewWorkspace(t)
			if asked != "" {
				w.env = append(w.env, asked, "TF_LOG_PATH="+filepath.Join(w.dir, "log"))
			}
			w.write("terraform-provider-nhi", fmt.Sprintf("#!/bin/sh\nexec %q \"$@\" 2>%q\n", providerBinary(t), filepath.Join(w.dir, "said")))
			if err := os.Chmod(filepath.Join(w.dir, "terraform-provider-nhi"), 0o700); err != nil { //nolint:gosec // it is a program
				t.Fatal(err)
			}
			w.useProvider(filepath.Join(w.dir, "terraform-provider-nhi"))
			w.Configure("provider \"nhi\" {\n  stack = \"logs\"\n  sandbox {\n    name = \"crm\"\n    path = \"crm.db\"\n  }\n}\n\n" +
				"resource \"nhi_identity\" \"this\" {\n  name  = \"agent\"\n  kind  = \"ai_agent\"\n  owner = \"team\"\n  account {\n    platform = \"crm\"\n  }\n}\n")
			w.must(exitEmpty, "plan", "-no-color", "-input=false")
			said, err := os.ReadFile(filepath.Join(w.dir, "said"))
			if err != nil {
				t.Fatal(err)
			}
			// What it says before it serves is not of a module.
			if got := strings.Contains(string(said), `"@module"`); got != wanted {
				t.Errorf("logs of %d bytes, which end %.300q; wanted: %v", len(said), said[max(0, len(said)-300):], wanted)
			}
		})
	}
}
