package oauthclient

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
	"github.com/nhi-labs/terraform-provider-nhi/internal/platform/internal/rest"
	"github.com/nhi-labs/terraform-provider-nhi/internal/secret"
)

// The ids of credentials that are no key with an id of its own.
const (
	secretID = "client_secret"
	keyURIID = "jwks_uri"
)

// Slots is how many credentials a client can have: keys, or the one secret.
func (d *Driver) Slots() int {
	if d.config.ClientAuth == ClientSecret {
		return 1
	}
	return keySlots
}

// keySet is a JWK Set (RFC 7517) whose keys are kept as they are.
type keySet struct {
	Keys []json.RawMessage `json:"keys"`
}

// withoutCredentials leaves a client that cannot log in: with keys only, of which it has none. A secret that it had ends.
func withoutCredentials(c client) {
	c.set(memberAuth, PrivateKeyJWT)
	c.set(memberKeys, keySet{Keys: []json.RawMessage{}})
	delete(c, memberKeyURI)
	delete(c, memberSecret)
}

func keysOf(c client) ([]json.RawMessage, error) {
	var set keySet
	if raw, ok := c[memberKeys]; ok {
		if err := json.Unmarshal(raw, &set); err != nil {
			return nil, &rest.ContentError{Reason: "has a jwks that is no JWK Set", Err: err}
		}
	}
	return set.Keys, nil
}

// credentialsOf lists what the client can log in with, keys in the order in which they were added. A set of keys that
// the server fetches elsewhere is one credential.
func credentialsOf(e entry, c client) ([]nhi.Credential, error) {
	keys, err := keysOf(c)
	if err != nil {
		return nil, err
	}
	var out []nhi.Credential
	for _, key := range keys {
		id, label := keyID(key)
		out = append(out, nhi.Credential{ID: id, Label: label})
	}
	if c.text(memberKeyURI) != "" {
		out = append(out, nhi.Credential{ID: keyURIID})
	}
	if strings.HasPrefix(c.text(memberAuth), "client_secret_") {
		out = append(out, nhi.Credential{ID: secretID, Label: e.label})
	}
	return out, nil
}

// Issue adds a key, or lets the server make the secret. The text of a key is the private JWK (RFC 7517), whose kid is the
// label. The server does not tell when a credential was made, and has no expiry for it.
func (d *Driver) Issue(ctx context.Context, ref nhi.Ref, request driver.IssueRequest) (driver.Issued, error) {
	var key privateKey
	var id, retired string
	after, err := d.change(ctx, ref, func(e *entry, c client) (bool, error) {
		id, retired = e.clientID, e.retired
		have, err := credentialsOf(*e, c)
		if err != nil {
			return false, err
		}
		if err := d.checkRoom(e.name, have); err != nil {
			return false, err
		}
		if d.config.ClientAuth == ClientSecret {
			e.label = request.Label
			c.set(memberAuth, ClientSecret)
			delete(c, memberKeys)
			return true, nil
		}
		if key, err = newKey(request.Label); err != nil {
			return false, err
		}
		keys, err := keysOf(c)
		c.set(memberKeys, keySet{Keys: append(slices.Clone(keys), key.public)})
		return true, err
	})
	if err != nil {
		return driver.Issued{}, err
	}
	issued := driver.Issued{Login: id, Secret: key.private, Credential: nhi.Credential{ID: request.Label, Label: request.Label}}
	if d.config.ClientAuth == ClientSecret {
		issued.Secret, issued.Credential.ID = secret.New(after.text(memberSecret)), secretID
	}
	if text := after.text(memberSecret); retired != "" && hashOf(text) == retired {
		return driver.Issued{}, errors.Join(driver.AfterChange(d.Classify, d.RevokeCredential(ctx, ref, secretID)), driver.Errorf(
			driver.Unsupported, "the server gives client %q the secret again that was revoked, so it cannot have a new one; use client_auth = %q", ref.Name, PrivateKeyJWT))
	}
	kept, err := credentialsOf(entry{label: request.Label}, after)
	if err == nil && (issued.Secret.IsZero() || !slices.Contains(kept, issued.Credential)) {
		err = driver.Errorf(driver.Unsupported, "the server did not take the new credential of client %q", ref.Name)
	}
	if err != nil {
		return driver.Issued{}, err
	}
	return issued, nil
}

// checkRoom refuses what would push out a credential that works.
func (d *Driver) checkRoom(name string, have []nhi.Credential) error {
	if len(have) >= d.Slots() {
		return driver.Errorf(driver.Conflict, "client %q has %d credentials already", name, len(have))
	}
	for _, c := range have {
		if c.ID == secretID || c.ID == keyURIID {
			return driver.Errorf(driver.Conflict, "client %q logs in by %s, beside which no key can work: revoke that first", name, c.ID)
		}
	}
	return nil
}

// hashOf is what the registry remembers of a secret that is over.
func hashOf(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

// RevokeCredential removes one key, or ends the secret. Access tokens that were made with it live until they expire.
func (d *Driver) RevokeCredential(ctx context.Context, ref nhi.Ref, id string) error {
	_, err := d.change(ctx, ref, func(e *entry, c client) (bool, error) {
		have, err := credentialsOf(*e, c)
		if err != nil || !slices.ContainsFunc(have, func(c nhi.Credential) bool { return c.ID == id }) {
			return false, err
		}
		if id == secretID || id == keyURIID {
			if text := c.text(memberSecret); text != "" {
				e.retired = hashOf(text)
			}
			e.label = ""
			withoutCredentials(c)
			return true, nil
		}
		keys, err := keysOf(c)
		c.set(memberKeys, keySet{Keys: slices.DeleteFunc(slices.Clone(keys), func(key json.RawMessage) bool {
			other, _ := keyID(key)
			return other == id
		})})
		return true, err
	})
	return gone(err)
}

// tokenError is the answer of a token endpoint that gives no token (RFC 6749, section 5.2).
type tokenError struct {
	Error string `json:"error"`
}

// Verify asks for an access token without scopes, and drops it: text is a private JWK, or else a client secret.
func (d *Driver) Verify(ctx context.Context, login string, text secret.Value) error {
	s, err := d.discover(ctx)
	if err != nil {
		return err
	}
	path, err := d.pathOf(s.Token)
	if err != nil {
		return err
	}
	request := rest.Request{Method: http.MethodPost, Path: path, Form: url.Values{"grant_type": {"client_credentials"}}}
	if assertion, ok := assertionOf(text, login, s.Issuer); ok {
		request.Form.Set("client_id", login)
		request.Form.Set("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
		request.Form.Set("client_assertion", assertion.Reveal())
		request.Secrets = []secret.Value{assertion}
	} else {
		request.Header = http.Header{"Authorization": {basic(login, text)}}
	}
	response, err := d.bare.Do(ctx, request)
	if err != nil {
		return refusedLogin(err, login)
	}
	var token struct {
		AccessToken string `json:"access_token"`
	}
	if err := response.Decode(&token); err != nil {
		return err
	}
	if token.AccessToken == "" {
		return &rest.ContentError{Reason: "holds no access token"}
	}
	return nil
}

// refusedLogin tells a refused client from other errors: the standard allows 400 for it, too.
func refusedLogin(err error, login string) error {
	var status *rest.StatusError
	var answer tokenError
	if errors.As(err, &status) && json.Unmarshal(status.Body, &answer) == nil && answer.Error == "invalid_client" {
		return driver.Errorf(driver.Unauthenticated, "the server refuses the credential of client %s: %w", login, err)
	}
	return fmt.Errorf("login of client %s: %w", login, err)
}
