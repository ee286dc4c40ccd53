package scim_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"testing"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
	"github.com/nhi-labs/terraform-provider-nhi/internal/platform/scim/scimfake"
)

func TestBrokenAnswersAreNotAbsence(t *testing.T) {
	edit := func(change func(list map[string]any, resources []any)) func([]byte) []byte {
		return func(body []byte) []byte {
			var list map[string]any
			if json.Unmarshal(body, &list) != nil {
				return body
			}
			resources, isList := list["Resources"].([]any)
			if !isList {
				return []byte("{}")
			}
			change(list, resources)
			out, _ := json.Marshal(list)
			return out
		}
	}
	faults := map[string]scimfake.Fault{
		"half a page":    {Rewrite: edit(func(l map[string]any, rs []any) { l["Resources"] = rs[:len(rs)/2] })},
		"no resources":   {Rewrite: edit(func(l map[string]any, _ []any) { delete(l, "Resources") })},
		"no total":       {Rewrite: edit(func(l map[string]any, _ []any) { delete(l, "totalResults"); l["Resources"] = []any{} })},
		"no schemas":     {Rewrite: edit(func(l map[string]any, _ []any) { delete(l, "schemas"); l["Resources"], l["totalResults"] = []any{}, 0 })},
		"twice the same": {Rewrite: edit(func(l map[string]any, rs []any) { l["Resources"] = append(rs, rs[0]) })},
		"other resource": {Rewrite: edit(func(l map[string]any, _ []any) { l["Resources"] = []any{"x"} })},
		"html":           {ContentType: "text/html", Body: []byte("<html>")},
		"html 404":       {Status: http.StatusNotFound, ContentType: "text/html", Body: []byte("<html>not found</html>")},
		"json 404":       {Status: http.StatusNotFound, ContentType: "application/json", Body: []byte(`{"error":"no such route"}`)},
		"malformed":      {Body: []byte(`{"schemas":[`)},
		"empty object":   {Body: []byte(`{}`)},
		"empty list":     {Body: []byte(`[]`)},
		"null":           {Body: []byte(`null`)},
		"truncated":      {Truncate: true},
		"server error":   {Status: http.StatusInternalServerError},
	}
	for _, options := range []scimfake.Options{{}, {CursorOnly: true}, {SAP: true}} {
		for name, fault := range faults {
			if name == "no total" && (options.CursorOnly || options.SAP) {
				continue // Paging by token may leave the total out: then the last page is what ends the list.
			}
			t.Run(fmt.Sprintf("%s/cursor=%v/sap=%v", name, options.CursorOnly, options.SAP), func(t *testing.T) {
				w := newWorld(t, options)
				ref := w.create("agent")
				w.fake.SetFault(func(*http.Request) *scimfake.Fault { return &fault })
				_, err := w.driver.ReadAccount(t.Context(), ref)
				w.wantNoLie("read by id", err)
				_, err = w.driver.ReadAccount(t.Context(), nhi.Ref{Name: "agent"})
				w.wantNoLie("read by name", err)
				_, err = w.sweep(driver.SweepFilter{})
				w.wantNoLie("sweep", err)
				w.wantNoLie("delete", w.driver.DeleteAccount(t.Context(), ref))
				w.fake.SetFault(nil)
				w.read(ref)
			})
		}
	}
}

func TestPagingThatDoesNotPage(t *testing.T) {
	rewrite := func(change func(map[string]any)) *scimfake.Fault {
		return &scimfake.Fault{Rewrite: func(body []byte) []byte {
			var list map[string]any
			_ = json.Unmarshal(body, &list)
			change(list)
			out, _ := json.Marshal(list)
			return out
		}}
	}
	for name, c := range map[string]struct {
		options scimfake.Options
		fault   func(r *http.Request) *scimfake.Fault
	}{
		"always the first page": {scimfake.Options{}, func(r *http.Request) *scimfake.Fault {
			r.URL.RawQuery = ""
			return rewrite(func(map[string]any) {})
		}},
		"always the first page under other numbers": {scimfake.Options{}, func(r *http.Request) *scimfake.Fault {
			r.URL.RawQuery = ""
			return rewrite(func(l map[string]any) { delete(l, "startIndex") })
		}},
		"a cursor that leads back": {scimfake.Options{SAP: true}, func(*http.Request) *scimfake.Fault {
			return rewrite(func(l map[string]any) { l["nextId"] = "initial" })
		}},
		"a list that ends early": {scimfake.Options{SAP: true}, func(*http.Request) *scimfake.Fault {
			return rewrite(func(l map[string]any) { l["nextId"] = "end" })
		}},
		"a cursor that is lost": {scimfake.Options{CursorOnly: true}, func(*http.Request) *scimfake.Fault {
			return rewrite(func(l map[string]any) { delete(l, "nextCursor") })
		}},
	} {
		t.Run(name, func(t *testing.T) {
			c.options.MaxPageSize = 5
			w := newWorld(t, c.options)
			for i := range 12 {
				w.admin.addUser(fmt.Sprintf("user-%d", i))
			}
			_, err := w.driver.Probe(t.Context())
			w.must("probe", err)
			w.fake.SetFault(func(r *http.Request) *scimfake.Fault { return c.fault(r) })
			_, err = w.sweep(driver.SweepFilter{})
			w.wantNoLie("sweep", err)
		})
	}
}

