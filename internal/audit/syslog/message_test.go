package syslog

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/leodido/go-syslog/v4/rfc5424"

	"github.com/nhi-labs/terraform-provider-nhi/internal/audit"
	"github.com/nhi-labs/terraform-provider-nhi/internal/audit/audittest"
	"github.com/nhi-labs/terraform-provider-nhi/internal/audit/ocsf"
	"github.com/nhi-labs/terraform-provider-nhi/internal/audit/ocsf/ocsftest"
)

func parse(t testing.TB, e audit.Event) *rfc5424.SyslogMessage {
	t.Helper()
	text, err := message(Config{Facility: 10, EnterpriseNumber: ExampleEnterprise, Version: ocsf.Default}, e)
	if err != nil {
		t.Fatal(err)
	}
	if !utf8.Valid(text) || strings.ContainsAny(string(text), "\r\n\x00\u0085\u2028\u202e") {
		t.Fatalf("not one line of printable UTF-8: %q", text)
	}
	parsed, err := rfc5424.NewParser().Parse(text)
	if err != nil {
		t.Fatalf("%v: %q", err, text)
	}
	m, ok := parsed.(*rfc5424.SyslogMessage)
	if !ok || m.Message == nil || m.StructuredData == nil {
		t.Fatalf("parsed %#v", parsed)
	}
	if err := ocsftest.Validate([]byte(*m.Message)); err != nil {
		t.Fatalf("%v\n%s", err, *m.Message)
	}
	return m
}

func TestMessage(t *testing.T) {
	e := audittest.Event(audit.Grant, audit.Failed)
	e.Identity.Name = `a]b"c\d`
	m := parse(t, e)
	if *m.Priority != 10*8+4 || *m.Hostname != "runner-7.example.com" || *m.Appname != "nhi" || *m.MsgID != "grant" || m.ProcID != nil {
		t.Errorf("header %+v", m)
	}
	if !m.Timestamp.Equal(e.Time) {
		t.Errorf("time %s, want %s", m.Timestamp, e.Time)
	}
	data := (*m.StructuredData)["nhi@32473"]
	for name, want := range map[string]string{"id": e.ID, "correlation": e.Correlation, "identity": `a]b"c\d`, "outcome": "failed"} {
		if data[name] != want {
			t.Errorf("%s is %q, want %q", name, data[name], want)
		}
	}
}

// checkHostile parses a message with text everywhere and finds nothing that text could have added.
func checkHostile(t testing.TB, text string) {
	t.Helper()
	m := parse(t, audittest.Hostile(text))
	if len(*m.StructuredData) != 2 || *m.Priority != 84 || *m.Appname != "nhi" {
		t.Fatalf("%q changed the message: %+v", text, m)
	}
	for name, value := range (*m.StructuredData)["nhi@32473"] {
		if len(value) > 12*longestValue || name == "x" {
			t.Fatalf("param %s=%q", name, value)
		}
	}
}

func TestInjection(t *testing.T) {
	for _, text := range audittest.Injections() {
		checkHostile(t, text)
	}
}

func FuzzMessage(f *testing.F) {
	for _, text := range audittest.Injections() {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) { checkHostile(t, text) })
}
