package ldap

import (
	"context"
	"slices"

	goldap "github.com/go-ldap/ldap/v3"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
)

// step puts an account into one group.
type step struct {
	group string
	way   membership
}

// Grant implements driver.Driver. A directory has no change of several entries: all groups are looked at first, and if
// one cannot be joined all the same, or does not list the account afterwards, those that were joined are left again.
func (c *client) Grant(ctx context.Context, ref nhi.Ref, entitlements []nhi.Entitlement) error {
	return c.on(ctx, ref, func(s *session, f *facts, e *goldap.Entry) error {
		held, err := c.dialect.entitlements(s, f, e)
		if err != nil {
			return err
		}
		wishes := nhi.Without(entitlements, held)
		steps := make([]step, len(wishes))
		for i, wish := range wishes {
			if steps[i], err = c.group(s, f, e, wish); err != nil {
				return err
			}
		}
		for i, next := range steps {
			if err := c.dialect.join(s, next.group, next.way); err != nil {
				return c.undoSteps(s, steps[:i], err)
			}
		}
		if err := c.wantListed(s, f, e, wishes); err != nil {
			return c.undoSteps(s, steps, err)
		}
		return nil
	})
}

func (c *client) undoSteps(s *session, made []step, err error) error {
	for _, next := range slices.Backward(made) {
		err = undo(err, c.dialect.leave(s, next.group, next.way))
	}
	return err
}

// group looks at the group that an entitlement names and returns how to put the account into it. What is no group, or none
// that would be listed again in the same spelling, is Invalid.
func (c *client) group(s *session, f *facts, account *goldap.Entry, e nhi.Entitlement) (step, error) {
	if e.Type != typeGroup {
		return step{}, driver.Errorf(driver.Invalid, "%s cannot be granted", e)
	}
	if !isBelow(matchKey(e.Target), f.groupsKey) {
		return step{}, driver.Errorf(driver.Invalid, "%s is not below %q, where groups are looked for (groups_dn)", e, f.groups)
	}
	entry, ok, err := s.entry(e.Target, []string{"objectClass"})
	if err != nil {
		return step{}, err
	}
	if !ok {
		return step{}, driver.Errorf(driver.Invalid, "the directory shows no group %q", e.Target)
	}
	listed, err := groupEntitlement(entry.DN)
	if err != nil {
		return step{}, err
	}
	if listed != e {
		return step{}, driver.Errorf(driver.Invalid, "the directory lists %s as %q; write that", e, listed)
	}
	way, err := c.dialect.way(s, entry, account)
	return step{entry.DN, way}, err
}

// Revoke implements driver.Driver.
func (c *client) Revoke(ctx context.Context, ref nhi.Ref, entitlements []nhi.Entitlement) error {
	return orGone(c.on(ctx, ref, func(s *session, f *facts, e *goldap.Entry) error {
		if err := c.config.Spec().CheckRecorded(entitlements); err != nil {
			return err
		}
		held, err := c.dialect.entitlements(s, f, e)
		if err != nil {
			return err
		}
		return c.takeAway(s, f, e, nhi.Intersect(entitlements, held))
	}))
}

// takeAway ends what the account holds and looks whether it has ended: a group may list the account in a way that only
// its server or its administrator can change.
func (c *client) takeAway(s *session, f *facts, account *goldap.Entry, held []nhi.Entitlement) error {
	for _, next := range held {
		var err error
		if next.Type == typeGroup {
			err = c.leave(s, account, next)
		} else {
			err = c.dialect.revokeObserved(s, f, account, next)
		}
		if err != nil {
			return err
		}
	}
	return c.wantUnlisted(s, f, account, held)
}

// leave takes the account out of a group in every way in which it is in it.
func (c *client) leave(s *session, account *goldap.Entry, e nhi.Entitlement) error {
	group, ok, err := s.entry(e.Target, []string{"objectClass"})
	if err != nil || !ok {
		return err
	}
	ways, err := c.dialect.ways(s, group, account)
	if err != nil {
		return err
	}
	for _, way := range ways {
		if err := c.dialect.leave(s, group.DN, way); err != nil {
			return err
		}
	}
	return nil
}

