package acctest

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hashicorp/vault/api"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
	"github.com/nhi-labs/terraform-provider-nhi/internal/secret"
)

// tokenHCL mints a token for the identity of a configuration.
func tokenHCL(platform, extra string) string {
	return fmt.Sprintf("\nephemeral \"nhi_token\" \"this\" {\n  platform = %q\n  identity = nhi_identity.this\n%s}\n", platform, extra)
}

// configureWithEcho makes the workspace use the echo provider, too.
func (w *Workspace) configureWithEcho(hcl string) {
	w.t.Helper()
	w.write("main.tf", "terraform {\n  required_providers {\n    nhi  = { source = \"nhi-labs/nhi\" }\n    echo = { source = \"nhi-labs/echo\" }\n  }\n}\n\n"+hcl)
	w.useEcho(providerBinary(w.t))
}

// tokenLooksItselfUp asks the real server.
func tokenLooksItselfUp(t *testing.T, token string) (*api.Secret, error) {
	t.Helper()
	client := vaultClient(t)
	client.SetToken(token)
	return client.Auth().Token().LookupSelf()
}

// The token goes through another provider's write-only argument, is in no plan and no state, and is dead once the run is
// over.
func TestTokenFeedsAWriteOnlyArgument(t *testing.T) {
	t.Parallel()
	s := vaultSite(t, "secrets", "")
	c := config{stack: unique(t, "stack"), identity: unique(t, "agent"), sites: []*site{s}, holds: []int{0}}
	w := c.workspace(t)
	file := filepath.Join(t.TempDir(), "echo")
	w.configureWithEcho(c.hcl() + tokenHCL(s.name, "  account_id = nhi_identity.this.accounts[\"secrets\"].id\n") + fmt.Sprintf(`
variable "run" { default = "1" }

resource "echo_file" "this" {
  path             = %q
  value_wo         = ephemeral.nhi_token.this.token
  value_wo_version = var.run
}
`, file))
	watch := watchForSecrets(t, w)
	seen := map[string]bool{}
	for _, run := range []string{"1", "2"} {
		watch.keep(w.Plan(exitChanges, "-out=saved", "-var=run="+run))
		watch.keep(w.must(0, "apply", "-no-color", "saved"))
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		token := string(text)
		if !strings.HasPrefix(token, "hvs.") || seen[token] {
			t.Fatalf("run %s: the other provider got no token of its own", run)
		}
		seen[token] = true
		watch.add(secret.New(token))
		if _, err := tokenLooksItselfUp(t, token); err == nil || !strings.Contains(err.Error(), "Code: 403") {
			t.Errorf("run %s: the token is not dead: %v", run, err)
		}
	}
	if got := s.account(c.identity); len(got.Credentials) > 0 {
		t.Errorf("credentials are left: %+v", got.Credentials)
	}
	s.holds(c.identity, s.texts(0)...)
	w.Plan(exitEmpty, "-var=run=2")
	watch.check(t)
	w.Destroy()
}

// What cannot be minted is an error that says why, and nothing is made.
func TestTokenRefusals(t *testing.T) {
	if !onlyOnce() {
		return
	}
	t.Parallel()
	s, other := vaultSite(t, "secrets", ""), sandboxSite(t, "warehouse")
	c := config{stack: unique(t, "stack"), identity: unique(t, "agent"), sites: []*site{s, other}, noGrant: true}
	w := c.workspace(t)
	use := "\nresource \"echo_file\" \"this\" {\n  path     = \"/nonexistent/echo\"\n  value_wo = ephemeral.nhi_token.this.token\n}\n"
	// Without a reference no CLI knows that the account is yet to be made.
	byName := replaceOnce(t, tokenHCL(s.name, ""), "nhi_identity.this", fmt.Sprintf("{ name = %q, account_names = {} }", c.identity))
	w.configureWithEcho(c.hcl() + byName + use)
	refused(t, w, "If this configuration makes the account, set account_id")
	w.configureWithEcho(c.hcl())
	w.Apply()

	w.configureWithEcho(c.hcl() + tokenHCL(other.name, "") + use)
	refused(t, w, "does not mint tokens", "vault (HashiCorp Vault)")
	w.configureWithEcho(c.hcl() + tokenHCL("nowhere", "") + use)
	refused(t, w, `no platform is named "nowhere"`)

	mark := s.account(c.identity).Mark
	foreign := nhi.Mark{Stack: "somebody", Identity: c.identity}
	s.do(s.hand.UpdateAccount(t.Context(), nhi.Ref{Name: c.identity}, driver.AccountChange{Mark: &foreign}))
	w.configureWithEcho(c.hcl() + tokenHCL(s.name, "") + use)
	refused(t, w, `belongs to the stack "somebody"`)
	s.do(s.hand.UpdateAccount(t.Context(), nhi.Ref{Name: c.identity}, driver.AccountChange{Mark: &mark}))

	s.suspendByHand(c.identity)
	refused(t, w, "is suspended and gets no token")
	w.configureWithEcho(c.hcl())
	w.Destroy()
}

// refused plans without a refresh, which must fail with all texts. The CLI breaks lines, so white space does not count.
func refused(t *testing.T, w *Workspace, texts ...string) {
	t.Helper()
	output := w.Plan(exitError, "-refresh=false").Output
	plain := strings.Join(strings.Fields(strings.NewReplacer("│", " ", "╷", " ", "╵", " ").Replace(output)), " ")
	for _, text := range texts {
		if !strings.Contains(plain, text) {
			t.Errorf("the plan does not say %q:\n%s", text, output)
		}
	}
}
