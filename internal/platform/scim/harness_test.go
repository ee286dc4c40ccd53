package scim_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/driver/drivertest"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
	"github.com/nhi-labs/terraform-provider-nhi/internal/platform/scim"
	"github.com/nhi-labs/terraform-provider-nhi/internal/platform/scim/scimfake"
	"github.com/nhi-labs/terraform-provider-nhi/internal/secret"
	"github.com/nhi-labs/terraform-provider-nhi/internal/testenv"
)

const (
	userSchema  = "urn:ietf:params:scim:schemas:core:2.0:User"
	groupSchema = "urn:ietf:params:scim:schemas:core:2.0:Group"
	patchSchema = "urn:ietf:params:scim:api:messages:2.0:PatchOp"
	listSchema  = "urn:ietf:params:scim:api:messages:2.0:ListResponse"
	errorSchema = "urn:ietf:params:scim:api:messages:2.0:Error"
	mediaType   = "application/scim+json"
)

// TestConformanceRealServer runs the suite on SCIMMY, which is nobody's fake of ours.
func TestConformanceRealServer(t *testing.T) {
	server := testenv.Load(t).SCIM
	drivertest.Run(t, &harness{url: server.URL, token: server.Token, pageSize: 100})
}

// TestConformanceBareService runs the suite on a service that has as little as SCIM allows.
func TestConformanceBareService(t *testing.T) {
	token := "conformance-" + rand.Text()
	fake := scimfake.New(scimfake.Options{
		Token: token, NoPatch: true, NoFilter: true, NoUserGroups: true, CursorOnly: true, KeepGhosts: true,
	})
	server, admin := httptest.NewServer(fake), httptest.NewServer(fake.Admin())
	t.Cleanup(server.Close)
	t.Cleanup(admin.Close)
	drivertest.Run(t, &harness{url: server.URL + "/scim", admin: admin.URL + "/scim", token: token, pageSize: 50})
}

// TestConformanceSAP runs the suite on the checked fake with the rules of SAP Cloud Identity Services.
func TestConformanceSAP(t *testing.T) {
	token := "conformance-" + rand.Text()
	server := httptest.NewServer(scimfake.New(scimfake.Options{Token: token, SAP: true, MaxPageSize: 10}))
	t.Cleanup(server.Close)
	drivertest.Run(t, &harness{url: server.URL + "/scim", token: token, dialect: scim.SAPCloudIdentity, pageSize: 25})
}

// harness reaches one SCIM service. What it does out of band it does with its own requests, not through the driver.
type harness struct {
	url, token string
	admin      string // The door for what is done out of band, "" for the same.
	dialect    scim.Dialect
	// pageSize is larger on the real server, which has no filters: each lookup by name reads every user.
	pageSize int
}

func (h *harness) Spec() driver.Spec { return scim.Spec(h.dialect) }

func (h *harness) Open(t *testing.T) driver.Driver { return h.open(t, h.url, h.token) }

func (h *harness) open(t *testing.T, address, token string) driver.Driver {
	t.Helper()
	return open(t, scim.Config{
		URL: address, Dialect: h.dialect, PageSize: h.pageSize, Auth: scim.Auth{Bearer: secret.New(token)},
	})
}

func open(t *testing.T, config scim.Config) *scim.Driver {
	t.Helper()
	d, err := scim.Open(config)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return d
}

func (h *harness) Entitlements(t *testing.T, n int) []nhi.Entitlement {
	t.Helper()
	types := []string{"group", "role", "entitlement"}
	es := make([]nhi.Entitlement, n)
	for i := range es {
		es[i] = nhi.Entitlement{Type: types[i%len(types)], Target: "Conf " + strings.ToLower(rand.Text()[:10])}
		if es[i].Type == "group" {
			id := h.api(t).addGroup(es[i].Target)
			// The real server's answers get slower with every group that stays.
			t.Cleanup(func() { h.api(t).call(http.MethodDelete, "/Groups/"+id, nil, nil) })
		}
	}
	return es
}

func (h *harness) SharedEntitlement(t *testing.T) nhi.Entitlement {
	t.Helper()
	return h.Entitlements(t, 1)[0]
}

func (h *harness) Foreign(t *testing.T, name string, holds ...nhi.Entitlement) {
	t.Helper()
	h.api(t).addUser(name)
	for _, e := range holds {
		h.GrantByHand(t, name, e)
	}
}

