package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/fleet"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
	"github.com/nhi-labs/terraform-provider-nhi/internal/reconcile"
)

// Entitlements maps a platform to a sorted set.
type Entitlements map[string][]nhi.Entitlement

// Grant is what is declared.
type Grant struct {
	Identity string
	// AccountNames holds the accounts that are not named like the identity.
	AccountNames map[string]string
	// AccountIDs holds the platforms' ids of the accounts as they were last seen, where that is known. An account that
	// nobody marked is only accepted with its id: another one of the same name is a stranger's. While there is an account
	// with the id, it is the one that the grant is about, whoever has its name.
	AccountIDs map[string]string
	Declared   Entitlements
	Tolerated  Entitlements
	Exclusive  bool
	// Expired grants hold nothing: what they declare is revoked and not granted.
	Expired bool
	// Shared is that of the run; nil if the run has no other grant.
	Shared *Shared
}

// AccountName is the name of the identity's account on a platform.
func (g Grant) AccountName(platform string) string {
	if name, ok := g.AccountNames[platform]; ok {
		return name
	}
	return g.Identity
}

func (g Grant) mark(f *fleet.Fleet) nhi.Mark { return nhi.Mark{Stack: f.Stack(), Identity: g.Identity} }

// steps leaves what other grants of this run declare.
func (g Grant) steps(platform string, shown, observed []nhi.Entitlement, v *visit) []reconcile.Step {
	plan := reconcile.Grant{Declared: g.Declared[platform], Shown: shown, Tolerated: g.Tolerated[platform]}
	if g.Expired {
		plan.Declared = nil
		plan.Shown = nhi.Union(shown, g.Declared[platform])
	}
	others := nhi.Without(v.keeps(), nhi.Union(plan.Declared, plan.Tolerated))
	v.spare(nhi.Intersect(nhi.Intersect(plan.Shown, others), observed))
	plan.Tolerated = nhi.Union(plan.Tolerated, others)
	return plan.Steps(observed)
}

// enter waits for the grant's turn at its account.
func (g Grant) enter(ctx context.Context, platform string) (*visit, error) {
	declared := g.Declared[platform]
	if g.Expired {
		declared = nil
	}
	return g.Shared.enter(ctx, platform, g.AccountName(platform), declared)
}

// GrantObservation is what the platforms say of a grant.
type GrantObservation struct {
	// Visible is what the grant answers for and the account holds. For an expired grant it is what was recorded.
	Visible Entitlements
	// AccountIDs holds the ids of the accounts as they were last seen, Targets the ids of the systems that answered.
	AccountIDs, Targets map[string]string
	// Pending says in words what an expired grant still has to revoke.
	Pending []string
}

// ObserveGrant reads what the accounts hold. recorded and targets come from state. An account that its platform says
// is gone holds nothing.
func ObserveGrant(ctx context.Context, f *fleet.Fleet, g Grant, recorded Entitlements, targets map[string]string) (GrantObservation, Problems) {
	visible, pending := newCollected[[]nhi.Entitlement](), newCollected[[]string]()
	ids, answered := newCollected[string](), newCollected[string]()
	problems := each(ctx, recorded, func(platform string, before []nhi.Entitlement) error {
		if f.Retired(platform) {
			return nil
		}
		conn, err := connect(ctx, f, platform, targets[platform])
		if err != nil {
			return err
		}
		answered.set(platform, conn.Target().ID)
		l := lookup{purpose: toObserve, recorded: true}
		if g.Expired {
			l.purpose = toTake
		}
		account, err := g.account(ctx, f, conn, l)
		switch {
		case err == nil:
			ids.set(platform, account.ID)
			if err := conn.Platform().Spec().CheckRecorded(nhi.Without(before, account.Entitlements)); err != nil {
				return err
			}
		case !g.gone(platform, err):
			return err
		case g.AccountIDs[platform] != "":
			ids.set(platform, g.AccountIDs[platform]) // who takes the name without a mark is a stranger
		}
		shown := reconcile.Visible(account.Entitlements, before, g.Tolerated[platform], g.Exclusive)
		if !g.Expired {
			visible.set(platform, shown)
			return nil
		}
		visible.set(platform, nhi.Union(before, shown))
		var words []string
		for _, e := range nhi.Without(shown, g.Tolerated[platform]) { // another grant may still give what both declare
			words = append(words, fmt.Sprintf("%s: revoke %s (expired)", platform, e))
		}
		pending.set(platform, words)
		return nil
	})
	out := GrantObservation{Visible: visible.m, AccountIDs: ids.m, Targets: answered.m}
	for _, platform := range slices.Sorted(maps.Keys(pending.m)) {
		out.Pending = append(out.Pending, pending.m[platform]...)
	}
	return out, problems
}

