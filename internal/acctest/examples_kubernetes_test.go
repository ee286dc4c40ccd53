package acctest

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nhi-labs/terraform-provider-nhi/internal/testenv"
)

// kubernetesExample makes the namespaces and the Role that the example takes for granted. The API server of the testbed has
// no controller that would remove a namespace, so they stay and are found again.
func kubernetesExample(t *testing.T, _ *exampleRun) {
	t.Helper()
	for _, namespace := range []string{"agents", "billing"} {
		kubernetesMake(t, "/api/v1/namespaces", `{"metadata":{"name":"`+namespace+`"}}`)
	}
	kubernetesMake(t, "/apis/rbac.authorization.k8s.io/v1/namespaces/billing/roles",
		`{"metadata":{"name":"deployer"},"rules":[{"apiGroups":["apps"],"resources":["deployments"],"verbs":["get","update"]}]}`)
}

// kubernetesMake makes an object unless it is there.
func kubernetesMake(t *testing.T, path, object string) {
	t.Helper()
	server := testenv.Load(t).Kubernetes
	authority, err := os.ReadFile(filepath.Clean(server.CAFile))
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(authority)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}}
	defer client.CloseIdleConnections()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.Address+path, strings.NewReader(object))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+server.Token)
	req.Header.Set("Content-Type", "application/json")
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close() //nolint:errcheck // read to its end
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusCreated && resp.StatusCode != http.StatusConflict {
		t.Fatalf("make %s: %s %s %v", path, resp.Status, text, err)
	}
}
