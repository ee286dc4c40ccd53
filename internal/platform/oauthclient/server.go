package oauthclient

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/platform/internal/rest"
)

// server is what is used of the authorization server's metadata (RFC 8414).
type server struct {
	Issuer       string   `json:"issuer"`
	Registration string   `json:"registration_endpoint"`
	Token        string   `json:"token_endpoint"`
	ClientAuth   []string `json:"token_endpoint_auth_methods_supported"`
}

// The places of the metadata below an issuer: OpenID Connect Discovery, and RFC 8414.
const (
	openIDMetadata = "/.well-known/openid-configuration"
	oauthMetadata  = "/.well-known/oauth-authorization-server"
)

// discover reads the metadata once.
func (d *Driver) discover(ctx context.Context) (server, error) {
	if err := ctx.Err(); err != nil {
		return server{}, err
	}
	return d.server.Get(ctx, func(server) bool { return true }, func(ctx context.Context) (server, error) {
		issuer, err := url.Parse(d.config.Issuer)
		if err != nil {
			return server{}, err
		}
		s, err := d.metadata(ctx, issuer.EscapedPath()+openIDMetadata)
		var status *rest.StatusError
		if errors.As(err, &status) && status.Status == http.StatusNotFound {
			s, err = d.metadata(ctx, oauthMetadata+issuer.EscapedPath())
		}
		return s, err
	})
}

func (d *Driver) metadata(ctx context.Context, path string) (server, error) {
	response, err := d.bare.Do(ctx, rest.Request{Method: http.MethodGet, Path: path})
	if err != nil {
		return server{}, fmt.Errorf("reading the server's metadata: %w", err)
	}
	var s server
	if err := response.Decode(&s); err != nil {
		return server{}, err
	}
	switch {
	case strings.TrimRight(s.Issuer, "/") != d.config.Issuer:
		return server{}, &rest.ContentError{Reason: fmt.Sprintf("names the issuer %q: configure that one, if it is the right server", s.Issuer)}
	case s.Token == "":
		return server{}, &rest.ContentError{Reason: "names no token_endpoint"}
	case s.Registration == "":
		return server{}, driver.Errorf(driver.Unsupported, "the authorization server %s has no registration_endpoint: "+
			"switch dynamic client registration (RFC 7591) on there", d.config.Issuer)
	}
	return s, nil
}

// Probe names the server by its issuer and the registry by its own id: with another registry, every account would look
// gone.
func (d *Driver) Probe(ctx context.Context) (driver.Target, error) {
	s, err := d.discover(ctx)
	if err != nil {
		return driver.Target{}, err
	}
	registry, err := d.config.Registry.ID(ctx)
	if err != nil {
		return driver.Target{}, storeError("asking the registry which one it is", err)
	}
	return driver.Target{ID: s.Issuer + " with registry " + registry + "/" + d.config.RegistryPath}, nil
}

// pathOf returns path and query of an endpoint that the server named. Tokens and secrets go to the issuer's host only.
func (d *Driver) pathOf(endpoint string) (string, error) {
	u, err := url.Parse(endpoint)
	if err != nil {
		return "", &rest.ContentError{Reason: "names an endpoint that is no URL"}
	}
	base := d.bare.BaseURL()
	if u.Scheme != base.Scheme || !strings.EqualFold(u.Host, base.Host) || u.User != nil {
		return "", driver.Errorf(driver.Invalid, "the server names an endpoint on %s://%s, and credentials are sent to %s only",
			u.Scheme, u.Host, base)
	}
	u.Scheme, u.Host, u.Fragment = "", "", ""
	return u.String(), nil
}
