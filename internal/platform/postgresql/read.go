package postgresql

import (
	"context"
	"errors"
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
	passwords bool // whether we may see which roles have a password
}

// role is a row of rolesQuery.
type role struct {
	oid         uint32
	name        string
	account     uint32 // its own oid, or that of the account whose credential it is
	canLogin    bool
	attributes  []bool // as attributes() orders them
	connLimit   int
	validUntil  time.Time
	comment     string
	hasPassword bool
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
	var found nhi.Account
	err := c.read(ctx, func(tx pgx.Tx) error {
		a, err := c.find(ctx, tx, ref)
		if err != nil {
			return err
		}
		held, err := c.entitlements(ctx, tx, a.oid)
		if err != nil {
			return err
		}
		found = a.whole(held[a.oid])
		return nil
	})
	return found, err
}

// Sweep implements driver.Sweeper: three queries, whatever the number of accounts, in one snapshot.
func (c *client) Sweep(ctx context.Context, filter driver.SweepFilter, page func([]nhi.Account) error) error {
	var all []nhi.Account
	err := c.read(ctx, func(tx pgx.Tx) error {
		accounts, err := c.accounts(ctx, tx, 0, "")
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

// find returns the account that ref addresses, NotFound if there is none.
func (c *client) find(ctx context.Context, tx pgx.Tx, ref nhi.Ref) (account, error) {
	oid, name := uint64(0), ref.Name
	switch {
	case ref.ID != "":
		var err error
		if oid, err = strconv.ParseUint(ref.ID, 10, 32); err != nil || oid == 0 {
			return account{}, driver.Errorf(driver.Invalid, "%q is not the id of a PostgreSQL role", ref.ID)
		}
		name = ""
	case name == "":
		return account{}, driver.Errorf(driver.Invalid, "an account without a name and an id cannot be looked up")
	}
	found, err := c.accounts(ctx, tx, uint32(oid), name)
	if err != nil {
		return account{}, err
	}
	if len(found) == 0 {
		return account{}, driver.Errorf(driver.NotFound, "there is no role %q", ref.Name)
	}
	return found[0], nil
}

// accounts lists all accounts (oid 0, name ""), or the one with the oid, or the one with the name.
func (c *client) accounts(ctx context.Context, tx pgx.Tx, oid uint32, name string) ([]account, error) {
	f, err := c.facts(ctx, tx)
	if err != nil {
		return nil, err
	}
	rows, err := tx.Query(ctx, rolesQuery(f.passwords), oid, name)
	if err != nil {
		return nil, err
	}
	var own uint32
	roles, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (role, error) {
		r, self, err := scanRole(row)
		if self {
			own = r.oid
		}
		return r, err
	})
	if err != nil {
		return nil, err
	}
	if own == 0 {
		return nil, errIncomplete
	}
	wanted := func(r role) bool {
		return oid == 0 && name == "" || r.account == oid || r.account == r.oid && r.name == name
	}
	return group(roles, own, wanted), nil
}

// group puts credential roles under their accounts and drops what is not wanted.
func group(roles []role, own uint32, wanted func(role) bool) []account {
	var found []account
	at := map[uint32]int{}
	for _, r := range roles {
		if r.account == r.oid && wanted(r) && !strings.HasPrefix(r.name, "pg_") {
			at[r.oid] = len(found)
			found = append(found, account{role: r, self: r.oid == own})
		}
	}
	for _, r := range roles {
		if i, ok := at[r.account]; ok && r.account != r.oid {
			found[i].logins = append(found[i].logins, r)
		}
	}
	slices.SortFunc(found, func(a, b account) int { return strings.Compare(a.name, b.name) })
	return found
}

func scanRole(row pgx.CollectableRow) (r role, self bool, err error) {
	var until *time.Time
	var password *bool
	err = row.Scan(&r.oid, &r.name, &r.account, &r.canLogin, &r.attributes, &r.connLimit, &until, &r.comment, &password,
		&self)
	if until != nil {
		r.validUntil = until.UTC()
	}
	r.hasPassword = password != nil && *password
	return r, self, err
}

// entitlements lists what the account with the oid holds, or what each account holds if oid is 0.
func (c *client) entitlements(ctx context.Context, tx pgx.Tx, oid uint32) (map[uint32][]nhi.Entitlement, error) {
	f, err := c.facts(ctx, tx)
	if err != nil {
		return nil, err
	}
	held := map[uint32][]nhi.Entitlement{}
	var holder uint32
	var k key
	var kind, privilege string
	var option bool
	rows, err := tx.Query(ctx, entitlementsQuery(f.version), oid)
	if err != nil {
		return nil, err
	}
	_, err = pgx.ForEachRow(rows, []any{&holder, &kind, &k[0], &k[1], &k[2], &privilege, &option}, func() error {
		held[holder] = append(held[holder], listed(kind, k, privilege, option)...)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return held, addObserved(ctx, tx, oid, held)
}

// addObserved adds what is listed and cannot be granted to what the account with the oid holds, or each account if oid
// is 0.
func addObserved(ctx context.Context, tx pgx.Tx, oid uint32, held map[uint32][]nhi.Entitlement) error {
	return addRows(ctx, tx, observedQuery, oid, held)
}

func addRows(ctx context.Context, tx pgx.Tx, query string, of any, held map[uint32][]nhi.Entitlement) error {
	var holder uint32
	var kind string
	var k key
	rows, err := tx.Query(ctx, query, of)
	if err != nil {
		return err
	}
	_, err = pgx.ForEachRow(rows, []any{&holder, &kind, &k[0], &k[1], &k[2]}, func() error {
		target := k[0]
		if kind == typePolicy {
			target = joinTarget(k[:])
		}
		held[holder] = append(held[holder], nhi.Entitlement{Type: kind, Target: target})
		return nil
	})
	return err
}

// listed spells one row of entitlementsQuery: the right, and beside it the right to pass it on.
func listed(kind string, k key, privilege string, option bool) []nhi.Entitlement {
	if kind == typeRole {
		name := joinTarget(k[:1])
		found := []nhi.Entitlement{{Type: typeRole, Target: name}}
		if option {
			found = append(found, nhi.Entitlement{Type: typeRoleAdmin, Target: name})
		}
		return found
	}
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
	}
	found.Entitlements = nhi.SortEntitlements(held)
	return found
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
		has_column_privilege('pg_catalog.pg_authid', 'rolpassword', 'select')`).Scan(&f.version, &f.passwords)
	if err != nil {
		return facts{}, err
	}
	c.mu.Lock()
	c.known = &f
	c.mu.Unlock()
	return f, nil
}
