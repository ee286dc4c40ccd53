package webhook_test

import (
	"crypto/hmac"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	cloudevents "github.com/cloudevents/sdk-go/v2/event"

	"github.com/nhi-labs/terraform-provider-nhi/internal/audit"
	"github.com/nhi-labs/terraform-provider-nhi/internal/audit/audittest"
	"github.com/nhi-labs/terraform-provider-nhi/internal/audit/ocsf"
	"github.com/nhi-labs/terraform-provider-nhi/internal/audit/ocsf/ocsftest"
	"github.com/nhi-labs/terraform-provider-nhi/internal/audit/webhook"
	"github.com/nhi-labs/terraform-provider-nhi/internal/secret"
)

const key, token = "key-" + audittest.Canary, "token-" + audittest.Canary

func open(t *testing.T, url string) audit.Sink {
	t.Helper()
	sink, err := webhook.New(webhook.Config{URL: url, Secret: secret.New(key), Token: secret.New(token), Version: ocsf.Default})
	if err != nil {
		t.Fatal(err)
	}
	return sink
}

// receiver checks signature and form of what it gets, as a careful one would, and keeps the ids.
type receiver struct {
	mu  sync.Mutex
	ids []string
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	if problem := r.take(request); problem != "" {
		http.Error(w, problem, http.StatusBadRequest)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func (r *receiver) take(request *http.Request) string {
	body, err := io.ReadAll(request.Body)
	if err != nil {
		return err.Error()
	}
	timestamp := request.Header.Get(webhook.TimestampHeader)
	seconds, err := strconv.ParseInt(timestamp, 10, 64)
	if err != nil || time.Since(time.Unix(seconds, 0)).Abs() > 5*time.Minute {
		return "timestamp"
	}
	want := webhook.Signature(secret.New(key), timestamp, body)
	var e cloudevents.Event
	switch {
	case !hmac.Equal([]byte(want), []byte(request.Header.Get(webhook.SignatureHeader))):
		return "signature"
	case request.Header.Get("Content-Type") != webhook.ContentType || request.Header.Get("Authorization") != "Bearer "+token:
		return "headers"
	case e.UnmarshalJSON(body) != nil || e.Validate() != nil:
		return "no CloudEvent"
	}
	if err := ocsftest.Validate(e.Data()); err != nil {
		return err.Error()
	}
	got, err := ocsf.Decode(e.Data())
	if err != nil || got.ID != e.ID() || e.Type() != "io.nhi.audit."+string(got.Activity) || request.Header.Get("Idempotency-Key") != e.ID() {
		return "attributes"
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ids = append(r.ids, e.ID())
	return ""
}

func TestDelivery(t *testing.T) {
	t.Parallel()
	r := &receiver{}
	sink := open(t, audittest.NewReceiver(t, r.ServeHTTP).URL)
	events := audittest.All()
	for _, text := range audittest.Injections() {
		events = append(events, audittest.Hostile(text))
	}
	audittest.DeliverAll(t, sink, events)
	if err := audittest.OncePerID(events, r.ids); err != nil {
		t.Error(err)
	}
	if err := sink.Close(); err != nil {
		t.Error(err)
	}
}

func TestFaults(t *testing.T) {
	t.Parallel()
	audittest.HTTPFaults(t, open, audittest.AnyOK)
}

// TestSignature holds the documented form against a value that was computed with openssl.
func TestSignature(t *testing.T) {
	const want = "v1=6d427000fd5dd91f33306c50264a601e65228bc3dd2c8d66efbe41cbf2c712c8"
	if got := webhook.Signature(secret.New("0123456789abcdef"), "1795685400", []byte(`{"id":"1"}`)); got != want {
		t.Errorf("signature %s, want %s", got, want)
	}
}

func TestConfig(t *testing.T) {
	for name, c := range map[string]struct {
		config webhook.Config
		want   string
	}{
		"short secret": {webhook.Config{URL: "https://h", Secret: secret.New("short")}, "shorter than 16 bytes"},
		"plain":        {webhook.Config{URL: "http://siem.example"}, "use https"},
		"user":         {webhook.Config{URL: "https://u:" + audittest.Canary + "@h"}, "user name"},
		"no URL":       {webhook.Config{URL: "siem.example"}, "not a complete URL"},
	} {
		_, err := webhook.New(c.config)
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), audittest.Canary) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := webhook.New(webhook.Config{URL: "http://siem.example", AllowPlainHTTP: true}); err != nil {
		t.Error(err)
	}
}
