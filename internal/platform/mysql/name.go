package mysql

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/nhi-labs/terraform-provider-nhi/internal/platform/internal/sqlname"
)

const (
	anyHost = "%"
	// maxUser is how many characters MariaDB keeps of a user name; MySQL keeps 32 and refuses more itself.
	maxUser = 80
)

// who is a user name with the pattern of hosts that it may come from. A MariaDB role is one with no host.
type who struct{ user, host string }

// String is the canonical account name: the user alone where every host is allowed, as the servers' own short form has it,
// else user@host. A user with an '@' in it always has its host behind it, because the last '@' separates the two.
func (w who) String() string {
	if w.host == anyHost && !strings.Contains(w.user, "@") {
		return w.user
	}
	return w.user + "@" + w.host
}

// sql spells the account for a statement.
func (w who) sql() string {
	if w.host == "" {
		return ident(w.user)
	}
	return ident(w.user) + "@" + ident(w.host)
}

// parseWho is the inverse of String. It also accepts a host that need not be written.
func parseWho(name string) who {
	at := strings.LastIndexByte(name, '@')
	if at < 0 {
		return who{name, anyHost}
	}
	return who{name[:at], name[at+1:]}
}

var hostPattern = regexp.MustCompile(`^[a-z0-9._%:/-]{1,60}$`)

// checkAccountName implements driver.Spec.CheckAccountName.
func checkAccountName(name string) error {
	w := parseWho(name)
	switch {
	case w.user == "":
		return errors.New("it has no user name before the @; anonymous accounts are not made here")
	case utf8.RuneCountInString(w.user) > maxUser:
		return fmt.Errorf("its user name has %d characters and MariaDB keeps %d, MySQL 32; shorten it",
			utf8.RuneCountInString(w.user), maxUser)
	case !isBMP(w.user):
		return errors.New("it has a character beyond U+FFFF, which the servers replace by a question mark; use another")
	case strings.TrimSpace(w.user) != w.user:
		return errors.New("its user name has white space at an end; remove it")
	case !hostPattern.MatchString(w.host):
		return fmt.Errorf("%q behind the last @ is not a host pattern: write a host, an address or a pattern in small letters, "+
			"for example app@10.0.0.%%, or %s@%% if the @ belongs to the user name", w.host, name)
	case w.String() != name:
		return fmt.Errorf("every host is what a name without a host means; write %q", w.String())
	}
	return nil
}

func isBMP(text string) bool {
	return !strings.ContainsFunc(text, func(r rune) bool { return r > 0xFFFF })
}

// ident quotes a name.
func ident(name string) string { return sqlname.Backticks.Quote(name) }

// escapePattern makes the pattern that matches the database of this name alone: in GRANT ... ON db.* the server reads _ and %
// as wildcards.
func escapePattern(database string) string {
	return strings.NewReplacer(`\`, `\\`, "_", `\_`, "%", `\%`).Replace(database)
}

// unescapePattern is the inverse. It reports false for a pattern that matches other names, too, or that escapePattern would
// spell otherwise.
func unescapePattern(pattern string) (database string, exact bool) {
	database = strings.NewReplacer(`\\`, `\`, `\_`, "_", `\%`, "%").Replace(pattern)
	return database, escapePattern(database) == pattern
}
