package acctest

import (
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/nhi-labs/terraform-provider-nhi/internal/platform/sapbtp/sapbtpfake"
)

// TestSAPBTP manages a shadow user of the checked fake through its whole life, in which somebody deletes it twice, and removes
// the Service Manager from the configuration too early. After it, the user does not come back, and no credential is left.
func TestSAPBTP(t *testing.T) {
	if !onlyOnce() {
		return
	}
	options := sapbtpfake.Options{ClientID: "sb-admin!b1", ClientSecret: "admin-" + unique(t, "secret"), InstanceID: "instance-1"}
	fake := sapbtpfake.New(options)
	server := httptest.NewServer(fake)
	t.Cleanup(server.Close)
	fake.AddRoleCollection("Billing Viewer")
	fake.AddUpperUser("agent@example.com", "corporate-idp")
	login := func(path string) string {
		return fmt.Sprintf("url = %q\n token_url = %q\n client_id = %q\n", server.URL+path, server.URL+sapbtpfake.TokenPath, options.ClientID)
	}
	identity, store := unique(t, "agent"), vaultSite(t, "secrets", "")
	w := NewWorkspace(t, append(store.env, "NHI_BTP_CLIENT_SECRET="+options.ClientSecret,
		"NHI_BTP_LEVEL_ABOVE_CLIENT_SECRET="+options.ClientSecret, "NHI_BTP_SERVICE_MANAGER_CLIENT_SECRET="+options.ClientSecret)...)
	manager := fmt.Sprintf(`
    service_manager {
      service_instance_id = "instance-1"
      %s
    }`, login(sapbtpfake.ManagerPath))
	rotation := fmt.Sprintf(`
resource "nhi_rotation" "this" {
  identity     = nhi_identity.this
  platform     = "btp"
  rotate_every = "24h"
  overlap      = "1h"

  deliver {
    platform = "secrets"
    path     = "secret/%s/btp"
  }
}
`, identity)
	hcl := fmt.Sprintf(`
provider "nhi" {
  stack = %q

  sap_btp {
    name   = "btp"
    origin = "corporate-idp"
    %s

    level_above {
      %s
    }
    %s
  }
%s}

resource "nhi_identity" "this" {
  name  = %q
  kind  = "ai_agent"
  owner = "team@example.com"

  account {
    platform = "btp"
    name     = "agent@example.com"

    sap_btp { email = "team@example.com" }
  }
}

resource "nhi_grant" "this" {
  identity     = nhi_identity.this
  entitlements = { btp = ["role_collection:Billing Viewer"] }
}
%s`, unique(t, "stack"), login(sapbtpfake.SubaccountPath), login(sapbtpfake.UpperPath), manager, store.block(), identity, rotation)
	w.Configure(hcl)
	w.Apply()
	w.Plan(exitEmpty)
	if !fake.Logon("agent@example.com", "corporate-idp") {
		t.Error("the agent cannot log on")
	}
	fake.AddRoleCollection("Administrator")
	if !fake.Assign("agent@example.com", "corporate-idp", "Administrator", false) {
		t.Fatal("cannot assign by hand")
	}
	if got := w.Plan(exitChanges).Output; !strings.Contains(got, `- "role_collection:Administrator"`) {
		t.Errorf("the plan does not show what was assigned by hand:\n%s", got)
	}
	w.Apply()
	fake.DeleteUser("agent@example.com", "corporate-idp")
	w.Apply()
	if n := fake.Bindings(); n != 1 {
		t.Errorf("%d bindings after the user was made again, want its own", n)
	}
	w.Configure(strings.NewReplacer(manager, "", rotation, "").Replace(hcl))
	if got := strings.Join(strings.Fields(w.ApplyFails().Output), " "); !strings.Contains(got, "put service_manager back") {
		t.Errorf("a binding that cannot be deleted any more is forgotten:\n%s", got)
	}
	w.Configure(hcl)
	fake.DeleteUser("agent@example.com", "corporate-idp")
	w.Destroy()
	if n := fake.Bindings(); n != 0 {
		t.Errorf("%d bindings log in after everything was destroyed", n)
	}
	if fake.Logon("agent@example.com", "corporate-idp") {
		t.Error("the destroyed user came back at its next logon")
	}
}
