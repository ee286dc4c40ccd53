package kubernetes_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/driver/drivertest"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
	"github.com/nhi-labs/terraform-provider-nhi/internal/platform/internal/resttest"
	"github.com/nhi-labs/terraform-provider-nhi/internal/platform/kubernetes"
	"github.com/nhi-labs/terraform-provider-nhi/internal/secret"
)

// documented returns a token of an administrator with the rules of the documentation, which may give the given roles.
func (c *cluster) documented(t *testing.T, roles ...string) secret.Value {
	t.Helper()
	text, err := os.ReadFile("testdata/admin.yaml")
	must(t, err)
	var role struct {
		Rules []manifest `json:"rules"`
	}
	must(t, yaml.Unmarshal(text, &role))
	for _, rule := range role.Rules {
		if rule["resourceNames"] != nil {
			rule["resourceNames"] = roles
		}
	}
	return c.tokenWith(t, role.Rules)
}

// TestLeastPrivileges does everything with an administrator that has only what the documentation says.
func TestLeastPrivileges(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	wide, narrow := c.clusterRole(t), c.role(t, random("deployer"))
	cfg := c.config()
	cfg.Token = c.documented(t, wide.Target, strings.TrimPrefix(narrow.Permission, "role:"))
	d := full(t, c.open(t, cfg))
	target, err := d.Probe(t.Context())
	must(t, err)
	if complaints := slices.Concat(target.Blind, target.Lacking); len(complaints) > 0 {
		t.Errorf("the documented rules do not suffice: %q", complaints)
	}
	es := []nhi.Entitlement{wide, narrow}
	ref := create(t, d)
	must(t, d.Grant(t.Context(), ref, es))
	wantHolds(t, d, ref, es...)
	must(t, d.Sweep(t.Context(), driver.SweepFilter{}, func([]nhi.Account) error { return nil }))
	issued, err := d.Issue(t.Context(), ref, driver.IssueRequest{Label: "a"})
	must(t, err)
	must(t, d.Verify(t.Context(), issued.Login, issued.Secret))
	token, err := d.MintToken(t.Context(), ref)
	must(t, err)
	must(t, d.RevokeToken(t.Context(), token.Secret))
	must(t, d.UpdateAccount(t.Context(), ref, driver.AccountChange{Mark: &mark, Settings: c.Settings()}))
	must(t, d.RevokeCredential(t.Context(), ref, issued.Credential.ID))
	c.bindByHand(t, narrow, c.subject(ref.Name), c.subject("another"))
	must(t, d.Revoke(t.Context(), ref, es))
	wantHolds(t, d, ref)
	put := driver.StoredSecret{Fields: map[string]secret.Value{"a": secret.New("first")}, Metadata: map[string]string{"m": "n"}}
	path := c.work + "/" + random("stored")
	put.Version, err = d.PutSecret(t.Context(), path, put)
	must(t, err)
	_, err = d.PutSecret(t.Context(), path, put)
	must(t, err)
	_, err = d.GetSecret(t.Context(), path)
	must(t, err)
	must(t, d.RemoveSecret(t.Context(), path))
	must(t, d.DeleteAccount(t.Context(), ref))
}

// TestEscalationIsRefused grants a role that the administrator neither has nor may bind: the API server refuses, the error
// says what to do, and of a set of two nothing is granted.
func TestEscalationIsRefused(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	allowed, other := c.clusterRole(t), c.rareRole(t)
	cfg := c.config()
	cfg.Token = c.documented(t, allowed.Target)
	d := c.open(t, cfg)
	ref := create(t, d)
	for _, es := range [][]nhi.Entitlement{{other}, {allowed, other}, {other, allowed}} {
		err := d.Grant(t.Context(), ref, es)
		wantCode(t, d, err, driver.PermissionDenied)
		if err == nil || !strings.Contains(err.Error(), `"bind"`) || !strings.Contains(err.Error(), strings.TrimPrefix(other.Permission, "role:")) {
			t.Errorf("the refusal does not say what to do: %v", err)
		}
		wantHolds(t, d, ref)
	}
	must(t, d.Grant(t.Context(), ref, []nhi.Entitlement{allowed}))

	// Kubernetes also refuses to take a subject out of such a binding. What cannot be revoked is not said to be.
	c.bindByHand(t, other, c.subject(ref.Name), c.subject("another"))
	wantCode(t, d, d.Revoke(t.Context(), ref, []nhi.Entitlement{other}), driver.PermissionDenied)
	wantHolds(t, d, ref, allowed, other)
}

