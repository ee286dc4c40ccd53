package sandbox

import (
	"errors"
	"regexp"
	"strings"

	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
)

// grammar is the table of entitlement types: some of each sort that real platforms have.
func grammar() nhi.Grammar {
	return nhi.Grammar{Types: []nhi.EntitlementType{
		{Name: "role", Description: "The account is a member of the role.", Example: "role:reporting"},
		{
			Name:        "table",
			Description: "The account may use the table, named with its schema, in one way.",
			Example:     "table:finance.invoices#select",
			Permissions: []string{"select", "insert", "update", "delete"},
			Canonical:   canonicalTable,
		},
		{Name: "group", Description: "The account is a member of the group.", Example: "group:Billing Viewers"},
		{Name: "policy", Description: "The policy applies to the account.", Example: "policy:billing-read"},
		{
			Name:           "project",
			Description:    "The account has the role in the project, named by its key in capital letters.",
			Example:        "project:BILL#Developer",
			FreePermission: true,
			Canonical:      canonicalProject,
		},
	}}
}

func canonicalTable(e nhi.Entitlement) (nhi.Entitlement, error) {
	schema, table, found := strings.Cut(e.Target, ".")
	if !found || schema == "" || table == "" {
		return e, errors.New(`name the table with its schema, for example "table:finance.invoices#select"`)
	}
	return e, nil
}

var projectKey = regexp.MustCompile(`^[A-Z][A-Z0-9_]{0,63}$`)

func canonicalProject(e nhi.Entitlement) (nhi.Entitlement, error) {
	e.Target = strings.ToUpper(e.Target)
	if !projectKey.MatchString(e.Target) {
		return e, errors.New(`a project key is a capital letter and then capital letters, digits or "_", 64 at most`)
	}
	return e, nil
}
