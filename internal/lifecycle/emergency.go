package lifecycle

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/fleet"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
	"github.com/nhi-labs/terraform-provider-nhi/internal/reconcile"
)

// Emergency says whom to cut off or to let in again. No state is needed: the accounts are found on the platforms.
type Emergency struct {
	Identity string
	// AccountNames gives accounts by name, by platform. Only so is an account touched that nobody marked.
	AccountNames map[string]string
	// Platforms are the platforms to act on; empty: every configured one.
	Platforms []string
}

// Tell is told in a sentence what was done on a platform, as soon as it is done. It may be called by several goroutines.
type Tell func(platform, sentence string)

// SuspendNow suspends the identity's accounts on all platforms in parallel, ends their sessions and revokes their
// credentials. A platform that fails holds up no other one; calling again finishes the rest. A problem of code Unsupported
// needs somebody's hand first: an account can still be used after all that the platform allows, or nobody knows whether
// there is one. It returns how many accounts were found.
func SuspendNow(ctx context.Context, f *fleet.Fleet, e Emergency, tell Tell) (int, Problems) {
	return e.each(ctx, f, tell, func(conn *fleet.Conn, account nhi.Account) error {
		if err := cutOff(ctx, conn, account); err != nil {
			return err
		}
		tell(conn.Platform().Name(), cutOffWords(conn.Platform().Abilities(), account))
		return stillUsable(conn.Platform(), account)
	})
}

// stillUsable returns an error if an account that was cut off, as far as its platform allows, still works.
func stillUsable(p *fleet.Platform, account nhi.Account) error {
	if p.Abilities().Suspend || p.Spec().CredentialsOnly || account.Status == nhi.Suspended {
		return nil
	}
	var revoked string
	if p.Abilities().Issue {
		revoked = " All its credentials that the platform shows are revoked."
	}
	return driver.Errorf(driver.Unsupported, "platform %q cannot suspend account %q, which can still be used.%s Stop it by hand: switch "+
		"it off or delete it there, or take away what it holds", p.Name(), account.Name, revoked)
}

func cutOffWords(can reconcile.Abilities, account nhi.Account) string {
	var done []string
	switch {
	case account.Status == nhi.Suspended:
		done = append(done, "was suspended before")
	case !can.Suspend:
		done = append(done, "the platform cannot suspend it")
	default:
		done = append(done, "is suspended")
	}
	if can.EndSessions {
		done = append(done, "its sessions are ended")
	}
	if can.Issue {
		done = append(done, fmt.Sprintf("%d of its credentials are revoked", len(account.Credentials)))
	}
	return fmt.Sprintf("account %q: %s", account.Name, strings.Join(done, ", "))
}

// ResumeNow resumes the identity's accounts. Credentials that were revoked stay revoked. It returns how many accounts were
// found.
func ResumeNow(ctx context.Context, f *fleet.Fleet, e Emergency, tell Tell) (int, Problems) {
	return e.each(ctx, f, tell, func(conn *fleet.Conn, account nhi.Account) error {
		if !conn.Platform().Abilities().Suspend && account.Status != nhi.Suspended {
			tell(conn.Platform().Name(), fmt.Sprintf("account %q: the platform cannot suspend, so there is nothing to resume", account.Name))
			return nil
		}
		if err := conn.Do(ctx, account.Ref, reconcile.Step{Kind: reconcile.StepResume}); err != nil {
			return err
		}
		now, err := conn.ReadNow(ctx, account.Ref)
		if err != nil {
			return fmt.Errorf("reading back that the account is resumed: %w", err)
		}
		if now.Status != nhi.Active {
			return fmt.Errorf("platform %q accepted to resume account %q, but it is %s", conn.Platform().Name(), account.Name, now.Status)
		}
		tell(conn.Platform().Name(), fmt.Sprintf("account %q: is active, with %d credentials", account.Name, len(now.Credentials)))
		return nil
	})
}

// each calls act for every account of the identity, on all platforms in parallel.
func (e Emergency) each(ctx context.Context, f *fleet.Fleet, tell Tell, act func(*fleet.Conn, nhi.Account) error) (int, Problems) {
	work := make(map[string]string)
	for _, platform := range e.platforms(f) {
		work[platform] = e.AccountNames[platform]
	}
	count := newCollected[int]()
	problems := each(ctx, work, func(platform, name string) error {
		conn, err := connect(ctx, f, platform, "")
		if err != nil {
			return err
		}
		s := rescue{conn: conn, mark: nhi.Mark{Stack: f.Stack(), Identity: e.Identity}, tell: tell, act: act, done: make(map[string]bool)}
		err = s.run(ctx, name)
		count.set(platform, len(s.done))
		return err
	})
	found := 0
	for _, n := range count.m {
		found += n
	}
	return found, problems
}

// platforms are those to act on. What was retired is gone.
func (e Emergency) platforms(f *fleet.Fleet) []string {
	chosen := slices.Clone(e.Platforms)
	if len(chosen) == 0 {
		chosen = f.Names()
		for platform := range e.AccountNames {
			chosen = append(chosen, platform)
		}
	}
	return slices.DeleteFunc(chosen, f.Retired)
}

// rescue is the work on one platform.
type rescue struct {
	conn *fleet.Conn
	mark nhi.Mark
	tell Tell
	act  func(*fleet.Conn, nhi.Account) error
	done map[string]bool // by id
}

// run acts on the account of a given name; or else at once on the one that is named like the identity and carries its mark,
// and then on whatever else carries it. A search that fails does not take back what was done.
func (r *rescue) run(ctx context.Context, given string) error {
	platform := r.conn.Platform().Name()
	account, gone, err := nhi.Account{}, true, error(nil)
	if name := cmp.Or(given, r.mark.Identity); r.conn.Platform().Spec().CheckName(name) == nil {
		account, gone, err = absent(ctx, r.conn, nhi.Ref{Name: name})
	}
	switch {
	case err != nil:
		return err
	case given != "" && gone:
		return driver.Errorf(driver.NotFound, "platform %q has no account %q, which account_names gives", platform, given)
	case given != "":
		if err := reconcile.CheckOwner(platform, account, r.mark, "", true); err != nil {
			return err
		}
		return r.once(account)
	}
	var failure error
	if !gone && account.Mark == r.mark {
		failure = r.once(account)
		if !r.conn.Platform().Spec().Can(driver.CanSweep) {
			return failure // a search would read every account singly
		}
	}
	complete, err := r.search(ctx)
	failure = errors.Join(failure, err)
	if len(r.done) > 0 || failure != nil {
		return failure
	}
	if !gone && account.Mark.IsZero() {
		return unmarked(platform, account, ", and it was not touched")
	}
	if !complete {
		return unlisted(platform, r.mark.Identity)
	}
	r.tell(platform, fmt.Sprintf("the identity %q has no account here", r.mark.Identity))
	return nil
}

// search acts on every account with the mark. complete is false if the platform cannot list its accounts.
func (r *rescue) search(ctx context.Context) (complete bool, err error) {
	marked, complete, err := r.conn.AllMarked(ctx, r.mark)
	if err != nil {
		return complete, err
	}
	var failures []error
	for _, account := range marked {
		failures = append(failures, r.once(account))
	}
	return complete, errors.Join(failures...)
}

func (r *rescue) once(account nhi.Account) error {
	if r.done[account.ID] {
		return nil
	}
	r.done[account.ID] = true
	return r.act(r.conn, account)
}
