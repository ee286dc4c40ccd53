package acctest

import (
	"net/http"
	"testing"

	"github.com/nhi-labs/terraform-provider-nhi/internal/testenv"
)

// redmineExample makes the project and the group that the examples take for granted. Redmine removes projects in its own
// time, so they stay and are found again. What a user's on_destroy keeps is removed.
func redmineExample(t *testing.T, _ *exampleRun) {
	t.Helper()
	redmineMake(t, "/projects.json", `{"project":{"name":"Billing","identifier":"billing"}}`)
	redmineMake(t, "/groups.json", `{"group":{"name":"Integrations"}}`)
	redmineHand(t, "tickets", "").cleanup("billing-agent")
}

// redmineMake makes something unless its name has been taken.
func redmineMake(t *testing.T, path, body string) {
	t.Helper()
	redmineDo(t, testenv.Load(t).Redmine, http.MethodPost, path, body, http.StatusUnprocessableEntity)
}