// CreateGrant grants everything or nothing, and revokes nothing that was there before. If a platform fails, what was
// granted on the others is taken back; the entitlements returned are then those that could not be taken back. The ids
// are those of the accounts (Grant.AccountIDs).
func CreateGrant(ctx context.Context, f *fleet.Fleet, g Grant) (held Entitlements, ids map[string]string, problems Problems) {
	if g.Expired {
		return g.Declared, nil, nil
	}
	done, seen := newCollected[addition](), newCollected[string]()
	problems = each(ctx, g.Declared, func(platform string, declared []nhi.Entitlement) error {
		conn, err := connect(ctx, f, platform, "")
		if err != nil {
			return err
		}
		v, err := g.enter(ctx, platform)
		if err != nil {
			return err
		}
		defer v.end()
		account, err := g.account(ctx, f, conn, lookup{purpose: toGive, now: true})
		if err != nil {
			v.withdraw()
			return err
		}
		seen.set(platform, account.ID)
		done.set(platform, addition{v, conn, account.Ref, nhi.Without(declared, account.Entitlements)})
		steps := reconcile.Grant{Declared: declared}.Steps(account.Entitlements)
		if len(steps) == 0 {
			return nil
		}
		if err := run(ctx, conn, account.Ref, steps); err != nil {
			if unacknowledged(err) {
				done.set(platform, addition{v, conn, account.Ref, nil}) // nothing was changed
			}
			return err
		}
		return g.verify(ctx, conn, account.Ref, nil)
	})
	if len(problems) == 0 {
		return g.Declared, seen.m, nil
	}
	left, undone := g.takeBack(begun(ctx), done.m)
	return left, seen.m, append(problems, undone...)
}

// addition is what the creation of a grant has added to an account.
type addition struct {
	visit *visit
	conn  *fleet.Conn
	ref   nhi.Ref
	added []nhi.Entitlement
}

// takeBack revokes what was added, and what another grant has left because this one was to give it, and reads back that it is
// gone. It returns what could not be taken back on a platform, or may not be.
func (g Grant) takeBack(ctx context.Context, done map[string]addition) (Entitlements, Problems) {
	left := newCollected[[]nhi.Entitlement]()
	problems := each(ctx, done, func(platform string, a addition) error {
		turn, err := g.Shared.enter(ctx, platform, g.AccountName(platform), nil)
		if err != nil {
			left.set(platform, a.added)
			return fmt.Errorf("taking back what was granted: %w", err)
		}
		defer turn.end()
		orphaned := a.visit.withdraw()
		back := nhi.Union(nhi.Without(a.added, turn.keeps()), orphaned)
		if len(back) == 0 {
			return nil
		}
		err = a.conn.Do(ctx, a.ref, reconcile.Step{Kind: reconcile.StepRevoke, Entitlements: back})
		if err == nil {
			err = Grant{Identity: g.Identity}.verify(ctx, a.conn, a.ref, back)
		}
		if err != nil {
			left.set(platform, back)
			return fmt.Errorf("taking back what was granted: %w", err)
		}
		return nil
	})
	return left.m, problems
}

// verify reads back that the account holds what is declared, and nothing of revoked.
func (g Grant) verify(ctx context.Context, conn *fleet.Conn, ref nhi.Ref, revoked []nhi.Entitlement) error {
	platform := conn.Platform().Name()
	account, err := conn.ReadNow(ctx, ref)
	if driver.CodeOf(err) == driver.NotFound && (g.Expired || len(g.Declared[platform]) == 0) {
		return nil // its own deletion was faster: who is gone holds nothing
	}
	if err != nil {
		return fmt.Errorf("reading back what the account holds: %w", err)
	}
	if missing := nhi.Without(g.Declared[platform], account.Entitlements); len(missing) > 0 && !g.Expired {
		return fmt.Errorf("platform %q accepted the grant to account %q, but reading it back does not show %s",
			platform, ref.Name, nhi.JoinTexts(missing))
	}
	if left := nhi.Intersect(revoked, account.Entitlements); len(left) > 0 {
		return fmt.Errorf("platform %q accepted the revocation from account %q, but it still holds %s",
			platform, ref.Name, nhi.JoinTexts(left))
	}
	return nil
}

// UpdateGrant grants what is declared and missing, then revokes what shown lists and the declaration does not. Shown is
// what the plan showed as present. It returns, platform by platform, the declaration where all went well, and where it
// did not, what reading back saw of shown and declared; and the ids of the accounts (Grant.AccountIDs).
func UpdateGrant(ctx context.Context, f *fleet.Fleet, g Grant, shown Entitlements, targets map[string]string,
) (held Entitlements, ids map[string]string, problems Problems) {
	work := make(map[string][]nhi.Entitlement)
	for platform := range g.Declared {
		work[platform] = shown[platform]
	}
	maps.Copy(work, shown)
	now, seen := collectedFrom(shown), collectedFrom(g.AccountIDs)
	problems = each(ctx, work, func(platform string, before []nhi.Entitlement) error {
		declared, isDeclared := g.Declared[platform]
		_, recorded := shown[platform]
		if err := g.update(ctx, f, platform, before, recorded, targets[platform], now, seen); err != nil {
			return err
		}
		if isDeclared {
			now.set(platform, declared)
		} else {
			now.drop(platform)
		}
		return nil
	})
	return now.m, seen.m, problems
}

