package driver

import (
	"context"
	"time"

	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
	"github.com/nhi-labs/terraform-provider-nhi/internal/secret"
)

// Suspender can switch an account off and on again without losing what it holds.
type Suspender interface {
	// Suspend stops every new login of the account, with each of its credentials, and keeps its entitlements and
	// credentials. Repeating it succeeds. Sessions that are open are the business of SessionEnder.
	Suspend(ctx context.Context, ref nhi.Ref) error
	// Resume undoes Suspend. Repeating it succeeds.
	Resume(ctx context.Context, ref nhi.Ref) error
}

// MarkReader is for platforms where what an account holds may be unreadable although the account itself is not.
type MarkReader interface {
	// ReadMark is ReadAccount without what the account holds: who it is and whose, so that it can be deleted.
	ReadMark(ctx context.Context, ref nhi.Ref) (nhi.Account, error)
}

// SweepFilter narrows a sweep.
type SweepFilter struct {
	// Stack, if set, lets the driver leave out accounts without a mark of this stack where the platform can filter.
	// The driver may return others all the same.
	Stack string
}

// Sweeper reads all accounts in bulk, each as whole as ReadAccount returns it, with a number of requests that grows
// with pages and not with accounts.
type Sweeper interface {
	// Sweep calls page once per page, in the platform's order. It stops at the first error, its own or page's. A sweep
	// that returns nil has seen every account that existed when it began and still existed when it ended; an
	// incomplete answer of the platform is an error, never a short list.
	Sweep(ctx context.Context, filter SweepFilter, page func([]nhi.Account) error) error
}

// Lister names all accounts of a platform that has no bulk read of whole accounts. A Sweeper needs none.
type Lister interface {
	// ListAccounts calls page once per page with accounts, in the platform's order; an ID is set where the list shows it.
	// What it promises is what Sweep does, but for the accounts being whole.
	ListAccounts(ctx context.Context, page func([]nhi.Ref) error) error
}

// IssueRequest asks for a new credential.
type IssueRequest struct {
	// Label is chosen by the caller and unique for the account. Listing shows it again (nhi.Credential.Label), so that
	// a run that was killed after issuing finds what it made.
	Label string
	// ExpiresAt sets the credential's native expiry where the platform has one, zero is none.
	ExpiresAt time.Time
}

// Issued is a new credential with its text, which exists nowhere else.
type Issued struct {
	Credential nhi.Credential
	// Login is what is presented together with the secret: a user name, a role id. Not secret.
	Login  string
	Secret secret.Value
}

// Issuer manages credentials of accounts. Which credentials exist is part of nhi.Account.
type Issuer interface {
	// Slots is how many credentials an account can have at once; 0 if this system turns out to have none.
	Slots() int
	// Issue makes a credential beside those that exist. If all slots are taken it changes nothing and returns Conflict.
	// It is not idempotent: after an error the caller lists and looks for its label.
	Issue(ctx context.Context, ref nhi.Ref, request IssueRequest) (Issued, error)
	// RevokeCredential makes one credential useless at once (Spec.RevocationLag) and keeps the others. If it is gone
	// already it succeeds.
	RevokeCredential(ctx context.Context, ref nhi.Ref, id string) error
}

// Verifier proves credentials by really authenticating with them.
type Verifier interface {
	// Verify returns nil if login and text are accepted, an error of code Unauthenticated if the platform refuses them,
	// any other error if the question could not be answered.
	Verify(ctx context.Context, login string, text secret.Value) error
}

// SessionEnder ends what is already logged in.
type SessionEnder interface {
	// EndSessions ends every live session and every token of the account. None to end is success.
	EndSessions(ctx context.Context, ref nhi.Ref) error
}

// Token is a login that is valid already and ends by itself.
type Token struct {
	Secret secret.Value
	// ExpiresAt is when it ends, zero if the platform sets no end.
	ExpiresAt time.Time
}

// TokenMinter makes short-lived tokens for accounts.
type TokenMinter interface {
	// MintToken makes a token that acts as the account, with exactly what the account holds, and leaves no credential
	// behind that listing shows. For a suspended account it makes nothing and returns Conflict. It is not idempotent:
	// each call makes another token, and one whose answer was lost ends by itself.
	MintToken(ctx context.Context, ref nhi.Ref) (Token, error)
	// RevokeToken makes a token that MintToken made useless at once (Spec.RevocationLag). If it is gone already it
	// succeeds.
	RevokeToken(ctx context.Context, token secret.Value) error
}

