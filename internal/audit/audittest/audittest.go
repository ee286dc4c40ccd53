// Package audittest holds what the tests of the audit sinks share: events, some of them hostile, and the faults that every
// sink must report.
package audittest

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/nhi-labs/terraform-provider-nhi/internal/audit"
)

// Event returns an event of an activity with every field set that the activity has. Its ID is new.
func Event(a audit.Activity, o audit.Outcome) audit.Event {
	e := audit.Event{
		ID: uuid.NewString(), Change: "9c1f2a4e-6f10-4c55-9d43-0d6f0c6f7f11", Correlation: "4b0e2d0c-1d2f-4d7c-8a53-3e1f5a9b7c20",
		Time: time.Date(2026, 11, 26, 9, 30, 0, 250e6, time.UTC), Activity: a, Outcome: o,
		Actor: audit.Actor{
			Name: "deploy-bot", System: "github_actions", RunURL: "https://ci.example.com/runs/42", Host: "runner-7.example.com",
		},
		Stack:    "payments-prod",
		Identity: audit.Identity{Name: "billing-agent", Kind: "ai_agent", Owner: "team-billing@example.com"},
		Account:  audit.Account{Name: "svc_billing", ID: "16401"},
		Platform: audit.Platform{Name: "warehouse", Kind: "postgresql", Target: "postgresql:7312345678901234567/16384"},
		Resource: "nhi_identity", Version: "1.2.3",
	}
	switch a {
	case audit.Grant:
		e.Before, e.After = []string{"role:reporting"}, []string{"role:reporting", "table:finance.invoices#select"}
		e.Justification, e.Resource = "CHG-4711", "nhi_grant"
	case audit.Revoke:
		e.Before, e.After = []string{"role:reporting", "table:finance.invoices#select"}, []string{"role:reporting"}
		e.Justification, e.Resource = "CHG-4712", "nhi_grant"
	case audit.IssueCredential, audit.RevokeCredential:
		e.Credential, e.Resource = "nhi-7f3a", "nhi_rotation"
	case audit.StoreSecret, audit.RemoveSecret:
		e.Path, e.Credential, e.Resource = "kv/billing-agent/warehouse", "nhi-7f3a", "nhi_rotation"
	case audit.MintToken, audit.RevokeToken:
		e.Credential, e.Resource = "token-1", "nhi_token"
	}
	if o == audit.Failed || o == audit.Unknown {
		e.Error = `platform "warehouse": grant "svc_billing": permission denied`
	}
	return e
}

// All returns one event of each activity and outcome, with memberships in groups besides.
func All() []audit.Event {
	var out []audit.Event
	for _, a := range audit.Activities() {
		for _, o := range []audit.Outcome{audit.Intended, audit.Succeeded, audit.Failed, audit.Unknown} {
			out = append(out, Event(a, o))
		}
	}
	for _, a := range []audit.Activity{audit.Grant, audit.Revoke} {
		e := Event(a, audit.Succeeded)
		held, changed := []string{"group:Auditors"}, []string{"group:Auditors", "group:Billing Viewers"}
		if e.Before, e.After = held, changed; a == audit.Revoke {
			e.Before, e.After = changed, held
		}
		out = append(out, e)
	}
	return out
}

// Injections are texts that break out of what they are written into if it is written carelessly.
func Injections() []string {
	return []string{
		"a\nb", "a\r\nHTTP/1.1 200 OK\r\n\r\n", "<13>1 2026-01-01T00:00:00Z evil - - - - forged", `"] [evil@1 x="`, `\"`, `\`, "]", `a"b`,
		"\x00\x07\x1b[2J", "\u0085\u009b31m", "line\u2028para\u2029", "right\u202eleft", "\xff\xfe", "\U0001F600", "Zoë", "",
		`{"class_uid":3001}`, "%s%n", "${jndi:ldap://x}", strings.Repeat("long ", 5000), strings.Repeat("]", 300), "3 <14",
	}
}

// Hostile returns an event with text in every field that is a text.
func Hostile(text string) audit.Event {
	e := Event(audit.Grant, audit.Failed)
	for _, field := range []*string{
		&e.Change, &e.Correlation, &e.Error, &e.Actor.Name, &e.Actor.System, &e.Actor.RunURL, &e.Actor.Host, &e.Stack,
		&e.Identity.Name, &e.Identity.Kind, &e.Identity.Owner, &e.Account.Name, &e.Account.ID, &e.Platform.Name, &e.Platform.Kind,
		&e.Platform.Target, &e.Credential, &e.Path, &e.RegistryOf, &e.Justification, &e.Resource, &e.Version,
	} {
		*field = text
	}
	e.Before, e.After = []string{"role:a"}, []string{"role:a", text}
	return e
}

// Eventually fails the test unless check returns nil before long. It is for what a receiver does in its own time.
func Eventually(t testing.TB, check func() error) {
	t.Helper()
	err := check()
	for deadline := time.Now().Add(30 * time.Second); err != nil && time.Now().Before(deadline); err = check() {
		time.Sleep(20 * time.Millisecond)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// DeliverAll delivers events one after the other.
func DeliverAll(t testing.TB, sink audit.Sink, events []audit.Event) {
	t.Helper()
	for _, e := range events {
		if err := sink.Deliver(t.Context(), e); err != nil {
			t.Fatalf("deliver %s %s: %v", e.Activity, e.Outcome, err)
		}
	}
}

// OncePerID returns an error unless each event is among ids exactly once.
func OncePerID(events []audit.Event, ids []string) error {
	count := map[string]int{}
	for _, id := range ids {
		count[id]++
	}
	for _, e := range events {
		if count[e.ID] != 1 {
			return fmt.Errorf("the event %s (%s, %s) arrived %d times", e.ID, e.Activity, e.Outcome, count[e.ID])
		}
	}
	return nil
}
