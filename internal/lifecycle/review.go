package lifecycle

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/fleet"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
	"github.com/nhi-labs/terraform-provider-nhi/internal/reconcile"
)

// Found is an account on a platform, as a review shows it.
type Found struct {
	Platform  string
	Target    string // the system that answered
	ManagedBy Manager
	Account   nhi.Account
}

func newFound(f *fleet.Fleet, conn *fleet.Conn, account nhi.Account) Found {
	j := join{stack: f.Stack()}
	return Found{
		Platform: conn.Platform().Name(), Target: conn.Target().ID, ManagedBy: j.manager(account), Account: account,
	}
}

// Held is one holding of an account.
type Held struct {
	Found
	driver.Holding
}

// Look reads one account, whoever made it. Code NotFound: the platform said that there is none.
func Look(ctx context.Context, f *fleet.Fleet, platform, account string) (Found, error) {
	conn, err := connect(ctx, f, platform, "")
	if err != nil {
		return Found{}, err
	}
	a, err := conn.Read(ctx, nhi.Ref{Name: account})
	if err != nil {
		return Found{}, err
	}
	return newFound(f, conn, a), nil
}

// Inventory lists all accounts that match the search, by platform and name. Search.Accounts has no meaning here. If a
// platform cannot be read, nothing is returned but the problems.
func Inventory(ctx context.Context, f *fleet.Fleet, s Search) ([]Found, Problems) {
	j := newJoin(f, s)
	return gather(ctx, f, s.Platforms, func(platform string) ([]Found, error) {
		var found []Found
		err := readAccounts(ctx, f, platform, func(a located) bool {
			if j.matches(a) {
				found = append(found, newFound(f, a.conn, a.account))
			}
			return true
		})
		slices.SortFunc(found, func(a, b Found) int { return compareAccounts(a.Account, b.Account) })
		return found, err
	})
}

// compareAccounts orders the accounts of one platform: what is shown does not depend on the order of the platform's answer.
func compareAccounts(a, b nhi.Account) int {
	return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID))
}

// Declared is what the configurations of a stack declare, as far as a review is told.
type Declared struct {
	// Identities are declared with every account that carries their mark.
	Identities []string
	// Accounts holds the account names of identities by platform. Of these identities no other account is declared.
	Accounts map[string]map[string]string
}

func (d Declared) has(a Found) bool {
	if accounts, exact := d.Accounts[a.Account.Mark.Identity]; exact {
		return accounts[a.Platform] == a.Account.Name
	}
	return slices.Contains(d.Identities, a.Account.Mark.Identity)
}

// Orphans lists the accounts that carry the mark of this stack and are not declared. Accounts of others are never among
// them, whatever they are called.
func Orphans(ctx context.Context, f *fleet.Fleet, platforms []string, declared Declared) ([]Found, Problems) {
	found, problems := Inventory(ctx, f, Search{Platforms: platforms, ManagedBy: ThisStack})
	return slices.DeleteFunc(found, declared.has), problems
}

// Review is what accounts hold.
type Review struct {
	Held []Held
	// DirectOnly names the platforms that do not tell what accounts come by indirectly.
	DirectOnly []string
}

// ExplainAccount tells everything that one account holds, whoever made it.
func ExplainAccount(ctx context.Context, f *fleet.Fleet, platform, account string) (Review, Problems) {
	return explain(ctx, f, []string{platform}, func(conn *fleet.Conn) ([]nhi.Account, error) {
		a, err := conn.Read(ctx, nhi.Ref{Name: account})
		return []nhi.Account{a}, err
	})
}

// Claims reports whether an account is the identity's by what is declared or on record, whatever mark it carries. known is false
// if that does not say what accounts the identity has.
type Claims func(platform, account string) (theirs, known bool)

