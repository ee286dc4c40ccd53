package redmine

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/driver/drivertest"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
	"github.com/nhi-labs/terraform-provider-nhi/internal/platform/internal/resttest"
	"github.com/nhi-labs/terraform-provider-nhi/internal/secret"
)

func (s *server) create(t *testing.T, c *client, settings map[string]string) nhi.Ref {
	t.Helper()
	ref, err := c.CreateAccount(t.Context(), driver.AccountSpec{
		Name: unique("bot-"), Mark: nhi.Mark{Stack: "peculiar", Identity: "bot"}, Settings: settings,
	})
	if err != nil {
		t.Fatalf("create: %v", err)
	}
	t.Cleanup(func() {
		if err := c.DeleteAccount(context.WithoutCancel(t.Context()), ref); err != nil {
			t.Errorf("clean up %q: %v", ref.Name, err)
		}
	})
	return ref
}

func wantHeld(t *testing.T, c *client, ref nhi.Ref, want ...nhi.Entitlement) {
	t.Helper()
	account, err := c.ReadAccount(t.Context(), ref)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(nhi.Texts(nhi.SortEntitlements(want)), nhi.Texts(account.Entitlements), cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("entitlements (-want +got):\n%s", diff)
	}
}

// TestInheritedRoles has one role in one project by two ways, of which Redmine treats one as if it were the other.
func TestInheritedRoles(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	c := open(t, s.config())
	p, g := s.project(t, `,"is_public":false`), s.group(t)
	roles := s.call(t, "GET", "/roles.json", "").Roles
	developer := numbers(roles)["Developer"]
	s.call(t, "POST", "/projects/"+p.Identifier+"/memberships.json", fmt.Sprintf(`{"membership":{"user_id":%d,"role_ids":[%d]}}`, g.ID, developer))
	role := nhi.Entitlement{Type: typeProject, Target: p.Identifier, Permission: "Developer"}
	other := nhi.Entitlement{Type: typeProject, Target: p.Identifier, Permission: "Reporter"}
	member := nhi.Entitlement{Type: typeGroup, Target: g.Name}
	ref := s.create(t, c, nil)
	grant := func(es ...nhi.Entitlement) error { return c.Grant(t.Context(), ref, es) }
	revoke := func(es ...nhi.Entitlement) error { return c.Revoke(t.Context(), ref, es) }

	if err := grant(member); err != nil {
		t.Fatal(err)
	}
	wantHeld(t, c, ref, member) // What the group gives is not the account's own.
	wantExplained(t, c, ref, g.Name, member.String(), role.String()+" < "+member.String())
	if err := grant(role); c.Classify(err).Code != driver.Invalid || !strings.Contains(err.Error(), "through a group") {
		t.Errorf("a direct role beside that of a group: %v", err)
	}
	if err := grant(other); err != nil {
		t.Fatal(err)
	}
	wantHeld(t, c, ref, member, other)
	if err := revoke(other); err != nil { // The membership stays, for the group.
		t.Fatal(err)
	}
	wantHeld(t, c, ref, member)
	if err := revoke(member); err != nil {
		t.Fatal(err)
	}
	wantHeld(t, c, ref)

	if err := grant(member, role); err != nil { // Both at once: the role first.
		t.Fatal(err)
	}
	wantHeld(t, c, ref, member, role)
	if err := revoke(role); c.Classify(err).Code != driver.Unsupported || !strings.Contains(err.Error(), "take that away first") {
		t.Errorf("the direct role while the group gives it: %v", err)
	}
	wantHeld(t, c, ref, member, role)
	if err := revoke(member, role); err != nil {
		t.Fatal(err)
	}
	wantHeld(t, c, ref)
	if err := grant(nhi.Entitlement{Type: typeGlobal, Target: administrator}); err != nil {
		t.Fatal(err)
	}
	wantHeld(t, c, ref, nhi.Entitlement{Type: typeGlobal, Target: administrator})
	if err := revoke(nhi.Entitlement{Type: typeGlobal, Target: administrator}); err != nil {
		t.Fatal(err)
	}
	wantHeld(t, c, ref)
}

