package vault_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
)

// bareRole makes an AppRole by hand that has one secret id, and then asks for none. It returns both ids.
func (s *server) bareRole(t *testing.T, name string) (roleID, secretID string) {
	t.Helper()
	s.call(t, http.MethodPost, s.role(name), `{"token_bound_cidrs":"127.0.0.0/8,::1/128"}`)
	roleID = s.call(t, http.MethodGet, s.role(name)+"/role-id", "").Data.RoleID
	secretID = s.call(t, http.MethodPost, s.role(name)+"/secret-id", `{}`).Data.SecretID
	s.call(t, http.MethodPost, s.role(name), `{"bind_secret_id":false}`)
	return roleID, secretID
}

// logsIn reports whether Vault lets the two ids in.
func (s *server) logsIn(t *testing.T, roleID, secretID string) bool {
	t.Helper()
	status, _ := s.try(t, "", http.MethodPost, "auth/"+s.mount+"/login",
		encode(t, map[string]string{"role_id": roleID, "secret_id": secretID}))
	return status == http.StatusOK
}

func credentialIDs(a nhi.Account) []string {
	var ids []string
	for _, c := range a.Credentials {
		ids = append(ids, c.ID)
	}
	return ids
}

// TestRoleIDAloneIsACredential adopts an AppRole that lets in whoever knows its role id: that is a credential, which goes
// when it is revoked, and nothing else changes.
func TestRoleIDAloneIsACredential(t *testing.T) {
	s := newServer(t)
	d := full(t, s.Open(t))
	name := random("legacy")
	roleID, secretID := s.bareRole(t, name)
	if !s.logsIn(t, roleID, "") {
		t.Fatal("the role id alone does not log in")
	}
	ref := nhi.Ref{Name: name, ID: roleID}
	must(t, d.UpdateAccount(t.Context(), ref, driver.AccountChange{Mark: &mark}))
	before := read(t, d, ref)
	if ids := credentialIDs(before); len(ids) != 2 || ids[0] != "role_id" || before.Credentials[0].Label != "role_id" {
		t.Fatalf("the account has the credentials %+v", before.Credentials)
	}

	// Vault makes no secret id for such a role; the error says what to do.
	_, issueErr := d.Issue(t.Context(), ref, driver.IssueRequest{Label: "a"})
	_, mintErr := d.MintToken(t.Context(), ref)
	for _, err := range []error{issueErr, mintErr} {
		wantCode(t, d, err, driver.Invalid)
		if want := "vault write " + s.role(name) + " bind_secret_id=true"; err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not say %q: %v", want, err)
		}
	}

	for range 2 {
		must(t, d.RevokeCredential(t.Context(), ref, "role_id"))
		if s.logsIn(t, roleID, "") {
			t.Fatal("the role id alone still logs in")
		}
	}
	after := read(t, d, ref)
	if !slices.Equal(after.Credentials, before.Credentials[1:]) || after.Settings["token_bound_cidrs"] != before.Settings["token_bound_cidrs"] {
		t.Errorf("the account reads as %+v, was %+v", after, before)
	}
	if !s.logsIn(t, roleID, secretID) {
		t.Error("the secret id was lost")
	}
	must(t, d.DeleteAccount(t.Context(), ref))
	must(t, d.RevokeCredential(t.Context(), ref, "role_id"))
	if _, err := d.ReadAccount(t.Context(), nhi.Ref{Name: name}); err == nil {
		t.Error("revoking a credential made a role")
	}
}

// TestRoleIDThatLogsInAgain changes an account of ours by hand, and lets another writer undo the revocation at once.
func TestRoleIDThatLogsInAgain(t *testing.T) {
	s := newServer(t)
	cfg := s.config()
	cfg.Address = s.proxy(t, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			next.ServeHTTP(w, r)
			if path := strings.TrimPrefix(r.URL.Path, "/v1/"); r.Method == http.MethodPut && strings.HasPrefix(path, s.role("")) {
				s.call(t, http.MethodPost, path, `{"bind_secret_id":false,"token_bound_cidrs":"127.0.0.0/8"}`)
			}
		})
	})
	d := full(t, s.open(t, cfg))
	ref := create(t, d)
	if ids := credentialIDs(read(t, d, ref)); !slices.Equal(ids, []string{"role_id"}) {
		t.Fatalf("the account has the credentials %q", ids)
	}
	wantCode(t, d, d.RevokeCredential(t.Context(), ref, "role_id"), driver.Conflict)
	must(t, d.DeleteAccount(t.Context(), ref))
}
