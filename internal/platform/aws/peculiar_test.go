package aws_test

import (
	"bytes"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
	"github.com/nhi-labs/terraform-provider-nhi/internal/secret"
)

var mark = nhi.Mark{Stack: "payments-test", Identity: "billing-agent"}

// all is a driver with every interface that the kind declares.
type all interface {
	driver.Driver
	driver.Suspender
	driver.Sweeper
	driver.Issuer
	driver.Verifier
	driver.SecretStore
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

func create(t *testing.T, d driver.Driver) nhi.Ref {
	t.Helper()
	ref, err := d.CreateAccount(t.Context(), driver.AccountSpec{Name: random("bot"), Mark: mark})
	must(t, err)
	return ref
}

func read(t *testing.T, d driver.Driver, ref nhi.Ref) nhi.Account {
	t.Helper()
	account, err := d.ReadAccount(t.Context(), ref)
	must(t, err)
	return account
}

func wantCode(t *testing.T, d driver.Driver, err error, want driver.Code) {
	t.Helper()
	if err == nil || d.Classify(err).Code != want {
		t.Errorf("error %v, want one of code %q", err, want)
	}
}

// before passes requests on and calls hook before each; true from hook answers the request with 503 instead.
func before(t *testing.T, to string, hook func(form url.Values, body string) bool) string {
	t.Helper()
	return proxy(t, to, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(r.Body)
			if err != nil {
				return
			}
			form, _ := url.ParseQuery(string(body))
			if target := r.Header.Get("X-Amz-Target"); target != "" {
				form = url.Values{"Action": {strings.TrimPrefix(target, "secretsmanager.")}}
			}
			if hook(form, string(body)) {
				http.Error(w, "busy", http.StatusServiceUnavailable)
				return
			}
			r.Body = io.NopCloser(bytes.NewReader(body))
			next.ServeHTTP(w, r)
		})
	})
}

// TestDeleteConflict deletes a user that has everything which AWS wants to be gone first.
func TestDeleteConflict(t *testing.T) {
	t.Parallel()
	a := newAccount(t)
	var late atomic.Bool
	name := ""
	cfg := a.config()
	cfg.Endpoint = before(t, a.URL, func(form url.Values, _ string) bool {
		if form.Get("Action") == "DeleteUser" && late.CompareAndSwap(false, true) {
			a.AddKey(name, true) // Somebody adds a key after the driver has emptied the user.
		}
		return false
	})
	d := full(t, open(t, cfg))
	ref := create(t, d)
	name = ref.Name
	must(t, d.Grant(t.Context(), ref, []nhi.Entitlement{a.policy(), a.group()}))
	_, err := d.Issue(t.Context(), ref, driver.IssueRequest{Label: "a"})
	must(t, err)
	a.Burden(ref.Name)
	must(t, d.Suspend(t.Context(), ref))
	must(t, d.DeleteAccount(t.Context(), ref))
	if n := a.Users(); n != 0 {
		t.Errorf("%d users are left", n)
	}
	deletions := 0
	for _, call := range a.Calls() {
		if call == "DeleteUser" {
			deletions++
		}
	}
	if deletions != 2 {
		t.Errorf("the user was deleted %d times, want one refusal and one success", deletions)
	}
}

// TestTwoKeys lets somebody take the second slot between the driver's look and its request.
func TestTwoKeys(t *testing.T) {
	t.Parallel()
	a := newAccount(t)
	name := ""
	cfg := a.config()
	cfg.Endpoint = before(t, a.URL, func(form url.Values, _ string) bool {
		if form.Get("Action") == "CreateAccessKey" {
			a.AddKey(name, true)
			a.AddKey(name, false)
		}
		return false
	})
	d := full(t, open(t, cfg))
	ref := create(t, d)
	name = ref.Name
	_, err := d.Issue(t.Context(), ref, driver.IssueRequest{Label: "a"})
	wantCode(t, d, err, driver.Conflict)
	for key := range a.Tags(name) {
		if key != "nhi:mark" {
			t.Errorf("the tag %s is left", key)
		}
	}
	for _, c := range read(t, d, ref).Credentials {
		if c.Label != "" {
			t.Errorf("the key of somebody else has our label %q", c.Label)
		}
	}
}

