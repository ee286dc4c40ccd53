package securityevents_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/go-cmp/cmp"

	"github.com/nhi-labs/terraform-provider-nhi/internal/audit"
	"github.com/nhi-labs/terraform-provider-nhi/internal/audit/audittest"
	"github.com/nhi-labs/terraform-provider-nhi/internal/audit/securityevents"
	"github.com/nhi-labs/terraform-provider-nhi/internal/secret"
)

const token = "token-" + audittest.Canary

func pemOf(t *testing.T, kind string, der []byte, err error) string {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

func pkcs8(t *testing.T, key crypto.PrivateKey) string {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	return pemOf(t, "PRIVATE KEY", der, err)
}

func ecKey(t *testing.T, curve elliptic.Curve) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func open(t *testing.T, url, key string) audit.Sink {
	t.Helper()
	sink, err := securityevents.New(securityevents.Config{
		URL: url, Token: secret.New(token), Issuer: "https://issuer.example", Audience: "https://receiver.example",
		SigningKey: secret.New(key), KeyID: "k1",
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sink.Close() })
	return sink
}

// set is a security event token as a receiver reads it.
type set struct {
	Iss   string `json:"iss"`
	Aud   string `json:"aud"`
	Iat   int64  `json:"iat"`
	Jti   string `json:"jti"`
	Txn   string `json:"txn"`
	Toe   int64  `json:"toe"`
	SubID struct {
		Format string            `json:"format"`
		User   map[string]string `json:"user"`
		Tenant map[string]string `json:"tenant"`
	} `json:"sub_id"`
	Events map[string]map[string]any `json:"events"`
}

// receiver is a strict push receiver (RFC 8935) that knows one key.
type receiver struct {
	key       crypto.PublicKey
	algorithm jose.SignatureAlgorithm
	mu        sync.Mutex
	sets      []set
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	got, problem := r.read(request)
	if problem != "" {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusBadRequest)
		_, _ = fmt.Fprintf(w, `{"err":"invalid_request","description":%q}`, problem)
		return
	}
	r.mu.Lock()
	r.sets = append(r.sets, got)
	r.mu.Unlock()
	w.WriteHeader(http.StatusAccepted)
}

func (r *receiver) read(request *http.Request) (got set, problem string) {
	body, err := io.ReadAll(request.Body)
	if err != nil {
		return got, err.Error()
	}
	if request.Header.Get("Content-Type") != "application/secevent+jwt" || request.Header.Get("Accept") != "application/json" ||
		request.Header.Get("Authorization") != "Bearer "+token {
		return got, "headers"
	}
	signed, err := jose.ParseSigned(string(body), []jose.SignatureAlgorithm{r.algorithm})
	if err != nil {
		return got, err.Error()
	}
	header := signed.Signatures[0].Protected
	if header.KeyID != "k1" || header.ExtraHeaders["typ"] != "secevent+jwt" {
		return got, "protected header"
	}
	text, err := signed.Verify(r.key)
	if err != nil {
		return got, err.Error()
	}
	decoder := json.NewDecoder(strings.NewReader(string(text)))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&got); err != nil {
		return got, err.Error()
	}
	return got, ""
}

func TestDelivery(t *testing.T) {
	t.Parallel()
	elliptical := ecKey(t, elliptic.P256())
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalECPrivateKey(elliptical)
	for name, c := range map[string]struct {
		pem      string
		receiver *receiver
	}{
		"P-256":       {pkcs8(t, elliptical), &receiver{key: elliptical.Public(), algorithm: jose.ES256}},
		"P-256, SEC1": {pemOf(t, "EC PRIVATE KEY", der, err), &receiver{key: elliptical.Public(), algorithm: jose.ES256}},
		"RSA":         {pkcs8(t, rsaKey), &receiver{key: rsaKey.Public(), algorithm: jose.RS256}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sink := open(t, audittest.NewReceiver(t, c.receiver.ServeHTTP).URL, c.pem)
			var events []audit.Event
			for _, e := range audittest.All() {
				if (audit.NamedSink{Filter: securityevents.Filter()}).Wants(e) {
					events = append(events, e)
				}
			}
			audittest.DeliverAll(t, sink, events)
			var ids []string
			for i, s := range c.receiver.sets {
				ids = append(ids, s.Jti)
				checkSet(t, events[i], s)
			}
			if err := audittest.OncePerID(events, ids); err != nil || len(events) != 10 {
				t.Errorf("%d events: %v", len(events), err)
			}
		})
	}
}