// ExplainIdentity tells everything that the accounts of an identity hold which carry the mark of this stack, whatever they are
// called; of a platform without a bulk read, the one of the identity's own name is enough. Platforms without such an account are
// left out, unless accountNames names an account there: that must exist and be the identity's or nobody's, and is then the only
// one. Where there is none but an account of the identity's name that nobody marked, declared says whether it counts; where it
// does not know, it is not known what the identity has, as where accounts cannot be listed: that is a problem. No platforms are
// all of them.
func ExplainIdentity(ctx context.Context, f *fleet.Fleet, identity string, accountNames map[string]string, platforms []string,
	declared Claims,
) (Review, Problems) {
	mark := nhi.Mark{Stack: f.Stack(), Identity: identity}
	return explain(ctx, f, platforms, func(conn *fleet.Conn) ([]nhi.Account, error) {
		name, named := accountNames[conn.Platform().Name()]
		if !named {
			return accountsOf(ctx, conn, mark, declared)
		}
		a, err := conn.Read(ctx, nhi.Ref{Name: name})
		if err == nil {
			err = reconcile.CheckOwner(conn.Platform().Name(), a, mark, "", true)
		}
		return []nhi.Account{a}, err
	})
}

// accountsOf returns the accounts with a mark. Where a search would read every account singly, the one that is named like the
// identity is enough.
func accountsOf(ctx context.Context, conn *fleet.Conn, mark nhi.Mark, declared Claims) ([]nhi.Account, error) {
	if !conn.Platform().Spec().Can(driver.CanSweep) {
		if a, there, err := namesake(ctx, conn, mark); err != nil || there && a.Mark == mark {
			return []nhi.Account{a}, err
		}
	}
	marked, err := conn.Marked(ctx, mark)
	unlistable := err != nil && driver.CodeOf(err) == driver.Unsupported
	if len(marked) > 0 || err != nil && !unlistable {
		return marked, err
	}
	a, there, err := namesake(ctx, conn, mark)
	theirs, known := declared(conn.Platform().Name(), a.Name)
	unmarkedOne := err == nil && there && a.Mark.IsZero()
	switch {
	case err != nil:
		return nil, err
	case unmarkedOne && theirs:
		return []nhi.Account{a}, nil
	case unmarkedOne && !known:
		return nil, unmarked(conn.Platform().Name(), a, "")
	case unlistable:
		return nil, unlisted(conn.Platform().Name(), mark.Identity)
	}
	return nil, nil
}

// namesake reads the account that is named like the identity, if it can have such a name.
func namesake(ctx context.Context, conn *fleet.Conn, mark nhi.Mark) (a nhi.Account, there bool, err error) {
	if conn.Platform().Spec().CheckName(mark.Identity) == nil {
		a, err = conn.Read(ctx, nhi.Ref{Name: mark.Identity})
		there = err == nil
	}
	if err != nil && driver.CodeOf(err) == driver.NotFound {
		err = nil
	}
	return a, there, err
}

// unmarked says that a platform has nothing with the identity's mark, but an account of its name that nobody marked, as after an
// import without an apply. then is what follows for the caller.
func unmarked(platform string, account nhi.Account, then string) error {
	return fmt.Errorf("account %q on platform %q carries no mark, so it may be a stranger's%s; if it is the identity's, name it: "+
		"account_names = { %s = %q }; if not, name the other platforms in platforms", account.Name, platform, then, platform, account.Name)
}

// unlisted says that a platform shows no account that is named like the identity and carries its mark, and cannot be searched
// for one of another name.
func unlisted(platform, identity string) error {
	return driver.Errorf(driver.Unsupported, "platform %[1]q cannot list its accounts, so whether the identity %[2]q has one there that is not "+
		"called %[2]q is not known; if it has, give its name: account_names = { %[1]s = \"…\" }; if not, name the other platforms in "+
		"platforms", platform, identity)
}

// explain tells everything that the accounts hold which find returns for a platform.
func explain(ctx context.Context, f *fleet.Fleet, platforms []string, find func(*fleet.Conn) ([]nhi.Account, error)) (Review, Problems) {
	return review(ctx, f, platforms, func(platform string) (*fleet.Conn, []driver.Explained, error) {
		conn, err := connect(ctx, f, platform, "")
		if err != nil {
			return nil, nil, err
		}
		accounts, err := find(conn)
		if err != nil {
			return nil, nil, err
		}
		var all []driver.Explained
		for _, a := range accounts {
			holdings, err := conn.Explain(ctx, a.Ref)
			if err != nil {
				return nil, nil, err
			}
			all = append(all, driver.Explained{Account: a, Holdings: holdings})
		}
		return conn, all, nil
	})
}

