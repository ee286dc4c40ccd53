package nhi_test

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
)

func TestFindMark(t *testing.T) {
	m := nhi.Mark{Stack: "payments-prod", Identity: "billing.agent_1"}
	for text, want := range map[string]nhi.Mark{
		"":                                     {},
		"Made by hand":                         {},
		"nhi:v1:":                              {},
		"nhi:v1:payments-prod":                 {},
		"nhi:v1:payments-prod:":                {},
		"nhi:v2:payments-prod:billing.agent_1": {},
		"nhi:v1::billing":                      {},
		"nhi:v1:payments-prod:billing.agent_1": m,
		"x [nhi:v1:payments-prod:billing.agent_1]":          m,
		"x [nhi:v1:payments-prod:billing.agent_1] y":        m,
		"nhi:v1:payments-prod:billing.agent_1 nhi:v1:a:b":   m,
		"nhi:v1: [nhi:v1:payments-prod:billing.agent_1]":    m,
		"nhi:v1:a: nhi:v1:payments-prod:billing.agent_1":    m,
		"Ask ops\n[nhi:v1:payments-prod:billing.agent_1]\n": m,
	} {
		if got := nhi.FindMark(text); got != want {
			t.Errorf("FindMark(%q) = %v, want %v", text, got, want)
		}
	}
}

func TestWithMark(t *testing.T) {
	m := nhi.Mark{Stack: "s", Identity: "i"}
	for _, test := range []struct {
		text string
		mark nhi.Mark
		want string
	}{
		{"", m, "nhi:v1:s:i"},
		{"", nhi.Mark{}, ""},
		{"Ask ops", m, "Ask ops [nhi:v1:s:i]"},
		{"Ask ops [nhi:v1:other:j]", m, "Ask ops [nhi:v1:s:i]"},
		{"Ask ops [nhi:v1:s:i]", nhi.Mark{}, "Ask ops"},
		{"nhi:v1:other:j", m, "nhi:v1:s:i"},
		{"nhi:v1:s:i", nhi.Mark{}, ""},
		{"Ask [nhi:v1:a:b] ops [nhi:v1:c:d]", m, "Ask ops [nhi:v1:s:i]"},
		{"Ask ops [nhi:v1:s:i], then sec", nhi.Mark{}, "Ask ops, then sec"},
		// What remains around a mark must not become one.
		{"nhi:v1:a nhi:v1:x:y:b", m, "nhi:v1:s:i"},
	} {
		if got := nhi.WithMark(test.text, test.mark); got != test.want {
			t.Errorf("WithMark(%q, %v) = %q, want %q", test.text, test.mark, got, test.want)
		}
	}
}

func TestMarkProperties(t *testing.T) {
	name := rapid.StringMatching(`[a-zA-Z0-9][a-zA-Z0-9._-]{0,62}`)
	mark := rapid.Custom(func(t *rapid.T) nhi.Mark {
		return nhi.Mark{Stack: name.Draw(t, "stack"), Identity: name.Draw(t, "identity")}
	})
	// Comments of others, many with pieces of marks.
	piece := rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{
		"nhi:v1:", "nhi:v1:a:b", "[nhi:v1:a:b]", "[", "]", ":", " ", "\n", "a", "nhi:", "v1:",
	}))
	rapid.Check(t, func(t *rapid.T) {
		text := strings.Join(rapid.SliceOfN(piece, 0, 6).Draw(t, "pieces"), "")
		m, other := mark.Draw(t, "mark"), mark.Draw(t, "other")
		if nhi.CheckStack(m.Stack) != nil || nhi.CheckIdentityName(m.Identity) != nil {
			t.Fatalf("%v is not valid", m)
		}
		if nhi.FindMark(m.String()) != m || !strings.HasPrefix(m.String(), nhi.MarkPrefix(m.Stack)) ||
			!strings.HasPrefix(m.String(), nhi.MarkPrefix("")) {
			t.Fatalf("the text %q is not found again, or has another prefix", m)
		}
		marked := nhi.WithMark(text, m)
		if got := nhi.FindMark(marked); got != m {
			t.Fatalf("FindMark(%q) = %v, want %v", marked, got, m)
		}
		if nhi.FindMark(text).IsZero() {
			if !strings.HasPrefix(marked, text) {
				t.Fatalf("%q became %q", text, marked)
			}
			if got := nhi.WithMark(nhi.WithMark(marked, other), nhi.Mark{}); got != text {
				t.Fatalf("%q became %q, and without the mark %q", text, marked, got)
			}
		}
		bare := nhi.WithMark(marked, nhi.Mark{})
		if !nhi.FindMark(bare).IsZero() || nhi.WithMark(text, nhi.Mark{}) != bare {
			t.Fatalf("%q without the mark is %q", marked, bare)
		}
		if nhi.WithMark(marked, m) != marked {
			t.Fatalf("marking %q twice changes it", marked)
		}
	})
}

func TestNames(t *testing.T) {
	long := strings.Repeat("a", 63)
	for name, valid := range map[string]bool{
		"a": true, "payments-prod": true, "A.b_c-9": true, "0": true, long: true,
		"": false, long + "a": false, "-a": false, ".a": false, "_a": false, "a b": false, "a:b": false, "a/b": false,
		"a\n": false, "é": false, "a[b": false, "a]": false, "a'": false,
	} {
		for what, check := range map[string]func(string) error{
			"be a stack:": nhi.CheckStack, "be an identity name:": nhi.CheckIdentityName, "be a platform name:": nhi.CheckPlatformName,
		} {
			if err := check(name); (err == nil) != valid || err != nil && !strings.Contains(err.Error(), what) {
				t.Errorf("%s %q: error %v", what, name, err)
			}
		}
	}
}

func TestCheckAccountText(t *testing.T) {
	for name, want := range map[string]string{
		"T_BILLING_AGENT": "", "a b": "", `o'brien";--`: "", "שלום": "", "😀": "", "a#b:c": "",
		"": "empty", " a": "white space", "a\u2003": "white space", "a\x00": "control character", "\t": "control character",
		"a\u0085b": "control character", "\xff": "UTF-8",
	} {
		err := nhi.CheckAccountText(name)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("CheckAccountText(%q): %v, want %q", name, err, want)
		}
	}
}

func TestIdentityKinds(t *testing.T) {
	seen := map[nhi.IdentityKind]bool{}
	for _, k := range nhi.IdentityKinds() {
		if k == "" || seen[k] {
			t.Errorf("kind %q is empty or repeated", k)
		}
		seen[k] = true
	}
	if len(seen) != 5 {
		t.Errorf("%d kinds", len(seen))
	}
}
