package nhi

import (
	"errors"
	"time"
	"unicode"
	"unicode/utf8"
)

// IdentityKind classifies who or what uses an identity.
type IdentityKind string

// The kinds of identities.
const (
	ServiceAccount     IdentityKind = "service_account"
	Workload           IdentityKind = "workload"
	AIAgent            IdentityKind = "ai_agent"
	APIClient          IdentityKind = "api_client"
	PartnerIntegration IdentityKind = "partner_integration"
)

// IdentityKinds lists every kind, in the order of the documentation. Validators and docs derive from it.
func IdentityKinds() []IdentityKind {
	return []IdentityKind{ServiceAccount, Workload, AIAgent, APIClient, PartnerIntegration}
}

// Status says whether an account can be used.
type Status string

// The states of an account.
const (
	Active    Status = "active"
	Suspended Status = "suspended"
)

// Ref addresses an account on one platform. Name is always set. ID, where known, is the platform's own stable id: a
// driver then looks up by it, so that a renamed or recreated account is not mistaken for the one that is meant.
type Ref struct {
	Name string
	ID   string
}

// Account is the whole of what one platform says about one account. Everything that identity, grant and rotation need
// is in it, so that it costs one read.
type Account struct {
	Ref
	// Mark is the ownership mark found on the account, zero if there is none.
	Mark Mark
	// Status is Active on platforms that cannot suspend.
	Status Status
	// Entitlements holds the direct entitlements, sorted, including those that others made.
	Entitlements []Entitlement
	// Credentials holds what is known of the account's credentials, never their texts; oldest first.
	Credentials []Credential
	// Settings holds the kind's own settings of the account (driver.Spec.Settings) in canonical text. A text that is empty may
	// be left out; numbers and truth values never are.
	Settings map[string]string
	// ExpiresAt is the platform's native expiry of the account, zero if it has none.
	ExpiresAt time.Time
}

// Credential is the metadata of one credential. The text is never part of it.
type Credential struct {
	// ID addresses the credential on its platform: an accessor, a key id, the name of a login role.
	ID string
	// Label is the text that the issuer attached, "" if the platform shows none.
	Label string
	// CreatedAt, ExpiresAt and LastUsedAt are zero where the platform does not tell.
	CreatedAt, ExpiresAt, LastUsedAt time.Time
}

// checkText refuses what no platform stores faithfully: invalid UTF-8 and control characters.
func checkText(text string) error {
	if !utf8.ValidString(text) {
		return errors.New("it is not valid UTF-8")
	}
	for _, r := range text {
		if unicode.IsControl(r) {
			return errors.New("it contains a control character")
		}
	}
	return nil
}

// CheckAccountText returns an error for account names that no platform stores faithfully: empty, with control
// characters, not UTF-8, or with white space at an end. Kinds add their own rules.
func CheckAccountText(name string) error {
	if name == "" {
		return errors.New("the account name is empty")
	}
	if err := checkText(name); err != nil {
		return err
	}
	first, _ := utf8.DecodeRuneInString(name)
	last, _ := utf8.DecodeLastRuneInString(name)
	if unicode.IsSpace(first) || unicode.IsSpace(last) {
		return errors.New("it has white space at an end")
	}
	return nil
}
