package scim_test

import (
	"crypto/rand"
	"fmt"
	mathrand "math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
	"github.com/nhi-labs/terraform-provider-nhi/internal/platform/scim"
	"github.com/nhi-labs/terraform-provider-nhi/internal/platform/scim/scimfake"
	"github.com/nhi-labs/terraform-provider-nhi/internal/secret"
	"github.com/nhi-labs/terraform-provider-nhi/internal/testenv"
)

// spelt writes holdings as "entitlement < last step < ... < first step".
func spelt(holdings []driver.Holding) []string {
	var out []string
	for _, h := range holdings {
		steps := slices.Clone(h.Via)
		slices.Reverse(steps)
		out = append(out, strings.Join(append([]string{h.Entitlement.String()}, steps...), " < "))
	}
	return out
}

// TestExplainNestedGroups has a ring of groups, two groups of one name, and a user with a role.
func TestExplainNestedGroups(t *testing.T) {
	for name, options := range map[string]scimfake.Options{
		"whole": {}, "bare": {NoFilter: true, NoUserGroups: true, CursorOnly: true, NoPatch: true}, "SAP": {SAP: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, options)
			ref, other := w.create("agent"), w.create("other")
			near := w.admin.addGroup("Near", ref.ID)
			twin := w.admin.addGroup("Twin", ref.ID, near)
			w.admin.addGroup("Stranger", other.ID)
			far := w.admin.addGroup("Far", near)
			w.admin.addGroup("By the twin", twin)
			w.admin.addGroup("Far", twin) // Another group of the same name.
			w.admin.patch("/Groups/"+near, map[string]any{"op": "add", "path": "members", "value": entries(far)})
			w.admin.grant("agent", nhi.Entitlement{Type: "role", Target: "Clerk"})
			want := []string{
				"group:Near", "group:Twin", "role:Clerk",
				"group:By the twin < group:Twin", "group:Far < group:Near", "group:Far < group:Twin", "group:Twin < group:Near",
			}
			got, err := w.driver.Explain(t.Context(), ref)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, spelt(got)); diff != "" {
				t.Errorf("explained (-want +got):\n%s", diff)
			}
			err = w.driver.ExplainAll(t.Context(), func(page []driver.Explained) error {
				for _, e := range page {
					if e.Account.ID == ref.ID && !cmp.Equal(got, e.Holdings) {
						t.Errorf("in bulk (-alone +bulk):\n%s", cmp.Diff(got, e.Holdings))
					}
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
		})
	}
}

// TestExplainAgreesWithTheService compares with the groups that the real server lists for random users, direct and
// indirect (RFC 7643, section 4.1.2).
func TestExplainAgreesWithTheService(t *testing.T) {
	server := testenv.Load(t).SCIM
	a := api{t: t, url: server.URL, token: server.Token}
	d := open(t, scim.Config{URL: server.URL, PageSize: 100, Auth: scim.Auth{Bearer: secret.New(server.Token)}})
	seed := mathrand.Uint64() //nolint:gosec // Not a secret.
	t.Logf("seed %d", seed)
	r := mathrand.New(mathrand.NewPCG(seed, 0)) //nolint:gosec // Not a secret.
	prefix := "crowd-" + strings.ToLower(rand.Text()[:8])
	var users, groups []string
	for i := range 6 {
		id := a.addUser(fmt.Sprintf("%s-%d", prefix, i))
		users = append(users, id)
		t.Cleanup(func() { a.call(http.MethodDelete, "/Users/"+id, nil, nil) })
	}
	for i := range 10 {
		members := users[:1] // At least one user is in a group of a group.
		if i > 0 {
			members = groups[i-1:]
		}
		members = slices.Clone(members)
		for _, id := range slices.Concat(users, groups) {
			if r.IntN(100) < 20 && !slices.Contains(members, id) {
				members = append(members, id)
			}
		}
		id := a.addGroup(fmt.Sprintf("%s group %d", prefix, i), members...)
		groups = append(groups, id)
		t.Cleanup(func() { a.call(http.MethodDelete, "/Groups/"+id, nil, nil) })
	}
	inherited := 0
	for _, id := range users {
		var u struct {
			Groups []struct{ Display, Type string }
		}
		a.call(http.MethodGet, "/Users/"+id, nil, &u)
		var want []string
		for _, g := range u.Groups {
			want = append(want, g.Type+" "+g.Display)
		}
		holdings, err := d.Explain(t.Context(), nhi.Ref{Name: "whoever", ID: id})
		if err != nil {
			t.Fatal(err)
		}
		// A group that the user is in directly may be reached through others, too.
		var got, direct []string
		for _, h := range holdings {
			switch {
			case len(h.Via) == 0:
				direct = append(direct, h.Entitlement.Target)
				got = append(got, "direct "+h.Entitlement.Target)
			case !slices.Contains(direct, h.Entitlement.Target):
				got = append(got, "indirect "+h.Entitlement.Target)
				inherited++
			}
		}
		slices.Sort(want)
		slices.Sort(got)
		if diff := cmp.Diff(want, slices.Compact(got), cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("groups of %s (-service +explained):\n%s", id, diff)
		}
	}
	if inherited == 0 {
		t.Error("no inherited group was compared")
	}
}
