package kubernetes_test

import (
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
	"github.com/nhi-labs/terraform-provider-nhi/internal/platform/kubernetes"
)

var mark = nhi.Mark{Stack: "payments-test", Identity: "billing-agent"}

// all is a driver with every interface that the kind declares.
type all interface {
	driver.Driver
	driver.Sweeper
	driver.Issuer
	driver.Verifier
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

func wantHolds(t *testing.T, d driver.Driver, ref nhi.Ref, want ...nhi.Entitlement) {
	t.Helper()
	got := read(t, d, ref).Entitlements
	if diff := cmp.Diff(nhi.Texts(nhi.SortEntitlements(want)), nhi.Texts(got)); diff != "" {
		t.Errorf("entitlements of %s (-want +got):\n%s", ref.Name, diff)
	}
}

func (c *cluster) subject(name string) subject {
	return subject{Kind: "ServiceAccount", Namespace: c.namespace, Name: name}
}

// TestRevokeLeavesTheBindingsOfOthers takes one of several subjects out of bindings that somebody else made.
func TestRevokeLeavesTheBindingsOfOthers(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	d := c.Open(t)
	ref, other := create(t, d), create(t, d)
	shared, alone, ours := c.clusterRole(t), c.role(t, random("deployer")), c.role(t, random("deployer"))
	withOthers := c.bindByHand(t, shared, c.subject(ref.Name), subject{Kind: "Group", Name: "ops"}, c.subject(other.Name))
	emptied := c.bindByHand(t, alone, c.subject(ref.Name), c.subject(ref.Name))
	must(t, d.Grant(t.Context(), ref, []nhi.Entitlement{ours}))
	wantHolds(t, d, ref, shared, alone, ours)

	must(t, d.Revoke(t.Context(), ref, []nhi.Entitlement{shared, alone, ours}))
	wantHolds(t, d, ref)
	wantHolds(t, d, other, shared)
	want := []subject{{Kind: "Group", Name: "ops", APIGroup: "rbac.authorization.k8s.io"}, c.subject(other.Name)}
	if diff := cmp.Diff(want, c.call(t, http.MethodGet, withOthers, nil).Subjects); diff != "" {
		t.Errorf("subjects of the shared binding (-want +got):\n%s", diff)
	}
	if left := c.call(t, http.MethodGet, emptied, nil); len(left.Subjects) != 0 {
		t.Errorf("the binding of another has the subjects %v", left.Subjects)
	}
	if n := c.ownBindings(t); n != 0 {
		t.Errorf("%d bindings of our own are left for %s", n, ref.Name)
	}
}

// ownBindings counts the bindings without subjects that the driver made in the work namespace.
func (c *cluster) ownBindings(t *testing.T) int {
	t.Helper()
	path := rbacAPI + "namespaces/" + c.work + "/rolebindings?labelSelector=app.kubernetes.io/managed-by=terraform-provider-nhi"
	empty := 0
	for _, item := range c.call(t, http.MethodGet, path, nil).Items {
		status, body := c.try(t, c.env.Token, http.MethodGet, rbacAPI+"namespaces/"+c.work+"/rolebindings/"+item.Metadata.Name, nil)
		if status == http.StatusOK && !strings.Contains(string(body), `"subjects"`) {
			empty++
		}
	}
	return empty
}

// TestUserSubject knows an account also where a binding calls it by its user name.
func TestUserSubject(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	d := c.Open(t)
	ref, e := create(t, d), c.clusterRole(t)
	path := c.bindByHand(t, e, subject{Kind: "User", Name: "system:serviceaccount:" + c.namespace + ":" + ref.Name})
	wantHolds(t, d, ref, e)
	must(t, d.Revoke(t.Context(), ref, []nhi.Entitlement{e}))
	wantHolds(t, d, ref)
	if left := c.call(t, http.MethodGet, path, nil).Subjects; len(left) != 0 {
		t.Errorf("subjects %v are left", left)
	}
}

// TestChangedBindingIsReadAgain changes a binding between the driver's read and its write: both changes stay.
func TestChangedBindingIsReadAgain(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	ref, e := create(t, c.Open(t)), c.clusterRole(t)
	path := c.bindByHand(t, e, c.subject(ref.Name), c.subject("second"))
	var once sync.Once
	cfg := c.config()
	cfg.CACertFile = ""
	cfg.Host = c.proxy(t, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodPatch {
				once.Do(func() {
					c.call(t, http.MethodPatch, path, manifest{"subjects": []subject{c.subject(ref.Name), c.subject("third")}})
				})
			}
			next.ServeHTTP(w, r)
		})
	})
	must(t, c.open(t, cfg).Revoke(t.Context(), ref, []nhi.Entitlement{e}))
	if diff := cmp.Diff([]subject{c.subject("third")}, c.call(t, http.MethodGet, path, nil).Subjects); diff != "" {
		t.Errorf("subjects (-want +got):\n%s", diff)
	}
}

