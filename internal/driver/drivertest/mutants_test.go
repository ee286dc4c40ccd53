package drivertest_test

import (
	"context"
	"crypto/rand"
	"errors"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/driver/drivertest"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
	"github.com/nhi-labs/terraform-provider-nhi/internal/platform/sandbox/sandboxtest"
	"github.com/nhi-labs/terraform-provider-nhi/internal/secret"
)

// mutantEnv names, in a child process, the mutant that the suite runs against.
const mutantEnv = "DRIVERTEST_MUTANT"

// mutant is a driver that breaks the contract in one way.
type mutant struct {
	name string
	// fails is the case that must find it, and says a part of what it then says.
	fails, says string
	mutate      func(full) driver.Driver
}

// TestSuiteCatches runs the suite against broken drivers. A failing test cannot be observed from inside its process, so
// each mutant gets a process of its own, which is this test again.
func TestSuiteCatches(t *testing.T) {
	if name := os.Getenv(mutantEnv); name != "" {
		runMutant(t, name)
		return
	}
	executable, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range mutants() {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			pattern := "^TestSuiteCatches$/^" + strings.ReplaceAll(m.fails, "/", "$/^") + "$"
			child := exec.CommandContext(t.Context(), executable, "-test.v", "-test.run="+pattern) //nolint:gosec // Itself.
			child.Env = append(os.Environ(), mutantEnv+"="+m.name)
			output, err := child.CombinedOutput()
			switch text := string(output); {
			case err == nil:
				t.Errorf("%s passes:\n%s", m.fails, text)
			case !strings.Contains(text, "--- FAIL: TestSuiteCatches/"+m.fails) || !strings.Contains(text, m.says):
				t.Errorf("%s does not say %q:\n%s", m.fails, m.says, text)
			}
		})
	}
}

func runMutant(t *testing.T, name string) {
	t.Helper()
	for _, m := range mutants() {
		if m.name == name {
			drivertest.Run(t, mutantHarness{Harness: sandboxtest.New(t), mutate: m.mutate})
			return
		}
	}
	t.Fatalf("there is no mutant %q", name)
}

// mutantHarness opens mutants of sandboxes.
type mutantHarness struct {
	*sandboxtest.Harness
	mutate func(full) driver.Driver
}

func (h mutantHarness) Open(t *testing.T) driver.Driver {
	t.Helper()
	return h.mutated(t, h.Harness.Open(t))
}

func (h mutantHarness) WithFault(t *testing.T, fault drivertest.Fault) driver.Driver {
	t.Helper()
	return h.mutated(t, h.Harness.WithFault(t, fault))
}

func (h mutantHarness) mutated(t *testing.T, d driver.Driver) driver.Driver {
	t.Helper()
	whole, ok := d.(full)
	if !ok {
		t.Fatalf("%T lacks a capability", d)
	}
	return h.mutate(whole)
}

// full is a driver with every capability.
type full interface {
	driver.Driver
	driver.Suspender
	driver.Sweeper
	driver.Issuer
	driver.Verifier
	driver.SessionEnder
	driver.SecretStore
	driver.BulkExplainer
}

func mutants() []mutant {
	race := &race{meet: make(chan struct{})}
	return []mutant{
		{"adopts on create", "account/create_over_foreign", "succeeded, want", func(d full) driver.Driver { return adopts{d} }},
		{"deletes by name", "account/recreated_is_another", "read account", func(d full) driver.Driver { return deletesByName{d} }},
		{"grant replaces", "grant/foreign_survives", "entitlements of", func(d full) driver.Driver { return grantReplaces{d} }},
		{"grants one by one", "grant/all_or_nothing", "entitlements of", func(d full) driver.Driver { return grantsOneByOne{d} }},
		{"reads errors as absence", "fault/malformed", `the code is "not found"`, func(d full) driver.Driver { return readsAbsence{d} }},
		{"reads cuts as absence", "fault/cut", `the code is "not found"`, func(d full) driver.Driver { return readsAbsence{d} }},
		{"forgets the context", "context/cancelled", "succeeded, want", func(d full) driver.Driver { return forgetsContext{d} }},
		{"suspends nobody", "suspend/blocks_login", "login of", func(d full) driver.Driver { return suspendsNobody{d} }},
		{"suspends and strips", "suspend/twice", "changed", func(d full) driver.Driver { return suspendsAndStrips{d} }},
		{"evicts a credential", "credential/over_slots", "succeeded, want", func(d full) driver.Driver { return evicts{d} }},
		{"revokes every credential", "credential/two", "login of", func(d full) driver.Driver { return revokesAll{d} }},
		{"tells the secret", "credential/wrong_secret", "shows a secret", func(d full) driver.Driver { return tells{d} }},
		{"stores over others", "store/check_and_set", "succeeded, want", func(d full) driver.Driver { return storesOver{d} }},
		{"sweeps one page", "sweep/whole", "the sweep lacks account", func(d full) driver.Driver { return sweepsOnePage{d} }},
		{"sweeps twice", "sweep/whole", "came twice", func(d full) driver.Driver { return sweepsTwice{d} }},
		{"sweeps on", "sweep/stops_at_error", "want the page's error", func(d full) driver.Driver { return sweepsOn{d} }},
		{"explains absence as nothing", "explain/absent_account", "succeeded, want", func(d full) driver.Driver { return explainsNothing{d} }},
		{"explains errors as nothing", "fault/cut", "Explain: succeeded, want", func(d full) driver.Driver { return explainsNothing{d} }},
		{"forgets who holds directly", "explain/direct", "direct holdings of", func(d full) driver.Driver { return explainsDirect{d} }},
		{"explains everybody alike", "explain/all", "in bulk", func(d full) driver.Driver { return explainsAlike{d} }},
		{"folds names", "hostile/account_names", `read account "Bulk"`, func(d full) driver.Driver { return foldsNames{d} }},
		{"deletes by pattern", "hostile/account_names", "read account", func(d full) driver.Driver { return deletesByPattern{d} }},
		{"loses updates", "concurrent/one_account", "entitlements of", func(d full) driver.Driver { return losesUpdates{d, race} }},
		{"lacks a capability", "spec/capabilities", "-declared", func(d full) driver.Driver { return struct{ driver.Driver }{d} }},
		{"is another system every time", "probe/stable", "target ids are", func(d full) driver.Driver { return wanders{d} }},
	}
}

