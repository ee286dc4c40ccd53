package provider

import (
	"context"
	"fmt"
	"sync"

	"github.com/nhi-labs/terraform-provider-nhi/internal/lifecycle"
)

// madeHere remembers what this run of the provider has created. With create_before_destroy Terraform deletes the old
// object after the new one was made, and what was renamed without a moved block in any order; on the platforms both are the
// same accounts, entitlements and credentials, so deleting the old object must not take them away. Of entitlements
// lifecycle.Shared sees to that.
type madeHere struct {
	// turns lets a creation and a deletion of the same thing come one after the other.
	turns lifecycle.Turns[string]

	mu        sync.Mutex
	accounts  map[accountKey]bool
	rotations map[string]bool // by name of rotationThing
}

func newMadeHere() *madeHere {
	return &madeHere{accounts: make(map[accountKey]bool), rotations: make(map[string]bool)}
}

// turn waits until nothing else of this run makes or deletes the thing.
func (m *madeHere) turn(ctx context.Context, t thing) (end func(), err error) {
	return m.turns.Take(ctx, t.name)
}

// created notes the accounts of an identity that was created.
func (m *madeHere) created(records map[string]lifecycle.Record) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for platform, r := range records {
		m.accounts[accountKey{platform, r.Name}] = true
	}
}

// check refuses to delete an account that this run created.
func (m *madeHere) check(records map[string]lifecycle.Record) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for platform, r := range records {
		if m.accounts[accountKey{platform, r.Name}] {
			return fmt.Errorf("this run has made an object that has the same account %q on platform %q, so deleting this one would delete "+
				"it. Nothing was deleted. %s", r.Name, platform, thing{what: "accounts"}.leave())
		}
	}
	return nil
}

// rotated notes a rotation that was created.
func (m *madeHere) rotated(t thing) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.rotations[t.name] = true
}

// checkRotation refuses to delete a rotation that this run created.
func (m *madeHere) checkRotation(t thing) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.rotations[t.name] {
		return nil
	}
	return fmt.Errorf("this run has made an object that is %s as well, so deleting this one would revoke its credentials and remove "+
		"what it has delivered. Nothing was deleted. %s", t.name, t.leave())
}