// TestEventualConsistency does everything in a row while reads do not know yet of what was just changed.
func TestEventualConsistency(t *testing.T) {
	t.Parallel()
	a := newAccount(t)
	a.Delay = 300 * time.Millisecond
	d := full(t, a.Open(t))
	es := []nhi.Entitlement{a.policy(), a.group()}
	time.Sleep(a.Delay) // The policies have been there for a while.
	ref := create(t, d)
	if got := read(t, d, ref).Mark; got != mark {
		t.Errorf("mark %q right after the creation", got)
	}
	must(t, d.Grant(t.Context(), ref, es))
	if got := read(t, d, ref).Entitlements; len(got) != 2 {
		t.Errorf("entitlements %v right after the grant", got)
	}
	issued, err := d.Issue(t.Context(), ref, driver.IssueRequest{Label: "a"})
	must(t, err)
	must(t, d.Verify(t.Context(), issued.Login, issued.Secret))
	must(t, d.Suspend(t.Context(), ref))
	if got := read(t, d, ref).Status; got != nhi.Suspended {
		t.Errorf("status %q right after the suspension", got)
	}
	must(t, d.Resume(t.Context(), ref))
	must(t, d.Verify(t.Context(), issued.Login, issued.Secret))
	must(t, d.Revoke(t.Context(), ref, es))
	if got := read(t, d, ref).Entitlements; len(got) != 0 {
		t.Errorf("entitlements %v right after the revocation", got)
	}
	must(t, d.RevokeCredential(t.Context(), ref, issued.Credential.ID))
	must(t, d.DeleteAccount(t.Context(), ref))
	_, err = d.ReadAccount(t.Context(), ref)
	wantCode(t, d, err, driver.NotFound)

	// What nobody here has made is not waited for.
	begin := time.Now()
	_, err = d.ReadAccount(t.Context(), nhi.Ref{Name: random("nobody")})
	wantCode(t, d, err, driver.NotFound)
	wantCode(t, d, d.Verify(t.Context(), "AKIAUNKNOWN", issued.Secret), driver.Unauthenticated)
	if waited := time.Since(begin); waited > a.config().Settle {
		t.Errorf("waited %s for what never was", waited)
	}
}

// TestHalfAGrantIsTakenBack has a login that may fill groups and not attach policies, while reads lag behind: what was given
// before the refusal shows to who reads next, and is revoked.
func TestHalfAGrantIsTakenBack(t *testing.T) {
	t.Parallel()
	a := newAccount(t)
	a.Delay = 300 * time.Millisecond
	cfg := a.config()
	id, key := a.AddAdmin(func(action string) bool { return !strings.HasSuffix(action, "tachUserPolicy") })
	cfg.AccessKeyID, cfg.SecretAccessKey = id, secret.New(key)
	d := full(t, open(t, cfg))
	es := []nhi.Entitlement{a.group(), a.policy()}
	time.Sleep(a.Delay) // The policies have been there for a while.
	ref := create(t, d)
	wantCode(t, d, d.Grant(t.Context(), ref, es), driver.PermissionDenied)
	if diff := cmp.Diff(es[:1], read(t, d, ref).Entitlements); diff != "" {
		t.Errorf("shown right after half a grant (-want +got):\n%s", diff)
	}
	must(t, d.Revoke(t.Context(), ref, es))
	time.Sleep(a.Delay)
	if got := read(t, d, ref).Entitlements; len(got) > 0 {
		t.Errorf("%v is left of half a grant", got)
	}

	// What AWS does not show yet is taken away, or it is an error that it may not be.
	es[1] = a.policy()
	time.Sleep(a.Delay)
	a.Attach(ref.Name, es[1].Target, es[0].Target)
	wantCode(t, d, d.Revoke(t.Context(), ref, es), driver.PermissionDenied)
	time.Sleep(a.Delay)
	if diff := cmp.Diff(es[1:], read(t, d, ref).Entitlements); diff != "" {
		t.Errorf("held after the revocation (-want +got):\n%s", diff)
	}
	must(t, d.Suspend(t.Context(), ref))
	must(t, d.Revoke(t.Context(), ref, []nhi.Entitlement{{Type: "inline", Target: "nhi-suspended"}}))
	time.Sleep(a.Delay)
	if got := read(t, d, ref).Status; got != nhi.Suspended {
		t.Errorf("a revocation that names the policy of the suspension has left the user %q", got)
	}
}

func TestRenamedUserIsFoundByItsID(t *testing.T) {
	t.Parallel()
	a := newAccount(t)
	d := a.Open(t)
	for range 10 { // More than one page.
		create(t, d)
	}
	ref := create(t, d)
	renamed := random("zz-renamed")
	a.Rename(ref.Name, renamed)
	if got := read(t, d, ref); got.Name != renamed || got.ID != ref.ID {
		t.Errorf("found %+v", got.Ref)
	}
	_, err := d.CreateAccount(t.Context(), driver.AccountSpec{Name: strings.ToUpper(renamed), Mark: mark})
	wantCode(t, d, err, driver.AlreadyExists)
	must(t, d.DeleteAccount(t.Context(), ref))
	if n := a.Users(); n != 10 {
		t.Errorf("%d users are left, want 10", n)
	}
}

