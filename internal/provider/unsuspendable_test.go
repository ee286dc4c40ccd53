package provider

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/nhi-labs/terraform-provider-nhi/internal/acctest/core"
	"github.com/nhi-labs/terraform-provider-nhi/internal/platform/jira/jirafake"
)

// TestStatusWithoutSuspension is about accounts that the provider can neither suspend nor resume: those of a Jira site without
// a key of its organization, whose administrators can. Each plan says what the account is and stays, or leaves it open.
func TestStatusWithoutSuspension(t *testing.T) {
	t.Parallel()
	const account, key = "712020:agent", "canary-key"
	fake, err := jirafake.New(jirafake.Options{Username: "admin@example.com", Token: "canary-token", OrganizationKey: key})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(fake)
	t.Cleanup(server.Close)
	fake.AddUser(account, false)
	byHand := func(what string) {
		t.Helper()
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost,
			jirafake.OrganizationPath+"/users/"+account+"/manage/lifecycle/"+what, nil)
		r.Header.Set("Authorization", "Bearer "+key)
		answer := httptest.NewRecorder()
		if fake.ServeHTTP(answer, r); answer.Code/100 != 2 {
			t.Fatalf("%s: %d %s", what, answer.Code, answer.Body)
		}
	}
	w := newWalks(t, core.Body{"jira": []core.Body{{
		"name": "tickets", "url": server.URL, "username": "admin@example.com", "token": "canary-token",
	}}})
	wish := func(enabled bool, purpose string) {
		w.agent(core.Body{"enabled": enabled, "purpose": purpose, "account": []core.Body{
			{"platform": "tickets", "name": account, "adopt": true},
		}})
	}
	warns := func(words ...string) {
		t.Helper()
		warnings := w.plan().Warnings
		for _, one := range []string{"stays active", "stays suspended"} {
			heard := slices.ContainsFunc(warnings, func(text string) bool { return strings.Contains(text, one) })
			if heard != slices.Contains(words, one) {
				t.Errorf("warnings %q, want %q", warnings, words)
			}
		}
	}

	byHand("disable")
	wish(true, "adopted while it is suspended")
	warns("stays suspended")
	w.settled()
	wish(false, "as it is")
	warns()
	w.settled()
	byHand("enable")
	warns("stays active")
	wish(false, "let in by hand")
	w.settled()
	wish(true, "enabled")
	warns()
	w.settled()

	byHand("disable")
	warns("stays suspended")
	w.settled()
	byHand("enable")
	wish(true, "suspended between plan and apply")
	plan := w.plan()
	byHand("disable")
	state, report := w.start().Apply(t.Context(), plan, nil)
	if len(report.Violations) > 0 || len(report.Errors) != 1 || !strings.Contains(report.Errors[0], "suspended meanwhile") {
		t.Fatalf("errors %q, violations %q", report.Errors, report.Violations)
	}
	w.state = state
	w.settled()
	if state[agentAddress].Tainted {
		t.Error("the adopted account is to be removed")
	}
}

// TestAdoptWhatTheSameApplyMakes: an account that another resource makes after the plan is adopted as what it is.
func TestAdoptWhatTheSameApplyMakes(t *testing.T) {
	t.Parallel()
	const account = "712020:agent"
	fake, err := jirafake.New(jirafake.Options{Username: "admin@example.com", Token: "canary-token"})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(fake)
	t.Cleanup(server.Close)
	w := newWalks(t, core.Body{"jira": []core.Body{{
		"name": "tickets", "url": server.URL, "username": "admin@example.com", "token": "canary-token",
	}}})
	w.agent(core.Body{"account": []core.Body{{"platform": "tickets", "name": account, "adopt": true}}})
	plan := w.plan()
	fake.AddUser(account, false)
	state, report := w.start().Apply(t.Context(), plan, nil)
	if len(report.Violations) > 0 || len(report.Errors) > 0 {
		t.Fatalf("errors %q, violations %q", report.Errors, report.Violations)
	}
	w.state = state
	w.settled()
}
