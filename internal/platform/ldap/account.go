package ldap

import (
	"context"
	"fmt"
	"slices"
	"strings"

	goldap "github.com/go-ldap/ldap/v3"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
)

// on finds the account and runs work on it.
func (c *client) on(ctx context.Context, ref nhi.Ref, work func(s *session, f *facts, e *goldap.Entry) error) error {
	return c.pool.with(ctx, func(s *session) error {
		f, err := c.facts(s)
		if err != nil {
			return err
		}
		e, err := c.find(s, f, ref)
		if err != nil {
			return err
		}
		return work(s, f, e)
	})
}

// orGone takes an account that does not exist for success.
func orGone(err error) error {
	if driver.CodeOf(err) == driver.NotFound {
		return nil
	}
	return err
}

// find returns the entry of an account, NotFound only if the server gave a complete answer without it. By its id an
// account is found in the whole directory, also if it was moved from where accounts are.
func (c *client) find(s *session, f *facts, ref nhi.Ref) (*goldap.Entry, error) {
	base, filter := f.baseDN, equals(c.dialect.nameAttribute(), ref.Name)
	if ref.ID != "" {
		var ok bool
		if filter, ok = c.dialect.idFilter(ref.ID); !ok {
			return nil, driver.Errorf(driver.Invalid, "%q is not an id of an account here", ref.ID)
		}
		base = f.root
	}
	entries, err := c.guarded(s, f, base, allOf(c.dialect.accountFilter(), filter))
	if err != nil {
		return nil, err
	}
	if len(entries) == 0 {
		return nil, c.absent(s, f, ref)
	}
	if len(entries) > 1 {
		return nil, driver.Errorf(driver.Invalid, "the name %q is not unique below %q: %q and %q have it", ref.Name, base,
			entries[0].DN, entries[1].DN)
	}
	if name := c.dialect.name(entries[0]); ref.ID == "" && name != ref.Name {
		return nil, driver.Errorf(driver.Invalid, "the directory takes %q for the name of the account %q; write it so", ref.Name, name)
	}
	return entries[0], nil
}

// guarded searches accounts. The answer must also hold the entry below which accounts are: an answer without it is not
// complete, whatever it says.
func (c *client) guarded(s *session, f *facts, base, filter string) ([]*goldap.Entry, error) {
	all, err := s.search(c.guardedRequest(f, base, filter), c.config.PageSize, c.dialect.strict())
	if err != nil {
		return nil, err
	}
	found, complete := c.withoutBase(f, all)
	if !complete {
		return nil, notShown(f, base)
	}
	return found, nil
}

func (c *client) guardedRequest(f *facts, base, filter string) *goldap.SearchRequest {
	guard, _ := c.dialect.idFilter(f.baseID)
	return request(base, goldap.ScopeWholeSubtree, anyOf(filter, guard), c.dialect.attributes())
}

// withoutBase takes the entry below which accounts are out of an answer, and says whether it was there.
func (c *client) withoutBase(f *facts, all []*goldap.Entry) (rest []*goldap.Entry, found bool) {
	rest = slices.DeleteFunc(all, func(e *goldap.Entry) bool {
		isBase := c.dialect.id(e) == f.baseID
		found = found || isBase
		return isBase
	})
	return rest, found
}

func notShown(f *facts, base string) error {
	return fmt.Errorf("search below %q does not show %q itself: %w", base, f.baseDN, errIncomplete)
}

// looks is how often a login must be shown nothing where there is something: entries come and go between two questions.
const looks = 5

// absent makes the error for an account that the server does not show.
func (c *client) absent(s *session, f *facts, ref nhi.Ref) error {
	if err := c.wantSight(s, f); err != nil {
		return err
	}
	return driver.Errorf(driver.NotFound, "there is no account %q below %q", ref.Name, f.baseDN)
}

// wantSight fails if the server hides the accounts. A server hides what a login may not see; if there are entries and we see
// none of them, that is what has happened.
func (c *client) wantSight(s *session, f *facts) error {
	for range looks {
		hidden, err := s.hidden(f.baseDN)
		if err != nil || !hidden {
			return err
		}
	}
	return driver.Errorf(driver.PermissionDenied, "%q may not see the entries below %q", c.config.BindDN, f.baseDN)
}

// hidden reports whether the server shows no entry below base and says that there are some.
func (s *session) hidden(base string) (bool, error) {
	e, ok, err := s.entry(base, []string{"hasSubordinates"})
	if err != nil {
		return false, err
	}
	if !ok {
		return false, fmt.Errorf("read %q: %w", base, errIncomplete)
	}
	if !strings.EqualFold(e.GetEqualFoldAttributeValue("hasSubordinates"), "true") {
		return false, nil
	}
	r := request(base, goldap.ScopeSingleLevel, "(objectClass=*)", []string{"1.1"})
	r.SizeLimit = 1
	result, err := s.Search(r)
	if err != nil && !goldap.IsErrorWithCode(err, goldap.LDAPResultSizeLimitExceeded) {
		return false, fmt.Errorf("search below %q: %w", base, explained(err))
	}
	return len(result.Entries) == 0, nil
}

