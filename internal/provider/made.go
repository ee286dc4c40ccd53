package provider

import (
	"fmt"
	"sync"

	"github.com/nhi-labs/terraform-provider-nhi/internal/lifecycle"
)

// madeHere remembers what this run of the provider has created. With create_before_destroy Terraform deletes the old
// object after the new one was made; on the platforms both are the same account, so deleting the old object must not take
// it away. Of entitlements lifecycle.Shared sees to that.
type madeHere struct {
	mu       sync.Mutex
	accounts map[accountKey]bool
}

func newMadeHere() *madeHere {
	return &madeHere{accounts: make(map[accountKey]bool)}
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
			return fmt.Errorf("the new object of this replacement has the same account %q on platform %q, so deleting the old object would "+
				"delete it. Nothing was deleted. Remove create_before_destroy from this resource and from those that refer to it; "+
				"then take the old object out of state, or apply again", r.Name, platform)
		}
	}
	return nil
}
