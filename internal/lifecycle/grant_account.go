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

// strangerError says that the account of that name is nobody's. Where the id of the account is known that the grant was
// about, that one is gone: another one has taken its name.
type strangerError struct{ account, platform, identity string }

func (e *strangerError) Error() string {
	return fmt.Sprintf("account %q on platform %q is managed by nobody: declare it in the account block of an nhi_identity named %q (with "+
		"adopt = true, since it exists) before granting anything to it", e.account, e.platform, e.identity)
}

// gone reports whether an error of Grant.account says that the account that the grant was about does not exist.
func (g Grant) gone(platform string, err error) bool {
	var stranger *strangerError
	return driver.CodeOf(err) == driver.NotFound || g.AccountIDs[platform] != "" && errors.As(err, &stranger)
}

// purpose is what the account of a grant is looked up for.
type purpose int

const (
	// toGive looks for the account with the declared name, which may be a new one: an account with the known id and another name
	// is then the one before it, and not one that was renamed.
	toGive purpose = iota
	// toObserve looks for the account on record. A renamed one is an error until it has its name back.
	toObserve
	// toTake looks for the account on record, to take something away from it, and accepts it under another name as long as it
	// has our mark.
	toTake
)

// lookup says how Grant.account reads.
type lookup struct {
	purpose purpose
	// now asks the platform even if the account was read before.
	now bool
	// recorded accepts an account that nobody marked if its id is not known: state says that the grant was about it.
	recorded bool
}

// account reads the account that the grant is about.
func (g Grant) account(ctx context.Context, f *fleet.Fleet, conn *fleet.Conn, l lookup) (nhi.Account, error) {
	platform, mark := conn.Platform().Name(), g.mark(f)
	name, id := g.AccountName(platform), g.AccountIDs[platform]
	account, byID, err := g.find(ctx, conn, mark, l)
	if err != nil && driver.CodeOf(err) == driver.NotFound {
		return nhi.Account{}, driver.Errorf(driver.NotFound, "%w; declare an account block for platform %q in the nhi_identity named %q",
			err, platform, g.Identity)
	}
	if err != nil {
		return nhi.Account{}, err
	}
	switch owner := reconcile.Owner(account, mark, id); {
	case owner != reconcile.Ours && owner != reconcile.Unmarked:
		return nhi.Account{}, &reconcile.OwnershipError{Platform: platform, Account: account, Ownership: owner}
	case owner == reconcile.Unmarked && (!l.recorded || id != ""):
		return nhi.Account{}, &strangerError{account: account.Name, platform: platform, identity: g.Identity}
	case byID && account.Name != name && !(l.purpose == toTake && account.Mark == mark):
		return nhi.Account{}, renamedError(platform, name, account)
	default:
		return account, nil
	}
}

// find reads by name, and by the id where that is known and the name does not lead to an account of ours: one that was renamed,
// or moved to where names are not looked up, still holds what it was given. It is gone only if the platform says so of the id.
// Where another one of ours has the name, that is the one to give to: an account block was given another name, and the account
// before it goes with the identity's change. What is taken away was given to the one with the id.
func (g Grant) find(ctx context.Context, conn *fleet.Conn, mark nhi.Mark, l lookup) (account nhi.Account, byID bool, err error) {
	platform, read := conn.Platform().Name(), conn.Read
	if l.now {
		read = conn.ReadNow
	}
	ref := nhi.Ref{Name: g.AccountName(platform)}
	account, err = read(ctx, ref)
	gone := err != nil && driver.CodeOf(err) == driver.NotFound
	ref.ID = g.AccountIDs[platform]
	if ref.ID == "" || err != nil && !gone || err == nil && (account.ID == ref.ID || account.Mark == mark && l.purpose != toTake) {
		return account, false, err
	}
	meant, idErr := read(ctx, ref)
	switch {
	case idErr != nil && driver.CodeOf(idErr) == driver.NotFound:
		return account, false, err
	case idErr != nil:
		return nhi.Account{}, false, idErr
	case l.purpose == toGive && meant.Name != ref.Name:
		return account, false, err
	case !gone && account.Mark == mark && meant.Mark != mark:
		return account, false, nil // ours was made again; in a system that was migrated, its old id may be anybody's
	default:
		return meant, true, nil
	}
}

// CheckStranger returns an error if the account that the grant was about is gone and another one, which nobody marked, has its
// name: nothing can be granted to that. It reads as a refresh does, and takes any other answer, an error too, for no stranger.
func (g Grant) CheckStranger(ctx context.Context, f *fleet.Fleet, platform, target string) error {
	conn, err := connect(ctx, f, platform, target)
	if err != nil {
		return nil //nolint:nilerr // The apply asks again, and fails before it changes anything.
	}
	_, err = g.account(ctx, f, conn, lookup{purpose: toGive})
	if stranger := (*strangerError)(nil); errors.As(err, &stranger) {
		return err
	}
	return nil
}
