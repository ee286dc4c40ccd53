package sapbtp_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
	"github.com/nhi-labs/terraform-provider-nhi/internal/platform/sapbtp"
	"github.com/nhi-labs/terraform-provider-nhi/internal/platform/sapbtp/sapbtpfake"
)

// orphaned makes a user with two bindings and one above, and deletes the user as an administrator does in the cockpit.
func (w *world) orphaned() (nhi.Ref, []driver.Issued) {
	w.Helper()
	w.h.fake.AddUpperUser("agent", origin)
	ref := w.create("agent")
	var issued []driver.Issued
	for i := range 2 {
		one, err := w.d.Issue(w.Context(), ref, driver.IssueRequest{Label: fmt.Sprint("rotation-", i)})
		w.must("issue", err)
		issued = append(issued, one)
	}
	w.h.fake.DeleteUser("agent", origin)
	return ref, issued
}

// wantDead fails the test unless the credential does not log in any more.
func (w *world) wantDead(what string, c driver.Issued) {
	w.Helper()
	w.wantCode("log in "+what, w.d.Verify(w.Context(), c.Login, c.Secret), driver.Unauthenticated)
}

// TestBindingsOutliveTheirUser: who deletes a user in the cockpit leaves its bindings, and the one above. They are not forgotten.
func TestBindingsOutliveTheirUser(t *testing.T) {
	w := newWorld(t, sapbtpfake.Options{AsyncUnbind: true})
	ref, issued := w.orphaned()
	w.must("log in without the user", w.d.Verify(t.Context(), issued[0].Login, issued[0].Secret))
	wantLeft := func(id string) {
		t.Helper()
		_, err := w.d.ReadAccount(t.Context(), ref)
		var left *driver.LeftoverError
		w.wantCode("read", err, driver.NotFound)
		if !errors.As(err, &left) || !strings.Contains(err.Error(), id) {
			t.Errorf("read: %v", err)
		}
	}
	wantLeft(issued[0].Credential.ID)
	w.must("revoke", w.d.RevokeCredential(t.Context(), ref, issued[0].Credential.ID))
	w.wantDead("with what was revoked", issued[0])
	w.must("log in", w.d.Verify(t.Context(), issued[1].Login, issued[1].Secret))
	wantLeft(issued[1].Credential.ID)

	w.must("delete", w.d.DeleteAccount(t.Context(), ref))
	w.wantDead("after the deletion", issued[1])
	if w.h.fake.Logon("agent", origin) {
		t.Error("the user logs on again")
	}
	_, err := w.d.ReadAccount(t.Context(), ref)
	w.wantCode("read", err, driver.NotFound)
	if left := (*driver.LeftoverError)(nil); errors.As(err, &left) {
		t.Errorf("read: %v", err)
	}
}

// TestRestBesideASuccessor: a user who has the name now keeps what is his, also above.
func TestRestBesideASuccessor(t *testing.T) {
	w := newWorld(t, sapbtpfake.Options{})
	ref, issued := w.orphaned()
	if !w.h.fake.Logon("agent", origin) {
		t.Fatal("the fake does not bring the user back")
	}
	again, err := w.d.ReadAccount(t.Context(), nhi.Ref{Name: "agent"})
	w.must("read", err)
	kept, err := w.d.Issue(t.Context(), again.Ref, driver.IssueRequest{Label: "rotation-0"})
	w.must("issue", err)
	w.must("delete", w.d.DeleteAccount(t.Context(), ref))
	w.wantDead("with the old binding", issued[0])
	w.must("log in", w.d.Verify(t.Context(), kept.Login, kept.Secret))
	w.h.fake.DeleteUser("agent", origin)
	if !w.h.fake.Logon("agent", origin) {
		t.Error("the user above is gone")
	}
}

// TestRestThatStays: the Service Manager fails while the rest is taken away.
func TestRestThatStays(t *testing.T) {
	var broken brokenManager
	w := newWorld(t, sapbtpfake.Options{}, broken.insert(t))
	ref, issued := w.orphaned()
	broken.answer(http.MethodDelete, http.StatusForbidden, `{"error":"Forbidden"}`)
	err := w.d.DeleteAccount(t.Context(), ref)
	var left *driver.LeftoverError
	if w.wantCode("delete", err, driver.PermissionDenied); !errors.As(err, &left) {
		t.Errorf("delete: %v", err)
	}
	broken.answer("", 0, "")
	w.must("delete again", w.d.DeleteAccount(t.Context(), ref))
	w.wantDead("after the deletion", issued[0])
}

// TestNotFoundElsewhere: that the Service Manager, or a list of users, is not found says nothing of an account.
func TestNotFoundElsewhere(t *testing.T) {
	var broken brokenManager
	w := newWorld(t, sapbtpfake.Options{}, broken.insert(t))
	ref := w.create("agent")
	issued, err := w.d.Issue(t.Context(), ref, driver.IssueRequest{Label: "rotation-0"})
	w.must("issue", err)
	broken.answer(http.MethodGet, http.StatusNotFound, `{"error":"NotFound","description":"no such route"}`)
	for what, f := range map[string]func() error{
		"read":              func() error { _, err := w.d.ReadAccount(t.Context(), ref); return err },
		"read by name":      func() error { _, err := w.d.ReadAccount(t.Context(), nhi.Ref{Name: ref.Name}); return err },
		"revoke credential": func() error { return w.d.RevokeCredential(t.Context(), ref, issued.Credential.ID) },
		"delete":            func() error { return w.d.DeleteAccount(t.Context(), ref) },
		"read all": func() error {
			return w.d.Sweep(t.Context(), driver.SweepFilter{}, func([]nhi.Account) error { return nil })
		},
	} {
		w.wantCode(what, f(), driver.Unknown)
	}
	w.must("log in", w.d.Verify(t.Context(), issued.Login, issued.Secret))
}

// brokenManager stands before the fake's Service Manager.
type brokenManager struct {
	method, body string
	status       int
}

func (b *brokenManager) answer(method string, status int, body string) {
	b.method, b.status, b.body = method, status, body
}

func (b *brokenManager) insert(t *testing.T) func(*sapbtp.Config) {
	t.Helper()
	return func(c *sapbtp.Config) {
		base, err := url.Parse(strings.TrimSuffix(c.Bindings.URL, sapbtpfake.ManagerPath))
		if err != nil {
			t.Fatal(err)
		}
		behind := httputil.NewSingleHostReverseProxy(base)
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method != b.method {
				behind.ServeHTTP(w, r)
				return
			}
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(b.status)
			_, _ = w.Write([]byte(b.body))
		}))
		t.Cleanup(server.Close)
		c.Bindings.URL = server.URL + sapbtpfake.ManagerPath
	}
}
