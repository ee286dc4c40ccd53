// Package postgresql manages non-human identities as roles of a PostgreSQL cluster, versions 13 and later.
//
// An account is a role without a password that holds the entitlements. Its credentials are up to two login roles that
// are members of it, so that a password can be replaced while the other one works. One configured platform is one
// database: roles, memberships, attributes and rights on databases are those of the whole cluster, all other rights
// those of this database.
package postgresql

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/secret"
)

const (
	defaultPort           = 5432
	defaultSSLMode        = "verify-full"
	defaultConnectTimeout = 10 * time.Second
	defaultConnections    = 8
	defaultApplication    = "terraform-provider-nhi"
)

// Config says how to reach one database of a cluster.
type Config struct {
	Host string
	// Port defaults to 5432.
	Port     int
	Database string
	Username string
	Password secret.Value
	// SSLMode is libpq's sslmode; it defaults to "verify-full".
	SSLMode string
	// SSLRootCert is the path of the authorities that may sign the server's certificate; "" means those of the system.
	SSLRootCert     string
	ApplicationName string
	// ConnectTimeout bounds one attempt to connect, 10 seconds if it is not set.
	ConnectTimeout time.Duration
	// MaxConnections bounds the connections to Database, 8 if it is not set.
	MaxConnections int
	// ReassignOwnedTo names the role that inherits what deleted accounts own, and objects whose ownership is revoked; ""
	// means the role we log in with.
	ReassignOwnedTo string
}

// client is the driver of one configured platform.
type client struct {
	config *pgxpool.Config
	pool   *pgxpool.Pool
	heir   string

	mu    sync.Mutex
	known *facts
	bare  bareNames
}

var _ interface {
	driver.Driver
	driver.Suspender
	driver.Sweeper
	driver.Issuer
	driver.Verifier
	driver.SessionEnder
} = (*client)(nil)

// Open returns the driver of one database. It does no I/O.
func Open(cfg Config) (driver.Driver, error) {
	config, err := poolConfig(cfg)
	if err != nil {
		return nil, err
	}
	pool, err := pgxpool.NewWithConfig(context.Background(), config)
	if err != nil {
		return nil, fmt.Errorf("set up connections to PostgreSQL: %w", err)
	}
	return &client{config: config, pool: pool, heir: cfg.ReassignOwnedTo}, nil
}

func poolConfig(cfg Config) (*pgxpool.Config, error) {
	for what, value := range map[string]string{"host": cfg.Host, "database": cfg.Database, "user name": cfg.Username} {
		if value == "" {
			return nil, fmt.Errorf("the %s of a PostgreSQL platform is not set", what)
		}
	}
	if cfg.Port < 0 || cfg.Port > 65535 || cfg.MaxConnections < 0 || cfg.MaxConnections > 1000 {
		return nil, errors.New("the port must be 1 to 65535 and the number of connections 1 to 1000")
	}
	timeout := orDefault(cfg.ConnectTimeout, defaultConnectTimeout)
	parts := []string{
		"host=" + conninfo(cfg.Host),
		"port=" + strconv.Itoa(orDefault(cfg.Port, defaultPort)),
		"dbname=" + conninfo(cfg.Database),
		"user=" + conninfo(cfg.Username),
		"sslmode=" + conninfo(orDefault(cfg.SSLMode, defaultSSLMode)),
		"application_name=" + conninfo(orDefault(cfg.ApplicationName, defaultApplication)),
	}
	if cfg.SSLRootCert != "" {
		parts = append(parts, "sslrootcert="+conninfo(cfg.SSLRootCert))
	}
	config, err := pgxpool.ParseConfig(strings.Join(parts, " "))
	if err != nil {
		return nil, fmt.Errorf("configure the connection to PostgreSQL: %w", err)
	}
	// Set here, so that the password is in no text that is parsed, and no password file answers in its place.
	config.ConnConfig.Password = cfg.Password.Reveal()
	config.ConnConfig.ConnectTimeout = timeout
	config.ConnConfig.BuildFrontend = boundedFrontend
	config.ConnConfig.OnNotice = keepNotice
	requireTLS12(config.ConnConfig.TLSConfig)
	for _, other := range config.ConnConfig.Fallbacks {
		requireTLS12(other.TLSConfig)
	}
	config.MaxConns = int32(orDefault(cfg.MaxConnections, defaultConnections)) // #nosec G115 -- bounded above.
	return config, nil
}

// requireTLS12 sets what the library leaves to the environment (GODEBUG). Nil is a connection without TLS.
func requireTLS12(config *tls.Config) {
	if config != nil {
		config.MinVersion = tls.VersionTLS12
	}
}

// conninfo quotes a value for a libpq connection string.
func conninfo(value string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(value) + "'"
}

func orDefault[T comparable](value, otherwise T) T {
	if value == *new(T) {
		return otherwise
	}
	return value
}

// Close waits for running calls and closes all connections.
func (c *client) Close() error {
	c.pool.Close()
	return nil
}

// inDatabase runs work on a connection to another database of the cluster, or to our own.
func (c *client) inDatabase(ctx context.Context, database string, work func(beginner) error) error {
	if database == c.config.ConnConfig.Database {
		return work(c.pool)
	}
	config := c.config.ConnConfig.Copy()
	config.Database = database
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx)) //nolint:errcheck // What was to be done is committed or has failed.
	return work(conn)
}
