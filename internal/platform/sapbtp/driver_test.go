package sapbtp_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
	"github.com/nhi-labs/terraform-provider-nhi/internal/platform/sapbtp"
	"github.com/nhi-labs/terraform-provider-nhi/internal/platform/sapbtp/sapbtpfake"
	"github.com/nhi-labs/terraform-provider-nhi/internal/secret"
)

var testMark = nhi.Mark{Stack: "payments-test", Identity: "billing-agent"}

// world is one fake with one driver.
type world struct {
	*testing.T
	h *harness
	d *sapbtp.Driver
}

func newWorld(t *testing.T, options sapbtpfake.Options, mods ...func(*sapbtp.Config)) *world {
	t.Helper()
	t.Parallel()
	h := newHarness(t, options)
	config := h.config(h.url, h.secret)
	for _, mod := range mods {
		mod(&config)
	}
	return &world{T: t, h: h, d: open(t, config)}
}

func (w *world) must(what string, err error) {
	w.Helper()
	if err != nil {
		w.Fatalf("%s: %v", what, err)
	}
}

func (w *world) wantCode(what string, err error, want driver.Code) {
	w.Helper()
	if err == nil || w.d.Classify(err).Code != want {
		w.Fatalf("%s: error %v, want the code %v", what, err, want)
	}
}

func (w *world) create(name string) nhi.Ref {
	w.Helper()
	ref, err := w.d.CreateAccount(w.Context(), driver.AccountSpec{Name: name, Mark: testMark})
	w.must("create", err)
	return ref
}

// TestDeletedUserStaysDeleted is the resurrection trap: the next logon makes a shadow user again from the level above.
func TestDeletedUserStaysDeleted(t *testing.T) {
	w := newWorld(t, sapbtpfake.Options{})
	w.h.fake.AddUpperUser("agent@example.com", origin)
	w.h.fake.AddUpperUser("other@example.com", origin)
	w.h.fake.AddUpperUser("agent@example.com", "sap.default")
	ref := w.create("agent@example.com")
	w.must("delete", w.d.DeleteAccount(t.Context(), ref))
	if w.h.fake.Logon("agent@example.com", origin) {
		t.Error("the deleted user logs on again")
	}
	_, err := w.d.ReadAccount(t.Context(), nhi.Ref{Name: ref.Name})
	w.wantCode("read after the logon", err, driver.NotFound)
	if !w.h.fake.Logon("other@example.com", origin) || !w.h.fake.Logon("agent@example.com", "sap.default") {
		t.Error("users of the level above that nobody deleted are gone")
	}
}

// TestWithoutTheLevelAbove shows the trap itself, and that the probe tells of it.
func TestWithoutTheLevelAbove(t *testing.T) {
	w := newWorld(t, sapbtpfake.Options{}, func(c *sapbtp.Config) { c.Upper = nil })
	target, err := w.d.Probe(t.Context())
	w.must("probe", err)
	if len(target.Blind) != 1 || !strings.Contains(target.Blind[0], "next logon") {
		t.Errorf("blind: %q", target.Blind)
	}
	w.h.fake.AddUpperUser("agent", origin)
	w.must("delete", w.d.DeleteAccount(t.Context(), w.create("agent")))
	if !w.h.fake.Logon("agent", origin) {
		t.Fatal("the fake does not bring the user back")
	}
	again, err := w.d.ReadAccount(t.Context(), nhi.Ref{Name: "agent"})
	w.must("read", err)
	if !again.Mark.IsZero() || len(again.Entitlements) > 0 {
		t.Errorf("the user that came back has the mark %q and holds %s", again.Mark, nhi.JoinTexts(again.Entitlements))
	}
}