// Holders tells who holds one of the entitlements, on the platforms that know its type. No platforms are all of them. The
// error says what is wrong with an entitlement that no platform knows as it is written.
func Holders(ctx context.Context, f *fleet.Fleet, platforms, entitlements []string) (Review, Problems, error) {
	wanted := make(map[string]map[nhi.Entitlement]bool)
	for _, text := range entitlements {
		if err := want(f, orAll(f, platforms), text, wanted); err != nil {
			return Review{}, nil, err
		}
	}
	var able []string
	for platform := range wanted {
		able = append(able, platform)
	}
	if len(able) == 0 {
		return Review{}, nil, nil
	}
	r, problems := review(ctx, f, able, func(platform string) (*fleet.Conn, []driver.Explained, error) {
		conn, err := connect(ctx, f, platform, "")
		if err != nil {
			return nil, nil, err
		}
		found, err := conn.Holders(ctx, func(e nhi.Entitlement) bool { return wanted[platform][e] })
		return conn, found, err
	})
	return r, problems, nil
}

// want notes an entitlement for each of the platforms whose grammar has its type. A platform that spells it otherwise than another
// one, which knows it as it is written, is asked in its own spelling, so that nobody there is missed.
func want(f *fleet.Fleet, platforms []string, text string, wanted map[string]map[nhi.Entitlement]bool) error {
	var refused, misspelt error
	known := false
	for _, name := range platforms {
		p, err := f.Platform(name)
		if err != nil {
			return err
		}
		e, err := p.Spec().Grammar.Find(text)
		var other *nhi.NotCanonicalError
		if errors.As(err, &other) {
			misspelt = cmp.Or(misspelt, fmt.Errorf("platform %q: %w", name, err))
			e, err = p.Spec().Grammar.Find(other.Canonical)
		} else {
			known = known || err == nil
		}
		if err != nil {
			refused = cmp.Or(refused, fmt.Errorf("platform %q: %w", name, err))
			continue
		}
		if wanted[name] == nil {
			wanted[name] = make(map[nhi.Entitlement]bool)
		}
		wanted[name][e] = true
	}
	if !known {
		return cmp.Or(misspelt, refused)
	}
	return nil
}

func orAll(f *fleet.Fleet, platforms []string) []string {
	if len(platforms) == 0 {
		return f.Names()
	}
	return slices.Compact(slices.Sorted(slices.Values(platforms)))
}

// review puts together what accounts of platforms hold, by platform, account and holding.
func review(ctx context.Context, f *fleet.Fleet, platforms []string, read func(platform string) (*fleet.Conn, []driver.Explained, error)) (Review, Problems) {
	directOnly := newCollected[bool]()
	held, problems := gather(ctx, f, platforms, func(platform string) ([]Held, error) {
		conn, found, err := read(platform)
		if err != nil {
			return nil, err
		}
		if !conn.Explains() {
			directOnly.set(platform, true)
		}
		slices.SortFunc(found, func(a, b driver.Explained) int { return compareAccounts(a.Account, b.Account) })
		var out []Held
		for _, e := range found {
			for _, h := range e.Holdings {
				out = append(out, Held{Found: newFound(f, conn, e.Account), Holding: h})
			}
		}
		return out, nil
	})
	r := Review{Held: held}
	for _, platform := range orAll(f, platforms) {
		if directOnly.m[platform] {
			r.DirectOnly = append(r.DirectOnly, platform)
		}
	}
	return r, problems
}

// gather reads platforms at the same time (none: all of them) and returns what was found, ordered by platform. If one
// cannot be read, what is there is not known, so nothing is returned.
func gather[T any](ctx context.Context, f *fleet.Fleet, platforms []string, read func(platform string) ([]T, error)) ([]T, Problems) {
	names, work, found := orAll(f, platforms), make(map[string]struct{}), newCollected[[]T]()
	for _, name := range names {
		work[name] = struct{}{}
	}
	problems := each(ctx, work, func(platform string, _ struct{}) error {
		some, err := read(platform)
		found.set(platform, some)
		return err
	})
	if len(problems) > 0 {
		return nil, problems
	}
	var all []T
	for _, name := range names {
		all = append(all, found.m[name]...)
	}
	return all, nil
}
