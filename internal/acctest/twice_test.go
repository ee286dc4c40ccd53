package acctest

import (
	"fmt"
	"strings"
	"testing"
)

// aLife is an identity with everything that can hang on one, on two sandboxes.
func aLife(t *testing.T) (r rotations, s, store *site, w *Workspace) {
	t.Helper()
	s, store = sandboxSite(t, "warehouse"), sandboxSite(t, "secrets")
	r = newRotations(t, []*site{s}, store)
	r.noGrant, r.holds = false, []int{0, 1}
	w = r.workspace(t)
	w.Apply()
	return r, s, store, w
}

// alive fails the test unless the account is as it was, and what the store holds lets its callers in.
func (r rotations) alive(t *testing.T, s, store *site, id string) {
	t.Helper()
	if now := s.account(r.identity).ID; now != id {
		t.Errorf("the account is %s, was %s", now, id)
	}
	s.holds(r.identity, s.texts(0, 1)...)
	if err := s.login(t, r.held(t, s, store)); err != nil {
		t.Errorf("what the store holds: %v", err)
	}
}

// A resource that was renamed without a moved block would be made and deleted at the same time: both are the same accounts.
func TestRenamedWithoutAMovedBlock(t *testing.T) {
	t.Parallel()
	r, s, store, w := aLife(t)
	id := s.account(r.identity).ID
	hcl := r.hcl()
	for kind, name := range map[string]string{"identity": "this", "rotation": s.name} {
		old, renamed := fmt.Sprintf("\"nhi_%s\" %q", kind, name), fmt.Sprintf("\"nhi_%s\" \"renamed\"", kind)
		moved := strings.ReplaceAll(replaceOnce(t, hcl, old, renamed), "nhi_"+kind+"."+name, "nhi_"+kind+".renamed")
		w.Configure(moved)
		w.Plan(exitError).Has(t, "Two objects of one "+kind, fmt.Sprintf("moved { from = nhi_%s.<old>", kind))
		w.ApplyFails()
		r.alive(t, s, store, id)
		w.Configure(fmt.Sprintf("%s\nmoved {\n  from = nhi_%s.%s\n  to   = nhi_%s.renamed\n}\n", moved, kind, name, kind))
		w.Apply()
		r.alive(t, s, store, id)
		w.Configure(fmt.Sprintf("%s\nmoved {\n  from = nhi_%s.renamed\n  to   = nhi_%s.%s\n}\n", hcl, kind, kind, name))
		w.Apply()
	}
	// Of grants one leaves to the other what both declare.
	w.Configure(replaceOnce(t, hcl, `"nhi_grant" "this"`, `"nhi_grant" "renamed"`))
	w.Apply()
	r.alive(t, s, store, id)
	w.Destroy()
}

// The name is known at apply only, so no plan can refuse it. Whatever Terraform does first: nothing is lost silently.
func TestRenamedUnderANameThatIsNotKnown(t *testing.T) {
	t.Parallel()
	r, s, store, w := aLife(t)
	id := s.account(r.identity).ID
	hcl := strings.ReplaceAll(replaceOnce(t, r.hcl(), `"nhi_identity" "this"`, `"nhi_identity" "renamed"`), "nhi_identity.this", "nhi_identity.renamed")
	w.Configure(replaceOnce(t, hcl, fmt.Sprintf("name  = %q", r.identity), "name  = terraform_data.name.output") +
		fmt.Sprintf("\nresource \"terraform_data\" \"name\" {\n  input = %q\n}\n", r.identity))
	if applied := w.Run("apply", "-no-color", "-input=false", "-auto-approve"); applied.Exit != 0 {
		applied.Has(t, "terraform state rm")
		r.alive(t, s, store, id)
		w.must(0, "state", "rm", "nhi_identity.this")
	}
	w.Apply()
	r.alive(t, s, store, s.account(r.identity).ID)
}

// An object that create_before_destroy has left deposed has the same accounts as the one that is in use.
func TestDeposedIdentityIsLeftAlone(t *testing.T) {
	t.Parallel()
	r, s, store, w := aLife(t)
	id := s.account(r.identity).ID
	plain := r.hcl()
	r.extra = "  lifecycle {\n    create_before_destroy = true\n  }"
	w.Configure(r.hcl())
	w.ApplyFails("-replace=nhi_identity.this").Has(t, "Remove create_before_destroy")
	r.alive(t, s, store, id)
	for range 2 { // another process knows nothing of what that one has made
		w.ApplyFails().Has(t, "Two objects of one identity", "terraform state rm")
		r.alive(t, s, store, id)
	}
	w.Configure(plain)
	w.ApplyFails()
	w.must(0, "state", "rm", "nhi_identity.this")
	w.Apply()
	r.alive(t, s, store, id)
	w.Destroy()
	s.gone(r.identity)
}

// The same of a rotation: deleting the old object would revoke the credential of the new one.
func TestRotationIsNotCreatedBeforeItIsDestroyed(t *testing.T) {
	t.Parallel()
	r, s, store, w := aLife(t)
	id := s.account(r.identity).ID
	plain := r.hcl()
	r.extraRotation = "  lifecycle {\n    create_before_destroy = true\n  }"
	w.Configure(r.hcl())
	w.ApplyFails("-replace=nhi_rotation.warehouse").Has(t, "Remove create_before_destroy")
	r.alive(t, s, store, id)
	w.ApplyFails().Has(t, "Two objects of one rotation", "terraform state rm")
	w.Configure(plain)
	w.must(0, "state", "rm", "nhi_rotation.warehouse")
	w.Apply()
	r.alive(t, s, store, id)
	w.Apply("-replace=nhi_rotation.warehouse")
	r.alive(t, s, store, id)

	w.Configure(r.hcl())
	w.ApplyFails("-replace=nhi_rotation.warehouse")
	w.DestroyFails().Has(t, "-refresh=false") // Terraform plans what is in use before it plans to destroy it.
	w.Destroy("-refresh=false")
	s.gone(r.identity)
}

// Replacing an identity takes its credentials away: the same apply issues and delivers others.
func TestReplacedIdentityIsRotated(t *testing.T) {
	if !onlyOnce() {
		return
	}
	t.Parallel()
	r, s, store, w := aLife(t)
	id, first := s.account(r.identity).ID, r.held(t, s, store)
	w.Apply("-replace=nhi_identity.this")
	if now := s.account(r.identity).ID; now == id {
		t.Error("the account was not replaced")
	}
	r.alive(t, s, store, s.account(r.identity).ID)
	if err := s.login(t, first); err == nil {
		t.Error("the old credential works")
	}
	w.Destroy()
}