// TestMappedRoleCollections shows what a group mapping gives as inherited, and never as something to revoke.
func TestMappedRoleCollections(t *testing.T) {
	w := newWorld(t, sapbtpfake.Options{})
	ref := w.create("agent")
	es := w.h.Entitlements(t, 2)
	w.must("grant", w.d.Grant(t.Context(), ref, es[:1]))
	if !w.h.fake.Assign("agent", origin, es[1].Target, true) {
		t.Fatal("cannot assign")
	}
	account, err := w.d.ReadAccount(t.Context(), ref)
	w.must("read", err)
	if got := nhi.JoinTexts(account.Entitlements); got != es[0].String() {
		t.Errorf("direct: %s", got)
	}
	holdings, err := w.d.Explain(t.Context(), ref)
	w.must("explain", err)
	if got, want := fmt.Sprint(holdings), fmt.Sprint([]driver.Holding{
		{Entitlement: es[0]}, {Entitlement: es[1], Via: []string{"group mapping of " + origin}},
	}); got != want {
		t.Errorf("explained %s, want %s", got, want)
	}
	w.must("revoke", w.d.Revoke(t.Context(), ref, es))
	if holdings, err = w.d.Explain(t.Context(), ref); err != nil || len(holdings) != 1 || holdings[0].Entitlement != es[1] {
		t.Errorf("after revoking both: %v, %v", holdings, err)
	}
	_, err = w.d.Explain(t.Context(), nhi.Ref{Name: "nobody"})
	w.wantCode("explain an absent account", err, driver.NotFound)
}

// TestRateLimits: a wait that the service asks for is kept if it is short, and handed on if it is long; without one, an
// idempotent request is repeated all the same.
func TestRateLimits(t *testing.T) {
	for name, test := range map[string]struct {
		waits []time.Duration
		want  driver.Verdict
	}{
		"short":                  {[]time.Duration{time.Second}, driver.Verdict{}},
		"long":                   {[]time.Duration{time.Minute}, driver.Verdict{Code: driver.RateLimited, RetryAfter: time.Minute}},
		"without Retry-After":    {[]time.Duration{-1}, driver.Verdict{}},
		"never with Retry-After": {[]time.Duration{-1, -1, -1}, driver.Verdict{Code: driver.RateLimited}},
	} {
		t.Run(name, func(t *testing.T) {
			var armed atomic.Bool
			waits := test.waits
			w := newWorld(t, sapbtpfake.Options{Limit: func() time.Duration {
				if !armed.Load() || len(waits) == 0 {
					return 0
				}
				wait := waits[0]
				waits = waits[1:]
				return wait
			}})
			ref := w.create("agent")
			armed.Store(true)
			begin := time.Now()
			_, err := w.d.ReadAccount(t.Context(), ref)
			if got := w.d.Classify(err); (err != nil) != (test.want.Code != driver.Unknown) || err != nil && got != test.want {
				t.Errorf("error %v, verdict %v, want %v", err, got, test.want)
			}
			if err == nil && test.waits[0] > 0 && time.Since(begin) < test.waits[0] {
				t.Errorf("it waited %v", time.Since(begin))
			}
		})
	}
}

// TestRefusedCreationIsNotRepeated: whether a refused POST may be repeated is for the caller to decide.
func TestRefusedCreationIsNotRepeated(t *testing.T) {
	w := newWorld(t, sapbtpfake.Options{Limit: func() time.Duration { return -1 }})
	_, err := w.d.CreateAccount(t.Context(), driver.AccountSpec{Name: "agent", Mark: testMark})
	w.wantCode("create", err, driver.RateLimited)
	if got := w.h.fake.Requests(); got != 1 {
		t.Errorf("%d requests", got)
	}
}

// TestPagesThatShift deletes users while a sweep reads: those that stay must all be seen, once each.
func TestPagesThatShift(t *testing.T) {
	w := newWorld(t, sapbtpfake.Options{}, func(c *sapbtp.Config) { c.PageSize = 5 })
	var refs []nhi.Ref
	for i := range 30 {
		refs = append(refs, w.create(fmt.Sprintf("agent-%02d", i)))
	}
	seen := map[string]int{}
	gone := refs[:12]
	err := w.d.Sweep(t.Context(), driver.SweepFilter{}, func(accounts []nhi.Account) error {
		for _, a := range accounts {
			seen[a.ID]++
		}
		for range min(4, len(gone)) {
			if err := w.d.DeleteAccount(t.Context(), gone[0]); err != nil {
				return err
			}
			gone = gone[1:]
		}
		return nil
	})
	w.must("sweep", err)
	for _, ref := range refs[12:] {
		if seen[ref.ID] != 1 {
			t.Errorf("%s was seen %d times", ref.Name, seen[ref.ID])
		}
	}
}

