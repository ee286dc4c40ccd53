package lifecycle

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
)

// The placeholders of a template. Everything but the two of the secret may be shown.
const (
	fillLogin           = "login"
	fillLoginURLEncoded = "login_urlencoded"
	fillSecret          = "secret"
	fillSecretURL       = "secret_urlencoded"
	fillAccount         = "account"
	fillLabel           = "label"
)

// Placeholders lists what may stand between {{ and }}.
func Placeholders() []string {
	return []string{fillLogin, fillLoginURLEncoded, fillSecret, fillSecretURL, fillAccount, fillLabel}
}

// Template is the text of one delivered field with placeholders in it.
type Template []templatePart

// templatePart is a text, or a placeholder.
type templatePart struct {
	text string
	fill bool
}

// ParseTemplate reads a text such as "postgres://{{login}}:{{secret_urlencoded}}@host/db".
func ParseTemplate(text string) (Template, error) {
	var t Template
	for rest := text; rest != ""; {
		before, after, found := strings.Cut(rest, "{{")
		if before != "" {
			t = append(t, templatePart{text: before})
		}
		if !found {
			break
		}
		name, behind, closed := strings.Cut(after, "}}")
		if !closed {
			return nil, fmt.Errorf("a placeholder begins with {{ and does not end: write }} behind its name")
		}
		name = strings.TrimSpace(name)
		if !slices.Contains(Placeholders(), name) {
			hint := ""
			if near, ok := nhi.Nearest(name, Placeholders()); ok {
				hint = fmt.Sprintf("; did you mean {{%s}}?", near)
			}
			return nil, fmt.Errorf("there is no placeholder {{%s}}%s (there are: {{%s}})", name, hint, strings.Join(Placeholders(), "}}, {{"))
		}
		t = append(t, templatePart{text: name, fill: true})
		rest = behind
	}
	return t, nil
}

// String returns the text that ParseTemplate reads as this template.
func (t Template) String() string {
	var out strings.Builder
	for _, part := range t {
		if part.fill {
			out.WriteString("{{" + part.text + "}}")
		} else {
			out.WriteString(part.text)
		}
	}
	return out.String()
}

// fill returns the text of a part.
func (p templatePart) value(values map[string]string) string {
	if p.fill {
		return values[p.text]
	}
	return p.text
}

// render fills the template.
func (t Template) render(values map[string]string) string {
	var out strings.Builder
	for _, part := range t {
		out.WriteString(part.value(values))
	}
	return out.String()
}

// secretAt returns where the secret stands in the rendered text, first and last, and whether it is URL-encoded there.
func (t Template) secretAt(values map[string]string) (from, to int, encoded, found bool) {
	at := 0
	for _, part := range t {
		length := len(part.value(values))
		if part.fill && (part.text == fillSecret || part.text == fillSecretURL) {
			return at, at + length, part.text == fillSecretURL, true
		}
		at += length
	}
	return 0, 0, false, false
}

// HasSecret reports whether the secret can be read back from what the template makes.
func (t Template) HasSecret() bool {
	_, _, _, found := t.secretAt(nil)
	return found
}

// DefaultFields are what is delivered where the configuration names no fields.
func DefaultFields() map[string]Template {
	return map[string]Template{
		"login":  {{text: fillLogin, fill: true}},
		"secret": {{text: fillSecret, fill: true}},
	}
}

// urlEncode escapes everything that has a meaning anywhere in a URL.
func urlEncode(text string) string { return strings.ReplaceAll(url.QueryEscape(text), "+", "%20") }

// fieldNames lists names of fields, sorted.
func fieldNames[V any](fields map[string]V) []string { return slices.Sorted(maps.Keys(fields)) }
