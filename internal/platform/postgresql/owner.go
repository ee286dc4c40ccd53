package postgresql

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
)

// Ownership is taken away by giving it to the heir, never by dropping anything. In our own database each object goes by
// itself, because a plan has shown each. Of another database a plan shows one line for all; they go together.

// ownedElsewhere begins the target of what an account owns in another database; the database's name follows.
const ownedElsewhere = "objects in database "

// property is an object that a role owns, in our database or in none (a database, a tablespace).
type property struct {
	kind     string // as the server calls it: "table", "operator class"
	identity string // its name in SQL, qualified and quoted by the server
	shared   bool   // it is in no database
}

func (p property) entitlement() nhi.Entitlement {
	return nhi.Entitlement{Type: typeOwner, Target: p.kind + " " + p.identity}
}

// goesAlong: it may belong to another object, with which it changes hands and without which it cannot: a sequence to a
// column, a multirange type to its range type.
func (p property) goesAlong() bool { return p.kind == "sequence" || p.kind == "type" }

func (p property) alterOwner(to string) string {
	keyword := p.kind
	switch p.kind {
	case "function", "procedure", "aggregate":
		keyword = "routine"
	case "foreign-data wrapper":
		keyword = "foreign data wrapper"
	case "statistics object":
		keyword = "statistics"
	}
	return fmt.Sprintf("alter %s %s owner to %s", keyword, p.identity, to)
}

// properties lists what roles own in our database and in none; databases and schemas come first, because what is in
// them can be handed over only to a role that may create there.
func properties(ctx context.Context, tx pgx.Tx, roles []role) ([]property, error) {
	rows, err := tx.Query(ctx, `select i.type, i.identity, d.dbid = 0 `+ownedHere+` and d.refobjid = any($1::oid[])
		group by 1, 2, 3 order by i.type <> 'database', i.type <> 'schema', 1, 2`, oidsOf(roles))
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (p property, err error) {
		return p, row.Scan(&p.kind, &p.identity, &p.shared)
	})
}

// stillObserved returns those of the observed entitlements that the account really has.
func stillObserved(ctx context.Context, tx pgx.Tx, a account, observed []nhi.Entitlement) ([]nhi.Entitlement, error) {
	if len(observed) == 0 {
		return nil, nil
	}
	held := map[uint32][]nhi.Entitlement{}
	rows, err := tx.Query(ctx, observedQuery, a.oid)
	if err != nil {
		return nil, err
	}
	if err := addObserved(rows, held); err != nil {
		return nil, err
	}
	return nhi.Intersect(observed, held[a.oid]), nil
}

// notRevocable says why an observed entitlement stays although it was to be revoked, "" if it does not stay.
func notRevocable(e nhi.Entitlement) string {
	switch {
	case e.Type == typePolicy:
		return "a policy can also restrict, so taking the account out of it could open rows; change it with ALTER POLICY ... TO"
	case strings.HasPrefix(e.Target, "extension "):
		return "PostgreSQL gives an extension to another role only with REASSIGN OWNED BY"
	case strings.HasPrefix(e.Target, "user mapping "):
		return "a user mapping cannot be given to another role; remove it with DROP USER MAPPING"
	}
	return ""
}

// refuseRest is the error that names what of observed cannot be revoked, nil if there is nothing of the kind.
func refuseRest(observed []nhi.Entitlement) error {
	var reasons []string
	for _, e := range observed {
		if reason := notRevocable(e); reason != "" {
			reasons = append(reasons, fmt.Sprintf("%q: %s", e, reason))
		}
	}
	if len(reasons) == 0 {
		return nil
	}
	return driver.Errorf(driver.Unsupported, "everything else was revoked; this was not: %s", strings.Join(reasons, "; "))
}

// handOverHere gives the heir those observed objects that are in our database or in none.
func (c *client) handOverHere(ctx context.Context, tx pgx.Tx, a account, observed []nhi.Entitlement) error {
	due := slices.DeleteFunc(slices.Clone(observed), func(e nhi.Entitlement) bool { return notRevocable(e) != "" })
	if len(due) == 0 {
		return nil
	}
	if err := c.checkHeir(ctx, tx, a); err != nil {
		return err
	}
	return bequeath(ctx, tx, a.roles(), heir{name: c.heir}, func(left []role, to string) error {
		for _, along := range []bool{false, true} {
			if err := alterOwners(ctx, tx, left, due, along, to); err != nil {
				return err
			}
		}
		owned, err := properties(ctx, tx, left)
		if err != nil {
			return err
		}
		for _, p := range owned {
			if slices.Contains(due, p.entitlement()) {
				return driver.Errorf(driver.PermissionDenied, "%q is still there after ALTER ... OWNER TO", p.entitlement())
			}
		}
		return nil
	})
}

// alterOwners gives away what is due and still owned: objects of their own, or those that may have gone along with one.
func alterOwners(ctx context.Context, tx pgx.Tx, roles []role, due []nhi.Entitlement, along bool, to string) error {
	owned, err := properties(ctx, tx, roles)
	if err != nil {
		return err
	}
	for _, p := range owned {
		if p.goesAlong() != along || !slices.Contains(due, p.entitlement()) {
			continue
		}
		err := run(ctx, tx, p.alterOwner(to))
		switch sqlState(err) {
		case codeNotSupported:
			return fmt.Errorf("%q belongs to another object and changes hands with that one only: %w", p.entitlement(), err)
		case codeInsufficientPrivilege:
			return fmt.Errorf("hand over %s %s to %s: an admin role that is not a superuser needs to be a member of the "+
				"owner, and the role that inherits needs CREATE on the schema: %w", p.kind, p.identity, to, err)
		}
		if err != nil {
			return fmt.Errorf("hand over %s %s to %s: %w", p.kind, p.identity, to, err)
		}
	}
	return nil
}

// handOverElsewhere gives the heir what the account owns in those other databases that observed names, each database in
// a transaction of its own. One that cannot be reached does not stop the others.
func (c *client) handOverElsewhere(ctx context.Context, a account, observed []nhi.Entitlement) error {
	var failures []error
	for _, e := range observed {
		database, ok := strings.CutPrefix(e.Target, ownedElsewhere)
		if !ok || e.Type != typeOwner {
			continue
		}
		err := c.inDatabase(ctx, database, func(db beginner) error {
			return writeIn(ctx, db, func(tx pgx.Tx) error {
				return bequeath(ctx, tx, a.roles(), heir{name: c.heir}, func(left []role, to string) error {
					return reassign(ctx, tx, left, to)
				})
			})
		})
		if err != nil {
			failures = append(failures, fmt.Errorf("hand over what role %q owns in the database %q: %w", a.name, database, err))
		}
	}
	return errors.Join(failures...)
}

// reassign gives away everything that roles own in the database of tx. REASSIGN OWNED would also give away what is in
// no database; that is refused, because what was to be given away of it has been before.
func reassign(ctx context.Context, tx pgx.Tx, roles []role, to string) error {
	owned, err := properties(ctx, tx, roles)
	if err != nil {
		return err
	}
	for _, p := range owned {
		if p.shared {
			return driver.Errorf(driver.Conflict, "REASSIGN OWNED would also hand over %q, which is not among what is revoked; "+
				"plan again", p.entitlement())
		}
	}
	if err := reassignOwned(ctx, tx, roles, to); err != nil {
		return err
	}
	return ownNothing(ctx, tx, roles)
}
