package vault_test

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
	"github.com/nhi-labs/terraform-provider-nhi/internal/platform/vault"
)

var mark = nhi.Mark{Stack: "payments-test", Identity: "billing-agent"}

// all is a driver with every interface that the kind declares.
type all interface {
	driver.Driver
	driver.Suspender
	driver.Issuer
	driver.Verifier
	driver.SessionEnder
	driver.SecretStore
	driver.TokenMinter
	driver.Explainer
}

func full(t *testing.T, d driver.Driver) all {
	t.Helper()
	a, ok := d.(all)
	if !ok {
		t.Fatalf("%T lacks a capability", d)
	}
	return a
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, d driver.Driver, ref nhi.Ref) nhi.Account {
	t.Helper()
	account, err := d.ReadAccount(t.Context(), ref)
	must(t, err)
	return account
}

func create(t *testing.T, d driver.Driver) nhi.Ref {
	t.Helper()
	ref, err := d.CreateAccount(t.Context(), driver.AccountSpec{Name: random("bot"), Mark: mark})
	must(t, err)
	return ref
}

func wantCode(t *testing.T, d driver.Driver, err error, want driver.Code) {
	t.Helper()
	if err == nil || d.Classify(err).Code != want {
		t.Fatalf("error %v has the code %v, want %v", err, d.Classify(err).Code, want)
	}
}

func wantHolds(t *testing.T, d driver.Driver, ref nhi.Ref, want ...string) {
	t.Helper()
	got := nhi.Texts(read(t, d, ref).Entitlements)
	if !slices.Equal(got, want) {
		t.Fatalf("entitlements are %q, want %q", got, want)
	}
}

// login logs in out of band and returns the token.
func (s *server) login(t *testing.T, roleID, secretID string) string {
	t.Helper()
	return s.call(t, http.MethodPost, "auth/"+s.mount+"/login",
		encode(t, map[string]string{"role_id": roleID, "secret_id": secretID})).Auth.ClientToken
}

// tokenWorks reports whether Vault answers the token's own question about itself.
func (s *server) tokenWorks(t *testing.T, token string) bool {
	t.Helper()
	status, _ := s.try(t, token, http.MethodGet, "auth/token/lookup-self", "")
	return status == http.StatusOK
}

// tokenEntity returns the id of the entity that a token belongs to.
func (s *server) tokenEntity(t *testing.T, token string) string {
	t.Helper()
	_, body := s.try(t, token, http.MethodGet, "auth/token/lookup-self", "")
	var out struct {
		Data struct {
			EntityID string `json:"entity_id"`
		} `json:"data"`
	}
	must(t, json.Unmarshal(body, &out))
	return out.Data.EntityID
}

// entityNames lists the names of all entities. Vault answers 404 if there is none.
func (s *server) entityNames(t *testing.T) []string {
	t.Helper()
	status, body := s.try(t, s.token, http.MethodGet, "identity/entity/name?list=true", "")
	if status != http.StatusOK && status != http.StatusNotFound {
		t.Fatalf("list of entities: status %d: %s", status, body)
	}
	var out answer
	must(t, json.Unmarshal(body, &out))
	return out.Data.Keys
}

// TestRoleBesideAPersonsEntity adopts an AppRole that has the name of a person who logs in by other means: the person's
// rights do not go to the AppRole.
func TestRoleBesideAPersonsEntity(t *testing.T) {
	s := newServer(t)
	d := full(t, s.Open(t))
	name, e := random("alice"), s.policy(t)
	person := s.call(t, http.MethodPost, "identity/entity", encode(t, map[string]any{"name": name, "policies": []string{e.Target}})).Data.ID
	elsewhere := s.call(t, http.MethodGet, "sys/internal/ui/mounts/auth/token", "").Data.Accessor
	s.call(t, http.MethodPost, "identity/entity-alias",
		encode(t, map[string]string{"name": name, "canonical_id": person, "mount_accessor": elsewhere}))
	s.call(t, http.MethodPost, s.role(name), `{}`)
	before := read(t, d, nhi.Ref{Name: name})
	must(t, d.UpdateAccount(t.Context(), before.Ref, driver.AccountChange{Mark: &mark}))
	wantHolds(t, d, before.Ref)
	if after := read(t, d, nhi.Ref{Name: name}); after.Mark != mark || after.Ref != before.Ref {
		t.Errorf("adopted AppRole reads as %+v", after)
	}
	must(t, d.DeleteAccount(t.Context(), before.Ref))
	left := s.call(t, http.MethodGet, "identity/entity/id/"+person, "").Data
	if left.Name != name || left.Metadata["nhi_mark"] != "" || !slices.Equal(left.Policies, []string{e.Target}) {
		t.Errorf("the person's entity is now %+v", left)
	}
	s.call(t, http.MethodDelete, "identity/entity/id/"+person, "")
}

