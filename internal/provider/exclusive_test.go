package provider

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
)

func roles(names string) []nhi.Entitlement {
	var es []nhi.Entitlement
	for name := range strings.FieldsSeq(names) {
		es = append(es, nhi.Entitlement{Type: "role", Target: name})
	}
	return es
}

func TestConflictingGrants(t *testing.T) {
	strict := func(id, holds, tolerates string) grantClaim {
		return grantClaim{exclusive: true, fingerprint: id, entitlements: roles(holds), tolerated: roles(tolerates)}
	}
	loose := func(id, holds string) grantClaim { return grantClaim{fingerprint: id, entitlements: roles(holds)} }
	created := func(c grantClaim) grantClaim {
		c.creating = true
		return c
	}
	tolerating := func(c grantClaim, es string) grantClaim {
		c.tolerated = roles(es)
		return c
	}
	ending := func(c grantClaim) grantClaim {
		c.ends = true
		return c
	}
	for _, test := range []struct {
		name          string
		first, second grantClaim
		want          string
	}{
		{"two exclusive ones", strict("1", "a", ""), strict("2", "b", ""), "another exclusive grant in this configuration"},
		{"two exclusive ones that tolerate each other", strict("1", "a", "b"), strict("2", "b", "a"), "another exclusive grant"},
		{"two exclusive ones, created, alike", created(strict("1", "a", "")), created(strict("1", "a", "")), "another exclusive grant"},
		{"one grant, replaced", strict("1", "a", ""), created(strict("1", "a", "")), ""},
		{"two others", loose("1", "a b"), loose("2", "c"), ""},
		{"two others that give the same", loose("1", "a b"), loose("2", "b c"), "the same: role:b. Whichever"},
		{"two others, and one tolerates it", tolerating(loose("1", "a b"), "b"), loose("2", "b c"), ""},
		{"what the other one gives is tolerated", strict("1", "a", "b"), loose("2", "b"), ""},
		{"both give it", strict("1", "a b", ""), loose("2", "b"), "the same: role:b. Whichever"},
		{"both give it, and one tolerates it", strict("1", "a b", "b"), loose("2", "b"), ""},
		{"both give it, and one that ends tolerates it", ending(strict("1", "a b", "b")), loose("2", "b"), ""},
		{"both give it, and one that ends does not tolerate it", strict("1", "a b", "b"), ending(loose("2", "b")), "the same: role:b. Whichever"},
		{"it is not tolerated", strict("1", "a", "b"), loose("2", "b c d"), "would revoke what another grant gives it: role:c, role:d."},
	} {
		for _, order := range [][]grantClaim{{test.first, test.second}, {test.second, test.first}} {
			g := newExclusiveGrants()
			if err := g.claim("crm", "billing", order[0]); err != nil {
				t.Errorf("%s: the first claim: %v", test.name, err)
			}
			for place, want := range map[[2]string]string{{"crm", "billing"}: test.want, {"crm", "x"}: "", {"x", "billing"}: ""} {
				err := g.claim(place[0], place[1], order[1])
				if (err == nil) != (want == "") || err != nil && (!strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), `"billing"`)) {
					t.Errorf("%s, on %v: error %v, want %q", test.name, place, err, want)
				}
			}
		}
	}
}

// TestClaimsAtTheSameTime: of many exclusive grants on one account exactly one has no error.
func TestClaimsAtTheSameTime(t *testing.T) {
	g := newExclusiveGrants()
	var mu sync.Mutex
	var wg sync.WaitGroup
	accepted := 0
	for i := range 16 {
		wg.Go(func() {
			if g.claim("crm", "billing", grantClaim{exclusive: true, fingerprint: fmt.Sprint(i)}) == nil {
				mu.Lock()
				defer mu.Unlock()
				accepted++
			}
		})
	}
	wg.Wait()
	if accepted != 1 {
		t.Errorf("%d were accepted", accepted)
	}
}
