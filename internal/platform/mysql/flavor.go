package mysql

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
)

// flavor is what MySQL and MariaDB do differently.
type flavor interface {
	// usersQuery selects accounts and roles for scanUser; restrict is a condition on User and Host, or "true".
	usersQuery(restrict string) string
	scanUser(rows *sql.Rows) (user, error)
	// rolesQuery selects which roles an account or role is a direct member of: user, host, role, host of the role, whether
	// it may pass the role on.
	rolesQuery(restrict string) string
	// defaultRolesQuery selects which roles are on after login: user, host, role, host of the role. "": usersQuery tells.
	defaultRolesQuery(restrict string) string
	// role is the role of a target; roleTarget the inverse.
	role(target string) who
	roleTarget(w who) string
	// setDefaultRoles is the statement after which exactly these roles are on after login.
	setDefaultRoles(account who, roles []who) (string, error)
	// locked is the password hash that no password fits, as IDENTIFIED ... wants it in CREATE USER.
	locked() string
	// addPassword returns the statements that give the account one more password, and what the server will store of it, ""
	// if only the server knows.
	addPassword(u user, password string) (statement, stored string)
	// dropPassword returns the statements that take one of the account's usable methods away. None of them, alone, touches
	// another one.
	dropPassword(u user, index int) []string
}

// method is one way to authenticate.
type method struct{ plugin, stored string }

// user is an account or a role as the server knows it.
type user struct {
	who
	self, locked, isRole bool
	methods              []method
	maxConnections       int
	// MariaDB alone:
	defaultRole string
	access      uint64 // Global privileges, one bit each.
}

// flavorOf asks the server once what it is.
func (c *client) flavorOf(ctx context.Context, q querier) (flavor, error) {
	c.mu.Lock()
	known := c.known
	c.mu.Unlock()
	if known != nil {
		return known, nil
	}
	var version string
	if err := q.QueryRowContext(ctx, "select version()").Scan(&version); err != nil {
		return nil, fmt.Errorf("ask the server for its version: %w", err)
	}
	f, err := flavorFor(version)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	c.known = f
	c.mu.Unlock()
	return f, nil
}

// isSelf is true of the row of the account that we are logged in as.
const isSelf = "concat(User, '@', Host) = current_user()"

// mariaDB is MariaDB from 10.4 on: accounts are rows of mysql.global_priv, with all that is not a name in a JSON document.
type mariaDB struct{}

func (mariaDB) usersQuery(restrict string) string {
	return "select User, Host, " + isSelf + ", Priv from mysql.global_priv where " + restrict
}

// globalPriv is the part of the document that we read.
type globalPriv struct {
	Access         uint64       `json:"access"`
	Plugin         string       `json:"plugin"`
	Stored         string       `json:"authentication_string"`
	Or             []globalPriv `json:"auth_or"`
	Locked         bool         `json:"account_locked"`
	IsRole         bool         `json:"is_role"`
	DefaultRole    string       `json:"default_role"`
	MaxConnections int          `json:"max_user_connections"`
}

func (mariaDB) scanUser(rows *sql.Rows) (user, error) {
	var u user
	var text string
	if err := rows.Scan(&u.user, &u.host, &u.self, &text); err != nil {
		return user{}, err
	}
	var priv globalPriv
	if err := json.Unmarshal([]byte(text), &priv); err != nil {
		return user{}, fmt.Errorf("the row of %q in mysql.global_priv is not what it should be: %w", u.who, err)
	}
	u.locked, u.isRole, u.maxConnections = priv.Locked, priv.IsRole, priv.MaxConnections
	u.defaultRole, u.access = priv.DefaultRole, priv.Access
	if u.isRole {
		return u, nil
	}
	own := method{orDefault(priv.Plugin, pluginNative), priv.Stored}
	if len(priv.Or) == 0 {
		u.methods = []method{own}
	}
	for _, other := range priv.Or {
		if other.Plugin == "" { // The empty one stands for the method outside the list.
			u.methods = append(u.methods, own)
			continue
		}
		u.methods = append(u.methods, method{other.Plugin, other.Stored})
	}
	return u, nil
}

func (mariaDB) rolesQuery(restrict string) string {
	return "select User, Host, Role, '', Admin_option = 'Y' from mysql.roles_mapping where " + restrict
}

func (mariaDB) defaultRolesQuery(string) string { return "" }
func (mariaDB) role(target string) who          { return who{user: target} }
func (mariaDB) roleTarget(w who) string         { return w.user }

func (mariaDB) setDefaultRoles(account who, roles []who) (string, error) {
	switch len(roles) {
	case 0:
		return "set default role none for " + account.sql(), nil
	case 1:
		return "set default role " + roles[0].sql() + " for " + account.sql(), nil
	}
	return "", fmt.Errorf("MariaDB turns on one role at login, and %q would have %d default roles; keep one of them, or grant "+
		"the roles to one role that is the default", account, len(roles))
}

// invalidHash is what MariaDB itself stores for an account that no password fits.
const invalidHash = "invalid"

func (mariaDB) locked() string {
	return " identified via " + pluginNative + " using '" + invalidHash + "'"
}

