package lifecycle

import (
	"context"
	"errors"
	"fmt"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/fleet"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
	"github.com/nhi-labs/terraform-provider-nhi/internal/reconcile"
)

// Deleted is the status of a record, and of no account: the account is gone, and something of it is left on the platform
// (driver.LeftoverError). The record stays until deleting succeeds.
const Deleted nhi.Status = "deleted"

// leavesRest reports whether an account is gone and something is left of it.
func leavesRest(err error) bool {
	var left *driver.LeftoverError
	return errors.As(err, &left)
}

// deprovision takes one account away, or suspends it. One that was deleted and made again by a run that did not get to record
// it carries our mark, and goes as well. If it fails it also returns what is there now, nil if that could not be read.
func deprovision(ctx context.Context, f *fleet.Fleet, id Identity, platform string, r Record, suspendOnly bool) (*Record, error) {
	if f.Retired(platform) {
		return nil, nil
	}
	conn, err := connect(ctx, f, platform, r.Target)
	if err != nil {
		return nil, err
	}
	account, gone, err := absent(ctx, conn, r.ref())
	rest := leavesRest(err)
	if gone || rest {
		account, gone, err = madeAgain(ctx, conn, id.mark(f), r.Name)
	}
	if rest || gone && conn.Platform().Spec().NameHolds && (r.Status == Deleted || !suspendOnly) {
		if left, err := removeRest(ctx, conn, r); err != nil {
			return left, err
		}
	}
	if err != nil && !suspendOnly && driver.CodeOf(err) == driver.PermissionDenied {
		account, err = unread(ctx, conn, r, err)
	}
	if err != nil || gone {
		return nil, err
	}
	if err := reconcile.CheckOwner(platform, account, id.mark(f), r.ID, false); err != nil {
		return nil, err
	}
	if suspendOnly {
		err = suspend(ctx, conn, account)
	} else {
		err = remove(ctx, conn, account)
	}
	if err == nil {
		return nil, nil
	}
	if leavesRest(err) {
		return deleted(r), err
	}
	left, gone, readErr := absent(context.WithoutCancel(ctx), conn, account.Ref)
	if readErr != nil {
		return nil, err
	}
	if gone && !suspendOnly && conn.Platform().Spec().NameHolds {
		return removeRest(context.WithoutCancel(ctx), conn, r)
	}
	if gone {
		return nil, nil
	}
	now := record(conn, left)
	return &now, err
}

// madeAgain reads the account that has the name of one that is gone, if it carries our mark.
func madeAgain(ctx context.Context, conn *fleet.Conn, mark nhi.Mark, name string) (account nhi.Account, gone bool, err error) {
	account, gone, err = absent(ctx, conn, nhi.Ref{Name: name})
	if err == nil && account.Mark != mark {
		return nhi.Account{}, true, nil // somebody has taken the name, or nobody
	}
	return account, gone, err
}

// removeRest takes away what is left of an account that is gone.
func removeRest(ctx context.Context, conn *fleet.Conn, r Record) (*Record, error) {
	if err := conn.Do(ctx, r.ref(), reconcile.Step{Kind: reconcile.StepDelete}); err != nil {
		return deleted(r), err
	}
	return nil, nil
}

func deleted(r Record) *Record {
	r.Status = Deleted
	return &r
}

// unread reads whose an account is of which the platform does not tell what it holds: to delete it, that need not be known.
func unread(ctx context.Context, conn *fleet.Conn, r Record, failure error) (nhi.Account, error) {
	account, err := conn.ReadMark(ctx, r.ref())
	if err != nil {
		return nhi.Account{}, failure
	}
	return account, nil
}

// remove goes the whole way from a working account to none, and reads back that there is none. A step that fails does
// not stop the later ones: deleting the account takes away what a failed revocation left, unless it says that it did not.
// Interrupted, it stops between steps.
func remove(ctx context.Context, conn *fleet.Conn, account nhi.Account) error {
	failures := tolerant(ctx, conn, account.Ref, reconcile.Deprovision(account, conn.Platform().Abilities(), false))
	left, gone, err := absent(context.WithoutCancel(ctx), conn, account.Ref)
	switch {
	case err != nil:
		return errors.Join(failures, fmt.Errorf("reading back that the account is gone: %w", err))
	case gone && failures != nil && !leavesRest(failures) && conn.Platform().Spec().NameHolds:
		return askAgain(context.WithoutCancel(ctx), conn, account.Ref)
	case gone && !leavesRest(failures):
		return nil
	case failures != nil:
		return failures
	default:
		return fmt.Errorf("platform %q accepted the deletion of account %q, but it is still there", conn.Platform().Name(), left.Name)
	}
}

// askAgain finds out what is left of an account whose deletion took effect and failed: the answer that names it may be lost.
// Without an answer it is not known that nothing is left.
func askAgain(ctx context.Context, conn *fleet.Conn, ref nhi.Ref) error {
	err := conn.Do(ctx, ref, reconcile.Step{Kind: reconcile.StepDelete})
	if err == nil || leavesRest(err) {
		return err
	}
	return &driver.LeftoverError{Err: err}
}

// suspend closes every way in and keeps the account with its mark, so that a later run recognises it.
func suspend(ctx context.Context, conn *fleet.Conn, account nhi.Account) error {
	if !conn.Platform().Abilities().Suspend {
		return fmt.Errorf("platform %q cannot suspend accounts, so on_destroy = \"suspend\" cannot be kept for account %q; "+
			"set on_destroy = \"delete\"", conn.Platform().Name(), account.Name)
	}
	return cutOff(ctx, conn, account)
}

// cutOff closes every way in that the platform knows of, and reads back that it is closed.
func cutOff(ctx context.Context, conn *fleet.Conn, account nhi.Account) error {
	can := conn.Platform().Abilities()
	if err := tolerant(ctx, conn, account.Ref, reconcile.Deprovision(account, can, true)); err != nil {
		return err
	}
	now, err := conn.ReadNow(ctx, account.Ref)
	if err != nil {
		return fmt.Errorf("reading back that the account is suspended: %w", err)
	}
	if can.Suspend && now.Status != nhi.Suspended || can.Issue && len(now.Credentials) > 0 {
		return fmt.Errorf("platform %q accepted the suspension of account %q, but it is %s with %d credentials",
			conn.Platform().Name(), account.Name, now.Status, len(now.Credentials))
	}
	return nil
}
