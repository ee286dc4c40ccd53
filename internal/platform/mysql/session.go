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
	var count int
	if err := c.db.QueryRowContext(ctx, needsProcess).Scan(&count); err != nil {
		return fmt.Errorf("see the sessions of others: %w", err)
	}
	ids, err := c.sessions(ctx, f, a)
	if err != nil {
		return err
	}
	for _, id := range ids {
		if err := run(ctx, c.db, fmt.Sprintf("kill %d", id)); err != nil && errorNumber(err) != errNoSuchThread {
			return err
		}
	}
	return c.waitGone(ctx, f, a, ids)
}

func (c *client) waitGone(ctx context.Context, f flavor, a account, ids []int64) error {
	tick := time.NewTicker(sessionPoll)
	defer tick.Stop()
	for len(ids) > 0 {
		live, err := c.sessions(ctx, f, a)
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

// sessions lists the sessions of an account. The servers show the user and where it comes from, not which account that is;
// where several accounts share the user, the most specific one whose pattern fits has it, and this one if none does.
func (c *client) sessions(ctx context.Context, f flavor, a account) ([]int64, error) {
	namesakes, err := users(ctx, c.db, f, "User = ? or "+isSelf, a.user.user)
	if err != nil {
		return nil, err
	}
	namesakes = slices.DeleteFunc(namesakes, func(u user) bool { return u.user != a.user.user || u.isRole })
	slices.SortStableFunc(namesakes, func(x, y user) int { return literalLength(y.host) - literalLength(x.host) })
	var ids []int64
	err = each(ctx, c.db, "select ID, HOST from information_schema.PROCESSLIST where USER = ?", []any{a.user.user},
		func(rows *sql.Rows) error {
			var id int64
			var from string
			if err := rows.Scan(&id, &from); err != nil {
				return err
			}
			host := withoutPort(from)
			i := slices.IndexFunc(namesakes, func(u user) bool { return hostFits(u.host, host) })
			if i < 0 || namesakes[i].who == a.who {
				ids = append(ids, id)
			}
			return nil
		})
	return ids, err
}

// withoutPort is the host of a session. The servers write addresses of IPv6 without brackets, too.
func withoutPort(from string) string {
	if i := strings.LastIndexByte(from, ':'); i >= 0 {
		return from[:i]
	}
	return from
}

// literalLength is how much of a pattern stands before its first wildcard, which is how the servers rank patterns. Networks
// come behind addresses.
func literalLength(pattern string) int {
	const whole = 256
	if strings.Contains(pattern, "/") {
		return whole
	}
	if i := strings.IndexAny(pattern, "%_"); i >= 0 {
		return i
	}
	return len(pattern) + whole
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
