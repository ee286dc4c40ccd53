package driver

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
)

// Spec is what is known of a kind of platform without a connection. Plans are checked against it, and the
// documentation is made from it.
type Spec struct {
	// Kind is the name of the HCL block: "postgresql".
	Kind string
	// Title is the kind's name for people: "PostgreSQL".
	Title string
	// Evidence says what the driver is proven against: "real server", "compatible server" or "checked fake".
	Evidence string
	// Grammar is the table of entitlement types.
	Grammar nhi.Grammar
	// Capabilities lists the optional interfaces that the driver implements; the conformance suite compares.
	Capabilities []Capability
	// CheckAccountName returns an error that says what is wrong and what to write instead. Names that pass are stored
	// exactly. nhi.CheckAccountText has been called before.
	CheckAccountName func(name string) error
	// CheckView returns an error for what accounts may hold although ReadAccount does not show it, because the platform's
	// configuration leaves it out; it says what to configure. Nil: nothing is left out. It is pure.
	CheckView func(e nhi.Entitlement) error
	// Settings lists the kind's own settings of an account.
	Settings []Setting
	// NativeExpiry reports whether the platform itself ends an account at a time.
	NativeExpiry bool
	// TellsLastUse reports whether the platform says when a credential was last used (nhi.Credential.LastUsedAt).
	TellsLastUse bool
	// RevocationLag is how long a credential or token may still be accepted after it was revoked, or its account was
	// suspended or deleted, because the platform caches what it has authenticated. 0: not at all.
	RevocationLag time.Duration
	// NameHolds reports whether something outlives an account on the platform, under its name or its ID: what it holds, its
	// credentials. DeleteAccount then has work to do, and may fail with a LeftoverError, also when the account is gone;
	// RevokeCredential likewise, by the ID.
	NameHolds bool
	// CredentialsOnly reports whether an account can be used with its credentials alone, all of which nhi.Account.Credentials
	// shows and RevokeCredential ends: one that has none is cut off, also where the kind cannot suspend.
	CredentialsOnly bool
}

// Setting is one setting that accounts have on one kind of platform only.
type Setting struct {
	Name        string
	Description string
}

// Can reports whether the kind has a capability.
func (s Spec) Can(c Capability) bool { return slices.Contains(s.Capabilities, c) }

// CheckName returns an error unless name can be an account name on this kind of platform.
func (s Spec) CheckName(name string) error {
	err := nhi.CheckAccountText(name)
	if err == nil && s.CheckAccountName != nil {
		err = s.CheckAccountName(name)
	}
	if err != nil {
		return fmt.Errorf("%q cannot be an account name on %s: %w", name, s.Title, err)
	}
	return nil
}

// CheckRecorded returns an error unless the platform, as it is configured, shows whether an account holds the entitlements, which
// state records or which are to be revoked.
func (s Spec) CheckRecorded(entitlements []nhi.Entitlement) error {
	if s.CheckView == nil {
		return nil
	}
	for _, e := range entitlements {
		if err := s.CheckView(e); err != nil {
			return fmt.Errorf("whether the account holds %s is not seen, and what is not seen is not gone: %w", e, err)
		}
	}
	return nil
}

// ParseAll parses a set of texts with the kind's grammar and returns the entitlements sorted, with one error per text
// that was refused (nil where all passed), in the order of texts.
func (s Spec) ParseAll(texts []string) ([]nhi.Entitlement, []error) {
	var parsed []nhi.Entitlement
	var problems []error
	for _, text := range texts {
		e, err := s.Grammar.Parse(text)
		if err != nil {
			problems = append(problems, err)
			continue
		}
		parsed = append(parsed, e)
	}
	return nhi.SortEntitlements(parsed), problems
}

// CapabilityList returns the capabilities as one text for the documentation.
func (s Spec) CapabilityList() string {
	names := make([]string, len(s.Capabilities))
	for i, c := range s.Capabilities {
		names[i] = string(c)
	}
	return strings.Join(names, ", ")
}
