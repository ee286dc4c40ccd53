package provider

import "sync"

// rotationClaims finds, while one plan is made, two rotations of one account.
type rotationClaims struct {
	mu     sync.Mutex
	claims map[accountKey]rotationClaim
}

type rotationClaim struct {
	fingerprint string
	creating    bool
}

func newRotationClaims() *rotationClaims {
	return &rotationClaims{claims: make(map[accountKey]rotationClaim)}
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
