package postgresql

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
)

// sweepPage is how many accounts one page of a sweep holds.
const sweepPage = 500

// errIncomplete is never absence: a server that does not list our own role does not list others either.
var errIncomplete = errors.New("the server does not list the role that we are logged in as: " +
	"what answers is not a whole PostgreSQL server")

// facts are what the server is and what we may see; they decide the text of queries.
type facts struct {
	version   int  // server_version_num
	passwords bool // whether we may read pg_authid, which says of roles whether they have a password
	superuser bool // whether we may grant everything
}

// role is a row of rolesQuery.
type role struct {
	oid         uint32
	name        string
	canLogin    bool
	attributes  []bool // as attributes() orders them
	connLimit   int
	validUntil  time.Time
	comment     string
	hasPassword bool
	members     []membershipRow
	// depends holds objects by what dependent calls them, if it was asked for.
	depends map[string][]uint32
}

// membershipRow is what a role has as a member of another one. From version 16 on there may be several, of different grantors.
type membershipRow struct {
	OID     uint32 `json:"oid"`
	Role    string `json:"role"`
	Admin   bool   `json:"admin"`
	Grantor string `json:"grantor"`
}

// account is the role's own oid, or that of the account whose credential it is, as withLogins says.
func (r role) account() uint32 {
	for _, m := range r.members {
		if strings.HasPrefix(r.comment, fmt.Sprintf("%s%d:", loginMark, m.OID)) {
			return m.OID
		}
	}
	return r.oid
}

// account is a role with the credential roles that belong to it.
type account struct {
	role
	logins []role
	self   bool // the role that we logged in as
}

// roles returns the account's own role and its credential roles.
func (a account) roles() []role { return append([]role{a.role}, a.logins...) }

func oidsOf(roles []role) []uint32 {
	oids := make([]uint32, len(roles))
	for i, r := range roles {
		oids[i] = r.oid
	}
	return oids
}

func (a account) ref() nhi.Ref {
	return nhi.Ref{Name: a.name, ID: strconv.FormatUint(uint64(a.oid), 10)}
}

// ReadAccount implements driver.Driver.
func (c *client) ReadAccount(ctx context.Context, ref nhi.Ref) (nhi.Account, error) {
	which, err := selectorOf(ref)
	if err != nil {
		return nhi.Account{}, err
	}
	f, err := c.factsNow(ctx)
	if err != nil {
		return nhi.Account{}, err
	}
	var roles rolesFound
	held := map[uint32][]nhi.Entitlement{}
	who := func(queries *pgx.Batch) { roles.queue(queries, f, which) }
	what := func(queries *pgx.Batch) {
		for _, a := range roles.accounts(which) {
			if a.oid < firstFreeOID {
				queueEntitlements(queries, f, a.oid, held)
			} else {
				queueHeldBy(queries, f, a, held)
			}
		}
	}
	if err := c.readTwice(ctx, c.bare.has(ref.Name), who, what); err != nil {
		return nhi.Account{}, err
	}
	c.bare.set(ref.Name, len(held) == 0)
	a, err := roles.one(ref, which)
	if err != nil {
		return nhi.Account{}, err
	}
	return a.whole(held[a.oid]), nil
}

