// Package splunk is the audit sink that sends events to a Splunk HTTP Event Collector and, with indexer acknowledgement,
// waits until Splunk says that an event is indexed.
//
// Sources: Splunk Enterprise, Getting Data In: "Format events for HTTP Event Collector", "About HTTP Event Collector
// Indexer Acknowledgment".
package splunk

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/google/uuid"

	"github.com/nhi-labs/terraform-provider-nhi/internal/audit"
	"github.com/nhi-labs/terraform-provider-nhi/internal/audit/internal/post"
	"github.com/nhi-labs/terraform-provider-nhi/internal/audit/ocsf"
	"github.com/nhi-labs/terraform-provider-nhi/internal/secret"
	"github.com/nhi-labs/terraform-provider-nhi/internal/transport"
)

const (
	eventPath = "/services/collector/event"
	ackPath   = "/services/collector/ack"
	// How long to wait between two questions for an acknowledgement: the first time, and at most.
	firstPoll   = 100 * time.Millisecond
	longestPoll = 2 * time.Second
)

// Config says where to send events and how they are indexed.
type Config struct {
	// URL is the collector's base: https://host:8088.
	URL            string
	TLS            transport.TLS
	AllowPlainHTTP bool
	Token          secret.Value
	// Acknowledge waits until the event is indexed. The token must have indexer acknowledgement enabled.
	Acknowledge bool
	// Index, Source and SourceType are the token's own if they are "".
	Index, Source, SourceType string
	Version                   ocsf.Version
}

// sink sends events to one collector.
type sink struct {
	config Config
	client *post.Client
	// channel identifies this sink to the collector; acknowledgements are counted per channel.
	channel string
}

// New checks config and makes the sink. It reads certificate files, and does no network I/O.
func New(config Config) (audit.Sink, error) {
	if config.Token.IsZero() {
		return nil, errors.New("no token")
	}
	client, err := post.New(post.Config{URL: config.URL, TLS: config.TLS, AllowPlainHTTP: config.AllowPlainHTTP})
	if err != nil {
		return nil, err
	}
	return audit.Redacted(&sink{config, client, uuid.NewString()}, config.Token), nil
}

// envelope is what the collector takes: one event with its metadata.
type envelope struct {
	Time       json.Number     `json:"time"` // seconds since 1970
	Host       string          `json:"host,omitempty"`
	Index      string          `json:"index,omitempty"`
	Source     string          `json:"source,omitempty"`
	SourceType string          `json:"sourcetype,omitempty"`
	Event      json.RawMessage `json:"event"`
}

// reply is what the collector answers. AckID is there if the token has acknowledgement enabled.
type reply struct {
	Text  string `json:"text"`
	Code  *int   `json:"code"`
	AckID *int64 `json:"ackId"`
}

// Deliver implements audit.Sink: it sends e once. With Acknowledge it returns once Splunk has indexed it, otherwise once Splunk has received it,
// which a crash of the indexer can still undo.
func (s *sink) Deliver(ctx context.Context, e audit.Event) error {
	if err := s.deliver(ctx, e); err != nil {
		return fmt.Errorf("splunk: %w", err)
	}
	return nil
}

func (s *sink) deliver(ctx context.Context, e audit.Event) error {
	body, err := s.encode(e)
	if err != nil {
		return err
	}
	answer, err := s.client.Post(ctx, eventPath, e.ID, s.header(), body)
	if err != nil {
		return err
	}
	var got reply
	parsed := json.Unmarshal(answer.Body, &got) == nil && got.Code != nil
	switch {
	case answer.Status != http.StatusOK:
		return answer.Refused(got.Text)
	case !parsed || *got.Code != 0:
		return fmt.Errorf("the answer does not say that the event was taken: is something else behind this URL? %w", answer.Refused(got.Text))
	case !s.config.Acknowledge:
		return nil
	case got.AckID == nil:
		return errors.New("the collector took the event without promising an acknowledgement: enable indexer acknowledgement " +
			"for the token, or set acknowledge = false")
	}
	return s.await(ctx, e.ID, *got.AckID)
}

func (s *sink) encode(e audit.Event) ([]byte, error) {
	text, err := ocsf.Encode(s.config.Version, e)
	if err != nil {
		return nil, err
	}
	return json.Marshal(envelope{
		Time: json.Number(strconv.FormatFloat(float64(e.Time.UnixMilli())/1000, 'f', 3, 64)), Host: e.Actor.Host,
		Index: s.config.Index, Source: s.config.Source, SourceType: s.config.SourceType, Event: text,
	})
}

func (s *sink) header() http.Header {
	header := http.Header{"Content-Type": {"application/json"}, "Authorization": {"Splunk " + s.config.Token.Reveal()}}
	if s.config.Acknowledge {
		header.Set("X-Splunk-Request-Channel", s.channel)
	}
	return header
}

// await asks for the acknowledgement until it is there or ctx is done. Splunk answers "true" once only.
func (s *sink) await(ctx context.Context, id string, ackID int64) error {
	body := fmt.Appendf(nil, `{"acks":[%d]}`, ackID)
	path := ackPath + "?channel=" + url.QueryEscape(s.channel)
	for wait := firstPoll; ; wait = min(2*wait, longestPoll) {
		acknowledged, err := s.ask(ctx, path, id, ackID, body)
		if err != nil || acknowledged {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the event was received, and not indexed so far: %w", ctx.Err())
		case <-time.After(wait):
		}
	}
}

func (s *sink) ask(ctx context.Context, path, id string, ackID int64, body []byte) (bool, error) {
	answer, err := s.client.Post(ctx, path, id, s.header(), body)
	if err != nil {
		return false, fmt.Errorf("asking for the acknowledgement: %w", err)
	}
	var got struct {
		Acks map[string]bool `json:"acks"`
		Text string          `json:"text"`
	}
	if err := json.Unmarshal(answer.Body, &got); err != nil || answer.Status != http.StatusOK || got.Acks == nil {
		// What is refused here is the question and not the event.
		return false, errors.New("asking for the acknowledgement: " + answer.Refused(got.Text).Error())
	}
	return got.Acks[strconv.FormatInt(ackID, 10)], nil
}

// Close implements audit.Sink.
func (s *sink) Close() error { return s.client.Close() }
