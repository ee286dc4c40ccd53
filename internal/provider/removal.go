package provider

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"

	"github.com/nhi-labs/terraform-provider-nhi/internal/lifecycle"
)

// plannedRemovals is how the deletion of a grant or a rotation finds out that the plan removes the identity as well.
// Terraform does not go on to an identity while something that refers to it cannot be deleted, so one platform that is
// down would keep the identity's accounts alive on all others. If the plan has shown that they go, they need not wait.
//
// Planning and applying are two processes, and of one plan Terraform hands a resource only what that resource itself has
// noted. So the plan puts its own id there, and what it removes into a file named after that id. Without the file (the
// plan is applied on another machine) the identity waits, and the error says how to go on. See decision 0015.
//
// The directory of these files is one that other users of the machine may write to as well. The id is the key that a file
// is authenticated with, and its name does not tell it: only who has the plan can make a file that counts.
type plannedRemovals struct {
	dir string
	// plan is the id of the plan that this process makes.
	plan string
}

func newPlannedRemovals() *plannedRemovals {
	id := make([]byte, 16)
	_, _ = rand.Read(id) // It never fails.
	return &plannedRemovals{dir: os.TempDir(), plan: hex.EncodeToString(id)}
}

// plannedRemoval is what the plan removes of one identity. Nothing of it is secret.
type plannedRemoval struct {
	Identity string                      `json:"identity"`
	Accounts map[string]lifecycle.Record `json:"accounts"`
	// SuspendOnly keeps the accounts, without a way in.
	SuspendOnly bool `json:"suspend_only"`
}

// removalKey holds the id of the plan in the private state of a resource that the plan deletes.
const removalKey = "removed_by_plan"

var planID = regexp.MustCompile(`^[0-9a-f]{32}$`)

func (p *plannedRemovals) folder(plan string) string {
	return filepath.Join(p.dir, "nhi-plan-"+seal(plan, "the name of the folder")[:32])
}

// seal authenticates a text as one of a plan.
func seal(plan, text string) string {
	mac := hmac.New(sha256.New, []byte(plan))
	_, _ = mac.Write([]byte(text)) // It never fails.
	return hex.EncodeToString(mac.Sum(nil))
}

func (p *plannedRemovals) file(plan, identity string) string {
	return filepath.Join(p.folder(plan), hex.EncodeToString([]byte(identity)))
}

func (p *plannedRemovals) write(removal plannedRemoval) error {
	return p.put(p.file(p.plan, removal.Identity), removal)
}

// put seals content and writes it into a file of this plan.
func (p *plannedRemovals) put(file string, content any) error {
	text, err := json.Marshal(content)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(p.folder(p.plan), 0o700); err != nil {
		return err
	}
	text = append([]byte(seal(p.plan, string(text))+"\n"), text...)
	return os.WriteFile(file, text, 0o600)
}

// get reads a file of a plan into content. It reports false if there is none that counts.
func (p *plannedRemovals) get(plan, file string, content any) bool {
	text, err := os.ReadFile(file)
	if err != nil {
		return false
	}
	mac, noted, _ := strings.Cut(string(text), "\n")
	return hmac.Equal([]byte(mac), []byte(seal(plan, noted))) && json.Unmarshal([]byte(noted), content) == nil
}

// noteDependent notes in the private state of what the plan deletes which plan it is.
func (p *plannedRemovals) noteDependent(ctx context.Context, private privateWriter) diag.Diagnostics {
	return private.SetKey(ctx, removalKey, []byte(`"`+p.plan+`"`))
}

// planned reports whether the plan removes the resource. A replacement removes nothing: it is planned as a creation.
func (p *plannedRemovals) planned(ctx context.Context, private privateReader) bool {
	text, diags := private.GetKey(ctx, removalKey)
	return !diags.HasError() && planID.MatchString(strings.Trim(string(text), `"`))
}

// find returns what the plan that deletes a resource removes of its identity, if it does.
func (p *plannedRemovals) find(ctx context.Context, private privateReader, identity string) (plannedRemoval, bool) {
	text, diags := private.GetKey(ctx, removalKey)
	plan := strings.Trim(string(text), `"`)
	if diags.HasError() || !planID.MatchString(plan) {
		return plannedRemoval{}, false
	}
	var removal plannedRemoval
	if !p.get(plan, p.file(plan, identity), &removal) || removal.Identity != identity {
		return plannedRemoval{}, false
	}
	return removal, true
}

// failed forgets which plan wanted to delete a resource that is still there: a later plan may keep its identity.
func (p *plannedRemovals) failed(ctx context.Context, private privateWriter) diag.Diagnostics {
	return private.SetKey(ctx, removalKey, nil)
}

// done forgets what was noted about an identity that is deleted now.
func (p *plannedRemovals) done(ctx context.Context, private privateReader, identity string) {
	text, _ := private.GetKey(ctx, removalKey)
	if plan := strings.Trim(string(text), `"`); planID.MatchString(plan) {
		_ = os.Remove(p.file(plan, identity))
		_ = os.Remove(p.folder(plan)) // Stays while it is not empty.
	}
}

// ahead removes the identity's accounts before Terraform asks for it, if the plan removes them as well, because a grant or
// rotation of the identity could not be deleted: problems says why. It reports whether an account is gone on a platform
// that had a problem, so that trying again may help.
func (p *plannedRemovals) ahead(ctx context.Context, op *operation, private privateReader, identity string,
	problems lifecycle.Problems, diags *diag.Diagnostics,
) (again bool) {
	removal, planned := p.find(ctx, private, identity)
	if !planned || op.data.made.check(removal.Accounts) != nil {
		return false
	}
	left, failed := lifecycle.DeleteIdentity(ctx, op.fleet, lifecycle.Identity{Name: identity}, removal.Accounts, removal.SuspendOnly)
	known := problems.Platforms()
	for _, f := range failed {
		if !slices.Contains(known, f.Platform) {
			diags.AddWarning(fmt.Sprintf("Identity %q is still there on platform %q", identity, f.Platform), f.Err.Error())
		}
	}
	var cut []string
	for _, platform := range slices.Sorted(maps.Keys(removal.Accounts)) {
		if r, there := left[platform]; !there || r.Status == lifecycle.Deleted { // What is left of it, the identity's own deletion says.
			cut = append(cut, platform)
		}
	}
	if len(cut) == 0 {
		return false
	}
	verb := "deleted"
	if removal.SuspendOnly {
		verb = "suspended"
	}
	diags.AddWarning(fmt.Sprintf("Identity %q was %s ahead on %s", identity, verb, strings.Join(cut, ", ")),
		"The plan removes the identity as well, and Terraform does not go on to it before everything that refers to it is deleted. So "+
			"that no access waits for the platform that failed, the accounts on the other platforms were "+verb+" at once.")
	return !removal.SuspendOnly && slices.ContainsFunc(known, func(platform string) bool { return slices.Contains(cut, platform) })
}

// noteIdentity notes that the plan removes an identity, or warns that it will have to wait.
func (p *plannedRemovals) noteIdentity(removal plannedRemoval, diags *diag.Diagnostics) {
	if err := p.write(removal); err != nil {
		diags.AddAttributeWarning(path.Root("name"), "The removal could not be noted", fmt.Sprintf(
			"If a grant of identity %q cannot be deleted on one platform, the identity's accounts on the others will wait for that: %v.",
			removal.Identity, err))
	}
}
