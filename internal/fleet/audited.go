package fleet

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/nhi-labs/terraform-provider-nhi/internal/audit"
	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
	"github.com/nhi-labs/terraform-provider-nhi/internal/reconcile"
)

// audited evidences every change, so that no driver and no resource can forget one. It stands outside of retries: a
// change is one, however often it takes. Errors come to it explained and redacted.
func audited(platform string) interceptor {
	return func(c call, next handler) handler {
		if !c.write() || c.journal == nil {
			return next
		}
		return func(ctx context.Context) error {
			err := c.journal.Change(ctx, c.change, next)
			var unacknowledged *audit.UnacknowledgedError
			if errors.As(err, &unacknowledged) {
				subject := c.op
				if c.account != "" {
					subject = fmt.Sprintf("%s %q", c.op, c.account)
				}
				return driver.Errorf(driver.Unavailable, "platform %q: %s: %w", platform, subject, unacknowledged)
			}
			return err
		}
	}
}

// answering notes on a change that one attempt at it was sent and came to nothing that is known: whatever the platform says to
// the next one, the change may have been made.
func (p *Platform) answering(c call, f handler) handler {
	if !c.write() {
		return f
	}
	return func(ctx context.Context) error {
		err := f(ctx)
		if err != nil {
			code := p.verdict(err).Code
			c.change.Unanswered = c.change.Unanswered || code == driver.Unavailable || code == driver.Unknown
		}
		return err
	}
}

// activity is what a step does, in the words of the evidence; "" for a step that is not known.
func activity(kind reconcile.StepKind) audit.Activity {
	switch kind {
	case reconcile.StepUpdate:
		return audit.UpdateAccount
	case reconcile.StepResume:
		return audit.ResumeAccount
	case reconcile.StepSuspend:
		return audit.SuspendAccount
	case reconcile.StepEndSessions:
		return audit.EndSessions
	case reconcile.StepRevokeCredential:
		return audit.RevokeCredential
	case reconcile.StepGrant:
		return audit.Grant
	case reconcile.StepRevoke:
		return audit.Revoke
	case reconcile.StepDelete:
		return audit.DeleteAccount
	default:
		return ""
	}
}

// writing is the call of a change.
func (c *Conn) writing(op string, change *audit.Change, idempotent bool) call {
	return call{op: op, account: change.Account.Name, idempotent: idempotent, change: change, journal: c.journal}
}

// changeOf begins the description of a change of an account.
func (c *Conn) changeOf(activity audit.Activity, ref nhi.Ref) *audit.Change {
	known := c.seen.get(ref)
	return &audit.Change{
		Activity: activity, Account: audit.Account{Name: cmp.Or(ref.Name, known.Name), ID: cmp.Or(ref.ID, known.ID)},
		Platform: audit.Platform{Name: c.platform.Name(), Kind: c.platform.Spec().Kind, Target: c.target.ID},
	}
}

// secretChange describes a change at a path of a secret store, which is no account's.
func (c *Conn) secretChange(activity audit.Activity, path string) *audit.Change {
	change := c.changeOf(activity, nhi.Ref{})
	change.Path, change.RegistryOf = path, c.registryOf
	return change
}

// stepChange describes a step. What an account held before is what this connection last saw of it; if it has not looked,
// only what is granted or revoked is told.
func (c *Conn) stepChange(ref nhi.Ref, step reconcile.Step) *audit.Change {
	change := c.changeOf(activity(step.Kind), ref)
	known := c.seen.get(ref)
	switch step.Kind {
	case reconcile.StepGrant:
		change.Before = nhi.Texts(known.Entitlements)
		change.After = nhi.Texts(nhi.Union(known.Entitlements, step.Entitlements))
	case reconcile.StepRevoke:
		before := nhi.Union(known.Entitlements, step.Entitlements)
		change.Before, change.After = nhi.Texts(before), nhi.Texts(nhi.Without(before, step.Entitlements))
	case reconcile.StepRevokeCredential:
		change.Credential = step.Credential
		i := slices.IndexFunc(known.Credentials, func(x nhi.Credential) bool { return x.ID == step.Credential })
		if i >= 0 {
			change.Credential = cmp.Or(known.Credentials[i].Label, step.Credential) // as when it was issued
		}
	default:
	}
	return change
}

// seen is what a connection, which serves one operation, has read of accounts.
type seen struct {
	mu       sync.Mutex
	accounts []nhi.Account
}

func (s *seen) find(ref nhi.Ref) int {
	return slices.IndexFunc(s.accounts, func(a nhi.Account) bool {
		return ref.ID != "" && a.ID == ref.ID || ref.ID == "" && ref.Name != "" && a.Name == ref.Name
	})
}

// get returns the account as it was last read, the zero Account if it was not.
func (s *seen) get(ref nhi.Ref) nhi.Account {
	s.mu.Lock()
	defer s.mu.Unlock()
	if i := s.find(ref); i >= 0 {
		return clone(s.accounts[i])
	}
	return nhi.Account{}
}

// note remembers an account that was read without an error.
func (s *seen) note(account nhi.Account, err error) {
	if err != nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if i := s.find(account.Ref); i >= 0 {
		s.accounts[i] = clone(account)
		return
	}
	s.accounts = append(s.accounts, clone(account))
}

// changed brings what is remembered up to date after a step: the next change is told against it.
func (s *seen) changed(ref nhi.Ref, step reconcile.Step) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := s.find(ref)
	if i < 0 {
		return
	}
	switch held := &s.accounts[i].Entitlements; step.Kind {
	case reconcile.StepGrant:
		*held = nhi.Union(*held, step.Entitlements)
	case reconcile.StepRevoke:
		*held = nhi.Without(*held, step.Entitlements)
	default:
	}
}