type adopts struct{ full }

func (d adopts) CreateAccount(ctx context.Context, spec driver.AccountSpec) (nhi.Ref, error) {
	ref, err := d.full.CreateAccount(ctx, spec)
	if driver.CodeOf(err) != driver.AlreadyExists {
		return ref, err
	}
	account, err := d.ReadAccount(ctx, nhi.Ref{Name: spec.Name})
	if err != nil {
		return nhi.Ref{}, err
	}
	return account.Ref, d.UpdateAccount(ctx, account.Ref, driver.AccountChange{Mark: &spec.Mark})
}

type deletesByName struct{ full }

func (d deletesByName) DeleteAccount(ctx context.Context, ref nhi.Ref) error {
	return d.full.DeleteAccount(ctx, nhi.Ref{Name: ref.Name})
}

type grantReplaces struct{ full }

func (d grantReplaces) Grant(ctx context.Context, ref nhi.Ref, es []nhi.Entitlement) error {
	account, err := d.ReadAccount(ctx, ref)
	if err != nil {
		return err
	}
	if err := d.Revoke(ctx, ref, account.Entitlements); err != nil {
		return err
	}
	return d.full.Grant(ctx, ref, es)
}

type grantsOneByOne struct{ full }

func (d grantsOneByOne) Grant(ctx context.Context, ref nhi.Ref, es []nhi.Entitlement) error {
	for i := range es {
		if err := d.full.Grant(ctx, ref, es[i:i+1]); err != nil {
			return err
		}
	}
	return nil
}

type readsAbsence struct{ full }

func (d readsAbsence) ReadAccount(ctx context.Context, ref nhi.Ref) (nhi.Account, error) {
	account, err := d.full.ReadAccount(ctx, ref)
	if err != nil {
		return account, driver.Errorf(driver.NotFound, "no account %q", ref.Name)
	}
	return account, nil
}

type forgetsContext struct{ full }

func (d forgetsContext) DeleteAccount(ctx context.Context, ref nhi.Ref) error {
	return d.full.DeleteAccount(context.WithoutCancel(ctx), ref)
}

type suspendsNobody struct{ full }

func (d suspendsNobody) Verify(ctx context.Context, login string, text secret.Value) error {
	account, err := d.ReadAccount(ctx, nhi.Ref{Name: login})
	if err != nil || account.Status != nhi.Suspended {
		return d.full.Verify(ctx, login, text)
	}
	return nil
}

type suspendsAndStrips struct{ full }

func (d suspendsAndStrips) Suspend(ctx context.Context, ref nhi.Ref) error {
	account, err := d.ReadAccount(ctx, ref)
	if err != nil {
		return err
	}
	if err := d.Revoke(ctx, ref, account.Entitlements); err != nil {
		return err
	}
	return d.full.Suspend(ctx, ref)
}

type evicts struct{ full }

func (d evicts) Issue(ctx context.Context, ref nhi.Ref, request driver.IssueRequest) (driver.Issued, error) {
	account, err := d.ReadAccount(ctx, ref)
	if err != nil {
		return driver.Issued{}, err
	}
	if len(account.Credentials) >= d.Slots() {
		if err := d.RevokeCredential(ctx, ref, account.Credentials[0].ID); err != nil {
			return driver.Issued{}, err
		}
	}
	return d.full.Issue(ctx, ref, request)
}

type revokesAll struct{ full }