// TestOneNamespaceForbidden reads with an administrator that may list the bindings of one of two namespaces: what the
// account holds in the other is unknown, not nothing.
func TestOneNamespaceForbidden(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	ref, e := create(t, c.Open(t)), c.role(t, random("deployer"))
	must(t, c.Open(t).Grant(t.Context(), ref, []nhi.Entitlement{e}))
	reads := random("reads")
	readers := []manifest{
		{"apiGroups": []string{""}, "resources": []string{"serviceaccounts", "secrets"}, "verbs": []string{"get", "list"}},
		{"apiGroups": []string{""}, "resources": []string{"namespaces"}, "verbs": []string{"get"}},
		{"apiGroups": []string{"rbac.authorization.k8s.io"}, "resources": []string{"clusterrolebindings"}, "verbs": []string{"list"}},
	}
	c.call(t, http.MethodPost, rbacAPI+"clusterroles", manifest{"metadata": manifest{"name": reads}, "rules": readers})
	bindings := random("bindings")
	c.call(t, http.MethodPost, rbacAPI+"clusterroles", manifest{"metadata": manifest{"name": bindings}, "rules": []manifest{
		{"apiGroups": []string{"rbac.authorization.k8s.io"}, "resources": []string{"rolebindings"}, "verbs": []string{"list"}},
	}})
	admin := random("admin")
	cfg := c.config()
	cfg.Namespaces = []string{c.work, c.namespace}
	cfg.Token = c.tokenBoundTo(t, admin, nhi.Entitlement{Type: "clusterrole", Target: reads},
		nhi.Entitlement{Type: "namespace", Target: c.namespace, Permission: "clusterrole:" + bindings})
	c.waitUntilMay(t, cfg.Token, "get", "serviceaccounts")
	d := full(t, c.open(t, cfg))
	_, err := d.ReadAccount(t.Context(), ref)
	wantCode(t, d, err, driver.PermissionDenied)
	wantCode(t, d, d.Sweep(t.Context(), driver.SweepFilter{}, func([]nhi.Account) error { return nil }), driver.PermissionDenied)
	wantCode(t, d, d.Revoke(t.Context(), ref, []nhi.Entitlement{e}), driver.PermissionDenied)
	_, err = d.Explain(t.Context(), ref)
	wantCode(t, d, err, driver.PermissionDenied)
	target, probeErr := d.Probe(t.Context())
	must(t, probeErr)
	if want := `"list" on rolebindings.rbac.authorization.k8s.io in ` + c.work; !strings.Contains(strings.Join(target.Lacking, "\n"), want) {
		t.Errorf("the probe does not say %s: %q", want, target.Lacking)
	}
	c.bindByHand(t, nhi.Entitlement{Type: "namespace", Target: c.work, Permission: "clusterrole:" + bindings},
		subject{Kind: "ServiceAccount", Namespace: c.work, Name: admin})
	for err != nil { // The server learns of its own bindings a moment later.
		_, err = d.ReadAccount(t.Context(), ref)
	}
	wantHolds(t, d, ref, e)
}

// TestNamespaces looks at some namespaces only.
func TestNamespaces(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	cfg := c.config()
	cfg.Namespaces = []string{c.namespace}
	d := full(t, c.open(t, cfg))
	ref, seen, unseen := create(t, d), c.clusterRole(t), c.role(t, random("deployer"))
	for _, e := range []nhi.Entitlement{seen, unseen} {
		c.bindByHand(t, e, c.subject(ref.Name))
	}
	wantHolds(t, d, ref, seen)
	must(t, d.Sweep(t.Context(), driver.SweepFilter{}, func(page []nhi.Account) error {
		for _, account := range page {
			if strings.Contains(account.Name, "/") {
				t.Errorf("the sweep shows %q", account.Name)
			}
		}
		return nil
	}))
	wantCode(t, d, d.Grant(t.Context(), ref, []nhi.Entitlement{unseen}), driver.Invalid)
	wantCode(t, d, d.Revoke(t.Context(), ref, []nhi.Entitlement{seen, unseen}), driver.Invalid)
	wantHolds(t, d, ref, seen)
	odd := nhi.Entitlement{Type: "binding", Target: c.work + "/by-hand"}
	for _, e := range []nhi.Entitlement{unseen, odd} {
		wantCode(t, d, cfg.Spec().CheckRecorded([]nhi.Entitlement{seen, e}), driver.Invalid)
		must(t, c.config().Spec().CheckRecorded([]nhi.Entitlement{e}))
	}
	must(t, cfg.Spec().CheckRecorded([]nhi.Entitlement{seen, {Type: "binding", Target: "/by-hand"}}))
	_, err := d.ReadAccount(t.Context(), nhi.Ref{Name: c.work + "/x"})
	wantCode(t, d, err, driver.Invalid)
	target, err := d.Probe(t.Context())
	must(t, err)
	if len(target.Blind) != 1 || !strings.Contains(target.Blind[0], c.namespace) {
		t.Errorf("blind: %q", target.Blind)
	}
}

