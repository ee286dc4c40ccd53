package kubernetes_test

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
)

// wantLeftovers fails the test unless err says that the account is gone and names exactly the bindings of left, out of all.
func wantLeftovers(t *testing.T, d driver.Driver, err error, all []string, left ...string) {
	t.Helper()
	wantCode(t, d, err, driver.PermissionDenied)
	var leftover *driver.LeftoverError
	if !errors.As(err, &leftover) {
		t.Fatalf("error %v, want a LeftoverError", err)
	}
	var named []string
	for _, text := range all {
		if strings.Contains(err.Error(), text) {
			named = append(named, text)
		}
	}
	if diff := cmp.Diff(left, named); diff != "" {
		t.Errorf("bindings named by %v (-want +got):\n%s", err, diff)
	}
}

// unboundToken requests a token of an account as anybody with the right to may: no Secret stands for it.
func (c *cluster) unboundToken(t *testing.T, name string) string {
	t.Helper()
	var status struct {
		Token string `json:"token"`
	}
	answer := c.call(t, http.MethodPost, "api/v1/namespaces/"+c.namespace+"/serviceaccounts/"+name+"/token", manifest{"spec": manifest{}})
	must(t, json.Unmarshal(answer.Status, &status))
	return status.Token
}

// TestForeignBindingHoldsNoDeletionUp deletes an account, with the rights of the documentation, that somebody has made
// administrator: its logins end although the bindings cannot be changed, and those are named until they are.
func TestForeignBindingHoldsNoDeletionUp(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	allowed, lost := c.clusterRole(t), c.rareRole(t)
	cfg := c.config()
	cfg.Token = c.documented(t, allowed.Target)
	d := full(t, c.open(t, cfg))
	ref := create(t, d)
	must(t, d.Grant(t.Context(), ref, []nhi.Entitlement{allowed}))
	_, err := d.Issue(t.Context(), ref, driver.IssueRequest{Label: "a"})
	must(t, err)
	token := c.unboundToken(t, ref.Name)

	self, other := c.subject(ref.Name), c.subject("another")
	admin := nhi.Entitlement{Type: "clusterrole", Target: "cluster-admin"}
	powerful, dangling, harmless := c.bindByHand(t, admin, self, other), c.bindByHand(t, lost, self), c.bindByHand(t, allowed, self, other)
	role := strings.TrimPrefix(lost.Permission, "role:")
	c.call(t, http.MethodDelete, rbacAPI+"namespaces/"+c.work+"/roles/"+role, nil)
	odd := random("o'dd")
	c.call(t, http.MethodPost, rbacAPI+"clusterrolebindings", manifest{
		"metadata": manifest{"name": odd}, "subjects": []subject{self},
		"roleRef": manifest{"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": admin.Target},
	})
	nameOf := func(path string) string { return path[strings.LastIndexByte(path, '/')+1:] }
	commands := []string{
		"(kubectl edit clusterrolebinding '" + nameOf(powerful) + "')",
		"(kubectl edit clusterrolebinding '" + strings.ReplaceAll(odd, "'", `'\''`) + "')",
		"(kubectl edit rolebinding --namespace " + c.work + " '" + nameOf(dangling) + "')",
		nameOf(harmless), "nhi-",
	}

	for range 2 { // Deleted again by its ID, it is tried again and named again.
		wantLeftovers(t, d, d.DeleteAccount(t.Context(), ref), commands, commands[:3]...)
		_, err = d.ReadAccount(t.Context(), ref)
		wantCode(t, d, err, driver.NotFound)
	}
	if status, _ := c.try(t, token, http.MethodGet, "api/v1/namespaces", nil); status != http.StatusUnauthorized {
		t.Errorf("a token of the account is answered with status %d", status)
	}
	if n := c.secretsOf(t, ref.ID); n != 0 {
		t.Errorf("%d Secrets are left", n)
	}
	if diff := cmp.Diff([]subject{other}, c.call(t, http.MethodGet, harmless, nil).Subjects); diff != "" {
		t.Errorf("subjects of the binding that may be changed (-want +got):\n%s", diff)
	}
	must(t, d.DeleteAccount(t.Context(), nhi.Ref{Name: ref.Name})) // Of an account that may never have been, nothing is known.
	if diff := cmp.Diff([]subject{self, other}, c.call(t, http.MethodGet, powerful, nil).Subjects); diff != "" {
		t.Errorf("subjects of the powerful binding (-want +got):\n%s", diff)
	}

	c.call(t, http.MethodPatch, powerful, manifest{"subjects": []subject{other}}) // Somebody does what the error says,
	wantLeftovers(t, d, d.DeleteAccount(t.Context(), ref), commands, commands[1:3]...)
	must(t, c.Open(t).DeleteAccount(t.Context(), ref)) // or a run with the rights to does.
	must(t, d.DeleteAccount(t.Context(), ref))
	next, err := d.CreateAccount(t.Context(), driver.AccountSpec{Name: ref.Name, Mark: mark})
	must(t, err)
	wantHolds(t, d, next)
	must(t, d.DeleteAccount(t.Context(), next))
}

