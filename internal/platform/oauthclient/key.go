package oauthclient

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"net/url"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/nhi-labs/terraform-provider-nhi/internal/secret"
)

// assertionTime is how long an assertion is valid: long enough for clocks that differ a little.
const assertionTime = time.Minute

// privateKey is a new key: the text for the client, and what the server gets.
type privateKey struct {
	private secret.Value
	public  json.RawMessage
}

// newKey makes a P-256 key for ES256, which every server with private_key_jwt knows.
func newKey(kid string) (privateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return privateKey{}, err
	}
	private := jose.JSONWebKey{Key: key, KeyID: kid, Algorithm: string(jose.ES256), Use: "sig"}
	text, err := private.MarshalJSON()
	if err != nil {
		return privateKey{}, err
	}
	public, err := private.Public().MarshalJSON()
	return privateKey{private: secret.New(string(text)), public: public}, err
}

// keyID returns the id of a key in a set, and its kid: the id of a key without kid is its thumbprint (RFC 7638).
func keyID(raw json.RawMessage) (id, kid string) {
	var named struct {
		Kid string `json:"kid"`
	}
	_ = json.Unmarshal(raw, &named) // A key that is no object has no kid.
	if named.Kid != "" {
		return named.Kid, named.Kid
	}
	var key jose.JSONWebKey
	if key.UnmarshalJSON(raw) == nil {
		if sum, err := key.Thumbprint(crypto.SHA256); err == nil {
			return base64.RawURLEncoding.EncodeToString(sum), ""
		}
	}
	return "unreadable key", ""
}

// assertionOf signs who the client is (RFC 7523, section 3). It returns false for a text that is no private key.
func assertionOf(text secret.Value, clientID, audience string) (secret.Value, bool) {
	var key jose.JSONWebKey
	if err := key.UnmarshalJSON([]byte(text.Reveal())); err != nil || key.IsPublic() || key.Algorithm == "" {
		return secret.Value{}, false
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.SignatureAlgorithm(key.Algorithm), Key: key}, nil)
	if err != nil {
		return secret.Value{}, false
	}
	now := time.Now()
	signed, err := jwt.Signed(signer).Claims(jwt.Claims{
		Issuer: clientID, Subject: clientID, Audience: jwt.Audience{audience}, ID: rand.Text(),
		IssuedAt: jwt.NewNumericDate(now), Expiry: jwt.NewNumericDate(now.Add(assertionTime)),
	}).Serialize()
	return secret.New(signed), err == nil
}

// basic is the header of client_secret_basic, whose parts are form-encoded first (RFC 6749, section 2.3.1).
func basic(clientID string, text secret.Value) string {
	pair := url.QueryEscape(clientID) + ":" + url.QueryEscape(text.Reveal())
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(pair))
}
