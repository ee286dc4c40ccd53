// Package driver says what a platform must implement. A driver is dumb on purpose: it talks to one system through that
// system's client library and returns the library's own errors. Retry, rate limits, timeouts, redaction and audit
// belong to package fleet; what to do belongs to package reconcile.
package driver

import (
	"context"
	"time"

	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
)

// Driver is one configured platform. Opening a driver does no I/O; the first call does.
//
// Every method is safe for concurrent use and stops soon after ctx is done, returning an error that Classify maps to
// Unavailable. A method that fails may have taken effect; that is why all of them but CreateAccount are idempotent.
type Driver interface {
	// Probe says which system answers. It fails rather than guess.
	Probe(ctx context.Context) (Target, error)

	// ReadAccount returns the account whole. It looks up by ref.ID where that is set, else by ref.Name. NotFound means
	// that the system itself said so; an unexpected, empty or truncated answer is another error. Accounts that this
	// product did not make are returned too, with a zero Mark.
	ReadAccount(ctx context.Context, ref nhi.Ref) (nhi.Account, error)

	// CreateAccount makes a new account with its mark in one step and returns how to address it. It never adopts: if
	// the name is taken it changes nothing and returns AlreadyExists. It leaves nothing behind when it fails, as far as
	// the platform lets it.
	CreateAccount(ctx context.Context, spec AccountSpec) (nhi.Ref, error)

	// UpdateAccount changes what change names and keeps the rest. NotFound if there is no such account.
	UpdateAccount(ctx context.Context, ref nhi.Ref, change AccountChange) error

	// DeleteAccount removes the account with everything that only exists through it (credentials, memberships). If the
	// account is gone already it succeeds. If something is left that would serve the next account of the name, or log in
	// without the account, it fails with a LeftoverError, also when it is called again with the ID of the account that is gone.
	DeleteAccount(ctx context.Context, ref nhi.Ref) error

	// Grant adds entitlements that the account does not hold yet, all or none where the platform can. Granting what is
	// held succeeds. An entitlement whose target does not exist is Invalid, and nothing is created for it.
	Grant(ctx context.Context, ref nhi.Ref, entitlements []nhi.Entitlement) error

	// Revoke takes entitlements away and keeps all others. Revoking what is not held succeeds, and so does revoking
	// from an account that is gone.
	Revoke(ctx context.Context, ref nhi.Ref, entitlements []nhi.Entitlement) error

	// Classify says what an error of this driver means. It is pure and total: what it does not know is Unknown.
	Classify(err error) Verdict

	// Close releases connections. No method is called afterwards.
	Close() error
}

// Target is the real system behind a configured platform.
type Target struct {
	// ID is the system's own stable identifier. Two systems never share it; it survives restarts and upgrades. It goes
	// into state, where it pins each account to the system that holds it.
	ID string
	// Realm names the space in which account names are unique, if it is wider than the target: two databases of one
	// cluster share their roles. Empty: the target itself.
	Realm string
	// Store tells apart the secret stores of one system, if it has several and the configuration reaches one of them (AWS: the
	// region). Empty: the system is one store, or none.
	Store string
	// Version is what the system says of itself, for people.
	Version string
	// Blind lists what the configured admin account may not see or do, one sentence each, for people. Empty: nothing is
	// known to be missing.
	Blind []string
	// Lacking lists what the configured admin account may not do and every change needs, one sentence each, as far as
	// that can be found out without changing anything. A plan that changes something here fails with it.
	Lacking []string
}

// StoreID is the stable identifier of the secret store that the configuration reaches.
func (t Target) StoreID() string {
	if t.Store == "" {
		return t.ID
	}
	return t.ID + "/" + t.Store
}

// AccountSpec is what CreateAccount makes.
type AccountSpec struct {
	Name string
	Mark nhi.Mark
	// Settings are the kind's own settings (Spec.Settings); absent ones get the platform's default.
	Settings map[string]string
	// Suspended creates the account suspended. Only set if the driver is a Suspender.
	Suspended bool
	// ExpiresAt sets the platform's native expiry where it has one (Spec.NativeExpiry); zero is none.
	ExpiresAt time.Time
}

// AccountChange is a change of an account; nil fields stay as they are.
type AccountChange struct {
	// Mark replaces the ownership mark; the zero Mark removes it. What others wrote in the same place is kept; if the
	// platform has room for one text only and another system's text is in it, the change fails with Conflict.
	Mark *nhi.Mark
	// Settings changes the settings it names and keeps the others.
	Settings map[string]string
	// ExpiresAt changes the native expiry; the zero time removes it.
	ExpiresAt *time.Time
}

// IsZero reports whether the change changes nothing.
func (c AccountChange) IsZero() bool {
	return c.Mark == nil && len(c.Settings) == 0 && c.ExpiresAt == nil
}
