package acctest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

const strayHCL = `
data "nhi_orphans" "named" {
  declared = [nhi_identity.this.name]
}

data "nhi_orphans" "exact" {
  identities = [nhi_identity.this]
}

output "named" { value = data.nhi_orphans.named.accounts }
output "exact" { value = data.nhi_orphans.exact.accounts }
`

// strays is a workspace with an identity on the first of two platforms.
type strays struct {
	*Workspace
	c           config
	kept, other *site
}

func newStrays(t *testing.T) strays {
	t.Helper()
	kept, other := sandboxSite(t, "warehouse"), sandboxSite(t, "sap")
	c := config{stack: "stack", identity: "agent", sites: []*site{kept, other}, noGrant: true}
	return strays{c.workspace(t), c, kept, other}
}

// withoutOther is the configuration without the account on the other platform.
func (s strays) withoutOther() string {
	c := s.c
	c.sites, c.extraProvider = []*site{s.kept}, s.other.block()
	return c.hcl()
}

// killed applies, and kills the provider after its first change, which Terraform does not learn of.
func (s strays) killed() {
	s.t.Helper()
	s.killAfter(1, 0)
	s.ApplyFails()
	s.killAfter(0, 0)
	s.other.account("agent")
}

// orphans fails the test unless the data sources find these accounts.
func (s strays) orphans(named, exact []string) {
	s.t.Helper()
	for name, want := range map[string][]string{"named": named, "exact": exact} {
		if diff := cmp.Diff(want, places(output[[]seenAccount](s.Workspace, name)), cmpopts.EquateEmpty()); diff != "" {
			s.t.Errorf("orphans, %s (-want +got):\n%s", name, diff)
		}
	}
}

// An account that a killed run made, and that is then not declared any more while its identity is, is an orphan to who
// knows what accounts the identity has.
func TestStrayOfADeclaredIdentity(t *testing.T) {
	if !onlyOnce() {
		return
	}
	t.Parallel()
	s := newStrays(t)
	s.Configure(s.withoutOther() + strayHCL)
	s.Apply()
	s.Configure(s.c.hcl() + strayHCL)
	s.killed()
	s.Configure(s.withoutOther() + strayHCL)
	s.Apply()
	s.orphans(nil, []string{"sap/agent"})
	s.Configure(s.c.hcl() + strayHCL)
	s.Apply().Has(t, "it is taken over")
	s.orphans(nil, nil)
	s.Destroy()
	s.kept.gone("agent")
	s.other.gone("agent")
}

// An account that was deleted, and made again by a run that was killed before it could say so, goes with its account block
// and with its identity, whatever state says of it.
func TestAccountMadeAgainByAKilledRun(t *testing.T) {
	if !onlyOnce() {
		return
	}
	t.Parallel()
	for name, end := range map[string]func(s strays, before string){
		"destroyed": func(s strays, _ string) { s.Destroy() },
		"destroyed by the old id": func(s strays, before string) {
			s.write("terraform.tfstate", before)
			s.Destroy("-refresh=false")
		},
		"not declared any more": func(s strays, _ string) {
			s.Configure(s.withoutOther())
			s.Apply()
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStrays(t)
			s.Apply()
			id := s.other.account("agent").ID
			s.other.deleteByHand("agent")
			before, err := os.ReadFile(filepath.Join(s.dir, "terraform.tfstate"))
			if err != nil {
				t.Fatal(err)
			}
			s.killed()
			if s.other.account("agent").ID == id || !strings.Contains(string(before), id) {
				t.Fatalf("the account with the id %s was not made again", id)
			}
			end(s, string(before))
			s.other.gone("agent")
		})
	}
}

// Somebody else's account under the name of one that is gone is left alone, and a platform that cannot be asked whether
// there is one of ours holds nothing up.
func TestDestroyAsksForStrays(t *testing.T) {
	if !onlyOnce() {
		return
	}
	t.Parallel()
	s := newStrays(t)
	s.Apply()
	s.other.deleteByHand("agent")
	s.ApplyOnly("-refresh-only")
	s.other.foreign("agent", s.other.texts(0)...)
	state, err := os.ReadFile(filepath.Join(s.dir, "terraform.tfstate"))
	if err != nil {
		t.Fatal(err)
	}
	s.Destroy("-refresh=false").HasNot(t, "was not asked")
	s.other.holds("agent", s.other.texts(0)...)

	block := s.other.block()
	s.other.block = func() string { return replaceOnce(t, block, s.other.path, filepath.Join(s.other.path, "nowhere")) }
	s.write("terraform.tfstate", string(state))
	s.Configure(s.c.hcl())
	s.Destroy("-refresh=false").Has(t, `Platform "sap" was not asked for an account of identity "agent"`)
	s.other.holds("agent", s.other.texts(0)...)
}