func (h *harness) GrantByHand(t *testing.T, name string, e nhi.Entitlement) {
	t.Helper()
	h.api(t).grant(name, e)
}

func (h *harness) MissingEntitlement(*testing.T) (nhi.Entitlement, bool) {
	return nhi.Entitlement{Type: "group", Target: "No such group " + rand.Text()}, true
}

func (h *harness) HostileNames() []string {
	return []string{
		`x" or userName sw "`, `a" and (id pr) and userName eq "b`, `members[value eq "x"]`, `\u0022`, `userName eq "a"`,
		`?filter=id pr`, `Users/../Groups`, `a&startIndex=2`,
	}
}

func (h *harness) Settings() map[string]string {
	return map[string]string{"email": "conf@example.com", "display_name": `Conf "Agent" 密`, "user_type": "employee"}
}

func (h *harness) Secrets() []secret.Value { return []secret.Value{secret.New(h.token)} }

func (h *harness) Many() int { return 2*h.pageSize + 5 }

func (h *harness) Unsupported() map[string]string { return map[string]string{} }

func (h *harness) WithFault(t *testing.T, fault drivertest.Fault) driver.Driver {
	t.Helper()
	switch fault {
	case drivertest.Refused:
		listener := listen(t)
		address := listener.Addr().String()
		_ = listener.Close()
		return h.open(t, "http://"+address+"/scim", h.token)
	case drivertest.Silent:
		return h.open(t, "http://"+listen(t).Addr().String()+"/scim", h.token)
	case drivertest.WrongCredentials:
		return h.open(t, h.url, "wrong-"+rand.Text())
	}
	server := httptest.NewServer(h.proxy(fault))
	t.Cleanup(server.Close)
	return h.open(t, server.URL, h.token)
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	return listener
}

