package vault

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
	"github.com/nhi-labs/terraform-provider-nhi/internal/secret"
)

const (
	// passingKey is the key in the metadata of a secret id that was made for one login of this driver.
	passingKey = "nhi_passing"
	// passingTTL is how many seconds such a secret id lives at most if the login never comes.
	passingTTL = 60
)

// isPassing reports whether a secret id is one that MintToken made for a single login. The metadata alone does not hide
// a secret id: one that can be used twice, or for longer, is a credential whatever is written on it.
func (s secretID) isPassing() bool {
	return s.Metadata[passingKey] != "" && s.NumUses == 1 && s.TTL > 0 && s.TTL <= passingTTL
}

// MintToken logs in as the account with a secret id that works once.
func (d *vaultDriver) MintToken(ctx context.Context, ref nhi.Ref) (driver.Token, error) {
	f, err := d.find(ctx, ref)
	if err != nil {
		return driver.Token{}, err
	}
	if !f.hasRole || (f.entity != nil && *f.entity.Disabled) {
		return driver.Token{}, driver.Errorf(driver.Conflict, "account %q is suspended and gets no token; resume it first", f.ref.Name)
	}
	metadata, err := json.Marshal(map[string]string{passingKey: "token"})
	if err != nil {
		return driver.Token{}, err
	}
	in := secretIDRequest{Metadata: string(metadata), TTL: seconds(passingTTL), NumUses: 1}
	made, err := d.makeSecretID(ctx, f.ref.Name, in)
	if err != nil {
		return driver.Token{}, err
	}
	begin := time.Now()
	auth, err := d.conn.login(ctx, strings.TrimPrefix(d.approle, "auth/"), f.ref.ID, made.SecretID)
	if err != nil {
		_ = d.undoSecretID(ctx, f.ref.Name, made.Accessor) // Else it ends after passingTTL.
		return driver.Token{}, err
	}
	if auth.TokenType == "batch" {
		return driver.Token{}, driver.Errorf(driver.Unsupported,
			"the AppRole %q makes batch tokens, which cannot be revoked; set its token_type to service", f.ref.Name)
	}
	token := driver.Token{Secret: secret.New(auth.ClientToken)}
	if auth.LeaseDuration > 0 {
		token.ExpiresAt = begin.Add(time.Duration(auth.LeaseDuration) * time.Second)
	}
	return token, nil
}

// undoSecretID destroys a secret id that nobody will learn.
func (d *vaultDriver) undoSecretID(ctx context.Context, name, accessor string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoTimeout)
	defer cancel()
	return insist(ctx, func() error {
		return gone(d.conn.write(ctx, d.rolePath(name)+"/secret-id-accessor/destroy", secretIDAccessor{accessor}))
	})
}

// RevokeToken revokes with the admin's rights: a token may not have the right to revoke itself, and has none at all once
// its account was suspended.
func (d *vaultDriver) RevokeToken(ctx context.Context, token secret.Value) error {
	if token.IsZero() {
		return driver.Errorf(driver.Invalid, "there is no token to revoke")
	}
	return d.conn.write(ctx, "auth/token/revoke", tokenText{token.Reveal()})
}
