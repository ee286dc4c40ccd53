package acctest

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sync/errgroup"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
)

// atLeast reports whether the CLI is Terraform of this minor version or a newer one.
func (w *Workspace) atLeast(minor int) bool {
	w.t.Helper()
	var major, is int
	output := w.must(0, "version").Output
	if _, err := fmt.Sscanf(output, "Terraform v%d.%d", &major, &is); err != nil {
		if !strings.HasPrefix(output, "OpenTofu") {
			w.t.Fatalf("version: %s", output)
		}
		return false
	}
	return major > 1 || is >= minor
}

// queryVersion has list resources and actions.
const queryVersion = 14

// query runs terraform query over list blocks. Like the CLI, it reads every *.tfquery.hcl.
func (w *Workspace) query(hcl string, extra ...string) Result {
	w.t.Helper()
	w.write("find.tfquery.hcl", hcl)
	return w.must(0, append([]string{"query", "-no-color"}, extra...)...)
}

// configure writes a provider block over sites, and no resource.
func (w *Workspace) configure(stack string, sites ...*site) {
	w.t.Helper()
	w.Configure(providerOver(stack, sites...))
}

func providerOver(stack string, sites ...*site) string {
	var b strings.Builder
	fmt.Fprintf(&b, "provider \"nhi\" {\n  stack = %q\n", stack)
	for _, s := range sites {
		b.WriteString(s.block())
	}
	return b.String() + "}\n"
}

// listBlock writes a list block.
func listBlock(resourceType, name string, limit int, config string) string {
	return fmt.Sprintf("list %q %q {\n  provider = nhi\n  include_resource = true\n  limit = %d\n  config {\n%s\n  }\n}\n",
		resourceType, name, limit, config)
}

// crowdSite is a site with many accounts that nobody declared.
type crowdSite struct {
	*site
	n int
}

// snapshot reads every account of the crowd, whole.
func (c crowdSite) snapshot(prefix string) map[string]nhi.Account {
	c.t.Helper()
	found := make(map[string]nhi.Account)
	keep := func(a nhi.Account) {
		if strings.HasPrefix(a.Name, prefix) {
			found[a.Name] = a
		}
	}
	if sweeper, ok := c.hand.(driver.Sweeper); ok {
		c.do(sweeper.Sweep(c.t.Context(), driver.SweepFilter{}, func(page []nhi.Account) error {
			for _, a := range page {
				keep(a)
			}
			return nil
		}))
		return found
	}
	for i := range c.n {
		keep(c.account(crowdName(prefix, i)))
	}
	return found
}

func crowdName(prefix string, i int) string { return fmt.Sprintf("%s-%d", prefix, i) }

// atOnce calls f for 0 to n-1, some at the same time.
func atOnce(t *testing.T, n int, f func(ctx context.Context, i int) error) {
	t.Helper()
	work, ctx := errgroup.WithContext(t.Context())
	work.SetLimit(hands)
	for i := range n {
		work.Go(func() error { return f(ctx, i) })
	}
	if err := work.Wait(); err != nil {
		t.Fatal(err)
	}
}

