package acctest

import (
	"net/http"
	"strings"
	"testing"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/platform/redmine"
	"github.com/nhi-labs/terraform-provider-nhi/internal/secret"
	"github.com/nhi-labs/terraform-provider-nhi/internal/testenv"
)

// redmineSite reads and changes the real Redmine by hand.
func redmineSite(t *testing.T) *site {
	t.Helper()
	server := testenv.Load(t).Redmine
	return newSite(t, "tickets", "", redmine.Spec(), func() (driver.Driver, error) {
		return redmine.Open(redmine.Config{URL: server.URL, APIKey: secret.New(server.APIKey)})
	})
}

// redmineExample makes the project and the group that the examples take for granted. Redmine removes projects in its own
// time, so they stay and are found again. What a user's on_destroy keeps is removed.
func redmineExample(t *testing.T, _ *exampleRun) {
	t.Helper()
	redmineMake(t, "/projects.json", `{"project":{"name":"Billing","identifier":"billing"}}`)
	redmineMake(t, "/groups.json", `{"group":{"name":"Integrations"}}`)
	redmineSite(t).cleanup("billing-agent")
}

// redmineMake makes something unless its name has been taken.
func redmineMake(t *testing.T, path, body string) {
	t.Helper()
	server := testenv.Load(t).Redmine
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Redmine-Api-Key", server.APIKey)
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close() //nolint:errcheck // only the status counts
	if resp.StatusCode != http.StatusCreated && resp.StatusCode != http.StatusUnprocessableEntity {
		t.Fatalf("make %s: %s", path, resp.Status)
	}
}
