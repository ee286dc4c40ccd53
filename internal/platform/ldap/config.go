// Package ldap manages non-human identities in LDAP directories: OpenLDAP (dialect "openldap") and Active Directory
// (dialect "active_directory"). An account is an entry with a password, an entitlement its direct membership in a group.
package ldap

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"sync"
	"time"

	goldap "github.com/go-ldap/ldap/v3"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/platform/internal/rest"
	"github.com/nhi-labs/terraform-provider-nhi/internal/secret"
)

// Dialect names a family of servers.
type Dialect string

// The dialects.
const (
	// OpenLDAP is slapd 2.4 and later.
	OpenLDAP Dialect = "openldap"
	// ActiveDirectory is a domain controller of Active Directory, or Samba as one.
	ActiveDirectory Dialect = "active_directory"
)

const (
	defaultConnectTimeout = 10 * time.Second
	defaultConnections    = 6
	// defaultPageSize is below the 1,000 of Active Directory's MaxPageSize.
	defaultPageSize = 500
)

// Object classes that accounts of OpenLDAP can be made with, and schemes that their passwords can be stored in.
const (
	ClassInetOrgPerson = "inetOrgPerson"
	ClassAccount       = "account"

	SchemeSSHA    = "SSHA"
	SchemeSSHA512 = "SSHA512"
)

// Config says how to reach one directory and where in it accounts and groups are.
type Config struct {
	Dialect Dialect
	// URL is ldaps://host[:port] or ldap://host[:port].
	URL string
	// StartTLS turns an ldap:// connection into one with TLS before anything is sent.
	StartTLS bool
	// AllowPlain lets passwords travel without TLS to other hosts than this machine. Active Directory sets no passwords
	// over such a connection.
	AllowPlain bool
	// CAFile is the path of the authorities that may sign the server's certificate; "" means those of the system.
	CAFile string
	// BindDN and Password are what the provider logs in with. Active Directory also takes name@domain.
	BindDN   string
	Password secret.Value
	// BaseDN is the entry below which accounts are made and looked for.
	BaseDN string
	// GroupsDN is the entry of OpenLDAP below which groups are; "" means the suffix above BaseDN. Active Directory itself
	// knows of what groups an account is a member.
	GroupsDN string
	// ObjectClass is what new accounts of OpenLDAP are: ClassInetOrgPerson (the default) or ClassAccount.
	ObjectClass string
	// PasswordScheme is how OpenLDAP stores the passwords that are made here: SchemeSSHA (the default), which every slapd
	// verifies, or SchemeSSHA512, for which slapd needs its module pw-sha2.
	PasswordScheme string
	// PlaceholderMember is the DN that stays in a group of OpenLDAP that must not be empty; "" means the group's own.
	PlaceholderMember string
	// PageSize is how many entries to ask for at once, 500 if it is not set.
	PageSize int
	// MaxConnections bounds the connections to the server, 6 if it is not set.
	MaxConnections int
	// ConnectTimeout bounds one attempt to connect, 10 seconds if it is not set.
	ConnectTimeout time.Duration
}

// client is the driver of one configured platform.
type client struct {
	config  Config
	dialect dialect
	pool    *pool

	mu    sync.Mutex
	known *facts
}

var _ interface {
	driver.Driver
	driver.Suspender
	driver.Sweeper
	driver.Issuer
	driver.Verifier
	driver.BulkExplainer
} = (*client)(nil)

// Open returns the driver of one directory. It does no network I/O.
func Open(cfg Config) (driver.Driver, error) {
	return open(cfg)
}

func open(cfg Config) (*client, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	config, err := tlsConfig(cfg)
	if err != nil {
		return nil, err
	}
	cfg.ConnectTimeout = orDefault(cfg.ConnectTimeout, defaultConnectTimeout)
	cfg.MaxConnections = orDefault(cfg.MaxConnections, defaultConnections)
	cfg.PageSize = orDefault(cfg.PageSize, defaultPageSize)
	cfg.ObjectClass = orDefault(cfg.ObjectClass, ClassInetOrgPerson)
	cfg.PasswordScheme = orDefault(cfg.PasswordScheme, SchemeSSHA)
	c := &client{config: cfg, pool: newPool(cfg, config)}
	if cfg.Dialect == ActiveDirectory {
		c.dialect = &activeDirectory{config: cfg}
	} else {
		c.dialect = &openLDAP{config: cfg}
	}
	return c, nil
}