// TestBindingsBelongToTheirAccount: all accounts share one instance.
func TestBindingsBelongToTheirAccount(t *testing.T) {
	w := newWorld(t, sapbtpfake.Options{})
	one, two := w.create("one"), w.create("two")
	issued, err := w.d.Issue(t.Context(), one, driver.IssueRequest{Label: "rotation-1"})
	w.must("issue", err)
	_, err = w.d.Issue(t.Context(), one, driver.IssueRequest{Label: "rotation-1"})
	w.wantCode("issue the same label again", err, driver.Conflict)
	w.must("revoke through the other account", w.d.RevokeCredential(t.Context(), two, issued.Credential.ID))
	w.must("it still works", w.d.Verify(t.Context(), issued.Login, issued.Secret))
	w.must("delete the other account", w.d.DeleteAccount(t.Context(), two))
	w.must("it still works", w.d.Verify(t.Context(), issued.Login, issued.Secret))
}

// TestWithoutServiceManager: accounts then have no credentials.
func TestWithoutServiceManager(t *testing.T) {
	w := newWorld(t, sapbtpfake.Options{}, func(c *sapbtp.Config) { c.Bindings = nil })
	ref := w.create("agent")
	if n := w.d.Slots(); n != 0 {
		t.Errorf("%d slots", n)
	}
	_, err := w.d.Issue(t.Context(), ref, driver.IssueRequest{Label: "x"})
	w.wantCode("issue", err, driver.Unsupported)
	w.wantCode("verify", w.d.Verify(t.Context(), "a", secret.New("b")), driver.Unsupported)
	w.wantCode("revoke", w.d.RevokeCredential(t.Context(), ref, "x"), driver.Unsupported)
	w.must("delete", w.d.DeleteAccount(t.Context(), ref))
}

// TestBindingOfAnotherInstance: an account keeps what it was given before another instance was configured, and loses it when it
// is told to.
func TestBindingOfAnotherInstance(t *testing.T) {
	w := newWorld(t, sapbtpfake.Options{})
	ref := w.create("agent")
	var issued [2]driver.Issued
	for i := range issued {
		var err error
		issued[i], err = w.d.Issue(t.Context(), ref, driver.IssueRequest{Label: fmt.Sprint("rotation-", i)})
		w.must("issue", err)
	}
	config := w.h.config(w.h.url, w.h.secret)
	config.Bindings.InstanceID = "00000000-7d4e-4b0a-9a2e-5d1f6c2b9e10"
	d := open(t, config)
	account, err := d.ReadAccount(t.Context(), ref)
	if w.must("read", err); len(account.Credentials) != 2 {
		t.Errorf("credentials %v", account.Credentials)
	}
	swept := 0
	w.must("read all", d.Sweep(t.Context(), driver.SweepFilter{}, func(page []nhi.Account) error {
		swept += len(page[0].Credentials)
		return nil
	}))
	if swept != 2 {
		t.Errorf("%d credentials in bulk", swept)
	}
	w.must("revoke", d.RevokeCredential(t.Context(), ref, issued[0].Credential.ID))
	w.wantDead("with what was revoked", issued[0])
	w.must("log in", w.d.Verify(t.Context(), issued[1].Login, issued[1].Secret))
	w.must("delete", d.DeleteAccount(t.Context(), ref))
	w.wantDead("after the deletion", issued[1])
}

