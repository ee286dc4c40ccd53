package fleet

import (
	"context"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
)

// script is what a fake does: every call is counted under its name and then goes to the function, if there is one.
type script struct {
	mu       sync.Mutex
	calls    map[string]int
	on       func(ctx context.Context, op string, call int) error
	target   driver.Target
	classify func(error) driver.Verdict
	accounts map[string]nhi.Account // by id
	closed   int
}

func newScript(accounts ...nhi.Account) *script {
	s := &script{calls: map[string]int{}, target: driver.Target{ID: "t-1"}, accounts: map[string]nhi.Account{}}
	for _, a := range accounts {
		s.accounts[a.ID] = a
	}
	return s
}

func account(id string, mark nhi.Mark) nhi.Account {
	return nhi.Account{Ref: nhi.Ref{Name: "name-" + id, ID: id}, Mark: mark, Status: nhi.Active}
}

// count returns how often op was called.
func (s *script) count(op string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls[op]
}

func (s *script) step(ctx context.Context, op string) error {
	s.mu.Lock()
	s.calls[op]++
	call, on := s.calls[op], s.on
	s.mu.Unlock()
	if on == nil {
		return nil
	}
	return on(ctx, op, call)
}

// bare implements driver.Driver on a script, and no capability.
type bare struct{ *script }

func (d bare) Probe(ctx context.Context) (driver.Target, error) {
	return d.target, d.step(ctx, "probe")
}

func (d bare) ReadAccount(ctx context.Context, ref nhi.Ref) (nhi.Account, error) {
	if err := d.step(ctx, "read"); err != nil {
		return nhi.Account{}, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, a := range d.accounts {
		if ref.ID != "" && a.ID == ref.ID || ref.ID == "" && a.Name == ref.Name {
			return a, nil
		}
	}
	return nhi.Account{}, driver.Errorf(driver.NotFound, "no account %q", ref.Name)
}

func (d bare) CreateAccount(ctx context.Context, spec driver.AccountSpec) (nhi.Ref, error) {
	return nhi.Ref{Name: spec.Name, ID: "new"}, d.step(ctx, "create")
}

func (d bare) UpdateAccount(ctx context.Context, _ nhi.Ref, _ driver.AccountChange) error {
	return d.step(ctx, "update")
}

func (d bare) DeleteAccount(ctx context.Context, _ nhi.Ref) error { return d.step(ctx, "delete") }

func (d bare) Grant(ctx context.Context, _ nhi.Ref, _ []nhi.Entitlement) error {
	return d.step(ctx, "grant")
}

func (d bare) Revoke(ctx context.Context, _ nhi.Ref, _ []nhi.Entitlement) error {
	return d.step(ctx, "revoke")
}

func (d bare) Classify(err error) driver.Verdict {
	if d.classify == nil {
		return driver.Verdict{}
	}
	return d.classify(err)
}

func (d bare) Close() error {
	d.closed++
	return d.step(context.Background(), "close")
}

// able is bare with what the fleet itself uses of the capabilities.
type able struct{ bare }

func (d able) Suspend(ctx context.Context, _ nhi.Ref) error     { return d.step(ctx, "suspend") }
func (d able) Resume(ctx context.Context, _ nhi.Ref) error      { return d.step(ctx, "resume") }
func (d able) EndSessions(ctx context.Context, _ nhi.Ref) error { return d.step(ctx, "end sessions") }
func (d able) Slots() int                                       { return 1 }

func (d able) Issue(context.Context, nhi.Ref, driver.IssueRequest) (driver.Issued, error) {
	return driver.Issued{}, driver.Errorf(driver.Unsupported, "not scripted")
}

func (d able) RevokeCredential(ctx context.Context, _ nhi.Ref, _ string) error {
	return d.step(ctx, "revoke credential")
}

// Sweep has two accounts on a page and counts as one call.
func (d able) Sweep(ctx context.Context, _ driver.SweepFilter, page func([]nhi.Account) error) error {
	d.mu.Lock()
	ids := slices.Sorted(maps.Keys(d.accounts))
	d.mu.Unlock()
	for chunk := range slices.Chunk(ids, 2) {
		var accounts []nhi.Account
		for _, id := range chunk {
			d.mu.Lock()
			accounts = append(accounts, d.accounts[id])
			d.mu.Unlock()
		}
		if err := page(accounts); err != nil {
			return err
		}
	}
	return d.step(ctx, "sweep")
}

// pauses records how long the retries would have waited.
type pauses struct {
	mu   sync.Mutex
	all  []time.Duration
	hook func(ctx context.Context) error
}

func (p *pauses) sleep(ctx context.Context, d time.Duration) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.all = append(p.all, d)
	if p.hook != nil {
		return p.hook(ctx)
	}
	return ctx.Err()
}

// newTestPlatform makes a platform whose retries do not wait.
func newTestPlatform(d driver.Driver, change func(*Config)) (*Platform, *pauses) {
	config := Config{Name: "crm", Open: func() (driver.Driver, error) { return d, nil }}
	if change != nil {
		change(&config)
	}
	waits, policy := &pauses{}, defaultRetry()
	policy.sleep = waits.sleep
	return newPlatform("stack", config, policy), waits
}

func connect(t *testing.T, p *Platform) *Conn {
	t.Helper()
	conn, err := p.connect(t.Context(), "")
	if err != nil {
		t.Fatalf("connect: %v", err)
	}
	return conn
}

func wantCode(t *testing.T, err error, want driver.Code) {
	t.Helper()
	if err == nil || driver.CodeOf(err) != want {
		t.Fatalf("error %v, want one of the code %q", err, want)
	}
}