// TestNameIsNoLonger keeps what an account held from the next one of its name.
func TestDeleteLeavesNothingToTheNextOfTheName(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	d := full(t, c.Open(t))
	ref := create(t, d)
	byHand, ours := c.clusterRole(t), c.role(t, random("deployer"))
	path := c.bindByHand(t, byHand, c.subject(ref.Name), subject{Kind: "User", Name: "jane"})
	must(t, d.Grant(t.Context(), ref, []nhi.Entitlement{ours}))
	_, err := d.Issue(t.Context(), ref, driver.IssueRequest{Label: "a"})
	must(t, err)
	_, err = d.MintToken(t.Context(), ref)
	must(t, err)
	must(t, d.DeleteAccount(t.Context(), ref))
	if diff := cmp.Diff([]subject{{Kind: "User", Name: "jane", APIGroup: "rbac.authorization.k8s.io"}},
		c.call(t, http.MethodGet, path, nil).Subjects); diff != "" {
		t.Errorf("subjects (-want +got):\n%s", diff)
	}
	if n := c.secretsOf(t, ref.ID); n != 0 {
		t.Errorf("%d Secrets are left", n)
	}

	// Somebody deletes the next account by hand; what we gave to it goes when it is deleted here.
	next, err := d.CreateAccount(t.Context(), driver.AccountSpec{Name: ref.Name, Mark: mark})
	must(t, err)
	must(t, d.Grant(t.Context(), next, []nhi.Entitlement{ours}))
	c.call(t, http.MethodDelete, "api/v1/namespaces/"+c.namespace+"/serviceaccounts/"+ref.Name, nil)
	must(t, d.DeleteAccount(t.Context(), next))
	third, err := d.CreateAccount(t.Context(), driver.AccountSpec{Name: ref.Name, Mark: mark})
	must(t, err)
	wantHolds(t, d, third)
}

// secretsOf counts the Secrets that tokens of an account are bound to.
func (c *cluster) secretsOf(t *testing.T, uid string) int {
	t.Helper()
	n := 0
	for _, label := range []string{"credential-of", "token-of"} {
		path := "api/v1/namespaces/" + c.namespace + "/secrets?labelSelector=nhi-labs.github.io/" + label + "%3D" + uid
		n += len(c.call(t, http.MethodGet, path, nil).Items)
	}
	return n
}

// TestExplain tells what comes by way of groups.
func TestExplain(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	d := full(t, c.Open(t))
	ref, direct, viaAll, viaNamespace := create(t, d), c.clusterRole(t), c.clusterRole(t), c.role(t, random("deployer"))
	elsewhere := c.clusterRole(t)
	must(t, d.Grant(t.Context(), ref, []nhi.Entitlement{direct}))
	c.bindByHand(t, viaAll, subject{Kind: "Group", Name: "system:serviceaccounts"}, c.subject(ref.Name))
	c.bindByHand(t, viaNamespace, subject{Kind: "Group", Name: "system:serviceaccounts:" + c.namespace})
	c.bindByHand(t, elsewhere, subject{Kind: "Group", Name: "system:serviceaccounts:" + c.work})
	wantHolds(t, d, ref, direct, viaAll)
	got, err := d.Explain(t.Context(), ref)
	must(t, err)
	texts := map[string]bool{}
	for i, h := range got {
		texts[h.Entitlement.String()+" via "+strings.Join(h.Via, ",")] = true
		if i > 0 && len(h.Via) == 0 && len(got[i-1].Via) > 0 {
			t.Errorf("a direct entitlement stands behind an inherited one: %v", got)
		}
	}
	for text, want := range map[string]bool{
		direct.String() + " via ":                                                  true,
		viaAll.String() + " via ":                                                  true,
		viaAll.String() + " via group:system:serviceaccounts":                      true,
		viaNamespace.String() + " via group:system:serviceaccounts:" + c.namespace: true,
		"clusterrole:system:basic-user via group:system:authenticated":             true,
		elsewhere.String() + " via group:system:serviceaccounts:" + c.work:         false,
	} {
		if texts[text] != want {
			t.Errorf("%q is told: %v, want %v", text, texts[text], want)
		}
	}
	_, err = d.Explain(t.Context(), nhi.Ref{Name: random("nobody")})
	wantCode(t, d, err, driver.NotFound)
}

// TestUnwritableRole shows a binding to a role that no entitlement can name, and takes it away.
func TestUnwritableRole(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	d := c.Open(t)
	ref := create(t, d)
	name := random("odd") + "#"
	c.call(t, http.MethodPost, rbacAPI+"namespaces/"+c.work+"/roles", manifest{"metadata": manifest{"name": name}, "rules": readOnly})
	path := c.bindByHand(t, nhi.Entitlement{Type: "namespace", Target: c.work, Permission: "role:" + name}, c.subject(ref.Name))
	shown := nhi.Entitlement{Type: "binding", Target: c.work + path[strings.LastIndexByte(path, '/'):]}
	wantHolds(t, d, ref, shown)
	wantCode(t, d, d.Grant(t.Context(), ref, []nhi.Entitlement{shown}), driver.Unsupported)
	must(t, d.Revoke(t.Context(), ref, []nhi.Entitlement{shown}))
	wantHolds(t, d, ref)
}

func TestGrammar(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"clusterrole:view": "", "clusterrole:system:a#b": "", "namespace:a#role:b": "", "namespace:a#clusterrole:b#c:d": "",
		"namespace:a#b":       "role:<name>",
		"namespace:A#role:b":  "namespace",
		"namespace:a":         "lacks the permission",
		"clusterrole:a/b":     "'/'",
		"clusterrole:..":      `".."`,
		"namespace:a#role:":   "name of a role",
		"namespace:a#role:b%": "'%'",
		"binding:a/b":         "cannot be granted",
	} {
		e, err := kubernetes.Spec().Grammar.Parse(text)
		switch {
		case want == "" && (err != nil || e.String() != text):
			t.Errorf("%q is parsed as %q, %v", text, e, err)
		case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
			t.Errorf("%q: error %v, want one with %q", text, err, want)
		}
	}
}
