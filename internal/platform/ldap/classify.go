package ldap

import (
	"errors"
	"fmt"
	"io"
	"net"
	"regexp"
	"strings"

	goldap "github.com/go-ldap/ldap/v3"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
)

// codes maps the result codes of RFC 4511.
//
// None of them is NotFound: that an account does not exist the driver learns from a complete answer without it, not from
// an error. What a change names was looked up before; noSuchObject means that it has gone since, or that an entry above
// it is hidden.
var codes = map[uint16]driver.Code{
	goldap.LDAPResultTimeLimitExceeded:  driver.Unavailable,
	goldap.LDAPResultBusy:               driver.Unavailable,
	goldap.LDAPResultUnavailable:        driver.Unavailable,
	goldap.LDAPResultAdminLimitExceeded: driver.PermissionDenied, // what this login may read at once
	goldap.LDAPResultSizeLimitExceeded:  driver.PermissionDenied,

	goldap.LDAPResultInvalidCredentials:          driver.Unauthenticated,
	goldap.LDAPResultInappropriateAuthentication: driver.Unauthenticated,
	goldap.LDAPResultInsufficientAccessRights:    driver.PermissionDenied,
	goldap.LDAPResultAuthorizationDenied:         driver.PermissionDenied,
	goldap.LDAPResultStrongAuthRequired:          driver.Invalid, // TLS is required
	goldap.LDAPResultConfidentialityRequired:     driver.Invalid,

	goldap.LDAPResultNoSuchObject:           driver.Conflict,
	goldap.LDAPResultNoSuchAttribute:        driver.Conflict,
	goldap.LDAPResultAttributeOrValueExists: driver.Conflict,
	goldap.LDAPResultAssertionFailed:        driver.Conflict,
	goldap.LDAPResultEntryAlreadyExists:     driver.AlreadyExists,

	goldap.LDAPResultConstraintViolation:    driver.Invalid,
	goldap.LDAPResultInvalidAttributeSyntax: driver.Invalid,
	goldap.LDAPResultInvalidDNSyntax:        driver.Invalid,
	goldap.LDAPResultUndefinedAttributeType: driver.Invalid,
	goldap.LDAPResultNamingViolation:        driver.Invalid,
	goldap.LDAPResultObjectClassViolation:   driver.Invalid,
	goldap.LDAPResultNotAllowedOnNonLeaf:    driver.Invalid,
	goldap.LDAPResultUnwillingToPerform:     driver.Invalid, // read-only, or a policy says no

	goldap.LDAPResultReferral:                     driver.Unsupported, // this server is not where it is done
	goldap.LDAPResultUnavailableCriticalExtension: driver.Unsupported,
	goldap.LDAPResultProtocolError:                driver.Unsupported,

	goldap.ErrorNetwork: driver.Unavailable,
}

// Classify implements driver.Driver.
func (c *client) Classify(err error) driver.Verdict {
	if verdict, ok := driver.Known(err); ok {
		return verdict
	}
	var answer *goldap.Error
	if errors.As(err, &answer) {
		return driver.Verdict{Code: codes[answer.ResultCode]}
	}
	var network net.Error
	switch {
	case errors.As(err, &network), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, net.ErrClosed):
		return driver.Verdict{Code: driver.Unavailable}
	// The library flattens the network's errors to texts.
	case err != nil && (strings.Contains(err.Error(), "unable to read LDAP response packet") ||
		strings.Contains(err.Error(), "unable to send request")):
		return driver.Verdict{Code: driver.Unavailable}
	}
	return driver.Verdict{Code: driver.Unknown}
}

// reasons are the causes that Active Directory hides in the text of invalidCredentials ("..., data 533, v4563").
var reasons = map[string]string{
	"525": "there is no such user",
	"52e": "the password is wrong",
	"530": "the user may not log in at this time",
	"531": "the user may not log in from this machine",
	"532": "the password has expired",
	"533": "the account is disabled",
	"701": "the account has expired",
	"773": "the password must be changed first",
	"775": "the account is locked after too many wrong passwords",
}

var dataCode = regexp.MustCompile(`\bdata ([0-9a-f]{3}),`)

// explained adds to an error of the server what its numbers mean.
func explained(err error) error {
	var answer *goldap.Error
	if !errors.As(err, &answer) {
		return err
	}
	switch answer.ResultCode {
	case goldap.LDAPResultInvalidCredentials:
		if m := dataCode.FindStringSubmatch(answer.Err.Error()); m != nil && reasons[m[1]] != "" {
			return fmt.Errorf("%s: %w", reasons[m[1]], err)
		}
	case goldap.LDAPResultSizeLimitExceeded, goldap.LDAPResultAdminLimitExceeded:
		return fmt.Errorf("the server shows this login only a part; raise its limits (OpenLDAP: olcLimits): %w", err)
	case goldap.LDAPResultStrongAuthRequired, goldap.LDAPResultConfidentialityRequired:
		return fmt.Errorf("the server wants TLS; use ldaps:// or start_tls = true: %w", err)
	case goldap.LDAPResultReferral:
		return fmt.Errorf("this server does not make changes itself; configure the one that it names: %w", err)
	}
	return err
}
