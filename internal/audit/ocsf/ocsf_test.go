package ocsf_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/nhi-labs/terraform-provider-nhi/internal/audit"
	"github.com/nhi-labs/terraform-provider-nhi/internal/audit/audittest"
	"github.com/nhi-labs/terraform-provider-nhi/internal/audit/ocsf"
	"github.com/nhi-labs/terraform-provider-nhi/internal/audit/ocsf/ocsftest"
)

var update = flag.Bool("update", false, "write the golden files")

func encode(t testing.TB, v ocsf.Version, e audit.Event) []byte {
	t.Helper()
	text, err := ocsf.Encode(v, e)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// TestSchema: every activity with every outcome is valid in every version, and reads back as it was.
func TestSchema(t *testing.T) {
	for _, v := range ocsf.Versions() {
		for _, e := range audittest.All() {
			text := encode(t, v, e)
			if err := ocsftest.Validate(text); err != nil {
				t.Errorf("%s, %s %s:\n%v\n%s", v, e.Activity, e.Outcome, err, text)
			}
			got, err := ocsf.Decode(text)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(e, got); diff != "" {
				t.Errorf("%s, %s %s (-want +got):\n%s", v, e.Activity, e.Outcome, diff)
			}
		}
	}
}

// TestSparse: an event with nothing but what every event has is valid too.
func TestSparse(t *testing.T) {
	for _, v := range ocsf.Versions() {
		for _, a := range append(audit.Activities(), "something_new") {
			e := audit.Event{
				ID: "1", Activity: a, Outcome: audit.Intended, Actor: audit.Actor{Name: "root"}, Account: audit.Account{Name: "a"},
				Platform: audit.Platform{Name: "p", Kind: "sandbox", Target: "t"},
			}
			if err := ocsftest.Validate(encode(t, v, e)); err != nil {
				t.Errorf("%s, %s: %v", v, a, err)
			}
		}
	}
}

func TestForms(t *testing.T) {
	group := audittest.Event(audit.Grant, audit.Succeeded)
	group.Before, group.After = nil, []string{"group:Billing Viewers"}
	groups := group
	groups.After = []string{"group:a", "group:b"}
	for name, c := range map[string]struct {
		event    audit.Event
		v180     int
		v190     int
		contains string
	}{
		"create":     {audittest.Event(audit.CreateAccount, audit.Succeeded), 300101, 300701, `"full_name":"billing-agent"`},
		"suspend":    {audittest.Event(audit.SuspendAccount, audit.Succeeded), 300105, 300705, `"target":"postgresql:7312345678901234567/16384"`},
		"grant":      {audittest.Event(audit.Grant, audit.Succeeded), 300501, 300714, `"privileges":["table:finance.invoices#select"]`},
		"revoke":     {audittest.Event(audit.Revoke, audit.Succeeded), 300502, 300715, `"privileges":["table:finance.invoices#select"]`},
		"credential": {audittest.Event(audit.IssueCredential, audit.Succeeded), 300199, 300718, `"programmatic_credentials":[{"uid":"nhi-7f3a"}]`},
		"one group":  {group, 300603, 300603, `"group":{"name":"Billing Viewers","domain":"warehouse"}`},
		"two groups": {groups, 300501, 300714, `"privileges":["group:a","group:b"]`},
		"intended":   {audittest.Event(audit.DeleteAccount, audit.Intended), 300106, 300703, `"status_id":99,"status":"Intended"`},
		"succeeded":  {audittest.Event(audit.DeleteAccount, audit.Succeeded), 300106, 300703, `"status_id":1,"status":"Success"`},
		"failed":     {audittest.Event(audit.DeleteAccount, audit.Failed), 300106, 300703, `"status_id":2,"status":"Failure","status_detail":"platform \"warehouse\"`},
		"unknown":    {audittest.Event(audit.DeleteAccount, audit.Unknown), 300106, 300703, `"status_id":0,"status":"Unknown","status_detail":"platform \"warehouse\"`},
	} {
		for v, want := range map[ocsf.Version]int{ocsf.V180: c.v180, ocsf.V190: c.v190} {
			text := string(encode(t, v, c.event))
			if !strings.Contains(text, fmt.Sprintf(`"type_uid":%d,`, want)) || !strings.Contains(text, c.contains) {
				t.Errorf("%s in %s: want type %d and %s:\n%s", name, v, want, c.contains, text)
			}
		}
	}
}

// TestMappings: the table has every activity once.
func TestMappings(t *testing.T) {
	var got []audit.Activity
	for _, m := range ocsf.Mappings() {
		got = append(got, m.Activity)
	}
	if diff := cmp.Diff(audit.Activities(), got); diff != "" {
		t.Errorf("activities (-want +got):\n%s", diff)
	}
}

// checkSafe holds what an event is written as against everything that could be injected.
func checkSafe(t testing.TB, v ocsf.Version, e audit.Event) {
	t.Helper()
	text := encode(t, v, e)
	if i := bytes.IndexFunc(text, func(r rune) bool { return r < ' ' || r > '~' }); i >= 0 {
		t.Fatalf("a byte that does not print: %q", text[max(0, i-20):min(len(text), i+20)])
	}
	if err := ocsftest.Validate(text); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	got, err := ocsf.Decode(text)
	if err != nil || got.ID != e.ID || got.Activity != e.Activity || got.Outcome != e.Outcome {
		t.Fatalf("read back: %v, %+v", err, got)
	}
	if j := e.Justification; utf8.ValidString(j) && len(j) <= 2<<10 && got.Justification != j {
		t.Fatalf("justification %q, want %q", got.Justification, j)
	}
	if len(text) > 40*6*2<<10 {
		t.Fatalf("%d bytes", len(text))
	}
}

func TestInjection(t *testing.T) {
	for _, v := range ocsf.Versions() {
		for _, text := range audittest.Injections() {
			checkSafe(t, v, audittest.Hostile(text))
		}
	}
}

func FuzzEncode(f *testing.F) {
	for _, text := range audittest.Injections() {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, v := range ocsf.Versions() {
			checkSafe(t, v, audittest.Hostile(text))
		}
	})
}

