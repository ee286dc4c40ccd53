package provider

import (
	"fmt"
	"sync"

	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
)

// exclusiveGrants finds, while one plan is made, grants that would fight over an account. It sees every grant that is
// planned in this process, in any order; the one that comes second gets the error.
type exclusiveGrants struct {
	mu     sync.Mutex
	claims map[accountKey][]grantClaim
}

type accountKey struct{ platform, account string }

// grantClaim is what one grant says about one account.
type grantClaim struct {
	identity     string
	exclusive    bool
	creating     bool
	fingerprint  string
	entitlements []nhi.Entitlement
	tolerated    []nhi.Entitlement
}

func newExclusiveGrants() *exclusiveGrants {
	return &exclusiveGrants{claims: make(map[accountKey][]grantClaim)}
}

// claim registers c and returns an error that says what to write if it conflicts with an earlier claim.
func (g *exclusiveGrants) claim(platform, account string, c grantClaim) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	key := accountKey{platform, account}
	for _, other := range g.claims[key] {
		if c.same(other) {
			return nil
		}
		if err := c.conflict(other, platform, account); err != nil {
			return err
		}
	}
	g.claims[key] = append(g.claims[key], c)
	return nil
}

// same reports whether both claims come from one grant: a replacement is planned twice, once with its prior state and
// once as a creation.
func (c grantClaim) same(other grantClaim) bool {
	return c.fingerprint == other.fingerprint && !(c.creating && other.creating)
}

func (c grantClaim) conflict(other grantClaim, platform, account string) error {
	if c.exclusive && other.exclusive {
		return fmt.Errorf("another exclusive grant in this configuration covers account %q on platform %q, so each would revoke what the "+
			"other grants. Merge them, set exclusive = false on one of them and name its entitlements under tolerate in the other, "+
			"or set exclusive = false on both", account, platform)
	}
	strict, loose := c, other
	if other.exclusive {
		strict, loose = other, c
	}
	if !strict.exclusive {
		return nil
	}
	fought := nhi.Without(loose.entitlements, nhi.Union(strict.entitlements, strict.tolerated))
	if len(fought) == 0 {
		return nil
	}
	return fmt.Errorf("an exclusive grant covers account %q on platform %q and would revoke what another grant gives it: %s. "+
		"Add to the exclusive grant: tolerate = nhi_grant.<the other one>.entitlements", account, platform, nhi.JoinTexts(fought))
}
