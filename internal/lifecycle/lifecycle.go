// Package lifecycle carries out on the platforms what identities and grants declare: it observes, lets package
// reconcile decide, and runs the steps on all platforms in parallel. It knows nothing of Terraform.
//
// Creating is all or nothing. Updating and removing go as far as they can: one platform that fails does not stop the
// others, and what is returned per platform is what reading back saw.
package lifecycle

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/nhi-labs/terraform-provider-nhi/internal/audit"
	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/fleet"
	"github.com/nhi-labs/terraform-provider-nhi/internal/guard"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
	"github.com/nhi-labs/terraform-provider-nhi/internal/reconcile"
)

// Problem is what went wrong on one platform.
type Problem struct {
	Platform string
	Err      error
}

// Problems collects what went wrong on several platforms, ordered by platform.
type Problems []Problem

func (p Problems) Error() string {
	texts := make([]string, len(p))
	for i, problem := range p {
		texts[i] = problem.Err.Error()
	}
	return strings.Join(texts, "\n")
}

// Platforms lists the platforms that have a problem, without repetition.
func (p Problems) Platforms() []string {
	var names []string
	for _, problem := range p {
		names = append(names, problem.Platform)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// each runs f for every platform at the same time and collects the errors. A panic in f is the problem of its platform
// alone.
func each[V any](ctx context.Context, work map[string]V, f func(platform string, v V) error) Problems {
	var (
		mu       sync.Mutex
		problems Problems
		wg       sync.WaitGroup
	)
	for platform, v := range work {
		wg.Go(func() {
			if err := guard.Call(ctx, "the provider", func() error { return f(platform, v) }); err != nil {
				mu.Lock()
				defer mu.Unlock()
				problems = append(problems, Problem{platform, err})
			}
		})
	}
	wg.Wait()
	slices.SortStableFunc(problems, func(a, b Problem) int { return strings.Compare(a.Platform, b.Platform) })
	return problems
}

// collected is a map that parallel work fills.
type collected[V any] struct {
	mu sync.Mutex
	m  map[string]V
}

func newCollected[V any]() *collected[V] { return &collected[V]{m: make(map[string]V)} }

func (c *collected[V]) set(platform string, v V) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.m[platform] = v
}

func (c *collected[V]) drop(platform string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.m, platform)
}

func collectedFrom[V any](m map[string]V) *collected[V] {
	c := newCollected[V]()
	maps.Copy(c.m, m)
	return c
}

// connect returns the platform by its name, checked against the target that state records for it.
func connect(ctx context.Context, f *fleet.Fleet, platform, target string) (*fleet.Conn, error) {
	return f.Connect(ctx, platform, target)
}

// begun is the context of what takes back a change that was begun, or makes good what failed in it: neither an interrupt stops it
// half-way, nor a sink that takes no events.
func begun(ctx context.Context) context.Context { return audit.Begun(context.WithoutCancel(ctx)) }

// unacknowledged reports whether a change was not begun because a sink did not take what announces it. Its error has the code
// Unavailable, and yet no answer was lost.
func unacknowledged(err error) bool {
	var refusal *audit.UnacknowledgedError
	return errors.As(err, &refusal)
}

// run carries out steps one after the other and stops at the first that fails, or between steps when ctx ends.
func run(ctx context.Context, conn *fleet.Conn, ref nhi.Ref, steps []reconcile.Step) error {
	for _, step := range steps {
		if err := conn.Do(ctx, ref, step); err != nil {
			return err
		}
	}
	return nil
}

// absent reads an account that may be gone: gone is true only if the platform itself said so, and of nothing that is left of
// the account.
func absent(ctx context.Context, conn *fleet.Conn, ref nhi.Ref) (account nhi.Account, gone bool, err error) {
	account, err = conn.ReadNow(ctx, ref)
	if err != nil && driver.CodeOf(err) == driver.NotFound && !leavesRest(err) {
		return nhi.Account{}, true, nil
	}
	return account, false, err
}

// tolerant runs every step even if one before it failed, and returns all errors.
func tolerant(ctx context.Context, conn *fleet.Conn, ref nhi.Ref, steps []reconcile.Step) error {
	var all []error
	for _, step := range steps {
		all = append(all, conn.Do(ctx, ref, step))
	}
	return errors.Join(all...)
}
