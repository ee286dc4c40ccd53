package postgresql

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
)

// explained spells holdings as "entitlement < last step < ... < first step", without those that mention none of words.
func explained(holdings []driver.Holding, words ...string) []string {
	var out []string
	for _, h := range holdings {
		steps := slices.Clone(h.Via)
		slices.Reverse(steps)
		text := strings.Join(append([]string{h.Entitlement.String()}, steps...), " < ")
		if slices.ContainsFunc(words, func(word string) bool { return strings.Contains(text, word) }) {
			out = append(out, text)
		}
	}
	return out
}

func (b *bench) explain(name string) []driver.Holding {
	b.Helper()
	holdings, err := b.c.Explain(b.Context(), refNamed(name))
	if err != nil {
		b.Fatalf("explain %q: %v", name, err)
	}
	return holdings
}

// TestExplainTellsTheWay has one membership of each sort.
func TestExplainTellsTheWay(t *testing.T) {
	b := newBench(t)
	p := unique("way_")
	names := map[string]string{}
	for _, role := range []string{"who", "near", "deep", "mute", "asked", "behind", "owner"} {
		names[role] = p + "_" + role
		b.s.exec(t, "create role "+names[role])
		t.Cleanup(func() { b.s.exec(t, "drop owned by "+names[role]+" cascade", "drop role "+names[role]) })
	}
	run := func(statement string) {
		for role, name := range names {
			statement = strings.ReplaceAll(statement, "{"+role+"}", name)
		}
		b.s.exec(t, strings.ReplaceAll(statement, "{s}", p))
	}
	for _, statement := range []string{
		"create schema {s} authorization {owner}", "create table {s}.t (a int)", "create table {s}.mine (a int)",
		"alter table {s}.mine owner to {deep}", "revoke all on {s}.mine from {deep}", "grant select on {s}.mine to {deep}",
		"alter role {mute} noinherit", "alter role {asked} createdb", "alter role {near} createrole", "alter role {behind} replication",
		"grant {near} to {who}", "grant {deep} to {near} with admin option", "grant {mute} to {who}", "grant {asked} to {mute}",
		"grant {behind} to {asked}", "grant select on {s}.t to {deep}", "grant insert on {s}.t to {near} with grant option",
		"grant delete on {s}.t to {behind}", "grant usage on schema {s} to public", "grant select (a) on {s}.t to {who}",
	} {
		run(statement)
	}
	want := []string{
		"column:{s}.t.a#select", "role:{mute}", "role:{near}",
		"attribute:createdb < SET ROLE {asked} < role:{mute}", "attribute:createrole < SET ROLE {near}",
		"attribute:replication < SET ROLE {behind} < SET ROLE {asked} < role:{mute}",
		"owner:table {s}.mine < role:{deep} < role:{near}", "role:{asked} < role:{mute}",
		"role:{behind} < SET ROLE {asked} < role:{mute}", "role:{deep} < role:{near}", "role_admin:{deep} < role:{near}",
		"schema:{s}#usage < PUBLIC", "table:{s}.mine#select < OWNER < role:{deep} < role:{near}",
		"table:{s}.t#delete < SET ROLE {behind} < SET ROLE {asked} < role:{mute}", "table:{s}.t#insert < role:{near}",
		"table:{s}.t#insert+grant < role:{near}", "table:{s}.t#select < role:{deep} < role:{near}",
	}
	for i, text := range want {
		for role, name := range names {
			text = strings.ReplaceAll(text, "{"+role+"}", name)
		}
		want[i] = strings.ReplaceAll(text, "{s}", p)
	}
	slices.Sort(want)
	got := explained(b.explain(names["who"]), p)
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("explained (-want +got):\n%s", diff)
	}
	owner := explained(b.explain(names["owner"]), p)
	if !slices.Contains(owner, "schema:"+p+"#create < OWNER") || !slices.Contains(owner, "owner:schema "+p) {
		t.Errorf("the owner of the schema: %s", strings.Join(owner, "\n"))
	}
}