// wantExplained compares the holdings that are of the test's own project and group.
func wantExplained(t *testing.T, c *client, ref nhi.Ref, group string, want ...string) {
	t.Helper()
	holdings, err := c.Explain(t.Context(), ref)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, h := range holdings {
		text := strings.Join(append([]string{h.Entitlement.String()}, h.Via...), " < ")
		if strings.Contains(text, group) {
			got = append(got, text)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("explained (-want +got):\n%s", diff)
	}
}

// TestExplainPublicProjects has what Redmine gives to everybody, and to members of a parent project.
func TestExplainPublicProjects(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	c := open(t, s.config())
	public, private := s.project(t, ""), s.project(t, `,"is_public":false`)
	child := s.project(t, fmt.Sprintf(`,"is_public":false,"parent_id":%d,"inherit_members":true`, private.ID))
	ref := s.create(t, c, nil)
	direct := nhi.Entitlement{Type: typeProject, Target: private.Identifier, Permission: "Manager"}
	if err := c.Grant(t.Context(), ref, []nhi.Entitlement{direct}); err != nil {
		t.Fatal(err)
	}
	wantHeld(t, c, ref, direct)
	wantExplained(t, c, ref, public.Identifier, "project:"+public.Identifier+"#Non member < Non member")
	wantExplained(t, c, ref, private.Identifier, direct.String())
	wantExplained(t, c, ref, child.Identifier, "project:"+child.Identifier+"#Manager < parent project")
}

// TestNotAnAdministrator: Redmine answers who may not see a user as if there were none.
func TestNotAnAdministrator(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	ref := s.create(t, open(t, s.config()), nil)
	config := s.config()
	config.APIKey = s.plainKey(t)
	weak := open(t, config)
	for _, r := range []nhi.Ref{ref, {Name: ref.Name}, {Name: "nobody"}, {Name: "nobody", ID: "999999@2006-01-02T15:04:05Z"}} {
		if _, err := weak.find(t.Context(), r); weak.Classify(err).Code != driver.PermissionDenied {
			t.Errorf("read of %v: %v", r, err)
		}
		if err := weak.DeleteAccount(t.Context(), r); weak.Classify(err).Code != driver.PermissionDenied {
			t.Errorf("delete of %v: %v", r, err)
		}
	}
	if _, err := weak.Probe(t.Context()); weak.Classify(err).Code != driver.PermissionDenied || !strings.Contains(err.Error(), "administrator") {
		t.Errorf("probe: %v", err)
	}
}

func TestWithoutTheCustomField(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	config := s.config()
	config.MarkField = unique("absent ")
	c := open(t, config)
	target, err := c.Probe(t.Context())
	if err != nil || len(target.Lacking) != 1 || !strings.Contains(target.Lacking[0], config.MarkField) {
		t.Errorf("probe: %+v, %v", target, err)
	}
	_, err = c.CreateAccount(t.Context(), driver.AccountSpec{Name: unique("bot-")})
	if c.Classify(err).Code != driver.Invalid {
		t.Errorf("create: %v", err)
	}
}

// TestTextOfOthersIsKept has somebody's own words in the custom field.
func TestTextOfOthersIsKept(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	c := open(t, s.config())
	ref := s.create(t, c, nil)
	field, err := c.fieldID(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	const words = "ask <Ops> & \"QA\" [first]"
	s.call(t, "PUT", userPath(s.idOf(t, ref.Name)), fmt.Sprintf(`{"user":{"custom_fields":[{"id":%d,"value":%s}]}}`, field, encode(t, words)))
	mark := nhi.Mark{Stack: "other", Identity: "x"}
	update := func(m nhi.Mark) {
		if err := c.UpdateAccount(t.Context(), ref, driver.AccountChange{Mark: &m}); err != nil {
			t.Fatal(err)
		}
	}
	update(mark)
	label := "a]b c:é [nhi-credential:v1:X:1:y]"
	issued, err := c.Issue(t.Context(), ref, driver.IssueRequest{Label: label})
	if err != nil {
		t.Fatal(err)
	}
	got, err := c.ReadAccount(t.Context(), ref)
	if err != nil || got.Mark != mark || len(got.Credentials) != 1 || got.Credentials[0] != issued.Credential || got.Credentials[0].Label != label {
		t.Errorf("read %+v, %v; issued %+v", got, err, issued.Credential)
	}
	update(nhi.Mark{})
	if err := c.RevokeCredential(t.Context(), ref, issued.Credential.ID); err != nil {
		t.Fatal(err)
	}
	if u, err := c.find(t.Context(), ref); err != nil || u.text(field) != words {
		t.Errorf("the field says %q, %v; want %q", u.text(field), err, words)
	}
}

// TestNumberGivenAgain: this database gives the number of the newest user to the next one. Whoever still has the id of the
// user that is gone reaches nobody.
func TestNumberGivenAgain(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	c := open(t, s.config())
	ref := s.create(t, c, nil)
	number, created, _ := strings.Cut(ref.ID, "@")
	gone := nhi.Ref{Name: ref.Name, ID: number + "@2006-01-02T15:04:05Z"}
	renamed := nhi.Ref{Name: unique("another"), ID: ref.ID}
	if created == "" {
		t.Fatalf("id %q", ref.ID)
	}
	if _, err := c.ReadAccount(t.Context(), gone); driver.CodeOf(err) != driver.NotFound {
		t.Errorf("read: %v", err)
	}
	for _, other := range []nhi.Ref{gone, renamed} {
		if err := c.Suspend(t.Context(), other); driver.CodeOf(err) != driver.NotFound {
			t.Errorf("suspend %+v: %v", other, err)
		}
		if err := c.DeleteAccount(t.Context(), other); err != nil {
			t.Errorf("delete %+v: %v", other, err)
		}
	}
	if account, err := c.ReadAccount(t.Context(), ref); err != nil || account.Status != nhi.Active {
		t.Errorf("the user who is meant by nobody: %+v, %v", account, err)
	}
}

// TestNoKeyIsShown: Redmine shows administrators every user's API key in clear.
func TestNoKeyIsShown(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	c := open(t, s.config())
	ref := s.create(t, c, map[string]string{settingEmail: unique("m") + "@example.com"})
	key := s.call(t, "GET", userPath(s.idOf(t, ref.Name)), "").User.APIKey
	u, err := c.find(t.Context(), ref)
	if err != nil || key == "" {
		t.Fatalf("key %q, %v", key, err)
	}
	if text, err := json.Marshal(u); err != nil || strings.Contains(string(text), key) {
		t.Errorf("what is read of a user has its API key: %v", err)
	}
	// The key ends with the account's right to log in.
	config := s.config()
	config.APIKey = secret.New(key)
	as := open(t, config)
	if me, err := as.currentUser(t.Context()); err != nil || me.Login != ref.Name {
		t.Fatalf("the key is that of %q, %v", me.Login, err)
	}
	if err := c.Suspend(t.Context(), ref); err != nil {
		t.Fatal(err)
	}
	if _, err := as.currentUser(t.Context()); as.Classify(err).Code != driver.Unauthenticated {
		t.Errorf("the key of a suspended account: %v", err)
	}
}

// TestLists has lists that change while they are read, and such as are not whole.
func TestLists(t *testing.T) {
	t.Parallel()
	const total = 250
	for _, c := range []struct {
		name string
		// page returns the ids from offset on, and the total; request counts from 0.
		page func(request, offset int) (ids []int, total int)
		want int
		fail string
	}{
		{"quiet", func(_, offset int) ([]int, int) { return ids(offset, total), total }, total, ""},
		{"the first row goes after the first page", func(request, offset int) ([]int, int) {
			if request == 0 {
				return ids(offset, total), total
			}
			return ids(offset+1, total), total - 1
		}, total - 1, ""},
		{"one comes at the end", func(request, offset int) ([]int, int) {
			n := total + min(request, 1)
			return ids(offset, n), n
		}, total + 1, ""},
		{"always another", func(request, offset int) ([]int, int) { return ids(offset+request, total+request), total }, 0, "changed 5 times while it was read"},
		{"rows are missing", func(_, offset int) ([]int, int) { return ids(offset, total-1), total }, 0, "has 250 rows, and Redmine gave 249"},
		{"nothing of something", func(int, int) ([]int, int) { return nil, total }, 0, "has 250 rows, and Redmine gave 0"},
		{"empty", func(int, int) ([]int, int) { return nil, 0 }, 0, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			requests := 0
			fake := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				offset, _ := strconv.Atoi(r.URL.Query().Get("offset"))
				found, total := c.page(requests, offset)
				requests++
				users := make([]user, len(found))
				for i, id := range found {
					users[i].ID = id
				}
				w.Header().Set("Content-Type", "application/json")
				_ = json.NewEncoder(w).Encode(pageOf{Users: users, TotalCount: &total, Offset: offset, Limit: maxPage})
			}))
			defer fake.Close()
			d := open(t, Config{URL: fake.URL, APIKey: secret.New("k")})
			got, err := d.users(t.Context(), statusActive, nil)
			if (err == nil) != (c.fail == "") || err != nil && !strings.Contains(err.Error(), c.fail) || len(got) != c.want {
				t.Errorf("%d users, %v; want %d, %q", len(got), err, c.want, c.fail)
			}
			if err != nil && d.Classify(err).Code == driver.NotFound {
				t.Errorf("a list that is not whole is absence: %v", err)
			}
		})
	}
}

