package main

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	"github.com/nhi-labs/terraform-provider-nhi/internal/secret"
	"github.com/nhi-labs/terraform-provider-nhi/internal/testenv"
)

// vault is a real server, used through its API.
type vault struct {
	api
	server   testenv.Vault
	roleID   string
	secretID secret.Value
}

func (v *vault) name() string       { return secrets }
func (v *vault) env() []string      { return []string{"NHI_SECRETS_TOKEN=" + v.server.Token} }
func (v *vault) loginMeans() string { return "AppRole login with a secret id" }

func (v *vault) block() string {
	return fmt.Sprintf("  vault {\n    name    = %q\n    address = %q # its token is in NHI_SECRETS_TOKEN\n  }\n", secrets, v.server.Address)
}

func (v *vault) prepare(ctx context.Context) error {
	if err := v.do(ctx, http.MethodPost, "sys/auth/approle", map[string]string{"type": "approle"}, nil); err != nil {
		return err
	}
	policy := map[string]string{"policy": `path "secret/data/billing/*" { capabilities = ["read"] }`}
	return v.do(ctx, http.MethodPut, "sys/policies/acl/billing-read", policy, nil)
}

func (v *vault) dump(ctx context.Context) (string, error) {
	var role, entity struct {
		Data *struct {
			RoleID   string   `json:"role_id"`
			Disabled bool     `json:"disabled"`
			Policies []string `json:"policies"`
		} `json:"data"`
	}
	err := v.do(ctx, http.MethodGet, "auth/approle/role/"+account(secrets)+"/role-id", nil, &role)
	if isStatus(err, http.StatusNotFound) {
		return v.noEntities(ctx)
	}
	if err != nil {
		return "", err
	}
	mount, err := v.mountAccessor(ctx)
	if err != nil {
		return "", err
	}
	lookup := map[string]string{"alias_name": role.Data.RoleID, "alias_mount_accessor": mount}
	if err := v.do(ctx, http.MethodPost, "identity/lookup/entity", lookup, &entity); err != nil {
		return "", err
	}
	if entity.Data == nil {
		return "", fmt.Errorf("the AppRole %s has no entity", account(secrets))
	}
	var holds []string
	for _, policy := range entity.Data.Policies {
		holds = append(holds, "policy:"+policy)
	}
	return shown(account(secrets), !entity.Data.Disabled, holds), nil
}

// noEntities makes sure that no entity was left behind either.
func (v *vault) noEntities(ctx context.Context) (string, error) {
	var list struct {
		Data struct {
			Keys []string `json:"keys"`
		} `json:"data"`
	}
	err := v.do(ctx, "LIST", "identity/entity/name", nil, &list)
	if err != nil && !isStatus(err, http.StatusNotFound) {
		return "", err
	}
	for _, name := range list.Data.Keys {
		if strings.Contains(name, account(secrets)) {
			return "an entity named " + name + "\n", nil
		}
	}
	return nothing, nil
}

func (v *vault) mountAccessor(ctx context.Context) (string, error) {
	var mount struct {
		Data struct {
			Accessor string `json:"accessor"`
		} `json:"data"`
	}
	err := v.do(ctx, http.MethodGet, "sys/auth/approle", nil, &mount)
	return mount.Data.Accessor, err
}

func (v *vault) grant(context.Context, string) (string, error) {
	return "", fmt.Errorf("nothing is granted by hand on %s", secrets)
}

func (v *vault) newLogin(ctx context.Context) error {
	var answer struct {
		Data struct {
			RoleID   string `json:"role_id"`
			SecretID string `json:"secret_id"`
		} `json:"data"`
	}
	path := "auth/approle/role/" + account(secrets)
	if err := v.do(ctx, http.MethodGet, path+"/role-id", nil, &answer); err != nil {
		return err
	}
	if err := v.do(ctx, http.MethodPost, path+"/secret-id", nil, &answer); err != nil {
		return err
	}
	v.roleID, v.secretID = answer.Data.RoleID, secret.New(answer.Data.SecretID)
	return nil
}

func (v *vault) login(ctx context.Context) error {
	in := map[string]string{"role_id": v.roleID, "secret_id": v.secretID.Reveal()}
	err := v.do(ctx, http.MethodPost, "auth/approle/login", in, nil)
	if isStatus(err, http.StatusBadRequest, http.StatusForbidden) {
		return errRefused
	}
	return err
}