// update does the work of UpdateGrant on one platform. recorded is false if the grant did not name the platform before:
// then it is a creation there, and what nobody marked is refused.
func (g Grant) update(ctx context.Context, f *fleet.Fleet, platform string, before []nhi.Entitlement, recorded bool, target string,
	now *collected[[]nhi.Entitlement], seen *collected[string],
) error {
	if f.Retired(platform) {
		return nil
	}
	conn, err := connect(ctx, f, platform, target)
	if err != nil {
		return err
	}
	v, err := g.enter(ctx, platform)
	if err != nil {
		return err
	}
	defer v.end()
	ends := g.Expired || len(g.Declared[platform]) == 0
	l := lookup{purpose: toGive, now: true, recorded: recorded}
	if ends {
		l.purpose = toTake
	}
	account, err := g.account(ctx, f, conn, l)
	if err != nil {
		v.withdraw()
		if ends && g.gone(platform, err) {
			return nil // who is gone holds nothing
		}
		return err
	}
	seen.set(platform, account.ID)
	if err := conn.Platform().Spec().CheckRecorded(nhi.Without(before, account.Entitlements)); err != nil {
		v.withdraw()
		return err
	}
	steps, foreign := observedLast(g.steps(platform, before, account.Entitlements, v), conn.Platform().Spec().Grammar)
	err = run(ctx, conn, account.Ref, steps)
	if err == nil && len(steps) > 0 {
		err = g.verify(ctx, conn, account.Ref, stepEntitlements(steps, reconcile.StepRevoke))
	}
	if err == nil {
		err = g.revokeObserved(ctx, conn, account.Ref, foreign)
	}
	if err != nil {
		after, readErr := conn.ReadNow(context.WithoutCancel(ctx), account.Ref)
		if readErr != nil {
			// What may have been granted is recorded: the next refresh drops what is not there, but would not look for
			// what is there and not recorded.
			now.set(platform, nhi.Union(before, stepEntitlements(steps, reconcile.StepGrant)))
			return errors.Join(err, readErr)
		}
		now.set(platform, nhi.Intersect(after.Entitlements, nhi.Union(before, g.Declared[platform])))
	}
	return err
}

// observedLast takes what is only ever observed (an ownership, a membership that another system decides) out of the
// revocations: a platform may refuse to take it away, which must not hold up the rest.
func observedLast(steps []reconcile.Step, grammar nhi.Grammar) (rest []reconcile.Step, observed []nhi.Entitlement) {
	for _, step := range steps {
		if step.Kind == reconcile.StepRevoke {
			var own []nhi.Entitlement
			for _, e := range step.Entitlements {
				if grammar.OnlyObserved(e) {
					observed = append(observed, e)
				} else {
					own = append(own, e)
				}
			}
			step.Entitlements = own
		}
		if step.Kind != reconcile.StepRevoke || len(step.Entitlements) > 0 {
			rest = append(rest, step)
		}
	}
	return rest, observed
}

// revokeObserved takes away what was only observed. A grant that goes or has expired does not insist: what the platform
// cannot take away was not given by it, and goes with the account.
func (g Grant) revokeObserved(ctx context.Context, conn *fleet.Conn, ref nhi.Ref, observed []nhi.Entitlement) error {
	if len(observed) == 0 {
		return nil
	}
	err := conn.Do(ctx, ref, reconcile.Step{Kind: reconcile.StepRevoke, Entitlements: observed})
	if err == nil {
		return g.verify(ctx, conn, ref, observed)
	}
	if going := g.Expired || g.Declared == nil; going && driver.CodeOf(err) == driver.Unsupported {
		return nil
	}
	return err
}

// stepEntitlements returns what the step of a kind grants or revokes, nil if there is no such step.
func stepEntitlements(steps []reconcile.Step, kind reconcile.StepKind) []nhi.Entitlement {
	for _, step := range steps {
		if step.Kind == kind {
			return step.Entitlements
		}
	}
	return nil
}

// DeleteGrant revokes what shown lists. It returns what is still held.
func DeleteGrant(ctx context.Context, f *fleet.Fleet, g Grant, shown Entitlements, targets map[string]string) (Entitlements, Problems) {
	g.Declared = nil
	left, _, problems := UpdateGrant(ctx, f, g, shown, targets)
	return left, problems
}

// Target returns the id of the system behind a platform, and what our admin account lacks there to change anything.
func Target(ctx context.Context, f *fleet.Fleet, platform string) (id string, lacking []string, err error) {
	conn, err := connect(ctx, f, platform, "")
	if err != nil {
		return "", nil, err
	}
	return conn.Target().ID, conn.Target().Lacking, nil
}