// TestSweepCountsPages reads what users hold in pages, and keys only of the stack's users.
func TestSweepCountsPages(t *testing.T) {
	t.Parallel()
	for _, noBulk := range []bool{false, true} {
		a := newAccount(t)
		a.NoBulk = noBulk
		d := full(t, a.Open(t))
		ref := create(t, d)
		for range 20 {
			a.AddUser(random("stranger"))
		}
		target, err := d.Probe(t.Context())
		must(t, err)
		if blind := len(target.Blind) == 1; blind != noBulk {
			t.Errorf("blind: %q", target.Blind)
		}
		begin := len(a.Calls())
		var found []nhi.Account
		must(t, d.Sweep(t.Context(), driver.SweepFilter{Stack: mark.Stack}, func(page []nhi.Account) error {
			found = append(found, page...)
			return nil
		}))
		if len(found) != 1 || found[0].Ref != ref {
			t.Errorf("found %v", found)
		}
		calls := a.Calls()[begin:]
		if want := 4; !noBulk && len(calls) != want { // 21 users on pages of 7, and the keys of one.
			t.Errorf("%d requests, want %d: %v", len(calls), want, calls)
		}
		if single := slices.Contains(calls, "GetUser"); single != noBulk {
			t.Errorf("users are read one by one: %v", single)
		}
	}
}

func TestLastUse(t *testing.T) {
	t.Parallel()
	a := newAccount(t)
	d := full(t, a.Open(t))
	ref := create(t, d)
	issued, err := d.Issue(t.Context(), ref, driver.IssueRequest{Label: "a"})
	must(t, err)
	if got := read(t, d, ref).Credentials[0].LastUsedAt; !got.IsZero() {
		t.Errorf("a key that was never used was used at %s", got)
	}
	must(t, d.Verify(t.Context(), issued.Login, issued.Secret))
	if got := read(t, d, ref).Credentials[0].LastUsedAt; time.Since(got) > time.Minute {
		t.Errorf("a key that was just used was used at %s", got)
	}
}

func TestExplain(t *testing.T) {
	t.Parallel()
	a := newAccount(t)
	d := full(t, a.Open(t))
	ref, direct, inherited := create(t, d), a.policy(), a.policy()
	a.AddGroup("analysts", []string{inherited.Target}, []string{"by-hand"})
	a.Attach(ref.Name, direct.Target, "analysts")
	got, err := d.Explain(t.Context(), ref)
	must(t, err)
	var texts []string
	for _, h := range got {
		texts = append(texts, h.Entitlement.String()+" via "+strings.Join(h.Via, ","))
	}
	want := []string{
		"group:analysts via ", direct.String() + " via ", "inline:by-hand via group:analysts", inherited.String() + " via group:analysts",
	}
	if diff := cmp.Diff(want, texts); diff != "" {
		t.Errorf("holdings (-want +got):\n%s", diff)
	}
}

// TestInline observes an inline policy and takes it away, but makes none.
func TestInline(t *testing.T) {
	t.Parallel()
	a := newAccount(t)
	d := full(t, a.Open(t))
	ref := create(t, d)
	a.Burden(ref.Name)
	shown := nhi.Entitlement{Type: "inline", Target: "by-hand"}
	if got := read(t, d, ref).Entitlements; !slices.Equal(got, []nhi.Entitlement{shown}) {
		t.Errorf("entitlements %v", got)
	}
	wantCode(t, d, d.Grant(t.Context(), ref, []nhi.Entitlement{shown}), driver.Unsupported)
	must(t, d.Revoke(t.Context(), ref, []nhi.Entitlement{shown}))
	if got := read(t, d, ref).Entitlements; len(got) != 0 {
		t.Errorf("entitlements %v", got)
	}
}

// TestStoreLosesNoWrite lets another program write between the comparison and the change.
func TestStoreLosesNoWrite(t *testing.T) {
	t.Parallel()
	a := newAccount(t)
	path := random("warehouse")
	var hook atomic.Bool
	cfg := a.config()
	cfg.Endpoint = before(t, a.URL, func(form url.Values, _ string) bool {
		if form.Get("Action") == "UpdateSecretVersionStage" && hook.CompareAndSwap(true, false) {
			a.WriteByHand(path, "11111111-2222-3333-4444-555555555555", "by hand")
		}
		return false
	})
	d := full(t, open(t, cfg))
	s := driver.StoredSecret{Fields: map[string]secret.Value{"password": secret.New("first")}}
	version, err := d.PutSecret(t.Context(), path, s)
	must(t, err)
	hook.Store(true)
	s.Version = version
	_, err = d.PutSecret(t.Context(), path, s)
	wantCode(t, d, err, driver.Conflict)
	_, err = d.PutSecret(t.Context(), path, s) // The write by hand has another number than ours.
	wantCode(t, d, err, driver.Conflict)
	got, err := d.GetSecret(t.Context(), path)
	must(t, err)
	if got.Fields["value"].Reveal() != "by hand" {
		t.Errorf("the fields are %v", got.Fields)
	}
	for range 5 {
		s.Version = got.Version
		got.Version, err = d.PutSecret(t.Context(), path, s)
		must(t, err)
	}
	if n := a.Versions(path); n != 2 {
		t.Errorf("%d versions are kept, want the current and the previous one", n)
	}
}