// TestExplainCountsCredentialRoles: what somebody granted to a credential role is the account's.
func TestExplainCountsCredentialRoles(t *testing.T) {
	b := newBench(t)
	ref, role, table := b.account(), unique("grp_"), unique("tab_")
	issued, err := b.c.Issue(t.Context(), ref, driver.IssueRequest{Label: "one"})
	if err != nil {
		t.Fatal(err)
	}
	b.s.exec(t, "create role "+role, "create table public."+table+" (a int)", "grant select on public."+table+" to "+role,
		"grant "+role+" to "+ident(issued.Login))
	t.Cleanup(func() { b.s.exec(t, "drop table public."+table, "drop role "+role) })
	want := []string{"role:" + role, "table:public." + table + "#select < role:" + role}
	if diff := cmp.Diff(want, explained(b.explain(ref.Name), role, ref.Name, issued.Login)); diff != "" {
		t.Errorf("explained (-want +got):\n%s", diff)
	}
	if !query[bool](t, b.s, "select has_table_privilege($1, $2, 'select')", issued.Login, "public."+table) {
		t.Error("the server says otherwise")
	}
}

// population is a random crowd of roles with random objects and rights.
type population struct {
	r      *rand.Rand
	prefix string
	// perGrant: a membership itself says whether it inherits and allows SET ROLE, from version 16 on.
	perGrant bool
	roles    []string
}

func (p *population) pick(of ...string) string { return of[p.r.IntN(len(of))] }

// grantee is a role, or everybody.
func (p *population) grantee() string { return p.pick(append([]string{"public"}, p.roles...)...) }

// statements makes the crowd. Roles are members of later ones only.
func (p *population) statements() []string {
	s := p.prefix
	var out []string
	for i := range 9 {
		p.roles = append(p.roles, fmt.Sprintf("%s_r%d", s, i))
		out = append(out, "create role "+p.roles[i]+p.pick("", "", " createdb")+p.pick("", "", " noinherit"))
	}
	out = append(out, "alter role "+p.roles[len(p.roles)-1]+" superuser",
		"create schema "+s+" authorization "+p.pick(p.roles...),
		"create function "+s+".f(int) returns int language sql as 'select 1'", "create sequence "+s+".q", "create type "+s+".e as enum ('x')")
	for i := range p.roles {
		for j := i + 1; j < len(p.roles); j++ {
			if p.r.IntN(100) < 25 {
				out = append(out, p.membership(p.roles[j], p.roles[i]))
			}
		}
	}
	for _, predefined := range []string{"pg_read_all_data", "pg_write_all_data", "pg_monitor"} {
		out = append(out, p.membership(predefined, p.pick(p.roles...)))
	}
	for i := range 4 {
		table := fmt.Sprintf("%s.t%d", s, i)
		out = append(out, "create table "+table+" (a int, b int)", "alter table "+table+" owner to "+p.pick(p.roles...))
	}
	for range 25 {
		table := fmt.Sprintf("%s.t%d", s, p.r.IntN(4))
		grantee := p.grantee()
		option := ""
		if grantee != "public" {
			option = p.pick("", "", " with grant option")
		}
		out = append(out, p.pick(
			"grant "+p.pick("select", "insert", "update", "delete, truncate", "references", "trigger")+" on "+table+" to "+grantee+option,
			"grant "+p.pick("select", "insert", "update")+" ("+p.pick("a", "b")+") on "+table+" to "+grantee+option,
			"grant "+p.pick("usage", "create")+" on schema "+s+" to "+grantee+option,
			"grant "+p.pick("usage", "select", "update")+" on sequence "+s+".q to "+grantee+option,
			"revoke "+p.pick("select", "insert")+" on "+table+" from "+p.roles[0],
		))
	}
	// What everybody has by default, taken away and given to one.
	return append(out, "revoke execute on function "+s+".f from public", "grant execute on function "+s+".f to "+p.grantee(),
		p.pick("revoke usage on type "+s+".e from public", "grant usage on type "+s+".e to "+p.pick(p.roles...)))
}

func (p *population) membership(role, member string) string {
	if !p.perGrant {
		return "grant " + role + " to " + member + p.pick("", "", " with admin option")
	}
	return fmt.Sprintf("grant %s to %s with inherit %s, set %s, admin %s", role, member, p.pick("true", "true", "false"),
		p.pick("true", "false"), p.pick("true", "false", "false"))
}

// judgement is what the server says of one role and one right: whether it has it, and whether it can get it by SET ROLE.
type judgement struct {
	role, text  string
	has, canGet bool
}

