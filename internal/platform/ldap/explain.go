package ldap

import (
	"context"
	"slices"

	goldap "github.com/go-ldap/ldap/v3"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
)

// Explain implements driver.Explainer: groups within groups.
func (c *client) Explain(ctx context.Context, ref nhi.Ref) ([]driver.Holding, error) {
	var holdings []driver.Holding
	err := c.on(ctx, ref, func(s *session, f *facts, e *goldap.Entry) error {
		direct, err := c.dialect.entitlements(s, f, e)
		if err != nil {
			return err
		}
		w := c.newWalker(s, f)
		if holdings, err = w.explain(e, direct); err != nil {
			return err
		}
		return c.crossCheck(s, f, e, w)
	})
	if err != nil {
		return nil, err
	}
	return holdings, nil
}

// ExplainAll implements driver.BulkExplainer. It asks about each group once. All accounts are read before the first group is
// asked about: OpenLDAP forgets the place in one paged search as soon as the same connection starts another.
func (c *client) ExplainAll(ctx context.Context, page func([]driver.Explained) error) error {
	return c.pool.with(ctx, func(s *session) error {
		f, err := c.facts(s)
		if err != nil {
			return err
		}
		var entries []*goldap.Entry
		var accounts []nhi.Account
		err = c.sweep(ctx, s, f, func(e []*goldap.Entry, a []nhi.Account) error {
			entries, accounts = append(entries, e...), append(accounts, a...)
			return nil
		})
		if err != nil {
			return err
		}
		w := c.newWalker(s, f)
		all := make([]driver.Explained, len(accounts))
		for i, account := range accounts {
			holdings, err := w.explain(entries[i], account.Entitlements)
			if err != nil {
				return err
			}
			all[i] = driver.Explained{Account: account, Holdings: holdings}
		}
		for part := range slices.Chunk(all, c.config.PageSize) {
			if err := page(part); err != nil {
				return err
			}
		}
		return nil
	})
}

// walker goes up from group to group and remembers what it has seen.
type walker struct {
	c       *client
	s       *session
	f       *facts
	parents map[string][]nhi.Entitlement
}

func (c *client) newWalker(s *session, f *facts) *walker {
	return &walker{c: c, s: s, f: f, parents: map[string][]nhi.Entitlement{}}
}

// explain adds to what an account holds directly what it comes by through that, and what every account is given.
func (w *walker) explain(e *goldap.Entry, direct []nhi.Entitlement) ([]driver.Holding, error) {
	all, err := driver.Inherit(direct, w.confers)
	if err != nil {
		return nil, err
	}
	given, by, err := w.c.dialect.given(w.s, w.f, e)
	if err != nil {
		return nil, err
	}
	more, err := driver.Inherit(given, w.confers)
	if err != nil {
		return nil, err
	}
	for _, holding := range more {
		holding.Via = append([]string{by}, holding.Via...)
		all = append(all, holding)
	}
	return driver.SortHoldings(all), nil
}

// confers returns the groups of which a group is a member.
func (w *walker) confers(e nhi.Entitlement) ([]nhi.Entitlement, error) {
	parents, known := w.parents[e.Target]
	if known {
		return parents, nil
	}
	parents, err := w.c.dialect.parents(w.s, w.f, e.Target)
	if err != nil {
		return nil, err
	}
	w.parents[e.Target] = parents
	return parents, nil
}

// crossCheck compares what was found group by group with what the server itself says that the account is a member of.
// A group that only the server knows was hidden on the way, or came while we looked.
func (c *client) crossCheck(s *session, f *facts, e *goldap.Entry, w *walker) error {
	groups, known, err := c.dialect.everywhere(s, f, e)
	if err != nil || !known {
		return err
	}
	i := slices.IndexFunc(groups, func(g nhi.Entitlement) bool {
		_, seen := w.parents[g.Target]
		return !seen
	})
	if i < 0 {
		return nil
	}
	return driver.Errorf(driver.Conflict, "the directory says that the account is in %q, and shows no way to it: %w", groups[i].Target,
		errIncomplete)
}
