package postgresql

import (
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
)

// weakAdmin is a driver whose role may create roles and, of a table with the columns a and b, may pass on little.
func weakAdmin(t *testing.T, n string, grants ...string) *bench {
	t.Helper()
	s := newServer(t)
	cfg := s.config()
	cfg.Username, cfg.Password = s.plainRole(t, "login createrole")
	// The server's warnings are hidden from this role, unless it asks for them.
	s.exec(t, "create table "+n+" (a int, b int)", "alter role "+cfg.Username+" set client_min_messages = error")
	t.Cleanup(func() { s.exec(t, "drop table "+n) })
	for _, grant := range grants {
		s.exec(t, strings.ReplaceAll(grant, "ADMIN", cfg.Username))
	}
	return s.bench(t, cfg)
}

// TestGrantsThatTakeSomeEffect covers what PostgreSQL carries out in part. Nothing of it stays.
func TestGrantsThatTakeSomeEffect(t *testing.T) {
	t.Parallel()
	n := unique("part_")
	b := weakAdmin(t, n, "grant select, insert on "+n+" to ADMIN with grant option", "grant delete on "+n+" to ADMIN",
		"grant update (a), references (a) on "+n+" to ADMIN with grant option")
	ref, table, column := b.account(), "table:public."+n+"#", "column:public."+n+".a#"
	for _, c := range []struct {
		refused string
		wish    []string
	}{
		{table + "delete", []string{table + "delete"}},
		{table + "delete", []string{table + "select", table + "delete", table + "insert"}},
		{table + "delete+grant", []string{table + "select", table + "select+grant", table + "delete", table + "delete+grant"}},
		{table + "delete", []string{column + "update", table + "delete", table + "select"}},
		{"column:public." + n + ".b#update", []string{column + "update", "column:public." + n + ".b#update"}},
	} {
		err := b.c.Grant(t.Context(), ref, parse(t, c.wish...))
		b.wantError(err, driver.PermissionDenied, strings.TrimSuffix(c.refused, "+grant"), "owner")
		b.wantHolds(ref)
	}
	b.grant(ref, table+"select", table+"select+grant", column+"update")
	b.wantHolds(ref, table+"select", table+"select+grant", column+"update")
}

// TestGrantsThatTakeEffectInSilence has the one case that PostgreSQL gives no warning of: to grant every privilege on a column
// is GRANT ALL to it, which means whatever there is to give.
func TestGrantsThatTakeEffectInSilence(t *testing.T) {
	t.Parallel()
	n := unique("mute_")
	b := weakAdmin(t, n, "grant select (a) on "+n+" to ADMIN with grant option")
	ref := b.account()
	var all []string
	for _, privilege := range columnClass.privileges {
		all = append(all, "column:public."+n+".a#"+privilege)
	}
	b.wantError(b.c.Grant(t.Context(), ref, parse(t, all...)), driver.PermissionDenied, "column:public."+n+".a#insert")
	b.wantHolds(ref)
	super := b.s.bench(t, b.s.config())
	super.grant(ref, all...)
	b.wantHolds(ref, all...)
	super.revoke(ref, all...)
}

// TestWarningsReachTheirGrant has grants that are refused and grants that are not, on few connections at the same time.
func TestWarningsReachTheirGrant(t *testing.T) {
	t.Parallel()
	n := unique("mixed_")
	b := weakAdmin(t, n, "grant select on "+n+" to ADMIN with grant option", "grant delete on "+n+" to ADMIN")
	var wg sync.WaitGroup
	for i := range 24 {
		ref, privilege := b.account(), []string{"select", "delete"}[i%2]
		wg.Go(func() {
			err := b.c.Grant(t.Context(), ref, parse(t, "table:public."+n+"#"+privilege))
			if refused := b.c.Classify(err).Code == driver.PermissionDenied; err != nil && !refused || refused != (privilege == "delete") {
				t.Errorf("grant of %s: %v", privilege, err)
			}
		})
	}
	wg.Wait()
}

