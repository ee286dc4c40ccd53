package provider

import (
	"slices"
	"sync"

	"github.com/nhi-labs/terraform-provider-nhi/internal/lifecycle"
)

// rotationClaims finds, while one plan is made, two rotations of one account, and what a rotation that is replaced leaves
// to the new one.
type rotationClaims struct {
	mu      sync.Mutex
	claims  map[accountKey]rotationClaim
	givenUp []lifecycle.Place
	left    map[string]func(id string) bool // by name of rotationThing
}

type rotationClaim struct {
	fingerprint string
	creating    bool
}

func newRotationClaims() *rotationClaims {
	return &rotationClaims{claims: make(map[accountKey]rotationClaim), left: make(map[string]func(string) bool)}
}

// claim returns false if another rotation has claimed the account. A replacement is planned twice, once with its prior
// state and once as a creation; an unchanged rotation may be planned again when it is applied.
func (r *rotationClaims) claim(platform, account, fingerprint string, creating bool) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	key := accountKey{platform, account}
	other, taken := r.claims[key]
	if taken {
		return other.fingerprint == fingerprint && !(creating && other.creating)
	}
	r.claims[key] = rotationClaim{fingerprint, creating}
	return true
}

// giveUp notes the places of a rotation that is to be replaced: they are empty by the time the new one is made. A replacement
// is planned with its prior state first, and then as a creation.
func (r *rotationClaims) giveUp(places []lifecycle.Place) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.givenUp = append(r.givenUp, places...)
}

func (r *rotationClaims) givenUpPlaces() []lifecycle.Place {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.givenUp)
}

// leave notes which credentials a creation that failed has issued: they are gone by the time the rotation is made again. A tainted
// rotation is planned as a creation only, so its refresh tells.
func (r *rotationClaims) leave(t thing, own func(id string) bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.left[t.name] = own
}

// leaves reports of a credential whether it is one of those; it is nil if there are none.
func (r *rotationClaims) leaves(t thing) func(id string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.left[t.name]
}
