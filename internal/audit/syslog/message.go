package syslog

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"

	"github.com/nhi-labs/terraform-provider-nhi/internal/audit"
	"github.com/nhi-labs/terraform-provider-nhi/internal/audit/ocsf"
)

const (
	appName = "nhi"
	// longestValue bounds a value in the structured data. The whole one is in the message.
	longestValue = 256
	// The longest names that a header may have (RFC 5424, section 6). A host name of the DNS is no longer than 253.
	longestHost, longestMessageID = 253, 32
)

// The severities of RFC 5424, section 6.2.1, that are used.
const (
	warning       = 4
	informational = 6
)

// message writes e as RFC 5424 has it, with the OCSF event as its text.
func message(c Config, e audit.Event) ([]byte, error) {
	text, err := ocsf.Encode(c.Version, e)
	if err != nil {
		return nil, err
	}
	severity := informational
	if e.Outcome == audit.Failed || e.Outcome == audit.Unknown {
		severity = warning
	}
	var out strings.Builder
	fmt.Fprintf(&out, "<%d>1 %s %s %s - %s ", c.Facility*8+severity, e.Time.UTC().Format("2006-01-02T15:04:05.000Z"),
		header(e.Actor.Host, longestHost), appName, header(string(e.Activity), longestMessageID))
	element(&out, "origin", []param{{"software", ocsf.ProductName}, {"swVersion", e.Version}})
	element(&out, "nhi@"+strconv.Itoa(c.EnterpriseNumber), []param{
		{"id", e.ID}, {"change", e.Change}, {"correlation", e.Correlation}, {"outcome", string(e.Outcome)},
		{"actor", e.Actor.Name}, {"stack", e.Stack}, {"identity", e.Identity.Name}, {"account", e.Account.Name},
		{"platform", e.Platform.Name}, {"target", e.Platform.Target},
	})
	out.WriteByte(' ')
	out.Write(text)
	return []byte(out.String()), nil
}

// header makes a text fit for a field of the header, "-" for nothing. RFC 5424 allows all that prints; receivers do not:
// syslog-ng refuses a message with ":" or "[" in the host name.
func header(text string, longest int) string {
	clean := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-._", r) {
			return r
		}
		return '_'
	}, text)
	if len(clean) > longest {
		clean = clean[:longest]
	}
	if clean == "" {
		return "-"
	}
	return clean
}

type param struct{ name, value string }

// element writes one element of the structured data. Params without a value are left out.
func element(out *strings.Builder, id string, params []param) {
	out.WriteString("[" + id)
	for _, p := range params {
		if p.value != "" {
			out.WriteString(" " + p.name + `="` + escape(p.value) + `"`)
		}
	}
	out.WriteString("]")
}

// escape writes a PARAM-VALUE (RFC 5424, section 6.3.3): a backslash before '"', '\' and ']'. What does not print, or is
// no UTF-8, is written as Go would ("\n", "\u2028"), so that a line stays a line wherever the value ends up.
func escape(value string) string {
	runes := []rune(value)
	cut := len(runes) > longestValue
	if cut {
		runes = runes[:longestValue]
	}
	var out strings.Builder
	for _, r := range runes {
		switch {
		case r == '"' || r == '\\' || r == ']':
			out.WriteByte('\\')
			out.WriteRune(r)
		case unicode.IsPrint(r):
			out.WriteRune(r)
		default:
			quoted := strconv.QuoteRuneToASCII(r)
			out.WriteString(strings.ReplaceAll(quoted[1:len(quoted)-1], `\`, `\\`))
		}
	}
	if cut {
		out.WriteRune('…')
	}
	return out.String()
}
