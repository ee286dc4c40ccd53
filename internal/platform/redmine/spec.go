package redmine

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
)

const (
	typeProject = "project"
	typeGroup   = "group"
	typeGlobal  = "global"

	administrator = "administrator"

	settingEmail     = "email"
	settingFirstName = "first_name"
	settingLastName  = "last_name"

	maxLogin = 60
	maxName  = 30
)

// Spec says what is known of Redmine without a connection.
func Spec() driver.Spec {
	return driver.Spec{
		Kind:     "redmine",
		Title:    "Redmine",
		Evidence: "real server",
		Grammar:  nhi.Grammar{Types: grammar()},
		Capabilities: []driver.Capability{
			driver.CanSuspend, driver.CanSweep, driver.CanIssue, driver.CanVerify, driver.CanExplain,
		},
		CheckAccountName: checkAccountName,
		Settings: []driver.Setting{
			{Name: settingEmail, Description: "The address. Default: made from the login and the platform's `email_domain`."},
			{Name: settingFirstName, Description: "The first name that people see, at most 30 characters. Default: the login, cut there."},
			{Name: settingLastName, Description: "The last name that people see, at most 30 characters. Default: `(service account)`."},
		},
	}
}

func grammar() []nhi.EntitlementType {
	return []nhi.EntitlementType{
		{
			Name: typeProject, Example: "project:billing#Developer", FreePermission: true, Canonical: canonicalProject,
			Description: "A role in a project, named by the project's identifier (as in its URL) and the name of the role.",
		},
		{
			Name: typeGroup, Example: "group:Billing Team",
			Description: "Membership in a group, with the roles that the group has in projects.",
		},
		{
			Name: typeGlobal, Example: "global:administrator", Canonical: canonicalGlobal,
			Description: "`global:administrator` is the right to do everything, with every project.",
		},
	}
}

var identifierPattern = regexp.MustCompile(`^[a-z0-9_-]{1,100}$`)

func canonicalProject(e nhi.Entitlement) (nhi.Entitlement, error) {
	e.Target = strings.ToLower(e.Target)
	digits := strings.Trim(e.Target, "0123456789") == ""
	if digits || e.Target == "new" || !identifierPattern.MatchString(e.Target) {
		return nhi.Entitlement{}, errors.New("write the project's identifier, the part of its URL behind /projects/: small letters, " +
			"digits, '-' and '_', not digits alone")
	}
	return e, nil
}

func canonicalGlobal(e nhi.Entitlement) (nhi.Entitlement, error) {
	if e.Target = strings.ToLower(e.Target); e.Target != administrator {
		return nhi.Entitlement{}, fmt.Errorf("there is one global right; write %q", typeGlobal+":"+administrator)
	}
	return e, nil
}

// loginPattern is Redmine's own rule.
var loginPattern = regexp.MustCompile(`^[A-Za-z0-9_.@-]+$`)

// checkAccountName implements driver.Spec.CheckAccountName.
func checkAccountName(name string) error {
	switch {
	case len(name) > maxLogin:
		return fmt.Errorf("it has %d characters and Redmine keeps %d; shorten it", len(name), maxLogin)
	case !loginPattern.MatchString(name):
		return errors.New("use only letters, digits, '_', '-', '.' and '@', which is what Redmine allows")
	}
	return nil
}
