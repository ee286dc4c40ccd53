package splunk_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nhi-labs/terraform-provider-nhi/internal/audit"
	"github.com/nhi-labs/terraform-provider-nhi/internal/audit/audittest"
	"github.com/nhi-labs/terraform-provider-nhi/internal/audit/ocsf"
	"github.com/nhi-labs/terraform-provider-nhi/internal/audit/ocsf/ocsftest"
	"github.com/nhi-labs/terraform-provider-nhi/internal/audit/splunk"
	"github.com/nhi-labs/terraform-provider-nhi/internal/secret"
	"github.com/nhi-labs/terraform-provider-nhi/internal/testenv"
	"github.com/nhi-labs/terraform-provider-nhi/internal/transport"
)

const token = "token-" + audittest.Canary

func open(t *testing.T, config splunk.Config) audit.Sink {
	t.Helper()
	config.Token, config.Version = secret.New(token), ocsf.Default
	sink, err := splunk.New(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := sink.Close(); err != nil {
			t.Error(err)
		}
	})
	return sink
}

// TestCollector delivers to the OpenTelemetry Collector's HTTP Event Collector, with its acknowledgements.
func TestCollector(t *testing.T) {
	t.Parallel()
	server := testenv.Load(t).Collector
	for name, acknowledge := range map[string]bool{"acknowledged": true, "received": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sink := open(t, splunk.Config{
				URL: server.SplunkHEC, TLS: transport.TLS{CAFile: server.CAFile}, Acknowledge: acknowledge,
				Index: "audit", Source: "nhi", SourceType: "ocsf:iam",
			})
			events := audittest.All()
			for _, text := range audittest.Injections() {
				events = append(events, audittest.Hostile(text))
			}
			audittest.DeliverAll(t, sink, events)
			audittest.Eventually(t, func() error { return audittest.OncePerID(events, checkRecords(t, server.File)) })
		})
	}
}

// checkRecords validates what this test has sent and returns the ids.
func checkRecords(t *testing.T, file string) []string {
	t.Helper()
	var ids []string
	for _, r := range audittest.Collected(t, file) {
		if r.Attributes["com.splunk.sourcetype"] != "ocsf:iam" && r.Resource["com.splunk.sourcetype"] != "ocsf:iam" {
			continue
		}
		if r.Resource["com.splunk.hec.access_token"] != token {
			t.Fatalf("token %q", r.Resource["com.splunk.hec.access_token"])
		}
		if err := ocsftest.Validate(r.Body); err != nil {
			t.Fatalf("%v\n%s", err, r.Body)
		}
		ids = append(ids, r.ID)
	}
	return ids
}

func TestFaults(t *testing.T) {
	t.Parallel()
	audittest.HTTPFaults(t, func(t *testing.T, url string) audit.Sink {
		return open(t, splunk.Config{URL: url, Acknowledge: true})
	}, audittest.OwnAnswer)
}

// indexer is a double of Splunk's collector for what the real one here cannot be made to do: it knows tokens, and it
// acknowledges when the test says so.
type indexer struct {
	mu       sync.Mutex
	channels map[string][]bool // per channel: acknowledged, by ackId
	// polls is how many questions it takes until an event is acknowledged; negative: never.
	polls int
	asked int
	noAck bool // acknowledgement is not enabled for the token
	drop  bool // close the connection instead of answering a question
}

func (x *indexer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x.mu.Lock()
	defer x.mu.Unlock()
	channel := r.Header.Get("X-Splunk-Request-Channel")
	body, err := io.ReadAll(r.Body)
	switch {
	case err != nil:
		say(w, http.StatusBadRequest, 6, "Invalid data format")
	case r.Header.Get("Authorization") != "Splunk "+token:
		say(w, http.StatusForbidden, 4, "Invalid token")
	case x.noAck && r.URL.Path == "/services/collector/event":
		say(w, http.StatusOK, 0, "Success")
	case channel == "":
		say(w, http.StatusBadRequest, 10, "Data channel is missing")
	case r.URL.Path == "/services/collector/event":
		x.event(w, channel, body)
	case r.URL.Path == "/services/collector/ack" && r.URL.Query().Get("channel") == channel:
		x.ack(w, channel, body)
	default:
		http.NotFound(w, r)
	}
}

func (x *indexer) event(w http.ResponseWriter, channel string, body []byte) {
	var envelope struct {
		Time  float64         `json:"time"`
		Event json.RawMessage `json:"event"`
	}
	if err := json.Unmarshal(body, &envelope); err != nil || ocsftest.Validate(envelope.Event) != nil || envelope.Time < 1e9 {
		say(w, http.StatusBadRequest, 6, "Invalid data format")
		return
	}
	id := len(x.channels[channel])
	x.channels[channel] = append(x.channels[channel], false)
	_, _ = io.WriteString(w, `{"text":"Success","code":0,"ackId":`+strconv.Itoa(id)+`}`)
}

func (x *indexer) ack(w http.ResponseWriter, channel string, body []byte) {
	var question struct {
		Acks []int `json:"acks"`
	}
	if err := json.Unmarshal(body, &question); err != nil || len(question.Acks) != 1 || question.Acks[0] >= len(x.channels[channel]) {
		say(w, http.StatusBadRequest, 6, "Invalid data format")
		return
	}
	if x.drop {
		panic(http.ErrAbortHandler)
	}
	x.asked++
	done := x.polls >= 0 && x.asked >= x.polls
	_, _ = io.WriteString(w, `{"acks":{"`+strconv.Itoa(question.Acks[0])+`":`+strconv.FormatBool(done)+`}}`)
}

func say(w http.ResponseWriter, status, code int, text string) {
	w.WriteHeader(status)
	_, _ = io.WriteString(w, `{"text":"`+text+`","code":`+strconv.Itoa(code)+`}`)
}

func TestAcknowledgement(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		indexer     *indexer
		acknowledge bool
		want        string // a part of the error; "" for none
	}{
		"at once":       {&indexer{polls: 1}, true, ""},
		"later":         {&indexer{polls: 3}, true, ""},
		"not wanted":    {&indexer{noAck: true}, false, ""},
		"not enabled":   {&indexer{noAck: true}, true, "enable indexer acknowledgement"},
		"never":         {&indexer{polls: -1}, true, "not indexed so far"},
		"dropped":       {&indexer{drop: true}, true, "asking for the acknowledgement"},
		"no channel":    {&indexer{}, false, "Data channel is missing"},
		"another token": {&indexer{}, true, "403 Forbidden: Invalid token"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.indexer.channels = map[string][]bool{}
			receiver := audittest.NewReceiver(t, c.indexer.ServeHTTP)
			sink := open(t, splunk.Config{URL: receiver.URL, Acknowledge: c.acknowledge})
			if name == "another token" {
				var err error
				sink, err = splunk.New(splunk.Config{URL: receiver.URL, Acknowledge: true, Token: secret.New("other"), Version: ocsf.V190})
				if err != nil {
					t.Fatal(err)
				}
			}
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			if name == "never" {
				ctx, cancel = context.WithTimeout(t.Context(), time.Second)
				defer cancel()
			}
			err := sink.Deliver(ctx, audittest.Event(audit.Grant, audit.Succeeded))
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("error %v, want %q", err, c.want)
			}
			if name == "never" && !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("error %v is no exceeded deadline", err)
			}
		})
	}
}