// TestNames knows an account of another namespace by one name.
func TestNames(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	d := c.Open(t)
	name := random("bot")
	ref, err := d.CreateAccount(t.Context(), driver.AccountSpec{Name: c.work + "/" + name, Mark: mark})
	must(t, err)
	if got := read(t, d, ref); got.Name != c.work+"/"+name || got.Mark != mark {
		t.Errorf("read back %+v", got)
	}
	_, err = d.ReadAccount(t.Context(), nhi.Ref{Name: name})
	wantCode(t, d, err, driver.NotFound)
	_, err = d.ReadAccount(t.Context(), nhi.Ref{Name: c.namespace + "/" + name})
	wantCode(t, d, err, driver.Invalid)
	_, err = d.CreateAccount(t.Context(), driver.AccountSpec{Name: random("nowhere") + "/x", Mark: mark})
	wantCode(t, d, err, driver.Invalid)
	must(t, d.DeleteAccount(t.Context(), ref))
}

// TestStackThatIsNoLabel marks with a stack that cannot be the value of a label, and a mark whose label is gone.
func TestStackThatIsNoLabel(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	d := full(t, c.Open(t))
	odd := nhi.Mark{Stack: random("stack") + "-", Identity: "billing-agent"}
	ref, err := d.CreateAccount(t.Context(), driver.AccountSpec{Name: random("bot"), Mark: odd})
	must(t, err)
	var found []nhi.Account
	must(t, d.Sweep(t.Context(), driver.SweepFilter{Stack: odd.Stack}, func(page []nhi.Account) error {
		found = append(found, page...)
		return nil
	}))
	if len(found) != 1 || found[0].Ref != ref || found[0].Mark != odd {
		t.Errorf("the sweep finds %+v", found)
	}
	c.call(t, http.MethodPatch, "api/v1/namespaces/"+c.namespace+"/serviceaccounts/"+ref.Name,
		manifest{"metadata": manifest{"labels": manifest{"nhi-labs.github.io/stack": nil}}})
	if got := read(t, d, ref).Mark; !got.IsZero() {
		t.Errorf("a sweep by label would not find the mark %q", got)
	}
}

func TestProbe(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	first, err := c.Open(t).Probe(t.Context())
	must(t, err)
	uid := c.call(t, http.MethodGet, "api/v1/namespaces/kube-system", nil).Metadata.UID
	if first.ID != "kubernetes:"+uid+"/"+c.namespace || !strings.HasPrefix(first.Version, "v1.") {
		t.Errorf("target is %+v", first)
	}
	target, err := c.WithFault(t, drivertest.MissingRights).Probe(t.Context())
	must(t, err)
	for list, want := range map[string]string{
		strings.Join(target.Lacking, "\n"): `"create" on serviceaccounts`,
		strings.Join(target.Blind, "\n"):   `"patch" on rolebindings.rbac.authorization.k8s.io`,
	} {
		if !strings.Contains(list, want) {
			t.Errorf("the probe does not say %s: %s", want, list)
		}
	}
}

func TestOpen(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	file := filepath.Join(t.TempDir(), "config")
	must(t, os.WriteFile(file, []byte(fmt.Sprintf(`apiVersion: v1
kind: Config
current-context: other
clusters: [{name: c, cluster: {server: %q, certificate-authority: %q}}]
users: [{name: admin, user: {token: %q}}]
contexts: [{name: here, context: {cluster: c, user: admin}}, {name: other, context: {cluster: c, user: nobody}}]
`, c.env.Address, c.env.CAFile, c.env.Token)), 0o600))
	d := c.open(t, kubernetes.Config{Kubeconfig: file, Context: "here", Namespace: c.namespace})
	_, err := d.Probe(t.Context())
	must(t, err)
	for what, bad := range map[string]kubernetes.Config{
		"nothing":                     {},
		"two places":                  {Kubeconfig: file, Host: c.env.Address},
		"no file":                     {Kubeconfig: file + "x"},
		"no such context":             {Kubeconfig: file, Context: "elsewhere"},
		"no key":                      {Host: c.env.Address, ClientCertFile: c.env.CAFile},
		"no authority":                {Host: c.env.Address, CACertFile: file + "x"},
		"a bad namespace":             {Host: c.env.Address, Namespace: "A"},
		"namespaces without its own":  {Host: c.env.Address, Namespace: "a", Namespaces: []string{"b"}},
		"in_cluster outside of a pod": {InCluster: true},
	} {
		if _, err := kubernetes.Open(bad); err == nil {
			t.Errorf("Open accepts a configuration with %s", what)
		}
	}
	stranger := c.open(t, kubernetes.Config{Host: c.env.Address, Token: secret.New(c.env.Token)})
	if _, err := stranger.Probe(t.Context()); err == nil {
		t.Error("a certificate of an unknown authority is accepted")
	}
}

