package securityevents

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/nhi-labs/terraform-provider-nhi/internal/audit"
	"github.com/nhi-labs/terraform-provider-nhi/internal/secret"
)

// The types of security events that are sent.
const (
	riscPrefix = "https://schemas.openid.net/secevent/risc/event-type/"
	caepPrefix = "https://schemas.openid.net/secevent/caep/event-type/"
	ownPrefix  = "https://github.com/nhi-labs/terraform-provider-nhi/secevent/"

	accountDisabled  = riscPrefix + "account-disabled"
	accountEnabled   = riscPrefix + "account-enabled"
	accountPurged    = riscPrefix + "account-purged"
	sessionRevoked   = caepPrefix + "session-revoked"
	credentialChange = caepPrefix + "credential-change"
	// RISC and CAEP have no type for access that is given or taken away.
	accessGranted = ownPrefix + "access-granted"
	accessRevoked = ownPrefix + "access-revoked"
)

// credentialType is the credential_type of credential-change events. CAEP names none for API keys, client secrets and
// passwords of machines; it lets the parties agree on others.
const credentialType = "nhi-credential"

// TypeOf returns the type that an activity is sent as, "" if there is none: security events say what has happened to an
// account and matters to those who trust it.
func TypeOf(a audit.Activity) string {
	switch a {
	case audit.SuspendAccount:
		return accountDisabled
	case audit.ResumeAccount:
		return accountEnabled
	case audit.DeleteAccount:
		return accountPurged
	case audit.EndSessions:
		return sessionRevoked
	case audit.IssueCredential, audit.RevokeCredential:
		return credentialChange
	case audit.Grant:
		return accessGranted
	case audit.Revoke:
		return accessRevoked
	default:
		return ""
	}
}

// claims is a security event token (RFC 8417, section 2.2).
type claims struct {
	Issuer   string   `json:"iss"`
	Audience string   `json:"aud,omitempty"`
	IssuedAt int64    `json:"iat"`
	ID       string   `json:"jti"`
	Txn      string   `json:"txn,omitempty"`
	Time     int64    `json:"toe"`
	Subject  subject  `json:"sub_id"`
	Events   eventSet `json:"events"`
}

// subject is a complex subject of the OpenID Shared Signals Framework: an account of a system.
type subject struct {
	Format string   `json:"format"`
	User   opaqueID `json:"user"`
	Tenant opaqueID `json:"tenant"`
}

// opaqueID is a subject identifier of the format "opaque" (RFC 9493, section 3.2.7).
type opaqueID struct {
	Format string `json:"format"`
	ID     string `json:"id"`
}

// eventSet has one event under its type.
type eventSet struct {
	kind    string
	payload payload
}

// MarshalJSON implements json.Marshaler.
func (s eventSet) MarshalJSON() ([]byte, error) {
	return json.Marshal(map[string]payload{s.kind: s.payload})
}

// payload holds what CAEP has for its own types, and the entitlements for ours. RISC's types have no claims but reasons
// that do not apply.
type payload struct {
	EventTimestamp   int64             `json:"event_timestamp,omitempty"`
	InitiatingEntity string            `json:"initiating_entity,omitempty"`
	ReasonAdmin      map[string]string `json:"reason_admin,omitempty"`
	ChangeType       string            `json:"change_type,omitempty"`
	CredentialType   string            `json:"credential_type,omitempty"`
	FriendlyName     string            `json:"friendly_name,omitempty"`
	Before           []string          `json:"entitlements_before,omitempty"`
	After            []string          `json:"entitlements_after,omitempty"`
}

