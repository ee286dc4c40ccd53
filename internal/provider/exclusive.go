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
	// What grants give up that are removed, and that are changed.
	removed, dropped map[accountKey][]nhi.Entitlement
}

type accountKey struct{ platform, account string }

// grantClaim is what one grant says about one account.
type grantClaim struct {
	identity     string
	exclusive    bool
	creating     bool
	unchanged    bool // by the plan
	ends         bool // it has an expires_at
	fingerprint  string
	entitlements []nhi.Entitlement
	tolerated    []nhi.Entitlement
}

func newExclusiveGrants() *exclusiveGrants {
	return &exclusiveGrants{
		claims:  make(map[accountKey][]grantClaim),
		removed: make(map[accountKey][]nhi.Entitlement), dropped: make(map[accountKey][]nhi.Entitlement),
	}
}

// drop registers what a grant gives up, by being removed or by being changed.
func (g *exclusiveGrants) drop(platform, account string, es []nhi.Entitlement, by map[accountKey][]nhi.Entitlement) {
	g.mu.Lock()
	defer g.mu.Unlock()
	key := accountKey{platform, account}
	by[key] = nhi.Union(by[key], es)
}

// moved is what grants give up and another one declares that the plan leaves as it is.
func (g *exclusiveGrants) moved(platform, account string, by map[accountKey][]nhi.Entitlement) []nhi.Entitlement {
	g.mu.Lock()
	defer g.mu.Unlock()
	var kept []nhi.Entitlement
	for _, c := range g.claims[accountKey{platform, account}] {
		if c.unchanged {
			kept = nhi.Union(kept, c.entitlements)
		}
	}
	return nhi.Intersect(by[accountKey{platform, account}], kept)
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
	if twice := c.twice(other); len(twice) > 0 {
		return fmt.Errorf("another grant in this configuration gives account %q on platform %q the same: %s. Whichever of them expires or is "+
			"removed first would take it from the other. Leave it to one of them. If both are meant to give it, name it under tolerate in "+
			"one of them, in the one that has an expires_at: that one then never takes it away", account, platform, nhi.JoinTexts(twice))
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

// twice returns what both grants declare and neither leaves to the other. One that ends must leave it itself: from then on it
// revokes at every apply what the other one grants.
func (c grantClaim) twice(other grantClaim) []nhi.Entitlement {
	left := nhi.Union(c.tolerated, other.tolerated)
	if c.ends {
		left = c.tolerated
	}
	if other.ends {
		left = nhi.Intersect(left, other.tolerated)
	}
	return nhi.Without(nhi.Intersect(c.entitlements, other.entitlements), left)
}
