package mysql

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
)

// sweepPage is how many accounts one page of a sweep holds.
const sweepPage = 500

// errIncomplete is never absence: a server that does not list our own account does not list others either.
var errIncomplete = errors.New("what answers is not a whole server, or the provider's account may not see all of it")

// markDeleted stands in place of the mark of an account that was deleted here, until the next one of its name is noted.
const markDeleted = "deleted"

// record is what schema.sql's tables say of an account.
type record struct {
	id, mark string
	// deleted is the id of an account that had the name before.
	deleted     string
	credentials []credential
}

// account is an account with what we have noted of it.
type account struct {
	user
	record
}

func (a account) ref() nhi.Ref { return nhi.Ref{Name: a.String(), ID: a.idText()} }

// idText is the account's id. The servers have none: an account that this product made gets a random one, which ends with
// it, so that an account that was deleted and made again here is another one. All other accounts are known by their name
// alone, and so is, to our regret, one that somebody drops and makes again by hand under the name of one of ours.
func (a account) idText() string {
	text := a.user.user + "@" + a.host
	if a.id == "" {
		return text
	}
	return text + idSeparator + a.id
}

// idSeparator stands between name and random part of an id; hosts do not contain it.
const idSeparator = "#"

// parseID is the inverse of idText.
func parseID(text string) (w who, random string, err error) {
	at := strings.LastIndexByte(text, '@')
	if at < 0 {
		return who{}, "", driver.Errorf(driver.Invalid, "%q is not the id of an account", text)
	}
	host, random, _ := strings.Cut(text[at+1:], idSeparator)
	return who{text[:at], host}, random, nil
}

// ReadAccount implements driver.Driver.
func (c *client) ReadAccount(ctx context.Context, ref nhi.Ref) (nhi.Account, error) {
	f, err := c.flavorOf(ctx, c.db)
	if err != nil {
		return nhi.Account{}, err
	}
	a, held, err := c.findWhole(ctx, c.db, f, ref)
	if err != nil {
		return nhi.Account{}, err
	}
	return a.whole(held), nil
}

// findWhole returns the account that ref addresses and what it holds, sorted.
func (c *client) findWhole(ctx context.Context, q querier, f flavor, ref nhi.Ref) (account, []nhi.Entitlement, error) {
	a, err := c.find(ctx, q, f, ref)
	if err != nil {
		return account{}, nil, err
	}
	held, err := c.holdings(ctx, q, f, &a.who, []user{a.user})
	if err != nil {
		return account{}, nil, err
	}
	return a, a.direct(held), nil
}

// Sweep implements driver.Sweeper: the same number of statements whatever the number of accounts.
func (c *client) Sweep(ctx context.Context, filter driver.SweepFilter, page func([]nhi.Account) error) error {
	_, accounts, held, err := c.everything(ctx)
	if err != nil {
		return err
	}
	var all []nhi.Account
	for _, a := range accounts {
		if filter.Stack == "" || strings.HasPrefix(a.mark, nhi.MarkPrefix(filter.Stack)) {
			all = append(all, a.whole(a.direct(held)))
		}
	}
	for chunk := range slices.Chunk(all, sweepPage) {
		if err := page(chunk); err != nil {
			return err
		}
	}
	return nil
}

// everything reads all accounts and what accounts and roles hold.
func (c *client) everything(ctx context.Context) (flavor, []account, holdings, error) {
	f, err := c.flavorOf(ctx, c.db)
	if err != nil {
		return nil, nil, nil, err
	}
	users, err := users(ctx, c.db, f, "true")
	if err != nil {
		return nil, nil, nil, err
	}
	held, err := c.holdings(ctx, c.db, f, nil, users)
	if err != nil {
		return nil, nil, nil, err
	}
	records, err := c.records(ctx, c.db, nil)
	if err != nil {
		return nil, nil, nil, err
	}
	var accounts []account
	for _, u := range users {
		if !u.isRole {
			accounts = append(accounts, account{u, records[u.who]})
		}
	}
	return f, accounts, held, nil
}

