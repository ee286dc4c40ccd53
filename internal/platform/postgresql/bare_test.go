package postgresql

import (
	"testing"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
)

// TestReadAfterAWrongGuess reads accounts that are believed to hold nothing, and meanwhile have got something from somebody else.
func TestReadAfterAWrongGuess(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	n := unique("bare_")
	q := ident(n)
	b.s.exec(t, "create table "+q+" (a int)")
	t.Cleanup(func() { b.s.exec(t, "drop table "+q, "drop role if exists "+q) })

	if _, err := b.c.ReadAccount(t.Context(), nhi.Ref{Name: n}); driver.CodeOf(err) != driver.NotFound {
		t.Fatalf("before it was made: %v", err)
	}
	b.s.exec(t, "create role "+q+" login", "grant select on "+q+" to "+q)
	held := "table:public." + n + "#select"
	b.wantHolds(nhi.Ref{Name: n}, held)

	b.s.exec(t, "revoke select on "+q+" from "+q)
	b.wantHolds(nhi.Ref{Name: n})
	b.s.exec(t, "grant select on "+q+" to "+q)
	b.wantHolds(nhi.Ref{Name: n}, held)

	b.s.exec(t, "drop owned by "+q, "drop role "+q)
	if _, err := b.c.ReadAccount(t.Context(), nhi.Ref{Name: n}); driver.CodeOf(err) != driver.NotFound {
		t.Errorf("after it was dropped: %v", err)
	}
}

// TestGrantBySomebodyWhoWasASuperuser has an admin role that may not grant what it could when it was asked what it is.
func TestGrantBySomebodyWhoWasASuperuser(t *testing.T) {
	t.Parallel()
	s, n := newServer(t), unique("was_")
	cfg := s.config()
	cfg.Username, cfg.Password = s.plainRole(t, "login superuser")
	b := s.bench(t, cfg)
	ref := b.account()
	s.exec(t, "create table "+n+" (a int)", "grant select on "+n+" to "+cfg.Username, "alter role "+cfg.Username+" nosuperuser createrole")
	t.Cleanup(func() { s.exec(t, "drop table "+n) })

	b.wantError(b.c.Grant(t.Context(), ref, parse(t, "table:public."+n+"#select")), driver.PermissionDenied, "superuser")
	b.wantHolds(ref)
}