// TestLostAnswerForgetsNoBinding deletes an account that somebody has made administrator, and loses the answer to that: what is
// left is told at once, and in a LeftoverError when the deletion is repeated.
func TestLostAnswerForgetsNoBinding(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	allowed := c.clusterRole(t)
	cfg := c.config()
	cfg.CACertFile = ""
	cfg.Token = c.documented(t, allowed.Target)
	cfg.Host = c.proxy(t, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method != http.MethodDelete || !strings.Contains(r.URL.Path, "/serviceaccounts/") {
				next.ServeHTTP(w, r)
				return
			}
			next.ServeHTTP(httptest.NewRecorder(), r)
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusInternalServerError)
			_, _ = io.WriteString(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"InternalError","code":500,`+
				`"message":"etcdserver: request timed out"}`)
		})
	})
	d := full(t, c.open(t, cfg))
	ref := create(t, d)
	path := c.bindByHand(t, nhi.Entitlement{Type: "clusterrole", Target: "cluster-admin"}, c.subject(ref.Name))
	binding := path[strings.LastIndexByte(path, '/')+1:]
	err := d.DeleteAccount(t.Context(), ref)
	wantCode(t, d, err, driver.Unknown)
	if !strings.Contains(err.Error(), "etcdserver: request timed out") || !strings.Contains(err.Error(), binding) {
		t.Errorf("error %v, want one that names the binding %s", err, binding)
	}
	wantLeftovers(t, d, d.DeleteAccount(t.Context(), ref), []string{binding}, binding)
}

// TestUnreadableNamespaceHoldsNoDeletionUp deletes an account whose RoleBindings in one namespace may not be listed.
func TestUnreadableNamespaceHoldsNoDeletionUp(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	ref, e := create(t, c.Open(t)), c.role(t, random("deployer"))
	must(t, c.Open(t).Grant(t.Context(), ref, []nhi.Entitlement{e}))
	name, bindings := random("deletes"), random("bindings")
	for role, rules := range map[string][]manifest{
		name: {
			{"apiGroups": []string{""}, "resources": []string{"serviceaccounts", "secrets"}, "verbs": []string{"get", "list", "delete"}},
			{"apiGroups": []string{"rbac.authorization.k8s.io"}, "resources": []string{"clusterrolebindings"}, "verbs": []string{"list"}},
		},
		bindings: {
			{"apiGroups": []string{"rbac.authorization.k8s.io"}, "resources": []string{"rolebindings"}, "verbs": []string{"list", "delete"}},
		},
	} {
		c.call(t, http.MethodPost, rbacAPI+"clusterroles", manifest{"metadata": manifest{"name": role}, "rules": rules})
	}
	cfg := c.config()
	cfg.Namespaces = []string{c.work, c.namespace}
	cfg.Token = c.tokenBoundTo(t, name, nhi.Entitlement{Type: "clusterrole", Target: name},
		nhi.Entitlement{Type: "namespace", Target: c.namespace, Permission: "clusterrole:" + bindings})
	c.waitUntilMay(t, cfg.Token, "delete", "serviceaccounts")
	c.waitUntilMayIn(t, cfg.Token, c.namespace, "list", "rolebindings.rbac.authorization.k8s.io")
	d := c.open(t, cfg)
	_, err := d.ReadAccount(t.Context(), ref)
	wantCode(t, d, err, driver.PermissionDenied)
	reader, ok := d.(driver.MarkReader)
	if !ok {
		t.Fatalf("%T reads no marks", d)
	}
	account, err := reader.ReadMark(t.Context(), ref)
	if must(t, err); account.Ref != ref || account.Mark != mark {
		t.Errorf("read %+v", account)
	}
	commands := []string{"(kubectl get rolebindings --namespace " + c.work + " --output wide)", "--namespace " + c.namespace}
	for range 2 {
		wantLeftovers(t, d, d.DeleteAccount(t.Context(), ref), commands, commands[0])
		_, err = reader.ReadMark(t.Context(), ref)
		wantCode(t, d, err, driver.NotFound)
	}
	c.bindByHand(t, nhi.Entitlement{Type: "namespace", Target: c.work, Permission: "clusterrole:" + bindings},
		subject{Kind: "ServiceAccount", Namespace: c.work, Name: name})
	c.waitUntilMay(t, cfg.Token, "delete", "rolebindings.rbac.authorization.k8s.io")
	must(t, d.DeleteAccount(t.Context(), ref))
	next, err := c.Open(t).CreateAccount(t.Context(), driver.AccountSpec{Name: ref.Name, Mark: mark})
	must(t, err)
	wantHolds(t, c.Open(t), next)
}
