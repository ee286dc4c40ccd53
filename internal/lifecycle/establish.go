package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/fleet"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
	"github.com/nhi-labs/terraform-provider-nhi/internal/reconcile"
)

// establishment is an account that was made or brought into its declared shape, and how to take that back.
type establishment struct {
	conn   *fleet.Conn
	now    nhi.Account
	made   bool         // by this run
	before *nhi.Account // if it existed and was changed
}

func (e *establishment) record() Record { return record(e.conn, e.now) }

// establish makes the account if it is not there, and then makes it what is declared. If it fails after the account
// was made or changed, it returns both the establishment and the error.
func establish(ctx context.Context, f *fleet.Fleet, id Identity, platform string, account Account, known Record) (*establishment, error) {
	conn, err := connect(ctx, f, platform, known.Target)
	if err != nil {
		return nil, err
	}
	desired := id.desired(f, account)
	found, gone, err := find(ctx, conn, account.Name, known)
	if err != nil {
		return nil, err
	}
	if gone {
		return create(ctx, conn, desired, account)
	}
	if err := reconcile.CheckOwner(platform, found, desired.Mark, known.ID, account.Adopt); err != nil {
		return nil, err
	}
	if found.Name != account.Name && known.ID != "" && found.ID == known.ID {
		return renamed(ctx, conn, desired, account, found)
	}
	if err := spelled(platform, account.Name, found); err != nil {
		return nil, err
	}
	return shape(ctx, conn, desired, found)
}

// spelled fails if a platform that does not tell the cases of letters apart, or that rewrites names, has the account under
// another name than the declared one: state and plan would never agree on it.
func spelled(platform, name string, found nhi.Account) error {
	if found.Name == name {
		return nil
	}
	return fmt.Errorf("platform %q spells the account %q, and not %q; write it so", platform, found.Name, name)
}

// renamed refuses the account that state records and that has another name now, after it has cut it off if that is
// declared: a suspension does not wait. The record keeps the declared name; with the other one the next plan would delete
// the account.
func renamed(ctx context.Context, conn *fleet.Conn, desired reconcile.Desired, account Account, found nhi.Account) (*establishment, error) {
	failure := renamedError(conn.Platform().Name(), account.Name, found)
	if !desired.Suspended {
		return nil, failure
	}
	e, err := shape(ctx, conn, desired, found)
	e.now.Name = account.Name
	return e, errors.Join(err, failure)
}

func renamedError(platform, name string, found nhi.Account) error {
	return fmt.Errorf("account %q on platform %q was renamed to %q outside Terraform; rename it back", name, platform, found.Name)
}

// find reads the account by the id that state knows, and if there is none with that id, by name: it may have been
// deleted and made again.
func find(ctx context.Context, conn *fleet.Conn, name string, known Record) (nhi.Account, bool, error) {
	if known.ID != "" {
		account, gone, err := absent(ctx, conn, known.ref())
		if err != nil || !gone {
			return account, false, err
		}
	}
	return absent(ctx, conn, nhi.Ref{Name: name})
}

func create(ctx context.Context, conn *fleet.Conn, desired reconcile.Desired, account Account) (*establishment, error) {
	can := conn.Platform().Abilities()
	spec := driver.AccountSpec{
		Name: account.Name, Mark: desired.Mark, Settings: account.Settings, Suspended: can.Suspend && desired.Suspended,
	}
	if can.NativeExpiry {
		spec.ExpiresAt = desired.ExpiresAt
	}
	ref, err := conn.Create(ctx, spec)
	if unacknowledged(err) {
		return nil, err
	}
	if err != nil {
		return lookAgain(ctx, conn, desired, account, err)
	}
	e := &establishment{conn: conn, made: true, now: nhi.Account{Ref: ref, Mark: desired.Mark, Status: nhi.Active}}
	read, err := conn.ReadNow(ctx, ref)
	if err != nil {
		return e, fmt.Errorf("reading back the new account: %w", err)
	}
	e.now = read
	if err := spelled(conn.Platform().Name(), account.Name, read); err != nil {
		return e, err
	}
	return e, settled(conn, desired, read)
}

