package acctest

import (
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
)

var update = flag.Bool("update", false, "write the golden files of the plan texts anew")

// Each drift of each kind: the plan exits with 2, its text says which entitlement on which platform (golden file), and
// the next apply repairs it.
func TestDrift(t *testing.T) {
	t.Parallel()
	drifts := []struct {
		name   string
		byHand func(s *site, account string)
	}{
		{name: "entitlement_added", byHand: func(s *site, a string) { s.grantByHand(a, s.entitlements[2]) }},
		{name: "entitlement_removed", byHand: func(s *site, a string) { s.revokeByHand(a, s.entitlements[0]) }},
		{name: "account_suspended", byHand: func(s *site, a string) { s.suspendByHand(a) }},
		{name: "account_deleted", byHand: func(s *site, a string) { s.deleteByHand(a) }},
		{name: "mark_removed", byHand: func(s *site, a string) { s.unmark(a) }},
	}
	for kind, newSite := range kindSites() {
		t.Run(kind, func(t *testing.T) {
			s := newSite(t)
			c := config{stack: unique(t, "stack"), identity: unique(t, "agent"), sites: []*site{s}, holds: []int{0, 1}}
			w := c.workspace(t)
			w.Apply()
			for _, drift := range drifts {
				drift.byHand(s, c.identity)
				golden(t, kind+"_"+drift.name, s, c, w.Plan(exitChanges))
				w.Apply()
				s.holds(c.identity, s.texts(0, 1)...)
			}
		})
	}
}

func (s *site) unmark(account string) {
	s.t.Helper()
	none := nhi.Mark{}
	s.do(s.hand.UpdateAccount(s.t.Context(), nhi.Ref{Name: account}, driver.AccountChange{Mark: &none}))
}

// PostgreSQL has rights that no other platform has; all of them show.
func TestDriftOfPostgreSQLRights(t *testing.T) {
	t.Parallel()
	s := postgresqlSite(t, "warehouse", "")
	c := config{stack: unique(t, "stack"), identity: unique(t, "agent"), sites: []*site{s}, holds: []int{0}}
	w := c.workspace(t)
	w.Apply()
	table := strings.TrimSuffix(strings.TrimPrefix(s.entitlements[0], "table:"), "#select")
	schema, _, _ := strings.Cut(table, ".")
	role := strings.TrimPrefix(s.entitlements[1], "role:")
	account := pgx.Identifier{c.identity}.Sanitize()
	s.sql(t,
		"ALTER ROLE "+account+" SUPERUSER CREATEROLE",
		"GRANT "+role+" TO "+account,
		"CREATE TABLE "+schema+".owned (id int)", "ALTER TABLE "+schema+".owned OWNER TO "+account,
		"GRANT SELECT (id) ON "+schema+".ledger TO "+account,
		"GRANT CREATE ON SCHEMA "+schema+" TO "+account,
		"GRANT INSERT ON "+table+" TO "+account+" WITH GRANT OPTION",
	)
	r := w.Plan(exitChanges)
	r.Has(t, `- "attribute:superuser"`, `- "attribute:createrole"`, `- "role:`+role+`"`, `- "column:`+schema+`.ledger.id#select"`,
		`- "schema:`+schema+`#create"`, `- "table:`+table+`#insert`, schema+`.owned"`)
	golden(t, "postgresql_rights", s, c, r)
	w.Apply()
	s.holds(c.identity, s.texts(0)...)
	var owner string
	if err := pgAdmin(t).QueryRow(t.Context(), "SELECT tableowner FROM pg_tables WHERE schemaname = $1 AND tablename = 'owned'", schema).
		Scan(&owner); err != nil || owner == c.identity {
		t.Errorf("the owned table belongs to %q: %v", owner, err)
	}
}

// golden compares the changes that a plan shows with a file, after names that differ between runs were replaced.
func golden(t *testing.T, name string, s *site, c config, r Result) {
	t.Helper()
	text := normalize(changes(r.Output), s, c)
	path := filepath.Join("testdata", "golden", name+".txt")
	if *update {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v (run with -update to write it)", err)
	}
	if text != string(want) {
		t.Errorf("%s: plan text\n%s\nwant\n%s", name, text, want)
	}
}

// changes cuts the part of a plan out that is the same on every CLI: from the first resource to the summary.
func changes(output string) string {
	_, output, _ = strings.Cut(output, "will perform the following actions:\n\n")
	begin, end := strings.Index(output, "  # nhi_"), strings.Index(output, "\nPlan: ")
	if begin < 0 || end < begin {
		return output
	}
	return output[begin:end] + output[end:end+1+strings.Index(output[end+1:], "\n")] + "\n"
}

var volatile = []struct {
	pattern *regexp.Regexp
	with    string
}{
	{regexp.MustCompile(`(id\s+= )"[^"]*"`), `$1"<id>"`},
	{regexp.MustCompile(`(sandbox|postgresql|vault|scim):[^"#]*(?:/[^"#]*)"`), `$1:<target>"`},
	{regexp.MustCompile(`sandbox:[0-9a-f-]{36}`), `sandbox:<target>`},
	{regexp.MustCompile(`vault:[0-9a-f-]{36}`), `vault:<target>`},
	{regexp.MustCompile(`[ \t]+\n`), "\n"},
}

func normalize(text string, s *site, c config) string {
	for i, e := range s.entitlements {
		text = strings.ReplaceAll(text, target(e), "<target "+string(rune('a'+i))+">")
		if schema, _, ok := strings.Cut(target(e), "."); ok {
			text = strings.ReplaceAll(text, schema+".", "<schema>.")
			text = strings.ReplaceAll(text, "schema:"+schema+"#", "schema:<schema>#")
		}
	}
	text = strings.ReplaceAll(text, c.identity, "<identity>")
	for _, v := range volatile {
		text = v.pattern.ReplaceAllString(text, v.with)
	}
	return text
}

// target is the part of an entitlement between type and permission.
func target(entitlement string) string {
	_, rest, _ := strings.Cut(entitlement, ":")
	if i := strings.LastIndexByte(rest, '#'); i >= 0 {
		return rest[:i]
	}
	return rest
}
