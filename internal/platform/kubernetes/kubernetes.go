// Package kubernetes drives a Kubernetes cluster. An account is a ServiceAccount; what it holds are the RoleBindings and
// ClusterRoleBindings that name it. Its credentials are tokens of the TokenRequest API, each bound to a Secret of its
// own, so that deleting the Secret revokes that token and no other.
package kubernetes

import (
	"slices"
	"time"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/secret"
)

// Config is what a driver is opened with. Exactly one of Kubeconfig, Host and InCluster says where the cluster is.
type Config struct {
	// Kubeconfig is the path of a kubeconfig file, Context the context in it; "" is the file's current one.
	Kubeconfig, Context string
	// Host is the URL of the API server, with the scheme. Token, or ClientCertFile with ClientKeyFile, logs in to it.
	Host  string
	Token secret.Value
	// CACertFile is a PEM file of the authorities to trust instead of the system's.
	CACertFile string
	// ClientCertFile and ClientKeyFile are a PEM key pair that the driver presents.
	ClientCertFile, ClientKeyFile string
	// TLSServerName is the name expected in the server's certificate, if it is not the host of Host.
	TLSServerName string
	// InCluster takes address and login from the pod that the driver runs in.
	InCluster bool
	// AllowPlainHTTP lets credentials travel without TLS, or over a connection whose other end is not verified, to hosts
	// other than this machine.
	AllowPlainHTTP bool
	// Namespace is where accounts and secrets are whose names say no namespace; DefaultNamespace if "".
	Namespace string
	// Namespaces, if set, are the only namespaces that the driver looks at; Namespace is one of them. What accounts
	// hold elsewhere is then not seen. ClusterRoleBindings are seen in any case.
	Namespaces []string
	// PageSize is how many objects one answer to a list holds at most; default 500.
	PageSize int
	// Timeout ends a single request; default is a minute.
	Timeout time.Duration
}

// DefaultNamespace is Config.Namespace where that is "".
const DefaultNamespace = "default"

const (
	defaultPageSize = 500
	defaultTimeout  = time.Minute
)

// The labels and annotations that this driver writes.
const (
	domain = "nhi-labs.github.io/"
	// markAnnotation holds the ownership mark, stackLabel the mark's stack: the mark counts where both agree, so that a
	// sweep can select by label and miss nothing that is marked.
	markAnnotation = domain + "mark"
	stackLabel     = domain + "stack"
	// credentialLabel and tokenLabel are on the Secrets that tokens are bound to; their value is the account's UID.
	credentialLabel = domain + "credential-of"
	tokenLabel      = domain + "token-of"
	// labelAnnotation holds a credential's label, expiresAnnotation when its token ends (RFC 3339).
	labelAnnotation   = domain + "label"
	expiresAnnotation = domain + "expires"
	// managedLabel is on the bindings that this driver made.
	managedLabel = "app.kubernetes.io/managed-by"
	managedValue = "terraform-provider-nhi"
)

// kubernetesDriver implements driver.Driver, Sweeper, Issuer, Verifier, SecretStore, TokenMinter and BulkExplainer.
type kubernetesDriver struct {
	api       *connection
	namespace string
	scopes    []string // the namespaces to list; one "" for all
	pageSize  int
	spec      driver.Spec
}

// Open returns a driver for cfg. It reads the files that cfg names and does no network I/O.
func Open(cfg Config) (driver.Driver, error) {
	if cfg.Namespace == "" {
		cfg.Namespace = DefaultNamespace
	}
	if cfg.PageSize <= 0 {
		cfg.PageSize = defaultPageSize
	}
	if cfg.Timeout <= 0 {
		cfg.Timeout = defaultTimeout
	}
	scopes := []string{""}
	if len(cfg.Namespaces) > 0 {
		if !slices.Contains(cfg.Namespaces, cfg.Namespace) {
			return nil, driver.Errorf(driver.Invalid, "the namespaces do not include %q, in which accounts are made", cfg.Namespace)
		}
		scopes = slices.Compact(slices.Sorted(slices.Values(cfg.Namespaces)))
	}
	for _, namespace := range append(slices.Clone(cfg.Namespaces), cfg.Namespace) {
		if !namespacePattern.MatchString(namespace) {
			return nil, driver.Errorf(driver.Invalid, "%q cannot be a namespace", namespace)
		}
	}
	api, err := connect(cfg)
	if err != nil {
		return nil, err
	}
	return &kubernetesDriver{api: api, namespace: cfg.Namespace, scopes: scopes, pageSize: cfg.PageSize, spec: cfg.Spec()}, nil
}

// Close releases connections.
func (d *kubernetesDriver) Close() error {
	d.api.http.CloseIdleConnections()
	return nil
}

// covers reports whether the driver looks at a namespace.
func (d *kubernetesDriver) covers(namespace string) bool {
	return d.scopes[0] == "" || slices.Contains(d.scopes, namespace)
}
