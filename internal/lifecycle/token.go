package lifecycle

import (
	"context"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/fleet"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
	"github.com/nhi-labs/terraform-provider-nhi/internal/reconcile"
	"github.com/nhi-labs/terraform-provider-nhi/internal/secret"
)

// TokenRequest asks for a token of an identity's account.
type TokenRequest struct {
	Platform, Identity string
	AccountNames       map[string]string
	// AccountID is the platform's own id of the account, "" for whichever has the name.
	AccountID string
}

// Token is a token with the account that it acts as and the system that knows it.
type Token struct {
	driver.Token
	Account nhi.Ref
	Target  string
}

// MintToken makes a token of an account that carries the mark of this stack and the identity.
func MintToken(ctx context.Context, f *fleet.Fleet, r TokenRequest) (Token, error) {
	conn, err := connect(ctx, f, r.Platform, "")
	if err != nil {
		return Token{}, err
	}
	owner := Grant{Identity: r.Identity, AccountNames: r.AccountNames}
	account, err := conn.ReadNow(ctx, nhi.Ref{Name: owner.AccountName(r.Platform), ID: r.AccountID})
	if err != nil {
		return Token{}, err
	}
	if err := reconcile.CheckOwner(r.Platform, account, owner.mark(f), "", false); err != nil {
		return Token{}, err
	}
	token, err := conn.MintToken(ctx, account.Ref)
	return Token{Token: token, Account: account.Ref, Target: conn.Target().ID}, err
}

// RevokeToken makes a token of an account useless on the system that made it.
func RevokeToken(ctx context.Context, f *fleet.Fleet, platform, target string, account nhi.Ref, token secret.Value) error {
	conn, err := connect(ctx, f, platform, target)
	if err != nil {
		return err
	}
	return conn.RevokeToken(ctx, account, token)
}