// estate fills every platform with accounts of the same names, which nobody marked; every tenth holds something.
func estate(t *testing.T, prefix string) []crowdSite {
	t.Helper()
	pg, box := postgresqlSite(t, "warehouse", ""), sandboxSite(t, "company")
	vault, scim := vaultSite(t, "secrets", ""), scimSite(t, "sap", "")
	sites := []crowdSite{{pg, 2000}, {box, 2000}, {vault, 200}, {scim, 300}}

	t.Cleanup(func() { dropRoles(t, prefix) })
	grants := strings.TrimSuffix(strings.TrimPrefix(pg.entitlements[0], "table:"), "#select")
	pg.sql(t, fmt.Sprintf(`DO $$ DECLARE r text; BEGIN FOR i IN 0..%d LOOP
		r := '%s-' || i;
		EXECUTE format('CREATE ROLE %%I LOGIN', r);
		IF i %% 10 = 0 THEN EXECUTE format('GRANT SELECT ON %s TO %%I', r); END IF;
	END LOOP; END $$`, sites[0].n-1, prefix, grants))

	for _, s := range sites[1:] {
		if s.name == "secrets" {
			client := vaultClient(t)
			atOnce(t, s.n, func(ctx context.Context, i int) error {
				_, err := client.Logical().WriteWithContext(ctx, "auth/approle/role/"+crowdName(prefix, i), map[string]any{"token_ttl": "60s"})
				return err
			})
			continue
		}
		atOnce(t, s.n, func(ctx context.Context, i int) error {
			ref, err := s.hand.CreateAccount(ctx, driver.AccountSpec{Name: crowdName(prefix, i), Mark: nhi.Mark{Stack: "x", Identity: "y"}})
			if err == nil {
				err = s.hand.UpdateAccount(ctx, ref, driver.AccountChange{Mark: &nhi.Mark{}})
			}
			if err == nil && i%10 == 0 {
				err = s.hand.Grant(ctx, ref, []nhi.Entitlement{s.parse(s.entitlements[0])})
			}
			return err
		})
	}
	t.Cleanup(func() {
		for _, s := range sites[2:] {
			for i := range s.n {
				_ = s.hand.DeleteAccount(context.Background(), nhi.Ref{Name: crowdName(prefix, i)})
			}
		}
	})
	return sites
}

// Two thousand accounts that nobody declared, on four platforms: a query lists every one, joined by name; the
// configuration that it generates is imported without a change; and nothing on any platform is different afterwards.
func TestQueryAndImportAnEstate(t *testing.T) {
	t.Parallel()
	// Terraform reads every import block for every other one, so not all that is listed is imported.
	const imported = 40
	w := NewWorkspace(t)
	if !w.atLeast(queryVersion) {
		w.withoutQuery(t)
		return
	}
	prefix := unique(t, "old")
	sites := estate(t, prefix)
	var all []*site
	before := make(map[string]map[string]nhi.Account)
	for _, s := range sites {
		all = append(all, s.site)
		w.env = append(w.env, s.env...)
		if before[s.name] = s.snapshot(prefix); len(before[s.name]) != s.n {
			t.Fatalf("%s has %d accounts, want %d", s.name, len(before[s.name]), s.n)
		}
	}
	w.configure(unique(t, "stack"), all...)

	search := fmt.Sprintf("    managed_by = \"nobody\"\n    name       = %q", prefix+"-*")
	found := w.query(listBlock("nhi_identity", "found", 5000, search)).Output
	lines := regexp.MustCompile(`(?m)`+prefix+`-(\d+) on (.*), managed by nobody$`).FindAllStringSubmatch(found, -1)
	listed := make(map[string]string)
	for _, line := range lines {
		listed[line[1]] = line[2]
	}
	if len(lines) != 2000 || len(listed) != 2000 {
		t.Errorf("the query lists %d identities, %d of them different, want 2000", len(lines), len(listed))
	}
	for i, want := range map[string]string{"0": "company, sap, secrets, warehouse", "250": "company, sap, warehouse", "1999": "company, warehouse"} {
		if listed[i] != want {
			t.Errorf("account %s is listed on %q, want %q", i, listed[i], want)
		}
	}

	// A limit that is smaller than what there is.
	w.query(listBlock("nhi_identity", "found", imported, search)+listBlock("nhi_grant", "held", imported/10, search),
		"-generate-config-out=found.tf")
	if err := os.Remove(filepath.Join(w.dir, "find.tfquery.hcl")); err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf("Plan: %d to import, 0 to add, 0 to change, 0 to destroy.", imported+imported/10)
	w.Plan(exitChanges).Has(t, want)
	w.ApplyOnly().Has(t, fmt.Sprintf("%d imported, 0 added, 0 changed, 0 destroyed", imported+imported/10))
	w.Plan(exitEmpty)
	for _, s := range sites {
		if diff := cmp.Diff(before[s.name], s.snapshot(prefix)); diff != "" {
			t.Errorf("%s is different after the import (-before +after):\n%s", s.name, diff)
		}
	}
}

