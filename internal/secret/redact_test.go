package secret_test

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/nhi-labs/terraform-provider-nhi/internal/secret"
)

func redactor(texts ...string) *secret.Redactor {
	var r secret.Redactor
	for _, text := range texts {
		r.Add(secret.New(text))
	}
	return &r
}

func TestRedact(t *testing.T) {
	for _, test := range []struct {
		secrets       []string
		message, want string
	}{
		{nil, "as it is", "as it is"},
		{[]string{"hunter22"}, "password hunter22 refused, hunter22", "password (secret) refused, (secret)"},
		{[]string{"hunter22"}, "", ""},
		{[]string{"a/b c&d"}, "?q=a%2Fb+c%26d /a%2Fb%20c&d a/b c&d", "?q=(secret) /(secret) (secret)"},
		{[]string{`pa"s\s<`}, `{"p":"pa\"s\\s\u003c"} {"p":"pa\"s\\s<"} pa"s\s<`, `{"p":"(secret)"} {"p":"(secret)"} (secret)`},
		{[]string{"line\nbreak"}, `log: "line\nbreak"`, `log: "(secret)"`},
		// One secret within another, in either order, and two that overlap.
		{[]string{"pass", "my-password"}, "my-password pass", "(secret) (secret)"},
		{[]string{"my-password", "pass"}, "my-password pass", "(secret) (secret)"},
		{[]string{"abcdef", "defghi"}, "x abcdefghi y", "x (secret) y"},
		{[]string{"aaaa"}, "aaaaaa", "(secret)"},
		// The mask itself is no secret.
		{[]string{"hunter22", "secret"}, "hunter22", "(secret)"},
		// Too short to hide without destroying the message.
		{[]string{"abc", ""}, "abc", "abc"},
	} {
		if got := redactor(test.secrets...).Redact(test.message); got != test.want {
			t.Errorf("with %q: Redact(%q) = %q, want %q", test.secrets, test.message, got, test.want)
		}
	}
}

func TestRedactProperties(t *testing.T) {
	text := rapid.OneOf(rapid.StringMatching(`[abAB]{4,8}`), rapid.StringMatching(`[a-z/+%&"\\<ü \n]{4,12}`))
	rapid.Check(t, func(t *rapid.T) {
		secrets := rapid.SliceOfN(text, 1, 4).Draw(t, "secrets")
		around := rapid.StringMatching(`[0-9 ]{0,4}`)
		message := ""
		for range rapid.IntRange(0, 5).Draw(t, "parts") {
			s := rapid.SampledFrom(secrets).Draw(t, "secret")
			encoded, _ := json.Marshal(s)
			form := rapid.SampledFrom([]string{
				s, url.QueryEscape(s), url.PathEscape(s), string(encoded), fmt.Sprintf("%q", s), url.UserPassword("u", s).String(),
			}).Draw(t, "form")
			message += around.Draw(t, "around") + form
		}
		r := redactor(secrets...)
		got := r.Redact(message)
		for _, s := range secrets {
			if strings.Contains(strings.ReplaceAll(got, secret.Masked, ""), s) && strings.Contains(got, s) {
				t.Fatalf("Redact(%q) = %q shows %q", message, got, s)
			}
		}
		if clean := rapid.StringMatching(`[0-9 ]*`).Draw(t, "clean"); r.Redact(clean) != clean {
			t.Fatalf("Redact changed %q", clean)
		}
	})
}

func TestRedactConcurrently(t *testing.T) {
	var r secret.Redactor
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			text := fmt.Sprintf("secret-number-%d!", i)
			for range 50 {
				r.Add(secret.New(text))
				if got := r.Redact("x " + text); strings.Contains(got, text) {
					t.Errorf("shown: %s", got)
				}
			}
		})
	}
	wg.Wait()
}
