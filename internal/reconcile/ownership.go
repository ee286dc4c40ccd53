// Package reconcile decides what has to be done: desired and observed in, ordered steps out. It is pure; package
// lifecycle carries the steps out.
package reconcile

import (
	"fmt"

	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
)

// Ownership says whose an existing account is, seen from one identity of one stack.
type Ownership int

// The answers of Owner.
const (
	// Ours: it carries our mark, or it is the very account that state records and nobody else marked it.
	Ours Ownership = iota
	// Unmarked: it exists and nobody marked it. It may be adopted, never silently.
	Unmarked
	// OtherIdentity: our stack made it for another identity.
	OtherIdentity
	// OtherStack: another stack made it. Always an error.
	OtherStack
)

// Owner compares the mark of an account with the one we would write. knownID is the platform's id that state records
// for the account, "" if state records none.
func Owner(account nhi.Account, want nhi.Mark, knownID string) Ownership {
	switch {
	case account.Mark == want:
		return Ours
	case account.Mark.IsZero() && knownID != "" && account.ID == knownID:
		return Ours
	case account.Mark.IsZero():
		return Unmarked
	case account.Mark.Stack == want.Stack:
		return OtherIdentity
	default:
		return OtherStack
	}
}

// OwnershipError explains why an account cannot be managed, and what to do.
type OwnershipError struct {
	Platform  string
	Account   nhi.Account
	Ownership Ownership
}

func (e *OwnershipError) Error() string {
	switch e.Ownership {
	case OtherIdentity:
		return fmt.Sprintf("account %q on %s already belongs to the identity %q of this stack; "+
			"give the account another name or declare it in one identity only", e.Account.Name, e.Platform, e.Account.Mark.Identity)
	case OtherStack:
		return fmt.Sprintf("account %q on %s belongs to the stack %q (identity %q); a stack never changes accounts of another one: "+
			"remove it there first, or give this account another name", e.Account.Name, e.Platform, e.Account.Mark.Stack, e.Account.Mark.Identity)
	default:
		return fmt.Sprintf("account %q exists on %s and was not made by this provider; to take it over with everything it holds, "+
			"set adopt = true in its account block, or use an import block; otherwise give this account another name",
			e.Account.Name, e.Platform)
	}
}

// CheckOwner returns an *OwnershipError unless the account is ours, or unmarked and to be adopted.
func CheckOwner(platform string, account nhi.Account, want nhi.Mark, knownID string, adopt bool) error {
	owner := Owner(account, want, knownID)
	if owner == Ours || (owner == Unmarked && adopt) {
		return nil
	}
	return &OwnershipError{Platform: platform, Account: account, Ownership: owner}
}
