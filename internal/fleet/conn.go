package fleet

import (
	"context"
	"fmt"

	"github.com/nhi-labs/terraform-provider-nhi/internal/audit"
	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
	"github.com/nhi-labs/terraform-provider-nhi/internal/reconcile"
)

// Conn is a platform whose target has been checked. All errors are *driver.Error: they name the platform, carry a
// code and repeat no secret.
type Conn struct {
	platform *Platform
	driver   driver.Driver
	target   driver.Target
	journal  *audit.Journal
	// registryOf is the platform that keeps what it knows of its own accounts here, "" if nobody does by this connection.
	registryOf string
	seen       seen
}

// Platform is the platform behind the connection.
func (c *Conn) Platform() *Platform { return c.platform }

// Target is the system that answers.
func (c *Conn) Target() driver.Target { return c.target }

// Read returns an account, perhaps from a bulk read made earlier in this run. Code NotFound: the platform said so of
// this very account.
func (c *Conn) Read(ctx context.Context, ref nhi.Ref) (nhi.Account, error) {
	account, err := c.read(ctx, ref)
	c.seen.note(account, err)
	return account, err
}

// ReadNow asks the platform. Use it wherever a change was made or follows.
func (c *Conn) ReadNow(ctx context.Context, ref nhi.Ref) (nhi.Account, error) {
	account, err := ask(ctx, c.platform, call{op: "read account", account: ref.Name, idempotent: true},
		func(ctx context.Context) (nhi.Account, error) { return c.driver.ReadAccount(ctx, ref) })
	c.seen.note(account, err)
	return account, err
}

// ReadMark asks the platform for an account without what it holds (driver.MarkReader). Code Unsupported: the platform
// tells the one only with the other.
func (c *Conn) ReadMark(ctx context.Context, ref nhi.Ref) (nhi.Account, error) {
	reader, ok := c.driver.(driver.MarkReader)
	if !ok {
		return nhi.Account{}, driver.Errorf(driver.Unsupported, "platform %q reads accounts as a whole", c.platform.Name())
	}
	return ask(ctx, c.platform, call{op: "read the mark of account", account: ref.Name, idempotent: true},
		func(ctx context.Context) (nhi.Account, error) { return reader.ReadMark(ctx, ref) })
}

// FindMarked returns the account with the given mark. Code NotFound if there is none, Conflict if there are several,
// Unsupported if the platform cannot list its accounts.
func (c *Conn) FindMarked(ctx context.Context, mark nhi.Mark) (nhi.Account, error) {
	found, err := c.Marked(ctx, mark)
	if err != nil {
		return nhi.Account{}, err
	}
	switch len(found) {
	case 0:
		return nhi.Account{}, driver.Errorf(driver.NotFound, "no account on platform %q carries the mark %q", c.platform.Name(), mark)
	case 1:
		return found[0], nil
	default:
		return nhi.Account{}, driver.Errorf(driver.Conflict, "%d accounts on platform %q carry the mark %q (%q and %q among them); "+
			"say which one is meant", len(found), c.platform.Name(), mark, found[0].Name, found[1].Name)
	}
}

// Create makes an account. If the platform's answer is lost, the account may exist: look for its mark.
func (c *Conn) Create(ctx context.Context, spec driver.AccountSpec) (nhi.Ref, error) {
	defer c.platform.cache.forget(nhi.Ref{Name: spec.Name})
	change := c.changeOf(audit.CreateAccount, nhi.Ref{Name: spec.Name})
	return ask(ctx, c.platform, c.writing("create account", change, false), func(ctx context.Context) (nhi.Ref, error) {
		ref, err := c.driver.CreateAccount(ctx, spec)
		change.Account.ID = ref.ID
		return ref, err
	})
}

// Do carries out one step on an account.
func (c *Conn) Do(ctx context.Context, ref nhi.Ref, step reconcile.Step) error {
	f, err := c.change(ref, step)
	if err != nil {
		return err
	}
	c.platform.cache.forget(ref)
	defer c.platform.cache.forget(ref)
	op := string(step.Kind) + " account"
	switch step.Kind {
	case reconcile.StepGrant, reconcile.StepRevoke:
		op = fmt.Sprintf("%s %s on account", step.Kind, nhi.JoinTexts(step.Entitlements))
	case reconcile.StepEndSessions, reconcile.StepRevokeCredential:
		op = string(step.Kind) + " of account"
	default:
	}
	change := c.stepChange(ref, step)
	err = c.platform.call(ctx, c.writing(op, change, true), f)
	if err == nil {
		c.seen.changed(ref, step)
	}
	return err
}

// change finds the driver's function for a step.
func (c *Conn) change(ref nhi.Ref, step reconcile.Step) (handler, error) {
	unsupported := driver.Errorf(driver.Unsupported, "platform %q cannot %s", c.platform.Name(), step.Kind)
	switch step.Kind {
	case reconcile.StepUpdate:
		change := driver.AccountChange{Mark: step.Mark, Settings: step.Settings, ExpiresAt: step.ExpiresAt}
		return func(ctx context.Context) error { return c.driver.UpdateAccount(ctx, ref, change) }, nil
	case reconcile.StepGrant:
		return func(ctx context.Context) error { return c.driver.Grant(ctx, ref, step.Entitlements) }, nil
	case reconcile.StepRevoke:
		return func(ctx context.Context) error { return c.driver.Revoke(ctx, ref, step.Entitlements) }, nil
	case reconcile.StepDelete:
		return func(ctx context.Context) error { return c.driver.DeleteAccount(ctx, ref) }, nil
	case reconcile.StepSuspend, reconcile.StepResume:
		suspender, ok := c.driver.(driver.Suspender)
		if !ok {
			return nil, unsupported
		}
		if step.Kind == reconcile.StepSuspend {
			return func(ctx context.Context) error { return suspender.Suspend(ctx, ref) }, nil
		}
		return func(ctx context.Context) error { return suspender.Resume(ctx, ref) }, nil
	case reconcile.StepEndSessions:
		ender, ok := c.driver.(driver.SessionEnder)
		if !ok {
			return nil, unsupported
		}
		return func(ctx context.Context) error { return ender.EndSessions(ctx, ref) }, nil
	case reconcile.StepRevokeCredential:
		issuer, ok := c.driver.(driver.Issuer)
		if !ok {
			return nil, unsupported
		}
		return func(ctx context.Context) error { return issuer.RevokeCredential(ctx, ref, step.Credential) }, nil
	default:
		return nil, unsupported
	}
}
