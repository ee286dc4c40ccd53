package scim_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
	"github.com/nhi-labs/terraform-provider-nhi/internal/platform/scim/scimfake"
)

// absent answers every request for a path, and below it, with a 404 in SCIM's form.
func absent(paths ...string) func(*http.Request) *scimfake.Fault {
	body := fmt.Appendf(nil, `{"schemas":[%q],"status":"404"}`, errorSchema)
	return func(r *http.Request) *scimfake.Fault {
		for _, path := range paths {
			if r.URL.Path == "/scim"+path || strings.HasPrefix(r.URL.Path, "/scim"+path+"/") {
				return &scimfake.Fault{Instead: true, Status: http.StatusNotFound, ContentType: mediaType, Body: body}
			}
		}
		return nil
	}
}

// TestNotFoundIsAboutTheUser: what is not found beside the user, or together with all users, tells nothing of the user.
func TestNotFoundIsAboutTheUser(t *testing.T) {
	for name, c := range map[string]struct {
		options scimfake.Options
		missing []string
	}{
		"groups":                       {scimfake.Options{NoUserGroups: true}, []string{"/Groups"}},
		"groups, of a user in none":    {scimfake.Options{}, []string{"/Groups"}},
		"groups without filters":       {scimfake.Options{NoUserGroups: true, NoFilter: true}, []string{"/Groups"}},
		"all users":                    {scimfake.Options{}, []string{"/Users"}},
		"all of a tenant of SAP's":     {scimfake.Options{SAP: true}, []string{"/Users", "/Groups", "/ServiceProviderConfig", "/Schemas"}},
		"the description of a service": {scimfake.Options{}, []string{"/ServiceProviderConfig"}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, c.options)
			ref := w.create("agent")
			d := w.another()
			w.fake.SetFault(absent(c.missing...))
			for _, ref := range []nhi.Ref{ref, {Name: ref.Name}} {
				_, err := d.ReadAccount(t.Context(), ref)
				w.wantNoLie("read", err)
				_, err = d.Explain(t.Context(), ref)
				w.wantNoLie("explain", err)
				w.wantNoLie("revoke", d.Revoke(t.Context(), ref, []nhi.Entitlement{group("Viewers")}))
				w.wantNoLie("delete", d.DeleteAccount(t.Context(), ref))
			}
			w.fake.SetFault(nil)
			w.must("delete", w.driver.DeleteAccount(t.Context(), ref))
			_, err := w.driver.ReadAccount(t.Context(), ref)
			w.wantCode("read what was deleted", err, driver.NotFound)
		})
	}
}

// TestGroupThatIsNotShown: a user does not leave a group by the group's disappearance from the client's sight.
func TestGroupThatIsNotShown(t *testing.T) {
	w := newWorld(t, scimfake.Options{})
	ref := w.create("agent")
	id := w.admin.addGroup("Viewers", ref.ID)
	w.fake.SetFault(absent("/Groups"))
	w.wantNoLie("revoke", w.driver.Revoke(t.Context(), ref, []nhi.Entitlement{group("Viewers")}))
	w.wantNoLie("delete", w.driver.DeleteAccount(t.Context(), ref))
	w.fake.SetFault(onceOn(http.MethodPatch, "/Groups", func(*http.Request) *scimfake.Fault {
		w.admin.call(http.MethodDelete, "/Groups/"+id, nil, nil)
		return nil
	}))
	w.must("revoke what was deleted meanwhile", w.driver.Revoke(t.Context(), ref, []nhi.Entitlement{group("Viewers")}))
}
