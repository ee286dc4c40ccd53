package jira_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
	"github.com/nhi-labs/terraform-provider-nhi/internal/platform/jira"
	"github.com/nhi-labs/terraform-provider-nhi/internal/platform/jira/jirafake"
)

// behind opens a driver that gets its own answers to GET for some paths, "404" for one in Jira's form, and else the fake's.
func (w *world) behind(answers map[string]string, mods ...func(*jira.Config)) driver.Driver {
	w.Helper()
	front := httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
		answer, ok := answers[strings.TrimPrefix(r.URL.Path, "/rest/api/3")]
		if !ok || r.Method != http.MethodGet {
			w.h.fake.ServeHTTP(out, r)
			return
		}
		out.Header().Set("Content-Type", "application/json")
		if answer == "404" {
			out.WriteHeader(http.StatusNotFound)
			answer = `{"errorMessages":["It does not exist, or you may not see it."],"errors":{}}`
		}
		_, _ = io.WriteString(out, answer)
	}))
	w.Cleanup(front.Close)
	config := w.h.config(front.URL, w.h.token, w.h.key)
	for _, mod := range mods {
		mod(&config)
	}
	return open(w.T, config)
}

// changes are the requests that the fake got and that change something.
func (w *world) changes() []string {
	var all []string
	for operation := range w.h.fake.Requests() {
		if !strings.HasPrefix(operation, http.MethodGet) {
			all = append(all, operation)
		}
	}
	return all
}

// TestNotFoundIsAboutTheUser: what is not found beside the user tells nothing of the user.
func TestNotFoundIsAboutTheUser(t *testing.T) {
	for name, answers := range map[string]map[string]string{
		"groups":             {"/user/groups": "404"},
		"roles of a project": {"/project/BILL/role": "404"},
		"permissions":        {"/user": "404", "/mypermissions": "404"},
		"products":           {"/applicationrole": "404"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, jirafake.Options{})
			d := w.behind(answers)
			explainer, ok := d.(driver.Explainer)
			if !ok {
				t.Fatal("no Explainer")
			}
			_, err := explainer.Explain(t.Context(), w.ref)
			w.wantCode("explain", err, driver.Unknown)
			if answers["/applicationrole"] != "" {
				return // It is read for nothing else.
			}
			_, err = d.ReadAccount(t.Context(), w.ref)
			w.wantCode("read", err, driver.Unknown)
			w.wantCode("delete", d.DeleteAccount(t.Context(), w.ref), driver.Unknown)
			if got := w.changes(); len(got) > 0 {
				t.Errorf("the deletion of what cannot be read sends %v", got)
			}
		})
	}
}

// TestNoProjects: a search that finds no project says nothing of the account.
func TestNoProjects(t *testing.T) {
	w := newWorld(t, jirafake.Options{}, func(c *jira.Config) { c.Projects = []string{"GONE"} })
	w.h.fake.AddGroup("agents")
	w.must("join", w.h.fake.JoinGroup(agent, "agents"))
	account, err := w.d.ReadAccount(t.Context(), w.ref)
	w.must("read", err)
	if got := nhi.JoinTexts(account.Entitlements); got != "group:agents" {
		t.Errorf("entitlements %q", got)
	}
	gone := []nhi.Entitlement{{Type: "project", Target: "GONE", Permission: "Developer"}}
	w.wantCode("grant", w.d.Grant(t.Context(), w.ref, gone), driver.Invalid, "GONE")
	w.must("revoke", w.d.Revoke(t.Context(), w.ref, gone))
	w.must("delete", w.d.DeleteAccount(t.Context(), w.ref))
	_, err = w.d.ReadAccount(t.Context(), w.ref)
	w.wantCode("read what was deleted", err, driver.NotFound)
}

