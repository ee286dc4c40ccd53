// Package scim drives systems that speak SCIM 2.0 (RFC 7643, RFC 7644, cursor paging of RFC 9865): accounts are Users,
// entitlements are direct group memberships and the values of a User's roles and entitlements. What a service leaves
// out (PATCH, filters, User.groups, ETags) is made up for where that is safe, and is an error where it is not.
package scim

import (
	"fmt"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
	"github.com/nhi-labs/terraform-provider-nhi/internal/platform/internal/rest"
	"github.com/nhi-labs/terraform-provider-nhi/internal/secret"
)

// Dialect names a family of services with rules beyond the standard.
type Dialect string

// The dialects.
const (
	// Standard is plain SCIM 2.0.
	Standard Dialect = ""
	// SAPCloudIdentity is the Identity Directory of SAP Cloud Identity Services.
	SAPCloudIdentity Dialect = "sap_cloud_identity"
)

// The settings of an account.
const (
	settingEmail       = "email"
	settingDisplayName = "display_name"
	settingUserType    = "user_type"
)

const (
	defaultPageSize    = 100
	defaultEmailDomain = "nhi.invalid"
	maxNameLength      = 255
)

// Auth, ClientCredentials and TLS are those of every HTTP platform.
type (
	Auth              = rest.Auth
	ClientCredentials = rest.ClientCredentials
	TLS               = rest.TLS
)

// Config configures one SCIM service.
type Config struct {
	// URL is the base URL, to which "/Users" is appended.
	URL     string
	Dialect Dialect
	Auth    Auth
	TLS     TLS
	// PageSize is how many resources to ask for at once, 0 is 100. The service may give fewer.
	PageSize int
	// Timeout bounds one request, 0 is ten minutes.
	Timeout time.Duration
	// UserAgent names this program to the service.
	UserAgent string
	// EmailDomain is the domain of the address of accounts made without the setting "email" where the dialect requires
	// one. "" is a domain that can never receive mail.
	EmailDomain string
	// AllowPlainHTTP lets credentials travel over http:// to hosts other than this machine.
	AllowPlainHTTP bool
}

// Driver is one SCIM service.
type Driver struct {
	config   Config
	rest     *rest.Client
	features rest.Shared[features]
	// noPatch is set when a service that announces PATCH refuses the method.
	noPatch atomic.Bool
	// groupsSeen is set once a User came with groups: then a User without them has none. An empty attribute is no proof:
	// some services send it and leave it empty for everybody.
	groupsSeen atomic.Bool
	// membersSeen is set once a list of groups came with members: then a group that a list shows without them is empty.
	membersSeen atomic.Bool
	// locks serialises our own changes of one resource: services lose concurrent changes of one group.
	locks rest.Locks
}

// Open makes a driver. It does no network I/O.
func Open(config Config) (*Driver, error) {
	if config.Dialect != Standard && config.Dialect != SAPCloudIdentity {
		return nil, fmt.Errorf("unknown dialect %q: leave it out for standard SCIM 2.0, or write %q", config.Dialect, SAPCloudIdentity)
	}
	if config.PageSize < 0 {
		return nil, fmt.Errorf("the page size %d is negative", config.PageSize)
	}
	if config.PageSize == 0 {
		config.PageSize = defaultPageSize
	}
	if config.EmailDomain == "" {
		config.EmailDomain = defaultEmailDomain
	}
	client, err := rest.New(rest.Config{
		BaseURL: config.URL, Auth: config.Auth, TLS: config.TLS, Timeout: config.Timeout, UserAgent: config.UserAgent,
		MediaType: mediaType, AllowPlainHTTP: config.AllowPlainHTTP,
	})
	if err != nil {
		return nil, err
	}
	return &Driver{config: config, rest: client}, nil
}

// Close releases connections.
func (d *Driver) Close() error {
	d.rest.Close()
	return nil
}

// Secrets returns every secret that the driver was opened with, for redaction.
func (d *Driver) Secrets() []secret.Value { return d.rest.Secrets() }

func (d *Driver) isSAP() bool { return d.config.Dialect == SAPCloudIdentity }

// Spec describes the kind in a dialect.
func Spec(dialect Dialect) driver.Spec {
	spec := driver.Spec{
		Kind: "scim", Title: "SCIM 2.0", Evidence: "real server",
		Grammar:          nhi.Grammar{Types: entitlementTypes()},
		Capabilities:     []driver.Capability{driver.CanSuspend, driver.CanSweep, driver.CanExplain},
		CheckAccountName: checkName,
		Settings: []driver.Setting{
			{Name: settingEmail, Description: "The primary e-mail address."},
			{Name: settingDisplayName, Description: "The name shown to people."},
			{Name: settingUserType, Description: "The service's own classification of the user (`userType`)."},
		},
	}
	if dialect == SAPCloudIdentity {
		spec.Title, spec.Evidence = "SAP Cloud Identity Services", "checked fake"
		// The extension schema has validTo.
		spec.NativeExpiry = true
	}
	return spec
}

func entitlementTypes() []nhi.EntitlementType {
	return []nhi.EntitlementType{
		{
			Name:        typeGroup,
			Description: "Direct membership in the group with this `displayName`, in exactly its spelling.",
			Example:     "group:Billing Viewers",
		},
		{Name: typeRole, Description: "A value of the user's `roles`.", Example: "role:auditor"},
		{Name: typeEntitlement, Description: "A value of the user's `entitlements`.", Example: "entitlement:invoices.read"},
	}
}

// checkName refuses what would not fit into the URL of a lookup everywhere. Upper and lower case are the same account
// to a SCIM service; the spelling is kept.
func checkName(name string) error {
	if n := utf8.RuneCountInString(name); n > maxNameLength {
		return fmt.Errorf("it has %d characters; use at most %d", n, maxNameLength)
	}
	return nil
}
