package securityevents

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/nhi-labs/terraform-provider-nhi/internal/audit"
	"github.com/nhi-labs/terraform-provider-nhi/internal/audit/audittest"
	"github.com/nhi-labs/terraform-provider-nhi/internal/secret"
)

// FuzzToken: whatever a text holds, the token verifies and says one thing of one account.
func FuzzToken(f *testing.F) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		f.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		f.Fatal(err)
	}
	signer, err := newSigner(secret.New(string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))), "")
	if err != nil {
		f.Fatal(err)
	}
	s := &sink{config: Config{Issuer: "https://issuer.example"}, signer: signer}
	for _, text := range audittest.Injections() {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		e := audittest.Hostile(text)
		e.Outcome = audit.Succeeded
		token, err := s.token(e, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		parsed, err := jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{jose.ES256})
		if err != nil {
			t.Fatal(err)
		}
		payload, err := parsed.Verify(key.Public())
		if err != nil {
			t.Fatal(err)
		}
		var got struct {
			ID     string                     `json:"jti"`
			Events map[string]json.RawMessage `json:"events"`
		}
		if err := json.Unmarshal(payload, &got); err != nil || got.ID != e.ID || len(got.Events) != 1 || got.Events[TypeOf(e.Activity)] == nil {
			t.Fatalf("%v: %s", err, payload)
		}
	})
}

// FuzzReason: what a receiver says of a token that it refuses.
func FuzzReason(f *testing.F) {
	f.Add([]byte(`{"err":"invalid_key","description":"unknown kid"}`))
	f.Add([]byte(`{"err":{}}`))
	f.Fuzz(func(_ *testing.T, body []byte) { _ = reason(body) })
}