// check returns an error that says which setting is wrong and what to write instead.
func (cfg Config) check() error {
	if cfg.Dialect != OpenLDAP && cfg.Dialect != ActiveDirectory {
		return fmt.Errorf("unknown dialect %q: write %q or %q", cfg.Dialect, OpenLDAP, ActiveDirectory)
	}
	if err := CheckURL(cfg.URL, cfg.StartTLS, cfg.AllowPlain); err != nil {
		return err
	}
	if cfg.BindDN == "" || cfg.Password.IsZero() {
		return errors.New("bind_dn and password are needed: without them a directory answers as it does to strangers")
	}
	if cfg.BaseDN == "" {
		return errors.New("base_dn is not set")
	}
	for what, dn := range map[string]string{
		"base_dn": cfg.BaseDN, "groups_dn": cfg.GroupsDN, "placeholder_member": cfg.PlaceholderMember,
	} {
		if _, err := goldap.ParseDN(dn); err != nil {
			return fmt.Errorf("%s %q is not a distinguished name such as ou=accounts,dc=example,dc=com: %w", what, dn, err)
		}
	}
	if cfg.Dialect == ActiveDirectory && (cfg.GroupsDN != "" || cfg.PlaceholderMember != "" || cfg.ObjectClass != "" ||
		cfg.PasswordScheme != "") {
		return fmt.Errorf("groups_dn, placeholder_member, object_class and password_scheme are for %q; leave them out", OpenLDAP)
	}
	return cfg.checkChoices()
}

func (cfg Config) checkChoices() error {
	switch cfg.ObjectClass {
	case "", ClassInetOrgPerson, ClassAccount:
	default:
		return fmt.Errorf("unknown object_class %q: write %q or %q", cfg.ObjectClass, ClassInetOrgPerson, ClassAccount)
	}
	switch cfg.PasswordScheme {
	case "", SchemeSSHA, SchemeSSHA512:
	default:
		return fmt.Errorf("unknown password_scheme %q: write %q or %q", cfg.PasswordScheme, SchemeSSHA, SchemeSSHA512)
	}
	if cfg.PageSize < 0 || cfg.PageSize > 10_000 || cfg.MaxConnections < 0 || cfg.MaxConnections > 100 {
		return errors.New("the page size must be 1 to 10000 and the number of connections 1 to 100")
	}
	return nil
}

// CheckURL refuses what is no LDAP URL, and a connection to another machine without TLS unless it is allowed.
func CheckURL(text string, startTLS, allowPlain bool) error {
	u, err := url.Parse(text)
	if err != nil || u.Hostname() == "" || (u.Scheme != "ldap" && u.Scheme != "ldaps") || (u.Path != "" && u.Path != "/") {
		return fmt.Errorf("%q is not the address of a directory, such as ldaps://ldap.example.com:636", text)
	}
	if u.User != nil {
		return errors.New("the address holds a user name or password; use bind_dn and password")
	}
	if u.Scheme == "ldaps" && startTLS {
		return errors.New("start_tls is for ldap:// addresses; ldaps:// has TLS from the beginning")
	}
	ip := net.ParseIP(u.Hostname())
	loopback := u.Hostname() == "localhost" || (ip != nil && ip.IsLoopback())
	if u.Scheme == "ldap" && !startTLS && !allowPlain && !loopback {
		return errors.New("plain ldap:// sends passwords readable over the network; use ldaps:// or start_tls = true, or set " +
			"allow_plain = true if the connection is protected otherwise")
	}
	return nil
}

func tlsConfig(cfg Config) (*tls.Config, error) {
	u, err := url.Parse(cfg.URL)
	if err != nil {
		return nil, err
	}
	return rest.TLS{CAFile: cfg.CAFile, ServerName: u.Hostname()}.Config()
}

func orDefault[T comparable](value, otherwise T) T {
	if value == *new(T) {
		return otherwise
	}
	return value
}

// Close closes all connections.
func (c *client) Close() error {
	c.pool.close()
	return nil
}