func (m mariaDB) addPassword(u user, password string) (statement, stored string) {
	added := method{pluginNative, nativeHash(password)}
	return m.setMethods(u, append(u.usable(), added)), added.stored
}

func (m mariaDB) dropPassword(u user, index int) []string {
	usable := u.usable()
	return []string{m.setMethods(u, append(usable[:index:index], usable[index+1:]...))}
}

func (m mariaDB) setMethods(u user, methods []method) string {
	if len(methods) == 0 {
		return "alter user " + u.sql() + m.locked()
	}
	texts := make([]string, len(methods))
	for i, way := range methods {
		texts[i] = ident(way.plugin)
		if way.stored != "" {
			texts[i] += " using " + quote(way.stored)
		}
	}
	return "alter user " + u.sql() + " identified via " + strings.Join(texts, " or ")
}

// oracle is MySQL from 8.0.19 on. An account has a primary password and, while RETAIN CURRENT PASSWORD is in force, a
// secondary one.
type oracle struct{}

func (oracle) usersQuery(restrict string) string {
	return "select User, Host, " + isSelf + ", plugin, authentication_string, account_locked = 'Y', max_user_connections, " +
		"coalesce(json_unquote(json_extract(User_attributes, '$.additional_password')), '') from mysql.user where " + restrict
}

func (oracle) scanUser(rows *sql.Rows) (user, error) {
	var u user
	var primary method
	var stored sql.NullString
	var secondary string
	err := rows.Scan(&u.user, &u.host, &u.self, &primary.plugin, &stored, &u.locked, &u.maxConnections, &secondary)
	primary.stored = stored.String
	u.methods = []method{primary}
	if secondary != "" && secondary != primary.stored { // They are equal after a dropPassword that was killed between its statements.
		u.methods = append(u.methods, method{primary.plugin, secondary})
	}
	return u, err
}

func (oracle) rolesQuery(restrict string) string {
	restrict = strings.NewReplacer("User", "TO_USER", "Host", "TO_HOST").Replace(restrict)
	return "select TO_USER, TO_HOST, FROM_USER, FROM_HOST, WITH_ADMIN_OPTION = 'Y' from mysql.role_edges where " + restrict
}

func (oracle) defaultRolesQuery(restrict string) string {
	return "select USER, HOST, DEFAULT_ROLE_USER, DEFAULT_ROLE_HOST from mysql.default_roles where " + restrict
}

func (oracle) role(target string) who  { return parseWho(target) }
func (oracle) roleTarget(w who) string { return w.String() }

func (oracle) setDefaultRoles(account who, roles []who) (string, error) {
	list := make([]string, len(roles))
	for i, r := range roles {
		list[i] = r.sql()
	}
	if len(list) == 0 {
		list = []string{"none"}
	}
	return "set default role " + strings.Join(list, ", ") + " to " + account.sql(), nil
}

// noPassword has the form of a hash (method, rounds, salt, digest), and its salt says that it is none.
var noPassword = "$A$005$" + "NHI.NO.PASSWORD.....N" + strings.Repeat(".", 42)

func (oracle) locked() string { return " identified with " + pluginSHA2 + " as '" + noPassword + "'" }

// addPassword sends the password itself, over TLS: RETAIN CURRENT PASSWORD takes no hash. MySQL keeps passwords out of its
// logs. It names the account's own plugin: without a name the manual promises the default one, and a secondary password does
// not outlive a change of plugin.
func (oracle) addPassword(u user, password string) (statement, stored string) {
	if primary := u.methods[0]; primary.usable() {
		return "alter user " + u.sql() + " identified with " + ident(primary.plugin) + " by " + quote(password) +
			" retain current password", ""
	}
	return "alter user " + u.sql() + " identified with " + pluginSHA2 + " by " + quote(password), ""
}

// dropPassword puts the secondary password in the place of a primary one that goes. A void one there would not do: it has
// another plugin than some accounts, and MySQL discards the secondary password when the plugin changes ("ALTER USER Statement").
func (o oracle) dropPassword(u user, index int) []string {
	usable := u.usable()
	discard := "alter user " + u.sql() + " discard old password"
	switch {
	case usable[index] != u.methods[0]:
		return []string{discard}
	case len(usable) == 1:
		return []string{"alter user " + u.sql() + o.locked()}
	}
	other := usable[1-index]
	return []string{"alter user " + u.sql() + " identified with " + ident(other.plugin) + " as " + quote(other.stored), discard}
}

// flavorFor reads what the server says of itself: "8.0.36", "10.11.6-MariaDB-log".
func flavorFor(version string) (flavor, error) {
	numbers, _, _ := strings.Cut(version, "-")
	parts := strings.Split(numbers, ".")
	number := 0
	for i := range 3 {
		n := 0
		if i < len(parts) {
			n, _ = strconv.Atoi(parts[i])
		}
		number = number*100 + min(n, 99)
	}
	switch maria := strings.Contains(version, "MariaDB"); {
	case maria && number >= 100400:
		return mariaDB{}, nil
	case !maria && number >= 80019:
		return oracle{}, nil
	}
	return nil, fmt.Errorf("the server calls itself %q; this driver knows MySQL from 8.0.19 and MariaDB from 10.4 on", version)
}