// ReadAccount implements driver.Driver.
func (c *client) ReadAccount(ctx context.Context, ref nhi.Ref) (nhi.Account, error) {
	var account nhi.Account
	err := c.on(ctx, ref, func(s *session, f *facts, e *goldap.Entry) error {
		var err error
		account, err = c.whole(s, f, e)
		return err
	})
	if err != nil {
		return nhi.Account{}, err
	}
	return account, nil
}

func (c *client) whole(s *session, f *facts, e *goldap.Entry) (nhi.Account, error) {
	es, err := c.dialect.entitlements(s, f, e)
	if err != nil {
		return nhi.Account{}, err
	}
	account := c.dialect.observe(e)
	account.Entitlements = es
	return account, nil
}

// CreateAccount implements driver.Driver.
func (c *client) CreateAccount(ctx context.Context, spec driver.AccountSpec) (nhi.Ref, error) {
	var ref nhi.Ref
	err := c.pool.with(ctx, func(s *session) error {
		f, err := c.facts(s)
		if err != nil {
			return err
		}
		// The name must be free below the whole base, not only where the new entry will be.
		taken, err := c.guarded(s, f, f.baseDN, equals(c.dialect.nameAttribute(), spec.Name))
		if err != nil {
			return err
		}
		if len(taken) > 0 {
			return driver.Errorf(driver.AlreadyExists, "the name %q is taken by %q", spec.Name, taken[0].DN)
		}
		dn, err := c.dialect.create(s, f, spec)
		if err != nil {
			return err
		}
		e, ok, err := s.entry(dn, c.dialect.attributes())
		if err == nil && (!ok || c.dialect.id(e) == "" || c.dialect.name(e) != spec.Name) {
			err = fmt.Errorf("read the new entry %q back: %w", dn, errIncomplete)
		}
		if err != nil {
			return undo(err, s.remove(dn))
		}
		ref = nhi.Ref{Name: spec.Name, ID: c.dialect.id(e)}
		return nil
	})
	if err != nil {
		return nhi.Ref{}, err
	}
	return ref, nil
}

// undo adds to err that what was done could not be undone.
func undo(err, undoing error) error {
	if undoing == nil {
		return err
	}
	return fmt.Errorf("%w; and to undo what was done: %w", err, undoing)
}

// remove deletes an entry; one that is gone already is success.
func (s *session) remove(dn string) error {
	err := s.Del(goldap.NewDelRequest(dn, nil))
	if err == nil || goldap.IsErrorWithCode(err, goldap.LDAPResultNoSuchObject) {
		return nil
	}
	return fmt.Errorf("delete %q: %w", dn, explained(err))
}

// UpdateAccount implements driver.Driver.
func (c *client) UpdateAccount(ctx context.Context, ref nhi.Ref, wish driver.AccountChange) error {
	return c.on(ctx, ref, func(s *session, _ *facts, e *goldap.Entry) error {
		changes, err := c.dialect.changes(e, wish)
		if err != nil {
			return err
		}
		return s.modify(e.DN, changes...)
	})
}

// DeleteAccount implements driver.Driver. Memberships that the server does not clear away itself go first: a later account
// of the name would have them.
func (c *client) DeleteAccount(ctx context.Context, ref nhi.Ref) error {
	return orGone(c.on(ctx, ref, func(s *session, f *facts, e *goldap.Entry) error {
		if c.dialect.outlived() {
			if err := c.leaveAll(s, f, e); err != nil {
				return err
			}
		}
		if err := s.remove(e.DN); err != nil {
			return err
		}
		gone := nhi.Ref{Name: c.dialect.name(e), ID: c.dialect.id(e)}
		if _, err := c.find(s, f, gone); err != nil {
			return orGone(err)
		}
		return driver.Errorf(driver.Conflict, "%q is deleted and the directory still shows it", e.DN)
	}))
}

// Suspend implements driver.Suspender.
func (c *client) Suspend(ctx context.Context, ref nhi.Ref) error {
	return c.on(ctx, ref, c.dialect.suspend)
}

// Resume implements driver.Suspender.
func (c *client) Resume(ctx context.Context, ref nhi.Ref) error {
	return c.on(ctx, ref, c.dialect.resume)
}

// Slots implements driver.Issuer.
func (c *client) Slots() int { return c.dialect.slots() }

// Issue implements driver.Issuer.
func (c *client) Issue(ctx context.Context, ref nhi.Ref, request driver.IssueRequest) (driver.Issued, error) {
	var issued driver.Issued
	err := c.on(ctx, ref, func(s *session, f *facts, e *goldap.Entry) error {
		account := c.dialect.observe(e)
		for _, credential := range account.Credentials {
			if credential.Label == request.Label {
				return driver.Errorf(driver.AlreadyExists, "account %q has a credential labelled %q already", account.Name, request.Label)
			}
		}
		if len(account.Credentials) >= c.Slots() {
			return driver.Errorf(driver.Conflict, "account %q has %d credentials already; here it can have %d", account.Name,
				len(account.Credentials), c.Slots())
		}
		var err error
		issued, err = c.dialect.issue(s, f, e, request)
		return err
	})
	if err != nil {
		return driver.Issued{}, err
	}
	return issued, nil
}

// RevokeCredential implements driver.Issuer.
func (c *client) RevokeCredential(ctx context.Context, ref nhi.Ref, id string) error {
	return orGone(c.on(ctx, ref, func(s *session, f *facts, e *goldap.Entry) error {
		return c.dialect.revokeCredential(s, f, e, id)
	}))
}
