package rest

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/secret"
	"github.com/nhi-labs/terraform-provider-nhi/internal/transport"
)

// Auth says how requests are authenticated: with at most one of Bearer, Username with Password, and OAuth2. With none,
// the client certificate of TLS is the only credential.
type Auth struct {
	Bearer   secret.Value
	Username string
	Password secret.Value
	OAuth2   *ClientCredentials
}

// ClientCredentials is the OAuth 2.0 client credentials grant (RFC 6749, section 4.4). Without a ClientSecret, the
// client certificate authenticates the client at the token endpoint (RFC 8705).
type ClientCredentials struct {
	TokenURL     string
	ClientID     string
	ClientSecret secret.Value
	Scopes       []string
	// Audience is sent as "audience" if it is set.
	Audience string
}

// authenticator gives the Authorization header. Implementations are safe for concurrent use.
type authenticator interface {
	// header returns the header's text, "" for none.
	header(ctx context.Context) (string, error)
	// invalidate drops the token behind a header that was refused and reports whether another one can be had.
	invalidate(header string) bool
	secrets() []secret.Value
}

func (a Auth) build(client *http.Client, allowPlain bool) (authenticator, error) {
	ways := 0
	for _, set := range []bool{!a.Bearer.IsZero(), a.Username != "" || !a.Password.IsZero(), a.OAuth2 != nil} {
		if set {
			ways++
		}
	}
	switch {
	case ways > 1:
		return nil, errors.New("more than one way to authenticate is configured: give a token, or a user name and " +
			"password, or OAuth 2.0 client credentials")
	case !a.Bearer.IsZero():
		return fixed{secret.New("Bearer " + a.Bearer.Reveal()), []secret.Value{a.Bearer}}, nil
	case a.OAuth2 != nil:
		return newTokens(*a.OAuth2, client, allowPlain)
	case ways == 0:
		return fixed{}, nil
	case a.Username == "" || a.Password.IsZero():
		return nil, errors.New("user name and password belong together: one of them is missing")
	}
	pair := base64.StdEncoding.EncodeToString([]byte(a.Username + ":" + a.Password.Reveal()))
	return fixed{secret.New("Basic " + pair), []secret.Value{a.Password, secret.New(pair)}}, nil
}

// fixed is a header that never changes.
type fixed struct {
	text   secret.Value
	hidden []secret.Value
}

func (f fixed) header(context.Context) (string, error) { return f.text.Reveal(), nil }
func (f fixed) invalidate(string) bool                 { return false }
func (f fixed) secrets() []secret.Value                { return f.hidden }

// tokens fetches and keeps OAuth 2.0 tokens.
type tokens struct {
	config clientcredentials.Config
	client *http.Client
	hidden secret.Value
	shared Shared[*oauth2.Token]
}

func newTokens(c ClientCredentials, client *http.Client, allowPlain bool) (*tokens, error) {
	if c.ClientID == "" || c.TokenURL == "" {
		return nil, errors.New("OAuth 2.0 client credentials need a token URL and a client id")
	}
	if _, err := transport.ParseBase(c.TokenURL, allowPlain); err != nil {
		return nil, fmt.Errorf("token URL: %w", err)
	}
	t := &tokens{client: client, hidden: c.ClientSecret}
	t.config = clientcredentials.Config{
		ClientID: c.ClientID, ClientSecret: c.ClientSecret.Reveal(), TokenURL: c.TokenURL, Scopes: c.Scopes,
	}
	if c.Audience != "" {
		t.config.EndpointParams = url.Values{"audience": {c.Audience}}
	}
	if c.ClientSecret.IsZero() {
		t.config.AuthStyle = oauth2.AuthStyleInParams
	}
	return t, nil
}

func (t *tokens) header(ctx context.Context) (string, error) {
	token, err := t.shared.Get(ctx, (*oauth2.Token).Valid, func(ctx context.Context) (*oauth2.Token, error) {
		token, err := t.config.Token(context.WithValue(ctx, oauth2.HTTPClient, t.client))
		if err != nil {
			return nil, t.explain(ctx, err)
		}
		return token, nil
	})
	if err != nil {
		return "", err
	}
	return headerOf(token), nil
}

func headerOf(token *oauth2.Token) string { return token.Type() + " " + token.AccessToken }

// explain turns the library's error, whose text may repeat the whole answer, into one that is safe to show.
func (t *tokens) explain(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("fetching a token: %w", ctx.Err())
	}
	host := t.config.TokenURL
	if u, parseErr := url.Parse(host); parseErr == nil {
		host = u.Scheme + "://" + u.Host + u.Path
	}
	var refused *oauth2.RetrieveError
	if !errors.As(err, &refused) {
		var transport *url.Error
		if errors.As(err, &transport) {
			return fmt.Errorf("fetching a token: %w", err)
		}
		return driver.Errorf(driver.Unauthenticated, "the token endpoint %s gave no usable token", host)
	}
	code := driver.Unauthenticated
	status := refused.Response.StatusCode
	switch {
	case status == http.StatusTooManyRequests:
		code = driver.RateLimited
	case status >= http.StatusInternalServerError:
		code = driver.Unavailable
	}
	var redactor secret.Redactor
	redactor.Add(t.secrets()...)
	reason := strings.TrimSpace(short(redactor.Redact(refused.ErrorCode)))
	if reason != "" {
		reason = " (" + reason + ")"
	}
	return &driver.Error{
		Verdict: driver.Verdict{Code: code, RetryAfter: retryAfter(refused.Response.Header)},
		Err:     fmt.Errorf("the token endpoint %s answered %d%s", host, status, reason),
	}
}

func (t *tokens) invalidate(header string) bool {
	// Another call may have fetched a new token meanwhile; that one was not refused.
	t.shared.Drop(func(token *oauth2.Token) bool { return headerOf(token) == header })
	return true
}

func (t *tokens) secrets() []secret.Value {
	if t.hidden.IsZero() {
		return nil
	}
	pair := url.QueryEscape(t.config.ClientID) + ":" + url.QueryEscape(t.hidden.Reveal())
	return []secret.Value{t.hidden, secret.New(base64.StdEncoding.EncodeToString([]byte(pair)))}
}
