package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nhi-labs/terraform-provider-nhi/internal/audit"
	"github.com/nhi-labs/terraform-provider-nhi/internal/audit/check"
	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/fleet"
	"github.com/nhi-labs/terraform-provider-nhi/internal/platform/sandbox"
)

// heard is an audit sink that keeps what it takes.
type heard struct {
	mu     sync.Mutex
	events []audit.Event
}

func (s *heard) Deliver(_ context.Context, e audit.Event) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.events = append(s.events, e)
	return nil
}

func (s *heard) Close() error { return nil }

// The answers to a creation and to a delivery are lost, and both are found and kept: no event says that they failed, and
// auditors are told of no access without evidence.
func TestEvidenceOfLostAnswers(t *testing.T) {
	t.Parallel()
	d, err := sandbox.Open(sandbox.Config{Path: filepath.Join(t.TempDir(), "sandbox.db"), CredentialSlots: 2})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	sink := &heard{}
	trail := audit.NewTrail(audit.Source{}, audit.Config{Sinks: []audit.NamedSink{{Name: "siem", Sink: sink}}}, time.Now)
	f := fleet.New("payments", nil, []fleet.Config{{
		Name: "box", Spec: sandbox.Spec(), Open: func() (driver.Driver, error) { return d, nil },
		Intercept: func(ctx context.Context, c fleet.Call, do func(ctx context.Context) error) error {
			err := do(ctx)
			if c.Op == "create account" || strings.HasPrefix(c.Op, "write the secret") {
				return errors.Join(err, driver.Errorf(driver.Unavailable, "504 Gateway Timeout"))
			}
			return err
		},
	}}).Under(trail.Open(audit.Operation{}, nil))
	records, problems := CreateIdentity(t.Context(), f, Identity{Name: "agent", Accounts: map[string]Account{"box": {Name: "agent"}}})
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	r, problems := CreateRotation(t.Context(), f, Rotation{
		Identity: "agent", Platform: "box", Every: 720 * time.Hour, Overlap: time.Hour,
		Deliveries: []Delivery{{Place{"box", "kv/a"}, DefaultFields()}},
	}, time.Now)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	unknown := 0
	for _, e := range sink.events {
		switch e.Outcome {
		case audit.Failed:
			t.Errorf("failed: %s: %s", e.Activity, e.Error)
		case audit.Unknown:
			unknown++
		default:
		}
	}
	if unknown != 2 {
		t.Errorf("of %d changes nobody knows what came, want 2", unknown)
	}
	box := records["box"]
	state, err := check.ReadState(strings.NewReader(fmt.Sprintf(`{"version":4,"resources":[
 {"mode":"managed","type":"nhi_identity","name":"x","instances":[{"attributes":{"accounts":{"box":{"name":"agent","id":%q,"target":%q,"status":"active"}}}}]},
 {"mode":"managed","type":"nhi_rotation","name":"x","instances":[{"attributes":{"identity":{"name":"agent","account_names":{}},"platform":"box",
  "credentials":[{"label":%q}],"delivered":[{"platform":"box","path":"kv/a"}],"targets":{"box":%[2]q}}}]}]}`,
		box.ID, box.Target, r.Credentials[0].Label)))
	if err != nil {
		t.Fatal(err)
	}
	for _, finding := range check.Run(sink.events, []check.State{state}) {
		t.Error(finding)
	}
}
