package aws

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
)

// The entitlement types.
const (
	typePolicy = "policy"
	typeGroup  = "group"
	typeInline = "inline"
)

const settingBoundary = "permissions_boundary"

// revocationLag is how long AWS may take until all its servers refuse a key that was switched off. AWS promises no time;
// it speaks of seconds (IAM User Guide, "Changes that I make are not always immediately visible").
const revocationLag = 10 * time.Second

// Spec is what is known of AWS without a connection.
func Spec() driver.Spec {
	return driver.Spec{
		Kind:     "aws",
		Title:    "AWS IAM",
		Evidence: "compatible server",
		Grammar: nhi.Grammar{Types: []nhi.EntitlementType{
			{
				Name:        typePolicy,
				Description: "The managed policy, by its ARN, is attached to the user.",
				Example:     "policy:arn:aws:iam::aws:policy/ReadOnlyAccess",
				Canonical:   canonicalPolicy,
			},
			{
				Name:        typeGroup,
				Description: "The user is in the group and has what the group's policies allow.",
				Example:     "group:analysts",
				Canonical:   canonicalGroup,
			},
			{
				Name:        typeInline,
				Description: "The user has an inline policy of this name.",
				Example:     "inline:made-by-hand",
				Observed:    "make a managed policy of it and declare that",
			},
		}},
		Capabilities: []driver.Capability{
			driver.CanSuspend, driver.CanSweep, driver.CanIssue, driver.CanVerify, driver.CanStoreSecrets, driver.CanExplain,
		},
		CheckAccountName: checkAccountName,
		Settings: []driver.Setting{
			{Name: settingBoundary, Description: "The ARN of the managed policy that bounds what the user can be allowed; \"\" is none."},
		},
		TellsLastUse:  true,
		RevocationLag: revocationLag,
	}
}

var (
	namePattern  = regexp.MustCompile(`^[A-Za-z0-9_+=,.@-]+$`)
	pathPattern  = regexp.MustCompile(`^/([\x21-\x7e]{0,510}/)?$`)
	policyARN    = regexp.MustCompile(`^arn:aws[a-z-]*:iam::(aws|[0-9]{12})?:policy/([\x21-\x7e]*/)?[A-Za-z0-9_+=,.@-]{1,128}$`)
	maxUserName  = 64
	maxGroupName = 128
)

func checkAccountName(name string) error {
	if len(name) > maxUserName {
		return fmt.Errorf("it is longer than %d characters", maxUserName)
	}
	if !namePattern.MatchString(name) {
		return errors.New("the name of an IAM user has letters, digits and the characters _ + = , . @ -")
	}
	return nil
}

func canonicalPolicy(e nhi.Entitlement) (nhi.Entitlement, error) {
	if !policyARN.MatchString(e.Target) {
		return e, errors.New("write the ARN of a managed policy, for example \"policy:arn:aws:iam::aws:policy/ReadOnlyAccess\"")
	}
	return e, nil
}

func canonicalGroup(e nhi.Entitlement) (nhi.Entitlement, error) {
	if strings.HasPrefix(e.Target, "arn:") {
		return e, errors.New("write the name of the group, without what stands before it in its ARN")
	}
	if len(e.Target) > maxGroupName || !namePattern.MatchString(e.Target) {
		return e, errors.New("the name of an IAM group has up to 128 letters, digits and the characters _ + = , . @ -")
	}
	return e, nil
}

// boundaryOf returns nil where the settings do not say.
func boundaryOf(settings map[string]string) (*string, error) {
	var out *string
	for name, text := range settings {
		if name != settingBoundary {
			return nil, driver.Errorf(driver.Invalid, "AWS users have no setting %q", name)
		}
		if text != "" && !policyARN.MatchString(text) {
			return nil, driver.Errorf(driver.Invalid, "%s is %q; write the ARN of a managed policy, or \"\" for none", name, text)
		}
		out = &text
	}
	return out, nil
}