func TestRedirects(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	resttest.RefusesRedirects(t, func(address string) driver.Driver {
		cfg := c.config()
		cfg.Host, cfg.CACertFile = address, ""
		return c.open(t, cfg)
	})
}

// TestConnectionIsProtected: whatever says where the cluster is, nobody else can read the credentials.
func TestConnectionIsProtected(t *testing.T) {
	t.Parallel()
	kubeconfig := func(server, more string) kubernetes.Config {
		file := filepath.Join(t.TempDir(), "config")
		must(t, os.WriteFile(file, []byte(fmt.Sprintf(`apiVersion: v1
kind: Config
current-context: here
clusters: [{name: c, cluster: {server: %q%s}}]
users: [{name: admin, user: {token: canary}}]
contexts: [{name: here, context: {cluster: c, user: admin}}]
`, server, more)), 0o600))
		return kubernetes.Config{Kubeconfig: file}
	}
	const insecure = ", insecure-skip-tls-verify: true"
	for want, cfg := range map[string]kubernetes.Config{
		"connection to a.example would be unencrypted":      {Host: "http://a.example", Token: secret.New("x")},
		"connection to b.example:8001 would be unencrypted": kubeconfig("http://b.example:8001", ""),
		"connection to c.example would be unencrypted":      kubeconfig("c.example", ""), // What has no scheme is http.
		"insecure-skip-tls-verify":                          kubeconfig("https://d.example", insecure),
	} {
		if _, err := kubernetes.Open(cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
		cfg.AllowPlainHTTP = true
		c, err := kubernetes.Open(cfg)
		must(t, err)
		must(t, c.Close())
	}
	for _, cfg := range []kubernetes.Config{
		{Host: "http://127.0.0.1:8001", Token: secret.New("x")}, kubeconfig("https://localhost:6443", insecure), kubeconfig("https://e.example", ""),
	} {
		c, err := kubernetes.Open(cfg)
		must(t, err)
		must(t, c.Close())
	}
}

// TestNotKubernetes answers every request with something that is not Kubernetes: nothing may be read as absent.
func TestNotKubernetes(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	ref := create(t, c.Open(t))
	for _, status := range []int{200, 204, 302, 400, 403, 404, 410, 500} {
		for _, body := range []string{
			"", "{}", "[]", "null", "<html></html>", `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"NotFound","code":404}`,
			`{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"NotFound","details":{"kind":"namespaces","name":"x"},"code":404}`,
		} {
			cfg := c.config()
			cfg.Host, cfg.CACertFile = always(t, status, "application/json", body), ""
			d := full(t, c.open(t, cfg))
			for _, r := range []nhi.Ref{ref, {Name: ref.Name}} {
				if d.DeleteAccount(t.Context(), r) == nil {
					t.Errorf("status %d, body %q: delete succeeds", status, body)
				}
			}
			if strings.Contains(body, "details") {
				continue // A definite answer about another object: only the deletion must not believe it.
			}
			_, err := d.ReadAccount(t.Context(), ref)
			if err == nil || d.Classify(err).Code == driver.NotFound {
				t.Errorf("status %d, body %q: read gives %v", status, body, err)
			}
			if _, err := d.GetSecret(t.Context(), "x"); err == nil || d.Classify(err).Code == driver.NotFound {
				t.Errorf("status %d, body %q: get gives %v", status, body, err)
			}
		}
	}
}

func TestClassify(t *testing.T) {
	t.Parallel()
	d := newCluster(t).Open(t)
	details := &metav1.StatusDetails{Kind: "serviceaccounts", Name: "x", RetryAfterSeconds: 7}
	for reason, want := range map[metav1.StatusReason]driver.Code{
		metav1.StatusReasonNotFound: driver.NotFound, metav1.StatusReasonAlreadyExists: driver.AlreadyExists,
		metav1.StatusReasonConflict: driver.Conflict, metav1.StatusReasonInvalid: driver.Invalid,
		metav1.StatusReasonForbidden: driver.PermissionDenied, metav1.StatusReasonUnauthorized: driver.Unauthenticated,
		metav1.StatusReasonTooManyRequests: driver.RateLimited, metav1.StatusReasonServerTimeout: driver.Unavailable,
		metav1.StatusReasonExpired: driver.Unavailable, metav1.StatusReasonInternalError: driver.Unknown, "New": driver.Unknown,
	} {
		err := fmt.Errorf("read: %w", &apierrors.StatusError{ErrStatus: metav1.Status{Reason: reason, Details: details}})
		if got := d.Classify(err); got.Code != want || got.RetryAfter != 7*time.Second {
			t.Errorf("%s is %+v, want %q", reason, got, want)
		}
	}
}
