// Package transport holds what everything that talks to a server over HTTP or TLS has to get right: whom to trust, and
// which addresses may be given credentials.
package transport

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"os"

	"github.com/nhi-labs/terraform-provider-nhi/internal/secret"
)

// TLS says whom to trust and, for mutual TLS, who we are. Versions below 1.2 are never used.
type TLS struct {
	// CAFile or CAPEM replaces the machine's certificate authorities.
	CAFile, CAPEM string
	// CertFile and KeyFile are read again for every connection, so a renewed certificate is used at once.
	CertFile, KeyFile string
	// CertPEM and KeyPEM are the alternative to files.
	CertPEM string
	KeyPEM  secret.Value
	// ServerName replaces the URL's host in the check of the server's certificate.
	ServerName string
}

// Config reads the files that it names and returns a configuration for clients.
func (t TLS) Config() (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: t.ServerName}
	if t.CAFile != "" || t.CAPEM != "" {
		pool, err := t.authorities()
		if err != nil {
			return nil, err
		}
		config.RootCAs = pool
	}
	if t.CertFile == "" && t.KeyFile == "" && t.CertPEM == "" && t.KeyPEM.IsZero() {
		return config, nil
	}
	if _, err := t.certificate(); err != nil {
		return nil, err
	}
	config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return t.certificate() }
	return config, nil
}

// Pool returns an HTTP transport that uses t, with connections of its own.
func (t TLS) Pool() (*http.Transport, error) {
	config, err := t.Config()
	if err != nil {
		return nil, err
	}
	pool := http.DefaultTransport.(*http.Transport).Clone() //nolint:forcetypeassert // The standard library's own.
	pool.TLSClientConfig = config
	pool.MaxIdleConnsPerHost = 16
	return pool, nil
}

func (t TLS) authorities() (*x509.CertPool, error) {
	text := []byte(t.CAPEM)
	if t.CAFile != "" {
		if t.CAPEM != "" {
			return nil, errors.New("give the certificate authorities as a file or as text, not both")
		}
		var err error
		if text, err = os.ReadFile(t.CAFile); err != nil {
			return nil, fmt.Errorf("reading the certificate authorities: %w", err)
		}
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, errors.New("the certificate authorities hold no PEM certificate")
	}
	return pool, nil
}

func (t TLS) certificate() (*tls.Certificate, error) {
	files, texts := t.CertFile != "" || t.KeyFile != "", t.CertPEM != "" || !t.KeyPEM.IsZero()
	var pair tls.Certificate
	var err error
	switch {
	case files && texts:
		return nil, errors.New("give the client certificate and its key as files or as text, not both")
	case files:
		pair, err = tls.LoadX509KeyPair(t.CertFile, t.KeyFile)
	default:
		pair, err = tls.X509KeyPair([]byte(t.CertPEM), []byte(t.KeyPEM.Reveal()))
	}
	if err != nil {
		return nil, fmt.Errorf("client certificate and key: %w", err)
	}
	return &pair, nil
}
