// Package redmine manages non-human identities as users of a Redmine, version 5.0 and later, over its REST API.
package redmine

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/platform/internal/keylock"
	"github.com/nhi-labs/terraform-provider-nhi/internal/platform/internal/rest"
	"github.com/nhi-labs/terraform-provider-nhi/internal/secret"
)

const (
	defaultMarkField   = "NHI"
	defaultEmailDomain = "nhi.invalid" // Never receives mail (RFC 2606).
	userAgent          = "terraform-provider-nhi"
)

// Config says how to reach one Redmine.
type Config struct {
	// URL is where Redmine's start page is.
	URL string
	// APIKey is that of an administrator.
	APIKey secret.Value
	// MarkField names the custom field of users that holds the ownership mark, "NHI" if it is not set.
	MarkField string
	// EmailDomain is the domain of the addresses of accounts without one; the default never receives mail.
	EmailDomain string
	// CAFile replaces the machine's certificate authorities.
	CAFile string
	// AllowPlainHTTP lets the key travel over http:// to other hosts than this machine.
	AllowPlainHTTP bool
	// PageSize is how many rows are asked for at once; 0, or more than Redmine gives, is 100.
	PageSize int
	// Timeout bounds one attempt; 0 is ten minutes.
	Timeout time.Duration
}

// client is the driver of one configured platform.
type client struct {
	config Config
	rest   *rest.Client

	mu sync.Mutex
	// identifiers are the identifiers of projects by id. Redmine changes neither.
	identifiers map[int]string
	field       rest.Shared[customField]
	self        rest.Shared[user]
}

var _ interface {
	driver.Driver
	driver.Suspender
	driver.Sweeper
	driver.Issuer
	driver.Verifier
	driver.Explainer
} = (*client)(nil)

// userLocks is shared by all drivers of the process: Redmine replaces a membership's roles and a custom field as a whole.
var userLocks keylock.Set

// Open returns the driver of one Redmine. It does no network I/O.
func Open(config Config) (driver.Driver, error) {
	if config.APIKey.IsZero() {
		return nil, errors.New("the API key of a Redmine platform is not set")
	}
	config.MarkField = orDefault(config.MarkField, defaultMarkField)
	config.EmailDomain = orDefault(config.EmailDomain, defaultEmailDomain)
	if config.PageSize < 2 || config.PageSize > maxPage { // Pages overlap by one row.
		config.PageSize = maxPage
	}
	transport, err := config.client(rest.Auth{})
	if err != nil {
		return nil, err
	}
	return &client{config: config, rest: transport, identifiers: map[int]string{}}, nil
}

// client makes an HTTP client. The API key is not part of it: it has a header of its own.
func (c Config) client(auth rest.Auth) (*rest.Client, error) {
	return rest.New(rest.Config{
		BaseURL: c.URL, Auth: auth, TLS: rest.TLS{CAFile: c.CAFile}, Timeout: c.Timeout, UserAgent: userAgent,
		AllowPlainHTTP: c.AllowPlainHTTP,
	})
}

func orDefault(value, otherwise string) string {
	if value == "" {
		return otherwise
	}
	return value
}

// Close implements driver.Driver.
func (c *client) Close() error {
	c.rest.Close()
	return nil
}

// Classify implements driver.Driver.
func (c *client) Classify(err error) driver.Verdict { return rest.Classify(err) }

// do sends a request as the administrator and reads the answer into out, unless that is nil.
func (c *client) do(ctx context.Context, request rest.Request, out any) error {
	request.Header = http.Header{"X-Redmine-Api-Key": {c.config.APIKey.Reveal()}}
	request.Secrets = append(request.Secrets, c.config.APIKey)
	answer, err := c.rest.Do(ctx, request)
	if err != nil || out == nil {
		return err
	}
	return answer.Decode(out)
}

func (c *client) get(ctx context.Context, path string, query url.Values, out any) error {
	return c.do(ctx, rest.Request{Method: http.MethodGet, Path: path, Query: query}, out)
}

// isStatus reports whether err is an answer with one of the statuses.
func isStatus(err error, statuses ...int) bool {
	var answer *rest.StatusError
	return errors.As(err, &answer) && slices.Contains(statuses, answer.Status)
}
