package mysql

import (
	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
)

const settingMaxConnections = "max_user_connections"

// Spec says what is known of MySQL and MariaDB without a connection.
func Spec() driver.Spec {
	return driver.Spec{
		Kind:     "mysql",
		Title:    "MySQL and MariaDB",
		Evidence: "real server",
		Grammar:  nhi.Grammar{Types: grammar()},
		Capabilities: []driver.Capability{
			driver.CanSuspend, driver.CanSweep, driver.CanIssue, driver.CanVerify, driver.CanEndSessions, driver.CanExplain,
		},
		CheckAccountName: checkAccountName,
		Settings: []driver.Setting{{
			Name:        settingMaxConnections,
			Description: "How many connections the account may have at once, 0 for the server's own limit (the default).",
		}},
	}
}

func grammar() []nhi.EntitlementType {
	types := []nhi.EntitlementType{
		{
			Name: typeRole, Example: "role:reporting", Canonical: canonicalRole,
			Description: "Membership in a role. It counts only while the role is on: see `default_role`.",
		},
		{
			Name: typeRoleAdmin, Example: "role_admin:reporting", Canonical: canonicalRole,
			Description: "The right to make others members of a role (`WITH ADMIN OPTION`), beside `role:reporting`, without which it " +
				"cannot be granted.",
		},
		{
			Name: typeDefaultRole, Example: "default_role:reporting", Canonical: canonicalRole,
			Description: "The role is on as soon as the account logs in, beside `role:reporting`, without which it cannot be granted. " +
				"MariaDB has room for one.",
		},
		{
			Name: typeGlobal, Example: "global:process", Canonical: canonicalGlobal,
			Description: "A privilege on the whole server (`ON *.*`), named as `SHOW PRIVILEGES` lists it, in small letters. " +
				"`global:grant option` is the right to pass all of them on.",
		},
	}
	for _, c := range classes() {
		types = append(types, nhi.EntitlementType{
			Name: c.name, Example: c.example, Permissions: c.permissions, Canonical: c.canonical, Description: c.description,
		})
	}
	return append(types, nhi.EntitlementType{
		Name: typeProxy, Example: "proxy:root@localhost",
		Description: "The account may act as another one; `proxy:@` is any other.",
		Observed:    "acting as another account is not granted here; a plan that removes it revokes it (REVOKE PROXY)",
	})
}
