package ldap

import (
	"context"
	"slices"

	goldap "github.com/go-ldap/ldap/v3"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
)

// Grant implements driver.Driver. A directory has no change of several entries: all groups are looked at first, and if
// one cannot be joined all the same, those that were joined are left again.
func (c *client) Grant(ctx context.Context, ref nhi.Ref, entitlements []nhi.Entitlement) error {
	return c.on(ctx, ref, func(s *session, f *facts, e *goldap.Entry) error {
		held, err := c.dialect.entitlements(s, f, e)
		if err != nil {
			return err
		}
		type step struct {
			group string
			membership
		}
		var steps []step
		for _, wish := range nhi.Without(entitlements, held) {
			group, ways, err := c.group(s, f, e, wish)
			if err != nil {
				return err
			}
			steps = append(steps, step{group, ways[0]})
		}
		for i, next := range steps {
			err := c.dialect.join(s, next.group, next.membership)
			if err == nil {
				continue
			}
			for _, made := range slices.Backward(steps[:i]) {
				err = undo(err, c.dialect.leave(s, made.group, made.membership))
			}
			return err
		}
		return nil
	})
}

// group looks at the group that an entitlement names and returns its DN and the ways to be a member of it. What is no
// group, or none that would be listed again in the same spelling, is Invalid.
func (c *client) group(s *session, f *facts, account *goldap.Entry, e nhi.Entitlement) (string, []membership, error) {
	if e.Type != typeGroup {
		return "", nil, driver.Errorf(driver.Invalid, "%s cannot be granted", e)
	}
	if !isBelow(matchKey(e.Target), f.groupsKey) {
		return "", nil, driver.Errorf(driver.Invalid, "%s is not below %q, where groups are looked for (groups_dn)", e, f.groups)
	}
	entry, ok, err := s.entry(e.Target, []string{"objectClass"})
	if err != nil {
		return "", nil, err
	}
	if !ok {
		return "", nil, driver.Errorf(driver.Invalid, "the directory shows no group %q", e.Target)
	}
	listed, err := groupEntitlement(entry.DN)
	if err != nil {
		return "", nil, err
	}
	if listed != e {
		return "", nil, driver.Errorf(driver.Invalid, "the directory lists %s as %q; write that", e, listed)
	}
	ways := c.dialect.memberships(entry, account)
	if len(ways) == 0 {
		return "", nil, driver.Errorf(driver.Invalid, "%q is no group that accounts can be members of", e.Target)
	}
	return entry.DN, ways, nil
}

// Revoke implements driver.Driver.
func (c *client) Revoke(ctx context.Context, ref nhi.Ref, entitlements []nhi.Entitlement) error {
	return orGone(c.on(ctx, ref, func(s *session, f *facts, e *goldap.Entry) error {
		held, err := c.dialect.entitlements(s, f, e)
		if err != nil {
			return err
		}
		for _, next := range nhi.Intersect(entitlements, held) {
			if next.Type == typeGroup {
				err = c.leave(s, e, next)
			} else {
				err = c.dialect.revokeObserved(s, f, e, next)
			}
			if err != nil {
				return err
			}
		}
		return nil
	}))
}

// leave takes the account out of a group in every way in which it can be in it.
func (c *client) leave(s *session, account *goldap.Entry, e nhi.Entitlement) error {
	group, ok, err := s.entry(e.Target, []string{"objectClass"})
	if err != nil || !ok {
		return err
	}
	for _, way := range c.dialect.memberships(group, account) {
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
	for _, e := range held {
		if err := c.leave(s, account, e); err != nil {
			return err
		}
	}
	return nil
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

// sweep calls page with the accounts of each page and the entries that they are.
func (c *client) sweep(ctx context.Context, s *session, f *facts, page func([]*goldap.Entry, []nhi.Account) error) error {
	entitlements, err := c.dialect.inBulk(s, f)
	if err != nil {
		return err
	}
	r := request(f.baseDN, goldap.ScopeWholeSubtree, c.dialect.accountFilter(), c.dialect.attributes())
	return s.pages(ctx, r, c.config.PageSize, c.dialect.strict(), func(entries []*goldap.Entry) error {
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
		return page(entries, accounts)
	})
}
