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

// need is a right that the driver uses. probeName in its path stands for all names.
type need struct {
	path       string
	rights     []string
	without    string
	underMount bool // path is below the AppRole mount
	always     bool // every change needs it: without it no account can be found and made
}

// probeName is the name whose rights are asked for. In texts it is "+", as in a policy.
const probeName = "nhi-probe"

// needs are the rights of the policy in the documentation of this kind, with what fails without each.
var needs = []need{
	{"role/" + probeName, []string{"create", "read"}, "make and read AppRoles", true, true},
	{"role/" + probeName + "/role-id", []string{"read"}, "read the ids of AppRoles", true, true},
	{"identity/entity", []string{"update"}, "make identity entities", false, true},
	{"identity/entity/id/" + probeName, []string{"update"}, "change identity entities", false, true},
	{"identity/entity-alias", []string{"update"}, "tie AppRoles to identity entities", false, true},
	{"identity/lookup/entity", []string{"update"}, "look up identity entities", false, true},
	{"role/" + probeName, []string{"update", "delete"}, "change and delete AppRoles", true, false},
	{"role/" + probeName + "/secret-id", []string{"update", "list"}, "list and issue secret ids", true, false},
	{"role/" + probeName + "/secret-id-accessor/lookup", []string{"update"}, "read the metadata of secret ids", true, false},
	{"role/" + probeName + "/secret-id-accessor/destroy", []string{"update"}, "destroy secret ids", true, false},
	{"identity/entity/id/" + probeName, []string{"delete"}, "delete identity entities", false, false},
	{"identity/lookup/group", []string{"update"}, "look up identity groups", false, false},
	{"identity/group/id/" + probeName, []string{"update"}, "change the members of identity groups", false, false},
	{"sys/policies/acl/" + probeName, []string{"read"}, "see whether a policy exists", false, false},
	{"auth/token/accessors", []string{"list", "sudo"}, "list tokens, to end sessions", false, false},
	{"auth/token/lookup-accessor", []string{"update"}, "look up tokens, to end sessions", false, false},
	{"auth/token/revoke-accessor", []string{"update"}, "revoke tokens, to end sessions", false, false},
	{"auth/token/revoke", []string{"update"}, "revoke the tokens that it minted", false, false},
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
	blind, lacking, err := d.shortcomings(ctx)
	if err != nil {
		return driver.Target{}, err
	}
	mount, err := d.approleMount(ctx)
	if err != nil {
		// A token without any right below the mount is not even told that there is one.
		if len(lacking) > 0 && classify(err).Code == driver.PermissionDenied {
			err = fmt.Errorf("%s %w", strings.Join(lacking, " "), err)
		}
		return driver.Target{}, err
	}
	id := []string{h.ClusterID, strings.Trim(d.conn.cfg.Namespace, "/"), mount.Accessor}
	id = slices.DeleteFunc(id, func(part string) bool { return part == "" })
	return driver.Target{ID: "vault:" + strings.Join(id, "/"), Version: h.Version, Blind: blind, Lacking: lacking}, nil
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

// shortcomings lists what the admin token may not do: what only some changes need, and what all of them do.
func (d *vaultDriver) shortcomings(ctx context.Context) (blind, lacking []string, err error) {
	var in capabilitiesRequest
	for _, n := range needs {
		if path := d.needPath(n); !slices.Contains(in.Paths, path) {
			in.Paths = append(in.Paths, path)
		}
	}
	out, err := post[map[string][]string](ctx, d.conn, "sys/capabilities-self", in)
	if err != nil {
		return nil, nil, err
	}
	for _, n := range needs {
		path := d.needPath(n)
		has, ok := out[path]
		if !ok {
			return nil, nil, driver.Errorf(driver.Unknown, "Vault's answer lacks the capabilities on %s", path)
		}
		missing := slices.DeleteFunc(slices.Clone(n.rights), func(right string) bool { return slices.Contains(has, right) })
		if len(missing) == 0 || slices.Contains(has, "root") {
			continue
		}
		sentence := fmt.Sprintf("The admin token may not %s: it lacks the capability %s on %q.",
			n.without, strings.Join(missing, " and "), strings.ReplaceAll(path, probeName, "+"))
		if n.always {
			lacking = append(lacking, sentence)
		} else {
			blind = append(blind, sentence)
		}
	}
	return blind, lacking, nil
}

func (d *vaultDriver) needPath(n need) string {
	if n.underMount {
		return d.approle + "/" + n.path
	}
	return n.path
}