// judgements asks the server about every right of every role on every object of the crowd. %[1]s is the prefix, %[2]s
// how the server calls the right to SET ROLE.
const judgements = `with r as (select oid, rolname from pg_roles where rolname like '%[1]s\_r%%'),
	a as (select oid from pg_roles),
	tab as (select format('%[1]s.t%%s', n) as name from generate_series(0, 3) n),
	q as (
		select 'table:' || name || '#' || lower(priv) as text, 'table' as kind, name, '' as col, priv
		from tab, unnest('{SELECT,INSERT,UPDATE,DELETE,TRUNCATE,REFERENCES,TRIGGER}'::text[]) priv
		union all select 'column:' || name || '.' || col || '#' || lower(priv), 'column', name, col, priv
		from tab, unnest('{a,b}'::text[]) col, unnest('{SELECT,INSERT,UPDATE,REFERENCES}'::text[]) priv
		union all select 'schema:%[1]s#' || lower(priv), 'schema', '%[1]s', '', priv from unnest('{USAGE,CREATE}'::text[]) priv
		union all select 'sequence:%[1]s.q#' || lower(priv), 'sequence', '%[1]s.q', '', priv
		from unnest('{USAGE,SELECT,UPDATE}'::text[]) priv
		union all select 'function:%[1]s.f(integer)#execute', 'function', '%[1]s.f(int)', '', 'EXECUTE'
		union all select 'type:%[1]s.e#usage', 'type', '%[1]s.e', '', 'USAGE'
		union all select 'database:' || current_database() || '#' || lower(priv), 'database', current_database(), '', priv
		from unnest('{CONNECT,CREATE,TEMPORARY}'::text[]) priv
	),
	has as materialized (
		select a.oid, q.text, case q.kind
			when 'table' then has_table_privilege(a.oid, q.name, q.priv)
			when 'column' then has_column_privilege(a.oid, q.name, q.col, q.priv)
			when 'schema' then has_schema_privilege(a.oid, q.name, q.priv)
			when 'sequence' then has_sequence_privilege(a.oid, q.name, q.priv)
			when 'function' then has_function_privilege(a.oid, q.name, q.priv)
			when 'type' then has_type_privilege(a.oid, q.name, q.priv)
			else has_database_privilege(a.oid, q.name, q.priv) end as yes
		from q, a
	)
select r.rolname, h.text, h.yes, exists (select from has s where s.text = h.text and s.yes
	and (s.oid = r.oid or pg_has_role(r.oid, s.oid, '%[2]s')))
from r join has h on h.oid = r.oid`

// implied lists what gives a right without naming it: rights over everything, and the table of a column.
func implied(text string) []string {
	e, err := Spec().Grammar.Parse(text)
	if err != nil {
		panic(err)
	}
	all := []string{text, "attribute:superuser"}
	switch {
	case e.Type == "column":
		all = append(all, "table:"+e.Target[:strings.LastIndexByte(e.Target, '.')]+"#"+e.Permission)
		fallthrough
	case e.Type == "table", e.Type == "sequence":
		if e.Permission == "select" {
			all = append(all, "role:pg_read_all_data")
		}
		if e.Permission == "insert" || e.Permission == "update" || e.Permission == "delete" {
			all = append(all, "role:pg_write_all_data")
		}
	case e.Type == "schema" && e.Permission == "usage":
		all = append(all, "role:pg_read_all_data", "role:pg_write_all_data")
	}
	return all
}

// TestExplainAgreesWithTheServer compares with has_table_privilege and its like over random crowds.
func TestExplainAgreesWithTheServer(t *testing.T) {
	b := newBench(t)
	perGrant := query[int](t, b.s, "select current_setting('server_version_num')::int") >= 160000
	for range 4 {
		seed := rand.Uint64()                                                                           //nolint:gosec // Not a secret.
		p := &population{r: rand.New(rand.NewPCG(seed, 0)), prefix: unique("pop_"), perGrant: perGrant} //nolint:gosec // Not a secret.
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			statements := p.statements()
			t.Cleanup(func() {
				b.s.exec(t, "drop schema if exists "+p.prefix+" cascade")
				for _, role := range p.roles {
					b.s.exec(t, "drop owned by "+role+" cascade", "drop role "+role)
				}
			})
			b.s.exec(t, statements...)
			said := map[string]map[string][2]bool{} // role, right → held at once, held by SET ROLE
			err := b.c.ExplainAll(context.Background(), func(page []driver.Explained) error {
				for _, e := range page {
					if slices.Contains(p.roles, e.Account.Name) {
						said[e.Account.Name] = sortedBySetRole(e.Holdings)
						alone, err := b.c.Explain(t.Context(), e.Account.Ref)
						if diff := cmp.Diff(explained(e.Holdings, p.prefix), explained(alone, p.prefix)); err != nil || diff != "" {
							t.Errorf("alone %q is explained differently, error %v (-all +alone):\n%s", e.Account.Name, err, diff)
						}
					}
				}
				return nil
			})
			if err != nil || len(said) != len(p.roles) {
				t.Fatalf("%d of %d roles explained, error %v", len(said), len(p.roles), err)
			}
			differences, agreed := p.compare(t, b.s, said)
			if agreed[true] < 20 || agreed[false] < 20 {
				t.Errorf("only %v rights were compared", agreed)
			}
			if len(differences) > 0 {
				t.Errorf("%s\n\nafter\n%s", strings.Join(differences, "\n"), strings.Join(statements, ";\n"))
			}
		})
	}
}

