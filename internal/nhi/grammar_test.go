package nhi_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
)

// testGrammar has a type of every sort: without permission, with listed ones, with free ones, each also with a spelling
// of its own.
func testGrammar() nhi.Grammar {
	return nhi.Grammar{Types: []nhi.EntitlementType{
		{Name: "role", Example: "role:reporting"},
		{Name: "group", Example: "group:cn=readers", Canonical: func(e nhi.Entitlement) (nhi.Entitlement, error) {
			e.Target = strings.ToLower(e.Target)
			return e, nil
		}},
		{
			Name: "table", Example: "table:finance.invoices#select", Permissions: []string{"select", "insert"},
			Canonical: func(e nhi.Entitlement) (nhi.Entitlement, error) {
				if !strings.Contains(e.Target, ".") {
					return e, errors.New("name the schema")
				}
				e.Target = strings.ToLower(e.Target)
				return e, nil
			},
		},
		{Name: "database", Example: "database:orders#connect", Permissions: []string{"connect"}},
		{Name: "project", Example: "project:BILL#Developer", FreePermission: true},
		{Name: "inline", Example: "inline:x", Observed: "inline policies are shown only"},
		{
			Name: "primary", Example: "primary:cn=x", Observed: "shown only",
			Canonical: func(e nhi.Entitlement) (nhi.Entitlement, error) {
				e.Target = strings.ToLower(e.Target)
				return e, nil
			},
		},
	}}
}

func TestParse(t *testing.T) {
	for text, want := range map[string]nhi.Entitlement{
		"role:reporting":                {Type: "role", Target: "reporting"},
		"role:a#b:c":                    {Type: "role", Target: "a#b:c"},
		"role:a b":                      {Type: "role", Target: "a b"},
		"group:cn=a,ou=b":               {Type: "group", Target: "cn=a,ou=b"},
		"table:finance.invoices#select": {Type: "table", Target: "finance.invoices", Permission: "select"},
		"table:a.b#c#insert":            {Type: "table", Target: "a.b#c", Permission: "insert"},
		"database:Orders#connect":       {Type: "database", Target: "Orders", Permission: "connect"},
		"project:BILL#Lead Developer":   {Type: "project", Target: "BILL", Permission: "Lead Developer"},
		"project:A#B#Developer":         {Type: "project", Target: "A#B", Permission: "Developer"},
	} {
		got, err := testGrammar().Parse(text)
		if err != nil || got != want {
			t.Errorf("Parse(%q) = %#v, %v; want %#v", text, got, err, want)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for _, test := range []struct{ text, want string }{
		{"", "is not an entitlement: write type:target, with a type among role, group, table, database, project, inline"},
		{"reporting", "is not an entitlement"},
		{":x", `unknown type ""`},
		{"tabel:a.b#select", `unknown type "tabel" (did you mean "table"?); known types: role,`},
		{"mailbox:x", `unknown type "mailbox"; known types`},
		{"Role:x", `did you mean "role"?`},
		{" role:x", `unknown type " role"`},
		{"role:", "names no target: write for example \"role:reporting\""},
		{"table:#select", "names no target"},
		{"table:a.b", `lacks the permission: write for example "table:finance.invoices#select"`},
		{"table:a.b#", `unknown permission ""`},
		{"table:a.b#drop", "table has: select, insert"},
		{"table:a.b#selct", `did you mean "select"?`},
		{"table:ab#select", "name the schema"},
		{"table:ab#SELECT", "name the schema"},
		{"project:BILL#", "empty permission"},
		{"project:BILL", "lacks the permission"},
		{"role: x", "white space around \" x\""},
		{"role:x\t", "white space"},
		{"role:x\u00a0", "white space"},
		{"project:BILL# Developer", "white space around \" Developer\""},
		{"role:a\x00b", "control character"},
		{"role:a\nb", "control character"},
		{"project:B#a\x7fb", "control character"},
		{"role:\xff", "not valid UTF-8"},
		{"inline:x", "cannot be granted: inline policies are shown only"},
	} {
		_, err := testGrammar().Parse(test.text)
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("Parse(%q): error %v, want %q", test.text, err, test.want)
		}
		var spelling *nhi.NotCanonicalError
		if errors.As(err, &spelling) {
			t.Errorf("Parse(%q) is a matter of spelling: %v", test.text, err)
		}
	}
}

func TestParseNamesTheCanonicalSpelling(t *testing.T) {
	for text, want := range map[string]string{
		"group:CN=Readers":        "group:cn=readers",
		"table:Finance.A#select":  "table:finance.a#select",
		"table:finance.a#SELECT":  "table:finance.a#select",
		"table:Finance.A#Select":  "table:finance.a#select",
		"database:Orders#CONNECT": "database:Orders#connect",
	} {
		_, err := testGrammar().Parse(text)
		var spelling *nhi.NotCanonicalError
		if !errors.As(err, &spelling) || spelling.Text != text || spelling.Canonical != want {
			t.Errorf("Parse(%q): error %v, want the spelling %q", text, err, want)
		}
	}
}

func TestParseObserved(t *testing.T) {
	for text, want := range map[string]nhi.Entitlement{
		"inline:x":        {Type: "inline", Target: "x"},
		"group:CN=A":      {Type: "group", Target: "CN=A"},
		"role:a#b":        {Type: "role", Target: "a#b"},
		"table:ab":        {Type: "table", Target: "ab"},
		"project:A#B#Dev": {Type: "project", Target: "A#B", Permission: "Dev"},
	} {
		got, err := testGrammar().ParseObserved(text)
		if err != nil || got != want || got.String() != text {
			t.Errorf("ParseObserved(%q) = %#v, %v; want %#v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "role", "mailbox:x"} {
		if _, err := testGrammar().ParseObserved(text); err == nil {
			t.Errorf("ParseObserved(%q) succeeded", text)
		}
	}
}

func TestFind(t *testing.T) {
	for text, want := range map[string]string{
		"inline:x": "", "role:a#b": "", "inline:": "cannot be granted", "mailbox:x": "unknown type", "role:": "names no target",
		"table:A.B#SELECT": "is not the canonical spelling", "primary:cn=x": "", "primary:CN=X": `write "primary:cn=x"`,
	} {
		got, err := testGrammar().Find(text)
		if want == "" && (err != nil || got.String() != text) || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("Find(%q) = %v, %v; want %q", text, got, err, want)
		}
	}
}

// checkParse holds for every text: what is accepted is spelled in one way, and what is proposed instead is accepted.
func checkParse(t interface{ Fatalf(string, ...any) }, text string) {
	g := testGrammar()
	e, err := g.Parse(text)
	var spelling *nhi.NotCanonicalError
	switch {
	case err == nil:
		again, err := g.Parse(e.String())
		observed, observedErr := g.ParseObserved(text)
		if e.String() != text || err != nil || again != e || observedErr != nil || observed != e {
			t.Fatalf("Parse(%q) = %#v with the text %q, then %#v, %v, and observed %#v, %v",
				text, e, e.String(), again, err, observed, observedErr)
		}
	case errors.As(err, &spelling):
		if _, err := g.Parse(spelling.Canonical); err != nil {
			t.Fatalf("Parse(%q) proposes %q, which is refused: %v", text, spelling.Canonical, err)
		}
	}
}

func TestParseProperties(t *testing.T) {
	part := rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{"a.b", "A.B", "select", "SELECT", "cn=X"}))
	rapid.Check(t, func(t *rapid.T) {
		typeName := rapid.SampledFrom([]string{"role", "group", "table", "database", "project", "inline", "x"}).Draw(t, "type")
		separator := rapid.SampledFrom([]string{"#", "##", "", ":"}).Draw(t, "separator")
		checkParse(t, typeName+":"+part.Draw(t, "target")+separator+part.Draw(t, "permission"))
	})
}

