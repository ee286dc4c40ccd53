package vault

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
)

// The entitlement types.
const (
	typePolicy        = "policy"
	typeGroup         = "group"
	typeExternalGroup = "external-group"
)

// defaultPolicy is on every token unless its role says otherwise; it is not an entitlement.
const defaultPolicy = "default"

// The settings of an account.
const (
	settingTokenTTL    = "token_ttl"
	settingTokenMaxTTL = "token_max_ttl"
	settingSecretIDTTL = "secret_id_ttl"
	settingTokenCIDRs  = "token_bound_cidrs"
)

// maxName is below what the storage backends of Vault accept as one path element.
const maxName = 200

// Spec is what is known of Vault without a connection.
func Spec() driver.Spec {
	return driver.Spec{
		Kind:     "vault",
		Title:    "HashiCorp Vault",
		Evidence: "real server",
		Grammar: nhi.Grammar{Types: []nhi.EntitlementType{
			{
				Name:        typePolicy,
				Description: "The ACL policy is attached to the account: to its identity entity, or by hand to its AppRole.",
				Example:     "policy:billing-read",
				Canonical:   canonicalPolicy,
			},
			{
				Name:        typeGroup,
				Description: "The account is a direct member of the internal identity group and holds the group's policies.",
				Example:     "group:billing-readers",
			},
			{
				Name:        typeExternalGroup,
				Description: "The account is a member of an external identity group, which mirrors a group of another auth method.",
				Example:     "external-group:ldap-billing",
				Observed:    "Vault takes the members of an external group from its auth method; grant the group there",
			},
		}},
		Capabilities: []driver.Capability{
			driver.CanSuspend, driver.CanList, driver.CanIssue, driver.CanVerify, driver.CanEndSessions,
			driver.CanStoreSecrets, driver.CanMintTokens, driver.CanExplain,
		},
		CheckAccountName: checkAccountName,
		Settings: []driver.Setting{
			{Name: settingTokenTTL, Description: `How long a token of the account lives, in seconds ("3600s"); "0s" is Vault's default.`},
			{Name: settingTokenMaxTTL, Description: `How long a token can be renewed at most, in seconds ("86400s"); "0s" is Vault's default.`},
			{Name: settingSecretIDTTL, Description: `How long a secret id lives that has no end of its own, in seconds; "0s" is for ever.`},
			{Name: settingTokenCIDRs, Description: `The networks that tokens may be used from, separated by commas ("10.0.0.0/8,192.0.2.7").`},
		},
	}
}

var namePattern = regexp.MustCompile(`^[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?$`)

// checkAccountName refuses what cannot be the name of an AppRole or would be stored in another spelling.
func checkAccountName(name string) error {
	if len(name) > maxName {
		return fmt.Errorf("it is longer than %d characters", maxName)
	}
	if strings.Contains(name, "..") {
		return errors.New(`it has ".." in it, which Vault serves in no path; write a single dot`)
	}
	if namePattern.MatchString(name) {
		return nil
	}
	if lower := strings.ToLower(name); namePattern.MatchString(lower) {
		return fmt.Errorf("names of AppRoles are kept in lower case; write %q", lower)
	}
	return errors.New("an AppRole name has lower-case letters, digits, '_', '-' and '.', and neither begins nor ends with '-' or '.'")
}

// canonicalPolicy lowers the case, as Vault does when it looks a policy up, and refuses what is not granted by name.
func canonicalPolicy(e nhi.Entitlement) (nhi.Entitlement, error) {
	switch lower := strings.ToLower(e.Target); {
	case lower == "root":
		return e, errors.New("only root tokens have the root policy; name another policy")
	case lower == defaultPolicy:
		return e, errors.New("every token has the default policy; leave it out")
	case !cleanPath(lower):
		return e, errors.New("no policy can have '..', a comma, an invisible character or an empty part between slashes in its name")
	default:
		e.Target = lower
		return e, nil
	}
}

// cleanPath reports whether Vault serves path, and path means the same before and after a client or a proxy has cleaned
// it. Vault refuses ".." anywhere and what cannot be printed, and splits lists at commas.
func cleanPath(path string) bool {
	if strings.Contains(path, ",") || strings.Contains(path, "..") {
		return false
	}
	if strings.ContainsFunc(path, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return false
	}
	return !slices.ContainsFunc(strings.Split(path, "/"), func(part string) bool { return part == "" || part == "." })
}

// settingsOf returns the settings of a role in canonical text.
func settingsOf(r role) map[string]string {
	return map[string]string{
		settingTokenTTL:    seconds(r.TokenTTL),
		settingTokenMaxTTL: seconds(r.TokenMaxTTL),
		settingSecretIDTTL: seconds(r.SecretIDTTL),
		settingTokenCIDRs:  strings.Join(r.TokenBoundCIDRs, ","),
	}
}

func seconds(n int64) string { return strconv.FormatInt(n, 10) + "s" }

var secondsPattern = regexp.MustCompile(`^(0|[1-9][0-9]{0,9})s$`)

// roleSettings returns the request that sets the given settings and keeps the others.
func roleSettings(settings map[string]string) (roleRequest, error) {
	var r roleRequest
	for name, text := range settings {
		var field **string
		switch name {
		case settingTokenTTL:
			field = &r.TokenTTL
		case settingTokenMaxTTL:
			field = &r.TokenMaxTTL
		case settingSecretIDTTL:
			field = &r.SecretIDTTL
		case settingTokenCIDRs:
			r.TokenBoundCIDRs = splitList(text)
			continue
		default:
			return r, driver.Errorf(driver.Invalid, "Vault accounts have no setting %q", name)
		}
		if !secondsPattern.MatchString(text) {
			return r, driver.Errorf(driver.Invalid, `%s is %q; write whole seconds, for example "3600s"`, name, text)
		}
		*field = &text
	}
	return r, nil
}

func splitList(text string) *[]string {
	list := []string{}
	if text != "" {
		list = strings.Split(text, ",")
	}
	return &list
}