// Holding is one entitlement that an account effectively has, and the way it comes by it.
type Holding struct {
	Entitlement nhi.Entitlement
	// Via is the way from the account to the entitlement, in the platform's own words: the group or role that the account
	// is a direct member of first, the one that holds the entitlement last ("role:reporting", "PUBLIC"). Empty: direct.
	Via []string
}

// Explainer tells everything that an account may do, also what it comes by indirectly.
type Explainer interface {
	// Explain returns each entitlement once for everything that holds it and that the account is a member of, however
	// far: by a shortest way to that holder. So every membership that matters is in the answer, and its size does not
	// grow with the number of ways. Direct ones come first, exactly those of nhi.Account.Entitlements; then by
	// entitlement and way (SortHoldings). What the platform gives to everybody is included; a right over everything (a
	// superuser's) is said as what it is. An account that does not exist is NotFound.
	Explain(ctx context.Context, ref nhi.Ref) ([]Holding, error)
}

// Explained is an account with everything that it may do.
type Explained struct {
	Account  nhi.Account
	Holdings []Holding
}

// BulkExplainer is an Explainer that explains all accounts with a number of requests that does not grow with them.
type BulkExplainer interface {
	Explainer
	// ExplainAll calls page with every account as Sweeper.Sweep does, each with what Explain returns for it.
	ExplainAll(ctx context.Context, page func([]Explained) error) error
}

// StoredSecret is one version of what a SecretStore holds at a path.
type StoredSecret struct {
	Fields map[string]secret.Value
	// Metadata is readable by whoever may list; never secret.
	Metadata map[string]string
	// Version counts the writes to the path, from 1; 0 means that nothing is there.
	Version int64
}

// SecretStore keeps secrets at paths for the programs that use them.
type SecretStore interface {
	// PutSecret writes s at path, if the version there still is s.Version (0: nothing is there), and returns the new
	// version. Otherwise it changes nothing and returns Conflict.
	PutSecret(ctx context.Context, path string, s StoredSecret) (int64, error)
	// GetSecret returns the newest version at path, NotFound if nothing is there.
	GetSecret(ctx context.Context, path string) (StoredSecret, error)
	// RemoveSecret removes path with all its versions. If nothing is there it succeeds.
	RemoveSecret(ctx context.Context, path string) error
}

// Capability names one optional interface.
type Capability string

// The capabilities, in the order of the documentation.
const (
	CanSuspend      Capability = "suspend"
	CanSweep        Capability = "sweep"
	CanList         Capability = "list"
	CanIssue        Capability = "issue"
	CanVerify       Capability = "verify"
	CanEndSessions  Capability = "end_sessions"
	CanStoreSecrets Capability = "store_secrets"
	CanMintTokens   Capability = "mint_tokens"
	CanExplain      Capability = "explain"
)

// AllCapabilities lists every capability, in the order of the documentation.
func AllCapabilities() []Capability {
	return []Capability{
		CanSuspend, CanSweep, CanList, CanIssue, CanVerify, CanEndSessions, CanStoreSecrets, CanMintTokens, CanExplain,
	}
}

// Capabilities lists the optional interfaces that d implements.
func Capabilities(d Driver) []Capability {
	var found []Capability
	add := func(c Capability, ok bool) {
		if ok {
			found = append(found, c)
		}
	}
	_, ok := d.(Suspender)
	add(CanSuspend, ok)
	_, ok = d.(Sweeper)
	add(CanSweep, ok)
	_, ok = d.(Lister)
	add(CanList, ok)
	_, ok = d.(Issuer)
	add(CanIssue, ok)
	_, ok = d.(Verifier)
	add(CanVerify, ok)
	_, ok = d.(SessionEnder)
	add(CanEndSessions, ok)
	_, ok = d.(SecretStore)
	add(CanStoreSecrets, ok)
	_, ok = d.(TokenMinter)
	add(CanMintTokens, ok)
	_, ok = d.(Explainer)
	add(CanExplain, ok)
	return found
}
