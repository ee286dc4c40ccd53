package acctest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"testing"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/nhi-labs/terraform-provider-nhi/internal/testenv"
)

const rbacPath = "/apis/rbac.authorization.k8s.io/v1"

// documentedLogin makes a login with the least privileges that the guide lists, and returns a token of it.
func documentedLogin(t *testing.T) string {
	t.Helper()
	rules, err := os.ReadFile("../platform/kubernetes/testdata/admin.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if rules, err = yaml.YAMLToJSON(rules); err != nil {
		t.Fatal(err)
	}
	name := unique(t, "nhi")
	kubernetesMake(t, rbacPath+"/clusterroles", string(rules))
	kubernetesMake(t, "/api/v1/namespaces/billing/serviceaccounts", fmt.Sprintf(`{"metadata":{"name":%q}}`, name))
	bindClusterRole(t, name, "nhi-admin", "billing", name)
	_, text := kubernetesAs(t, testenv.Load(t).Kubernetes.Token, http.MethodPost,
		"/api/v1/namespaces/billing/serviceaccounts/"+name+"/token", `{"spec":{}}`)
	var answer struct {
		Status struct {
			Token string `json:"token"`
		} `json:"status"`
	}
	if err := json.Unmarshal(text, &answer); err != nil || answer.Status.Token == "" {
		t.Fatalf("token: %s %v", text, err)
	}
	for { // The server learns of its own bindings a moment later.
		status, _ := kubernetesAs(t, answer.Status.Token, http.MethodGet, "/api/v1/namespaces/agents/serviceaccounts?limit=1", "")
		if status == http.StatusOK {
			return answer.Status.Token
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// bindClusterRole makes a ClusterRoleBinding for one ServiceAccount, until the test ends.
func bindClusterRole(t *testing.T, binding, role, namespace, account string) {
	t.Helper()
	kubernetesMake(t, rbacPath+"/clusterrolebindings", fmt.Sprintf(`{"metadata":{"name":%q},
		"roleRef":{"apiGroup":"rbac.authorization.k8s.io","kind":"ClusterRole","name":%q},
		"subjects":[{"kind":"ServiceAccount","namespace":%q,"name":%q}]}`, binding, role, namespace, account))
	t.Cleanup(func() {
		kubernetesDo(t, http.MethodDelete, rbacPath+"/clusterrolebindings/"+binding, "", http.StatusOK, http.StatusNotFound)
	})
}

// Somebody has made an account administrator of its cluster, and the provider may not take that away: a destroy closes the
// login all the same. Until the binding is gone state keeps the account as deleted, every run says what is left, and no
// account of that name is made.
func TestForeignBindingAtDestroy(t *testing.T) {
	if !onlyOnce() {
		return
	}
	t.Parallel()
	s := kubernetesSite(t, "cluster")
	s.env = []string{"NHI_CLUSTER_TOKEN=" + documentedLogin(t)}
	s.entitlements = []string{"namespace:billing#role:deployer"}
	c := config{stack: unique(t, "stack"), identity: unique(t, "agent"), sites: []*site{s}, holds: []int{0}}
	w := c.workspace(t)
	w.Apply()
	binding := unique(t, "by-hand")
	bindClusterRole(t, binding, "cluster-admin", "agents", c.identity)
	account := "/api/v1/namespaces/agents/serviceaccounts/" + c.identity

	says := []string{"would give clusterrole:cluster-admin to the next one of that name", "kubectl edit clusterrolebinding '" + binding + "'"}
	w.DestroyFails().Has(t, says...)
	kubernetesDo(t, http.MethodGet, account, "", http.StatusNotFound)
	if got := w.Attributes("nhi_identity", "this").Accounts["cluster"].Status; got != "deleted" {
		t.Errorf("state says that the account is %q", got)
	}
	w.ApplyFails().Has(t, says...)
	kubernetesDo(t, http.MethodGet, account, "", http.StatusNotFound)

	kubernetesDo(t, http.MethodDelete, rbacPath+"/clusterrolebindings/"+binding, "", http.StatusOK)
	w.Apply()
	s.holds(c.identity, s.texts(0)...)
	w.Destroy()
	s.gone(c.identity)
}