func checkSet(t *testing.T, e audit.Event, s set) {
	t.Helper()
	if s.Iss != "https://issuer.example" || s.Aud != "https://receiver.example" || s.Txn != e.Correlation || s.Toe != e.Time.Unix() ||
		time.Since(time.Unix(s.Iat, 0)).Abs() > time.Minute {
		t.Errorf("claims %+v", s)
	}
	wantUser := map[string]string{"format": "opaque", "id": e.Account.ID}
	wantTenant := map[string]string{"format": "opaque", "id": e.Platform.Target}
	if s.SubID.Format != "complex" || !cmp.Equal(s.SubID.User, wantUser) || !cmp.Equal(s.SubID.Tenant, wantTenant) {
		t.Errorf("subject %+v", s.SubID)
	}
	payload, ok := s.Events[securityevents.TypeOf(e.Activity)]
	if !ok || len(s.Events) != 1 {
		t.Errorf("events %v", s.Events)
	}
	switch e.Activity {
	case audit.SuspendAccount, audit.ResumeAccount, audit.DeleteAccount:
		if len(payload) != 0 {
			t.Errorf("RISC payload %v", payload)
		}
	case audit.IssueCredential, audit.RevokeCredential:
		change := map[audit.Activity]string{audit.IssueCredential: "create", audit.RevokeCredential: "revoke"}[e.Activity]
		if payload["change_type"] != change || payload["credential_type"] != "nhi-credential" || payload["friendly_name"] != e.Credential {
			t.Errorf("credential %v", payload)
		}
	case audit.Grant, audit.Revoke:
		if payload["entitlements_after"] == nil || payload["event_timestamp"] != float64(e.Time.Unix()) {
			t.Errorf("access %v", payload)
		}
	}
}

func TestFilter(t *testing.T) {
	want := []audit.Activity{
		audit.DeleteAccount, audit.SuspendAccount, audit.ResumeAccount, audit.EndSessions, audit.Grant, audit.Revoke,
		audit.IssueCredential, audit.RevokeCredential,
	}
	if diff := cmp.Diff(audit.Filter{Activities: want, Outcomes: []audit.Outcome{audit.Succeeded}}, securityevents.Filter()); diff != "" {
		t.Errorf("filter (-want +got):\n%s", diff)
	}
	sink := open(t, "https://receiver.example", pkcs8(t, ecKey(t, elliptic.P256())))
	for _, e := range audittest.All() {
		if slices.Contains(want, e.Activity) && e.Outcome == audit.Succeeded {
			continue
		}
		if err := sink.Deliver(t.Context(), e); err == nil || !strings.Contains(err.Error(), "no form as a security event") {
			t.Errorf("%s %s: %v", e.Activity, e.Outcome, err)
		}
	}
}

func TestFaults(t *testing.T) {
	t.Parallel()
	key := pkcs8(t, ecKey(t, elliptic.P256()))
	audittest.HTTPFaults(t, func(t *testing.T, url string) audit.Sink { return open(t, url, key) }, audittest.OwnAnswer)
}

// TestRefusedToken: what the receiver says of a token is in the error.
func TestRefusedToken(t *testing.T) {
	t.Parallel()
	other := &receiver{key: ecKey(t, elliptic.P256()).Public(), algorithm: jose.ES256}
	sink := open(t, audittest.NewReceiver(t, other.ServeHTTP).URL, pkcs8(t, ecKey(t, elliptic.P256())))
	err := sink.Deliver(t.Context(), audittest.Event(audit.Grant, audit.Succeeded))
	if err == nil || !strings.Contains(err.Error(), "400 Bad Request: invalid_request") {
		t.Errorf("error %v", err)
	}
}

func TestKeysRefused(t *testing.T) {
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	_, edwards, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ pem, want string }{
		"none":       {"", "no PEM private key"},
		"no PEM":     {audittest.Canary, "no PEM private key"},
		"P-384":      {pkcs8(t, ecKey(t, elliptic.P384())), "use P-256"},
		"small RSA":  {pkcs8(t, small), "use 2048"},
		"Ed25519":    {pkcs8(t, edwards), "use P-256 or RSA"},
		"encrypted":  {"-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n", "encrypted"},
		"damaged":    {"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "damaged"},
		"wrong type": {strings.ReplaceAll(pkcs8(t, ecKey(t, elliptic.P256())), "PRIVATE", "RSA PRIVATE"), "damaged"},
	} {
		_, err := securityevents.New(securityevents.Config{URL: "https://h", Issuer: "i", SigningKey: secret.New(c.pem)})
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), audittest.Canary) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
