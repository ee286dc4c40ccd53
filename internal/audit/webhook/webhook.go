// Package webhook is the audit sink that posts each event to a URL as a CloudEvent in structured mode, signed.
//
// Sources: CloudEvents 1.0.2, its HTTP binding (section 3.2) and JSON format.
package webhook

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	cloudevents "github.com/cloudevents/sdk-go/v2/event"

	"github.com/nhi-labs/terraform-provider-nhi/internal/audit"
	"github.com/nhi-labs/terraform-provider-nhi/internal/audit/internal/post"
	"github.com/nhi-labs/terraform-provider-nhi/internal/audit/ocsf"
	"github.com/nhi-labs/terraform-provider-nhi/internal/secret"
	"github.com/nhi-labs/terraform-provider-nhi/internal/transport"
)

const (
	// TypePrefix begins the CloudEvents type; the activity follows: "io.nhi.audit.grant".
	TypePrefix = "io.nhi.audit."
	// ContentType is that of a CloudEvent in structured mode.
	ContentType = "application/cloudevents+json"
	// TimestampHeader and SignatureHeader are described at Signature.
	TimestampHeader = "Nhi-Timestamp"
	SignatureHeader = "Nhi-Signature"
)

// Config says where to post and how to sign.
type Config struct {
	URL            string
	TLS            transport.TLS
	AllowPlainHTTP bool
	// Secret is the key of the signature, at least 16 bytes. The zero Value signs nothing.
	Secret secret.Value
	// Token is sent as a bearer token if it is set.
	Token   secret.Value
	Version ocsf.Version
}

// minSecret is the shortest key that is taken. A shorter one can be guessed from a single signed request.
const minSecret = 16

// sink posts events to a webhook.
type sink struct {
	config Config
	client *post.Client
}

// New checks config and makes the sink. It reads certificate files, and does no network I/O.
func New(config Config) (audit.Sink, error) {
	if err := CheckSecret(config.Secret); err != nil {
		return nil, err
	}
	client, err := post.New(post.Config{URL: config.URL, TLS: config.TLS, AllowPlainHTTP: config.AllowPlainHTTP})
	if err != nil {
		return nil, err
	}
	return audit.Redacted(&sink{config, client}, config.Secret, config.Token), nil
}

// CheckSecret refuses a key that is too short. The zero Value passes.
func CheckSecret(key secret.Value) error {
	if n := len(key.Reveal()); n > 0 && n < minSecret {
		return fmt.Errorf("the secret is shorter than %d bytes, so it could be guessed from a signature: use a random one", minSecret)
	}
	return nil
}

// Deliver implements audit.Sink: it posts e once. Any status from 200 to 299 acknowledges it.
func (s *sink) Deliver(ctx context.Context, e audit.Event) error {
	body, err := encode(s.config.Version, e)
	if err != nil {
		return err
	}
	header := http.Header{"Content-Type": {ContentType}}
	if !s.config.Token.IsZero() {
		header.Set("Authorization", "Bearer "+s.config.Token.Reveal())
	}
	if !s.config.Secret.IsZero() {
		timestamp := strconv.FormatInt(time.Now().Unix(), 10)
		header.Set(TimestampHeader, timestamp)
		header.Set(SignatureHeader, Signature(s.config.Secret, timestamp, body))
	}
	answer, err := s.client.Post(ctx, "", e.ID, header, body)
	if err != nil {
		return fmt.Errorf("webhook: %w", err)
	}
	if answer.Status < 200 || answer.Status > 299 {
		return fmt.Errorf("webhook: %w", answer.Refused(""))
	}
	return nil
}

// Close implements audit.Sink.
func (s *sink) Close() error { return s.client.Close() }

// Signature is "v1=" and the HMAC-SHA256 in lower-case hexadecimal of the timestamp (seconds since 1970 in decimal, as in
// its header), a full stop, and the body as it was sent. A receiver computes the same, compares in constant time, and
// refuses a timestamp that is minutes off, so that nobody can replay a request later.
func Signature(key secret.Value, timestamp string, body []byte) string {
	mac := hmac.New(sha256.New, []byte(key.Reveal()))
	mac.Write([]byte(timestamp + "."))
	mac.Write(body)
	return "v1=" + hex.EncodeToString(mac.Sum(nil))
}

// encode writes e as a CloudEvent whose data is the OCSF event. Receivers recognise a repetition by source and id.
func encode(v ocsf.Version, e audit.Event) ([]byte, error) {
	data, err := ocsf.Encode(v, e)
	if err != nil {
		return nil, err
	}
	out := cloudevents.New()
	out.SetID(e.ID)
	out.SetSource("urn:nhi:stack:" + url.PathEscape(e.Stack))
	out.SetType(TypePrefix + string(e.Activity))
	out.SetTime(e.Time)
	if e.Account.Name != "" {
		out.SetSubject(url.PathEscape(e.Platform.Name) + "/" + url.PathEscape(e.Account.Name))
	}
	if err := out.SetData(cloudevents.ApplicationJSON, json.RawMessage(data)); err != nil {
		return nil, err
	}
	if err := out.Validate(); err != nil {
		return nil, errors.New("webhook: the event cannot be written as a CloudEvent: " + post.Line(err.Error()))
	}
	return out.MarshalJSON()
}
