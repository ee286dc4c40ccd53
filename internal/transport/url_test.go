package transport_test

import (
	"strings"
	"testing"

	"github.com/nhi-labs/terraform-provider-nhi/internal/transport"
)

// TestURLErrorsRepeatNoSecret: what a URL hides in a user name, in a query, or where it is written wrongly, stays hidden.
func TestURLErrorsRepeatNoSecret(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"https://admin:hunter2@vault.example:8200": "has a user name",
		"https:/admin:hunter2@vault.example:8200":  "not a complete URL",
		"admin:hunter2@vault.example:8200":         "not a complete URL",
		"https://hooks.example/invoke?sig=hunter2": `the URL of "hooks.example" has a query`,
		"http://hooks.example/hunter2":             `the URL of "hooks.example" would send credentials unencrypted`,
		"://hunter2":                               "cannot be parsed",
	} {
		_, err := transport.ParseBase(text, false)
		if err == nil || strings.Contains(err.Error(), "hunter2") || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want one that says %q", text, err, want)
		}
	}
}