// setRole is how pg_has_role calls the right to SET ROLE.
func (p *population) setRole() string {
	if p.perGrant {
		return "set"
	}
	return "member"
}

func sortedBySetRole(holdings []driver.Holding) map[string][2]bool {
	out := map[string][2]bool{}
	for _, h := range holdings {
		text := h.Entitlement.String()
		is := out[text]
		asked := slices.ContainsFunc(h.Via, func(step string) bool { return strings.HasPrefix(step, stepSet) })
		is[0], is[1] = is[0] || !asked, true
		out[text] = is
	}
	return out
}

func (p *population) compare(t *testing.T, s *server, said map[string]map[string][2]bool) (differences []string, agreed map[bool]int) {
	t.Helper()
	rows, err := s.admin.Query(t.Context(), fmt.Sprintf(judgements, p.prefix, p.setRole()))
	if err != nil {
		t.Fatal(err)
	}
	all, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (j judgement, err error) {
		return j, row.Scan(&j.role, &j.text, &j.has, &j.canGet)
	})
	if err != nil {
		t.Fatal(err)
	}
	agreed = map[bool]int{}
	for _, j := range all {
		var has, canGet bool
		for _, text := range implied(j.text) {
			is := said[j.role][text]
			// A membership without INHERIT is listed, and gives nothing by itself.
			if strings.HasPrefix(text, "role:") {
				is = s.hasRole(t, j.role, strings.TrimPrefix(text, "role:"), p.setRole())
			}
			has, canGet = has || is[0], canGet || is[1]
		}
		if has != j.has || canGet != j.canGet {
			differences = append(differences, fmt.Sprintf("%s %s: explained %v, with SET ROLE %v; the server says %v, %v",
				j.role, j.text, has, canGet, j.has, j.canGet))
			continue
		}
		agreed[j.has]++
	}
	return differences, agreed
}

// hasRole asks the server whether a role has the rights of a predefined one, at once or by SET ROLE.
func (s *server) hasRole(t *testing.T, role, predefined, setRole string) [2]bool {
	t.Helper()
	has := query[bool](t, s, "select pg_has_role($1::text, $2::text, 'usage')", role, predefined)
	canGet := query[bool](t, s, `select exists (select from pg_roles r where pg_has_role(r.oid, $2::text, 'usage')
		and (r.rolname = $1 or pg_has_role($1::text, r.oid, $3::text)))`, role, predefined, setRole)
	return [2]bool{has, canGet}
}

// TestExplainInDiamonds keeps an answer small where ways are many.
func TestExplainInDiamonds(t *testing.T) {
	b := newBench(t)
	p, before := unique("dia_"), []string{}
	var roles []string
	for layer := range 12 {
		now := []string{fmt.Sprintf("%s_%da", p, layer), fmt.Sprintf("%s_%db", p, layer)}
		for _, role := range now {
			b.s.exec(t, "create role "+role)
			for _, member := range before {
				b.s.exec(t, "grant "+role+" to "+member)
			}
		}
		roles, before = append(roles, now...), now
	}
	t.Cleanup(func() { b.s.exec(t, "drop role "+strings.Join(roles, ", ")) })
	var got int
	for _, h := range b.explain(roles[0]) {
		if h.Entitlement.Type == typeRole {
			got++
		}
	}
	if want := 2 + 10*4; got != want {
		t.Errorf("%d memberships, want %d", got, want)
	}
}
