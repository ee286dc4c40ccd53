package postgresql

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
)

const (
	typeRole      = "role"
	typeRoleAdmin = "role_admin"
	typeAttribute = "attribute"
	typeOwner     = "owner"
	typePolicy    = "row_policy"

	settingConnectionLimit = "connection_limit"

	// maxName is PostgreSQL's NAMEDATALEN - 1, in bytes. The server would cut longer names silently.
	maxName = 63
)

// attributes are the role attributes that are entitlements, as CREATE ROLE spells them in lower case.
func attributes() []string {
	return []string{"superuser", "createdb", "createrole", "replication", "bypassrls"}
}

// Spec says what is known of PostgreSQL without a connection.
func Spec() driver.Spec {
	return driver.Spec{
		Kind:     "postgresql",
		Title:    "PostgreSQL",
		Evidence: "real server",
		Grammar:  nhi.Grammar{Types: grammar()},
		Capabilities: []driver.Capability{
			driver.CanSuspend, driver.CanSweep, driver.CanIssue, driver.CanVerify, driver.CanEndSessions,
			driver.CanExplain,
		},
		CheckAccountName: checkAccountName,
		Settings: []driver.Setting{{
			Name: settingConnectionLimit,
			Description: "How many connections each login of the account may have at once, -1 for no limit (the default). " +
				"PostgreSQL does not apply it to superusers.",
		}},
		NativeExpiry: true,
	}
}

func grammar() []nhi.EntitlementType {
	types := []nhi.EntitlementType{
		{
			Name: typeRole, Example: "role:reporting", Canonical: canonicalName,
			Description: "Membership in a role, with everything that the role holds.",
		},
		{
			Name: typeRoleAdmin, Example: "role_admin:reporting", Canonical: canonicalName,
			Description: "The right to make others members of a role (`WITH ADMIN OPTION`), beside `role:reporting`, " +
				"without which it cannot be granted.",
		},
	}
	for _, c := range classes() {
		types = append(types, nhi.EntitlementType{
			Name: c.name, Example: c.example, Permissions: c.permissions(), Canonical: c.canonical,
			Description: c.description + " `" + c.privileges[0] + grantSuffix + "` is the right to pass `" + c.privileges[0] +
				"` on (`WITH GRANT OPTION`); it stands beside the right itself, without which it cannot be granted.",
		})
	}
	return append(types,
		nhi.EntitlementType{
			Name: typeAttribute, Example: "attribute:createdb", Canonical: canonicalAttribute,
			Description: "A role attribute: `" + strings.Join(attributes(), "`, `") + "`.",
		},
		nhi.EntitlementType{
			Name: typeOwner, Example: "owner:table finance.invoices",
			Description: "The account owns the object and can do everything with it. Objects of other databases are listed " +
				"as `owner:objects in database orders`.",
			Observed: "ownership is not granted here; a plan that removes it hands the object to the role that " +
				"reassign_owned_to names, or else to the provider's own role, and drops nothing",
		},
		nhi.EntitlementType{
			Name: typePolicy, Example: "row_policy:finance.invoices.own_rows",
			Description: "A row-level security policy names the account.",
			Observed: "row-level security policies are not granted or revoked here, because a policy can also restrict; " +
				"change the policy with ALTER POLICY ... TO",
		},
	)
}

func canonicalName(e nhi.Entitlement) (nhi.Entitlement, error) {
	parts, err := splitTarget(e.Target, false)
	if err != nil {
		return nhi.Entitlement{}, err
	}
	e.Target = joinTarget(parts)
	return e, nil
}

func canonicalAttribute(e nhi.Entitlement) (nhi.Entitlement, error) {
	e.Target = strings.ToLower(e.Target)
	if !slices.Contains(attributes(), e.Target) {
		return nhi.Entitlement{}, fmt.Errorf("there is no such role attribute; write one of %s",
			strings.Join(attributes(), ", "))
	}
	return e, nil
}

// checkAccountName implements driver.Spec.CheckAccountName.
func checkAccountName(name string) error {
	switch {
	case len(name) > maxName:
		return fmt.Errorf("it has %d bytes and PostgreSQL keeps %d; shorten it", len(name), maxName)
	case strings.HasPrefix(name, "pg_"):
		return errors.New(`PostgreSQL reserves names that begin with "pg_"; choose another beginning`)
	case name == "public" || name == "none":
		return errors.New("the word means something else in PostgreSQL; choose another name")
	case isLoginName(name):
		return fmt.Errorf("names that end in %q or %q are those of credentials; choose another ending",
			loginSuffixes[0], loginSuffixes[1])
	}
	return nil
}