func (d revokesAll) RevokeCredential(ctx context.Context, ref nhi.Ref, _ string) error {
	account, err := d.ReadAccount(ctx, ref)
	for _, c := range account.Credentials {
		if err == nil {
			err = d.full.RevokeCredential(ctx, ref, c.ID)
		}
	}
	return err
}

type tells struct{ full }

func (d tells) Verify(ctx context.Context, login string, text secret.Value) error {
	if err := d.full.Verify(ctx, login, text); err != nil {
		return driver.Errorf(driver.CodeOf(err), "login %s with %s: %w", login, text.Reveal(), err)
	}
	return nil
}

type storesOver struct{ full }

func (d storesOver) PutSecret(ctx context.Context, path string, s driver.StoredSecret) (int64, error) {
	there, err := d.GetSecret(ctx, path)
	if err != nil && driver.CodeOf(err) != driver.NotFound {
		return 0, err
	}
	s.Version = there.Version
	return d.full.PutSecret(ctx, path, s)
}

type sweepsOnePage struct{ full }

func (d sweepsOnePage) Sweep(ctx context.Context, filter driver.SweepFilter, page func([]nhi.Account) error) error {
	pages := 0
	return d.full.Sweep(ctx, filter, func(accounts []nhi.Account) error {
		if pages++; pages > 1 {
			return nil
		}
		return page(accounts)
	})
}

type sweepsTwice struct{ full }

func (d sweepsTwice) Sweep(ctx context.Context, filter driver.SweepFilter, page func([]nhi.Account) error) error {
	var last []nhi.Account
	return d.full.Sweep(ctx, filter, func(accounts []nhi.Account) error {
		overlapping := slices.Concat(last, accounts)
		last = accounts[len(accounts)-1:]
		return page(overlapping)
	})
}

type sweepsOn struct{ full }

func (d sweepsOn) Sweep(ctx context.Context, filter driver.SweepFilter, page func([]nhi.Account) error) error {
	return d.full.Sweep(ctx, filter, func(accounts []nhi.Account) error {
		_ = page(accounts)
		return nil
	})
}

type explainsNothing struct{ full }

func (d explainsNothing) Explain(ctx context.Context, ref nhi.Ref) ([]driver.Holding, error) {
	holdings, err := d.full.Explain(ctx, ref)
	if err != nil {
		return nil, nil //nolint:nilerr // That is what is wrong with it.
	}
	return holdings, nil
}

type explainsDirect struct{ full }

func (d explainsDirect) Explain(ctx context.Context, ref nhi.Ref) ([]driver.Holding, error) {
	holdings, err := d.full.Explain(ctx, ref)
	for i := range holdings {
		holdings[i].Via = append(holdings[i].Via, "somehow")
	}
	return holdings, err
}

type explainsAlike struct{ full }

func (d explainsAlike) ExplainAll(ctx context.Context, page func([]driver.Explained) error) error {
	return d.full.ExplainAll(ctx, func(all []driver.Explained) error {
		for i := range all {
			all[i].Holdings = all[0].Holdings
		}
		return page(all)
	})
}

type foldsNames struct{ full }

func (d foldsNames) CreateAccount(ctx context.Context, spec driver.AccountSpec) (nhi.Ref, error) {
	spec.Name = strings.ToLower(spec.Name)
	return d.full.CreateAccount(ctx, spec)
}

type deletesByPattern struct{ full }

func (d deletesByPattern) DeleteAccount(ctx context.Context, ref nhi.Ref) error {
	if ref.Name != "*" {
		return d.full.DeleteAccount(ctx, ref)
	}
	return d.Sweep(ctx, driver.SweepFilter{}, func(accounts []nhi.Account) error {
		var err error
		for _, account := range accounts {
			err = errors.Join(err, d.full.DeleteAccount(ctx, account.Ref))
		}
		return err
	})
}

// race makes updates meet in pairs: both read before either writes.
type race struct {
	meet    chan struct{}
	writing sync.Mutex
}

type losesUpdates struct {
	full
	race *race
}

func (d losesUpdates) Grant(ctx context.Context, ref nhi.Ref, es []nhi.Entitlement) error {
	read, err := d.ReadAccount(ctx, ref)
	if err != nil {
		return err
	}
	select {
	case d.race.meet <- struct{}{}:
	case <-d.race.meet:
	}
	d.race.writing.Lock()
	defer d.race.writing.Unlock()
	now, err := d.ReadAccount(ctx, ref)
	if err != nil {
		return err
	}
	if err := d.Revoke(ctx, ref, nhi.Without(now.Entitlements, read.Entitlements)); err != nil {
		return err
	}
	return d.full.Grant(ctx, ref, es)
}

type wanders struct{ full }

func (d wanders) Probe(ctx context.Context) (driver.Target, error) {
	target, err := d.full.Probe(ctx)
	target.ID += rand.Text()
	return target, err
}
