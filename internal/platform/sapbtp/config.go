// Package sapbtp drives one subaccount (or directory, or global account) of SAP BTP through the APIs of the SAP
// Authorization and Trust Management service (XSUAA): an account is a shadow user of one identity provider, an
// entitlement is a role collection. The user management is that of Cloud Foundry's UAA: SCIM 1.1, with role collections
// as its groups. Credentials are service bindings of one service instance, by the Service Manager API.
//
// Sources: "Accessing Administration Using APIs of the SAP Authorization and Trust Management Service" and "Rate
// Limiting" (SAP Help Portal), the UAA API reference, and the Service Manager API specification.
package sapbtp

import (
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
	"github.com/nhi-labs/terraform-provider-nhi/internal/platform/internal/rest"
	"github.com/nhi-labs/terraform-provider-nhi/internal/secret"
)

const (
	typeRoleCollection = "role_collection"
	settingEmail       = "email"
	defaultOrigin      = "sap.default"
	maxNameLength      = 255
	// maxTargetLength is how long the name of a role collection can be.
	maxTargetLength = 64
)

// API is one of the service's APIs, with how to log in there: a client secret, or the client certificate alone.
type API struct {
	// URL is the API's base URL: "apiurl" in the credentials of a binding with the plan apiaccess.
	URL string
	// TokenURL is where tokens come from: "url" there with "/oauth/token", or "certurl" for a certificate.
	TokenURL     string
	ClientID     string
	ClientSecret secret.Value
	// CertFile and KeyFile are the client certificate (X.509) and its key.
	CertFile, KeyFile string
}

// Config configures one subaccount.
type Config struct {
	API
	// Origin is the origin key of the identity provider whose shadow users are managed; "" is SAP's default one.
	Origin string
	// Upper is the same API of the level above, whose user of the same name makes a deleted shadow user come back at the
	// next logon. Nil: it is not reachable, and Probe says so.
	Upper *API
	// Bindings is the Service Manager API; nil: accounts have no credentials.
	Bindings *Bindings
	// CAFile is a file with the authorities to trust instead of the system's.
	CAFile         string
	Timeout        time.Duration
	UserAgent      string
	PageSize       int
	AllowPlainHTTP bool
}

// Bindings says which service instance gives accounts their credentials.
type Bindings struct {
	API
	// InstanceID is the instance. All accounts share it: what its clients may do is the instance's business.
	InstanceID string
}

// Driver is one subaccount.
type Driver struct {
	config   Config
	users    *rest.Client
	upper    *rest.Client // nil if it is not configured
	bindings *rest.Client // nil likewise
	// logins asks for tokens as the accounts do.
	logins *rest.Client
	locks  rest.Locks
}

// Open makes a driver. It does no network I/O.
func Open(config Config) (*Driver, error) {
	if config.Origin == "" {
		config.Origin = defaultOrigin
	}
	if config.PageSize == 0 {
		config.PageSize = 100
	}
	if config.PageSize < 2 {
		return nil, fmt.Errorf("the page size %d is too small: pages overlap by one user", config.PageSize)
	}
	d := &Driver{config: config}
	var err error
	if d.users, err = config.client(config.API); err != nil {
		return nil, err
	}
	if config.Upper != nil {
		if d.upper, err = config.client(*config.Upper); err != nil {
			return nil, fmt.Errorf("the level above: %w", err)
		}
	}
	if config.Bindings == nil {
		return d, nil
	}
	if config.Bindings.InstanceID == "" {
		return nil, errors.New("the Service Manager needs the id of the service instance whose bindings are the credentials")
	}
	if d.bindings, err = config.client(config.Bindings.API); err != nil {
		return nil, fmt.Errorf("the Service Manager: %w", err)
	}
	d.logins, err = rest.New(rest.Config{
		BaseURL: config.TokenURL, TLS: rest.TLS{CAFile: config.CAFile}, Timeout: config.Timeout, UserAgent: config.UserAgent,
		AllowPlainHTTP: config.AllowPlainHTTP,
	})
	return d, err
}

func (c Config) client(api API) (*rest.Client, error) {
	if api.ClientSecret.IsZero() && api.CertFile == "" {
		return nil, errors.New("no way to log in: give a client secret, or a client certificate and its key")
	}
	return rest.New(rest.Config{
		BaseURL: api.URL, Timeout: c.Timeout, UserAgent: c.UserAgent, AllowPlainHTTP: c.AllowPlainHTTP,
		TLS:  rest.TLS{CAFile: c.CAFile, CertFile: api.CertFile, KeyFile: api.KeyFile},
		Auth: rest.Auth{OAuth2: &rest.ClientCredentials{TokenURL: api.TokenURL, ClientID: api.ClientID, ClientSecret: api.ClientSecret}},
	})
}

func (d *Driver) clients() []*rest.Client {
	var all []*rest.Client
	for _, c := range []*rest.Client{d.users, d.upper, d.bindings, d.logins} {
		if c != nil {
			all = append(all, c)
		}
	}
	return all
}

// Close releases connections.
func (d *Driver) Close() error {
	for _, c := range d.clients() {
		c.Close()
	}
	return nil
}

// Secrets returns every secret that the driver was opened with, for redaction.
func (d *Driver) Secrets() []secret.Value {
	var all []secret.Value
	for _, c := range d.clients() {
		all = append(all, c.Secrets()...)
	}
	return all
}

// Spec describes the kind.
func Spec() driver.Spec {
	return driver.Spec{
		Kind: "sap_btp", Title: "SAP BTP", Evidence: "checked fake",
		Grammar: nhi.Grammar{Types: []nhi.EntitlementType{{
			Name: typeRoleCollection, Example: typeRoleCollection + ":Billing Viewer",
			Description: "The role collection with this name is assigned to the user directly. What comes through a mapping of groups " +
				"of the identity provider is not among them.",
			Canonical: func(e nhi.Entitlement) (nhi.Entitlement, error) {
				if utf8.RuneCountInString(e.Target) > maxTargetLength {
					return e, fmt.Errorf("the name of a role collection has at most %d characters", maxTargetLength)
				}
				return e, nil
			},
		}}},
		Capabilities: []driver.Capability{driver.CanSweep, driver.CanIssue, driver.CanVerify, driver.CanExplain},
		NameHolds:    true,
		CheckAccountName: func(name string) error {
			if n := utf8.RuneCountInString(name); n > maxNameLength {
				return fmt.Errorf("it has %d characters; use at most %d", n, maxNameLength)
			}
			return nil
		},
		Settings: []driver.Setting{{Name: settingEmail, Description: "The user's e-mail address. Default: the name, if it is an " +
			"address, else one that never receives mail."}},
	}
}
