package vault

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/hashicorp/vault/api"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/transport"
)

const (
	// maxBody bounds what is read of one answer. The largest is the list of token accessors: 1.6 million of them.
	maxBody = 64 << 20
	// renewBefore is how long before its end an own login token is replaced.
	renewBefore = 30 * time.Second
	// closeTimeout bounds the revocation of the own login token when the driver is closed.
	closeTimeout = 5 * time.Second
)

// connection sends requests with the admin's token. It never repeats one, except after logging in anew when the server
// said that the old login token is invalid and thus did nothing.
type connection struct {
	cfg        Config
	httpClient *http.Client

	mu     sync.Mutex
	client *api.Client // nil until the first request, and after the login token was refused
	ends   time.Time   // when client's token ends; zero is never
}

func newConnection(cfg Config) (*connection, error) {
	tlsConfig, err := newTLSConfig(cfg)
	if err != nil {
		return nil, err
	}
	pool := &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		TLSClientConfig:       tlsConfig,
		ForceAttemptHTTP2:     true,
		MaxIdleConnsPerHost:   32,
		IdleConnTimeout:       90 * time.Second,
		TLSHandshakeTimeout:   10 * time.Second,
		ExpectContinueTimeout: time.Second,
	}
	// The library would follow one redirect and take the token along, to any host.
	c := &connection{cfg: cfg, httpClient: &http.Client{Transport: transport.Guard{Next: pool, MaxBody: maxBody}}}
	if _, err := c.newClient(""); err != nil {
		return nil, err
	}
	return c, nil
}

func newTLSConfig(cfg Config) (*tls.Config, error) {
	out := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: cfg.TLSServerName}
	if cfg.CACertFile != "" {
		pem, err := os.ReadFile(cfg.CACertFile)
		if err != nil {
			return nil, fmt.Errorf("reading the authorities that vouch for Vault: %w", err)
		}
		out.RootCAs = x509.NewCertPool()
		if !out.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s holds no PEM certificate", cfg.CACertFile)
		}
	}
	if (cfg.ClientCertFile == "") != (cfg.ClientKeyFile == "") {
		return nil, errors.New("a client certificate needs both its certificate file and its key file")
	}
	if cfg.ClientCertFile != "" {
		pair, err := tls.LoadX509KeyPair(cfg.ClientCertFile, cfg.ClientKeyFile)
		if err != nil {
			return nil, fmt.Errorf("reading the client certificate: %w", err)
		}
		out.Certificates = []tls.Certificate{pair}
	}
	return out, nil
}

// newClient returns a client of the library with a token ("" for none). It undoes what the library takes from VAULT_*
// variables. The library's own timeout stays off, because it ends an answer before the body has been read.
func (c *connection) newClient(token string) (*api.Client, error) {
	client, err := api.NewClient(&api.Config{Address: c.cfg.Address, HttpClient: c.httpClient, MaxRetries: 0})
	if err != nil {
		return nil, fmt.Errorf("the Vault client library refuses the address or a VAULT_* environment variable: %w", err)
	}
	client.SetHeaders(http.Header{api.RequestHeaderName: {"true"}})
	client.SetToken(token)
	client.SetWrappingLookupFunc(func(string, string) string { return "" })
	if c.cfg.Namespace != "" {
		client.SetNamespace(c.cfg.Namespace)
	}
	return client, nil
}

// session returns a client with the admin's token, logging in if need be.
func (c *connection) session(ctx context.Context) (*api.Client, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.client != nil && (c.ends.IsZero() || time.Until(c.ends) > renewBefore) {
		return c.client, nil
	}
	token := c.cfg.Token.Reveal()
	var ends time.Time
	if token == "" {
		if c.cfg.RoleID == "" {
			return nil, driver.Errorf(driver.Unauthenticated, "no Vault token and no AppRole login is configured")
		}
		auth, err := c.login(ctx, c.cfg.LoginMount, c.cfg.RoleID, c.cfg.SecretID.Reveal())
		if err != nil {
			return nil, fmt.Errorf("logging in to Vault with the configured AppRole: %w", err)
		}
		token = auth.ClientToken
		if auth.LeaseDuration > 0 {
			ends = time.Now().Add(time.Duration(auth.LeaseDuration) * time.Second)
		}
	}
	client, err := c.newClient(token)
	if err != nil {
		return nil, err
	}
	c.client, c.ends = client, ends
	return client, nil
}

