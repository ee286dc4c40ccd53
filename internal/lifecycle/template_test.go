package lifecycle

import (
	"fmt"
	"strings"
	"testing"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/secret"
)

func TestTemplate(t *testing.T) {
	values := fresh{label: "nhi-1-x", login: "a~b@c", account: "a", secret: secret.New("p w/d+%é")}.values()
	for text, want := range map[string]string{
		"":                       "",
		"plain } text":           "plain } text",
		"{{login}}":              "a~b@c",
		"{{ secret }}":           "p w/d+%é",
		"{{secret_urlencoded}}":  "p%20w%2Fd%2B%25%C3%A9",
		"{{login_urlencoded}}":   "a~b%40c",
		"{{account}}:{{label}}!": "a:nhi-1-x!",
	} {
		parsed, err := ParseTemplate(text)
		if err != nil {
			t.Errorf("%q: %v", text, err)
		} else if got := parsed.render(values); got != want {
			t.Errorf("%q gives %q, want %q", text, got, want)
		}
	}
	for text, want := range map[string]string{
		"{{pasword}}": "there is no placeholder {{pasword}}", "{{secrt}}": "did you mean {{secret}}?", "a {{secret": "does not end",
		"{{}}": "there is no placeholder {{}}", "{{{secret}}}": "there is no placeholder",
	} {
		if _, err := ParseTemplate(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

// Whatever the template, the secret can be read back, unless somebody has changed a field.
func TestSecretIsReadBack(t *testing.T) {
	owner := note{Stack: "s", Identity: "i", Platform: "p"}
	for _, text := range []string{"{{secret}}", "x{{secret_urlencoded}}y", "{{login}}:{{secret}}@{{account}}", "{{secret}}{{secret_urlencoded}}{{secret}}"} {
		for _, password := range []string{"simple", "p w/d+%é\"{{", "x}}y", strings.Repeat("ü", 100)} {
			parsed, err := ParseTemplate(text)
			if err != nil {
				t.Fatal(err)
			}
			d := Delivery{Place{"p", "a"}, map[string]Template{"F": parsed, "user": {{text: fillLogin, fill: true}}}}
			stored, hide, err := d.content(owner, fresh{label: "nhi-1-x", login: "ü~a", account: "ü", secret: secret.New(password)})
			if err != nil {
				t.Fatal(err)
			}
			n, ok := readNote(stored)
			got, readable := n.secret(stored)
			if !ok || !readable || got.Reveal() != password {
				t.Errorf("%q with %q: %t %t", text, password, ok, readable)
			}
			if strings.Contains(stored.Fields[NoteField].Reveal(), password) || len(hide) < 3 {
				t.Errorf("%q: the note holds the secret", text)
			}
			if shown := fmt.Sprintf("%v %+v %#v", stored, stored, d); strings.Contains(shown, password) {
				t.Errorf("%q: printed", text)
			}
			stored.Fields["user"] = secret.New("another")
			if _, readable := n.secret(stored); readable {
				t.Errorf("%q: a changed field was not noticed", text)
			}
		}
	}
	if _, ok := readNote(driver.StoredSecret{Fields: map[string]secret.Value{NoteField: secret.New("{}")}}); ok {
		t.Error("an empty note")
	}
}