// TestForeignExternalID leaves the key of another provisioning system alone.
func TestForeignExternalID(t *testing.T) {
	w := newWorld(t, sapbtpfake.Options{})
	w.h.fake.AddUser("agent", origin)
	w.h.fake.SetExternalID("agent", origin, "P000042")
	account, err := w.d.ReadAccount(t.Context(), nhi.Ref{Name: "agent"})
	w.must("read", err)
	err = w.d.UpdateAccount(t.Context(), account.Ref, driver.AccountChange{Mark: &testMark})
	w.wantCode("adopt", err, driver.Conflict)
	if !strings.Contains(err.Error(), "P000042") {
		t.Errorf("error %v", err)
	}
}

// TestOtherOrigin: the same name of another identity provider is another user.
func TestOtherOrigin(t *testing.T) {
	w := newWorld(t, sapbtpfake.Options{})
	w.h.fake.AddUser("agent", "sap.default")
	_, err := w.d.ReadAccount(t.Context(), nhi.Ref{Name: "agent"})
	w.wantCode("read", err, driver.NotFound)
	w.must("delete ours", w.d.DeleteAccount(t.Context(), w.create("agent")))
	if !w.h.fake.Logon("agent", "sap.default") {
		t.Error("the other user is gone")
	}
}

func TestReadOnlyLogin(t *testing.T) {
	w := newWorld(t, sapbtpfake.Options{ReadOnly: true})
	_, err := w.d.CreateAccount(t.Context(), driver.AccountSpec{Name: "agent", Mark: testMark})
	w.wantCode("create", err, driver.PermissionDenied)
}

// TestCertificateLogin logs in with X.509 alone: the certificate of a binding with the credential type x509.
func TestCertificateLogin(t *testing.T) {
	t.Parallel()
	fake := sapbtpfake.New(sapbtpfake.Options{ClientID: clientID})
	server := httptest.NewUnstartedServer(fake)
	server.TLS = &tls.Config{ClientAuth: tls.RequestClientCert, MinVersion: tls.VersionTLS12}
	server.StartTLS()
	t.Cleanup(server.Close)
	dir := t.TempDir()
	ca := filepath.Join(dir, "ca.pem")
	writePEM(t, ca, "CERTIFICATE", server.Certificate().Raw)
	for id, want := range map[string]driver.Code{clientID: driver.NotFound, "another": driver.Unauthenticated} {
		cert, key := filepath.Join(dir, id+".pem"), filepath.Join(dir, id+".key")
		writeCertificate(t, id, cert, key)
		d := open(t, sapbtp.Config{CAFile: ca, Origin: origin, API: sapbtp.API{
			URL: server.URL + sapbtpfake.SubaccountPath, TokenURL: server.URL + sapbtpfake.TokenPath, ClientID: clientID,
			CertFile: cert, KeyFile: key,
		}})
		_, err := d.ReadAccount(t.Context(), nhi.Ref{Name: "nobody"})
		if err == nil || d.Classify(err).Code != want {
			t.Errorf("certificate of %q: %v, want the code %v", id, err, want)
		}
	}
}

func writeCertificate(t *testing.T, name, certFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	raw, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	encoded, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	writePEM(t, certFile, "CERTIFICATE", raw)
	writePEM(t, keyFile, "PRIVATE KEY", encoded)
}

func writePEM(t *testing.T, path, kind string, raw []byte) {
	t.Helper()
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: raw}), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestOpenRefuses(t *testing.T) {
	api := sapbtp.API{URL: "https://api.example", TokenURL: "https://t.example/oauth/token", ClientID: "x", ClientSecret: secret.New("y")}
	for want, config := range map[string]sapbtp.Config{
		"no way to log in":         {API: sapbtp.API{URL: api.URL, TokenURL: api.TokenURL, ClientID: "x"}},
		"the level above":          {API: api, Upper: &sapbtp.API{}},
		"page size":                {API: api, PageSize: 1},
		"id of the service":        {API: api, Bindings: &sapbtp.Bindings{API: api}},
		"the Service Manager: no ": {API: api, Bindings: &sapbtp.Bindings{InstanceID: "i"}},
	} {
		if _, err := sapbtp.Open(config); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
	if d, err := sapbtp.Open(sapbtp.Config{API: api}); err != nil || d.Close() != nil {
		t.Errorf("a whole configuration: %v", err)
	}
}
