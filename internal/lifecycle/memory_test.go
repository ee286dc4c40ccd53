package lifecycle_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
)

// mode is how an operation of a memory fails.
type mode string

const (
	refused   mode = "refused"   // nothing is done
	lost      mode = "lost"      // it takes effect, and the answer is lost
	cancelled mode = "cancelled" // the run is interrupted just before
	panics    mode = "panics"
	dead      mode = "dead" // from then on every operation is refused
)

var (
	errRefused = errors.New("scripted refusal")
	errLost    = errors.New("scripted loss of the answer")
)

// memory is a platform in memory whose operations are counted, and one of which can be made to fail.
type memory struct {
	name string

	mu       sync.Mutex
	accounts map[string]nhi.Account // by id
	made     int
	calls    int
	failAt   int // 0: no operation fails
	mode     mode
	cancel   context.CancelFunc
	// refuse, if set, is asked about every operation.
	refuse func(op string) error
	ops    []string
	// folds makes names of another case the same name; rewrites makes every new name lower case.
	folds, rewrites bool
}

func newMemory(name string) *memory {
	return &memory{name: name, accounts: map[string]nhi.Account{}}
}

// arm makes the n-th operation from now on fail.
func (m *memory) arm(n int, how mode, cancel context.CancelFunc) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.calls, m.failAt, m.mode, m.cancel, m.ops = 0, n, how, cancel, nil
}

// do carries out an operation, or not.
func (m *memory) do(ctx context.Context, op string, f func() error) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.calls++
	m.ops = append(m.ops, op)
	if m.refuse != nil {
		if err := m.refuse(op); err != nil {
			return err
		}
	}
	hit := m.failAt > 0 && (m.calls == m.failAt || m.mode == dead && m.calls > m.failAt)
	switch {
	case hit && (m.mode == refused || m.mode == dead):
		return errRefused
	case hit && m.mode == lost:
		return errors.Join(errLost, f())
	case hit && m.mode == panics:
		panic("scripted panic")
	case hit && m.mode == cancelled:
		m.cancel()
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return f()
}

func (m *memory) find(ref nhi.Ref) (nhi.Account, error) {
	for _, a := range m.accounts {
		if ref.ID != "" && a.ID == ref.ID || ref.ID == "" && m.same(a.Name, ref.Name) {
			return copied(a), nil
		}
	}
	return nhi.Account{}, driver.Errorf(driver.NotFound, "no account %q (%s)", ref.Name, ref.ID)
}

func (m *memory) same(a, b string) bool { return a == b || m.folds && strings.EqualFold(a, b) }

func copied(a nhi.Account) nhi.Account {
	a.Entitlements, a.Credentials, a.Settings = slices.Clone(a.Entitlements), slices.Clone(a.Credentials), maps.Clone(a.Settings)
	return a
}

// put adds an account behind the back of the provider.
func (m *memory) put(a nhi.Account) nhi.Account {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.made++
	a.ID = fmt.Sprintf("%s-%d", m.name, m.made)
	a.Status = cmp.Or(a.Status, nhi.Active)
	if a.Settings == nil {
		a.Settings = map[string]string{"note": ""}
	}
	m.accounts[a.ID] = a
	return a
}

// edit changes an account behind the back of the provider.
func (m *memory) edit(name string, f func(a *nhi.Account)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	a, err := m.find(nhi.Ref{Name: name})
	if err != nil {
		panic(err)
	}
	f(&a)
	m.accounts[a.ID] = a
}

func (m *memory) drop(name string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	maps.DeleteFunc(m.accounts, func(_ string, a nhi.Account) bool { return a.Name == name })
}

// all returns what is there, sorted by name.
func (m *memory) all() []nhi.Account {
	m.mu.Lock()
	defer m.mu.Unlock()
	var all []nhi.Account
	for _, a := range m.accounts {
		all = append(all, copied(a))
	}
	slices.SortFunc(all, func(a, b nhi.Account) int { return cmp.Compare(a.Name, b.Name) })
	return all
}

func (m *memory) update(ctx context.Context, op string, ref nhi.Ref, f func(a *nhi.Account)) error {
	return m.do(ctx, op, func() error {
		a, err := m.find(ref)
		if err != nil {
			return err
		}
		f(&a)
		m.accounts[a.ID] = a
		return nil
	})
}

// updateIfThere is update for what succeeds when the account is gone.
func (m *memory) updateIfThere(ctx context.Context, op string, ref nhi.Ref, f func(a *nhi.Account)) error {
	err := m.update(ctx, op, ref, f)
	if driver.CodeOf(err) == driver.NotFound {
		return nil
	}
	return err
}

