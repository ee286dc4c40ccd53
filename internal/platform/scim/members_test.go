package scim_test

import (
	"fmt"
	"net/http"
	"slices"
	"testing"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
	"github.com/nhi-labs/terraform-provider-nhi/internal/platform/scim/scimfake"
)

// refused answers a request with an error of a type in SCIM's form.
func refused(scimType string) *scimfake.Fault {
	body := fmt.Appendf(nil, `{"schemas":[%q],"status":"400","scimType":%q}`, errorSchema, scimType)
	return &scimfake.Fault{Instead: true, Status: http.StatusBadRequest, ContentType: mediaType, Body: body}
}

// members are the ids in a group, as its administrator sees them.
func (a api) members(group string) []string {
	a.t.Helper()
	var g struct{ Members []struct{ Value string } }
	a.call(http.MethodGet, "/Groups/"+group, nil, &g)
	ids := make([]string, len(g.Members))
	for i, m := range g.Members {
		ids[i] = m.Value
	}
	return ids
}

// TestRevokingThrowsOutNobodyElse: between the reading of a group and its change, others join it.
func TestRevokingThrowsOutNobodyElse(t *testing.T) {
	for name, c := range map[string]struct {
		options scimfake.Options
		// refusal is why the service removes nobody, "" if the user was taken out meanwhile.
		refusal string
		want    driver.Code
	}{
		"out meanwhile":                   {options: scimfake.Options{NoETag: true}},
		"out meanwhile, with ETags":       {options: scimfake.Options{}},
		"no value filters":                {scimfake.Options{NoETag: true}, "invalidPath", driver.Unsupported},
		"no value filters, other error":   {scimfake.Options{NoETag: true}, "invalidSyntax", driver.Unsupported},
		"no value filters, but with ETag": {scimfake.Options{}, "invalidPath", driver.Conflict},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, c.options)
			ref, other, third := w.create("agent"), w.create("other"), w.create("third")
			id := w.admin.addGroup("Viewers", ref.ID, other.ID)
			first, joined := true, false
			w.fake.SetFault(func(r *http.Request) *scimfake.Fault {
				switch {
				case r.Method != http.MethodPatch || r.URL.Path != "/scim/Groups/"+id:
					return nil
				case first:
					first = false
					if c.refusal != "" {
						return refused(c.refusal)
					}
					w.admin.patch("/Groups/"+id, map[string]any{"op": "remove", "path": fmt.Sprintf("members[value eq %q]", ref.ID)})
				default:
					joined = true
					w.admin.patch("/Groups/"+id, map[string]any{"op": "add", "path": "members", "value": entries(third.ID)})
				}
				return nil
			})
			err := w.driver.Revoke(t.Context(), ref, []nhi.Entitlement{group("Viewers")})
			if c.want == driver.Unknown {
				w.must("revoke", err)
			} else {
				w.wantCode("revoke", err, c.want)
			}
			w.fake.SetFault(nil)
			got := w.admin.members(id)
			if !slices.Contains(got, other.ID) || joined && !slices.Contains(got, third.ID) {
				t.Errorf("the members %v lack %s or %s", got, other.ID, third.ID)
			}
			if left := !slices.Contains(got, ref.ID); left != (c.refusal == "") {
				t.Errorf("the user is out: %t", left)
			}
		})
	}
}

// TestDeleteWhereNobodyCanBeTakenOut: a user that its groups do not let go can be deleted all the same.
func TestDeleteWhereNobodyCanBeTakenOut(t *testing.T) {
	w := newWorld(t, scimfake.Options{NoETag: true})
	ref, other := w.create("agent"), w.create("other")
	id := w.admin.addGroup("Viewers", ref.ID, other.ID)
	w.fake.SetFault(func(r *http.Request) *scimfake.Fault {
		if r.Method == http.MethodPatch {
			return refused("invalidPath")
		}
		return nil
	})
	w.must("delete", w.driver.DeleteAccount(t.Context(), ref))
	if got := w.admin.members(id); !slices.Equal(got, []string{other.ID}) {
		t.Errorf("members %v, want the other user", got)
	}
}

// TestNothingIsSentWhereNothingChanges: even an unconditional PUT of the same can undo what others do at the same moment.
func TestNothingIsSentWhereNothingChanges(t *testing.T) {
	w := newWorld(t, scimfake.Options{NoPatch: true, NoETag: true})
	ref := w.create("agent")
	w.admin.addGroup("Viewers")
	for range 2 {
		w.must("suspend", w.driver.Suspend(t.Context(), ref))
		w.must("revoke", w.driver.Revoke(t.Context(), ref, []nhi.Entitlement{group("Viewers"), role("a")}))
	}
	if counts := w.fake.Counts(); counts["PUT /Users/{id}"] != 1 || counts["PUT /Groups/{id}"] != 0 {
		t.Errorf("requests %v", counts)
	}
}