// ids are the numbers from offset up to total, at most a page of them.
func ids(offset, total int) []int {
	var found []int
	for id := offset; id < min(offset+maxPage, total); id++ {
		found = append(found, id+1)
	}
	return found
}

func TestSweepSeesLockedUsers(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	c := open(t, s.config())
	ref := s.create(t, c, nil)
	if err := c.Suspend(t.Context(), ref); err != nil {
		t.Fatal(err)
	}
	if got, err := c.ReadAccount(t.Context(), nhi.Ref{Name: ref.Name}); err != nil || got.Status != nhi.Suspended {
		t.Errorf("read by name: %+v, %v", got, err)
	}
	var found []nhi.Account
	err := c.Sweep(t.Context(), driver.SweepFilter{Stack: "peculiar"}, func(page []nhi.Account) error {
		found = append(found, page...)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range found {
		if a.Ref == ref && a.Status == nhi.Suspended {
			return
		}
	}
	t.Errorf("a sweep of %d accounts lacks the locked one", len(found))
}

func TestAddresses(t *testing.T) {
	t.Parallel()
	c := open(t, Config{URL: "http://127.0.0.1", APIKey: secret.New("k"), EmailDomain: "bots.example.com"})
	seen := map[string]string{}
	for _, login := range []string{"a", "A.b", "a@b", "a=b@x", strings.Repeat("x", 60), strings.Repeat("x", 59) + "y"} {
		address := c.address(login)
		if len(address) > maxMail || !strings.HasSuffix(address, "@bots.example.com") || strings.Count(address, "@") != 1 || seen[address] != "" {
			t.Errorf("%q gets %q, as %q does", login, address, seen[address])
		}
		seen[address] = login
	}
}

func TestGrammar(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"project:billing#Developer": "", "group:Billing #1": "", "global:administrator": "",
		"project:BILL#Developer": `write "project:bill#Developer"`, "project:billing": "lacks the permission",
		"project:12#Developer": "identifier", "project:new#Developer": "identifier", "project:a/b#Developer": "identifier",
		"global:Administrator": `write "global:administrator"`, "global:root": "one global right",
	} {
		_, err := Spec().Grammar.Parse(text)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}

func TestSelfIsProtected(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	c := open(t, s.config())
	admin := nhi.Ref{Name: "admin"}
	for what, err := range map[string]error{
		"suspend": c.Suspend(t.Context(), admin), "delete": c.DeleteAccount(t.Context(), admin),
		"revoke": c.Revoke(t.Context(), admin, []nhi.Entitlement{{Type: typeGlobal, Target: administrator}}),
	} {
		if c.Classify(err).Code != driver.Invalid {
			t.Errorf("%s of the user whose key is used: %v", what, err)
		}
	}
}

// TestBrokenLogin: a broken connection says nothing about a password.
func TestBrokenLogin(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	for _, fault := range []drivertest.Fault{drivertest.Refused, drivertest.Malformed, drivertest.EmptyAnswers, drivertest.Overloaded} {
		d := s.WithFault(t, fault)
		c, _ := d.(*client) //nolint:forcetypeassert // Open returns nothing else.
		if err := c.Verify(t.Context(), "x", secret.New("y")); err == nil || c.Classify(err).Code == driver.Unauthenticated {
			t.Errorf("%s: %v", fault, err)
		}
	}
}

func TestRateLimits(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	target, err := url.Parse(s.bed.URL)
	if err != nil {
		t.Fatal(err)
	}
	resttest.RateLimits(t, s, func(change func(http.Handler) http.Handler) driver.Driver {
		proxy := httptest.NewServer(change(httputil.NewSingleHostReverseProxy(target)))
		t.Cleanup(proxy.Close)
		config := s.config()
		config.URL = proxy.URL
		return open(t, config)
	})
}
