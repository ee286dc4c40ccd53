package lifecycle_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/nhi-labs/terraform-provider-nhi/internal/lifecycle"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
)

// party is one of two grants of a run that share an account.
type party func(t *testing.T, w *world, shared *lifecycle.Shared) lifecycle.Problems

// updates makes a party that declares something else than what the plan has shown.
func updates(shown, declared []string) party {
	return func(t *testing.T, w *world, shared *lifecycle.Shared) lifecycle.Problems {
		g := grant(onAll(declared...))
		g.Exclusive, g.Shared = false, shared
		held, _, problems := lifecycle.UpdateGrant(t.Context(), w.fleet(), g, onAll(shown...), nil)
		if diff := cmp.Diff(onAll(declared...), held); diff != "" {
			t.Errorf("recorded (-want +got):\n%s", diff)
		}
		return problems
	}
}

func creates(declared ...string) party {
	return func(t *testing.T, w *world, shared *lifecycle.Shared) lifecycle.Problems {
		g := grant(onAll(declared...))
		g.Shared = shared
		_, _, problems := lifecycle.CreateGrant(t.Context(), w.fleet(), g)
		return problems
	}
}

func deletes(shown ...string) party {
	return func(t *testing.T, w *world, shared *lifecycle.Shared) lifecycle.Problems {
		g := grant(onAll(shown...))
		g.Shared = shared
		_, problems := lifecycle.DeleteGrant(t.Context(), w.fleet(), g, onAll(shown...), nil)
		return problems
	}
}

func expires(declared ...string) party {
	return func(t *testing.T, w *world, shared *lifecycle.Shared) lifecycle.Problems {
		g := grant(onAll(declared...))
		g.Expired, g.Shared = true, shared
		_, _, problems := lifecycle.UpdateGrant(t.Context(), w.fleet(), g, onAll(declared...), nil)
		return problems
	}
}

// TestMoveBetweenGrants: an entitlement that goes from one grant to another is held afterwards, whoever is first.
func TestMoveBetweenGrants(t *testing.T) {
	for name, test := range map[string]struct {
		gives, takes party
		want         []string
	}{
		"update, update":   {updates([]string{"before", "kept"}, []string{"kept"}), updates(nil, []string{"before"}), []string{"before", "kept"}},
		"deletion, update": {deletes("before", "kept"), updates(nil, []string{"before"}), []string{"before"}},
		"update, creation": {updates([]string{"before", "kept"}, []string{"kept"}), creates("before", "new"), []string{"before", "kept", "new"}},
		"rename":           {deletes("before", "kept"), creates("before", "kept"), []string{"before", "kept"}},
		"expiry, creation": {expires("before", "kept"), creates("before"), []string{"before"}},
		"nobody takes it":  {deletes("before", "kept"), updates(nil, []string{"new"}), []string{"new"}},
		"both give it up":  {deletes("before", "kept"), updates([]string{"before", "kept"}, nil), nil},
	} {
		for order, parties := range map[string][]party{"gives first": {test.gives, test.takes}, "takes first": {test.takes, test.gives}} {
			t.Run(name+"/"+order, func(t *testing.T) {
				w := newWorld()
				holders(t, w)
				shared := new(lifecycle.Shared)
				for _, p := range parties {
					must(t, p(t, w, shared))
				}
				wantHeld(t, w, test.want...)
				w.checkForeign(t)
			})
		}
		t.Run(name+"/at once", func(t *testing.T) {
			for range 20 {
				w := newWorld()
				holders(t, w)
				shared := new(lifecycle.Shared)
				var wg sync.WaitGroup
				for _, p := range []party{test.gives, test.takes} {
					wg.Go(func() {
						if problems := p(t, w, shared); len(problems) > 0 {
							t.Errorf("problems %v", problems)
						}
					})
				}
				wg.Wait()
				wantHeld(t, w, test.want...)
			}
		})
	}
}

// TestMoveToAGrantThatCannotBeMade: what was left to it goes with it.
func TestMoveToAGrantThatCannotBeMade(t *testing.T) {
	w := newWorld()
	holders(t, w)
	w.c.edit("billing", func(a *nhi.Account) { a.Entitlements = roles("kept") })
	w.disarm()
	shared, given := new(lifecycle.Shared), make(chan struct{})
	w.c.refuse = func(op string) error {
		if op != "grant" {
			return nil
		}
		<-given
		return errRefused
	}
	var problems lifecycle.Problems
	var wg sync.WaitGroup
	wg.Go(func() { problems = creates("before")(t, w, shared) })
	w.a.awaitRead()
	w.b.awaitRead()
	shown := lifecycle.Entitlements{"a": roles("before", "kept"), "b": roles("before", "kept")}
	gives := lifecycle.Grant{Identity: "billing", Shared: shared, Declared: lifecycle.Entitlements{"a": roles("kept"), "b": roles("kept")}}
	_, _, giving := lifecycle.UpdateGrant(t.Context(), w.fleet(), gives, shown, nil)
	must(t, giving)
	for _, account := range w.a.all() {
		if account.Name == "billing" && !slices.Equal(account.Entitlements, roles("before", "kept")) {
			t.Errorf("the grant that gave it up did not leave it: %v", account.Entitlements)
		}
	}
	close(given)
	wg.Wait()
	if len(problems) != 1 || problems[0].Platform != "c" {
		t.Errorf("problems %v", problems)
	}
	wantHeld(t, w, "kept")
}

// awaitRead waits until an account was read.
func (m *memory) awaitRead() {
	for read := false; !read; time.Sleep(time.Millisecond) {
		m.mu.Lock()
		read = slices.Contains(m.ops, "read")
		m.mu.Unlock()
	}
}

// TestTurns: one at a time, whoever waits can give up, and other things do not wait.
func TestTurns(t *testing.T) {
	var turns lifecycle.Turns[string]
	end, err := turns.Take(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := turns.Take(ctx, "a"); !errors.Is(err, context.Canceled) {
		t.Errorf("taken twice: %v", err)
	}
	other, err := turns.Take(t.Context(), "b")
	if err != nil {
		t.Fatal(err)
	}
	other()
	end()
	if end, err = turns.Take(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	end()
}