func (c *client) leaveAll(s *session, f *facts, account *goldap.Entry) error {
	held, err := c.dialect.entitlements(s, f, account)
	if err != nil {
		return err
	}
	return c.takeAway(s, f, account, held)
}

// wantListed reads back that the account has what was granted.
func (c *client) wantListed(s *session, f *facts, account *goldap.Entry, granted []nhi.Entitlement) error {
	if len(granted) == 0 {
		return nil
	}
	now, err := c.holdsNow(s, f, account)
	if err != nil {
		return err
	}
	if missing := nhi.Without(granted, now); len(missing) > 0 {
		return driver.Errorf(driver.Conflict, "%q was put into %q, and the directory does not show it there", account.DN,
			missing[0].Target)
	}
	return nil
}

// wantUnlisted reads back that the account has nothing of what was revoked.
func (c *client) wantUnlisted(s *session, f *facts, account *goldap.Entry, revoked []nhi.Entitlement) error {
	if len(revoked) == 0 {
		return nil
	}
	now, err := c.holdsNow(s, f, account)
	if err != nil {
		return err
	}
	if left := nhi.Intersect(revoked, now); len(left) > 0 {
		return driver.Errorf(driver.Unsupported, "%q was taken out of %q, and the directory still shows it there: the group lists it by "+
			"an attribute of its own, or somebody has put it back; take it out by hand", account.DN, left[0].Target)
	}
	return nil
}

// holdsNow reads the account's entitlements again. Where memberships outlive the account, those of one that has gone
// meanwhile are found, too.
func (c *client) holdsNow(s *session, f *facts, account *goldap.Entry) ([]nhi.Entitlement, error) {
	now, ok, err := s.entry(account.DN, c.dialect.attributes())
	switch {
	case err != nil:
		return nil, err
	case ok:
		return c.dialect.entitlements(s, f, now)
	case c.dialect.outlived():
		return c.dialect.entitlements(s, f, account)
	}
	return nil, nil
}

// Sweep implements driver.Sweeper.
func (c *client) Sweep(ctx context.Context, _ driver.SweepFilter, page func([]nhi.Account) error) error {
	return c.pool.with(ctx, func(s *session) error {
		f, err := c.facts(s)
		if err != nil {
			return err
		}
		return c.sweep(ctx, s, f, func(_ []*goldap.Entry, accounts []nhi.Account) error { return page(accounts) })
	})
}

// sweep calls page with the accounts of each page and the entries that they are. It takes no accounts for the answer only where a
// search for one would.
func (c *client) sweep(ctx context.Context, s *session, f *facts, page func([]*goldap.Entry, []nhi.Account) error) error {
	entitlements, err := c.dialect.inBulk(s, f)
	if err != nil {
		return err
	}
	complete, some := false, false
	r := c.guardedRequest(f, f.baseDN, c.dialect.accountFilter())
	err = s.pages(ctx, r, c.config.PageSize, c.dialect.strict(), func(entries []*goldap.Entry) error {
		entries, hasBase := c.withoutBase(f, entries)
		complete = complete || hasBase
		accounts := make([]nhi.Account, len(entries))
		for i, e := range entries {
			accounts[i] = c.dialect.observe(e)
			if accounts[i].ID == "" || accounts[i].Name == "" {
				return driver.Errorf(driver.Unknown, "name or id of %q: %w", e.DN, errIncomplete)
			}
			if accounts[i].Entitlements, err = entitlements(e); err != nil {
				return err
			}
		}
		if len(accounts) == 0 {
			return nil
		}
		some = true
		return page(entries, accounts)
	})
	switch {
	case err != nil || some && complete:
		return err
	case !complete:
		return notShown(f, f.baseDN)
	}
	return c.wantSight(s, f)
}
