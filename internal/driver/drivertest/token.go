package drivertest

import (
	"time"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
)

// tokenCases are about TokenMinter. That a token really works is for the driver's own tests: only they can use it.
var tokenCases = []testCase{
	{name: "token/mint", needs: []driver.Capability{driver.CanMintTokens}, run: tokenMint},
	{name: "token/suspended", needs: []driver.Capability{driver.CanMintTokens, driver.CanSuspend}, run: tokenSuspended},
}

func (k *kit) mint(ref nhi.Ref) driver.Token {
	k.Helper()
	token, err := as[driver.TokenMinter](k).MintToken(k.ctx, ref)
	if err != nil {
		k.Fatalf("mint a token for %q: %v", ref.Name, err)
	}
	if token.Secret.IsZero() || (!token.ExpiresAt.IsZero() && !token.ExpiresAt.After(time.Now())) {
		k.Fatalf("minted %+v, want a token that has not ended", token)
	}
	k.remember(token.Secret)
	return token
}

func (k *kit) revokeToken(token driver.Token) {
	k.Helper()
	if err := as[driver.TokenMinter](k).RevokeToken(k.ctx, token.Secret); err != nil {
		k.Fatalf("revoke a token: %v", err)
	}
}

func tokenMint(k *kit) {
	account := k.create()
	k.grant(account.Ref, k.h.Entitlements(k.T, 2)...)
	before := k.read(account.Ref)
	first, second := k.mint(account.Ref), k.mint(account.Ref)
	if first.Secret.Equal(second.Secret) {
		k.Error("both tokens are the same")
	}
	k.noSecrets("what MintToken returns", first)
	k.wantSame(before)
	for range 2 {
		k.revokeToken(first)
	}
	k.wantSame(before)
	k.delete(account.Ref)
	k.revokeToken(second)
	_, err := as[driver.TokenMinter](k).MintToken(k.ctx, account.Ref)
	k.wantCode(err, "token for a deleted account", driver.NotFound)
}

func tokenSuspended(k *kit) {
	account := k.create()
	token := k.mint(account.Ref)
	k.suspend(account.Ref)
	before := k.read(account.Ref)
	minted, err := as[driver.TokenMinter](k).MintToken(k.ctx, account.Ref)
	k.remember(minted.Secret)
	k.wantCode(err, "token for a suspended account", driver.Conflict)
	k.wantSame(before)
	k.revokeToken(token)
	k.resume(account.Ref)
	k.revokeToken(k.mint(account.Ref))
}
