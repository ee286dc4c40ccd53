package vault

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
)

// reply is the envelope of every answer.
type reply[T any] struct {
	Data     *T         `json:"data"`
	Auth     *authReply `json:"auth"`
	Warnings []string   `json:"warnings"`
}

type authReply struct {
	ClientToken   string   `json:"client_token"`
	Accessor      string   `json:"accessor"`
	LeaseDuration int64    `json:"lease_duration"`
	TokenType     string   `json:"token_type"`
	Policies      []string `json:"policies"`
}

type loginRequest struct {
	RoleID   string `json:"role_id"`
	SecretID string `json:"secret_id"`
}

// entity is an identity entity as Vault shows it.
type entity struct {
	ID             string            `json:"id"`
	Name           string            `json:"name"`
	Metadata       map[string]string `json:"metadata"`
	Policies       []string          `json:"policies"`
	Disabled       *bool             `json:"disabled"`
	Aliases        []entityAlias     `json:"aliases"`
	DirectGroupIDs []string          `json:"direct_group_ids"`
}

type entityAlias struct {
	Name          string `json:"name"`
	MountAccessor string `json:"mount_accessor"`
}

// entityRequest changes what it names. Maps and lists replace what was there.
type entityRequest struct {
	Name     string             `json:"name,omitempty"`
	Metadata *map[string]string `json:"metadata,omitempty"`
	Policies *[]string          `json:"policies,omitempty"`
	Disabled *bool              `json:"disabled,omitempty"`
}

type aliasRequest struct {
	Name          string `json:"name"`
	CanonicalID   string `json:"canonical_id"`
	MountAccessor string `json:"mount_accessor"`
}

// lookupRequest finds an entity or a group. Names travel in the body, where no character has a meaning.
type lookupRequest struct {
	ID                 string `json:"id,omitempty"`
	Name               string `json:"name,omitempty"`
	AliasName          string `json:"alias_name,omitempty"`
	AliasMountAccessor string `json:"alias_mount_accessor,omitempty"`
}

type group struct {
	ID              string   `json:"id"`
	Name            string   `json:"name"`
	Type            string   `json:"type"`
	Policies        []string `json:"policies"`
	MemberEntityIDs []string `json:"member_entity_ids"`
	ParentGroupIDs  []string `json:"parent_group_ids"`
}

type groupRequest struct {
	MemberEntityIDs []string `json:"member_entity_ids"`
}

// role is an AppRole as Vault shows it; seconds are numbers.
type role struct {
	BindSecretID    *bool    `json:"bind_secret_id"`
	TokenPolicies   []string `json:"token_policies"`
	NoDefaultPolicy bool     `json:"token_no_default_policy"`
	TokenTTL        int64    `json:"token_ttl"`
	TokenMaxTTL     int64    `json:"token_max_ttl"`
	SecretIDTTL     int64    `json:"secret_id_ttl"`
	TokenBoundCIDRs []string `json:"token_bound_cidrs"`
}

// roleRequest changes what it names.
type roleRequest struct {
	RoleID          string    `json:"role_id,omitempty"`
	BindSecretID    *bool     `json:"bind_secret_id,omitempty"`
	TokenPolicies   *[]string `json:"token_policies,omitempty"`
	TokenTTL        *string   `json:"token_ttl,omitempty"`
	TokenMaxTTL     *string   `json:"token_max_ttl,omitempty"`
	SecretIDTTL     *string   `json:"secret_id_ttl,omitempty"`
	TokenBoundCIDRs *[]string `json:"token_bound_cidrs,omitempty"`
}

type roleIDReply struct {
	RoleID string `json:"role_id"`
}

type listReply struct {
	Keys []string `json:"keys"`
}

type policyReply struct {
	Name string `json:"name"`
}

// secretID is the metadata of one secret id.
type secretID struct {
	Accessor       string            `json:"secret_id_accessor"`
	CreationTime   time.Time         `json:"creation_time"`
	ExpirationTime time.Time         `json:"expiration_time"`
	NumUses        int64             `json:"secret_id_num_uses"`
	TTL            int64             `json:"secret_id_ttl"`
	Metadata       map[string]string `json:"metadata"`
}

