package vault_test

import (
	"encoding/json"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/driver/drivertest"
	"github.com/nhi-labs/terraform-provider-nhi/internal/platform/vault"
	"github.com/nhi-labs/terraform-provider-nhi/internal/secret"
)

// recordedMount is the auth mount in the recorded answers.
const recordedMount = "approle-recorded"

func answers() drivertest.Answers {
	return drivertest.Answers{
		Spec: vault.Spec(),
		Hide: regexp.MustCompile(`hvs\.[\w-]+`), // Scanners take dead tokens for live ones.
		Open: func(t testing.TB, base, _ string) driver.Driver {
			d, err := vault.Open(vault.Config{Address: base, Token: secret.New("replayed"), AppRoleMount: recordedMount})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = d.Close() })
			return d
		},
		// Vault's own errors, and what it answers where it has nothing to say.
		Absent: func(a drivertest.Answer) bool {
			var body struct {
				Errors *[]string `json:"errors"`
				Data   *struct {
					Error string `json:"error"`
				} `json:"data"`
			}
			if a.Status == http.StatusNoContent {
				return true
			}
			if json.Unmarshal([]byte(a.Body), &body) != nil || a.Status < 400 {
				return false
			}
			if body.Errors == nil {
				return a.Status == http.StatusNotFound && body.Data != nil && body.Data.Error != ""
			}
			text := strings.Join(*body.Errors, " ")
			return a.Status == http.StatusNotFound || strings.Contains(text, "does not exist") ||
				strings.Contains(text, "invalid accessor") || strings.Contains(text, "failed to find accessor entry")
		},
	}
}

func TestAnswers(t *testing.T) {
	s := newServer(t)
	answers().Check(t, s, s.address, s.token, "replayed", s.mount, recordedMount)
}

func TestEndlessAnswers(t *testing.T) { answers().Bounded(t) }

func FuzzAnswers(f *testing.F) { answers().Fuzz(f) }
