package jira_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
	"github.com/nhi-labs/terraform-provider-nhi/internal/platform/jira"
	"github.com/nhi-labs/terraform-provider-nhi/internal/platform/jira/jirafake"
	"github.com/nhi-labs/terraform-provider-nhi/internal/secret"
)

const agent = "712020:agent"

// world is one fake with one driver and the account of an agent.
type world struct {
	*testing.T
	h   *harness
	d   driver.Driver
	ref nhi.Ref
}

func newWorld(t *testing.T, options jirafake.Options, mods ...func(*jira.Config)) *world {
	t.Helper()
	t.Parallel()
	h := newHarness(t, options)
	h.fake.AddUser(agent, false)
	config := h.config(h.url, h.token, h.key)
	for _, mod := range mods {
		mod(&config)
	}
	return &world{T: t, h: h, d: open(t, config), ref: nhi.Ref{Name: agent, ID: agent}}
}

func (w *world) must(what string, err error) {
	w.Helper()
	if err != nil {
		w.Fatalf("%s: %v", what, err)
	}
}

func (w *world) wantCode(what string, err error, want driver.Code, texts ...string) {
	w.Helper()
	if err == nil || w.d.Classify(err).Code != want {
		w.Fatalf("%s: error %v, want the code %v", what, err, want)
	}
	for _, text := range texts {
		if !strings.Contains(err.Error(), text) {
			w.Errorf("%s: error %q does not say %q", what, err, text)
		}
	}
}

// TestCreateSaysWhatToDo: whoever declares an account that is not there has to make it elsewhere.
func TestCreateSaysWhatToDo(t *testing.T) {
	w := newWorld(t, jirafake.Options{})
	_, err := w.d.CreateAccount(t.Context(), driver.AccountSpec{Name: "712020:nobody"})
	w.wantCode("create", err, driver.Unsupported, "admin.atlassian.com", "adopt = true")
	for operation := range w.h.fake.Requests() {
		if !strings.HasPrefix(operation, http.MethodGet) {
			t.Errorf("a creation that cannot be sends %s", operation)
		}
	}
}

// TestExplain tells what comes through groups: product access, and the roles that groups play.
func TestExplain(t *testing.T) {
	w := newWorld(t, jirafake.Options{})
	w.h.fake.AddGroup("agents", "jira-software", "jira-servicedesk")
	w.h.fake.AddGroup("others", "jira-core")
	w.must("join", w.h.fake.JoinGroup(agent, "agents"))
	w.must("play", w.h.fake.PlayRole(agent, "", "BILL", "Developer"))
	w.must("play", w.h.fake.PlayRole("", "agents", "OPS", "Administrator"))
	w.must("play", w.h.fake.PlayRole("", "others", "WEB", "Administrator"))
	explainer, ok := w.d.(driver.Explainer)
	if !ok {
		t.Fatal("no Explainer")
	}
	holdings, err := explainer.Explain(t.Context(), w.ref)
	w.must("explain", err)
	var got []string
	for _, h := range holdings {
		got = append(got, strings.Join(append([]string{h.Entitlement.String()}, h.Via...), " via "))
	}
	want := []string{
		"group:agents", "project:BILL#Developer", "product:jira-servicedesk via group:agents", "product:jira-software via group:agents",
		"project:OPS#Administrator via group:agents",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("holdings (-want +got):\n%s", diff)
	}
	account, err := w.d.ReadAccount(t.Context(), w.ref)
	w.must("read", err)
	if diff := cmp.Diff(want[:2], nhi.Texts(account.Entitlements)); diff != "" {
		t.Errorf("entitlements (-want +got):\n%s", diff)
	}
}

// TestSuspendAsksTheOrganization, which is not the site, and manages some accounts only.
func TestSuspendAsksTheOrganization(t *testing.T) {
	w := newWorld(t, jirafake.Options{Lag: 3})
	suspender, ok := w.d.(driver.Suspender)
	if !ok {
		t.Fatal("no Suspender")
	}
	w.must("suspend", suspender.Suspend(t.Context(), w.ref))
	if w.h.fake.Active(agent) {
		t.Error("the account still logs in")
	}
	w.must("resume", suspender.Resume(t.Context(), w.ref))
	if !w.h.fake.Active(agent) {
		t.Error("the account does not log in again")
	}
	w.h.fake.AddUser("557058:customer", true)
	err := suspender.Suspend(t.Context(), nhi.Ref{Name: "557058:customer"})
	w.wantCode("suspend an account of somebody else", err, driver.Unsupported, "does not manage")
}

// TestWithoutOrganization: what the kind says it can must be what the driver can.
func TestWithoutOrganization(t *testing.T) {
	w := newWorld(t, jirafake.Options{}, func(c *jira.Config) { c.OrganizationKey = secret.Value{} })
	if got, want := driver.Capabilities(w.d), jira.Spec(false).Capabilities; !slices.Equal(got, want) {
		t.Errorf("it implements %v and declares %v", got, want)
	}
}