func FuzzParse(f *testing.F) {
	for _, text := range []string{"role:a", "table:a.b#select", "table:A.B#SELECT", "project:A#B#c", "group:X#y", "inline:x", "role:\xff"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) { checkParse(t, text) })
}

func TestNearest(t *testing.T) {
	known := []string{"table", "role", "cable", "namespace", "a"}
	for word, want := range map[string]string{
		"tabel": "table", "tables": "table", "table": "table", "able": "table", "rol": "role", "roel": "role", "rloe": "role", "role ": "role", "tbael": "", "roles": "role", "elor": "",
		"namespcae": "namespace",
		"nmespac":   "namespace", "namspcs": "namespace", "nospace": "namespace", "mailbox": "", "b": "a",
	} {
		got, ok := nhi.Nearest(word, known)
		if got != want || ok != (want != "") {
			t.Errorf("Nearest(%q) = %q, %v; want %q", word, got, ok, want)
		}
	}
}

func TestNearestProperties(t *testing.T) {
	word := rapid.StringMatching(`[a-zé]{0,12}`)
	rapid.Check(t, func(t *rapid.T) {
		known := rapid.SliceOf(word).Draw(t, "known")
		typed := word.Draw(t, "typed")
		near, ok := nhi.Nearest(typed, known)
		if ok && !slices.Contains(known, near) || !ok && slices.Contains(known, typed) {
			t.Fatalf("Nearest = %q, %v", near, ok)
		}
		if slices.Contains(known, typed) && near != typed {
			t.Fatalf("Nearest = %q although the word itself is known", near)
		}
	})
}