// TestRecreatedRoleIsNotOurs deletes the role by hand and makes another of its name.
func TestRecreatedRoleIsNotOurs(t *testing.T) {
	s := newServer(t)
	d := full(t, s.Open(t))
	ref := create(t, d)
	s.call(t, http.MethodDelete, s.role(ref.Name), "")
	s.call(t, http.MethodPost, s.role(ref.Name), `{}`)
	if byName := read(t, d, nhi.Ref{Name: ref.Name}); !byName.Mark.IsZero() || byName.ID == ref.ID {
		t.Fatalf("the other role reads as %+v", byName)
	}
	if byID := read(t, d, ref); byID.Status != nhi.Suspended || byID.Mark != mark {
		t.Fatalf("our account reads as %+v", byID)
	}
	wantCode(t, d, d.Resume(t.Context(), ref), driver.AlreadyExists)
	must(t, d.DeleteAccount(t.Context(), ref))
	if got := s.call(t, http.MethodGet, s.role(ref.Name)+"/role-id", "").Data.RoleID; got == "" {
		t.Fatal("the other role was deleted")
	}
	s.call(t, http.MethodDelete, s.role(ref.Name), "")
}

func TestLiveTokens(t *testing.T) {
	for _, tokenType := range []string{"service", "batch"} {
		t.Run(tokenType, func(t *testing.T) {
			s := newServer(t)
			d := full(t, s.Open(t))
			ref := create(t, d)
			s.call(t, http.MethodPost, s.role(ref.Name), encode(t, map[string]string{"token_type": tokenType}))
			issued, err := d.Issue(t.Context(), ref, driver.IssueRequest{Label: "a"})
			must(t, err)
			token := s.login(t, issued.Login, issued.Secret.Reveal())
			if got := s.tokenEntity(t, token); got != ref.ID {
				t.Fatalf("the token belongs to entity %q, want %q", got, ref.ID)
			}
			must(t, d.Suspend(t.Context(), ref))
			if s.tokenWorks(t, token) {
				t.Error("the token of a suspended account works")
			}
			must(t, d.Resume(t.Context(), ref))
			if !s.tokenWorks(t, token) {
				t.Error("the token of a resumed account does not work")
			}
			must(t, d.DeleteAccount(t.Context(), ref))
			if s.tokenWorks(t, token) {
				t.Error("the token of a deleted account works")
			}
		})
	}
}

func TestEndSessions(t *testing.T) {
	s := newServer(t)
	d := full(t, s.Open(t))
	ref, other := create(t, d), create(t, d)
	var tokens []string
	for _, r := range []nhi.Ref{ref, ref, other} {
		issued, err := d.Issue(t.Context(), r, driver.IssueRequest{Label: random("l")})
		must(t, err)
		tokens = append(tokens, s.login(t, issued.Login, issued.Secret.Reveal()))
	}
	must(t, d.EndSessions(t.Context(), ref))
	for i, want := range []bool{false, false, true} {
		if s.tokenWorks(t, tokens[i]) != want {
			t.Errorf("token %d works is %v, want %v", i, !want, want)
		}
	}
	if got := len(read(t, d, ref).Credentials); got != 2 {
		t.Errorf("%d secret ids are left, want 2", got)
	}
	must(t, d.DeleteAccount(t.Context(), ref))
	must(t, d.EndSessions(t.Context(), ref))
	must(t, d.DeleteAccount(t.Context(), other))
}

// TestVerifyLeavesNoToken counts the tokens of the account after verification.
func TestVerifyLeavesNoToken(t *testing.T) {
	s := newServer(t)
	d := full(t, s.Open(t))
	ref := create(t, d)
	s.call(t, http.MethodPost, s.role(ref.Name), `{"token_no_default_policy":true}`)
	issued, err := d.Issue(t.Context(), ref, driver.IssueRequest{Label: "a"})
	must(t, err)
	must(t, d.Verify(t.Context(), issued.Login, issued.Secret))
	for _, accessor := range s.call(t, http.MethodGet, "auth/token/accessors?list=true", "").Data.Keys {
		_, body := s.try(t, s.token, http.MethodPost, "auth/token/lookup-accessor", encode(t, map[string]string{"accessor": accessor}))
		if strings.Contains(string(body), ref.ID) {
			t.Error("verification left a token")
		}
	}
	must(t, d.DeleteAccount(t.Context(), ref))
}

