package acctest

import (
	"database/sql"
	"fmt"
	"regexp"
	"slices"
	"testing"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/testenv"
)

var sandboxPath = regexp.MustCompile(`path = "([^"]*)"`)

// refuseSecrets makes a sandbox refuse to store secrets, or heals it.
func (s *site) refuseSecrets(t *testing.T, refuse bool) {
	t.Helper()
	if _, err := s.hand.Probe(t.Context()); err != nil { // makes the file
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite", sandboxPath.FindStringSubmatch(s.block())[1])
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close() //nolint:errcheck // a test's own connection
	statement := "DROP TRIGGER refuse"
	if refuse {
		statement = "CREATE TRIGGER refuse BEFORE INSERT ON secrets BEGIN SELECT RAISE(ABORT, 'the quota is exceeded'); END"
	}
	if _, err := db.Exec(statement); err != nil {
		t.Fatal(err)
	}
}

// A store refuses the third of four deliveries: the old credential works on, the error names the store, and the next
// apply goes on there with the same pending credential. When the rotation is created, everything is taken back instead.
func TestStoreRefusesTheThirdDelivery(t *testing.T) {
	t.Parallel()
	s := sandboxSite(t, "warehouse")
	var stores []*site
	for i := range 4 {
		stores = append(stores, sandboxSite(t, fmt.Sprintf("store%d", i+1)))
	}
	r := newRotations(t, []*site{s}, stores...)
	w := r.workspace(t)
	stores[2].refuseSecrets(t, true)
	w.ApplyFails().Has(t, `"store3"`, "the quota is exceeded")
	if left := s.account(r.identity).Credentials; len(left) > 0 {
		t.Errorf("a creation that failed leaves %+v", left)
	}
	if _, err := stores[0].secrets().GetSecret(t.Context(), r.path(s)); stores[0].hand.Classify(err).Code != driver.NotFound {
		t.Errorf("a creation that failed leaves a secret: %v", err)
	}
	stores[2].refuseSecrets(t, false)
	w.Apply()
	old := r.held(t, s, stores[0])

	stores[2].refuseSecrets(t, true)
	w.MoveClock(cycle)
	w.ApplyFails().Has(t, `"store3"`, "the quota is exceeded", "the previous credential stays valid")
	if err := s.login(t, old); err != nil {
		t.Errorf("the old credential: %v", err)
	}
	pending, last := r.held(t, s, stores[0]), r.held(t, s, stores[3])
	if !last.Fields["secret"].Equal(old.Fields["secret"]) || pending.Fields["secret"].Equal(old.Fields["secret"]) {
		t.Error("the stores before the third shall hold the new credential, and those after it the old one")
	}
	versions := []int64{pending.Version, r.held(t, s, stores[1]).Version}
	w.Plan(exitChanges).Has(t, "rotate: finish "+pending.Metadata["nhi_label"])

	stores[2].refuseSecrets(t, false)
	w.Apply()
	r.consistent(t, w)
	for _, store := range stores {
		if got := r.held(t, s, store); !got.Fields["secret"].Equal(pending.Fields["secret"]) {
			t.Errorf("%s does not hold the credential that was pending", store.name)
		}
	}
	if again := []int64{r.held(t, s, stores[0]).Version, r.held(t, s, stores[1]).Version}; !slices.Equal(again, versions) {
		t.Errorf("what was delivered is delivered again: versions %v, then %v", versions, again)
	}
	if err := s.login(t, old); err != nil {
		t.Errorf("the old credential during the overlap: %v", err)
	}
	w.Destroy()
}

// A store goes down between the plan of a rotation and its apply, in which Terraform plans once more: the error names the
// store and is none of Terraform's about this provider.
func TestRotateWithAStoreDownSincePlan(t *testing.T) {
	t.Parallel()
	gate, url := gateURL(t, testenv.Load(t).Vault.Address)
	s, vault := sandboxSite(t, "warehouse"), vaultSite(t, "secrets", url)
	r := newRotations(t, []*site{s}, vault)
	w := r.workspace(t)
	w.Apply()
	used := r.held(t, s, vault)
	w.MoveClock(cycle)
	w.Plan(exitChanges, "-out=saved")
	gate.Shut()
	failed := w.must(exitError, "apply", "-no-color", "saved")
	failed.Has(t, `Unable to update the rotation of "`+r.identity+`"`, `platform "secrets"`)
	failed.HasNot(t, "inconsistent final plan")
	if err := s.login(t, used); err != nil {
		t.Errorf("the credential in use: %v", err)
	}
	gate.Open()
	w.Apply()
	r.consistent(t, w)
}

// Destroy with a store down, and with the issuing platform down: everything else is gone, state keeps what is left.
func TestDestroyRotationWithASystemDown(t *testing.T) {
	t.Parallel()
	vaultGate, vaultURL := gateURL(t, testenv.Load(t).Vault.Address)
	vault, store := vaultSite(t, "secrets", vaultURL), sandboxSite(t, "store")
	s := sandboxSite(t, "warehouse")
	r := newRotations(t, []*site{s}, store, vault)
	w := r.workspace(t)
	w.Apply()
	used := r.held(t, s, store)
	vaultGate.Shut()
	w.Plan(exitError).Has(t, `"secrets"`)
	w.DestroyFails("-refresh=false").Has(t, "Unable to delete the rotation", `"secrets"`)
	if err := s.login(t, used); err == nil {
		t.Error("the credential survived the destroy")
	}
	if _, err := store.secrets().GetSecret(t.Context(), r.path(s)); store.hand.Classify(err).Code != driver.NotFound {
		t.Errorf("the other store still holds the secret: %v", err)
	}
	left := w.rotationState("warehouse")
	if len(left.Credentials) != 0 || len(left.Delivered) != 1 || left.Delivered[0].Platform != "secrets" {
		t.Errorf("state keeps %+v", left)
	}
	vaultGate.Open()
	w.Destroy("-refresh=false")
	if _, err := vault.secrets().GetSecret(t.Context(), r.path(s)); vault.hand.Classify(err).Code != driver.NotFound {
		t.Errorf("the store that was down still holds the secret: %v", err)
	}
	s.gone(r.identity)
}
