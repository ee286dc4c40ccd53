// Package mysql manages non-human identities as accounts of a MySQL server (8.0.19 and later) or a MariaDB server (10.4 and
// later).
//
// An account is what the server calls one: a user name and a pattern of hosts that it may come from. Neither server has a
// place of its own for an ownership mark on every version, nor an id that survives a restart, so both stand in a small schema
// that an administrator makes once (examples/platforms/mysql/schema.sql).
package mysql

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"strconv"
	"sync"
	"time"

	mysqlclient "github.com/go-sql-driver/mysql"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/secret"
)

const (
	defaultPort           = 3306
	defaultConnectTimeout = 10 * time.Second
	defaultConnections    = 8
	defaultSchema         = "nhi"
)

// Config says how to reach one server.
type Config struct {
	Host string
	// Port defaults to 3306.
	Port     int
	Username string
	Password secret.Value
	// PlainText connects without TLS. For a host other than this machine it also takes AllowPlainText.
	PlainText, AllowPlainText bool
	// CAFile is the path of the authorities that may have signed the server's certificate; "" means those of the system.
	CAFile string
	// Schema is the database with the tables of schema.sql, "nhi" if it is not set.
	Schema string
	// ConnectTimeout bounds one attempt to connect, 10 seconds if it is not set.
	ConnectTimeout time.Duration
	// MaxConnections bounds the connections, 8 if it is not set.
	MaxConnections int
}

// client is the driver of one configured platform.
type client struct {
	// config makes connections. It is behind a function because it holds the password, and printing a driver must not.
	config func() *mysqlclient.Config
	db     *sql.DB
	schema string

	mu    sync.Mutex
	known flavor
}

var _ interface {
	driver.Driver
	driver.Suspender
	driver.Sweeper
	driver.Issuer
	driver.Verifier
	driver.SessionEnder
	driver.Explainer
} = (*client)(nil)

// Open returns the driver of one server. It reads the file of authorities, and does no network I/O.
func Open(cfg Config) (driver.Driver, error) {
	config, err := clientConfig(cfg)
	if err != nil {
		return nil, err
	}
	hidden := func() *mysqlclient.Config { return config.Clone() }
	db := sql.OpenDB(connector{hidden})
	db.SetMaxOpenConns(orDefault(cfg.MaxConnections, defaultConnections))
	db.SetMaxIdleConns(orDefault(cfg.MaxConnections, defaultConnections))
	db.SetConnMaxIdleTime(time.Minute)
	return &client{config: hidden, db: db, schema: orDefault(cfg.Schema, defaultSchema)}, nil
}

func clientConfig(cfg Config) (*mysqlclient.Config, error) {
	switch {
	case cfg.Host == "" || cfg.Username == "":
		return nil, errors.New("the host and the user name of a MySQL platform must be set")
	case cfg.Port < 0 || cfg.Port > 65535 || cfg.MaxConnections < 0 || cfg.MaxConnections > 1000:
		return nil, errors.New("the port must be 1 to 65535 and the number of connections 1 to 1000")
	case cfg.PlainText && cfg.CAFile != "":
		return nil, errors.New("without TLS there is no use for a file of certificate authorities: remove one of the two")
	case cfg.PlainText && !cfg.AllowPlainText && !isLoopback(cfg.Host):
		return nil, fmt.Errorf("the connection to %q would be unencrypted: use TLS", cfg.Host)
	}
	config := mysqlclient.NewConfig()
	config.Net, config.Addr = "tcp", net.JoinHostPort(cfg.Host, strconv.Itoa(orDefault(cfg.Port, defaultPort)))
	config.User, config.Passwd = cfg.Username, cfg.Password.Reveal()
	config.Timeout = orDefault(cfg.ConnectTimeout, defaultConnectTimeout)
	config.InterpolateParams = true // One round trip per query; safe with utf8mb4.
	config.Collation = "utf8mb4_general_ci"
	// What an administrator has set for all sessions must change neither what our statements mean nor how texts are quoted.
	config.Params = map[string]string{"sql_mode": "'STRICT_ALL_TABLES'", "time_zone": "'+00:00'"}
	config.Logger = log.New(io.Discard, "", 0) // Every error is returned, too.
	if cfg.PlainText {
		return config, nil
	}
	config.TLS = &tls.Config{MinVersion: tls.VersionTLS12, ServerName: cfg.Host}
	if cfg.CAFile != "" {
		text, err := os.ReadFile(cfg.CAFile)
		if err != nil {
			return nil, fmt.Errorf("read the certificate authorities: %w", err)
		}
		config.TLS.RootCAs = x509.NewCertPool()
		if !config.TLS.RootCAs.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("%s holds no PEM certificate", cfg.CAFile)
		}
	}
	return config, nil
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func orDefault[T comparable](value, otherwise T) T {
	if value == *new(T) {
		return otherwise
	}
	return value
}

// Close waits for running calls and closes all connections.
func (c *client) Close() error { return c.db.Close() }

// querier is a pool or one connection.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}