// withoutQuery checks that a CLI without list resources takes no notice of them.
func (w *Workspace) withoutQuery(t *testing.T) {
	t.Helper()
	s := sandboxSite(t, "company")
	s.foreign("svc", s.entitlements[0])
	w.write("find.tfquery.hcl", listBlock("nhi_identity", "found", 10, ""))
	w.Configure(providerOver("stack", s) + `
import {
  to = nhi_identity.svc
  id = "svc"
}
resource "nhi_identity" "svc" {
  name  = "svc"
  kind  = "workload"
  owner = "team"
  account { platform = "company" }
}
`)
	w.Apply().Has(t, "1 imported, 0 added, 1 changed, 0 destroyed")
	if s.account("svc").Mark != (nhi.Mark{Stack: "stack", Identity: "svc"}) {
		t.Errorf("the account is %+v", s.account("svc"))
	}
}

// What is imported is marked by the first apply that changes anything, and that changes nothing else: names of their
// own, settings, an expiry, entitlements that are only ever observed, and suspension stay as they are.
func TestAdoptionChangesNothingButTheMark(t *testing.T) {
	t.Parallel()
	w := NewWorkspace(t)
	if !w.atLeast(queryVersion) {
		return // TestImport covers imports without a query.
	}
	pg, box := postgresqlSite(t, "warehouse", ""), sandboxSite(t, "company")
	w.env = append(w.env, pg.env...)
	stack, role := unique(t, "stack"), unique(t, "svc")
	pg.foreign(role, pg.entitlements[0])
	own := strings.ReplaceAll(role, "-", "_")
	pg.sql(t, fmt.Sprintf(`ALTER ROLE %q CONNECTION LIMIT 7 VALID UNTIL '2031-01-31 00:00:00+00'`, role),
		fmt.Sprintf(`CREATE TABLE %s (id int)`, own), fmt.Sprintf(`ALTER TABLE %s OWNER TO %q`, own, role))
	t.Cleanup(func() { pg.sql(t, "DROP TABLE IF EXISTS "+own) })
	box.foreign("T Billing, old", box.entitlements[0])
	end := time.Date(2031, 1, 31, 0, 0, 0, 0, time.UTC)
	box.do(box.hand.UpdateAccount(t.Context(), nhi.Ref{Name: "T Billing, old"}, driver.AccountChange{ExpiresAt: &end}))
	box.foreign("sleeper", box.entitlements[1])
	box.suspendByHand("sleeper")
	box.marked("stranger", nhi.Mark{Stack: "somebody", Identity: "else"})
	before := []nhi.Account{pg.account(role), box.account("T Billing, old"), box.account("sleeper")}

	search := fmt.Sprintf("    managed_by = \"nobody\"\n    accounts = {\n      billing = { warehouse = %q, company = \"T Billing, old\" }\n    }\n", role)
	names := fmt.Sprintf("    name = %q\n", "*"+role+"*")
	w.configure(stack, pg, box)
	out := w.query(listBlock("nhi_identity", "joined", 10, search+names+"    kind = \"ai_agent\"\n    owner = \"billing@example.com\"")+
		listBlock("nhi_grant", "joined", 10, search+names)+
		listBlock("nhi_identity", "box", 10, search+"    platforms = [\"company\"]\n    disabled = true")+
		listBlock("nhi_grant", "box", 10, search+"    platforms = [\"company\"]\n    disabled = true"), "-generate-config-out=found.tf")
	out.Has(t, "billing on company=T Billing, old, warehouse="+role+", managed by nobody", "sleeper on company (suspended), managed by nobody")
	out.HasNot(t, "stranger")
	if err := os.Remove(filepath.Join(w.dir, "find.tfquery.hcl")); err != nil {
		t.Fatal(err)
	}
	w.Plan(exitChanges).Has(t, "Plan: 4 to import, 0 to add, 0 to change, 0 to destroy.")
	w.Apply()
	generated, err := os.ReadFile(filepath.Join(w.dir, "found.tf"))
	if err != nil {
		t.Fatal(err)
	}
	same := func(marked bool) {
		t.Helper()
		after := []nhi.Account{pg.account(role), box.account("T Billing, old"), box.account("sleeper")}
		for i, a := range after {
			want := before[i]
			if marked && i < 2 {
				want.Mark = nhi.Mark{Stack: stack, Identity: "billing"}
			}
			if diff := cmp.Diff(want, a); diff != "" {
				t.Errorf("account %q (-want +got):\n%s", a.Name, diff)
			}
		}
	}
	same(false)

	w.write("found.tf", replaceOnce(t, string(generated), `"billing@example.com"
  purpose`, `"team-billing@example.com"
  purpose`))
	plan := w.Plan(exitChanges)
	plan.Has(t, "0 to add, 1 to change, 0 to destroy", `"billing@example.com" -> "team-billing@example.com"`)
	plan.HasNot(t, "- \"", "pending")
	w.Apply()
	same(true)
}