// find returns the account that ref addresses, NotFound if there is none.
func (c *client) find(ctx context.Context, q querier, f flavor, ref nhi.Ref) (account, error) {
	w, random := parseWho(ref.Name), ""
	if ref.ID != "" {
		var err error
		if w, random, err = parseID(ref.ID); err != nil {
			return account{}, err
		}
	} else if ref.Name != w.String() {
		return account{}, driver.Errorf(driver.Invalid, "%q is not how this account's name is spelt; write %q", ref.Name, w)
	}
	found, err := users(ctx, q, f, "User = ? and Host = ? or "+isSelf, w.user, w.host)
	if err != nil {
		return account{}, err
	}
	i := slices.IndexFunc(found, func(u user) bool { return u.who == w && !u.isRole })
	if i < 0 {
		return account{}, driver.Errorf(driver.NotFound, "there is no account %q", w)
	}
	records, err := c.records(ctx, q, &w)
	if err != nil {
		return account{}, err
	}
	a := account{found[i], records[w]}
	if ref.ID == "" || ref.ID == a.idText() {
		return a, nil
	}
	if a.id == "" && a.mark == "" && a.deleted != random {
		return account{}, c.lost(w, random)
	}
	return account{}, driver.Errorf(driver.NotFound, "the account %q that is meant is gone; another one has its name", w)
}

// lost says that nothing tells whether an account is the one with this id, because its note is missing.
func (c *client) lost(w who, random string) error {
	table := c.table("accounts")
	return driver.Errorf(driver.Unknown, "there is an account %q, and the row of %s that tells whether it is the one that is meant is "+
		"lost. Restore the table from a backup; or, if it is that one, let an administrator run REPLACE INTO %s (User, Host, id, mark) "+
		"VALUES (%s, %s, %s, ''); or, if it is another one, remove it from state and adopt it", w, table, table,
		quote(w.user), quote(w.host), quote(random))
}

// users lists accounts and roles, our own account always among them.
func users(ctx context.Context, q querier, f flavor, restrict string, args ...any) ([]user, error) {
	var found []user
	err := each(ctx, q, f.usersQuery(restrict), args, func(rows *sql.Rows) error {
		u, err := f.scanUser(rows)
		found = append(found, u)
		return err
	})
	if err != nil {
		return nil, err
	}
	if !slices.ContainsFunc(found, func(u user) bool { return u.self }) {
		return nil, errIncomplete
	}
	slices.SortFunc(found, func(a, b user) int { return strings.Compare(a.String(), b.String()) })
	return found, nil
}

// records reads what is noted of one account, or of all if only is nil.
func (c *client) records(ctx context.Context, q querier, only *who) (map[who]record, error) {
	restrict, args := restrictTo(only)
	found := map[who]record{}
	query := "select User, Host, id, mark from " + c.table("accounts") + " where " + restrict
	err := each(ctx, q, query, args, func(rows *sql.Rows) error {
		var w who
		var r record
		if err := rows.Scan(&w.user, &w.host, &r.id, &r.mark); err != nil {
			return err
		}
		if r.mark == markDeleted {
			r = record{deleted: r.id}
		}
		found[w] = r
		return nil
	})
	if err != nil {
		return nil, err
	}
	query = "select User, Host, id, label, fingerprint, made_at from " + c.table("credentials") + " where " + restrict +
		" order by made_at, id"
	return found, each(ctx, q, query, args, func(rows *sql.Rows) error {
		var w who
		var made int64
		var n credential
		if err := rows.Scan(&w.user, &w.host, &n.id, &n.label, &n.fingerprint, &made); err != nil {
			return err
		}
		n.madeAt = time.UnixMicro(made).UTC()
		r := found[w]
		r.credentials = append(r.credentials, n)
		found[w] = r
		return nil
	})
}

func (c *client) table(name string) string { return ident(c.schema) + "." + name }

// direct is what the account holds directly, sorted.
func (a account) direct(held holdings) []nhi.Entitlement {
	own := slices.Clone(held[a.who])
	if a.defaultRole != "" {
		own = append(own, nhi.Entitlement{Type: typeDefaultRole, Target: a.defaultRole})
	}
	return nhi.SortEntitlements(own)
}

// whole is the account as the contract wants it.
func (a account) whole(direct []nhi.Entitlement) nhi.Account {
	found := nhi.Account{
		Ref: a.ref(), Mark: nhi.FindMark(a.mark), Status: nhi.Active, Entitlements: direct,
		Settings: map[string]string{settingMaxConnections: strconv.Itoa(a.maxConnections)},
	}
	for _, known := range a.credentialList() {
		found.Credentials = append(found.Credentials, known.Credential)
	}
	if a.locked {
		found.Status = nhi.Suspended
	}
	return found
}
