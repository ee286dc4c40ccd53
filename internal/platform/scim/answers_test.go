package scim_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/driver/drivertest"
	"github.com/nhi-labs/terraform-provider-nhi/internal/platform/scim"
	"github.com/nhi-labs/terraform-provider-nhi/internal/secret"
	"github.com/nhi-labs/terraform-provider-nhi/internal/testenv"
)

// answers are those of SCIMMY.
func answers() drivertest.Answers {
	return drivertest.Answers{
		Spec: scim.Spec(scim.Standard),
		Open: func(t testing.TB, base, _ string) driver.Driver {
			d, err := scim.Open(scim.Config{URL: base, Auth: scim.Auth{Bearer: secret.New("replayed")}})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = d.Close() })
			return d
		},
		// An error in SCIM's own form with the status for it; or a list, which says of everything that it leaves out that it
		// is not there.
		Absent: func(a drivertest.Answer) bool {
			var body struct {
				Schemas      []string `json:"schemas"`
				TotalResults *int     `json:"totalResults"`
			}
			if json.Unmarshal([]byte(a.Body), &body) != nil {
				return false
			}
			schemas := strings.ToLower(strings.Join(body.Schemas, " "))
			return a.Status == http.StatusNotFound && strings.Contains(schemas, strings.ToLower(errorSchema)) ||
				a.Status < 300 && body.TotalResults != nil && strings.Contains(schemas, strings.ToLower(listSchema))
		},
	}
}

func TestAnswers(t *testing.T) {
	server := testenv.Load(t).SCIM
	answers().Check(t, &harness{url: server.URL, token: server.Token, pageSize: 100}, server.URL, server.Token, "replayed")
}

func TestEndlessAnswers(t *testing.T) { answers().Bounded(t) }

func FuzzAnswers(f *testing.F) { answers().Fuzz(f) }
