// Package jira drives one site of Jira Cloud through its REST API, version 3. An account is an Atlassian account that the
// site knows; the API cannot make one. Entitlements are direct memberships in groups and direct roles in projects.
// Suspending needs the user management API of the organization, which is optional.
//
// Sources: Atlassian's published OpenAPI document of the Jira Cloud platform, and the reference of the user management
// API (https://developer.atlassian.com/cloud/admin/user-management/rest/).
package jira

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"time"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
	"github.com/nhi-labs/terraform-provider-nhi/internal/platform/internal/rest"
	"github.com/nhi-labs/terraform-provider-nhi/internal/secret"
)

// The entitlement types.
const (
	typeGroup   = "group"
	typeProject = "project"
	typeProduct = "product"
)

// defaultOrganizationURL is where the user management API is.
const defaultOrganizationURL = "https://api.atlassian.com"

// Config configures one site.
type Config struct {
	// URL is the site: https://example.atlassian.net.
	URL string
	// Username and Token are the e-mail address of the administrator and their API token.
	Username string
	Token    secret.Value
	// Projects are the keys of the projects whose roles are managed. Empty: all that the administrator sees.
	Projects []string
	// OrganizationKey is an API key of the organization, with which managed accounts are suspended. Zero: none are.
	OrganizationKey secret.Value
	// OrganizationURL is for tests; "" is Atlassian's.
	OrganizationURL string
	Timeout         time.Duration
	UserAgent       string
	AllowPlainHTTP  bool
}

// Driver is one site. It cannot suspend accounts; suspending can.
type Driver struct {
	config Config
	rest   *rest.Client
	scans  batch
}

// suspending is a site with the user management API of its organization.
type suspending struct {
	*Driver
	organization *rest.Client
}

// Open makes a driver, a Suspender if there is a key of the organization. It does no network I/O.
func Open(config Config) (driver.Driver, error) {
	if config.Username == "" || config.Token.IsZero() {
		return nil, errors.New("the e-mail address of an administrator and their API token are needed")
	}
	for _, key := range config.Projects {
		if !projectKey.MatchString(key) {
			return nil, fmt.Errorf("%q is no project key: write for example BILL", key)
		}
	}
	shared := rest.Config{
		BaseURL: config.URL, Timeout: config.Timeout, UserAgent: config.UserAgent, AllowPlainHTTP: config.AllowPlainHTTP,
		Auth: rest.Auth{Username: config.Username, Password: config.Token},
	}
	client, err := rest.New(shared)
	if err != nil {
		return nil, err
	}
	d := &Driver{config: config, rest: client}
	if config.OrganizationKey.IsZero() {
		return d, nil
	}
	shared.BaseURL, shared.Auth = defaultOrganizationURL, rest.Auth{Bearer: config.OrganizationKey}
	if config.OrganizationURL != "" {
		shared.BaseURL = config.OrganizationURL
	}
	organization, err := rest.New(shared)
	if err != nil {
		return nil, fmt.Errorf("the organization: %w", err)
	}
	return &suspending{Driver: d, organization: organization}, nil
}

// Spec is the package's Spec for the site as it is configured.
func (c Config) Spec() driver.Spec {
	spec := Spec(!c.OrganizationKey.IsZero())
	spec.CheckView = c.checkView
	return spec
}

func (c Config) checkView(e nhi.Entitlement) error {
	if e.Type != typeProject || len(c.Projects) == 0 || slices.Contains(c.Projects, e.Target) {
		return nil
	}
	return driver.Errorf(driver.Invalid, "project %s is not among the projects that this platform sees: add it to projects, at least "+
		"until no grant names it", e.Target)
}

// Close releases connections.
func (d *Driver) Close() error {
	d.rest.Close()
	return nil
}

// Close releases connections.
func (s *suspending) Close() error {
	s.organization.Close()
	return s.Driver.Close()
}

// Spec describes the kind, with or without a key of the organization.
func Spec(organization bool) driver.Spec {
	spec := driver.Spec{
		Kind: "jira", Title: "Jira Cloud", Evidence: "checked fake",
		Grammar: nhi.Grammar{Types: []nhi.EntitlementType{
			{Name: typeGroup, Description: "Membership in the group with this name, in exactly its spelling.", Example: "group:billing-agents"},
			{
				Name: typeProject, FreePermission: true, Example: "project:BILL#Developer",
				Description: "The account itself plays this role in the project with this key.",
				Canonical: func(e nhi.Entitlement) (nhi.Entitlement, error) {
					if !projectKey.MatchString(e.Target) {
						return e, errors.New("a project is named by its key, in capital letters: write for example project:BILL#Developer")
					}
					return e, nil
				},
			},
			{
				Name: typeProduct, Example: "product:jira-software", Description: "Access to a product.",
				Observed: "access to a product comes with a group: grant that one",
			},
		}},
		Capabilities: []driver.Capability{driver.CanExplain},
		CheckAccountName: func(name string) error {
			if accountID.MatchString(name) {
				return nil
			}
			return errors.New("an account is named by its Atlassian account id, such as 712020:b0b5a2f4-…: the last part of the address " +
				"of its profile")
		},
	}
	if organization {
		spec.Capabilities = []driver.Capability{driver.CanSuspend, driver.CanExplain}
	}
	return spec
}

var (
	projectKey = regexp.MustCompile(`^[A-Z][A-Z0-9_]{1,254}$`)
	accountID  = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9:_-]{0,127}$`)
)
