package fleet

import (
	"context"
	"fmt"

	"github.com/nhi-labs/terraform-provider-nhi/internal/audit"
	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
	"github.com/nhi-labs/terraform-provider-nhi/internal/secret"
)

// Watch is told of every successful change on a platform before anything else happens.
type Watch func(change audit.Change)

// watched tells watch.
func watched(watch Watch) interceptor {
	return func(c call, next handler) handler {
		return func(ctx context.Context) error {
			err := next(ctx)
			if err == nil && c.write() {
				watch(*c.change)
			}
			return err
		}
	}
}

// Hide makes the platform's messages hide these texts, too.
func (c *Conn) Hide(secrets ...secret.Value) { c.platform.redactor.Add(secrets...) }

// Slots is how many credentials an account here can have at once, 0 if they have none.
func (c *Conn) Slots() int {
	if issuer, ok := c.driver.(driver.Issuer); ok {
		return issuer.Slots()
	}
	return 0
}

// Issue makes a credential. It is repeated only if the platform said that it did nothing; after any other error look
// for the label.
func (c *Conn) Issue(ctx context.Context, ref nhi.Ref, request driver.IssueRequest) (driver.Issued, error) {
	issuer, ok := c.driver.(driver.Issuer)
	if !ok {
		return driver.Issued{}, c.lacks("issue credentials")
	}
	c.platform.cache.forget(ref)
	defer c.platform.cache.forget(ref)
	op := fmt.Sprintf("issue credential %s for account", request.Label)
	change := c.changeOf(audit.IssueCredential, ref)
	change.Credential = request.Label
	return ask(ctx, c.platform, c.writing(op, change, false), func(ctx context.Context) (driver.Issued, error) {
		issued, err := issuer.Issue(ctx, ref, request)
		c.Hide(issued.Secret)
		return issued, err
	})
}

// MintToken makes a short-lived token. It is repeated only if the platform said that it did nothing.
func (c *Conn) MintToken(ctx context.Context, ref nhi.Ref) (driver.Token, error) {
	minter, ok := c.driver.(driver.TokenMinter)
	if !ok {
		return driver.Token{}, c.lacks("mint tokens")
	}
	return ask(ctx, c.platform, c.writing("mint a token for account", c.changeOf(audit.MintToken, ref), false),
		func(ctx context.Context) (driver.Token, error) {
			token, err := minter.MintToken(ctx, ref)
			c.Hide(token.Secret)
			return token, err
		})
}

// RevokeToken makes a token of an account useless. If it is gone already it succeeds.
func (c *Conn) RevokeToken(ctx context.Context, ref nhi.Ref, token secret.Value) error {
	minter, ok := c.driver.(driver.TokenMinter)
	if !ok {
		return c.lacks("mint tokens")
	}
	c.Hide(token)
	return c.platform.call(ctx, c.writing("revoke a token of account", c.changeOf(audit.RevokeToken, ref), true),
		func(ctx context.Context) error { return minter.RevokeToken(ctx, token) })
}

// Verify returns nil if the platform accepts login and text, code Unauthenticated if it refuses them.
func (c *Conn) Verify(ctx context.Context, login string, text secret.Value) error {
	verifier, ok := c.driver.(driver.Verifier)
	if !ok {
		return c.lacks("prove credentials by logging in")
	}
	c.Hide(text)
	return c.platform.call(ctx, call{op: "log in as", account: login, idempotent: true},
		func(ctx context.Context) error { return verifier.Verify(ctx, login, text) })
}

// PutSecret writes a secret with check-and-set (driver.SecretStore). It is not repeated: after an error read what is
// there. The values in hide stay out of messages.
func (c *Conn) PutSecret(ctx context.Context, path string, s driver.StoredSecret, hide ...secret.Value) (int64, error) {
	store, ok := c.driver.(driver.SecretStore)
	if !ok {
		return 0, c.lacks("store secrets")
	}
	c.Hide(hide...)
	return ask(ctx, c.platform, c.writing(fmt.Sprintf("write the secret at %q", path), c.secretChange(audit.StoreSecret, path), false),
		func(ctx context.Context) (int64, error) { return store.PutSecret(ctx, path, s) })
}

// noVersion is a version that no secret has: none is written so often.
const noVersion = 1 << 30

// MayPutSecret returns nil if s may be written at path, whatever its version. It finds that out by writing over a version that
// there never is: that is no change, and leaves no evidence. A store that compares versions before it looks at rights does not tell.
func (c *Conn) MayPutSecret(ctx context.Context, path string, s driver.StoredSecret) error {
	store, ok := c.driver.(driver.SecretStore)
	if !ok {
		return c.lacks("store secrets")
	}
	s.Version = noVersion
	err := c.platform.call(ctx, call{op: fmt.Sprintf("find out whether the secret at %q may be written", path)}, func(ctx context.Context) error {
		_, err := store.PutSecret(ctx, path, s)
		return err
	})
	if driver.CodeOf(err) == driver.Conflict {
		return nil
	}
	return err
}

// GetSecret reads the newest version of a secret, code NotFound if nothing is there.
func (c *Conn) GetSecret(ctx context.Context, path string) (driver.StoredSecret, error) {
	store, ok := c.driver.(driver.SecretStore)
	if !ok {
		return driver.StoredSecret{}, c.lacks("store secrets")
	}
	return ask(ctx, c.platform, call{op: fmt.Sprintf("read the secret at %q", path), idempotent: true},
		func(ctx context.Context) (driver.StoredSecret, error) { return store.GetSecret(ctx, path) })
}

// RemoveSecret removes a secret with all its versions. If nothing is there it succeeds.
func (c *Conn) RemoveSecret(ctx context.Context, path string) error {
	store, ok := c.driver.(driver.SecretStore)
	if !ok {
		return c.lacks("store secrets")
	}
	return c.platform.call(ctx, c.writing(fmt.Sprintf("remove the secret at %q", path), c.secretChange(audit.RemoveSecret, path), true),
		func(ctx context.Context) error { return store.RemoveSecret(ctx, path) })
}

func (c *Conn) lacks(what string) error {
	return driver.Errorf(driver.Unsupported, "platform %q cannot %s", c.platform.Name(), what)
}
