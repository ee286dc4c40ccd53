package acctest

import (
	"database/sql"
	"fmt"
	"os"
	"testing"

	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
)

// After a migration an urgent change that does not read first is applied as it was planned, and pins what it changed to the
// new target.
func TestPreviousTargetsWithoutRefresh(t *testing.T) {
	if !onlyOnce() {
		return
	}
	t.Parallel()
	s := sandboxSite(t, "warehouse")
	r := newRotations(t, []*site{s})
	r.noGrant, r.holds, r.stores = false, []int{0}, []*site{s}
	w := r.workspace(t)
	w.Apply()
	old := w.Attributes("nhi_identity", "this").Accounts["warehouse"].Target
	block := s.block
	s.migrate(old)
	w.Configure(r.hcl())
	w.Plan(exitEmpty, "-refresh=false", "-target=nhi_grant.this") // nothing is changed for the id's sake
	r.extra, r.holds, r.extraRotation = "  enabled = false", []int{1}, "  rotate_when_changed = { leaked = \"yes\" }\n"
	w.Configure(r.hcl())
	w.ApplyOnly("-refresh=false")
	if got := w.Attributes("nhi_identity", "this").Accounts["warehouse"]; got.Target != old+"-migrated" || got.Status != "suspended" {
		t.Errorf("state has %+v", got)
	}
	s.holds(r.identity, s.texts(1)...)
	w.ApplyOnly()
	s.block = block
	w.Configure(r.hcl())
	w.Plan(exitEmpty)
	w.Destroy()
}

// The same for a rotation that was due and could not be looked at when the plan was made.
func TestPreviousTargetsOfARotationNotLookedAt(t *testing.T) {
	if !onlyOnce() {
		return
	}
	t.Parallel()
	s := sandboxSite(t, "warehouse")
	r := newRotations(t, []*site{s})
	r.stores = []*site{s}
	w := r.workspace(t)
	w.Apply()
	w.MoveClock(cycle)
	w.ApplyOnly("-refresh-only")
	s.migrate(w.Attributes("nhi_identity", "this").Accounts["warehouse"].Target)
	w.Configure(r.hcl())
	aside := s.path + ".aside"
	move := func(from, to string) {
		t.Helper()
		if err := os.Rename(from, to); err != nil {
			t.Fatal(err)
		}
	}
	move(s.path, aside)
	if err := os.Mkdir(s.path, 0o700); err != nil { // which is no platform
		t.Fatal(err)
	}
	w.Plan(exitChanges, "-refresh=false", "-out=saved").Has(t, "was not looked at")
	if err := os.Remove(s.path); err != nil {
		t.Fatal(err)
	}
	move(aside, s.path)
	w.must(0, "apply", "-no-color", "saved")
	w.Plan(exitEmpty)
}

// migrate makes the site another target than the one that state knows, and configures it so.
func (s *site) migrate(old string) {
	s.t.Helper()
	db, err := sql.Open("sqlite", s.path)
	if err != nil {
		s.t.Fatal(err)
	}
	defer db.Close() //nolint:errcheck // a test's own connection
	if _, err := db.ExecContext(s.t.Context(), `UPDATE meta SET value = value || '-migrated' WHERE name = 'target'`); err != nil {
		s.t.Fatal(err)
	}
	block := s.block()
	s.block = func() string {
		return replaceOnce(s.t, block, "path =", fmt.Sprintf("previous_targets = [%q]\n  path =", old))
	}
}

// A retired platform that is still written is a warning: changes are made on the other platforms, nothing is done there, and
// no plan is stuck.
func TestRetiredPlatformStillWritten(t *testing.T) {
	if !onlyOnce() {
		return
	}
	t.Parallel()
	for name, extra := range map[string][]string{"refreshed": nil, "without refresh": {"-refresh=false"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			kept, old := sandboxSite(t, "warehouse"), sandboxSite(t, "old-crm")
			c := config{stack: "stack", identity: "agent", sites: []*site{kept, old}, holds: []int{0}}
			w := c.workspace(t)
			w.Apply()
			old.block = func() string { return "" }
			c.extraProvider = `  retired_platforms = ["old-crm"]`
			w.Configure(c.hcl())
			w.Plan(exitEmpty).Has(t, "Retired platform", "so its account counts as gone", "one more similar warning")
			c.extra, c.holds = "  enabled = false", []int{1}
			w.Configure(c.hcl())
			r := w.ApplyOnly(extra...)
			r.Has(t, "Retired platform")
			r.HasNot(t, "will be deleted")
			w.Plan(exitEmpty)
			w.Plan(exitEmpty, "-refresh=false")
			if status := kept.account("agent").Status; status != nhi.Suspended {
				t.Errorf("status %s", status)
			}
			kept.holds("agent", kept.texts(1)...)
			old.holds("agent", old.texts(0)...)
			if got := w.Attributes("nhi_identity", "this"); len(got.Accounts) != 1 || len(got.Pending) > 0 {
				t.Errorf("state of the identity: %+v", got)
			}
			if extra != nil { // what is told to be removed can be removed
				c.sites = []*site{kept}
				w.Configure(c.hcl())
				w.Apply()
			}
			w.Destroy()
			kept.gone("agent")
			old.holds("agent", old.texts(0)...)
		})
	}
}
