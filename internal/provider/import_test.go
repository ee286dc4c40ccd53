package provider

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"

	"github.com/nhi-labs/terraform-provider-nhi/internal/lifecycle"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
)

func TestParseImportID(t *testing.T) {
	for _, test := range []struct {
		id, name string
		accounts map[string]string
		problem  string
	}{
		{"billing-agent", "billing-agent", nil, ""},
		{"billing:warehouse", "billing", map[string]string{"warehouse": "billing"}, ""},
		{"billing:warehouse,sap=T_1", "billing", map[string]string{"warehouse": "billing", "sap": "T_1"}, ""},
		{"billing:sap=cn=a:b", "billing", map[string]string{"sap": "cn=a:b"}, ""},
		{"", "", nil, "cannot be an identity name"},
		{":warehouse", "", nil, "cannot be an"},
		{"two words", "", nil, "cannot be an"},
		{"billing:", "", nil, `"" is not platform=account`},
		{"billing:=x", "", nil, `"=x" is not platform=account`},
		{"billing:sap=", "", nil, `"sap=" is not platform=account`},
		{"billing:sap=a,", "", nil, `"" is not platform=account`},
		{"billing:sap=a,sap=b", "", nil, `platform "sap" is named twice`},
	} {
		name, accounts, err := parseImportID(test.id)
		if (err == nil) != (test.problem == "") || err != nil && !strings.Contains(err.Error(), test.problem) {
			t.Errorf("%q: error %v, want %q", test.id, err, test.problem)
		}
		if diff := cmp.Diff(test.accounts, accounts); diff != "" || name != test.name {
			t.Errorf("%q: name %q, accounts (-want +got):\n%s", test.id, name, diff)
		}
	}
}

// TestAccountTexts: what a list writes into a resource identity is what an import reads, whatever the accounts are called.
func TestAccountTexts(t *testing.T) {
	want := map[string]string{"warehouse": "svc_billing", "ldap": "cn=a,ou=b", "sap": "T=1, old"}
	records := make(map[string]lifecycle.Record)
	for platform, name := range want {
		records[platform] = lifecycle.Record{Name: name}
	}
	texts := accountTexts(records)
	got, err := parseAccounts("billing", knownStrings(texts.Elements()))
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%s: %v (-want +got):\n%s", texts, err, diff)
	}
}

func TestFirstExpiry(t *testing.T) {
	at := time.Date(2031, 1, 31, 0, 0, 0, 5000, time.UTC)
	for want, accounts := range map[string]map[string]nhi.Account{
		"":                     {"a": {}, "b": {}},
		"2031-01-31T00:00:00Z": {"a": {}, "b": {ExpiresAt: at}, "c": {ExpiresAt: at.AddDate(1, 0, 0)}},
	} {
		if got := firstExpiry(accounts); got.ValueString() != want || got.IsNull() != (want == "") {
			t.Errorf("%s, want %q", got, want)
		}
	}
}

func FuzzParseImportID(f *testing.F) {
	for _, id := range []string{"billing", "billing:a", "billing:a=b,c=d", "billing:a=b=c", "billing:,", "\xff"} {
		f.Add(id)
	}
	f.Fuzz(func(t *testing.T, id string) {
		name, accounts, err := parseImportID(id)
		if err != nil {
			if name != "" || accounts != nil {
				t.Errorf("%q: %q, %v and an error", id, name, accounts)
			}
			return
		}
		if nhi.CheckIdentityName(name) != nil || !strings.HasPrefix(id, name) || (accounts == nil) != (id == name) {
			t.Errorf("%q: name %q, accounts %v", id, name, accounts)
		}
		for platform, account := range accounts {
			if platform == "" || account == "" || !strings.Contains(id, platform) {
				t.Errorf("%q: accounts %v", id, accounts)
			}
		}
	})
}

func TestEnvironmentName(t *testing.T) {
	for platform, want := range map[string]string{
		"warehouse": "NHI_WAREHOUSE_TOKEN_ID", "sap-prod.eu": "NHI_SAP_PROD_EU_TOKEN_ID", "9_x": "NHI_9_X_TOKEN_ID",
	} {
		if got := environmentName(platform, "token_id"); got != want {
			t.Errorf("%s: %s", platform, got)
		}
	}
}

func TestCheckURL(t *testing.T) {
	for _, test := range []struct {
		url   string
		plain bool
		want  string // summaries
	}{
		{"https://tenant.example/scim", false, ""},
		{"http://localhost:8200", false, ""},
		{"http://127.0.0.1:8200", false, ""},
		{"http://[::1]:8200", false, ""},
		{"http://tenant.example", false, "Insecure address"},
		{"http://localhost.example", false, "Insecure address"},
		{"http://tenant.example", true, ""},
		{"https://user:pass@tenant.example", false, "Credentials in an address"},
		{"ftp://tenant.example", false, "Invalid address"},
		{"tenant.example/scim", false, "Invalid address"},
		{"", false, "Invalid address"},
		{"https://", false, "Invalid address"},
		{"://x", false, "Invalid address"},
		{"https:/user:pass@tenant.example", false, "Invalid address"},
		{"user:pass@tenant.example", false, "Invalid address"},
	} {
		var diags diag.Diagnostics
		b := &blockReader{platformBlock: platformBlock{path: path.Root("scim")}, diags: &diags}
		b.checkURL("url", test.url, test.plain)
		var got []string
		for _, d := range diags {
			got = append(got, d.Summary())
			if strings.Contains(d.Detail(), "user:") || strings.Contains(d.Detail(), ":pass") {
				t.Errorf("%s: the problem repeats the password: %s", test.url, d.Detail())
			}
		}
		if strings.Join(got, ", ") != test.want {
			t.Errorf("%s: %v, want %q", test.url, got, test.want)
		}
	}
}