// lookPauses is how long to wait for an account that a platform may have made and does not show yet.
var lookPauses = [...]time.Duration{250 * time.Millisecond, time.Second, 2 * time.Second}

// lookAgain finds out what a failed creation left: the answer may have been lost on the way.
func lookAgain(ctx context.Context, conn *fleet.Conn, desired reconcile.Desired, account Account, failure error) (*establishment, error) {
	found, gone, err := absent(context.WithoutCancel(ctx), conn, nhi.Ref{Name: account.Name})
	for _, pause := range lookPauses {
		if err != nil || !gone || driver.CodeOf(failure) != driver.Unavailable || ctx.Err() != nil {
			break
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
		found, gone, err = absent(context.WithoutCancel(ctx), conn, nhi.Ref{Name: account.Name})
	}
	switch {
	case err != nil:
		return nil, errors.Join(failure, fmt.Errorf("and it could not be found out whether the account was made; "+
			"if it was, the next run finds it by its mark: %w", err))
	case gone:
		return nil, failure
	case found.Mark == desired.Mark && driver.CodeOf(failure) == driver.AlreadyExists:
		// Another run of this stack was faster: what it made is not ours to take back.
		return nil, errors.Join(failure, errors.New("another run of this stack made it at the same time; run again"))
	case found.Mark != desired.Mark:
		return nil, errors.Join(failure, reconcile.CheckOwner(conn.Platform().Name(), found, desired.Mark, "", false))
	}
	e := &establishment{conn: conn, made: true, now: found}
	if driver.CodeOf(failure) == driver.Unavailable && found.Name == account.Name {
		if err := settled(conn, desired, found); err == nil {
			return e, nil // only the answer was lost
		}
	}
	return e, failure
}

// shape brings an existing account into the declared shape.
func shape(ctx context.Context, conn *fleet.Conn, desired reconcile.Desired, found nhi.Account) (*establishment, error) {
	steps := reconcile.Account(desired, found, conn.Platform().Abilities())
	if len(steps) == 0 {
		return &establishment{conn: conn, now: found}, nil
	}
	e := &establishment{conn: conn, now: found, before: &found}
	failure := run(ctx, conn, found.Ref, steps)
	read, err := conn.ReadNow(context.WithoutCancel(ctx), found.Ref)
	if err != nil {
		return e, errors.Join(failure, fmt.Errorf("reading back the account: %w", err))
	}
	e.now = read
	if failure != nil {
		return e, failure
	}
	return e, settled(conn, desired, read)
}

// settled fails if the platform accepted everything and still does not show it.
func settled(conn *fleet.Conn, desired reconcile.Desired, read nhi.Account) error {
	rest := reconcile.Unfinished(desired, read, conn.Platform().Abilities())
	if len(rest) == 0 {
		return nil
	}
	return fmt.Errorf("platform %q accepted every change of account %q, but reading it back shows that it did not take effect (%s)",
		conn.Platform().Name(), read.Name, describe(rest[0]))
}

func describe(step reconcile.Step) string {
	switch {
	case step.Kind != reconcile.StepUpdate:
		return "still to do: " + string(step.Kind)
	case step.Mark != nil:
		return "the ownership mark is missing"
	case step.ExpiresAt != nil:
		return "the expiry differs"
	default:
		return "a setting differs"
	}
}

// undo takes back what establish did: it deletes what this run made, and restores what it changed. An account that an
// earlier run had made stays as it is now: it was ours before.
func (e *establishment) undo(ctx context.Context) error {
	if e.made {
		return remove(ctx, e.conn, e.now)
	}
	if e.before == nil || !e.before.Mark.IsZero() {
		return nil
	}
	previous := reconcile.Desired{
		Mark: e.before.Mark, Suspended: e.before.Status == nhi.Suspended, Settings: e.before.Settings, ExpiresAt: e.before.ExpiresAt,
	}
	// What is there now is asked, not remembered: establish may have failed to read back what it changed.
	now, err := e.conn.ReadNow(ctx, e.before.Ref)
	if err != nil {
		return err
	}
	_, err = shape(ctx, e.conn, previous, now)
	return err
}
