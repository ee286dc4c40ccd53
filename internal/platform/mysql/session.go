package mysql

import (
	"context"
	"database/sql"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
)

const (
	// sessionPoll is how often we look whether killed sessions are gone.
	sessionPoll = 20 * time.Millisecond

	errNoSuchThread = 1094

	// needsProcess fails without the PROCESS privilege, without which the list of sessions would be our own alone.
	needsProcess = "select count(*) from information_schema.INNODB_TRX"
)

// EndSessions implements driver.SessionEnder.
func (c *client) EndSessions(ctx context.Context, ref nhi.Ref) error {
	f, err := c.flavorOf(ctx, c.db)
	if err != nil {
		return err
	}
	a, err := c.find(ctx, c.db, f, ref)
	if err != nil {
		return absent(err)
	}
	if err := a.mayBeSwitchedOff(); err != nil {
		return err
	}
	return c.endSessions(ctx, c.db, f, a)
}

// endSessions ends the account's sessions and waits until they are gone. It fails if one may be the account's or another's.
func (c *client) endSessions(ctx context.Context, q querier, f flavor, a account) error {
	var count int
	if err := q.QueryRowContext(ctx, needsProcess).Scan(&count); err != nil {
		return fmt.Errorf("see the sessions of others: %w", err)
	}
	ids, unsure, err := c.sessions(ctx, q, f, a)
	if err != nil {
		return err
	}
	for _, id := range ids {
		if err := run(ctx, q, fmt.Sprintf("kill %d", id)); err != nil && errorNumber(err) != errNoSuchThread {
			return err
		}
	}
	if err := c.waitGone(ctx, q, f, a, ids); err != nil {
		return err
	}
	if len(unsure) > 0 {
		return driver.Errorf(driver.Unsupported, "sessions of the user %q from %s may be of %q or of its account with another host "+
			"pattern: the server shows the names of hosts, not the addresses; end them by hand, or give the accounts different user names",
			a.user.user, strings.Join(unsure, ", "), a.who)
	}
	return nil
}

func (c *client) waitGone(ctx context.Context, q querier, f flavor, a account, ids []int64) error {
	tick := time.NewTicker(sessionPoll)
	defer tick.Stop()
	for len(ids) > 0 {
		live, _, err := c.sessions(ctx, q, f, a)
		if err != nil {
			return err
		}
		ids = slices.DeleteFunc(ids, func(id int64) bool { return !slices.Contains(live, id) })
		if len(ids) == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return driver.Errorf(driver.Unavailable, "%d sessions of %q were killed and are still there: %w", len(ids), a.who, ctx.Err())
		case <-tick.C:
		}
	}
	return nil
}

// sessions lists the sessions of an account, and where those come from that may be of another account. The servers show the
// user and where it comes from, not which account that is; where several accounts share the user, the most specific one whose
// pattern fits has it, and this one if none does.
func (c *client) sessions(ctx context.Context, q querier, f flavor, a account) (ids []int64, unsure []string, err error) {
	namesakes, err := users(ctx, q, f, "User = ? or "+isSelf, a.user.user)
	if err != nil {
		return nil, nil, err
	}
	namesakes = slices.DeleteFunc(namesakes, func(u user) bool { return u.user != a.user.user || u.isRole })
	slices.SortStableFunc(namesakes, func(x, y user) int { return literalLength(y.host) - literalLength(x.host) })
	err = each(ctx, q, "select ID, USER, HOST from information_schema.PROCESSLIST where USER = ?", []any{a.user.user},
		func(rows *sql.Rows) error {
			var id int64
			var name, from string
			if err := rows.Scan(&id, &name, &from); err != nil {
				return err
			}
			if name != a.user.user { // information_schema compares without case, which accounts tell apart.
				return nil
			}
			may := owners(namesakes, from)
			switch {
			case len(may) == 0, len(may) == 1 && may[0] == a.who:
				ids = append(ids, id)
			case slices.Contains(may, a.who):
				unsure = append(unsure, from)
			}
			return nil
		})
	return ids, unsure, err
}

// owners lists which of the accounts of one user, the most specific first, may have a session. They are several if the server
// shows the name of a host: its address, by which the server may have chosen the account, does not show then.
func owners(namesakes []user, from string) []who {
	host := withoutPort(from)
	_, err := netip.ParseAddr(host)
	named := err != nil && host != from // Sessions of a socket have no port, and no address.
	var may []who
	for _, u := range namesakes {
		switch {
		case hostFits(u.host, host):
			return append(may, u.who)
		case named && mayFitAddress(u.host):
			may = append(may, u.who)
		}
	}
	return may
}

// mayFitAddress reports whether there are addresses that the pattern of an account's host allows.
func mayFitAddress(pattern string) bool {
	if strings.ContainsAny(pattern, "%_") {
		return strings.Trim(pattern, "0123456789abcdefABCDEF.:%_") == ""
	}
	_, err := netip.ParseAddr(pattern)
	return err == nil || strings.Contains(pattern, "/")
}

// withoutPort is the host of a session. The servers write addresses of IPv6 without brackets, too.
func withoutPort(from string) string {
	if i := strings.LastIndexByte(from, ':'); i >= 0 {
		return from[:i]
	}
	return from
}

// literalLength ranks patterns as the servers do: by how much of them stands before the first wildcard. Names of hosts are as
// specific as addresses and networks; they come behind them here, so that a host whose name shows may have any of the three.
func literalLength(pattern string) int {
	const whole = 256
	switch i := strings.IndexAny(pattern, "%_"); {
	case strings.Contains(pattern, "/"):
		return whole + 1
	case i >= 0:
		return i
	case mayFitAddress(pattern):
		return whole + 2
	}
	return whole
}

// hostFits reports whether the pattern of an account's host allows the host: a network, an address however it is written, or
// a text with wildcards.
func hostFits(pattern, host string) bool {
	ip, _ := netip.ParseAddr(host)
	if network, mask, ok := strings.Cut(pattern, "/"); ok {
		prefix, err := netip.ParsePrefix(pattern)
		if err != nil {
			base, _ := netip.ParseAddr(network)
			ones, bits := net.IPMask(net.ParseIP(mask).To4()).Size()
			if bits == 0 { // no mask, or one with holes
				return false
			}
			prefix = netip.PrefixFrom(base, ones)
		}
		return prefix.Contains(ip.Unmap())
	}
	if address, err := netip.ParseAddr(pattern); err == nil {
		return address.Unmap() == ip.Unmap()
	}
	return textFits(pattern, host)
}

// textFits reports whether a pattern with the wildcards of LIKE fits a host.
func textFits(pattern, host string) bool {
	if pattern == "" {
		return host == ""
	}
	switch pattern[0] {
	case '%':
		for i := range len(host) + 1 {
			if textFits(pattern[1:], host[i:]) {
				return true
			}
		}
		return false
	case '_':
		return host != "" && textFits(pattern[1:], host[1:])
	}
	return host != "" && strings.EqualFold(pattern[:1], host[:1]) && textFits(pattern[1:], host[1:])
}
