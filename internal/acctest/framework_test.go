package acctest

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/knownvalue"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
	"github.com/hashicorp/terraform-plugin-testing/statecheck"
	"github.com/hashicorp/terraform-plugin-testing/tfjsonpath"

	"github.com/nhi-labs/terraform-provider-nhi/internal/provider"
)

// The framework's own test harness, with the provider in the test's process: it checks after every step that the plan
// is empty, that planned values come true, and that an import gives the state that creating gave.
func TestFrameworkHarness(t *testing.T) {
	rc := filepath.Join(t.TempDir(), "cli.rc") // the machine's own configuration must not matter
	if err := os.WriteFile(rc, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("TF_CLI_CONFIG_FILE", rc)
	t.Setenv("TF_ACC_TERRAFORM_PATH", cliPath(t))
	t.Setenv("TF_ACC_PROVIDER_NAMESPACE", "hashicorp")
	if os.Getenv(envCLI) == "opentofu" {
		t.Setenv("TF_ACC_PROVIDER_HOST", "registry.opentofu.org")
	}
	file := filepath.Join(t.TempDir(), "warehouse.db")
	config := func(entitlements string) string {
		return fmt.Sprintf(`
provider "nhi" {
  stack = "stack"
  sandbox {
    name = "warehouse"
    path = %q
  }
}
resource "nhi_identity" "this" {
  name  = "agent"
  kind  = "workload"
  owner = "team@example.com"
  account {
    platform = "warehouse"
    name     = "svc_agent"
    sandbox {
      max_sessions = 3
    }
  }
}
resource "nhi_grant" "this" {
  identity     = nhi_identity.this
  entitlements = { warehouse = [%s] }
}
`, file, entitlements)
	}
	account := tfjsonpath.New("accounts").AtMapKey("warehouse")
	resource.UnitTest(t, resource.TestCase{
		ProtoV6ProviderFactories: map[string]func() (tfprotov6.ProviderServer, error){
			"nhi": func() (tfprotov6.ProviderServer, error) {
				return provider.NewServer("test", time.Now, provider.Hooks{}).ProtocolServer(), nil
			},
		},
		Steps: []resource.TestStep{
			{
				Config: config(`"role:reporting"`),
				ConfigPlanChecks: resource.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{
					plancheck.ExpectKnownValue("nhi_identity.this", account.AtMapKey("status"), knownvalue.StringExact("active")),
					plancheck.ExpectUnknownValue("nhi_identity.this", account.AtMapKey("id")),
				}},
				ConfigStateChecks: []statecheck.StateCheck{
					statecheck.ExpectKnownValue("nhi_identity.this", account.AtMapKey("name"), knownvalue.StringExact("svc_agent")),
					statecheck.ExpectKnownValue("nhi_identity.this", tfjsonpath.New("account_names").AtMapKey("warehouse"), knownvalue.StringExact("svc_agent")),
				},
			},
			{
				ResourceName: "nhi_identity.this", ImportState: true, ImportStateId: "agent", ImportStateVerify: true,
				ImportStateVerifyIdentifierAttribute: "name",
				// No platform knows these; and an import does not take the settings over.
				ImportStateVerifyIgnore: []string{"kind", "owner", "account"},
			},
			{
				Config: config(`"role:reporting", "table:finance.invoices#select"`),
				ConfigPlanChecks: resource.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{
					plancheck.ExpectResourceAction("nhi_grant.this", plancheck.ResourceActionUpdate),
					plancheck.ExpectResourceAction("nhi_identity.this", plancheck.ResourceActionNoop),
				}},
			},
		},
	})
}
