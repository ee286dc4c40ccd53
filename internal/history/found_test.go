package history

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/nhi-labs/terraform-provider-nhi/internal/audit"
	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/fleet"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
)

// begin begins a history that is not random: one that a random history has found to go wrong.
func begin(t *testing.T, a *identity) *history {
	t.Helper()
	t.Setenv("TMPDIR", t.TempDir())
	h, err := newHistory(newCore(t), newDir(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.world.close)
	h.wish = &wish{unplugged: map[string]bool{}, retired: map[string]bool{}, identities: map[string]*identity{"a": a}}
	h.rest(t, nil)
	return h
}

func rotated() *identity {
	return &identity{
		owner: "team", accounts: map[string]account{"p": {}, "q": {}}, rotation: &rotationWish{platform: "p", stores: []string{"r"}},
	}
}

// Without its mark the account of a rotation was a stranger's, so nothing could be planned, not even to mark it again.
func TestRotatedAccountWithoutItsMark(t *testing.T) {
	h := begin(t, rotated())
	a, _ := h.world.snapshot().named("p", "a")
	h.do(h.world.platforms["p"].UpdateAccount(context.Background(), a.Ref, driver.AccountChange{Mark: &nhi.Mark{}}))
	h.rest(t, nil)
	h.end(t, nil)
}

// The secret of the old rotation, which goes first, was in the way of the new one.
func TestRotationMovesAndKeepsItsPath(t *testing.T) {
	h := begin(t, rotated())
	h.wish.identities["a"].rotation = &rotationWish{platform: "q", stores: []string{"r"}}
	h.rest(t, nil)
	h.end(t, nil)
}

// An account could not be adopted and rotated by one plan: when that is made, it carries no mark yet.
func TestAdoptedAndRotated(t *testing.T) {
	h := begin(t, nil)
	squatter(t, h, "p", "a")
	h.wish.identities["a"] = rotated()
	h.wish.identities["a"].accounts["p"] = account{adopt: true}
	h.rest(t, nil)
	h.end(t, nil)
}

// Somebody deletes an account and makes another one of its name: that one was mistaken for the account of the grant and of
// the rotation, so that nothing could be planned or destroyed, or, when the platform had shown the account's absence in
// between, for one to be managed without having been adopted.
func TestAccountInThePlaceOfAnother(t *testing.T) {
	for _, adopt := range []bool{true, false} {
		a := rotated()
		a.main = &grant{exclusive: true, entitlements: map[string][]string{"p": {"role:a"}}}
		h := begin(t, a)
		h.do(h.world.platforms["p"].DeleteAccount(context.Background(), nhi.Ref{Name: "a"}))
		squatter(t, h, "p", "a")
		if adopt {
			a.accounts["p"] = account{adopt: true}
			h.rest(t, nil)
		}
		h.end(t, nil)
		if _, there := h.world.snapshot().named("p", "a"); there == adopt {
			t.Errorf("adopt %v, and after destroying the account is there: %v", adopt, there)
		}
	}
}

// A rotation was forgotten and declared again with another path: what its callers went on to read was revoked at once.
func TestForgottenRotationMoves(t *testing.T) {
	a := rotated()
	a.rotation.overlap = 12 * time.Hour
	h := begin(t, a)
	used := h.world.snapshot().secrets["r"][secretPath("a")]
	h.forget(rotationAt("a"))
	a.rotation.stores = []string{"q"}
	h.rest(t, nil)
	h.checkLogin(t, "a", a, used)
	h.end(t, nil)
}

// A removal failed, and then its store was taken out of the configuration: the plan promised the removal all the same.
func TestRemovalFromAStoreThatIsNotConfigured(t *testing.T) {
	a := rotated()
	a.rotation.stores = []string{"q", "r"}
	h := begin(t, a)
	a.rotation.stores = []string{"q"}
	h.sabotage = func(c fleet.Call) error {
		if c.Platform == "r" && c.Change != nil {
			return driver.Errorf(driver.PermissionDenied, "read only for now")
		}
		return nil
	}
	h.run(t, options{between: func() {}})
	h.sabotage = nil
	h.wish.unplugged["r"] = true
	if h.run(t, options{}) != nil {
		t.Error("planned")
	}
	h.wish.unplugged["r"] = false
	h.rest(t, nil)
	h.end(t, nil)
}

// squatter makes an account that nobody has marked.
func squatter(t *testing.T, h *history, platform, name string) {
	t.Helper()
	ref, err := h.world.platforms[platform].CreateAccount(context.Background(), driver.AccountSpec{Name: name})
	h.do(err)
	h.do(h.world.platforms[platform].Grant(context.Background(), ref, entitlements("role:b", "role:y")))
}

// The same, where the rotation is new and the mark is missing on an account that the identity has had for long.
func TestAccountWithoutItsMarkIsRotated(t *testing.T) {
	a := rotated()
	a.rotation = nil
	h := begin(t, a)
	there, _ := h.world.snapshot().named("p", "a")
	h.do(h.world.platforms["p"].UpdateAccount(context.Background(), there.Ref, driver.AccountChange{Mark: &nhi.Mark{}}))
	h.wish.identities["a"] = rotated()
	h.rest(t, nil)
	h.end(t, nil)
}

// What an expired grant has declared and another one gives as well was to be revoked in every plan, and never was.
func TestExpiredGrantToleratesWhatItDeclares(t *testing.T) {
	a := rotated()
	a.extra = &grant{entitlements: map[string][]string{"p": {"role:a"}}}
	a.main = &grant{exclusive: true, entitlements: map[string][]string{"p": {"role:a", "role:b"}}}
	h := begin(t, a)
	a.main.expires = h.clock.Add(time.Hour)
	h.rest(t, nil)
	h.clock = h.clock.Add(2 * time.Hour)
	h.rest(t, nil)
	h.end(t, nil)
}

// The plan promised that a suspended account gets no credential; when the rotation was applied it was not suspended any more.
func TestResumedAndRotated(t *testing.T) {
	a := rotated()
	a.disabled = true
	h := begin(t, a)
	a.disabled, a.rotation.stores = false, []string{"q"}
	h.rest(t, nil)
	h.end(t, nil)
}

// An account was deleted after the plan and made again by the apply, which Terraform took for a bug of the provider.
func TestAccountIsDeletedBetweenPlanAndApply(t *testing.T) {
	a := rotated()
	h := begin(t, a)
	a.owner = "other-team"
	h.run(t, options{between: func() { h.do(h.world.platforms["p"].DeleteAccount(context.Background(), nhi.Ref{Name: "a"})) }})
	h.rest(t, nil)
	h.end(t, nil)
}

// An account was deleted, made again by the next run, and lost its mark before another one: it was still looked for by the id
// of the first.
func TestAccountMadeAgainLosesItsMark(t *testing.T) {
	a := rotated()
	a.main = &grant{entitlements: map[string][]string{"p": {"role:a"}}}
	h := begin(t, a)
	h.do(h.world.platforms["p"].DeleteAccount(context.Background(), nhi.Ref{Name: "a"}))
	h.run(t, options{})
	again, _ := h.world.snapshot().named("p", "a")
	h.do(h.world.platforms["p"].UpdateAccount(context.Background(), again.Ref, driver.AccountChange{Mark: &nhi.Mark{}}))
	h.rest(t, nil)
	h.end(t, nil)
}

// In an emergency the identity was suspended and its trigger changed by one plan: the rotation was forgotten, and what had
// leaked worked again after the resumption.
func TestTriggerOfASuspendedIdentityIsOwed(t *testing.T) {
	a := rotated()
	a.rotation.trigger = "1"
	h := begin(t, a)
	current := func() string { return stateOf(h.state, rotationAt("a")).text("current") }
	leaked := current()
	a.disabled, a.rotation.trigger = true, "2"
	h.rest(t, nil)
	a.owner = "other-team" // another update does not pay
	h.rest(t, nil)
	if current() != leaked {
		t.Fatalf("a suspended account got the credential %s", current())
	}
	a.disabled = false
	h.run(t, options{})
	if current() == leaked {
		t.Fatal("the apply that resumes does not rotate")
	}
	rotated := current()
	h.rest(t, nil)
	if current() != rotated {
		t.Fatal("rotated twice")
	}
	h.end(t, nil)
}

// Somebody else resumes: then the next plan rotates.
func TestOwedRotationAfterAResumptionByHand(t *testing.T) {
	a := rotated()
	a.rotation.trigger = "1"
	h := begin(t, a)
	leaked := stateOf(h.state, rotationAt("a")).text("current")
	a.disabled, a.rotation.trigger = true, "2"
	h.rest(t, nil)
	h.do(h.world.platforms["p"].Resume(context.Background(), nhi.Ref{Name: "a"}))
	a.disabled = false
	h.rest(t, nil)
	if stateOf(h.state, rotationAt("a")).text("current") == leaked {
		t.Fatal("the rotation is forgotten")
	}
	h.end(t, nil)
}

// The deliveries of a suspended identity moved: the only copy of the secret was deleted, and the new place was recorded.
func TestDeliveryMovesWhileSuspended(t *testing.T) {
	a := rotated()
	h := begin(t, a)
	a.disabled, a.rotation.stores = true, []string{"q"}
	h.rest(t, nil)
	places := stateOf(h.state, rotationAt("a")).objects("delivered")
	if _, there := h.world.snapshot().secrets["r"][secretPath("a")]; !there || len(places) != 1 || places[0].text("platform") != "r" {
		t.Fatalf("the secret is there: %v, delivered %v", there, places)
	}
	a.disabled = false
	h.run(t, options{})
	if _, there := h.world.snapshot().secrets["q"][secretPath("a")]; !there {
		t.Fatal("the apply that resumes does not deliver")
	}
	h.rest(t, nil)
	h.end(t, nil)
}

// A suspension stopped before the sessions had ended, and the next run found nothing to do.
func TestHalfSuspensionEndsTheSessions(t *testing.T) {
	for name, stop := range map[string]func(h *history, a *identity){
		"refused": func(h *history, a *identity) {
			a.disabled = true
			h.sabotage = func(c fleet.Call) error {
				if c.Change != nil && c.Change.Activity == audit.EndSessions {
					return errors.New("refused")
				}
				return nil
			}
			h.run(t, options{stale: true}) // not undisturbed: it fails
		},
		// What a run that was killed before it ended the sessions of an expired identity leaves.
		"killed": func(h *history, a *identity) {
			a.expires = h.clock.Add(time.Hour)
			h.rest(t, nil)
			h.clock = h.clock.Add(2 * time.Hour)
			h.do(h.world.platforms["p"].Suspend(context.Background(), nhi.Ref{Name: "a"}))
			h.do(h.world.platforms["q"].Suspend(context.Background(), nhi.Ref{Name: "a"}))
		},
	} {
		t.Run(name, func(t *testing.T) {
			a := rotated()
			h := begin(t, a)
			stop(h, a)
			ended := map[string]int{}
			h.sabotage = func(c fleet.Call) error {
				if c.Change != nil && c.Change.Activity == audit.EndSessions {
					ended[c.Platform]++
				}
				return nil
			}
			h.run(t, options{})
			if ended["p"] != 1 || ended["q"] != 1 {
				t.Errorf("sessions were ended: %v", ended)
			}
			h.run(t, options{})
			if ended["p"] != 1 || ended["q"] != 1 {
				t.Errorf("sessions were ended again: %v", ended)
			}
		})
	}
}

// A grant that Terraform deletes beside its identity handed its evidence over when nobody took it any more.
func TestEvidenceOfAGrantBesideItsIdentity(t *testing.T) {
	a := &identity{owner: "team", accounts: map[string]account{"p": {}}}
	h := begin(t, a)
	a.main = &grant{named: "a", entitlements: map[string][]string{"p": {"role:a"}}}
	sinkDown := fault{at: sinkOf("p"), nth: 1, how: down}
	h.run(t, options{applyLuck: sinkDown})
	if n := len(stateOf(h.state, mainAt("a")).texts("undelivered")); n == 0 {
		t.Fatal("no event of the grant waits")
	}
	identityFirst := func(keys []string) []string {
		slices.Reverse(keys)
		return keys
	}
	h.run(t, options{destroy: true, applyLuck: sinkDown, order: identityFirst})
	h.end(t, nil)
}
