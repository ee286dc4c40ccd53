package provider

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/nhi-labs/terraform-provider-nhi/internal/acctest/core"
	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/fleet"
	"github.com/nhi-labs/terraform-provider-nhi/internal/platform/scim/scimfake"
)

// TestSettingsLeftOut: a service that does not have a setting leaves it out of its answers. Where it is declared, that is
// something to do, whether an update has failed or somebody has cleared it.
func TestSettingsLeftOut(t *testing.T) {
	t.Parallel()
	service := scimfake.New(scimfake.Options{Token: "canary-token"})
	server := httptest.NewServer(service)
	t.Cleanup(server.Close)
	w := newWalks(t, core.Body{"scim": []core.Body{{"name": "crm", "url": server.URL + "/scim", "token": "canary-token"}}})
	w.agent(core.Body{"account": []core.Body{{"platform": "crm"}}})
	w.settled()

	settings := core.Body{"display_name": "Billing", "email": "billing@example.com"}
	w.agent(core.Body{"account": []core.Body{{"platform": "crm", "scim": settings}}})
	w.hooks.Intercept = func(ctx context.Context, c fleet.Call, do func(context.Context) error) error {
		if c.Change != nil {
			return driver.Errorf(driver.Invalid, "not now")
		}
		return do(ctx)
	}
	if errs := w.apply(); len(errs) != 1 || !strings.Contains(errs[0], "not now") {
		t.Fatalf("errors %q", errs)
	}
	w.hooks.Intercept = nil
	if w.plan().Empty() {
		t.Fatal("the update that failed is forgotten")
	}
	w.settled()

	clearDisplayName(t, service)
	if w.plan().Empty() {
		t.Fatal("that the display name was cleared is no drift")
	}
	w.settled()
}

// clearDisplayName does what an administrator of the service can do.
func clearDisplayName(t *testing.T, service *scimfake.Server) {
	t.Helper()
	ask := func(method, path, body string) *httptest.ResponseRecorder {
		r := httptest.NewRequestWithContext(t.Context(), method, "/scim"+path, strings.NewReader(body))
		r.Header.Set("Content-Type", "application/scim+json")
		answer := httptest.NewRecorder()
		service.Admin().ServeHTTP(answer, r)
		return answer
	}
	var found struct{ Resources []struct{ ID string } }
	if err := json.Unmarshal(ask(http.MethodGet, "/Users", "").Body.Bytes(), &found); err != nil || len(found.Resources) != 1 {
		t.Fatalf("users %+v, error %v", found, err)
	}
	cleared := ask(http.MethodPatch, "/Users/"+found.Resources[0].ID,
		`{"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],"Operations":[{"op":"remove","path":"displayName"}]}`)
	if cleared.Code/100 != 2 {
		t.Fatalf("clearing: %d %s", cleared.Code, cleared.Body)
	}
}
