package postgresql

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
)

// wish is a set of entitlements, sorted out by what has to be done for them.
type wish struct {
	rights     []right
	members    []membership
	attributes []string
	observed   []nhi.Entitlement
}

// membership is an entitlement of the type role, or role_admin.
type membership struct {
	role  string
	admin bool
}

func (m membership) entitlement() nhi.Entitlement {
	e := nhi.Entitlement{Type: typeRole, Target: joinTarget([]string{m.role})}
	if m.admin {
		e.Type = typeRoleAdmin
	}
	return e
}

func sortOut(es []nhi.Entitlement) (wish, error) {
	var w wish
	for _, e := range es {
		if err := w.add(e); err != nil {
			return wish{}, driver.Errorf(driver.Invalid, "%q: %w", e, err)
		}
	}
	order := map[*class]int{}
	for i, c := range classes() {
		order[c] = i
	}
	slices.SortStableFunc(w.rights, func(a, b right) int { return order[a.class] - order[b.class] })
	return w, nil
}

func (w *wish) add(e nhi.Entitlement) error {
	switch e.Type {
	case typeRole, typeRoleAdmin:
		parts, err := splitTarget(e.Target, false)
		if err != nil {
			return err
		}
		w.members = append(w.members, membership{role: parts[0], admin: e.Type == typeRoleAdmin})
	case typeAttribute:
		if !slices.Contains(attributes(), e.Target) {
			return fmt.Errorf("there is no role attribute %q", e.Target)
		}
		w.attributes = append(w.attributes, e.Target)
	case typeOwner, typePolicy:
		w.observed = append(w.observed, e)
	default:
		c, ok := classNamed(e.Type)
		if !ok {
			return fmt.Errorf("PostgreSQL has no entitlements of the type %q", e.Type)
		}
		r, err := c.rightOf(e)
		if err != nil {
			return err
		}
		w.rights = append(w.rights, r)
	}
	return nil
}

// objectID addresses one object.
type objectID struct {
	class *class
	key   key
}

// object is an object that exists, with what the roles that were asked for hold on it.
type object struct {
	sql, attribute string
	owner          uint32
	held           []holding
}

// holding is one entry of an ACL.
type holding struct {
	grantee   uint32
	privilege string
	option    bool
	grantor   string
	// ours: taking it away is done as ourselves, because the server acts for the owner, or the grantor is our own role.
	ours bool
}

// holds reports whether one of the roles holds the right, by whomever it was granted.
func (o *object) holds(roles []role, r right) bool {
	return slices.ContainsFunc(o.held, func(h holding) bool {
		return h.privilege == r.privilege && (h.option || !r.option) && slices.Contains(oidsOf(roles), h.grantee)
	})
}

// privilege is the right in SQL, as it stands before ON.
func (o *object) privilege(name string) string {
	if o.attribute == "" {
		return name
	}
	return name + " (" + o.attribute + ")"
}

// objects looks up the objects of rights. What does not exist is missing in the result.
func (c *client) objects(ctx context.Context, tx pgx.Tx, rights []right, roles []role) (map[objectID]*object, error) {
	f, err := c.facts(ctx, tx)
	if err != nil {
		return nil, err
	}
	found := map[objectID]*object{}
	queries := &pgx.Batch{}
	queueObjects(queries, f, rights, oidsOf(roles), found)
	return found, tx.SendBatch(ctx, queries).Close()
}

// queueObjects puts one query for each catalog into a batch, whose Close fills found.
func queueObjects(queries *pgx.Batch, f facts, rights []right, roles []uint32, found map[objectID]*object) {
	for _, c := range catalogs() {
		var parts [3][]string
		for _, r := range rights {
			if r.class.catalog != c.catalog || c.since > f.version {
				continue
			}
			for i, part := range r.key {
				if !slices.Contains(parts[i], part) {
					parts[i] = append(parts[i], part)
				}
			}
		}
		if len(parts[0]) > 0 {
			c.queueLookUp(queries, roles, parts, found)
		}
	}
}

func (c *class) queueLookUp(queries *pgx.Batch, roles []uint32, parts [3][]string, found map[objectID]*object) {
	queries.Queue(c.objectsQuery(), roles, parts[0], parts[1], parts[2]).Query(func(rows pgx.Rows) error {
		var kind string
		var k key
		var o object
		var h holding
		fields := []any{
			&kind, &k[0], &k[1], &k[2], &o.sql, &o.attribute, &o.owner, &h.grantee, &h.privilege, &h.option, &h.grantor, &h.ours,
		}
		_, err := pgx.ForEachRow(rows, fields, func() error {
			class, known := classNamed(kind)
			if !known {
				return fmt.Errorf("the server answers with an object of the kind %q", kind)
			}
			id := objectID{class, k}
			if found[id] == nil {
				found[id] = &object{sql: o.sql, attribute: o.attribute, owner: o.owner}
			}
			if h.grantee != 0 {
				found[id].held = append(found[id].held, h)
			}
			return nil
		})
		return err
	})
}

// missing says that the object of a right does not exist, and what is there instead as far as that helps.
func (c *client) missing(ctx context.Context, tx querier, r right) error {
	hint := ""
	if r.class == functionClass {
		rows, err := tx.Query(ctx, `select oidvectortypes(p.proargtypes) from pg_proc p join pg_namespace n
			on n.oid = p.pronamespace where n.nspname = $1 and p.proname = $2 order by 1`, r.key[0], r.key[1])
		if err != nil {
			return err
		}
		known, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (string, error) {
			var types string
			err := row.Scan(&types)
			return r.class.target(key{r.key[0], r.key[1], types}), err
		})
		if err != nil {
			return err
		}
		if len(known) > 0 {
			hint = "; there is " + strings.Join(known, " and ")
		}
	}
	return driver.Errorf(driver.Invalid, "%q: there is no such %s in the database %q%s", r.entitlement(),
		strings.ReplaceAll(r.class.name, "_", " "), c.config.ConnConfig.Database, hint)
}
