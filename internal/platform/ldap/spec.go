package ldap

import (
	"errors"
	"fmt"
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
)

const (
	typeGroup        = "group"
	typePrimaryGroup = "primary_group"

	// maxUID is how long a name is for which slapd's database (back-mdb) has room, in bytes, of which a character that a DN
	// escapes has three.
	maxUID = 220
	// maxSAM is the length of a sAMAccountName of a user.
	maxSAM = 20
)

// Spec says what is known of a dialect without a connection; of the kind as a whole if d is "".
func Spec(d Dialect) driver.Spec {
	spec := driver.Spec{
		Kind:     "ldap",
		Title:    "LDAP",
		Evidence: "real server",
		Grammar:  nhi.Grammar{Types: grammar(d)},
		Capabilities: []driver.Capability{
			driver.CanSuspend, driver.CanSweep, driver.CanIssue, driver.CanVerify, driver.CanExplain,
		},
		CheckAccountName: checkUID,
	}
	switch d {
	case OpenLDAP:
		spec.Title = "OpenLDAP"
	case ActiveDirectory:
		spec.Title, spec.CheckAccountName, spec.NativeExpiry = "Active Directory", checkSAM, true
	}
	return spec
}

// Spec is the package's Spec for the directory as it is configured.
func (cfg Config) Spec() driver.Spec {
	spec := Spec(cfg.Dialect)
	spec.CheckView = cfg.checkView
	return spec
}

func (cfg Config) checkView(e nhi.Entitlement) error {
	if cfg.GroupsDN == "" || e.Type != typeGroup || isBelow(matchKey(e.Target), matchKey(cfg.GroupsDN)) {
		return nil
	}
	return driver.Errorf(driver.Invalid, "%q is not below %q, where groups are looked for: write a groups_dn that it is below, at least "+
		"until no grant names it", e.Target, cfg.GroupsDN)
}

func grammar(d Dialect) []nhi.EntitlementType {
	types := []nhi.EntitlementType{{
		Name: typeGroup, Example: "group:cn=readers,ou=groups,dc=example,dc=com", Canonical: canonicalGroup,
		Description: "Direct membership in a group, named by its DN in small letters. What the group means, and whether groups " +
			"within groups count, is the business of the programs that ask the directory.",
	}}
	if d != OpenLDAP {
		types = append(types, nhi.EntitlementType{
			Name: typePrimaryGroup, Example: "primary_group:cn=domain admins,cn=users,dc=example,dc=com", Canonical: canonicalGroup,
			Description: "Active Directory: the account's primary group, which no list of members shows, if it is another than Domain " +
				"Users.",
			Observed: "a plan that removes it makes Domain Users the primary group again and takes the account out of the group; " +
				"to grant membership write group:",
		})
	}
	return types
}

func canonicalGroup(e nhi.Entitlement) (nhi.Entitlement, error) {
	target, err := canonicalDN(e.Target)
	if err != nil {
		return nhi.Entitlement{}, fmt.Errorf("it is not the DN of a group, such as cn=readers,ou=groups,dc=example,dc=com: %w", err)
	}
	e.Target = target
	return e, nil
}

// checkUID refuses what a directory would take for another name: it compares without regard to width, composition and
// runs of spaces (RFC 4518).
func checkUID(name string) error {
	switch {
	case escapedLength(name) > maxUID:
		return fmt.Errorf("it has %d bytes in a DN, and there is room for %d; shorten it", escapedLength(name), maxUID)
	case norm.NFKC.String(name) != name:
		return fmt.Errorf("directories take it for %q; write that", norm.NFKC.String(name))
	case strings.Contains(name, "  "):
		return errors.New("directories take several spaces for one; write one")
	case strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) }):
		return errors.New("it contains a character that cannot be seen; leave it out")
	}
	return nil
}

func escapedLength(name string) int {
	n := len(name)
	for _, r := range name {
		if strings.ContainsRune(`"+,;<>\#= `, r) {
			n += 2
		}
	}
	return n
}

// checkSAM refuses what is no sAMAccountName of a user
// (https://learn.microsoft.com/windows/win32/adschema/a-samaccountname), and what cannot be told apart in a login.
func checkSAM(name string) error {
	const forbidden = `"/\[]:;|=,+*?<>@`
	switch {
	case len(name) > maxSAM:
		return fmt.Errorf("it has %d characters and a sAMAccountName has %d at most; give the account a shorter name of its own",
			len(name), maxSAM)
	case strings.ContainsFunc(name, func(r rune) bool { return r > unicode.MaxASCII }):
		return errors.New("a domain takes letters with and without accents for the same; use letters of ASCII")
	case strings.ContainsAny(name, forbidden):
		return fmt.Errorf("a sAMAccountName has none of %s", forbidden)
	case strings.HasSuffix(name, ".") || strings.Contains(name, "  "):
		return errors.New("a sAMAccountName does not end with a dot and has no two spaces together")
	}
	return nil
}
