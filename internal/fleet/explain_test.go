package fleet

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
)

// explains is bare with Explain: everybody inherits role:x through a group.
type explains struct{ bare }

func (d explains) Explain(ctx context.Context, ref nhi.Ref) ([]driver.Holding, error) {
	account, err := d.ReadAccount(ctx, ref)
	if err != nil {
		return nil, err
	}
	return append(directly(account), inherited()), d.step(ctx, "explain")
}

// lists is explains with a list of names.
type lists struct{ explains }

func (d lists) ListAccounts(ctx context.Context, page func([]nhi.Ref) error) error {
	for i := range len(d.accounts) {
		if err := page([]nhi.Ref{{Name: fmt.Sprintf("name-%d", i)}}); err != nil {
			return err
		}
	}
	return d.step(ctx, "list")
}

// inBulk is explains for all at once. It hands its pages over before it fails, if it does.
type inBulk struct{ explains }

func (d inBulk) ExplainAll(ctx context.Context, page func([]driver.Explained) error) error {
	for i := range len(d.accounts) {
		a := d.accounts[fmt.Sprint(i)]
		if err := page([]driver.Explained{{Account: a, Holdings: append(directly(a), inherited())}}); err != nil {
			return err
		}
	}
	return d.step(ctx, "explain all")
}

func inherited() driver.Holding {
	return driver.Holding{Entitlement: roleNamed("x"), Via: []string{"group:g"}}
}

func roleNamed(name string) nhi.Entitlement { return nhi.Entitlement{Type: "role", Target: name} }

// holding makes n accounts; each holds its own role, and the even ones role:x, too.
func holding(n int) *script {
	s := newScript(accounts(n)...)
	for i := range n {
		a := s.accounts[fmt.Sprint(i)]
		a.Entitlements = []nhi.Entitlement{roleNamed(fmt.Sprint(i))}
		if i%2 == 0 {
			a.Entitlements = append(a.Entitlements, roleNamed("x"))
		}
		s.accounts[a.ID] = a
	}
	return s
}

func holders(t *testing.T, p *Platform, wanted ...nhi.Entitlement) []string {
	t.Helper()
	found, err := connect(t, p).Holders(t.Context(), func(e nhi.Entitlement) bool { return slices.Contains(wanted, e) })
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, e := range found {
		for _, h := range e.Holdings {
			out = append(out, fmt.Sprintf("%s %s via %v", e.Account.Name, h.Entitlement, h.Via))
		}
	}
	slices.Sort(out)
	return out
}

func TestHolders(t *testing.T) {
	direct := []string{"name-0 role:x via []", "name-1 role:1 via []", "name-2 role:x via []"}
	all := append([]string{"name-0 role:x via [group:g]", "name-1 role:x via [group:g]", "name-2 role:x via [group:g]"}, direct...)
	slices.Sort(all)
	for name, test := range map[string]struct {
		open  func(*script) driver.Driver
		want  []string
		calls map[string]int
	}{
		"in bulk":    {func(s *script) driver.Driver { return inBulk{explains{bare{s}}} }, all, map[string]int{"explain all": 1}},
		"one by one": {func(s *script) driver.Driver { return lists{explains{bare{s}}} }, all, map[string]int{"list": 1, "explain": 3}},
		"directly":   {func(s *script) driver.Driver { return able{bare{s}} }, direct, map[string]int{"sweep": 1}},
	} {
		t.Run(name, func(t *testing.T) {
			s := holding(3)
			p, _ := newTestPlatform(test.open(s), nil)
			if diff := cmp.Diff(test.want, holders(t, p, roleNamed("x"), roleNamed("1"))); diff != "" {
				t.Errorf("holders (-want +got):\n%s", diff)
			}
			for op, n := range test.calls {
				if got := s.count(op); got != n {
					t.Errorf("%d calls of %q, want %d", got, op, n)
				}
			}
		})
	}
}

// TestHoldersAfterARetry: a reading that broke off and began anew shows nobody twice.
func TestHoldersAfterARetry(t *testing.T) {
	s := holding(3)
	failure := errors.New("cut")
	s.classify = func(error) driver.Verdict { return driver.Verdict{Code: driver.Unavailable} }
	s.on = func(_ context.Context, op string, call int) error {
		if op == "explain all" && call < 3 {
			return failure
		}
		return nil
	}
	p, _ := newTestPlatform(inBulk{explains{bare{s}}}, nil)
	if diff := cmp.Diff([]string{"name-1 role:1 via []"}, holders(t, p, roleNamed("1"))); diff != "" || s.count("explain all") != 3 {
		t.Errorf("after %d calls (-want +got):\n%s", s.count("explain all"), diff)
	}
}

func TestHoldersFail(t *testing.T) {
	refused := errors.New("refused")
	for name, open := range map[string]func(*script) driver.Driver{
		"in bulk": func(s *script) driver.Driver { return inBulk{explains{bare{s}}} }, "one by one": func(s *script) driver.Driver { return lists{explains{bare{s}}} },
	} {
		s := holding(3)
		s.classify = func(error) driver.Verdict { return driver.Verdict{Code: driver.PermissionDenied} }
		s.on = func(_ context.Context, op string, call int) error {
			if op == "explain all" || op == "explain" && call == 2 {
				return refused
			}
			return nil
		}
		p, _ := newTestPlatform(open(s), nil)
		found, err := connect(t, p).Holders(t.Context(), func(nhi.Entitlement) bool { return true })
		if wantCode(t, err, driver.PermissionDenied); len(found) > 0 {
			t.Errorf("%s: found %v beside the error", name, found)
		}
	}
	p, _ := newTestPlatform(explains{bare{holding(1)}}, nil)
	_, err := connect(t, p).Holders(t.Context(), func(nhi.Entitlement) bool { return true })
	wantCode(t, err, driver.Unsupported)
}

func TestExplain(t *testing.T) {
	s := holding(1)
	for _, test := range []struct {
		d    driver.Driver
		want []driver.Holding
		can  bool
	}{
		{explains{bare{s}}, append(directly(s.accounts["0"]), inherited()), true},
		{bare{s}, directly(s.accounts["0"]), false},
	} {
		p, _ := newTestPlatform(test.d, nil)
		conn := connect(t, p)
		got, err := conn.Explain(t.Context(), nhi.Ref{ID: "0"})
		if diff := cmp.Diff(test.want, got, cmpopts.EquateEmpty()); err != nil || diff != "" || conn.Explains() != test.can {
			t.Errorf("explains: %v, error %v (-want +got):\n%s", conn.Explains(), err, diff)
		}
		_, err = conn.Explain(t.Context(), nhi.Ref{ID: "nobody"})
		wantCode(t, err, driver.NotFound)
	}
}