type secretIDRequest struct {
	Metadata string `json:"metadata"`
	TTL      string `json:"ttl,omitempty"`
	NumUses  int64  `json:"num_uses,omitempty"`
}

type secretIDReply struct {
	SecretID string `json:"secret_id"`
	Accessor string `json:"secret_id_accessor"`
}

type secretIDAccessor struct {
	Accessor string `json:"secret_id_accessor"`
}

type tokenAccessor struct {
	Accessor string `json:"accessor"`
}

type tokenText struct {
	Token string `json:"token"`
}

type tokenInfo struct {
	EntityID string `json:"entity_id"`
	Path     string `json:"path"`
}

// mountInfo is what Vault tells about the mount of a path.
type mountInfo struct {
	Accessor string            `json:"accessor"`
	Path     string            `json:"path"`
	Type     string            `json:"type"`
	Options  map[string]string `json:"options"`
}

// fetch reads path. A path that is not there is an error of code NotFound.
func fetch[T any](ctx context.Context, c *connection, path string) (T, error) {
	return call[T](ctx, c, request{method: http.MethodGet, path: path})
}

// post writes in to path and decodes the answer, which must have one.
func post[T any](ctx context.Context, c *connection, path string, in any) (T, error) {
	return call[T](ctx, c, request{method: http.MethodPut, path: path, in: in})
}

func call[T any](ctx context.Context, c *connection, r request) (T, error) {
	out, found, err := callMaybe[T](ctx, c, r)
	if err == nil && !found {
		err = driver.Errorf(driver.Unknown, "%s %s was answered without content", r.method, r.path)
	}
	return out, err
}

// postMaybe is post for paths where Vault says "none" by an answer without content.
func postMaybe[T any](ctx context.Context, c *connection, path string, in any) (T, bool, error) {
	return callMaybe[T](ctx, c, request{method: http.MethodPut, path: path, in: in})
}

func callMaybe[T any](ctx context.Context, c *connection, r request) (T, bool, error) {
	var none T
	body, found, err := c.do(ctx, r)
	if err != nil || !found {
		return none, false, err
	}
	out, err := decode[T](r, body)
	return out, err == nil, err
}

func decode[T any](r request, body []byte) (T, error) {
	var none T
	var out reply[T]
	if err := json.Unmarshal(body, &out); err != nil {
		return none, driver.Errorf(driver.Unknown, "the answer to %s %s is not Vault's: %w", r.method, r.path, err)
	}
	if out.Data == nil {
		return none, driver.Errorf(driver.Unknown, "the answer to %s %s holds no data", r.method, r.path)
	}
	for _, warning := range out.Warnings {
		if strings.Contains(warning, "partial response") {
			return none, driver.Errorf(driver.Unavailable, "the answer to %s %s is incomplete: %s", r.method, r.path, warning)
		}
	}
	return *out.Data, nil
}

// write sends in to path where the answer does not matter.
func (c *connection) write(ctx context.Context, path string, in any) error {
	_, _, err := c.do(ctx, request{method: http.MethodPut, path: path, in: in})
	return err
}

func (c *connection) remove(ctx context.Context, path string) error {
	_, _, err := c.do(ctx, request{method: http.MethodDelete, path: path})
	return err
}

// list lists path. Vault answers 404 without a message for an empty list, and for a folder that does not exist.
func (c *connection) list(ctx context.Context, path string) (listReply, error) {
	r := request{method: http.MethodGet, path: path, query: map[string][]string{"list": {"true"}}}
	out, err := call[listReply](ctx, c, r)
	if isAbsence(err) {
		return listReply{}, nil
	}
	if err == nil && len(out.Keys) == 0 {
		err = driver.Errorf(driver.Unknown, "the list of %s has no keys; Vault would have answered 404", path)
	}
	return out, err
}
