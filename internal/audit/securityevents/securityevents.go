// Package securityevents is the audit sink that pushes security event tokens to a receiver of shared signals, so that it
// acts on what happened: ends sessions, drops tokens, alerts.
//
// Sources: RFC 8417 (token), RFC 8935 (push delivery), RFC 9493 (subjects), OpenID RISC Profile 1.0, OpenID CAEP 1.0,
// OpenID Shared Signals Framework 1.0.
package securityevents

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/nhi-labs/terraform-provider-nhi/internal/audit"
	"github.com/nhi-labs/terraform-provider-nhi/internal/audit/internal/post"
	"github.com/nhi-labs/terraform-provider-nhi/internal/secret"
	"github.com/nhi-labs/terraform-provider-nhi/internal/transport"
)

// Config says where to push and how to sign.
type Config struct {
	// URL is the receiver's push endpoint.
	URL            string
	TLS            transport.TLS
	AllowPlainHTTP bool
	// Token is sent as a bearer token if it is set.
	Token secret.Value
	// Issuer and Audience are the claims iss and aud. Audience may be "".
	Issuer, Audience string
	// SigningKey is a PEM private key: elliptic on P-256, or RSA of 2048 bits or more. KeyID is its id in the receiver's
	// key set, "" for none.
	SigningKey secret.Value
	KeyID      string
}

// sink pushes to one receiver.
type sink struct {
	config Config
	client *post.Client
	signer jose.Signer
}

// New checks config and makes the sink. It reads certificate files, and does no network I/O.
func New(config Config) (audit.Sink, error) {
	if config.Issuer == "" {
		return nil, errors.New("no issuer")
	}
	signer, err := newSigner(config.SigningKey, config.KeyID)
	if err != nil {
		return nil, fmt.Errorf("signing key: %w", err)
	}
	client, err := post.New(post.Config{URL: config.URL, TLS: config.TLS, AllowPlainHTTP: config.AllowPlainHTTP})
	if err != nil {
		return nil, err
	}
	return audit.Redacted(&sink{config, client, signer}, config.Token), nil
}

// Filter is what the sink can send: activities that TypeOf knows, once they have succeeded.
func Filter() audit.Filter {
	f := audit.Filter{Outcomes: []audit.Outcome{audit.Succeeded}}
	for _, a := range audit.Activities() {
		if TypeOf(a) != "" {
			f.Activities = append(f.Activities, a)
		}
	}
	return f
}

// Deliver implements audit.Sink: it signs e and pushes it once. An event outside Filter is an error. The receiver acknowledges with 202 and has
// then stored the token (RFC 8935, section 2.2).
func (s *sink) Deliver(ctx context.Context, e audit.Event) error {
	token, err := s.token(e, time.Now())
	if err != nil {
		return fmt.Errorf("security events: %w", err)
	}
	header := http.Header{"Content-Type": {"application/secevent+jwt"}, "Accept": {"application/json"}}
	if !s.config.Token.IsZero() {
		header.Set("Authorization", "Bearer "+s.config.Token.Reveal())
	}
	answer, err := s.client.Post(ctx, "", e.ID, header, []byte(token))
	if err != nil {
		return fmt.Errorf("security events: %w", err)
	}
	if answer.Status != http.StatusAccepted {
		return fmt.Errorf("security events: %w", answer.Refused(reason(answer.Body)))
	}
	return nil
}

// reason is what a receiver says of a token that it refuses (RFC 8935, section 2.3).
func reason(body []byte) string {
	var said struct {
		Err         string `json:"err"`
		Description string `json:"description"`
	}
	if json.Unmarshal(body, &said) != nil || said.Err == "" {
		return ""
	}
	return said.Err + " " + said.Description
}

// Close implements audit.Sink.
func (s *sink) Close() error { return s.client.Close() }
