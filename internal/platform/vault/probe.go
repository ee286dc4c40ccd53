package vault

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
)

// health is the one answer of Vault that has no envelope.
type health struct {
	Initialized *bool  `json:"initialized"`
	Sealed      *bool  `json:"sealed"`
	Version     string `json:"version"`
	ClusterID   string `json:"cluster_id"`
}

type capabilitiesRequest struct {
	Paths []string `json:"paths"`
}

// need is a right that the driver uses. The names in its path stand for all names.
type need struct {
	path       string
	rights     []string
	without    string
	underMount bool // path is below the AppRole mount
}

// needs are the rights of the policy in the documentation of this kind, with what fails without each.
var needs = []need{
	{"role/nhi-probe", []string{"create", "read", "update", "delete"}, "manage AppRoles", true},
	{"role/nhi-probe/role-id", []string{"read"}, "read the ids of AppRoles", true},
	{"role/nhi-probe/secret-id", []string{"update", "list"}, "list and issue secret ids", true},
	{"role/nhi-probe/secret-id-accessor/lookup", []string{"update"}, "read the metadata of secret ids", true},
	{"role/nhi-probe/secret-id-accessor/destroy", []string{"update"}, "destroy secret ids", true},
	{"identity/entity", []string{"update"}, "make identity entities", false},
	{"identity/entity/id/nhi-probe", []string{"update", "delete"}, "change and delete identity entities", false},
	{"identity/entity-alias", []string{"update"}, "tie AppRoles to identity entities", false},
	{"identity/lookup/entity", []string{"update"}, "look up identity entities", false},
	{"identity/lookup/group", []string{"update"}, "look up identity groups", false},
	{"identity/group/id/nhi-probe", []string{"update"}, "change the members of identity groups", false},
	{"sys/policies/acl/nhi-probe", []string{"read"}, "see whether a policy exists", false},
	{"auth/token/accessors", []string{"list", "sudo"}, "list tokens, to end sessions", false},
	{"auth/token/lookup-accessor", []string{"update"}, "look up tokens, to end sessions", false},
	{"auth/token/revoke-accessor", []string{"update"}, "revoke tokens, to end sessions", false},
}

// Probe tells the cluster, the namespace and the AppRole mount apart: accounts are in one mount of one cluster.
func (d *vaultDriver) Probe(ctx context.Context) (driver.Target, error) {
	h, err := d.health(ctx)
	if err != nil {
		return driver.Target{}, err
	}
	token, err := fetch[tokenInfo](ctx, d.conn, "auth/token/lookup-self")
	if err != nil {
		return driver.Target{}, err
	}
	if token.Path == "" {
		return driver.Target{}, driver.Errorf(driver.Unknown, "Vault's answer about the admin token is incomplete")
	}
	mount, err := d.approleMount(ctx)
	if err != nil {
		return driver.Target{}, err
	}
	blind, err := d.blind(ctx)
	if err != nil {
		return driver.Target{}, err
	}
	id := []string{h.ClusterID, strings.Trim(d.conn.cfg.Namespace, "/"), mount.Accessor}
	id = slices.DeleteFunc(id, func(part string) bool { return part == "" })
	return driver.Target{ID: "vault:" + strings.Join(id, "/"), Version: h.Version, Blind: blind}, nil
}

// health returns the state of a server that can answer. Standby nodes can: they pass requests on to the active one.
func (d *vaultDriver) health(ctx context.Context) (health, error) {
	query := map[string][]string{"standbyok": {"true"}, "perfstandbyok": {"true"}}
	client, err := d.conn.newClient("")
	if err != nil {
		return health{}, err
	}
	// The path belongs to the root namespace; an unknown namespace does not hide it.
	client.ClearNamespace()
	body, found, err := d.conn.exchange(ctx, client, request{method: http.MethodGet, path: "sys/health", query: query})
	if err != nil {
		return health{}, healthError(err)
	}
	var h health
	if !found || json.Unmarshal(body, &h) != nil || h.Initialized == nil || h.Sealed == nil {
		return health{}, driver.Errorf(driver.Unknown, "what answers at %s is not Vault", d.conn.cfg.Address)
	}
	if !*h.Initialized || *h.Sealed {
		return health{}, driver.Errorf(driver.Unavailable, "Vault is sealed or not initialised")
	}
	if h.ClusterID == "" || h.Version == "" {
		return health{}, driver.Errorf(driver.Unknown, "Vault does not tell its cluster id or version")
	}
	return h, nil
}

// blind lists what the admin token may not do.
func (d *vaultDriver) blind(ctx context.Context) ([]string, error) {
	var in capabilitiesRequest
	for _, n := range needs {
		in.Paths = append(in.Paths, d.needPath(n))
	}
	out, err := post[map[string][]string](ctx, d.conn, "sys/capabilities-self", in)
	if err != nil {
		return nil, err
	}
	var blind []string
	for _, n := range needs {
		has, ok := out[d.needPath(n)]
		if !ok {
			return nil, driver.Errorf(driver.Unknown, "Vault's answer lacks the capabilities on %s", d.needPath(n))
		}
		missing := slices.DeleteFunc(slices.Clone(n.rights), func(right string) bool { return slices.Contains(has, right) })
		if len(missing) > 0 && !slices.Contains(has, "root") {
			blind = append(blind, fmt.Sprintf("The admin token may not %s (%s on %s).",
				n.without, strings.Join(missing, ", "), d.needPath(n)))
		}
	}
	return blind, nil
}

func (d *vaultDriver) needPath(n need) string {
	if n.underMount {
		return d.approle + "/" + n.path
	}
	return n.path
}
