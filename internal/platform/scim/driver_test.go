package scim_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
	"github.com/nhi-labs/terraform-provider-nhi/internal/platform/scim"
	"github.com/nhi-labs/terraform-provider-nhi/internal/platform/scim/scimfake"
	"github.com/nhi-labs/terraform-provider-nhi/internal/secret"
)

// world is one fake service with a driver and an administrator of its own.
type world struct {
	*testing.T
	fake   *scimfake.Server
	url    string
	driver *scim.Driver
	admin  api
}

func newWorld(t *testing.T, options scimfake.Options) *world {
	t.Helper()
	options.Token = "token-of-the-world"
	fake := scimfake.New(options)
	server, door := httptest.NewServer(fake), httptest.NewServer(fake.Admin())
	t.Cleanup(server.Close)
	t.Cleanup(door.Close)
	config := scim.Config{URL: server.URL + "/scim", Auth: scim.Auth{Bearer: secret.New(options.Token)}}
	if options.SAP {
		config.Dialect = scim.SAPCloudIdentity
	}
	return &world{
		T: t, fake: fake, url: server.URL, driver: open(t, config),
		admin: api{t: t, url: door.URL + "/scim", sap: options.SAP},
	}
}

// another returns a driver that has seen nothing of the service yet.
func (w *world) another() *scim.Driver {
	w.Helper()
	dialect := scim.Standard
	if w.admin.sap {
		dialect = scim.SAPCloudIdentity
	}
	return open(w.T, scim.Config{URL: w.url + "/scim", Dialect: dialect, Auth: scim.Auth{Bearer: secret.New("token-of-the-world")}})
}

var testMark = nhi.Mark{Stack: "payments", Identity: "agent"}

func (w *world) create(name string) nhi.Ref {
	w.Helper()
	ref, err := w.driver.CreateAccount(w.Context(), driver.AccountSpec{Name: name, Mark: testMark})
	if err != nil {
		w.Fatalf("create %q: %v", name, err)
	}
	return ref
}

func (w *world) read(ref nhi.Ref) nhi.Account {
	w.Helper()
	account, err := w.driver.ReadAccount(w.Context(), ref)
	if err != nil {
		w.Fatalf("read %q: %v", ref.Name, err)
	}
	return account
}

func (w *world) must(what string, err error) {
	w.Helper()
	if err != nil {
		w.Fatalf("%s: %v", what, err)
	}
}

func (w *world) wantCode(what string, err error, want driver.Code) {
	w.Helper()
	if err == nil {
		w.Fatalf("%s succeeded, want %q", what, want)
	}
	if got := w.driver.Classify(err).Code; got != want {
		w.Errorf("%s: the code is %q, want %q; error: %v", what, got, want, err)
	}
}

// wantNoLie checks that a broken answer is an error and not an absence.
func (w *world) wantNoLie(what string, err error) {
	w.Helper()
	if err == nil {
		w.Errorf("%s: succeeded", what)
	} else if code := w.driver.Classify(err).Code; code == driver.NotFound || code == driver.AlreadyExists {
		w.Errorf("%s: the code is %q; error: %v", what, code, err)
	}
}

func (w *world) sweep(filter driver.SweepFilter) ([]nhi.Account, error) {
	var all []nhi.Account
	err := w.driver.Sweep(w.Context(), filter, func(page []nhi.Account) error {
		all = append(all, page...)
		return nil
	})
	return all, err
}

// onceOn returns a fault for the first request of a method and collection.
func onceOn(method, path string, fault func(r *http.Request) *scimfake.Fault) func(*http.Request) *scimfake.Fault {
	var done atomic.Bool
	return func(r *http.Request) *scimfake.Fault {
		if r.Method == method && strings.HasPrefix(r.URL.Path, "/scim"+path) && done.CompareAndSwap(false, true) {
			return fault(r)
		}
		return nil
	}
}

func group(name string) nhi.Entitlement { return nhi.Entitlement{Type: "group", Target: name} }
func role(name string) nhi.Entitlement  { return nhi.Entitlement{Type: "role", Target: name} }