// forget drops client if it is still the one in use, and reports whether a new login can replace it.
func (c *connection) forget(client *api.Client) bool {
	if !c.cfg.Token.IsZero() {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.client == client {
		c.client = nil
	}
	return true
}

// login exchanges a secret id for a token. Errors do not repeat the server's text, which may hold the secret id.
func (c *connection) login(ctx context.Context, mount, roleID, secretID string) (authReply, error) {
	client, err := c.newClient("")
	if err != nil {
		return authReply{}, err
	}
	in := loginRequest{RoleID: roleID, SecretID: secretID}
	body, _, err := c.exchange(ctx, client, request{method: http.MethodPut, path: "auth/" + mount + "/login", in: in})
	if err != nil {
		return authReply{}, hideLoginError(err)
	}
	var out reply[struct{}]
	if err := json.Unmarshal(body, &out); err != nil || out.Auth == nil || out.Auth.ClientToken == "" {
		return authReply{}, driver.Errorf(driver.Unknown, "the answer to the login is not Vault's")
	}
	return *out.Auth, nil
}

// request is one call of the HTTP API.
type request struct {
	method string // GET, LIST, PUT or DELETE
	path   string // without /v1/
	query  map[string][]string
	in     any
}

// do sends r with the admin's token and returns the body; found is false for a 204, which has none.
func (c *connection) do(ctx context.Context, r request) (body []byte, found bool, err error) {
	client, err := c.session(ctx)
	if err != nil {
		return nil, false, err
	}
	body, found, err = c.exchange(ctx, client, r)
	if err == nil || classify(err).Code != driver.Unauthenticated || !c.forget(client) {
		return body, found, err
	}
	if client, err = c.session(ctx); err != nil {
		return nil, false, err
	}
	return c.exchange(ctx, client, r)
}

// exchange sends r once with client's token.
func (c *connection) exchange(ctx context.Context, client *api.Client, r request) ([]byte, bool, error) {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.Timeout)
	defer cancel()
	var header http.Header
	logical := client.WithResponseCallbacks(func(r *api.Response) { header = r.Header }).Logical()
	response, err := send(ctx, logical, r)
	if response != nil {
		defer func() { _ = response.Body.Close() }()
	}
	if err != nil {
		failure := &requestError{err: err, retryAfter: retryAfter(header)}
		if response != nil && response.StatusCode == http.StatusNotFound {
			failure.body, _ = io.ReadAll(response.Body) // The library has it in memory.
		}
		return nil, false, failure
	}
	if response == nil || response.StatusCode == http.StatusNoContent {
		return nil, false, nil
	}
	if response.StatusCode != http.StatusOK && response.StatusCode != http.StatusAccepted {
		return nil, false, unexpectedStatus(r, response)
	}
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, false, &requestError{err: fmt.Errorf("reading the answer to %s %s: %w", r.method, r.path, err)}
	}
	return body, true, nil
}

// unexpectedStatus is the error for what the library lets pass: 429 of the health check, and what is no status of Vault's.
func unexpectedStatus(r request, response *api.Response) error {
	verdict := driver.Verdict{Code: driver.Unknown}
	if response.StatusCode == http.StatusTooManyRequests {
		verdict = driver.Verdict{Code: driver.RateLimited, RetryAfter: retryAfter(response.Header)}
	}
	err := fmt.Errorf("%s %s was answered with status %d", r.method, r.path, response.StatusCode)
	return &driver.Error{Verdict: verdict, Err: err}
}

func send(ctx context.Context, logical *api.Logical, r request) (*api.Response, error) {
	switch r.method {
	case http.MethodGet:
		return logical.ReadRawWithDataWithContext(ctx, r.path, r.query)
	case http.MethodDelete:
		_, err := logical.DeleteWithContext(ctx, r.path)
		return nil, err
	default:
		body, err := json.Marshal(r.in)
		if err != nil {
			return nil, err
		}
		return logical.WriteRawWithContext(ctx, r.path, body)
	}
}

// retryAfter reads the header of that name, in seconds or as a date.
func retryAfter(header http.Header) time.Duration {
	text := header.Get("Retry-After")
	if seconds, err := strconv.Atoi(text); err == nil && seconds > 0 {
		return time.Duration(seconds) * time.Second
	}
	if at, err := http.ParseTime(text); err == nil {
		return max(0, time.Until(at))
	}
	return 0
}

func (c *connection) close() error {
	c.mu.Lock()
	client := c.client
	c.client = nil
	c.mu.Unlock()
	defer c.httpClient.CloseIdleConnections()
	if client == nil || !c.cfg.Token.IsZero() {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	_, _, err := c.exchange(ctx, client, request{method: http.MethodPut, path: "auth/token/revoke-self"})
	if err != nil {
		return fmt.Errorf("revoking the driver's own login: %w", err)
	}
	return nil
}
