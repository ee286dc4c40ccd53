package ldap

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
)

// TestNestedGroups has two ways to one group, and groups that contain each other.
func TestNestedGroups(t *testing.T) {
	t.Parallel()
	for _, dialect := range []Dialect{OpenLDAP, ActiveDirectory} {
		t.Run(string(dialect), func(t *testing.T) {
			t.Parallel()
			s := newServer(t, dialect)
			c := openClient(t, s.config())
			ref := s.make(t, c)
			dn := map[string]string{}
			for i, name := range []string{"a", "b", "top", "loop"} {
				dn[name] = s.group(t, i*3) // DN groups only.
			}
			for _, nest := range []string{"a top", "b top", "top loop", "loop top"} {
				inner, outer, _ := strings.Cut(nest, " ")
				s.modify(t, dn[outer], adding(attrMember, dn[inner]))
			}
			text := func(name string) string { return entitlement(t, dn[name]).String() }
			must(t, "grant", c.Grant(t.Context(), ref, []nhi.Entitlement{entitlement(t, dn["a"]), entitlement(t, dn["b"])}))
			holdings, err := c.Explain(t.Context(), ref)
			must(t, "explain", err)
			got := map[string]bool{}
			for _, h := range holdings {
				if len(h.Via) == 0 || h.Via[0] != "primary group" {
					got[strings.Join(append(h.Via, h.Entitlement.String()), " > ")] = true
				} else if strings.Contains(h.Entitlement.Target, "domain users") {
					got["domain users"] = true // What comes by it is the domain's own.
				}
			}
			want := map[string]bool{}
			// top is held by two groups, loop by top alone; top is in loop, but nobody comes by it that way first.
			for _, way := range []string{"a", "b", "a top", "b top", "a top loop"} {
				var texts []string
				for name := range strings.SplitSeq(way, " ") {
					texts = append(texts, text(name))
				}
				want[strings.Join(texts, " > ")] = true
			}
			if dialect == ActiveDirectory {
				want["domain users"] = true
			}
			if a, b := text("a"), text("b"); a > b { // The nearest way of two that are equally long is the first in order.
				delete(want, strings.Join([]string{a, text("top"), text("loop")}, " > "))
				want[strings.Join([]string{b, text("top"), text("loop")}, " > ")] = true
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("explained (-want +got):\n%s", diff)
			}
			if direct := read(t, c, ref).Entitlements; len(direct) != 2 {
				t.Errorf("directly held: %v", direct)
			}
			_, err = c.Explain(t.Context(), nhi.Ref{Name: unique("absent-")})
			wantCode(t, c, "explain an absent account", err, driver.NotFound, "")
		})
	}
}

// TestExplainAllOverPages has more accounts than a page, each in a group that is looked up on the same connection.
func TestExplainAllOverPages(t *testing.T) {
	t.Parallel()
	for _, dialect := range []Dialect{OpenLDAP, ActiveDirectory} {
		t.Run(string(dialect), func(t *testing.T) {
			t.Parallel()
			s := newServer(t, dialect)
			cfg := s.config()
			cfg.PageSize = 2
			c := openClient(t, cfg)
			want := map[string]string{}
			for range 5 {
				ref, group := s.make(t, c), s.group(t, 0)
				must(t, "grant", c.Grant(t.Context(), ref, []nhi.Entitlement{entitlement(t, group)}))
				want[read(t, c, ref).ID] = entitlement(t, group).String()
			}
			got := map[string]string{}
			must(t, "explain all", c.ExplainAll(t.Context(), func(page []driver.Explained) error {
				for _, e := range page {
					i := slices.IndexFunc(e.Holdings, func(h driver.Holding) bool { return len(h.Via) == 0 })
					if _, ours := want[e.Account.ID]; ours && i >= 0 {
						got[e.Account.ID] = e.Holdings[i].Entitlement.String()
					}
				}
				return nil
			}))
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("held (-want +got):\n%s", diff)
			}
		})
	}
}

// TestCrossCheck has a group that the server counts and that was not found on the way.
func TestCrossCheck(t *testing.T) {
	t.Parallel()
	s := newServer(t, ActiveDirectory)
	c := openClient(t, s.config())
	ref, group := s.make(t, c), s.group(t, 0)
	must(t, "grant", c.Grant(t.Context(), ref, []nhi.Entitlement{entitlement(t, group)}))
	err := c.pool.with(t.Context(), func(conn *session) error {
		e, err := c.find(conn, c.known, ref)
		must(t, "find", err)
		return c.crossCheck(conn, c.known, e, c.newWalker(conn, c.known))
	})
	wantCode(t, c, "a group without a way to it", err, driver.Conflict, "shows no way to it")
}
