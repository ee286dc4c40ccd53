package acctest

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
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
	kubernetesDo(t, http.MethodPost, path, object, http.StatusCreated, http.StatusConflict)
}

// kubernetesDo sends one request as the administrator, which must be answered with one of statuses. It works in cleanups, too,
// when the test's context has ended.
func kubernetesDo(t *testing.T, method, path, object string, statuses ...int) {
	t.Helper()
	if status, text := kubernetesAs(t, testenv.Load(t).Kubernetes.Token, method, path, object); !slices.Contains(statuses, status) {
		t.Fatalf("%s %s: status %d %s", method, path, status, text)
	}
}

// kubernetesAs sends one request with a token and returns status and body.
func kubernetesAs(t *testing.T, token, method, path, object string) (int, []byte) {
	t.Helper()
	server := testenv.Load(t).Kubernetes
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: authorities(t, server.CAFile)}}}
	defer client.CloseIdleConnections()
	req, err := http.NewRequestWithContext(context.WithoutCancel(t.Context()), method, server.Address+path, strings.NewReader(object))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Content-Type", "application/json")
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close() //nolint:errcheck // read to its end
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, text
}

// authorities reads the file of the authorities that signed a server's certificate.
func authorities(t *testing.T, path string) *x509.CertPool {
	t.Helper()
	content, err := os.ReadFile(filepath.Clean(path))
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(content) {
		t.Fatalf("%s holds no certificate", path)
	}
	return pool
}
