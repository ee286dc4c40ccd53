package scim_test

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
	"github.com/nhi-labs/terraform-provider-nhi/internal/platform/scim/scimfake"
)

// hiding changes every resource in the answers to GET, as a service does that keeps something to itself.
func hiding(change func(resource map[string]any)) func(*http.Request) *scimfake.Fault {
	rewrite := func(body []byte) []byte {
		var doc map[string]any
		if json.Unmarshal(body, &doc) != nil {
			return body
		}
		change(doc)
		resources, _ := doc["Resources"].([]any)
		for _, r := range resources {
			if resource, ok := r.(map[string]any); ok {
				change(resource)
			}
		}
		out, err := json.Marshal(doc)
		if err != nil {
			return body
		}
		return out
	}
	return func(r *http.Request) *scimfake.Fault {
		if r.Method != http.MethodGet {
			return nil
		}
		return &scimfake.Fault{Rewrite: rewrite}
	}
}

// emptyMembers is what AWS IAM Identity Center documents for GetGroup and ListGroups.
func emptyMembers(resource map[string]any) {
	delete(resource, "members")
	if resource["displayName"] != nil && resource["userName"] == nil {
		resource["members"] = []any{}
	}
}

func noMembers(resource map[string]any) { delete(resource, "members") }

func emptyGroupsAndMembers(resource map[string]any) {
	emptyMembers(resource)
	if resource["userName"] != nil {
		resource["groups"] = []any{}
	}
}

func noRoles(resource map[string]any) { delete(resource, "roles") }

// TestHiddenMembers: a membership that the service does not show is not granted, and what else granted it is revoked.
func TestHiddenMembers(t *testing.T) {
	for name, c := range map[string]struct {
		options scimfake.Options
		hide    func(map[string]any)
	}{
		"empty":                {scimfake.Options{NoUserGroups: true}, emptyMembers},
		"empty, no ETags":      {scimfake.Options{NoUserGroups: true, NoETag: true}, emptyMembers},
		"left out":             {scimfake.Options{NoUserGroups: true}, noMembers},
		"with empty groups":    {scimfake.Options{}, emptyGroupsAndMembers},
		"empty and no filters": {scimfake.Options{NoUserGroups: true, NoFilter: true}, emptyMembers},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, c.options)
			ref, other := w.create("agent"), w.create("other")
			id := w.admin.addGroup("Viewers", other.ID)
			viewers := []nhi.Entitlement{group("Viewers")}
			w.fake.SetFault(hiding(c.hide))
			err := w.driver.Grant(t.Context(), ref, viewers)
			w.wantCode("grant", err, driver.Unsupported)
			if !strings.Contains(err.Error(), `"Viewers"`) {
				t.Errorf("the error does not name the group: %v", err)
			}
			if got := w.admin.members(id); !slices.Equal(got, []string{other.ID}) {
				t.Errorf("after the grant the members are %v, want the other user", got)
			}
			w.admin.grant("agent", viewers[0])
			for range 2 {
				w.must("revoke", w.another().Revoke(t.Context(), ref, viewers))
				if got := w.admin.members(id); !slices.Equal(got, []string{other.ID}) {
					t.Errorf("after the revocation the members are %v, want the other user", got)
				}
			}
			w.must("revoke from no such group", w.driver.Revoke(t.Context(), ref, []nhi.Entitlement{group("No such group")}))
		})
	}
}

// TestHiddenMembersThatStay: where the service neither shows the members of a group nor lets one go, no success is claimed.
func TestHiddenMembersThatStay(t *testing.T) {
	w := newWorld(t, scimfake.Options{NoUserGroups: true, NoETag: true})
	ref := w.create("agent")
	w.admin.addGroup("Viewers")
	hide, patches := hiding(emptyMembers), 0
	w.fake.SetFault(func(r *http.Request) *scimfake.Fault {
		if r.Method != http.MethodPatch {
			return hide(r)
		}
		if patches++; patches > 1 {
			return refused("invalidPath")
		}
		return nil
	})
	viewers := []nhi.Entitlement{group("Viewers")}
	err := w.driver.Grant(t.Context(), ref, viewers)
	w.wantCode("grant", err, driver.Unsupported)
	if !strings.Contains(err.Error(), "taking the user out again failed") {
		t.Errorf("the error does not say that the user is still in the group: %v", err)
	}
	w.wantCode("revoke", w.driver.Revoke(t.Context(), ref, viewers), driver.Unsupported)
}

// TestRevokingWhatIsNotShown: roles, and groups of a service that shows groups, but these not yet.
func TestRevokingWhatIsNotShown(t *testing.T) {
	for name, hide := range map[string]func(map[string]any){
		"roles":  noRoles,
		"groups": func(resource map[string]any) { delete(resource, "groups"); noMembers(resource) },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, scimfake.Options{})
			ref := w.create("agent")
			w.admin.addGroup("Viewers")
			es := []nhi.Entitlement{group("Viewers"), role("a"), role("b")}
			w.must("grant", w.driver.Grant(t.Context(), ref, es))
			if got := w.read(ref).Entitlements; !slices.Equal(got, es) {
				t.Fatalf("holds %v, want %v", got, es)
			}
			w.fake.SetFault(hiding(hide))
			w.must("revoke", w.driver.Revoke(t.Context(), ref, append(es[:2:2], role("never held"))))
			w.fake.SetFault(nil)
			if got := w.read(ref).Entitlements; !slices.Equal(got, es[2:]) {
				t.Errorf("holds %v, want %v", got, es[2:])
			}
		})
	}
}

// TestShownMembersAreNotAskedAgain: once memberships were seen, a grant costs no further reading.
func TestShownMembersAreNotAskedAgain(t *testing.T) {
	w := newWorld(t, scimfake.Options{})
	ref := w.create("agent")
	for _, name := range []string{"First", "Second"} {
		w.admin.addGroup(name)
		w.must("grant", w.driver.Grant(t.Context(), ref, []nhi.Entitlement{group(name)}))
	}
	if got := w.fake.Counts()["GET /Users/{id}"]; got != 3 {
		t.Errorf("two grants read the user %d times, want 3", got)
	}
}