func TestStaleETagIsAConflict(t *testing.T) {
	w := newWorld(t, scimfake.Options{NoPatch: true})
	ref := w.create("agent")
	w.fake.SetFault(onceOn(http.MethodPut, "/Users", func(*http.Request) *scimfake.Fault {
		w.admin.patch("/Users/"+ref.ID, map[string]any{"op": "add", "path": "nickName", "value": "set meanwhile"})
		return nil
	}))
	w.wantCode("grant", w.driver.Grant(t.Context(), ref, []nhi.Entitlement{role("a")}), driver.Conflict)
	w.must("grant again", w.driver.Grant(t.Context(), ref, []nhi.Entitlement{role("a")}))
	if got := w.admin.user("agent"); got.Nick != "set meanwhile" || len(got.Roles) != 1 {
		t.Errorf("the user is %+v: a change was lost", got)
	}
}

func TestServiceThatAnnouncesPatchAndRefusesIt(t *testing.T) {
	for _, status := range []int{http.StatusMethodNotAllowed, http.StatusNotImplemented} {
		w := newWorld(t, scimfake.Options{})
		ref := w.create("agent")
		w.admin.addGroup("Viewers")
		w.fake.SetFault(func(r *http.Request) *scimfake.Fault {
			if r.Method != http.MethodPatch {
				return nil
			}
			return &scimfake.Fault{Instead: true, Status: status}
		})
		want := []nhi.Entitlement{group("Viewers"), role("a")}
		w.must("grant", w.driver.Grant(t.Context(), ref, want))
		if got := w.read(ref).Entitlements; !slices.Equal(got, want) {
			t.Errorf("holds %v, want %v", got, want)
		}
		if patches := w.fake.Counts()["PATCH /Users/{id}"]; patches != 0 {
			t.Errorf("%d patches reached the service", patches)
		}
	}
}

func TestServiceWithoutValueFiltersInPaths(t *testing.T) {
	w := newWorld(t, scimfake.Options{})
	ref := w.create("agent")
	es := []nhi.Entitlement{role("a"), role("b")}
	w.must("grant", w.driver.Grant(t.Context(), ref, es))
	refusal := fmt.Sprintf(`{"schemas":[%q],"status":"400","scimType":"invalidPath"}`, errorSchema)
	w.fake.SetFault(onceOn(http.MethodPatch, "/Users", func(*http.Request) *scimfake.Fault {
		return &scimfake.Fault{Instead: true, Status: http.StatusBadRequest, Body: []byte(refusal)}
	}))
	w.must("revoke", w.driver.Revoke(t.Context(), ref, es[:1]))
	if got := w.read(ref).Entitlements; !slices.Equal(got, es[1:]) {
		t.Errorf("holds %v, want %v", got, es[1:])
	}
}

func TestRevokingKeepsWhatDiffersInCase(t *testing.T) {
	for _, options := range []scimfake.Options{{}, {NoPatch: true}} {
		w := newWorld(t, options)
		ref := w.create("agent")
		w.must("grant", w.driver.Grant(t.Context(), ref, []nhi.Entitlement{role("Audit"), role("audit"), role("other")}))
		w.must("revoke", w.driver.Revoke(t.Context(), ref, []nhi.Entitlement{role("audit")}))
		want := []nhi.Entitlement{role("Audit"), role("other")}
		if got := w.read(ref).Entitlements; !slices.Equal(got, want) {
			t.Errorf("holds %v, want %v", got, want)
		}
	}
}

// TestLargeGroup changes one group of 1,000 members from two drivers at once.
func TestLargeGroup(t *testing.T) {
	for _, options := range []scimfake.Options{{}, {NoPatch: true}} {
		w := newWorld(t, options)
		var ids []string
		for i := range 1000 {
			ids = append(ids, w.admin.addUser(fmt.Sprintf("user-%d", i)))
		}
		id := w.admin.addGroup("Everybody", ids...)
		second := w.another()
		refs := make([]nhi.Ref, 20)
		for i := range refs {
			refs[i] = w.create(fmt.Sprintf("agent-%d", i))
		}
		var wait sync.WaitGroup
		errs := make([]error, len(refs))
		for i, ref := range refs {
			d := []*scim.Driver{w.driver, second}[i%2]
			wait.Go(func() {
				for errs[i] = d.Grant(t.Context(), ref, []nhi.Entitlement{group("Everybody")}); errs[i] != nil &&
					d.Classify(errs[i]).Code == driver.Conflict; {
					errs[i] = d.Grant(t.Context(), ref, []nhi.Entitlement{group("Everybody")})
				}
			})
		}
		wait.Wait()
		for i, err := range errs {
			w.must(fmt.Sprintf("grant %d", i), err)
		}
		var everybody struct{ Members []any }
		w.admin.call(http.MethodGet, "/Groups/"+id, nil, &everybody)
		if len(everybody.Members) != 1020 {
			t.Errorf("%+v: %d members, want 1020", options, len(everybody.Members))
		}
	}
}