// proxy stands between the driver and the real service.
func (h *harness) proxy(fault drivertest.Fault) http.HandlerFunc {
	answer := func(w http.ResponseWriter, status int, contentType, body string) {
		w.Header().Set("Content-Type", contentType)
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
	return func(w http.ResponseWriter, r *http.Request) {
		isList := strings.HasPrefix(r.URL.Path, "/Users") && strings.Count(r.URL.Path, "/") == 1
		switch fault {
		case drivertest.Malformed:
			answer(w, http.StatusOK, "text/html", "<html><body>Please log in to the network</body></html>")
		case drivertest.EmptyAnswers:
			if isList && r.Method == http.MethodGet {
				answer(w, http.StatusOK, mediaType, `{"schemas":["`+listSchema+`"],"totalResults":0,"Resources":[]}`)
				return
			}
			answer(w, http.StatusOK, mediaType, "{}")
		case drivertest.Overloaded:
			answer(w, http.StatusServiceUnavailable, "text/plain", "overloaded")
		case drivertest.MissingRights:
			if r.URL.Path == "/ServiceProviderConfig" {
				h.forward(w, r, false)
				return
			}
			answer(w, http.StatusForbidden, mediaType, `{"schemas":["`+errorSchema+`"],"status":"403",
				"detail":"not with `+r.Header.Get("Authorization")+`"}`)
		case drivertest.Cut:
			h.forward(w, r, true)
		}
	}
}

// forward passes a request on, and the whole answer or the half of it back.
func (h *harness) forward(w http.ResponseWriter, r *http.Request, cut bool) {
	request, err := http.NewRequestWithContext(r.Context(), r.Method, h.url+r.URL.RequestURI(), r.Body)
	if err != nil {
		panic(err)
	}
	request.Header = r.Header.Clone()
	request.Header.Del("Accept-Encoding")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	defer func() { _ = response.Body.Close() }()
	body, _ := io.ReadAll(response.Body)
	w.Header().Set("Content-Type", response.Header.Get("Content-Type"))
	w.Header().Set("Content-Length", fmt.Sprint(len(body)))
	w.WriteHeader(response.StatusCode)
	if !cut {
		_, _ = w.Write(body)
		return
	}
	_, _ = w.Write(body[:len(body)/2])
	panic(http.ErrAbortHandler)
}

// api is the administrator with tools of their own.
type api struct {
	t          *testing.T
	url, token string
	sap        bool
}

func (h *harness) api(t *testing.T) api {
	address := h.admin
	if address == "" {
		address = h.url
	}
	return api{t: t, url: address, token: h.token, sap: h.dialect == scim.SAPCloudIdentity}
}

type listed struct {
	Resources []struct {
		ID          string           `json:"id"`
		UserName    string           `json:"userName"`
		DisplayName string           `json:"displayName"`
		ExternalID  string           `json:"externalId"`
		Active      *bool            `json:"active"`
		Members     []map[string]any `json:"members"`
	}
	TotalResults int
}

func (a api) call(method, path string, body, out any) {
	a.t.Helper()
	var content io.Reader = http.NoBody
	if body != nil {
		raw, err := json.Marshal(body)
		if err != nil {
			a.t.Fatal(err)
		}
		content = bytes.NewReader(raw)
	}
	request, err := http.NewRequestWithContext(context.WithoutCancel(a.t.Context()), method, a.url+path, content)
	if err != nil {
		a.t.Fatal(err)
	}
	request.Header.Set("Content-Type", mediaType)
	request.Header.Set("Authorization", "Bearer "+a.token)
	response, err := (&http.Client{Timeout: time.Minute}).Do(request)
	if err != nil {
		a.t.Fatalf("%s %s: %v", method, path, err)
	}
	defer func() { _ = response.Body.Close() }()
	answer, _ := io.ReadAll(response.Body)
	if response.StatusCode > 299 {
		a.t.Fatalf("%s %s: status %d: %s", method, path, response.StatusCode, answer)
	}
	if out != nil {
		if err := json.Unmarshal(answer, out); err != nil {
			a.t.Fatalf("%s %s: %v", method, path, err)
		}
	}

}

func (a api) addUser(name string, more ...func(map[string]any)) string {
	a.t.Helper()
	body := map[string]any{"schemas": []string{userSchema}, "userName": name, "active": true}
	if a.sap {
		body["emails"] = []any{map[string]any{"value": rand.Text() + "@example.com", "primary": true}}
	}
	for _, change := range more {
		change(body)
	}
	var made struct{ ID string }
	a.call(http.MethodPost, "/Users", body, &made)
	return made.ID
}

func (a api) addGroup(name string, members ...string) string {
	a.t.Helper()
	body := map[string]any{"schemas": []string{groupSchema}, "displayName": name}
	if len(members) > 0 {
		body["members"] = entries(members...)
	}
	var made struct{ ID string }
	a.call(http.MethodPost, "/Groups", body, &made)
	return made.ID
}

func entries(values ...string) []any {
	list := make([]any, len(values))
	for i, v := range values {
		list[i] = map[string]any{"value": v}
	}
	return list
}

func (a api) patch(path string, operations ...map[string]any) {
	a.t.Helper()
	a.call(http.MethodPatch, path, map[string]any{"schemas": []string{patchSchema}, "Operations": operations}, nil)
}

func (a api) grant(name string, e nhi.Entitlement) {
	a.t.Helper()
	id := a.idOf("/Users", name)
	if e.Type == "group" {
		a.patch("/Groups/"+a.idOf("/Groups", e.Target), map[string]any{"op": "add", "path": "members", "value": entries(id)})
		return
	}
	attribute := map[string]string{"role": "roles", "entitlement": "entitlements"}[e.Type]
	a.patch("/Users/"+id, map[string]any{"op": "add", "path": attribute, "value": entries(e.Target)})
}

// idOf finds an id by paging through everything: slow, and independent of filters. What tests beside this one delete makes a
// page begin too late, so it looks several times.
func (a api) idOf(path, name string) string {
	a.t.Helper()
	for range 10 {
		if id := a.lookUp(path, name); id != "" {
			return id
		}
	}
	a.t.Fatalf("%s has no %q", path, name)
	return ""
}

func (a api) lookUp(path, name string) string {
	a.t.Helper()
	for start := 1; ; {
		var page listed
		a.call(http.MethodGet, fmt.Sprintf("%s?count=100&startIndex=%d", path, start), nil, &page)
		for _, r := range page.Resources {
			if r.UserName == name || r.DisplayName == name {
				return r.ID
			}
		}
		start += len(page.Resources)
		if len(page.Resources) == 0 || start > page.TotalResults {
			return ""
		}
	}
}

func (a api) user(name string) (found struct {
	ExternalID string `json:"externalId"`
	Active     *bool  `json:"active"`
	Name       map[string]any
	Nick       string `json:"nickName"`
	Emails     []map[string]any
	Roles      []map[string]any
}) {
	a.t.Helper()
	a.call(http.MethodGet, "/Users/"+url.PathEscape(a.idOf("/Users", name)), nil, &found)
	return found
}
