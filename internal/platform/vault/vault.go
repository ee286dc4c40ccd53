// Package vault drives HashiCorp Vault. An account is an AppRole role together with the identity entity behind it: the
// role is how the account logs in, the entity holds what it may do. The two are tied by an alias of the entity on the
// AppRole mount whose name is the role id.
//
// Everything that this driver makes has one id: the entity id, which it also sets as the role id and so as the alias
// name. An account's ID is its role id, which for an AppRole that somebody else made stays the same when it is adopted.
package vault

import (
	"context"
	"time"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/secret"
)

// Config is what a driver is opened with. Nothing else counts: no VAULT_* variable of the environment is used.
type Config struct {
	// Address is the URL of the server, with the scheme.
	Address string
	// Namespace is the namespace that all paths are in; "" is the root namespace.
	Namespace string
	// Token is the admin token. If it is zero, RoleID and SecretID log in through AppRole.
	Token secret.Value
	// RoleID and SecretID are the AppRole credentials of the admin. The token that they give is revoked by Close.
	RoleID   string
	SecretID secret.Value
	// LoginMount is where RoleID and SecretID log in; default is AppRoleMount.
	LoginMount string
	// AppRoleMount is the path of the AppRole auth method that holds the accounts, without "auth/"; default "approle".
	AppRoleMount string
	// CACertFile is a PEM file of the authorities to trust instead of the system's.
	CACertFile string
	// ClientCertFile and ClientKeyFile are a PEM key pair that the driver presents.
	ClientCertFile, ClientKeyFile string
	// TLSServerName is the name expected in the server's certificate, if it is not the host of Address.
	TLSServerName string
	// Timeout ends a single request; default is a minute.
	Timeout time.Duration
}

const (
	defaultMount   = "approle"
	defaultTimeout = time.Minute
)

// vaultDriver implements driver.Driver, Suspender, Lister, Issuer, Verifier, SessionEnder, SecretStore, TokenMinter and
// Explainer.
type vaultDriver struct {
	conn *connection
	// approle is the path of the AppRole mount, "auth/approle".
	approle string
	// lockPrefix names this system in the keys of locks.
	lockPrefix string
	mount      cached[mountInfo]
}

// Open returns a driver for cfg. It reads the certificate files and does no network I/O.
func Open(cfg Config) (driver.Driver, error) {
	if cfg.AppRoleMount == "" {
		cfg.AppRoleMount = defaultMount
	}
	if cfg.LoginMount == "" {
		cfg.LoginMount = cfg.AppRoleMount
	}
	if cfg.Timeout <= 0 {
		cfg.Timeout = defaultTimeout
	}
	conn, err := newConnection(cfg)
	if err != nil {
		return nil, err
	}
	return &vaultDriver{
		conn:       conn,
		approle:    "auth/" + cfg.AppRoleMount,
		lockPrefix: cfg.Address + "|" + cfg.Namespace + "|",
	}, nil
}

// Close ends the driver's own login, if it logged in itself, and releases connections.
func (d *vaultDriver) Close() error { return d.conn.close() }

// lock serialises read-modify-write of one object ("entity:<id>") in this process: Vault's identity store replaces
// whole lists and has no check-and-set.
func (d *vaultDriver) lock(ctx context.Context, object string) (func(), error) {
	return objectLocks.Lock(ctx, d.lockPrefix+object)
}