// plain implements driver.Driver on a memory, and no capability.
type plain struct{ m *memory }

func (p plain) Probe(ctx context.Context) (driver.Target, error) {
	return driver.Target{ID: "target-" + p.m.name}, p.m.do(ctx, "probe", func() error { return nil })
}

func (p plain) ReadAccount(ctx context.Context, ref nhi.Ref) (a nhi.Account, err error) {
	err = p.m.do(ctx, "read", func() (err error) {
		a, err = p.m.find(ref)
		return err
	})
	return a, err
}

func (p plain) CreateAccount(ctx context.Context, spec driver.AccountSpec) (ref nhi.Ref, err error) {
	err = p.m.do(ctx, "create", func() error {
		if _, err := p.m.find(nhi.Ref{Name: spec.Name}); err == nil {
			return driver.Errorf(driver.AlreadyExists, "account %q exists", spec.Name)
		}
		p.m.made++
		ref = nhi.Ref{Name: spec.Name, ID: fmt.Sprintf("%s-%d", p.m.name, p.m.made)}
		if p.m.rewrites {
			ref.Name = strings.ToLower(ref.Name)
		}
		a := nhi.Account{Ref: ref, Mark: spec.Mark, Status: nhi.Active, Settings: map[string]string{"note": ""}, ExpiresAt: spec.ExpiresAt}
		if spec.Suspended {
			a.Status = nhi.Suspended
		}
		maps.Copy(a.Settings, spec.Settings)
		p.m.accounts[ref.ID] = a
		return nil
	})
	return ref, err
}

func (p plain) UpdateAccount(ctx context.Context, ref nhi.Ref, change driver.AccountChange) error {
	return p.m.update(ctx, "update", ref, func(a *nhi.Account) {
		if change.Mark != nil {
			a.Mark = *change.Mark
		}
		if change.ExpiresAt != nil {
			a.ExpiresAt = *change.ExpiresAt
		}
		maps.Copy(a.Settings, change.Settings)
	})
}

func (p plain) DeleteAccount(ctx context.Context, ref nhi.Ref) error {
	return p.m.do(ctx, "delete", func() error {
		if a, err := p.m.find(ref); err == nil {
			delete(p.m.accounts, a.ID)
		}
		return nil
	})
}

func (p plain) Grant(ctx context.Context, ref nhi.Ref, es []nhi.Entitlement) error {
	return p.m.update(ctx, "grant", ref, func(a *nhi.Account) { a.Entitlements = nhi.Union(a.Entitlements, es) })
}

func (p plain) Revoke(ctx context.Context, ref nhi.Ref, es []nhi.Entitlement) error {
	return p.m.updateIfThere(ctx, "revoke", ref, func(a *nhi.Account) { a.Entitlements = nhi.Without(a.Entitlements, es) })
}

func (p plain) Classify(err error) driver.Verdict {
	verdict, _ := driver.Known(err)
	return verdict
}

func (p plain) Close() error { return nil }

// full is plain with the capabilities that the order of steps depends on.
type full struct{ plain }

func (f full) Suspend(ctx context.Context, ref nhi.Ref) error {
	return f.m.update(ctx, "suspend", ref, func(a *nhi.Account) { a.Status = nhi.Suspended })
}

func (f full) Resume(ctx context.Context, ref nhi.Ref) error {
	return f.m.update(ctx, "resume", ref, func(a *nhi.Account) { a.Status = nhi.Active })
}

func (f full) EndSessions(ctx context.Context, ref nhi.Ref) error {
	return f.m.updateIfThere(ctx, "end sessions", ref, func(*nhi.Account) {})
}

func (f full) Slots() int { return 2 }

func (f full) Issue(context.Context, nhi.Ref, driver.IssueRequest) (driver.Issued, error) {
	return driver.Issued{}, driver.Errorf(driver.Unsupported, "not needed")
}

func (f full) RevokeCredential(ctx context.Context, ref nhi.Ref, id string) error {
	return f.m.updateIfThere(ctx, "revoke credential", ref, func(a *nhi.Account) {
		a.Credentials = slices.DeleteFunc(a.Credentials, func(c nhi.Credential) bool { return c.ID == id })
	})
}

func (f full) Sweep(ctx context.Context, _ driver.SweepFilter, page func([]nhi.Account) error) error {
	var all []nhi.Account
	err := f.m.do(ctx, "sweep", func() error {
		for _, a := range f.m.accounts {
			all = append(all, copied(a))
		}
		return nil
	})
	if err != nil {
		return err
	}
	return page(all)
}