// A resource identity in state may lack what a newer provider added to it.
func TestIdentityOfAnOlderState(t *testing.T) {
	t.Parallel()
	s := sandboxSite(t, "company")
	c := config{stack: "stack", identity: "agent", sites: []*site{s}, holds: []int{0}}
	w := c.workspace(t)
	w.Apply()
	content, err := os.ReadFile(filepath.Join(w.dir, "terraform.tfstate"))
	if err != nil {
		t.Fatal(err)
	}
	older := regexp.MustCompile(`(?s)"identity": \{\s*"accounts": null,.*?("(?:name|identity)": "agent").*?\}`).ReplaceAllString(string(content), `"identity": {$1}`)
	if w.knowsResourceIdentity() && strings.Count(older, `"accounts": null`) != 0 {
		t.Fatalf("state: %s", older)
	}
	older = strings.ReplaceAll(older, `"identity_schema_version": 1`, `"identity_schema_version": 0`)
	w.write("terraform.tfstate", older)
	w.Plan(exitEmpty)
	c.holds = []int{0, 1}
	w.Configure(c.hcl())
	w.Apply()
}

// A rotation that state has lost is not imported: creating it takes over the credential that is in use.
func TestRotationIsTakenOverNotImported(t *testing.T) {
	t.Parallel()
	s, store := sandboxSite(t, "warehouse"), sandboxSite(t, "secrets")
	r := newRotations(t, []*site{s}, store)
	w := r.workspace(t)
	w.Apply()
	label := w.rotationState("warehouse").Current
	s.issue(r.identity) // somebody's own
	w.must(0, "state", "rm", "nhi_rotation.warehouse")
	imports := map[string]string{"id": fmt.Sprintf("id = %q", r.identity+":warehouse")}
	if w.knowsResourceIdentity() {
		imports["identity"] = fmt.Sprintf("identity = { identity = %q, platform = \"warehouse\" }", r.identity)
	}
	for _, target := range imports {
		w.Configure(r.hcl() + "\nimport {\n  to = nhi_rotation.warehouse\n  " + target + "\n}\n")
		w.Plan(exitError).Has(t, "A rotation is not imported", "creating it takes over")
	}
	w.Configure(r.hcl())
	w.ApplyOnly()
	if got := w.rotationState("warehouse").Current; got != label || len(s.account(r.identity).Credentials) != 2 {
		t.Errorf("the current credential is %s, was %s; %d credentials", got, label, len(s.account(r.identity).Credentials))
	}
}
