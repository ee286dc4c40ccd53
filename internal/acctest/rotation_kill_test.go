package acctest

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/testenv"
)

// buildKillOnce builds the provider that kills itself after some change.
var buildKillOnce = sync.OnceValues(func() (string, error) {
	root, err := testenv.Root()
	if err != nil {
		return "", err
	}
	path := filepath.Join(root, "bin", "kill", "terraform-provider-nhi")
	return path, build(root, path, "./internal/acctest/killprovider")
})

// killAfter makes the workspace's provider kill itself after the next n changes on platforms; 0 never does. It believes
// to be later by clock.
func (w *Workspace) killAfter(n int, clock time.Duration) {
	w.t.Helper()
	path, err := buildKillOnce()
	if err != nil {
		w.t.Fatal(err)
	}
	w.useProvider(path)
	w.write("kill", strconv.Itoa(n))
	w.Setenv("NHI_ACC_KILL", filepath.Join(w.dir, "kill"))
	w.Setenv("NHI_ACC_CLOCK", clock.String())
	w.Setenv("GOGC", "off") // tests that kill run the CLI often, and it lives for a second
}

// rotationState is what state says of a rotation.
type rotationState struct {
	Current     string `json:"current"`
	Credentials []struct {
		Label string `json:"label"`
		Stage string `json:"stage"`
	} `json:"credentials"`
	Delivered []struct {
		Platform string `json:"platform"`
	} `json:"delivered"`
	Pending []string `json:"pending"`
}

// rotationState reads a rotation from state, which must be there.
func (w *Workspace) rotationState(name string) rotationState {
	w.t.Helper()
	content, err := os.ReadFile(filepath.Join(w.dir, "terraform.tfstate"))
	if err != nil {
		w.t.Fatal(err)
	}
	var state struct {
		Resources []struct {
			Type, Name string
			Instances  []struct{ Attributes json.RawMessage }
		}
	}
	if err := json.Unmarshal(content, &state); err != nil {
		w.t.Fatal(err)
	}
	for _, r := range state.Resources {
		if r.Type == "nhi_rotation" && r.Name == name && len(r.Instances) == 1 {
			var out rotationState
			if err := json.Unmarshal(r.Instances[0].Attributes, &out); err != nil {
				w.t.Fatal(err)
			}
			return out
		}
	}
	w.t.Fatalf("nhi_rotation.%s is not in state", name)
	return rotationState{}
}

// consistent fails the test unless state, the platform and every store agree on one current credential, and the
// platform has no credential that state does not know.
func (r rotations) consistent(t *testing.T, w *Workspace) {
	t.Helper()
	issuer := r.sites[0]
	state := w.rotationState(issuer.name)
	var known, current, there []string
	for _, c := range state.Credentials {
		known = append(known, c.Label)
		if c.Stage == "current" {
			current = append(current, c.Label)
		}
	}
	for _, c := range issuer.account(r.identity).Credentials {
		there = append(there, c.Label)
	}
	slices.Sort(known)
	slices.Sort(there)
	if !slices.Equal(known, there) || len(current) != 1 || current[0] != state.Current {
		t.Errorf("state knows %v with current %v, the account has %v", known, current, there)
	}
	for _, store := range r.stores {
		stored := r.held(t, issuer, store)
		if stored.Metadata["nhi_label"] != state.Current || issuer.login(t, stored) != nil {
			t.Errorf("%s holds %s, want %s, and it has to work", store.name, stored.Metadata["nhi_label"], state.Current)
		}
	}
}

// The provider is killed after each single change that a rotation makes, one more with every round, until a round is
// not killed any more. The next apply goes on with what is there, and no client ever fails.
func TestRotationKilledAfterEachStep(t *testing.T) {
	if !onlyOnce() {
		return
	}
	t.Parallel()
	pg, vault, sandbox := postgresqlSite(t, "warehouse", ""), vaultSite(t, "secrets", ""), sandboxSite(t, "vaultlet")
	r := newRotations(t, []*site{pg}, vault, sandbox)
	w := r.workspace(t)
	w.killAfter(0, 0)
	w.ApplyOnly()
	w.killAfter(0, cycle)
	w.ApplyOnly() // from now on every round has a previous credential to retire as well
	clients := []*client{r.startClient(t, pg, vault), r.startClient(t, pg, sandbox)}
	killed := 0
	for round := 1; ; round++ {
		clock := time.Duration(round+1) * cycle
		w.killAfter(round, clock)
		run := w.Run("apply", "-no-color", "-input=false", "-auto-approve")
		if run.Exit == 0 {
			break
		}
		if left, err := os.ReadFile(filepath.Join(w.dir, "kill")); err != nil || string(left) != "0" {
			t.Fatalf("round %d failed without being killed (%s, %v):\n%s", round, left, err, run.Output)
		}
		killed++
		w.killAfter(0, clock)
		w.Apply()
		r.consistent(t, w)
		if t.Failed() {
			t.Fatalf("after the kill in round %d", round)
		}
	}
	if killed != 4 { // retire, issue, deliver, deliver
		t.Errorf("killed after %d steps; a rotation with two stores has 4", killed)
	}
	for _, c := range clients {
		c.finish(t)
	}
}

// The same for creating and for deleting a rotation.
func TestRotationKilledWhileCreatedAndDeleted(t *testing.T) {
	if !onlyOnce() {
		return
	}
	t.Parallel()
	s, store := sandboxSite(t, "warehouse"), sandboxSite(t, "secrets")
	r := newRotations(t, []*site{s}, store)
	w := r.workspace(t)
	without := r.config.hcl()
	w.Configure(without)
	w.killAfter(0, 0)
	w.ApplyOnly()
	for round := 1; ; round++ {
		w.Configure(r.hcl())
		w.killAfter(round, 0)
		created := w.Run("apply", "-no-color", "-input=false", "-auto-approve").Exit == 0
		if !created {
			w.killAfter(0, 0)
			w.Apply()
		}
		r.consistent(t, w) // the leftover of a killed creation may stay as a previous one
		w.Configure(without)
		w.killAfter(round, 0)
		deleted := w.Run("apply", "-no-color", "-input=false", "-auto-approve").Exit == 0
		if !deleted {
			w.killAfter(0, 0)
			w.Apply()
		}
		if left := s.account(r.identity).Credentials; len(left) > 0 {
			t.Errorf("round %d leaves credentials %+v", round, left)
		}
		if _, err := store.secrets().GetSecret(t.Context(), r.path(s)); store.hand.Classify(err).Code != driver.NotFound {
			t.Errorf("round %d leaves the secret: %v", round, err)
		}
		if created && deleted {
			if round != 3 {
				t.Errorf("nothing was killed in round %d", round)
			}
			return
		}
		if t.Failed() || round > 5 {
			t.FailNow()
		}
	}
}
