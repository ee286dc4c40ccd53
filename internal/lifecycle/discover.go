package lifecycle

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/nhi-labs/terraform-provider-nhi/internal/fleet"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
)

// Manager says who manages what was found, seen from this stack.
type Manager string

// The managers. Their texts are what users write and read.
const (
	ThisStack    Manager = "this_stack"
	AnotherStack Manager = "another_stack"
	Nobody       Manager = "nobody"
)

// Managers lists every manager.
func Managers() []Manager { return []Manager{ThisStack, AnotherStack, Nobody} }

// Search says what Discover looks for. Every condition that is set must hold for one and the same account; an identity is
// found with all its accounts.
type Search struct {
	// Platforms are the platforms to look at; empty: every configured one.
	Platforms []string
	// Accounts says which accounts belong to an identity: identity → platform → account.
	Accounts map[string]map[string]string
	// ManagedBy, if set, is who manages the account.
	ManagedBy Manager
	// Name, if set, matches the account's name; * stands for any text and ? for any letter.
	Name string
	// Suspended, if set, is whether the account is suspended.
	Suspended *bool
	// UnusedSince, if set, finds accounts none of whose credentials was made or used since. Where the platform does not tell
	// (driver.Spec.TellsLastUse) nothing is found.
	UnusedSince time.Time
	// CredentialBefore, if set, finds accounts with a credential that was made before.
	CredentialBefore time.Time
}

// Discovered is one identity as the platforms show it. Each account is on another platform.
type Discovered struct {
	// Name is the identity's: what its mark says; else what the search or the accounts' own name says, in letters that an
	// identity's name may have, unique among what was found.
	Name      string
	ManagedBy Manager
	Stack     string // of the mark, "" without one
	Accounts  map[string]nhi.Account
	Records   map[string]Record
	members   []located
}

// Discover reads all accounts of the platforms, joins those of one identity, and calls found with each that matches, until
// it returns false. Accounts of one identity are those with its mark; those that the search assigns to it; and those
// that nobody marked, of the same name and status. Of one platform, accounts come as they are read and reading stops with
// found; several are read to their end before the first call, because an account of any identity may come last.
// If a platform cannot be read, what is there is not known: several platforms are then not reported at all.
func Discover(ctx context.Context, f *fleet.Fleet, s Search, found func(Discovered) bool) Problems {
	platforms := s.Platforms
	if len(platforms) == 0 {
		platforms = f.Names()
	}
	platforms = slices.Compact(slices.Sorted(slices.Values(platforms)))
	j := newJoin(f, s)
	if len(platforms) == 1 {
		return each(ctx, map[string]struct{}{platforms[0]: {}}, func(platform string, _ struct{}) error {
			return readAccounts(ctx, f, platform, func(a located) bool { return j.alone(a, found) })
		})
	}
	work, read := make(map[string]struct{}), newCollected[[]located]()
	for _, platform := range platforms {
		work[platform] = struct{}{}
	}
	problems := each(ctx, work, func(platform string, _ struct{}) error {
		var all []located
		err := readAccounts(ctx, f, platform, func(a located) bool {
			all = append(all, a)
			return true
		})
		read.set(platform, all)
		return err
	})
	if len(problems) > 0 {
		return problems
	}
	var all []located
	for _, platform := range platforms {
		all = append(all, read.m[platform]...)
	}
	j.all(all, found)
	return nil
}

// located is one account with where it was found.
type located struct {
	conn    *fleet.Conn
	account nhi.Account
}

func (l located) platform() string { return l.conn.Platform().Name() }

// readAccounts calls account with each account of a platform once, until it returns false.
func readAccounts(ctx context.Context, f *fleet.Fleet, platform string, account func(located) bool) error {
	conn, err := connect(ctx, f, platform, "")
	if err != nil {
		return err
	}
	seen := make(map[string]bool)
	return conn.All(ctx, func(page []nhi.Account) bool {
		for _, a := range page {
			if key := cmp.Or(a.ID, a.Name); !seen[key] {
				seen[key] = true
				if !account(located{conn, a}) {
					return false
				}
			}
		}
		return true
	})
}
