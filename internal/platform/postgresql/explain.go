package postgresql

import (
	"cmp"
	"context"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
)

// The steps of a way that are no membership whose rights come by themselves.
const (
	// stepPublic stands for what every role holds.
	stepPublic = "PUBLIC"
	// stepOwner stands for the rights that come with the ownership of an object.
	stepOwner = "OWNER"
	// stepSet begins the step into a role whose rights the account has only while it acts as that role.
	stepSet = "SET ROLE "
)

// relation is a membership: of whom it is, in which role, and what it gives.
type relation struct {
	member, role        uint32
	inherit, set, admin bool
}

// roleFacts is what the cluster says of one role.
type roleFacts struct {
	name       string
	attributes []string
}

// held is what one role holds itself. owned are the rights that come with what it owns.
type held struct {
	rights, owned []nhi.Entitlement
}

// surroundings are what decides what an account inherits: the memberships of the cluster and what roles hold.
type surroundings struct {
	roles   map[uint32]roleFacts
	members map[uint32][]relation // by member, ordered by the name of the role
	holds   map[uint32]held
	public  []nhi.Entitlement
}

// Explain implements driver.Explainer. A membership whose rights need a SET ROLE shows as such a step, because whoever
// logs in as the account may take it; one that gives neither shows as the membership alone.
func (c *client) Explain(ctx context.Context, ref nhi.Ref) ([]driver.Holding, error) {
	var found []driver.Holding
	err := c.read(ctx, func(tx pgx.Tx) error {
		a, err := c.find(ctx, tx, ref)
		if err != nil {
			return err
		}
		direct, err := c.entitlements(ctx, tx, a.oid)
		if err != nil {
			return err
		}
		s, err := c.memberships(ctx, tx)
		if err != nil {
			return err
		}
		oids := oidsOf(a.roles())
		for _, r := range s.reach(oidsOf(a.roles())) {
			oids = append(oids, r.oid)
		}
		if err := c.fill(ctx, tx, s, oids); err != nil {
			return err
		}
		found = s.explain(a, a.whole(direct[a.oid]))
		return nil
	})
	return found, err
}

// ExplainAll implements driver.BulkExplainer: seven queries, whatever the number of accounts, in one snapshot.
func (c *client) ExplainAll(ctx context.Context, page func([]driver.Explained) error) error {
	var accounts []account
	var direct map[uint32][]nhi.Entitlement
	var s *surroundings
	err := c.read(ctx, func(tx pgx.Tx) (err error) {
		if accounts, err = c.accounts(ctx, tx, selector{}); err != nil {
			return err
		}
		if direct, err = c.entitlements(ctx, tx, 0); err != nil {
			return err
		}
		if s, err = c.memberships(ctx, tx); err != nil {
			return err
		}
		return c.fill(ctx, tx, s, nil)
	})
	if err != nil {
		return err
	}
	for chunk := range slices.Chunk(accounts, sweepPage) {
		out := make([]driver.Explained, len(chunk))
		for i, a := range chunk {
			whole := a.whole(direct[a.oid])
			out[i] = driver.Explained{Account: whole, Holdings: s.explain(a, whole)}
		}
		if err := page(out); err != nil {
			return err
		}
	}
	return nil
}

// memberships reads who is a member of what.
func (c *client) memberships(ctx context.Context, tx pgx.Tx) (*surroundings, error) {
	f, err := c.facts(ctx, tx)
	if err != nil {
		return nil, err
	}
	s := &surroundings{roles: map[uint32]roleFacts{}, members: map[uint32][]relation{}, holds: map[uint32]held{}}
	rows, err := tx.Query(ctx, rolesByOIDQuery)
	if err != nil {
		return nil, err
	}
	var oid uint32
	var name string
	var set []bool
	_, err = pgx.ForEachRow(rows, []any{&oid, &name, &set}, func() error {
		facts := roleFacts{name: name}
		for i, on := range set {
			if on {
				facts.attributes = append(facts.attributes, attributes()[i])
			}
		}
		s.roles[oid] = facts
		return nil
	})
	if err != nil {
		return nil, err
	}
	if rows, err = tx.Query(ctx, membershipsQuery(f.version)); err != nil {
		return nil, err
	}
	var r relation
	_, err = pgx.ForEachRow(rows, []any{&r.member, &r.role, &r.inherit, &r.set, &r.admin}, func() error {
		s.members[r.member] = append(s.members[r.member], r)
		return nil
	})
	for _, all := range s.members {
		slices.SortFunc(all, func(a, b relation) int { return cmp.Compare(s.roles[a.role].name, s.roles[b.role].name) })
	}
	return s, err
}

// fill reads what roles hold, all of them if oids is nil, and what everybody holds.
func (c *client) fill(ctx context.Context, tx pgx.Tx, s *surroundings, oids []uint32) error {
	f, err := c.facts(ctx, tx)
	if err != nil {
		return err
	}
	rows, err := tx.Query(ctx, rightsOfRolesQuery(f.version), oids)
	if err != nil {
		return err
	}
	var holder uint32
	var k key
	var kind, privilege string
	var owned, option bool
	_, err = pgx.ForEachRow(rows, []any{&holder, &owned, &kind, &k[0], &k[1], &k[2], &privilege, &option}, func() error {
		es, h := listed(kind, k, privilege, option), s.holds[holder]
		switch {
		case holder == 0:
			s.public = append(s.public, es...)
		case owned:
			h.owned = append(h.owned, es...)
		default:
			h.rights = append(h.rights, es...)
		}
		s.holds[holder] = h
		return nil
	})
	if err != nil {
		return err
	}
	observed := map[uint32][]nhi.Entitlement{}
	rows, err = tx.Query(ctx, observedOfRolesQuery, oids)
	if err != nil {
		return err
	}
	if err := addObserved(rows, observed); err != nil {
		return err
	}
	for oid, es := range observed {
		h := s.holds[oid]
		h.rights = append(h.rights, es...)
		s.holds[oid] = h
	}
	return nil
}

// explain puts together what an account holds directly and what it inherits.
func (s *surroundings) explain(a account, whole nhi.Account) []driver.Holding {
	var all []driver.Holding
	add := func(via []string, es ...nhi.Entitlement) {
		for _, e := range es {
			all = append(all, driver.Holding{Entitlement: e, Via: via})
		}
	}
	add(nil, whole.Entitlements...)
	add([]string{stepPublic}, s.public...)
	for _, r := range a.roles() {
		add([]string{stepOwner}, s.holds[r.oid].owned...)
	}
	for _, r := range s.reach(oidsOf(a.roles())) {
		add(r.via, s.holds[r.oid].rights...)
		add(append(slices.Clone(r.via), stepOwner), s.holds[r.oid].owned...)
		add(r.via, s.membershipsOf(r)...)
		if r.setVia != nil {
			// Attributes are not inherited: they count for whoever acts as the role.
			for _, name := range s.roles[r.oid].attributes {
				add(r.setVia, nhi.Entitlement{Type: typeAttribute, Target: name})
			}
		}
	}
	return driver.SortHoldings(all)
}

// membershipsOf lists the memberships of a role that give something to who has its rights.
func (s *surroundings) membershipsOf(r reached) []nhi.Entitlement {
	var found []nhi.Entitlement
	for _, m := range s.members[r.oid] {
		in := membership{role: s.roles[m.role].name}
		if m.inherit || m.set && r.setVia != nil {
			found = append(found, in.entitlement())
		}
		if m.admin {
			in.admin = true
			found = append(found, in.entitlement())
		}
	}
	return found
}
