package scim

import (
	"errors"
	"fmt"
	"net/http"
	"testing"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/platform/internal/rest"
)

func TestClassify(t *testing.T) {
	d := &Driver{}
	for _, c := range []struct {
		status   int
		scimType string
		body     string
		want     driver.Code
	}{
		{400, "invalidFilter", errorSchema, driver.Invalid},
		{400, "invalidValue", errorSchema, driver.Invalid},
		{400, "noTarget", errorSchema, driver.Invalid},
		{400, "mutability", errorSchema, driver.Invalid},
		{400, "tooMany", errorSchema, driver.Invalid},
		{400, "uniqueness", errorSchema, driver.AlreadyExists},
		{400, "expiredCursor", errorSchema, driver.Conflict},
		{400, "somethingNew", errorSchema, driver.Invalid},
		{409, "uniqueness", errorSchema, driver.AlreadyExists},
		{409, "", errorSchema, driver.Conflict},
		{412, "", errorSchema, driver.Conflict},
		{401, "", errorSchema, driver.Unauthenticated},
		{403, "", errorSchema, driver.PermissionDenied},
		{404, "", errorSchema, driver.NotFound},
		{404, "", "urn:something:else", driver.Unknown},
		{405, "", errorSchema, driver.Unsupported},
		{429, "", errorSchema, driver.RateLimited},
		{500, "uniqueness", errorSchema, driver.Unavailable},
		{501, "", errorSchema, driver.Unsupported},
		{503, "", errorSchema, driver.Unavailable},
	} {
		status := &rest.StatusError{Status: c.status, Body: fmt.Appendf(nil, `{"schemas":[%q],"scimType":%q}`, c.body, c.scimType)}
		err := fmt.Errorf("changing: %w", asAPIError(fmt.Errorf("call: %w", status)))
		if got := d.Classify(err).Code; got != c.want {
			t.Errorf("%d %s with %s is %q, want %q", c.status, c.scimType, c.body, got, c.want)
		}
	}
	for _, err := range []error{&rest.StatusError{Status: http.StatusNotFound}, &rest.ContentError{Reason: "is odd"}, errors.New("x")} {
		if got := d.Classify(err).Code; got != driver.Unknown {
			t.Errorf("%v is %q, want %q", err, got, driver.Unknown)
		}
	}
}

func TestTargetID(t *testing.T) {
	for address, want := range map[string]string{
		"https://Directory.Example/scim/v2/":     "scim:https://directory.example/scim/v2",
		"https://directory.example:443/scim/v2":  "scim:https://directory.example/scim/v2",
		"https://directory.example:8443/scim/v2": "scim:https://directory.example:8443/scim/v2",
		"https://directory.example/Tenant%2FA":   "scim:https://directory.example/Tenant%2FA",
		"http://127.0.0.1:80/":                   "scim:http://127.0.0.1",
	} {
		d, err := Open(Config{URL: address})
		if err != nil {
			t.Fatal(err)
		}
		if got := d.targetID(); got != want {
			t.Errorf("%s is %s, want %s", address, got, want)
		}
	}
	d, err := Open(Config{URL: "https://Tenant.accounts.example/scim", Dialect: SAPCloudIdentity})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := d.targetID(), "scim:sap:tenant.accounts.example"; got != want {
		t.Errorf("SAP target is %s, want %s", got, want)
	}
}

func TestQuoteKeepsTheTextInside(t *testing.T) {
	for text, want := range map[string]string{
		`a`: `"a"`, `a"b`: `"a\"b"`, `a\`: `"a\\"`, `" or id pr or userName eq "`: `"\" or id pr or userName eq \""`, `<&>`: `"<&>"`,
	} {
		if got := quote(text); got != want {
			t.Errorf("quote(%q) is %s, want %s", text, got, want)
		}
	}
}

func TestResourcePathKeepsTheIDInside(t *testing.T) {
	for id, want := range map[string]string{
		"2819c223": "/Users/2819c223", "../Groups/1": "/Users/..%2FGroups%2F1", "..": "/Users/%2E%2E", "a?b#c%": "/Users/a%3Fb%23c%25",
	} {
		if got := resourcePath(usersPath, id); got != want {
			t.Errorf("the path of %q is %s, want %s", id, got, want)
		}
	}
}

func TestEditsKeepWhatTheyDoNotName(t *testing.T) {
	doc := document{
		"ID": []byte(`"1"`), "Emails": []byte(`[{"value":"old@x","type":"home"},{"value":"main@x","primary":true,"type":"work"}]`),
		"roles": []byte(`[{"value":"a","display":"A"},{"value":"b","type":"t"}]`), "nickName": []byte(`"n"`),
	}
	for _, e := range []edit{
		{kind: setEmail, attr: "emails", entry: "new@x"},
		{kind: removeEntry, attr: "roles", entry: "b"},
		{kind: addEntry, attr: "roles", entry: "c"},
		{kind: addEntry, attr: "roles", entry: "a"},
		{kind: setAttr, schema: sapUserSchema, attr: "status", value: sapInactive},
		{kind: setAttr, attr: "externalId", value: nil},
	} {
		if err := e.apply(doc); err != nil {
			t.Fatal(err)
		}
	}
	for name, want := range map[string]string{
		"Emails":      `[{"type":"home","value":"old@x"},{"primary":true,"type":"work","value":"new@x"}]`,
		"roles":       `[{"display":"A","value":"a"},{"value":"c"}]`,
		"nickName":    `"n"`,
		sapUserSchema: `{"status":"inactive"}`,
	} {
		if got := string(doc[name]); got != want {
			t.Errorf("%s is %s, want %s", name, got, want)
		}
	}
	if len(doc) != 5 {
		t.Errorf("the document has %d attributes, want 5", len(doc))
	}
}