func TestMarkAndForeignExternalID(t *testing.T) {
	w := newWorld(t, scimfake.Options{})
	w.admin.addUser("owned-by-hr", func(u map[string]any) { u["externalId"] = "hr-4711" })
	ref := w.read(nhi.Ref{Name: "owned-by-hr"}).Ref
	err := w.driver.UpdateAccount(t.Context(), ref, driver.AccountChange{Mark: &testMark})
	w.wantCode("adopt", err, driver.Conflict)
	if !strings.Contains(err.Error(), "hr-4711") || !strings.Contains(err.Error(), "remove the externalId") {
		t.Errorf("the error does not say what to do: %v", err)
	}
	w.must("release", w.driver.UpdateAccount(t.Context(), ref, driver.AccountChange{Mark: &nhi.Mark{}}))
	if got := w.admin.user("owned-by-hr").ExternalID; got != "hr-4711" {
		t.Errorf("externalId is %q", got)
	}
	ours := w.create("agent")
	w.must("release ours", w.driver.UpdateAccount(t.Context(), ours, driver.AccountChange{Mark: &nhi.Mark{}}))
	if got := w.admin.user("agent").ExternalID; got != "" {
		t.Errorf("externalId is %q after the release", got)
	}
}

func TestServiceThatDoesNotKeepWhatItWasGiven(t *testing.T) {
	for what, c := range map[string]struct {
		from, to string
		want     driver.Code
	}{
		"name": {`"userName":"Agent"`, `"userName":"agent"`, driver.Invalid},
		"mark": {`"externalId":"` + testMark.String() + `"`, `"title":""`, driver.Unsupported},
	} {
		w := newWorld(t, scimfake.Options{})
		w.fake.SetFault(onceOn(http.MethodPost, "/Users", func(*http.Request) *scimfake.Fault {
			return &scimfake.Fault{Rewrite: func(body []byte) []byte { return []byte(strings.Replace(string(body), c.from, c.to, 1)) }}
		}))
		_, err := w.driver.CreateAccount(t.Context(), driver.AccountSpec{Name: "Agent", Mark: testMark})
		w.wantCode("create with changed "+what, err, c.want)
		if all, err := w.sweep(driver.SweepFilter{}); err != nil || len(all) != 0 {
			t.Errorf("%s: left behind %v, %v", what, all, err)
		}
	}
}

// A service that does not answer with the user that it has made is asked for it. If it says then that it was asked too often,
// the creation is not one to repeat.
func TestRateLimitAfterCreation(t *testing.T) {
	w := newWorld(t, scimfake.Options{})
	made := false
	w.fake.SetFault(func(r *http.Request) *scimfake.Fault {
		if r.Method == http.MethodPost && strings.HasSuffix(r.URL.Path, "/Users") {
			made = true
			return &scimfake.Fault{Rewrite: func([]byte) []byte { return nil }}
		}
		if made {
			return &scimfake.Fault{Instead: true, Status: http.StatusTooManyRequests}
		}
		return nil
	})
	_, err := w.driver.CreateAccount(t.Context(), driver.AccountSpec{Name: "agent", Mark: testMark})
	w.wantCode("create", err, driver.Unavailable)
}