func payloadOf(e audit.Event) payload {
	kind := TypeOf(e.Activity)
	if kind == accountDisabled || kind == accountEnabled || kind == accountPurged {
		return payload{}
	}
	p := payload{EventTimestamp: e.Time.Unix(), InitiatingEntity: "admin"}
	if e.Justification != "" {
		p.ReasonAdmin = map[string]string{"en": e.Justification}
	}
	switch e.Activity {
	case audit.IssueCredential:
		p.ChangeType, p.CredentialType, p.FriendlyName = "create", credentialType, e.Credential
	case audit.RevokeCredential:
		p.ChangeType, p.CredentialType, p.FriendlyName = "revoke", credentialType, e.Credential
	case audit.Grant, audit.Revoke:
		p.Before, p.After = e.Before, e.After
	}
	return p
}

// token signs e as a security event token.
func (s *sink) token(e audit.Event, now time.Time) (string, error) {
	kind := TypeOf(e.Activity)
	if kind == "" || e.Outcome != audit.Succeeded {
		return "", fmt.Errorf("%w: the activity %s, %s, has no form as a security event", audit.ErrRefused, e.Activity, e.Outcome)
	}
	id := e.Account.ID
	if id == "" {
		id = e.Account.Name
	}
	text, err := json.Marshal(claims{
		Issuer: s.config.Issuer, Audience: s.config.Audience, IssuedAt: now.Unix(), ID: e.ID, Txn: e.Correlation, Time: e.Time.Unix(),
		Subject: subject{Format: "complex", User: opaqueID{"opaque", id}, Tenant: opaqueID{"opaque", e.Platform.Target}},
		Events:  eventSet{kind, payloadOf(e)},
	})
	if err != nil {
		return "", err
	}
	signed, err := s.signer.Sign(text)
	if err != nil {
		return "", fmt.Errorf("signing: %w", err)
	}
	return signed.CompactSerialize()
}

// CheckKey refuses what New would refuse as a signing key.
func CheckKey(key secret.Value) error {
	_, err := newSigner(key, "")
	return err
}

// newSigner makes the signer of a PEM private key: ES256 for a key on P-256, RS256 for an RSA key.
func newSigner(key secret.Value, keyID string) (jose.Signer, error) {
	private, err := parseKey([]byte(key.Reveal()))
	if err != nil {
		return nil, err
	}
	var algorithm jose.SignatureAlgorithm
	switch k := private.(type) {
	case *ecdsa.PrivateKey:
		if k.Curve != elliptic.P256() {
			return nil, fmt.Errorf("an elliptic key on %s: use P-256 (openssl ecparam -name prime256v1 -genkey -noout)", k.Curve.Params().Name)
		}
		algorithm = jose.ES256
	case *rsa.PrivateKey:
		if k.N.BitLen() < 2048 {
			return nil, fmt.Errorf("an RSA key of %d bits: use 2048 or more", k.N.BitLen())
		}
		algorithm = jose.RS256
	default:
		return nil, fmt.Errorf("a key of type %T: use P-256 or RSA", private)
	}
	options := (&jose.SignerOptions{}).WithType("secevent+jwt")
	if keyID != "" {
		options = options.WithHeader(jose.HeaderKey("kid"), keyID)
	}
	return jose.NewSigner(jose.SigningKey{Algorithm: algorithm, Key: private}, options)
}

// parseKey reads the private key in a PEM text; its errors repeat nothing of it.
func parseKey(text []byte) (crypto.PrivateKey, error) {
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		switch block.Type {
		case "PRIVATE KEY":
			key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
			return key, unreadable(err)
		case "EC PRIVATE KEY":
			key, err := x509.ParseECPrivateKey(block.Bytes)
			return key, unreadable(err)
		case "RSA PRIVATE KEY":
			key, err := x509.ParsePKCS1PrivateKey(block.Bytes)
			return key, unreadable(err)
		case "ENCRYPTED PRIVATE KEY":
			return nil, errors.New("the key is encrypted: decrypt it (openssl pkey)")
		}
	}
	return nil, errors.New("no PEM private key (it begins with -----BEGIN PRIVATE KEY-----)")
}

func unreadable(err error) error {
	if err == nil {
		return nil
	}
	return errors.New("the private key cannot be read: it is damaged, or not of the type that its first line says")
}