// TestReadAgreesWithSweep has a right on something of every class. One account is read by other queries than all of them.
func TestReadAgreesWithSweep(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	ref, n := b.account(), unique("every_")
	login := b.issue(ref, driver.IssueRequest{Label: "1"}).Login
	q, both := ident(ref.Name), ident(ref.Name)+", "+ident(login)
	object := query[string](t, b.s, "select lo_create(0)::text")
	b.s.exec(t,
		"create schema "+n, "create role "+n, "create table "+n+".t (a int, b serial)", "create view "+n+".v as select 1 as c",
		"create function "+n+".f(text) returns int language sql as 'select 1'", "create domain "+n+".d as int",
		"create foreign data wrapper "+n, "create server "+n+" foreign data wrapper "+n,
		"grant usage on schema "+n+" to "+both, "grant select on "+n+".t, "+n+".v to "+both,
		"grant insert on "+n+".t to "+ident(login)+" with grant option",
		"grant update (b), references (a) on "+n+".t to "+both, "grant usage on sequence "+n+".t_b_seq to "+q,
		"grant execute on function "+n+".f to "+q, "grant usage on domain "+n+".d to "+q, "grant usage on language plpgsql to "+both,
		"grant usage on foreign data wrapper "+n+" to "+q, "grant usage on foreign server "+n+" to "+q,
		"grant create on tablespace pg_default to "+q, "grant select on large object "+object+" to "+q,
		"grant set on parameter log_statement to "+q, "grant connect on database "+ident(b.s.bed.Database)+" to "+q,
		"alter default privileges for role "+n+" grant select on tables to "+both,
		"grant "+n+" to "+both, "alter role "+ident(login)+" createdb", "create policy p on "+n+".t to "+both,
		"create table "+n+".owned (a int)", "alter table "+n+".owned owner to "+ident(login),
	)
	t.Cleanup(func() {
		b.s.exec(t, "drop server "+n, "drop foreign data wrapper "+n, "select lo_unlink("+object+")", "drop schema "+n+" cascade",
			"drop owned by "+n, "drop role "+n)
	})
	one := b.read(ref)
	found := map[string]bool{}
	for _, e := range one.Entitlements {
		found[e.Type] = true
	}
	for _, c := range classes() {
		if !found[c.name] {
			t.Errorf("nothing of the type %q is read", c.name)
		}
	}
	err := b.c.Sweep(t.Context(), driver.SweepFilter{}, func(page []nhi.Account) error {
		for _, a := range page {
			if a.Name != ref.Name {
				continue
			}
			found[a.Name] = true
			if diff := cmp.Diff(a, one); diff != "" {
				t.Errorf("the account in the sweep (-) and by itself (+):\n%s", diff)
			}
		}
		return nil
	})
	if err != nil || !found[ref.Name] {
		t.Errorf("sweep: %v, the account is in it: %t", err, found[ref.Name])
	}
	if got := b.read(refNamed(ref.Name)); !cmp.Equal(got, one) {
		t.Error("the account reads differently by its name")
	}
	if err := b.c.Revoke(t.Context(), ref, one.Entitlements); driver.CodeOf(err) != driver.Unsupported { // the policy
		t.Errorf("revoke everything: %v", err)
	}
	b.s.exec(t, "drop policy p on "+n+".t")
	b.wantHolds(ref)
}

// TestRolesThatDoNotExist: the server itself would cut a name that is too long, and take another role for it.
func TestRolesThatDoNotExist(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	ref, n := b.account(), unique("long_")
	n += strings.Repeat("x", maxName-len(n))
	b.s.exec(t, "create role "+n)
	t.Cleanup(func() { b.s.exec(t, "drop role "+n) })
	for _, name := range []string{n + "y", n[:40], strings.ToUpper(n), "a.b", "10"} {
		e := membership{role: name}.entitlement()
		b.wantError(b.c.Grant(t.Context(), ref, []nhi.Entitlement{e}), driver.Invalid, "there is no role", name)
	}
	b.grant(ref, "role:"+n)
	b.wantHolds(ref, "role:"+n)
}
