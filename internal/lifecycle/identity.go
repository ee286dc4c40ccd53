package lifecycle

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/fleet"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
	"github.com/nhi-labs/terraform-provider-nhi/internal/reconcile"
)

// Identity is what is declared.
type Identity struct {
	Name      string
	Accounts  map[string]Account // by platform
	Suspended bool
	ExpiresAt time.Time
}

// Account is one declared account.
type Account struct {
	Name string
	// Adopt takes an existing unmarked account over.
	Adopt bool
	// Settings are the declared ones; all others are left as they are.
	Settings map[string]string
}

// Record is what state keeps of an account on one platform.
type Record struct {
	Name   string
	ID     string
	Target string
	Status nhi.Status
}

func (r Record) ref() nhi.Ref { return nhi.Ref{Name: r.Name, ID: r.ID} }

func (id Identity) mark(f *fleet.Fleet) nhi.Mark {
	return nhi.Mark{Stack: f.Stack(), Identity: id.Name}
}

func (id Identity) desired(f *fleet.Fleet, account Account) reconcile.Desired {
	return reconcile.Desired{
		Mark: id.mark(f), Suspended: id.Suspended, Settings: account.Settings, ExpiresAt: id.ExpiresAt,
	}
}

func record(conn *fleet.Conn, account nhi.Account) Record {
	return Record{Name: account.Name, ID: account.ID, Target: conn.Target().ID, Status: account.Status}
}

// Observation is what the platforms say of the accounts that state records.
type Observation struct {
	// Records holds the accounts that exist, and those that are Deleted.
	Records map[string]Record
	// Accounts holds the accounts that exist, whole.
	Accounts map[string]nhi.Account
	// Pending says in words what has to be done beyond what Records shows.
	Pending []string
}

// Observe reads the recorded accounts, in bulk where that is cheaper. markKnown is false if the accounts were imported
// and not yet written to; pending is what was pending so far. An account that another stack has marked, or that was renamed
// on its platform, is a problem.
func Observe(ctx context.Context, f *fleet.Fleet, id Identity, recorded map[string]Record, markKnown bool,
	pending []string,
) (Observation, Problems) {
	records, accounts, left := newCollected[Record](), newCollected[nhi.Account](), newCollected[[]string]()
	problems := each(ctx, recorded, func(platform string, r Record) error {
		if f.Retired(platform) {
			return nil
		}
		conn, err := connect(ctx, f, platform, r.Target)
		if err != nil {
			return err
		}
		account, err := conn.Read(ctx, r.ref())
		if err != nil && driver.CodeOf(err) == driver.NotFound {
			if r.Status == Deleted || leavesRest(err) {
				records.set(platform, *deleted(r))
				left.set(platform, []string{fmt.Sprintf("%s: account %q is deleted, and what it held is not all taken away", platform, r.Name)})
			}
			return nil
		}
		if err != nil {
			return err
		}
		if err := reconcile.CheckOwner(platform, account, id.mark(f), r.ID, true); err != nil {
			return err
		}
		if account.Name != r.Name {
			return renamedError(platform, r.Name, account)
		}
		records.set(platform, record(conn, account))
		accounts.set(platform, account)
		wish := id.desired(f, id.Accounts[platform])
		known := reconcile.Known{Marked: markKnown, Status: r.Status, Pending: pending}
		left.set(platform, reconcile.Pending(platform, wish, account, conn.Platform().Abilities(), known))
		return nil
	})
	out := Observation{Records: records.m, Accounts: accounts.m}
	for _, platform := range slices.Sorted(maps.Keys(left.m)) {
		out.Pending = append(out.Pending, left.m[platform]...)
	}
	return out, problems
}

// Preview is what the plan can say of an account that state does not know yet.
type Preview struct {
	// Target is where it will be made.
	Target string
	// Realm is where the account's name is unique.
	Realm string
	// Found is true if an account with our mark is there already, left by an earlier run.
	Found bool
	// AdoptedID is the id of an account that is there without a mark and will be taken over, "" if there is none.
	AdoptedID string
	// Status is that of an account that is there and ours, or will be taken over, "" if there is none.
	Status nhi.Status
	// Lacking names what our admin account may not do and would have to.
	Lacking []string
}