func TestRateLimits(t *testing.T) {
	for name, test := range map[string]struct {
		waits []time.Duration
		want  driver.Verdict
	}{
		"short":               {[]time.Duration{time.Second}, driver.Verdict{}},
		"long":                {[]time.Duration{time.Minute}, driver.Verdict{Code: driver.RateLimited, RetryAfter: time.Minute}},
		"without Retry-After": {[]time.Duration{-1}, driver.Verdict{}},
		"without any end":     {[]time.Duration{-1, -1, -1}, driver.Verdict{Code: driver.RateLimited}},
	} {
		t.Run(name, func(t *testing.T) {
			var mu sync.Mutex
			waits := test.waits
			w := newWorld(t, jirafake.Options{Limit: func() time.Duration {
				mu.Lock()
				defer mu.Unlock()
				if len(waits) == 0 {
					return 0
				}
				wait := waits[0]
				waits = waits[1:]
				return wait
			}})
			_, err := w.d.ReadAccount(t.Context(), w.ref)
			if got := w.d.Classify(err); (err != nil) != (test.want.Code != driver.Unknown) || err != nil && got != test.want {
				t.Errorf("error %v, verdict %v, want %v", err, got, test.want)
			}
		})
	}
}

// TestEveryPageOfProjects finds a role in a project that only the last page shows.
func TestEveryPageOfProjects(t *testing.T) {
	w := newWorld(t, jirafake.Options{MaxPage: 2})
	for i := range 6 {
		w.h.fake.AddProject(fmt.Sprintf("LATE%d", i), "Developer")
	}
	w.must("play", w.h.fake.PlayRole(agent, "", "LATE5", "Developer"))
	account, err := w.d.ReadAccount(t.Context(), w.ref)
	w.must("read", err)
	if got := nhi.JoinTexts(account.Entitlements); got != "project:LATE5#Developer" {
		t.Errorf("entitlements %q", got)
	}
}

// TestReadsShareScans: who asks at the same time shares one reading of all roles.
func TestReadsShareScans(t *testing.T) {
	w := newWorld(t, jirafake.Options{})
	var wg sync.WaitGroup
	for range 40 {
		wg.Go(func() {
			if _, err := w.d.ReadAccount(t.Context(), w.ref); err != nil {
				t.Errorf("read: %v", err)
			}
		})
	}
	wg.Wait()
	if got := w.h.fake.Requests()["GET /rest/api/3/project/search"]; got >= 30 {
		t.Errorf("40 reads scan %d times", got)
	}
}

// TestAbandonedScan: a caller that gives up neither ends the scan of the others nor leaves a dead one behind.
func TestAbandonedScan(t *testing.T) {
	var slow atomic.Bool
	w := newWorld(t, jirafake.Options{Limit: func() time.Duration {
		if slow.Load() {
			time.Sleep(20 * time.Millisecond)
		}
		return 0
	}})
	slow.Store(true)
	var wg sync.WaitGroup
	for i := range 12 {
		wg.Go(func() {
			ctx := t.Context()
			if i%2 == 0 {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, time.Duration(60+10*i)*time.Millisecond)
				defer cancel()
			}
			_, err := w.d.ReadAccount(ctx, w.ref)
			if err != nil && (i%2 == 1 || w.d.Classify(err).Code != driver.Unavailable) {
				t.Errorf("reader %d: %v", i, err)
			}
		})
	}
	wg.Wait()
	_, err := w.d.ReadAccount(t.Context(), w.ref)
	w.must("read after all", err)
}

func TestSomeProjectsOnly(t *testing.T) {
	w := newWorld(t, jirafake.Options{}, func(c *jira.Config) { c.Projects = []string{"BILL"} })
	w.must("play", w.h.fake.PlayRole(agent, "", "BILL", "Developer"))
	w.must("play", w.h.fake.PlayRole(agent, "", "OPS", "Developer"))
	account, err := w.d.ReadAccount(t.Context(), w.ref)
	w.must("read", err)
	if got := nhi.JoinTexts(account.Entitlements); got != "project:BILL#Developer" {
		t.Errorf("entitlements %q", got)
	}
	target, err := w.d.Probe(t.Context())
	w.must("probe", err)
	if len(target.Blind) != 1 || !strings.Contains(target.Blind[0], "BILL only") {
		t.Errorf("blind %q", target.Blind)
	}
	err = w.d.Grant(t.Context(), w.ref, []nhi.Entitlement{{Type: "project", Target: "OPS", Permission: "Developer"}})
	w.wantCode("grant a role that would not be seen", err, driver.Invalid, "OPS")

	unseen := []nhi.Entitlement{{Type: "group", Target: "agents"}, {Type: "project", Target: "OPS", Permission: "Developer"}}
	w.wantCode("revoke a role that is not seen", w.d.Revoke(t.Context(), w.ref, unseen), driver.Invalid, "add it to projects")
	config := w.h.config(w.h.url, w.h.token, w.h.key)
	config.Projects = []string{"BILL"}
	w.wantCode("the spec", config.Spec().CheckRecorded(unseen), driver.Invalid, "OPS")
	w.must("the spec, of what is seen", config.Spec().CheckRecorded(append(unseen[:1:1], account.Entitlements...)))
	w.must("the spec without projects", w.h.config(w.h.url, w.h.token, w.h.key).Spec().CheckRecorded(unseen))
}