// TestExamples keeps the examples of the documentation what the code writes.
func TestExamples(t *testing.T) {
	for _, v := range ocsf.Versions() {
		e := audittest.Event(audit.Grant, audit.Succeeded)
		e.ID = "0b8f1a52-3a67-4d6a-9d0e-5f3c1f7a2b11"
		var want bytes.Buffer
		if err := json.Indent(&want, encode(t, v, e), "", "  "); err != nil {
			t.Fatal(err)
		}
		want.WriteByte('\n')
		path := filepath.Join("testdata", "grant-"+string(v)+".json")
		if *update {
			if err := os.WriteFile(path, want.Bytes(), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		got, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want.String(), string(got)); diff != "" {
			t.Errorf("%s (-code +file), run with -update:\n%s", path, diff)
		}
	}
}

func TestRefused(t *testing.T) {
	if _, err := ocsf.Encode("1.7.0", audit.Event{}); err == nil {
		t.Error("an unknown version was encoded")
	}
	if _, err := ocsf.ParseVersion("1.7.0"); err == nil || !strings.Contains(err.Error(), `"1.8.0" or "1.9.0"`) {
		t.Errorf("parse: %v", err)
	}
	if v, err := ocsf.ParseVersion(""); err != nil || v != ocsf.Default {
		t.Errorf("no version: %s, %v", v, err)
	}
	for _, text := range []string{"", "{}", "[]", `{"metadata":{"product":{"name":"other"}}}`} {
		if _, err := ocsf.Decode([]byte(text)); err == nil {
			t.Errorf("%q was decoded", text)
		}
	}
}

// TestValidator: the check itself sees what is wrong.
func TestValidator(t *testing.T) {
	good := string(encode(t, ocsf.V180, audittest.Event(audit.Grant, audit.Succeeded)))
	for name, change := range map[string][2]string{
		"missing attribute":       {`"severity_id":1,`, ``},
		"missing in an object":    {`"version":"1.8.0",`, `"version":"1.8.0","versions":"",`},
		"required product":        {`"product":{"name":"terraform-provider-nhi","vendor_name":"nhi-labs","version":"1.2.3"}`, `"log_name":"x"`},
		"required privileges":     {`"privileges":["table:finance.invoices#select"],`, ``},
		"type":                    {`"time":`, `"time":1.5,"count":`},
		"text for a number":       {`"severity_id":1`, `"severity_id":"1"`},
		"outside the enumeration": {`"activity_id":1`, `"activity_id":3`},
		"another caption":         {`"severity":"Informational"`, `"severity":"High"`},
		"unknown attribute":       {`"message":`, `"massage":"","message":`},
		"unknown in an object":    {`"domain":"warehouse"`, `"realm":"warehouse"`},
		"none of":                 {`"actor":{`, `"actor":{},"device":{`},
		"no array":                {`"privileges":["table:finance.invoices#select"]`, `"privileges":"x"`},
		"null":                    {`"status":"Success"`, `"status":null`},
	} {
		bad := strings.Replace(good, change[0], change[1], 1)
		if bad == good {
			t.Errorf("%s: nothing changed", name)
		}
		if ocsftest.Validate([]byte(bad)) == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if err := ocsftest.Validate([]byte(good)); err != nil {
		t.Errorf("unchanged: %v", err)
	}
}
