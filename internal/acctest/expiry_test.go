package acctest

import (
	"testing"
	"time"

	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
)

// The date on which things expire in these tests, and a clock that is past it.
const (
	expiryDate = "2100-01-01T00:00:00Z"
	afterwards = 100 * 365 * 24 * time.Hour
)

// Once an identity has expired, the next plan suspends it; its date can be moved on.
func TestIdentityExpires(t *testing.T) {
	t.Parallel()
	s := sandboxSite(t, "warehouse")
	c := config{stack: "stack", identity: "agent", sites: []*site{s}, holds: []int{0}, extra: `  expires_at = "` + expiryDate + `"`}
	w := c.workspace(t)
	w.Apply()
	if got := s.account("agent").ExpiresAt.UTC().Format(time.RFC3339); got != expiryDate {
		t.Errorf("native expiry %s, want %s", got, expiryDate)
	}
	w.MoveClock(afterwards)
	w.Plan(exitChanges).Has(t, `"active" -> "suspended"`)
	w.Apply()
	if status := s.account("agent").Status; status != nhi.Suspended {
		t.Errorf("status %s", status)
	}
	s.holds("agent", s.texts(0)...)
	c.extra = `  expires_at = "2199-01-01T00:00:00Z"`
	w.Configure(c.hcl())
	w.Apply()
	if status := s.account("agent").Status; status != nhi.Active {
		t.Errorf("status %s", status)
	}
}

// Once a grant has expired, the next plan says what it revokes; what is granted again by hand shows again.
func TestGrantExpires(t *testing.T) {
	t.Parallel()
	s := sandboxSite(t, "warehouse")
	c := config{stack: "stack", identity: "agent", sites: []*site{s}, holds: []int{0, 1}, extraGrant: `  expires_at = "` + expiryDate + `"`}
	w := c.workspace(t)
	w.Apply()
	s.holds("agent", s.texts(0, 1)...)
	w.MoveClock(afterwards)
	w.Plan(exitChanges).Has(t, `"active" -> "expired"`, "warehouse: revoke "+s.entitlements[0]+" (expired)")
	w.Apply()
	s.holds("agent")
	s.grantByHand("agent", s.entitlements[0])
	w.Plan(exitChanges).Has(t, "warehouse: revoke "+s.entitlements[0]+" (expired)")
	w.Apply()
	s.holds("agent")
	w.Destroy()
}

// What is planned shortly before a date may be applied after it: the apply does what the date asks for, and Terraform, which
// plans again in the middle of it, finds no contradiction.
func TestExpiresBetweenPlanAndApply(t *testing.T) {
	t.Parallel()
	s := sandboxSite(t, "warehouse")
	soon := `  expires_at = "` + time.Now().Add(time.Hour).UTC().Format(time.RFC3339) + `"`
	c := config{stack: "stack", identity: "agent", sites: []*site{s}, holds: []int{0, 1}, extra: soon, extraGrant: soon}
	w := c.workspace(t)
	w.Apply()
	s.holds("agent", s.texts(0, 1)...)
	c.holds = []int{0}
	c.extra += "\n  purpose = \"reporting\""
	w.Configure(c.hcl())
	w.Plan(exitChanges, "-out=saved")
	w.MoveClock(2 * time.Hour)
	w.must(0, "apply", "-no-color", "saved")
	if status := s.account("agent").Status; status != nhi.Suspended {
		t.Errorf("status %s", status)
	}
	s.holds("agent")
	w.Plan(exitEmpty)
}
