package lifecycle

import (
	"context"
	"fmt"
	"sync"

	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
)

// Turns lets one operation at a time work on a thing. The zero value is ready for use.
type Turns[K comparable] struct {
	mu    sync.Mutex
	taken map[K]chan struct{}
}

// Take waits for the turn of a thing and returns what ends it. It fails only if ctx ends first.
func (t *Turns[K]) Take(ctx context.Context, thing K) (end func(), err error) {
	t.mu.Lock()
	if t.taken == nil {
		t.taken = make(map[K]chan struct{})
	}
	turn, ok := t.taken[thing]
	if !ok {
		turn = make(chan struct{}, 1)
		t.taken[thing] = turn
	}
	t.mu.Unlock()
	select {
	case turn <- struct{}{}:
		return func() { <-turn }, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("waiting for another operation of this run: %w", context.Cause(ctx))
	}
}

// Shared keeps the grants of one run that are about the same account out of each other's way. Terraform knows of no order
// between them, so what one of them takes away may be what another one has just found there: an entitlement that moves from
// one grant to the other would be lost. The zero value is ready for use; a nil Shared is that of a run with one grant.
type Shared struct {
	turns Turns[sharedKey]

	mu       sync.Mutex
	accounts map[sharedKey]*sharedAccount
}

type sharedKey struct{ platform, account string }

// sharedAccount counts the grants of this run that declare an entitlement, and notes what was left to them.
type sharedAccount struct {
	declared map[nhi.Entitlement]int
	spared   []nhi.Entitlement
}

// visit is one grant's turn at an account, from before it is read until what was done is read back.
type visit struct {
	shared   *Shared
	account  *sharedAccount
	declared []nhi.Entitlement
	end      func()
}

// enter waits for the turn at the account and notes what the grant declares there.
func (s *Shared) enter(ctx context.Context, platform, account string, declared []nhi.Entitlement) (*visit, error) {
	if s == nil {
		s = new(Shared)
	}
	key := sharedKey{platform, account}
	end, err := s.turns.Take(ctx, key)
	if err != nil {
		return nil, err
	}
	v := &visit{shared: s, account: s.at(key), declared: declared, end: end}
	v.count(1)
	return v, nil
}

// Declare notes what a grant declares on an account that this run does not change.
func (s *Shared) Declare(platform, account string, declared []nhi.Entitlement) {
	v := visit{shared: s, account: s.at(sharedKey{platform, account}), declared: declared}
	v.count(1)
}

func (s *Shared) at(key sharedKey) *sharedAccount {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.accounts == nil {
		s.accounts = make(map[sharedKey]*sharedAccount)
	}
	if s.accounts[key] == nil {
		s.accounts[key] = &sharedAccount{declared: make(map[nhi.Entitlement]int)}
	}
	return s.accounts[key]
}

func (v *visit) count(by int) {
	v.shared.mu.Lock()
	defer v.shared.mu.Unlock()
	for _, e := range v.declared {
		v.account.declared[e] += by
	}
}

// keeps is what grants of this run declare on the account.
func (v *visit) keeps() []nhi.Entitlement { return v.shared.declared(v.account) }

func (s *Shared) declared(account *sharedAccount) []nhi.Entitlement {
	s.mu.Lock()
	defer s.mu.Unlock()
	var es []nhi.Entitlement
	for e, grants := range account.declared {
		if grants > 0 {
			es = append(es, e)
		}
	}
	return nhi.SortEntitlements(es)
}

// Declared returns what grants of this run have declared on an account so far.
func (s *Shared) Declared(platform, account string) []nhi.Entitlement {
	return s.declared(s.at(sharedKey{platform, account}))
}

// spare notes what the grant would have taken away if no other one declared it.
func (v *visit) spare(es []nhi.Entitlement) {
	v.shared.mu.Lock()
	defer v.shared.mu.Unlock()
	v.account.spared = nhi.Union(v.account.spared, es)
}

// withdraw forgets what the grant has declared. It returns what was left to it and nobody declares now.
func (v *visit) withdraw() []nhi.Entitlement {
	v.count(-1)
	orphaned := nhi.Without(v.declared, v.keeps())
	v.declared = nil
	v.shared.mu.Lock()
	defer v.shared.mu.Unlock()
	return nhi.Intersect(v.account.spared, orphaned)
}