// TestPagingWhileUsersAreDeleted deletes users that were read already, so that others move to their places.
func TestPagingWhileUsersAreDeleted(t *testing.T) {
	w := newWorld(t, scimfake.Options{MaxPageSize: 10})
	var ids []string
	for i := range 60 {
		ids = append(ids, w.admin.addUser(fmt.Sprintf("user-%d", i)))
	}
	requests := 0
	w.fake.SetFault(func(r *http.Request) *scimfake.Fault {
		if r.URL.Path == "/scim/Users" {
			if requests++; requests == 3 || requests == 5 {
				for _, id := range ids[4*(requests-3) : 4*(requests-3)+7] {
					w.admin.call(http.MethodDelete, "/Users/"+id, nil, nil)
				}
			}
		}
		return nil
	})
	all, err := w.sweep(driver.SweepFilter{})
	w.must("sweep", err)
	seen := map[string]bool{}
	for _, a := range all {
		seen[a.ID] = true
	}
	w.fake.SetFault(nil)
	after, err := w.sweep(driver.SweepFilter{})
	w.must("second sweep", err)
	if len(after) != 46 {
		t.Fatalf("%d users are left, want 46", len(after))
	}
	for _, a := range after {
		if !seen[a.ID] {
			t.Errorf("the sweep missed %q, which was there all the time", a.Name)
		}
	}
}

// TestRequestsGrowWithPages counts at the service.
func TestRequestsGrowWithPages(t *testing.T) {
	for name, options := range map[string]scimfake.Options{
		"index": {}, "cursor": {CursorOnly: true}, "sap": {SAP: true}, "groups by themselves": {NoUserGroups: true},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, options)
			var ids []string
			for i := range 500 {
				ids = append(ids, w.admin.addUser(fmt.Sprintf("user-%d", i), func(u map[string]any) { u["externalId"] = testMark.String() }))
			}
			w.admin.addGroup("Viewers", ids...)
			before := total(w.fake.Counts())
			all, err := w.sweep(driver.SweepFilter{Stack: testMark.Stack})
			w.must("sweep", err)
			if len(all) != 500 || len(all[499].Entitlements) != 1 {
				t.Fatalf("%d accounts, the last holds %v", len(all), all[len(all)-1].Entitlements)
			}
			if requests := total(w.fake.Counts()) - before; requests > 9 {
				t.Errorf("%d requests for 500 accounts on pages of 100", requests)
			}
		})
	}
}

// TestEmptyGroupsAreNotReadOneByOne counts the requests of single reads on a service that shows groups nowhere but in
// the list of groups, of which only the last has a member.
func TestEmptyGroupsAreNotReadOneByOne(t *testing.T) {
	w := newWorld(t, scimfake.Options{NoUserGroups: true, NoFilter: true})
	outsider, member := w.create("outsider"), w.create("member")
	for i := range 250 {
		w.admin.addGroup(fmt.Sprintf("Empty %d", i))
	}
	w.admin.addGroup("Viewers", member.ID)
	for _, c := range []struct {
		ref  nhi.Ref
		want int
	}{{outsider, 0}, {member, 1}} {
		before := w.fake.Counts()
		if got := w.read(c.ref).Entitlements; len(got) != c.want {
			t.Errorf("%q holds %v, want %d", c.ref.Name, got, c.want)
		}
		after := w.fake.Counts()
		if requests := total(after) - total(before); requests > 4 {
			t.Errorf("%d requests for one account with 251 groups on pages of 100: %v", requests, after)
		}
	}
}

// TestListsWithoutMembers proves that memberships are found where only the read of a single group shows them.
func TestListsWithoutMembers(t *testing.T) {
	w := newWorld(t, scimfake.Options{NoUserGroups: true, NoFilter: true})
	ref := w.create("agent")
	w.admin.addGroup("Empty")
	w.admin.addGroup("Viewers", ref.ID)
	w.fake.SetFault(func(r *http.Request) *scimfake.Fault {
		if r.URL.Path == "/scim/Groups" {
			query := r.URL.Query()
			query.Set("excludedAttributes", "members")
			r.URL.RawQuery = query.Encode()
		}
		return nil
	})
	for range 2 { // What the first read learned must not mislead the second.
		if got := w.read(ref).Entitlements; len(got) != 1 {
			t.Errorf("the account holds %v, want one group", got)
		}
		all, err := w.sweep(driver.SweepFilter{})
		w.must("sweep", err)
		if len(all) != 1 || len(all[0].Entitlements) != 1 {
			t.Errorf("the sweep finds %v, want one account with one group", all)
		}
	}
}

func total(counts map[string]int) int {
	sum := 0
	for _, n := range counts {
		sum += n
	}
	return sum
}
