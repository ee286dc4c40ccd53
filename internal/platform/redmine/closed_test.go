package redmine

import (
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
)

// TestClosedProjects has projects that are closed, which everybody still reads, and archived, which nobody does.
func TestClosedProjects(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	c := open(t, s.config())
	private := `,"is_public":false`
	closed, archived, closedToAll, archivedToAll := s.project(t, private), s.project(t, private), s.project(t, ""), s.project(t, "")
	ref := s.create(t, c, nil)
	held := nhi.Entitlement{Type: typeProject, Target: closed.Identifier, Permission: "Developer"}
	lost := nhi.Entitlement{Type: typeProject, Target: archived.Identifier, Permission: "Developer"}
	if err := c.Grant(t.Context(), ref, []nhi.Entitlement{held, lost}); err != nil {
		t.Fatal(err)
	}
	for _, p := range []project{closed, closedToAll} {
		s.call(t, "PUT", "/projects/"+p.Identifier+"/close.json", "")
	}
	for _, p := range []project{archived, archivedToAll} {
		s.call(t, "PUT", "/projects/"+p.Identifier+"/archive.json", "")
	}

	wantHeld(t, c, ref, held)
	wantSwept(t, c, ref)
	if err := c.Revoke(t.Context(), ref, []nhi.Entitlement{held}); err == nil {
		t.Error("a role in a closed project was revoked")
	}
	wantHeld(t, c, ref, held)

	wantExplained(t, c, ref, closed.Identifier, held.String())
	wantExplained(t, c, ref, closedToAll.Identifier, "project:"+closedToAll.Identifier+"#Non member < Non member")
	wantExplained(t, c, ref, archivedToAll.Identifier)
	stranger := open(t, Config{URL: s.bed.URL, APIKey: s.plainKey(t)}) // What the explanation says is so.
	if err := stranger.get(t.Context(), "/projects/"+closedToAll.Identifier+".json", nil, &answer{}); err != nil {
		t.Errorf("a closed public project is not shown to everybody: %v", err)
	}
	for _, p := range []project{closed, archivedToAll} {
		if err := stranger.get(t.Context(), "/projects/"+p.Identifier+".json", nil, &answer{}); !isStatus(err, http.StatusForbidden) {
			t.Errorf("project %s is shown to everybody: %v", p.Identifier, err)
		}
	}
}

// wantSwept compares the account in a sweep with what reading it gives.
func wantSwept(t *testing.T, c *client, ref nhi.Ref) {
	t.Helper()
	single, err := c.ReadAccount(t.Context(), ref)
	if err != nil {
		t.Fatal(err)
	}
	var swept []nhi.Account
	if err := c.Sweep(t.Context(), driver.SweepFilter{Stack: single.Mark.Stack}, func(page []nhi.Account) error {
		for _, account := range page {
			if account.Ref == ref {
				swept = append(swept, account)
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]nhi.Account{single}, swept); diff != "" {
		t.Errorf("a sweep differs (-single +sweep):\n%s", diff)
	}
}
