package provider

import (
	"fmt"
	"sync"

	"github.com/nhi-labs/terraform-provider-nhi/internal/lifecycle"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
)

// plannedAccounts knows, while one plan is made, which identity declares which account. Identities are planned before
// the grants that refer to them.
type plannedAccounts struct {
	mu         sync.Mutex
	claims     map[accountKey][]accountClaim
	realms     map[accountKey]string                  // realm and account name → platform
	identities map[string]map[string]struct{}         // identity → platforms; only wholly known identities
	created    map[string]bool                        // identities that are made by this plan
	ids        map[accountKey]string                  // accounts that are an identity's once this plan is applied, whatever mark they carry now
	statuses   map[accountKey]nhi.Status              // what accounts are once this plan is applied; "": not known before
	leaving    map[accountKey]leavingAccount          // accounts that go with an identity that is replaced by one of another name
	known      map[accountKey]string                  // account → identity, as state or the configuration says
	recorded   map[string]bool                        // identities of which state has been read
	failed     map[string]map[string]lifecycle.Record // identities whose creation failed, with what is in state of them
}

type leavingAccount struct{ identity, id string }

type accountClaim struct {
	identity string
	creating bool
}

func newPlannedAccounts() *plannedAccounts {
	return &plannedAccounts{
		claims: make(map[accountKey][]accountClaim), realms: make(map[accountKey]string), identities: make(map[string]map[string]struct{}),
		created: make(map[string]bool), ids: make(map[accountKey]string), statuses: make(map[accountKey]nhi.Status),
		leaving: make(map[accountKey]leavingAccount), known: make(map[accountKey]string), recorded: make(map[string]bool),
		failed: make(map[string]map[string]lifecycle.Record),
	}
}

// claim registers an account for an identity and returns an error if another declaration has it. A replacement is
// planned twice, once with its prior state and once as a creation.
func (p *plannedAccounts) claim(platform, account, identity string, creating bool) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	key := accountKey{platform, account}
	for _, other := range p.claims[key] {
		if other.identity != identity {
			return fmt.Errorf("account %q on platform %q is also declared by the identity %q; an account belongs to one identity: "+
				"give one of them another name", account, platform, other.identity)
		}
		if other.creating == creating {
			return fmt.Errorf("account %q on platform %q is declared twice, by two nhi_identity resources named %q; "+
				"names of identities are unique in a stack", account, platform, identity)
		}
	}
	p.claims[key] = append(p.claims[key], accountClaim{identity, creating})
	p.known[key] = identity
	return nil
}

// record notes the accounts that state has of an identity.
func (p *plannedAccounts) record(identity string, records map[string]lifecycle.Record) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.recorded[identity] = true
	for platform, r := range records {
		p.known[accountKey{platform, r.Name}] = identity
	}
}

// fail notes that the creation of an identity failed, and what it has left in state.
func (p *plannedAccounts) fail(identity string, records map[string]lifecycle.Record) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.failed[identity] = records
}

// spares reports whether the creation of an identity failed that has nothing on a platform: what is there stays.
func (p *plannedAccounts) spares(identity, platform string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	records, failed := p.failed[identity]
	_, recorded := records[platform]
	return failed && !recorded
}

// knows is the lifecycle.Claims of an identity, by state and configuration.
func (p *plannedAccounts) knows(identity string) lifecycle.Claims {
	return func(platform, account string) (theirs, known bool) {
		p.mu.Lock()
		defer p.mu.Unlock()
		_, planned := p.identities[identity]
		return p.known[accountKey{platform, account}] == identity, planned || p.recorded[identity]
	}
}

// claimRealm registers an account in the space that several platforms may share, and returns an error if another
// platform's account is the same one.
func (p *plannedAccounts) claimRealm(realm, account, platform string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	key := accountKey{realm, account}
	if other, taken := p.realms[key]; taken && other != platform {
		return fmt.Errorf("platforms %q and %q are parts of one system (%s), in which account names are unique, so both account blocks "+
			"would mean the same account %q. Give one of them another name", other, platform, realm, account)
	}
	p.realms[key] = platform
	return nil
}

// complete notes all platforms on which an identity has an account.
func (p *plannedAccounts) complete(identity string, platforms []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	set := make(map[string]struct{}, len(platforms))
	for _, platform := range platforms {
		set[platform] = struct{}{}
	}
	p.identities[identity] = set
}

// own notes that an account is an identity's once the plan is applied: it is recorded, or will be adopted.
func (p *plannedAccounts) own(platform, account, id string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ids[accountKey{platform, account}] = id
}

// disown takes back what own has noted of accounts.
func (p *plannedAccounts) disown(records map[string]lifecycle.Record) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for platform, r := range records {
		delete(p.ids, accountKey{platform, r.Name})
	}
}

// owned is the id of an account that own has noted, "" if it has not.
func (p *plannedAccounts) owned(platform, account string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.ids[accountKey{platform, account}]
}

// become notes what an account is once the plan is applied, "" if that is not known before.
func (p *plannedAccounts) become(platform, account string, status nhi.Status) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.statuses[accountKey{platform, account}] = status
}

// becomes is the status that become has noted; planned is false if it has not.
func (p *plannedAccounts) becomes(platform, account string) (status nhi.Status, planned bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	status, planned = p.statuses[accountKey{platform, account}]
	return status, planned
}

// leave notes that the accounts of an identity are deleted before the one that replaces it is made. The first of the two
// plannings of a replacement knows that.
func (p *plannedAccounts) leave(identity string, records map[string]lifecycle.Record) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for platform, r := range records {
		p.leaving[accountKey{platform, r.Name}] = leavingAccount{identity, r.ID}
	}
}

// leaves reports whether leave has noted this very account.
func (p *plannedAccounts) leaves(platform string, account nhi.Account) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	noted, ok := p.leaving[accountKey{platform, account.Name}]
	return ok && noted == leavingAccount{account.Mark.Identity, account.ID}
}

// create notes that the plan makes the identity, also where not all of its accounts are known.
func (p *plannedAccounts) create(identity string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.created[identity] = true
}

// creates reports whether the plan makes the identity, anew or for the first time.
func (p *plannedAccounts) creates(identity string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.created[identity]
}

// lacks reports whether the configuration declares the identity, and without an account on the platform.
func (p *plannedAccounts) lacks(identity, platform string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	set, declared := p.identities[identity]
	_, has := set[platform]
	return declared && !has
}
