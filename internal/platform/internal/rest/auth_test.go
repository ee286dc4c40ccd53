package rest_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/platform/internal/rest"
	"github.com/nhi-labs/terraform-provider-nhi/internal/secret"
)

// tokenServer gives out numbered tokens and accepts only the newest at /things.
type tokenServer struct {
	issued, refused atomic.Int32
	accepted        atomic.Int32
	status          atomic.Int32
}

func (s *tokenServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	if r.URL.Path == "/token" {
		if status := s.status.Load(); status != 0 {
			w.WriteHeader(int(status))
			_, _ = fmt.Fprintf(w, `{"error":"invalid_client","error_description":"%s"}`, canary)
			return
		}
		_, _ = fmt.Fprintf(w, `{"access_token":"%s-%d","token_type":"bearer","expires_in":3600}`, canary, s.issued.Add(1))
		return
	}
	if r.Header.Get("Authorization") != fmt.Sprintf("Bearer %s-%d", canary, s.accepted.Load()) {
		s.refused.Add(1)
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	_, _ = w.Write([]byte("{}"))
}

func oauthClient(t *testing.T, url string) *rest.Client {
	t.Helper()
	return client(t, rest.Config{BaseURL: url, Auth: rest.Auth{OAuth2: &rest.ClientCredentials{
		TokenURL: url + "/token", ClientID: "client", ClientSecret: secret.New(canary),
	}}})
}

func TestOAuth2RefreshesOnceOn401(t *testing.T) {
	server := &tokenServer{}
	server.accepted.Store(1)
	c := oauthClient(t, serve(t, server.ServeHTTP).URL)
	for range 3 {
		if _, err := get(t, c); err != nil {
			t.Fatal(err)
		}
	}
	if server.issued.Load() != 1 {
		t.Errorf("%d tokens for three requests, want 1", server.issued.Load())
	}
	server.accepted.Store(2)
	if _, err := c.Do(t.Context(), rest.Request{Method: http.MethodPost, Path: "/things", Body: "x"}); err != nil {
		t.Errorf("after the token was revoked: %v", err)
	}
	server.accepted.Store(99)
	_, err := get(t, c)
	wantCode(t, err, driver.Unauthenticated)
	if server.issued.Load() != 3 || server.refused.Load() != 3 {
		t.Errorf("%d tokens, %d refusals, want 3 and 3", server.issued.Load(), server.refused.Load())
	}
}

func TestOAuth2Refused(t *testing.T) {
	for status, want := range map[int32]driver.Code{
		http.StatusUnauthorized: driver.Unauthenticated, http.StatusBadRequest: driver.Unauthenticated,
		http.StatusTooManyRequests: driver.RateLimited, http.StatusServiceUnavailable: driver.Unavailable,
	} {
		server := &tokenServer{}
		server.status.Store(status)
		_, err := get(t, oauthClient(t, serve(t, server.ServeHTTP).URL))
		wantCode(t, err, want)
	}
}

// TestOAuth2Redirect: the client's secret goes to the configured token endpoint only.
func TestOAuth2Redirect(t *testing.T) {
	elsewhere := serve(t, func(http.ResponseWriter, *http.Request) { t.Error("another host was asked for a token") })
	for _, status := range []int{
		http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther, http.StatusTemporaryRedirect, http.StatusPermanentRedirect,
	} {
		server := serve(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, elsewhere.URL, status) })
		_, err := get(t, oauthClient(t, server.URL))
		wantCode(t, err, driver.Unknown)
	}
}

func TestOAuth2EndpointDown(t *testing.T) {
	down := httptest.NewServer(http.NotFoundHandler())
	down.Close()
	_, err := get(t, oauthClient(t, down.URL))
	wantCode(t, err, driver.Unavailable)
}

// authority signs certificates for one test.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) authority {
	t.Helper()
	key := newKey(t)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return authority{cert, key}
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func (a authority) pem() string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw}))
}

// sign returns certificate and key for the loopback address as PEM.
func (a authority) sign(t *testing.T) (cert, key []byte) {
	t.Helper()
	private := newKey(t)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "leaf"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &private.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	encoded, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: encoded})
}

// mutualTLSServer accepts clients with a certificate of the authority.
func mutualTLSServer(t *testing.T, ours authority, newest uint16) string {
	t.Helper()
	cert, key := ours.sign(t)
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	trusted := x509.NewCertPool()
	trusted.AddCert(ours.cert)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte("{}"))
	}))
	server.TLS = &tls.Config{
		Certificates: []tls.Certificate{pair}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: trusted,
		MinVersion: tls.VersionTLS12, MaxVersion: newest,
	}
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	t.Cleanup(server.Close)
	return server.URL
}

func TestMutualTLS(t *testing.T) {
	ours := newAuthority(t)
	cert, key := ours.sign(t)
	dir := t.TempDir()
	certFile, keyFile, caFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"), filepath.Join(dir, "ca.pem")
	for name, content := range map[string][]byte{certFile: cert, keyFile: key, caFile: []byte(ours.pem())} {
		if err := os.WriteFile(name, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	url := mutualTLSServer(t, ours, tls.VersionTLS13)
	for name, config := range map[string]rest.TLS{
		"files": {CAFile: caFile, CertFile: certFile, KeyFile: keyFile},
		"texts": {CAPEM: ours.pem(), CertPEM: string(cert), KeyPEM: secret.New(string(key))},
	} {
		if _, err := get(t, client(t, rest.Config{BaseURL: url, TLS: config})); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestMutualTLSRefused speaks TLS 1.2, where the refusal comes before the request and cannot be lost behind it.
func TestMutualTLSRefused(t *testing.T) {
	ours, theirs := newAuthority(t), newAuthority(t)
	url := mutualTLSServer(t, ours, tls.VersionTLS12)
	cert, key := ours.sign(t)
	foreignCert, foreignKey := theirs.sign(t)
	for name, c := range map[string]struct {
		tls  rest.TLS
		want driver.Code
	}{
		"no certificate":     {rest.TLS{CAPEM: ours.pem()}, driver.Unauthenticated},
		"another authority":  {rest.TLS{CAPEM: ours.pem(), CertPEM: string(foreignCert), KeyPEM: secret.New(string(foreignKey))}, driver.Unauthenticated},
		"we do not trust it": {rest.TLS{CAPEM: theirs.pem(), CertPEM: string(cert), KeyPEM: secret.New(string(key))}, driver.Invalid},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := get(t, client(t, rest.Config{BaseURL: url, TLS: c.tls}))
			wantCode(t, err, c.want)
		})
	}
}