// Inspect checks at plan time that an account can be made, or taken over. With a *reconcile.OwnershipError it also returns what
// can be said of the account once the one that is in its way has gone.
func Inspect(ctx context.Context, f *fleet.Fleet, identity, platform string, account Account) (Preview, error) {
	conn, err := connect(ctx, f, platform, "")
	if err != nil {
		return Preview{}, err
	}
	target := conn.Target()
	preview := Preview{Target: target.ID, Realm: cmp.Or(target.Realm, target.ID), Lacking: target.Lacking}
	existing, err := conn.Read(ctx, nhi.Ref{Name: account.Name})
	if err != nil {
		if driver.CodeOf(err) == driver.NotFound {
			return preview, nil
		}
		return Preview{}, err
	}
	mark := nhi.Mark{Stack: f.Stack(), Identity: identity}
	if err := reconcile.CheckOwner(platform, existing, mark, "", account.Adopt); err != nil {
		return preview, err
	}
	if err := spelled(platform, account.Name, existing); err != nil {
		return Preview{}, err
	}
	if preview.Found = existing.Mark == mark; !preview.Found {
		preview.AdoptedID = existing.ID
	}
	preview.Status = existing.Status
	return preview, nil
}

// CreateIdentity makes every account or none. If a platform fails, what was made on the others is taken back; the
// records returned are then those of accounts that could not be taken back, and every problem is named.
func CreateIdentity(ctx context.Context, f *fleet.Fleet, id Identity) (map[string]Record, Problems) {
	done := newCollected[*establishment]()
	problems := each(ctx, id.Accounts, func(platform string, account Account) error {
		e, err := establish(ctx, f, id, platform, account, Record{})
		if e != nil {
			done.set(platform, e)
		}
		return err
	})
	left := newCollected[Record]()
	for platform, e := range done.m {
		left.set(platform, e.record())
	}
	if len(problems) == 0 {
		return left.m, nil
	}
	// Taking back goes on whatever happens: half a creation is what must not stay.
	ctx = begun(ctx)
	undone := each(ctx, done.m, func(platform string, e *establishment) error {
		err := e.undo(ctx)
		if e.made && leavesRest(err) {
			left.set(platform, *deleted(e.record()))
		}
		if err == nil || !e.made {
			// What somebody else made is never left in a state from which the next apply would delete it. If it could not
			// be restored it carries our mark, by which the next run finds it.
			left.drop(platform)
		}
		if err != nil {
			return fmt.Errorf("taking back what was made: %w", err)
		}
		return nil
	})
	return left.m, append(problems, undone...)
}

// UpdateIdentity turns the recorded accounts into the declared ones. It returns what exists afterwards, platform by
// platform; where a platform could not be read back, what was recorded.
func UpdateIdentity(ctx context.Context, f *fleet.Fleet, id Identity, recorded map[string]Record) (map[string]Record, Problems) {
	platforms := make(map[string]struct{})
	for platform := range recorded {
		platforms[platform] = struct{}{}
	}
	for platform := range id.Accounts {
		platforms[platform] = struct{}{}
	}
	now := collectedFrom(recorded)
	problems := each(ctx, platforms, func(platform string, _ struct{}) error {
		account, declared := id.Accounts[platform]
		before, exists := recorded[platform]
		if exists && (!declared || before.Name != account.Name || before.Status == Deleted) {
			left, err := deprovision(ctx, f, id, platform, before, false)
			if left != nil {
				now.set(platform, *left)
			}
			if err != nil {
				return err
			}
			now.drop(platform)
			before = Record{}
		}
		if !declared {
			return nil
		}
		e, err := establish(ctx, f, id, platform, account, before)
		if e != nil {
			now.set(platform, e.record())
		}
		return err
	})
	return now.m, problems
}