// TestRenamedProject: what is listed under the new key is not granted or revoked under the old one.
func TestRenamedProject(t *testing.T) {
	w := newWorld(t, jirafake.Options{})
	w.must("play", w.h.fake.PlayRole(agent, "", "BILL", "Developer"))
	w.must("rename", w.h.fake.RenameProject("BILL", "PAY"))
	old := []nhi.Entitlement{{Type: "project", Target: "BILL", Permission: "Developer"}}
	w.wantCode("grant by the old key", w.d.Grant(t.Context(), w.ref, old), driver.Invalid, "is called PAY now")
	w.must("revoke by the old key", w.d.Revoke(t.Context(), w.ref, old))
	account, err := w.d.ReadAccount(t.Context(), w.ref)
	w.must("read", err)
	if got := nhi.JoinTexts(account.Entitlements); got != "project:PAY#Developer" {
		t.Errorf("entitlements %q", got)
	}
}

func TestWithoutAdministration(t *testing.T) {
	w := newWorld(t, jirafake.Options{NoAdmin: true})
	target, err := w.d.Probe(t.Context())
	w.must("probe", err)
	if len(target.Lacking) != 1 || !strings.Contains(target.Lacking[0], "Administer Jira") {
		t.Errorf("lacking %q", target.Lacking)
	}
	mark := nhi.Mark{Stack: "a", Identity: "b"}
	w.wantCode("mark", w.d.UpdateAccount(t.Context(), w.ref, driver.AccountChange{Mark: &mark}), driver.PermissionDenied)
}

// TestShortList: a list that ends before its announced end is an error, not a shorter list.
func TestShortList(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		answers := map[string]string{
			"/rest/api/3/user": `{"accountId":"` + agent + `","active":true}`, "/rest/api/3/user/groups": `[]`,
			"/rest/api/3/user/properties/nhi": `{"value":{}}`,
			"/rest/api/3/project/search":      `{"values":[],"total":3,"isLast":true}`,
		}
		_, _ = io.WriteString(w, answers[r.URL.Path])
	}))
	t.Cleanup(server.Close)
	d := open(t, jira.Config{URL: server.URL, Username: "a", Token: secret.New("b")})
	_, err := d.ReadAccount(t.Context(), nhi.Ref{Name: agent})
	if err == nil || d.Classify(err).Code != driver.Unavailable {
		t.Errorf("error %v", err)
	}
}

// TestTheDocumentDecides: the fake refuses what Atlassian's document does not allow.
func TestTheDocumentDecides(t *testing.T) {
	t.Parallel()
	h := newHarness(t, jirafake.Options{})
	for _, path := range []string{
		"GET /rest/api/3/user?accountId=" + strings.Repeat("x", 129), "GET /rest/api/3/user?account=x", "GET /rest/api/3/users",
		"POST /rest/api/3/group/user?groupId=1", "GET /rest/api/3/project/search?maxResults=many", "GET /rest/api/3/project/BILL/role/x",
	} {
		method, path, _ := strings.Cut(path, " ")
		request, err := http.NewRequestWithContext(t.Context(), method, h.url+path, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		request.SetBasicAuth(administrator, h.token)
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(response.Body)
		_ = response.Body.Close()
		if response.StatusCode != http.StatusBadRequest || !strings.Contains(string(body), "published document") {
			t.Errorf("%s %s: %d %s", method, path, response.StatusCode, body)
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	good := jira.Config{URL: "https://example.atlassian.net", Username: "a@example.com", Token: secret.New("t")}
	for want, change := range map[string]func(*jira.Config){
		"API token":   func(c *jira.Config) { c.Token = secret.Value{} },
		"project key": func(c *jira.Config) { c.Projects = []string{"bill"} },
		"use https":   func(c *jira.Config) { c.URL = "http://example.atlassian.net" },
		"the organization: ": func(c *jira.Config) {
			c.OrganizationKey, c.OrganizationURL = secret.New("k"), "http://api.example"
		},
	} {
		config := good
		change(&config)
		if _, err := jira.Open(config); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
	if d, err := jira.Open(good); err != nil || d.Close() != nil {
		t.Errorf("a whole configuration: %v", err)
	}
}
