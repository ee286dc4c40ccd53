package examples

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
	"github.com/nhi-labs/terraform-provider-nhi/internal/platform/sandbox"
	"github.com/nhi-labs/terraform-provider-nhi/internal/testenv"
)

// company stands for the platforms of the examples: sandboxes with their names, and what the examples expect there.
const company = `terraform {
  required_providers {
    nhi = { source = "nhi-labs/nhi" }
  }
}

provider "nhi" {
  stack = "payments-prod"

  sandbox {
    name = "warehouse"
    path = "warehouse.db"
  }
  sandbox {
    name = "secrets"
    path = "secrets.db"
  }
  sandbox {
    name = "sap"
    path = "sap.db"
  }
}

resource "nhi_identity" "billing_agent" {
  name  = "billing-agent"
  kind  = "ai_agent"
  owner = "team-billing@example.com"

  account { platform = "warehouse" }
}

resource "nhi_identity" "legacy" {
  name  = "legacy"
  kind  = "service_account"
  owner = "team-billing@example.com"

  account {
    platform = "warehouse"
    name     = "svc_legacy"
  }
}

resource "nhi_grant" "billing_agent" {
  identity     = nhi_identity.billing_agent
  entitlements = { warehouse = ["table:finance.invoices#delete"] }
}
`

// TestReviewExamplesApply applies the examples of data sources and functions, all together, and the guide's example.
func TestReviewExamplesApply(t *testing.T) {
	root, err := testenv.Root()
	check(t, err)
	examples, err := filepath.Glob(filepath.Join(root, "examples/data-sources/*/data-source.tf"))
	check(t, err)
	functions, err := filepath.Glob(filepath.Join(root, "examples/functions/*/function.tf"))
	check(t, err)
	examples = append(examples, functions...)
	if len(examples) != 8 {
		t.Fatalf("found %d examples", len(examples))
	}
	guide := filepath.Join(root, "examples/guides/access-review/main.tf")
	settings, cli := overrides(t, root), testenv.Load(t).CLI
	for _, program := range []string{cli.Terraform, cli.TerraformNew, cli.OpenTofu} {
		t.Run(filepath.Base(filepath.Dir(program)), func(t *testing.T) {
			t.Parallel()
			applySources(t, program, settings, examples)
			applyGuide(t, program, settings, guide)
		})
	}
}

func applySources(t *testing.T, program, settings string, examples []string) {
	t.Helper()
	dir := t.TempDir()
	check(t, os.WriteFile(filepath.Join(dir, "main.tf"), []byte(company), 0o600))
	apply(t, program, settings, dir)
	// The data sources look at accounts that are there.
	check(t, os.CopyFS(dir, os.DirFS(copied(t, examples))))
	// Of the two identities one is not among those that the example declares.
	wantTexts(t, apply(t, program, settings, dir), `"warehouse/svc_legacy"`, `"warehouse/billing-agent"`, `"role:reporting"`,
		`"permission" = "select"`, `"table:finance.invoices#update"`)
}

// applyGuide looks at the example again after somebody granted by hand what is sensitive.
func applyGuide(t *testing.T, program, settings, guide string) {
	t.Helper()
	dir := copied(t, []string{guide})
	output := apply(t, program, settings, dir)
	wantTexts(t, output, "owner,identity,platform,account,entitlement,via",
		"team-billing@example.com,billing-agent,company,billing-agent,role:reporting,",
		"team-closing@example.com,month-end-job,company,month-end-job,table:finance.invoices#delete,")
	if strings.Contains(output, "Check block assertion failed") {
		t.Errorf("a check fails:\n%s", output)
	}
	admin, err := sandbox.OpenAdmin(sandbox.Config{Path: filepath.Join(dir, "company.db")})
	check(t, err)
	reporting, finance := nhi.Entitlement{Type: "role", Target: "reporting"}, nhi.Entitlement{Type: "role", Target: "finance_admin"}
	table := func(permission string) nhi.Entitlement {
		return nhi.Entitlement{Type: "table", Target: "finance.invoices", Permission: permission}
	}
	check(t, admin.Confer(t.Context(), reporting, finance))
	check(t, admin.Confer(t.Context(), finance, table("update")))
	check(t, admin.CreateForeign(t.Context(), "intern", table("delete")))
	check(t, admin.Close())
	wantTexts(t, apply(t, program, settings, dir), "company/intern table:finance.invoices#delete.", `"company/intern"`,
		"billing-agent,company,billing-agent,role:finance_admin,role:reporting",
		"billing-agent,company,billing-agent,table:finance.invoices#update,role:reporting > role:finance_admin")
}

func apply(t *testing.T, program, settings, dir string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), program, "apply", "-no-color", "-input=false", "-auto-approve") //nolint:gosec // Of the testbed.
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "TF_CLI_CONFIG_FILE="+settings, "CHECKPOINT_DISABLE=1")
	output, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s apply: %v\n%s", program, err, output)
	}
	return string(output)
}

// wantTexts looks for texts. The CLIs break lines of diagnostics, and indent and align outputs.
func wantTexts(t *testing.T, output string, texts ...string) {
	t.Helper()
	flat := strings.Join(strings.Fields(strings.NewReplacer("│", " ", "╷", " ", "╵", " ").Replace(output)), " ")
	for _, text := range texts {
		if !strings.Contains(flat, text) {
			t.Errorf("the output does not say %q:\n%s", text, output)
		}
	}
}
