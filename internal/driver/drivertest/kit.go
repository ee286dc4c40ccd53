package drivertest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
	"github.com/nhi-labs/terraform-provider-nhi/internal/secret"
)

// kit is what a case works with: one driver, one context, and assertions. Every error and account that passes through
// it is searched for secrets.
type kit struct {
	*testing.T
	h    Harness
	spec driver.Spec
	d    driver.Driver
	ctx  context.Context

	mu     sync.Mutex
	issued []secret.Value
}

// conflictAttempts bounds how often a lost race is run again. Of n that race at least one wins each time.
const conflictAttempts = 100

// name returns an account name that nobody used before.
func (k *kit) name() string {
	k.Helper()
	name := "conf-" + strings.ToLower(rand.Text()[:10])
	if err := k.spec.CheckName(name); err != nil {
		k.Fatalf("the suite's own names must be possible: %v", err)
	}
	return name
}

// mark returns a mark of a stack that nobody used before.
func (k *kit) mark() nhi.Mark {
	return nhi.Mark{Stack: "conf-" + strings.ToLower(rand.Text()[:10]), Identity: "billing-agent"}
}

// create makes an account, removes it when the test ends, and returns it as it is read back.
func (k *kit) create(mods ...func(*driver.AccountSpec)) nhi.Account {
	k.Helper()
	spec := driver.AccountSpec{Name: k.name(), Mark: k.mark()}
	for _, mod := range mods {
		mod(&spec)
	}
	ref, err := k.createErr(spec)
	if err != nil {
		k.Fatalf("create account %q: %v", spec.Name, err)
	}
	return k.read(ref)
}

// createErr makes an account that is removed when the test ends. It may be called from any goroutine. Where the platform
// cannot make one, the harness does, and the account is adopted.
func (k *kit) createErr(spec driver.AccountSpec) (nhi.Ref, error) {
	create := k.d.CreateAccount
	if _, ok := k.h.(Maker); ok {
		create = k.adopt
	}
	ref, err := create(k.ctx, spec)
	if err == nil {
		k.removeLater(ref)
	}
	return ref, err
}

// adopt is the creation of an account that the harness makes.
func (k *kit) adopt(ctx context.Context, spec driver.AccountSpec) (nhi.Ref, error) {
	maker, ok := k.h.(Maker)
	if !ok {
		return nhi.Ref{}, errors.New("the harness is no Maker")
	}
	maker.Make(k.T, spec.Name)
	account, err := k.d.ReadAccount(ctx, nhi.Ref{Name: spec.Name})
	if err != nil {
		return nhi.Ref{}, err
	}
	change := driver.AccountChange{Mark: &spec.Mark, Settings: spec.Settings}
	if !spec.ExpiresAt.IsZero() {
		change.ExpiresAt = &spec.ExpiresAt
	}
	err = k.d.UpdateAccount(ctx, account.Ref, change)
	if suspender, can := k.d.(driver.Suspender); err == nil && can && spec.Suspended {
		err = suspender.Suspend(ctx, account.Ref)
	}
	return account.Ref, err
}

// foreign makes an account out of band, removes it when the test ends, and returns it as it is read.
func (k *kit) foreign(holds ...nhi.Entitlement) nhi.Account {
	k.Helper()
	name := k.name()
	k.h.Foreign(k.T, name, holds...)
	k.removeLater(nhi.Ref{Name: name})
	return k.read(nhi.Ref{Name: name})
}

// removeLater removes what a case made, also when it failed.
func (k *kit) removeLater(ref nhi.Ref) {
	ctx := context.WithoutCancel(k.ctx)
	k.Cleanup(func() {
		if err := k.d.DeleteAccount(ctx, ref); err != nil {
			k.Errorf("clean up account %q: %v", ref.Name, err)
		}
	})
}

func (k *kit) read(ref nhi.Ref) nhi.Account {
	k.Helper()
	account, err := k.d.ReadAccount(k.ctx, ref)
	if err != nil {
		k.Fatalf("read account %q (id %q): %v", ref.Name, ref.ID, err)
	}
	k.noSecrets("account", account)
	return account
}

func (k *kit) grant(ref nhi.Ref, es ...nhi.Entitlement) {
	k.Helper()
	if err := k.settle(func() error { return k.d.Grant(k.ctx, ref, es) }); err != nil {
		k.Fatalf("grant %s to %q: %v", nhi.JoinTexts(es), ref.Name, err)
	}
}

func (k *kit) revoke(ref nhi.Ref, es ...nhi.Entitlement) {
	k.Helper()
	if err := k.settle(func() error { return k.d.Revoke(k.ctx, ref, es) }); err != nil {
		k.Fatalf("revoke %s from %q: %v", nhi.JoinTexts(es), ref.Name, err)
	}
}