// TestProjectsThatAreNotShown: a login that may not administer Jira is not told of the projects that it may not browse. What
// is held there is not gone, while a project of which an administrator is not told is.
func TestProjectsThatAreNotShown(t *testing.T) {
	w := newWorld(t, jirafake.Options{NoAdmin: true})
	w.must("play", w.h.fake.PlayRole(agent, "", "BILL", "Developer"))
	w.must("play", w.h.fake.PlayRole(agent, "", "OPS", "Developer"))
	held := []nhi.Entitlement{{Type: "project", Target: "OPS", Permission: "Developer"}}
	only := func(keys ...string) driver.Driver {
		config := w.h.config(w.h.url, w.h.token, w.h.key)
		config.Projects = keys
		return open(t, config)
	}
	w.must("close", w.h.fake.CloseProject("OPS"))
	for what, d := range map[string]driver.Driver{"all": w.d, "some": only("BILL", "OPS"), "it": only("OPS")} {
		_, err := d.ReadAccount(t.Context(), w.ref)
		w.wantCode("read, "+what, err, driver.PermissionDenied, "Administer Jira")
		w.wantCode("revoke, "+what, d.Revoke(t.Context(), w.ref, held), driver.PermissionDenied, "projects that it may not see")
	}
	account, err := only("BILL").ReadAccount(t.Context(), w.ref)
	w.must("read all that is looked at", err)
	if got := nhi.JoinTexts(account.Entitlements); got != "project:BILL#Developer" {
		t.Errorf("entitlements %q", got)
	}
}

// TestUsersThatAreNotShown: a login that may not see users is told that there are none.
func TestUsersThatAreNotShown(t *testing.T) {
	for permission, options := range map[string]jirafake.Options{
		"Browse users and groups": {NoBrowse: true},
		"Administer Jira":         {NoAdmin: true},
	} {
		t.Run(permission, func(t *testing.T) {
			w := newWorld(t, options)
			ref := w.ref
			if options.NoAdmin {
				ref = nhi.Ref{Name: "712020:nobody", ID: "712020:nobody"}
			}
			_, err := w.d.ReadAccount(t.Context(), ref)
			w.wantCode("read", err, driver.PermissionDenied, permission)
			w.wantCode("delete", w.d.DeleteAccount(t.Context(), ref), driver.PermissionDenied, permission)
			w.wantCode("revoke", w.d.Revoke(t.Context(), ref, []nhi.Entitlement{{Type: "group", Target: "agents"}}), driver.PermissionDenied)
			_, err = w.d.CreateAccount(t.Context(), driver.AccountSpec{Name: ref.Name})
			w.wantCode("create", err, driver.PermissionDenied, permission)
			target, err := w.d.Probe(t.Context())
			w.must("probe", err)
			if len(target.Lacking) != 1 || !strings.Contains(target.Lacking[0], permission) {
				t.Errorf("lacking %q, want %q", target.Lacking, permission)
			}
		})
	}
}

// TestRevokingWhatIsNotShown: the site may show a change later than it makes it.
func TestRevokingWhatIsNotShown(t *testing.T) {
	w := newWorld(t, jirafake.Options{})
	w.h.fake.AddGroup("agents")
	w.h.fake.AddGroup("others")
	w.must("join", w.h.fake.JoinGroup(agent, "agents"))
	w.must("play", w.h.fake.PlayRole(agent, "", "BILL", "Developer"))
	late := w.behind(map[string]string{
		"/user/groups": `[]`, "/project/BILL/role/10003": `{"id":10003,"name":"Developer","actors":[]}`,
	})
	es := []nhi.Entitlement{
		{Type: "group", Target: "agents"}, {Type: "group", Target: "others"}, {Type: "project", Target: "BILL", Permission: "Developer"},
	}
	for range 2 {
		w.must("revoke", late.Revoke(t.Context(), w.ref, es))
	}
	account, err := w.d.ReadAccount(t.Context(), w.ref)
	w.must("read", err)
	if len(account.Entitlements) > 0 {
		t.Errorf("still holds %s", nhi.JoinTexts(account.Entitlements))
	}
}
