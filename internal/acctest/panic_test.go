package acctest

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// resources returns the resources of the state file as they stand there, with private state, identity and status.
func (w *Workspace) resources() string {
	w.t.Helper()
	content, err := os.ReadFile(filepath.Join(w.dir, "terraform.tfstate"))
	if err != nil {
		w.t.Fatal(err)
	}
	var state struct {
		Resources json.RawMessage `json:"resources"`
	}
	if err := json.Unmarshal(content, &state); err != nil {
		w.t.Fatal(err)
	}
	return string(state.Resources)
}

// A call of Terraform that panics fails its resource and nothing else: state stays as it was to the letter, and the next
// apply does what was to be done.
func TestPanicKeepsState(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "warehouse.db")
	config := func(purpose, entitlement string) string {
		return fmt.Sprintf(`
provider "nhi" {
  stack = "panics"
  sandbox {
    name = "warehouse"
    path = %q
  }
}
resource "nhi_identity" "this" {
  name    = "agent"
  kind    = "workload"
  owner   = "team@example.com"
  purpose = %q
  account { platform = "warehouse" }
}
resource "nhi_grant" "this" {
  identity     = nhi_identity.this
  entitlements = { warehouse = [%q] }
}
`, path, purpose, entitlement)
	}
	w := NewWorkspace(t)
	w.killAfter(0, 0)
	panicking := func(call string, command ...string) {
		t.Helper()
		w.Setenv("NHI_ACC_PANIC", call)
		w.must(exitError, append(command, "-no-color", "-input=false")...).Has(t, "The provider panicked", "killprovider/main.go")
		w.Setenv("NHI_ACC_PANIC", "")
	}
	w.Configure(config("first", "role:reporting"))
	panicking("ApplyResourceChange", "apply", "-auto-approve")
	w.Apply()
	before := w.resources()
	w.Configure(config("second", "role:auditing"))
	for _, call := range []string{"UpgradeResourceState", "ReadResource", "PlanResourceChange", "ApplyResourceChange", "ConfigureProvider"} {
		panicking(call, "apply", "-auto-approve")
		if diff := cmp.Diff(before, w.resources()); diff != "" {
			t.Errorf("%s has changed state:\n%s", call, diff)
		}
	}
	panicking("ApplyResourceChange", "destroy", "-auto-approve")
	if diff := cmp.Diff(before, w.resources()); diff != "" {
		t.Errorf("destroying has changed state:\n%s", diff)
	}
	w.Apply()
	w.Destroy()
}
