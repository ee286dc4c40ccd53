package drivertest

import (
	"context"
	"crypto/rand"
	"slices"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
	"github.com/nhi-labs/terraform-provider-nhi/internal/secret"
)

// call is one method with arguments that would work.
type call struct {
	name  string
	needs driver.Capability
	do    func(ctx context.Context, d driver.Driver) error
}

// subject is what the calls of a fault are made on. Whatever such a call changed would show on it.
type subject struct {
	before nhi.Account
	// absent is the name that the calls would give to a new account.
	absent string
	// next is an entitlement that the account does not hold.
	next nhi.Entitlement
	// mark is another than the account has.
	mark nhi.Mark
	// path is a place for a secret at which nothing is stored; "" if the kind stores none.
	path string
}

func (k *kit) subject() subject {
	k.Helper()
	account, es := k.create(), k.h.Entitlements(k.T, 2)
	k.grant(account.Ref, es[0])
	if k.spec.Can(driver.CanIssue) && as[driver.Issuer](k).Slots() > 0 {
		k.issue(account.Ref)
	}
	s := subject{before: k.read(account.Ref), absent: k.name(), next: es[1], mark: k.mark()}
	k.removeLater(nhi.Ref{Name: s.absent})
	if k.spec.Can(driver.CanStoreSecrets) {
		s.path = k.path()
	}
	return s
}

func (k *kit) wantUnharmed(s subject) {
	k.Helper()
	k.wantSame(s.before)
	k.wantAbsent(nhi.Ref{Name: s.absent})
}

// calls lists every method of the driver that talks to the platform.
func (k *kit) calls(s subject) []call {
	ref, mark := s.before.Ref, s.mark
	all := slices.Concat([]call{
		{"Probe", "", func(ctx context.Context, d driver.Driver) error { return failure(d.Probe(ctx)) }},
		{"ReadAccount", "", func(ctx context.Context, d driver.Driver) error { return failure(d.ReadAccount(ctx, ref)) }},
		{"ReadAccount by name", "", func(ctx context.Context, d driver.Driver) error {
			return failure(d.ReadAccount(ctx, nhi.Ref{Name: ref.Name}))
		}},
		{"CreateAccount", "", func(ctx context.Context, d driver.Driver) error {
			return failure(d.CreateAccount(ctx, driver.AccountSpec{Name: s.absent, Mark: mark}))
		}},
		{"UpdateAccount", "", func(ctx context.Context, d driver.Driver) error {
			return d.UpdateAccount(ctx, ref, driver.AccountChange{Mark: &mark})
		}},
		{"DeleteAccount", "", func(ctx context.Context, d driver.Driver) error { return d.DeleteAccount(ctx, ref) }},
		{"Grant", "", func(ctx context.Context, d driver.Driver) error {
			return d.Grant(ctx, ref, []nhi.Entitlement{s.next})
		}},
		{"Revoke", "", func(ctx context.Context, d driver.Driver) error {
			return d.Revoke(ctx, ref, s.before.Entitlements)
		}},
	}, accountCalls(ref), k.credentialCalls(s.before), k.storeCalls(s.path))
	return slices.DeleteFunc(all, func(c call) bool { return c.needs != "" && !k.spec.Can(c.needs) })
}

func accountCalls(ref nhi.Ref) []call {
	return []call{
		{"Suspend", driver.CanSuspend, func(ctx context.Context, d driver.Driver) error {
			return on[driver.Suspender](d).Suspend(ctx, ref)
		}},
		{"Resume", driver.CanSuspend, func(ctx context.Context, d driver.Driver) error {
			return on[driver.Suspender](d).Resume(ctx, ref)
		}},
		{"Sweep", driver.CanSweep, func(ctx context.Context, d driver.Driver) error {
			return on[driver.Sweeper](d).Sweep(ctx, driver.SweepFilter{}, func([]nhi.Account) error { return nil })
		}},
		{"Explain", driver.CanExplain, func(ctx context.Context, d driver.Driver) error {
			return failure(on[driver.Explainer](d).Explain(ctx, ref))
		}},
		{"EndSessions", driver.CanEndSessions, func(ctx context.Context, d driver.Driver) error {
			return on[driver.SessionEnder](d).EndSessions(ctx, ref)
		}},
	}
}

func (k *kit) credentialCalls(account nhi.Account) []call {
	canary := secret.New("canary-" + rand.Text())
	k.remember(canary)
	calls := []call{
		{"Verify", driver.CanVerify, func(ctx context.Context, d driver.Driver) error {
			return on[driver.Verifier](d).Verify(ctx, account.Name, canary)
		}},
	}
	calls = append(calls, []call{
		{"MintToken", driver.CanMintTokens, func(ctx context.Context, d driver.Driver) error {
			return failure(on[driver.TokenMinter](d).MintToken(ctx, account.Ref))
		}},
		{"RevokeToken", driver.CanMintTokens, func(ctx context.Context, d driver.Driver) error {
			return on[driver.TokenMinter](d).RevokeToken(ctx, canary)
		}},
	}...)
	if !k.spec.Can(driver.CanIssue) || as[driver.Issuer](k).Slots() == 0 {
		return calls
	}
	calls = append(calls, call{"Issue", driver.CanIssue, func(ctx context.Context, d driver.Driver) error {
		return failure(on[driver.Issuer](d).Issue(ctx, account.Ref, driver.IssueRequest{Label: label()}))
	}})
	for _, c := range account.Credentials {
		calls = append(calls, call{"RevokeCredential", driver.CanIssue, func(ctx context.Context, d driver.Driver) error {
			return on[driver.Issuer](d).RevokeCredential(ctx, account.Ref, c.ID)
		}})
	}
	return calls
}

func (k *kit) storeCalls(path string) []call {
	s := stored(0)
	for _, v := range s.Fields {
		k.remember(v)
	}
	return []call{
		{"PutSecret", driver.CanStoreSecrets, func(ctx context.Context, d driver.Driver) error {
			return failure(on[driver.SecretStore](d).PutSecret(ctx, path, s))
		}},
		{"GetSecret", driver.CanStoreSecrets, func(ctx context.Context, d driver.Driver) error {
			return failure(on[driver.SecretStore](d).GetSecret(ctx, path))
		}},
		{"RemoveSecret", driver.CanStoreSecrets, func(ctx context.Context, d driver.Driver) error {
			return on[driver.SecretStore](d).RemoveSecret(ctx, path)
		}},
	}
}

// failure keeps the error of a call.
func failure[T any](_ T, err error) error { return err }