// DeleteIdentity takes every recorded account away, or suspends it if suspendOnly. It returns the accounts that are
// still there to be removed; suspended ones are not among them.
func DeleteIdentity(ctx context.Context, f *fleet.Fleet, id Identity, recorded map[string]Record, suspendOnly bool) (map[string]Record, Problems) {
	now := collectedFrom(recorded)
	problems := each(ctx, recorded, func(platform string, r Record) error {
		left, err := deprovision(ctx, f, id, platform, r, suspendOnly)
		if left != nil {
			now.set(platform, *left)
		}
		if err == nil {
			now.drop(platform)
		}
		return err
	})
	return now.m, problems
}

// Strays finds the accounts that the identity declares and recorded does not have, but which carry its mark: a run that did
// not get to record them has made them. Problems name the platforms that could not be asked.
func Strays(ctx context.Context, f *fleet.Fleet, id Identity, recorded map[string]Record) (map[string]Record, Problems) {
	unrecorded := maps.Clone(id.Accounts)
	maps.DeleteFunc(unrecorded, func(platform string, _ Account) bool {
		_, known := recorded[platform]
		return known || f.Retired(platform)
	})
	found := newCollected[Record]()
	problems := each(ctx, unrecorded, func(platform string, declared Account) error {
		conn, err := connect(ctx, f, platform, "")
		if err != nil {
			return err
		}
		account, gone, err := absent(ctx, conn, nhi.Ref{Name: declared.Name})
		if err == nil && !gone && account.Mark == id.mark(f) {
			found.set(platform, record(conn, account))
		}
		return err
	})
	return found.m, problems
}

// Locate finds the accounts of an identity for an import: on the platforms that names gives, by that name; on all
// others by our mark, or else by the identity's own name if nobody marked that account. Where a search would read every account
// singly, or is impossible, the name comes first. The accounts are whole.
func Locate(ctx context.Context, f *fleet.Fleet, identity string, names map[string]string,
) (map[string]Record, map[string]nhi.Account, Problems) {
	platforms := make(map[string]string)
	for _, platform := range f.Names() {
		platforms[platform] = names[platform]
	}
	for platform, name := range names {
		platforms[platform] = name
	}
	mark := nhi.Mark{Stack: f.Stack(), Identity: identity}
	found, accounts := newCollected[Record](), newCollected[nhi.Account]()
	problems := each(ctx, platforms, func(platform, name string) error {
		if len(names) > 0 && name == "" {
			return nil // the import names its platforms: only those
		}
		conn, err := connect(ctx, f, platform, "")
		if err != nil {
			return err
		}
		account, err := locate(ctx, conn, mark, name)
		if err != nil {
			if driver.CodeOf(err) == driver.NotFound && name == "" {
				return nil
			}
			return err
		}
		if err := reconcile.CheckOwner(platform, account, mark, "", true); err != nil {
			if name == "" {
				return nil // another identity's account that happens to have this name
			}
			return err
		}
		found.set(platform, record(conn, account))
		accounts.set(platform, account)
		return nil
	})
	return found.m, accounts.m, problems
}

func locate(ctx context.Context, conn *fleet.Conn, mark nhi.Mark, name string) (nhi.Account, error) {
	if name != "" {
		return conn.Read(ctx, nhi.Ref{Name: name})
	}
	if conn.Platform().Spec().Can(driver.CanSweep) {
		account, err := conn.FindMarked(ctx, mark)
		if err != nil && driver.CodeOf(err) == driver.NotFound {
			return conn.Read(ctx, nhi.Ref{Name: mark.Identity})
		}
		return account, err
	}
	// A search would read every account singly.
	account, err := conn.Read(ctx, nhi.Ref{Name: mark.Identity})
	if err != nil && driver.CodeOf(err) != driver.NotFound {
		return account, err
	}
	if err == nil && reconcile.CheckOwner(conn.Platform().Name(), account, mark, "", true) == nil {
		return account, nil
	}
	marked, failure := conn.FindMarked(ctx, mark)
	if code := driver.CodeOf(failure); failure != nil && (code == driver.NotFound || code == driver.Unsupported) {
		return account, err
	}
	return marked, failure
}