// TestPoliciesOnTheRole puts a policy on the AppRole by hand, in another case.
func TestPoliciesOnTheRole(t *testing.T) {
	s := newServer(t)
	d := s.Open(t)
	ref, byHand, kept := create(t, d), s.policy(t), s.policy(t)
	must(t, d.Grant(t.Context(), ref, []nhi.Entitlement{kept}))
	policies := []string{strings.ToUpper(byHand.Target), "default", kept.Target}
	s.call(t, http.MethodPost, s.role(ref.Name), encode(t, map[string]any{"token_policies": policies}))
	wantHolds(t, d, ref, nhi.Texts(nhi.SortEntitlements([]nhi.Entitlement{byHand, kept}))...)
	must(t, d.Revoke(t.Context(), ref, []nhi.Entitlement{byHand}))
	wantHolds(t, d, ref, kept.String())
	must(t, d.Revoke(t.Context(), ref, []nhi.Entitlement{kept}))
	wantHolds(t, d, ref)
	must(t, d.DeleteAccount(t.Context(), ref))
}

func TestExternalGroupIsObserved(t *testing.T) {
	s := newServer(t)
	d := s.Open(t)
	ref, name := create(t, d), random("ldap")
	s.call(t, http.MethodPost, "identity/group", encode(t, map[string]string{"name": name, "type": "external"}))
	err := d.Grant(t.Context(), ref, []nhi.Entitlement{{Type: "group", Target: name}})
	wantCode(t, d, err, driver.Invalid)
	group := s.group(t)
	err = d.Grant(t.Context(), ref, []nhi.Entitlement{{Type: "group", Target: strings.ToUpper(group.Target)}})
	wantCode(t, d, err, driver.Invalid)
	if !strings.Contains(err.Error(), group.String()) {
		t.Errorf("error %q does not tell the group's own spelling", err)
	}
	must(t, d.DeleteAccount(t.Context(), ref))
}

// TestLostMembershipIsAConflict lets another writer replace the members just after the driver wrote them.
func TestLostMembershipIsAConflict(t *testing.T) {
	s := newServer(t)
	cfg := s.config()
	cfg.Address = s.proxy(t, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			next.ServeHTTP(w, r)
			if strings.HasPrefix(r.URL.Path, "/v1/identity/group/id/") {
				s.call(t, http.MethodPost, strings.TrimPrefix(r.URL.Path, "/v1/"), `{"member_entity_ids":[]}`)
			}
		})
	})
	d := s.open(t, cfg)
	ref := create(t, d)
	wantCode(t, d, d.Grant(t.Context(), ref, []nhi.Entitlement{s.group(t)}), driver.Conflict)
	must(t, d.DeleteAccount(t.Context(), ref))
}

// TestCostOfARead fixes how many requests a read costs: four, one more for each group and each secret id.
func TestCostOfARead(t *testing.T) {
	s := newServer(t)
	var c counter
	cfg := s.config()
	cfg.Address = s.proxy(t, c.count)
	d := full(t, s.open(t, cfg))
	ref := create(t, d)
	must(t, d.Grant(t.Context(), ref, []nhi.Entitlement{s.policy(t), s.policy(t), s.group(t)}))
	_, err := d.Issue(t.Context(), ref, driver.IssueRequest{Label: "a"})
	must(t, err)
	began := len(c.since(0))
	read(t, d, ref)
	if made := c.since(began); len(made) != 4+1+1 {
		t.Errorf("a read made %d requests:\n%s", len(made), strings.Join(made, "\n"))
	}
	must(t, d.DeleteAccount(t.Context(), ref))
}

func TestNames(t *testing.T) {
	for name, want := range map[string]string{
		"billing-agent": "", "a": "", "_a.b-c_": "", "T_BOT": `write "t_bot"`, "a/b": "lower-case letters", "-a": "neither begins",
		"a..b": "single dot", strings.Repeat("a", 201): "longer than",
	} {
		err := vault.Spec().CheckName(name)
		if (err == nil) != (want == "") || (err != nil && !strings.Contains(err.Error(), want)) {
			t.Errorf("CheckName(%q) is %v, want %q", name, err, want)
		}
	}
	for text, want := range map[string]string{
		"policy:billing-read": "", "policy:Billing": `write "policy:billing"`, "policy:root": "root tokens", "policy:default": "leave it out",
		"policy:../x": "..", "external-group:x": "grant the group there", "group:A/../b #": "",
	} {
		_, err := vault.Spec().Grammar.Parse(text)
		if (err == nil) != (want == "") || (err != nil && !strings.Contains(err.Error(), want)) {
			t.Errorf("Parse(%q) is %v, want %q", text, err, want)
		}
	}
}
