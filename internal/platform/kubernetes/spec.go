package kubernetes

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
)

// The entitlement types.
const (
	typeClusterRole = "clusterrole"
	typeNamespace   = "namespace"
	typeBinding     = "binding"
)

// The kinds of roles in the permission of a namespace entitlement.
const (
	permClusterRole = "clusterrole"
	permRole        = "role"
)

const settingAutomount = "automount_token"

// revocationLag is how long an API server keeps a successful authentication in its cache
// (kube-apiserver, TokenSuccessCacheTTL), with a margin.
const revocationLag = 12 * time.Second

// Spec is what is known of Kubernetes without a connection.
func Spec() driver.Spec {
	return driver.Spec{
		Kind:     "kubernetes",
		Title:    "Kubernetes",
		Evidence: "real server",
		Grammar: nhi.Grammar{Types: []nhi.EntitlementType{
			{
				Name:        typeClusterRole,
				Description: "A ClusterRoleBinding gives the account the ClusterRole in the whole cluster.",
				Example:     "clusterrole:view",
				Canonical:   canonicalClusterRole,
			},
			{
				Name: typeNamespace,
				Description: "A RoleBinding in the namespace gives the account a Role of that namespace (`role:…`), or a ClusterRole " +
					"for that namespace alone (`clusterrole:…`).",
				Example:        "namespace:billing#role:deployer",
				FreePermission: true,
				Canonical:      canonicalNamespace,
			},
			{
				Name:        typeBinding,
				Description: "A binding to a role whose name cannot be written as an entitlement names the account: `namespace/binding`.",
				Example:     "binding:billing/by-hand",
				Observed:    "write the role that the binding refers to",
			},
		}},
		Capabilities: []driver.Capability{
			driver.CanSweep, driver.CanIssue, driver.CanVerify, driver.CanStoreSecrets, driver.CanMintTokens, driver.CanExplain,
		},
		CheckAccountName: func(name string) error { return checkAccountName(name, "") },
		Settings: []driver.Setting{
			{Name: settingAutomount, Description: "Whether pods that run as the account find a token of it in their file system."},
		},
		RevocationLag: revocationLag,
		NameHolds:     true,
	}
}

// SpecIn is Spec for a platform with a namespace of its own, in which an account has one name only.
func SpecIn(namespace string) driver.Spec {
	spec := Spec()
	spec.CheckAccountName = func(name string) error { return checkAccountName(name, namespace) }
	return spec
}

// Spec is the package's Spec for the platform as it is configured.
func (cfg Config) Spec() driver.Spec {
	spec := SpecIn(cmp.Or(cfg.Namespace, DefaultNamespace))
	spec.CheckView = cfg.checkView
	return spec
}

func (cfg Config) checkView(e nhi.Entitlement) error {
	namespace := ""
	switch e.Type {
	case typeNamespace:
		namespace = roleOf(e).namespace
	case typeBinding:
		namespace, _, _ = strings.Cut(e.Target, "/")
	}
	if namespace == "" || len(cfg.Namespaces) == 0 || slices.Contains(cfg.Namespaces, namespace) {
		return nil
	}
	return driver.Errorf(driver.Invalid, "%s is not among the namespaces that this platform sees: add it to namespaces, at least until "+
		"no grant names it", namespace)
}

var (
	namespacePattern = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$`)
	objectPattern    = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`)
)

// maxObjectName is the limit of DNS subdomains, which names of ServiceAccounts and Secrets are.
const maxObjectName = 253

// checkAccountName accepts "name" and "namespace/name", the latter for other namespaces than own.
func checkAccountName(text, own string) error {
	name := text
	if namespace, rest, found := strings.Cut(text, "/"); found {
		if !namespacePattern.MatchString(namespace) {
			return fmt.Errorf("%q cannot be a namespace: use up to 63 lower-case letters, digits and '-'", namespace)
		}
		if namespace == own {
			return fmt.Errorf("%q is the platform's own namespace; write %q", namespace, rest)
		}
		name = rest
	}
	if len(name) > maxObjectName {
		return fmt.Errorf("it is longer than %d characters", maxObjectName)
	}
	if objectPattern.MatchString(name) {
		return nil
	}
	if lower := strings.ToLower(text); lower != text && checkAccountName(lower, own) == nil {
		return fmt.Errorf("names of ServiceAccounts are in lower case; write %q", lower)
	}
	return errors.New("write \"name\" or \"namespace/name\": a ServiceAccount's name has lower-case letters, digits, '-' and '.', " +
		"and begins and ends with a letter or digit")
}

// checkRoleName refuses what cannot be the name of a Role or ClusterRole: it is one segment of a path.
func checkRoleName(name string) error {
	if name == "" || name == "." || name == ".." || strings.ContainsAny(name, "/%") {
		return fmt.Errorf("%q cannot be the name of a role: it is empty, \".\" or \"..\", or has '/' or '%%' in it", name)
	}
	return nil
}

func canonicalClusterRole(e nhi.Entitlement) (nhi.Entitlement, error) {
	return e, checkRoleName(e.Target)
}

func canonicalNamespace(e nhi.Entitlement) (nhi.Entitlement, error) {
	r := roleOf(e)
	if !namespacePattern.MatchString(r.namespace) {
		return e, fmt.Errorf("%q cannot be a namespace: use up to 63 lower-case letters, digits and '-'", r.namespace)
	}
	if r.kind != permClusterRole && r.kind != permRole {
		return e, fmt.Errorf("behind '#' stands role:<name> or clusterrole:<name>; write for example \"namespace:%s#role:deployer\"", r.namespace)
	}
	return e, checkRoleName(r.name)
}

// grantedRole is what an entitlement names: a role of a kind, in a namespace or ("") in the whole cluster.
type grantedRole struct {
	namespace, kind, name string
}

// roleOf takes an entitlement apart that the grammar let pass. A namespace ends at the first '#', because none has one in
// its name, while a role's name may; the grammar splits at the last.
func roleOf(e nhi.Entitlement) grantedRole {
	if e.Type == typeClusterRole {
		return grantedRole{kind: permClusterRole, name: e.Target}
	}
	namespace, permission, _ := strings.Cut(e.Target+"#"+e.Permission, "#")
	kind, name, _ := strings.Cut(permission, ":")
	return grantedRole{namespace: namespace, kind: kind, name: name}
}

// entitlement is the reverse of roleOf.
func (r grantedRole) entitlement() nhi.Entitlement {
	if r.namespace == "" {
		return nhi.Entitlement{Type: typeClusterRole, Target: r.name}
	}
	text := r.namespace + "#" + r.kind + ":" + r.name
	i := strings.LastIndexByte(text, '#')
	return nhi.Entitlement{Type: typeNamespace, Target: text[:i], Permission: text[i+1:]}
}