// A service that answers the creation with nothing, and whose search shows the user only later, has made it all the same. Its id
// is in Location; without that, nobody may take the user for not made.
func TestCreationThatShowsLate(t *testing.T) {
	for what, c := range map[string]struct {
		location string // "": the service's own
		late     string // what is not found yet
		want     driver.Code
	}{
		"search late":              {"", "search", driver.Unknown},
		"nothing shown yet":        {"", "all", driver.Unavailable},
		"no Location":              {"-", "search", driver.Unavailable},
		"a Location with no user":  {"/scim/Users/", "search", driver.Unavailable},
		"the Location of somebody": {"/scim/Users/other", "search", driver.Unavailable},
	} {
		t.Run(what, func(t *testing.T) {
			w := newWorld(t, scimfake.Options{})
			other := w.create("other")
			made := false
			w.fake.SetFault(func(r *http.Request) *scimfake.Fault {
				switch {
				case r.Method == http.MethodPost && strings.HasSuffix(r.URL.Path, "/Users"):
					made = true
					fault := &scimfake.Fault{Rewrite: func([]byte) []byte { return nil }}
					if c.location != "" {
						fault.Header = http.Header{"Location": {strings.Replace(c.location, "other", other.ID, 1)}}
					}
					return fault
				case made && strings.HasSuffix(r.URL.Path, "/Users"):
					return &scimfake.Fault{Body: []byte(
						`{"schemas":["urn:ietf:params:scim:api:messages:2.0:ListResponse"],"totalResults":0,"Resources":[]}`)}
				case made && c.late == "all" && r.Method == http.MethodGet:
					return &scimfake.Fault{Status: http.StatusNotFound, Body: []byte(
						`{"schemas":["urn:ietf:params:scim:api:messages:2.0:Error"],"status":"404"}`)}
				}
				return nil
			})
			ref, err := w.driver.CreateAccount(t.Context(), driver.AccountSpec{Name: "agent", Mark: testMark})
			w.fake.SetFault(nil)
			there := w.read(nhi.Ref{Name: "agent"}).Ref
			if c.want != driver.Unknown {
				w.wantCode("create", err, c.want)
			} else if err != nil || ref != there {
				t.Errorf("made %v, error %v, want %v", ref, err, there)
			}
			if got := w.read(nhi.Ref{Name: "other"}).Ref; got != other {
				t.Errorf("the other user is %v now", got)
			}
		})
	}
}

func TestCaseOfNames(t *testing.T) {
	w := newWorld(t, scimfake.Options{})
	ref := w.create("Billing-Agent")
	if got := w.read(nhi.Ref{Name: "billing-agent"}); got.Ref != ref {
		t.Errorf("read in another case gives %+v, want %+v", got.Ref, ref)
	}
	_, err := w.driver.CreateAccount(t.Context(), driver.AccountSpec{Name: "BILLING-AGENT", Mark: testMark})
	w.wantCode("create in another case", err, driver.AlreadyExists)
	w.admin.addGroup("Viewers")
	err = w.driver.Grant(t.Context(), ref, []nhi.Entitlement{group("viewers")})
	w.wantCode("grant in another case", err, driver.Invalid)
	if !strings.Contains(err.Error(), `"group:Viewers"`) {
		t.Errorf("the error does not say what to write: %v", err)
	}
}

func TestGroupsOfOneName(t *testing.T) {
	w := newWorld(t, scimfake.Options{})
	ref := w.create("agent")
	first, second := w.admin.addGroup("Twins", ref.ID), w.admin.addGroup("Twins", ref.ID)
	w.must("revoke", w.driver.Revoke(t.Context(), ref, []nhi.Entitlement{group("Twins")}))
	if got := w.read(ref).Entitlements; len(got) != 0 {
		t.Errorf("still holds %v", got)
	}
	err := w.driver.Grant(t.Context(), ref, []nhi.Entitlement{group("Twins")})
	w.wantCode("grant", err, driver.Invalid)
	if !strings.Contains(err.Error(), first) || !strings.Contains(err.Error(), second) {
		t.Errorf("the error does not name the ids: %v", err)
	}
}

func TestIndirectGroupsAreNotListed(t *testing.T) {
	w := newWorld(t, scimfake.Options{})
	ref := w.create("agent")
	w.admin.addGroup("Direct", ref.ID)
	w.admin.addGroup("Nested", ref.ID)
	w.fake.SetFault(func(*http.Request) *scimfake.Fault {
		return &scimfake.Fault{Rewrite: func(body []byte) []byte {
			return []byte(strings.Replace(string(body), `"display":"Nested","type":"direct"`, `"display":"Nested","type":"indirect"`, 1))
		}}
	})
	if got := w.read(ref).Entitlements; !slices.Equal(got, []nhi.Entitlement{group("Direct")}) {
		t.Errorf("holds %v, want the direct group only", got)
	}
}

func TestDeleteLeavesNoGhost(t *testing.T) {
	w := newWorld(t, scimfake.Options{KeepGhosts: true})
	ref := w.create("agent")
	id := w.admin.addGroup("Viewers", ref.ID)
	w.must("delete", w.driver.DeleteAccount(t.Context(), ref))
	var viewers struct{ Members []any }
	w.admin.call(http.MethodGet, "/Groups/"+id, nil, &viewers)
	if len(viewers.Members) != 0 {
		t.Errorf("the group keeps %v", viewers.Members)
	}
}
