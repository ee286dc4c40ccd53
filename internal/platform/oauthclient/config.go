// Package oauthclient drives the clients of an OAuth 2.0 authorization server through dynamic client registration
// (RFC 7591) and its management protocol (RFC 7592). An account is a client; it may use the client credentials grant.
//
// The protocol has no list and no look-up by name, and each client is managed with a registration access token of its
// own. So the driver keeps a registry: one entry per client in a secret store (registry.go). The registry is part of
// the platform: a client that it does not hold is no account here.
package oauthclient

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"sync/atomic"
	"time"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
	"github.com/nhi-labs/terraform-provider-nhi/internal/platform/internal/rest"
	"github.com/nhi-labs/terraform-provider-nhi/internal/secret"
)

// The ways in which clients prove who they are.
const (
	// PrivateKeyJWT gives a client keys of its own (RFC 7523). Several work at the same time.
	PrivateKeyJWT = "private_key_jwt"
	// ClientSecret gives a client one secret that the server chooses.
	ClientSecret = "client_secret_basic"
)

const (
	// keySlots is this driver's own limit of keys per client; a rotation needs two.
	keySlots = 5
	// defaultPlaceholder is what a client without scopes is registered with.
	defaultPlaceholder = "openid"
)

// The entitlement types.
const (
	typeScope   = "scope"
	typeDefault = "default"
	// defaultScopes is the target of the one entitlement of typeDefault.
	defaultScopes = "scopes"
)

// TLS is that of every HTTP platform.
type TLS = rest.TLS

// Config configures one authorization server.
type Config struct {
	// Issuer is the server's issuer identifier (RFC 8414): its metadata is found from there, and every endpoint has to
	// be on the same host.
	Issuer string
	// InitialAccessToken allows to register clients (RFC 7591, section 3). Zero: the server asks for none.
	InitialAccessToken secret.Value
	// Registry keeps the registration access tokens, below RegistryPath.
	Registry     Registry
	RegistryPath string
	// ClientAuth is PrivateKeyJWT or ClientSecret; "" is PrivateKeyJWT.
	ClientAuth string
	// Placeholder is the scope of a client that holds none. It must exist and open nothing. "" is "openid".
	Placeholder string
	TLS         TLS
	// Timeout bounds one request, 0 is ten minutes.
	Timeout time.Duration
	// SaveTimeout is how long a registry that fails is asked to take a new token, 0 is two minutes.
	SaveTimeout time.Duration
	UserAgent   string
	// AllowPlainHTTP lets credentials travel over http:// to hosts other than this machine.
	AllowPlainHTTP bool
}

// Driver is one authorization server with its registry.
type Driver struct {
	config Config
	// registrar carries the initial access token; bare carries what each request brings along.
	registrar, bare *rest.Client
	server          rest.Shared[server]
	locks           rest.Locks
	// written is set once the registry was, or could have been, written.
	written atomic.Bool
}

// Open makes a driver. It does no network I/O.
func Open(config Config) (*Driver, error) {
	if config.ClientAuth == "" {
		config.ClientAuth = PrivateKeyJWT
	}
	if config.Placeholder == "" {
		config.Placeholder = defaultPlaceholder
	}
	if config.SaveTimeout == 0 {
		config.SaveTimeout = saveTimeout
	}
	config.Issuer = strings.TrimRight(config.Issuer, "/")
	issuer, err := url.Parse(config.Issuer)
	switch {
	case err != nil || issuer.Host == "":
		return nil, errors.New("the issuer is not a complete URL: write for example https://login.example.com")
	case config.ClientAuth != PrivateKeyJWT && config.ClientAuth != ClientSecret:
		return nil, fmt.Errorf("unknown way %q for clients to log in: write %q or %q", config.ClientAuth, PrivateKeyJWT, ClientSecret)
	case config.Registry == nil || strings.Trim(config.RegistryPath, "/") == "":
		return nil, errors.New("a registry is needed: a secret store and a path in it, where the registration access tokens are kept")
	case checkScope(config.Placeholder) != nil:
		return nil, fmt.Errorf("%q cannot be the placeholder scope: %w", config.Placeholder, checkScope(config.Placeholder))
	}
	config.RegistryPath = strings.Trim(config.RegistryPath, "/")
	// Userinfo, query and fragment stay in, so that the client refuses them.
	base := *issuer
	base.Path, base.RawPath = "", ""
	shared := rest.Config{
		BaseURL: base.String(), TLS: config.TLS, Timeout: config.Timeout, UserAgent: config.UserAgent, AllowPlainHTTP: config.AllowPlainHTTP,
	}
	d := &Driver{config: config}
	if d.bare, err = rest.New(shared); err != nil {
		return nil, err
	}
	shared.Auth.Bearer = config.InitialAccessToken
	d.registrar, err = rest.New(shared)
	return d, err
}

// Close releases connections.
func (d *Driver) Close() error {
	d.bare.Close()
	d.registrar.Close()
	return nil
}

// Secrets returns every secret that the driver was opened with, for redaction.
func (d *Driver) Secrets() []secret.Value { return d.registrar.Secrets() }

// Spec describes the kind.
func Spec() driver.Spec {
	return driver.Spec{
		Kind: "oauth_client", Title: "OAuth 2.0 client", Evidence: "real server",
		Grammar: nhi.Grammar{Types: []nhi.EntitlementType{
			{
				Name: typeScope, Description: "The client may ask for this scope.", Example: "scope:tickets:read",
				Canonical: func(e nhi.Entitlement) (nhi.Entitlement, error) { return e, checkScope(e.Target) },
			},
			{
				Name: typeDefault, Example: typeDefault + ":" + defaultScopes,
				Description: "The registration names no scopes, so the server's own default applies: on many servers, every scope.",
				Observed:    "name the scopes instead",
			},
		}},
		Capabilities:     []driver.Capability{driver.CanIssue, driver.CanVerify},
		CredentialsOnly:  true,
		CheckAccountName: checkName,
	}
}

// scopePattern is scope-token of RFC 6749, section 3.3.
var scopePattern = regexp.MustCompile(`^[\x21\x23-\x5B\x5D-\x7E]+$`)

func checkScope(scope string) error {
	if scopePattern.MatchString(scope) {
		return nil
	}
	return errors.New("a scope consists of printable ASCII characters without space, '\"' and '\\'")
}

// namePattern is what every secret store takes as the last part of a path.
var namePattern = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9._-]{0,127}$`)

func checkName(name string) error {
	if namePattern.MatchString(name) && !strings.Contains(name, "..") {
		return nil
	}
	return errors.New("use 1 to 128 letters, digits, '_', '-' or single '.', beginning with a letter or digit: the name is part of " +
		"the path of the client's entry in the registry")
}