// Sweep implements driver.Sweeper: three queries, whatever the number of accounts, in one snapshot.
func (c *client) Sweep(ctx context.Context, filter driver.SweepFilter, page func([]nhi.Account) error) error {
	var all []nhi.Account
	err := c.read(ctx, func(tx pgx.Tx) error {
		accounts, err := c.accounts(ctx, tx, selector{})
		if err != nil {
			return err
		}
		held, err := c.entitlements(ctx, tx, 0)
		if err != nil {
			return err
		}
		for _, a := range accounts {
			if filter.Stack == "" || strings.Contains(a.comment, nhi.MarkPrefix(filter.Stack)) {
				all = append(all, a.whole(held[a.oid]))
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for chunk := range slices.Chunk(all, sweepPage) {
		if err := page(chunk); err != nil {
			return err
		}
	}
	return nil
}

// selector says which accounts a query is about: the one with the oid, or else the one with the name, or else all.
type selector struct {
	oid  uint32
	name string
}

func selectorOf(ref nhi.Ref) (selector, error) {
	if ref.ID != "" {
		oid, err := strconv.ParseUint(ref.ID, 10, 32)
		if err != nil || oid == 0 {
			return selector{}, driver.Errorf(driver.Invalid, "%q is not the id of a PostgreSQL role", ref.ID)
		}
		return selector{oid: uint32(oid)}, nil
	}
	if ref.Name == "" {
		return selector{}, driver.Errorf(driver.Invalid, "an account without a name and an id cannot be looked up")
	}
	return selector{name: ref.Name}, nil
}

// find returns the account that ref addresses, NotFound if there is none.
func (c *client) find(ctx context.Context, tx pgx.Tx, ref nhi.Ref) (account, error) {
	which, err := selectorOf(ref)
	if err != nil {
		return account{}, err
	}
	found, err := c.accounts(ctx, tx, which)
	if err != nil {
		return account{}, err
	}
	return only(found, ref)
}

func only(found []account, ref nhi.Ref) (account, error) {
	if len(found) == 0 {
		return account{}, driver.Errorf(driver.NotFound, "there is no role %q", ref.Name)
	}
	return found[0], nil
}

func (c *client) accounts(ctx context.Context, tx pgx.Tx, which selector) ([]account, error) {
	f, err := c.facts(ctx, tx)
	if err != nil {
		return nil, err
	}
	var roles rolesFound
	queries := &pgx.Batch{}
	roles.queue(queries, f, which)
	if err := tx.SendBatch(ctx, queries).Close(); err != nil {
		return nil, err
	}
	return roles.accounts(which), nil
}

// rolesFound is what rolesQuery or rolesOfQuery answers.
type rolesFound struct {
	roles []role
	own   uint32 // the role that we logged in as
}

// queue puts the query into a batch, whose Close fills r.
func (r *rolesFound) queue(queries *pgx.Batch, f facts, which selector) {
	query, args := rolesQuery(f), []any{}
	if which != (selector{}) {
		query, args = rolesOfQuery(f), []any{which.oid, which.name}
	}
	queries.Queue(query, args...).Query(func(rows pgx.Rows) error {
		var err error
		*r = rolesFound{}
		r.roles, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (role, error) {
			found, self, err := scanRole(row)
			if self {
				r.own = found.oid
			}
			return found, err
		})
		if err == nil && r.own == 0 {
			return errIncomplete
		}
		return err
	})
}

// accounts puts the roles together, sorted by name.
func (r *rolesFound) accounts(which selector) []account {
	wanted := func(x role) bool {
		return which == selector{} || x.account() == which.oid || x.account() == x.oid && x.name == which.name
	}
	return group(r.roles, r.own, wanted)
}

// one is the account that ref addresses.
func (r *rolesFound) one(ref nhi.Ref, which selector) (account, error) {
	return only(r.accounts(which), ref)
}

// group puts credential roles under their accounts and drops what is not wanted.
func group(roles []role, own uint32, wanted func(role) bool) []account {
	var found []account
	at := map[uint32]int{}
	for _, r := range roles {
		if r.account() == r.oid && wanted(r) && !strings.HasPrefix(r.name, "pg_") {
			at[r.oid] = len(found)
			found = append(found, account{role: r, self: r.oid == own})
		}
	}
	for _, r := range roles {
		if i, ok := at[r.account()]; ok && r.account() != r.oid {
			found[i].logins = append(found[i].logins, r)
		}
	}
	slices.SortFunc(found, func(a, b account) int { return strings.Compare(a.name, b.name) })
	return found
}

func scanRole(row pgx.CollectableRow) (r role, self bool, err error) {
	var until *time.Time
	var password *bool
	var depends []string
	err = row.Scan(&r.oid, &r.name, &r.canLogin, &r.attributes, &r.connLimit, &until, &r.comment, &password, &self,
		&r.members, &depends)
	if err == nil {
		r.depends, err = parseDepends(depends)
	}
	if until != nil {
		r.validUntil = until.UTC()
	}
	r.hasPassword = password != nil && *password
	return r, self, err
}

// parseDepends reads dependencies, each of which is what dependent says, and an oid.
func parseDepends(texts []string) (map[string][]uint32, error) {
	found := map[string][]uint32{}
	for _, text := range texts {
		catalog, id, _ := strings.Cut(text, " ")
		oid, err := strconv.ParseUint(id, 10, 32)
		if err != nil {
			return nil, err
		}
		found[catalog] = append(found[catalog], uint32(oid))
	}
	return found, nil
}

// entitlements lists what the account with the oid holds, or what each account holds if oid is 0.
func (c *client) entitlements(ctx context.Context, tx pgx.Tx, oid uint32) (map[uint32][]nhi.Entitlement, error) {
	f, err := c.facts(ctx, tx)
	if err != nil {
		return nil, err
	}
	held := map[uint32][]nhi.Entitlement{}
	queries := &pgx.Batch{}
	queueEntitlements(queries, f, oid, held)
	return held, tx.SendBatch(ctx, queries).Close()
}

// queueEntitlements puts the queries of entitlements into a batch, whose Close fills held.
func queueEntitlements(queries *pgx.Batch, f facts, oid uint32, held map[uint32][]nhi.Entitlement) {
	queries.Queue(entitlementsQuery(f.version), oid).Query(func(rows pgx.Rows) error { return addListed(rows, held) })
	queries.Queue(observedQuery, oid).Query(func(rows pgx.Rows) error { return addObserved(rows, held) })
}

// queueHeldBy is queueEntitlements for one account, whose roles were read with what depends on them.
func queueHeldBy(queries *pgx.Batch, f facts, a account, held map[uint32][]nhi.Entitlement) {
	roles := oidsOf(a.roles())
	for _, c := range catalogs() {
		if objects := a.dependent(c.catalog); len(objects) > 0 && c.since <= f.version {
			queries.Queue(c.heldByQuery(), a.oid, objects, roles).Query(func(rows pgx.Rows) error { return addListed(rows, held) })
		}
	}
	if len(a.dependent(dependsObserved)) > 0 {
		queries.Queue(observedByQuery, roles, a.oid).Query(func(rows pgx.Rows) error { return addObserved(rows, held) })
	}
}

func (a account) dependent(what string) (objects []uint32) {
	for _, r := range a.roles() {
		objects = append(objects, r.depends[what]...)
	}
	return objects
}

// addListed adds the rows of entitlementsQuery.
func addListed(rows pgx.Rows, held map[uint32][]nhi.Entitlement) error {
	var holder uint32
	var k key
	var kind, privilege string
	var option bool
	_, err := pgx.ForEachRow(rows, []any{&holder, &kind, &k[0], &k[1], &k[2], &privilege, &option}, func() error {
		held[holder] = append(held[holder], listed(kind, k, privilege, option)...)
		return nil
	})
	return err
}

// addObserved adds what is listed and cannot be granted.
func addObserved(rows pgx.Rows, held map[uint32][]nhi.Entitlement) error {
	var holder uint32
	var kind string
	var k key
	_, err := pgx.ForEachRow(rows, []any{&holder, &kind, &k[0], &k[1], &k[2]}, func() error {
		target := k[0]
		if kind == typePolicy {
			target = joinTarget(k[:])
		}
		held[holder] = append(held[holder], nhi.Entitlement{Type: kind, Target: target})
		return nil
	})
	return err
}

// listed spells one row of entitlementsQuery: the right, and beside it the permission to pass it on.
func listed(kind string, k key, privilege string, option bool) []nhi.Entitlement {
	c, ok := classNamed(kind)
	if !ok {
		return nil
	}
	r := right{class: c, key: k, privilege: privilege}
	found := []nhi.Entitlement{r.entitlement()}
	if option {
		r.option = true
		found = append(found, r.entitlement())
	}
	return found
}

// entitlements spells the membership, and beside it the permission to pass it on.
func (m membershipRow) entitlements() []nhi.Entitlement {
	found := []nhi.Entitlement{membership{role: m.Role}.entitlement()}
	if m.Admin {
		found = append(found, membership{role: m.Role, admin: true}.entitlement())
	}
	return found
}

// whole is the account as the contract wants it.
func (a account) whole(held []nhi.Entitlement) nhi.Account {
	found := nhi.Account{
		Ref: a.ref(), Mark: nhi.FindMark(a.comment), Status: nhi.Suspended, Credentials: a.credentials(),
		Settings:  map[string]string{settingConnectionLimit: strconv.Itoa(a.connLimit)},
		ExpiresAt: a.validUntil,
	}
	for _, r := range a.roles() {
		if r.canLogin { // One way in is enough.
			found.Status = nhi.Active
		}
		for i, set := range r.attributes {
			if set {
				held = append(held, nhi.Entitlement{Type: typeAttribute, Target: attributes()[i]})
			}
		}
		for _, m := range r.members {
			if m.OID != a.oid {
				held = append(held, m.entitlements()...)
			}
		}
	}
	found.Entitlements = nhi.SortEntitlements(held)
	return found
}

// factsNow is facts for those who are in no transaction yet.
func (c *client) factsNow(ctx context.Context) (f facts, err error) {
	c.mu.Lock()
	known := c.known
	c.mu.Unlock()
	if known != nil {
		return *known, nil
	}
	err = c.read(ctx, func(tx pgx.Tx) error {
		f, err = c.facts(ctx, tx)
		return err
	})
	return f, err
}

// facts asks the server once. Callers that come at the same time each ask: none waits for another one's connection.
func (c *client) facts(ctx context.Context, tx pgx.Tx) (facts, error) {
	c.mu.Lock()
	known := c.known
	c.mu.Unlock()
	if known != nil {
		return *known, nil
	}
	var f facts
	err := tx.QueryRow(ctx, `select current_setting('server_version_num')::int,
		has_table_privilege('pg_catalog.pg_authid', 'select'), current_setting('is_superuser')::bool`).
		Scan(&f.version, &f.passwords, &f.superuser)
	if err != nil {
		return facts{}, err
	}
	c.mu.Lock()
	c.known = &f
	c.mu.Unlock()
	return f, nil
}