func (k *kit) delete(ref nhi.Ref) {
	k.Helper()
	if err := k.d.DeleteAccount(k.ctx, ref); err != nil {
		k.Fatalf("delete account %q: %v", ref.Name, err)
	}
}

// settle repeats an idempotent change that lost a race, as package fleet does.
func (k *kit) settle(change func() error) error {
	var err error
	for range conflictAttempts {
		if err = change(); err == nil || k.d.Classify(err).Code != driver.Conflict {
			return err
		}
	}
	return fmt.Errorf("still a conflict after %d attempts: %w", conflictAttempts, err)
}

// wantHolds checks that the account holds exactly the given entitlements, and names each of them canonically.
func (k *kit) wantHolds(ref nhi.Ref, want []nhi.Entitlement) {
	k.Helper()
	got := k.read(ref).Entitlements
	want = nhi.SortEntitlements(slices.Clone(want))
	if diff := cmp.Diff(nhi.Texts(want), nhi.Texts(got), cmpopts.EquateEmpty()); diff != "" {
		k.Fatalf("entitlements of %q (-want +got):\n%s", ref.Name, diff)
	}
	k.wantCanonical(got)
}

// wantCanonical checks that listed entitlements are spelt as a user has to write them.
func (k *kit) wantCanonical(es []nhi.Entitlement) {
	k.Helper()
	if !slices.IsSortedFunc(es, nhi.Entitlement.Compare) {
		k.Errorf("entitlements are not sorted: %s", nhi.JoinTexts(es))
	}
	for _, e := range es {
		parse := k.spec.Grammar.Parse
		if k.observedOnly(e.Type) {
			parse = k.spec.Grammar.ParseObserved
		}
		if again, err := parse(e.String()); err != nil || again != e {
			k.Errorf("listed entitlement %#v parses as %#v, error %v", e, again, err)
		}
	}
}

func (k *kit) observedOnly(typeName string) bool {
	return slices.ContainsFunc(k.spec.Grammar.Types, func(t nhi.EntitlementType) bool {
		return t.Name == typeName && t.Observed != ""
	})
}

// wantSame checks that an account, read again, is what it was.
func (k *kit) wantSame(before nhi.Account) {
	k.Helper()
	if diff := diffAccounts(before, k.read(before.Ref)); diff != "" {
		k.Fatalf("account %q changed (-before +after):\n%s", before.Name, diff)
	}
}

// wantAbsent checks that the system itself says that the account does not exist.
func (k *kit) wantAbsent(ref nhi.Ref) {
	k.Helper()
	_, err := k.d.ReadAccount(k.ctx, ref)
	k.wantCode(err, fmt.Sprintf("read of absent account %q (id %q)", ref.Name, ref.ID), driver.NotFound)
}

// wantCode checks that an error means one of the codes.
func (k *kit) wantCode(err error, what string, codes ...driver.Code) {
	k.Helper()
	if err == nil {
		k.Errorf("%s: succeeded, want an error with the code %v", what, codes)
		return
	}
	k.noSecrets(what, err)
	if got := k.d.Classify(err).Code; !slices.Contains(codes, got) {
		k.Errorf("%s: the code is %q, want %v; error: %v", what, got, codes, err)
	}
}

// noSecrets checks that no known secret can be read from value however it is printed.
func (k *kit) noSecrets(what string, value any) {
	k.Helper()
	texts := []string{fmt.Sprintf("%v", value), fmt.Sprintf("%+v", value), fmt.Sprintf("%#v", value)}
	if err, ok := value.(error); ok {
		for ; err != nil; err = errors.Unwrap(err) {
			texts = append(texts, fmt.Sprintf("%+v", err))
		}
	}
	for _, known := range slices.Concat(k.h.Secrets(), k.issuedSecrets()) {
		for _, text := range texts {
			if !known.IsZero() && strings.Contains(text, known.Reveal()) {
				k.Errorf("%s shows a secret", what)
				return
			}
		}
	}
}

// remember adds a secret to those that must not be seen.
func (k *kit) remember(s secret.Value) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.issued = append(k.issued, s)
}

func (k *kit) issuedSecrets() []secret.Value {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Clone(k.issued)
}

// diffAccounts compares whole accounts. When a credential was last used is the platform's business.
func diffAccounts(a, b nhi.Account) string {
	return cmp.Diff(a, b, cmpopts.EquateEmpty(), cmpopts.IgnoreFields(nhi.Credential{}, "LastUsedAt"))
}

// together calls work n times at once and returns what failed.
func together(n int, work func(i int) error) error {
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { errs[i] = work(i) })
	}
	wg.Wait()
	return errors.Join(errs...)
}
