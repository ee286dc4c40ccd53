package main

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/nhi-labs/terraform-provider-nhi/internal/testenv"
)

// scim is a real SCIM server in the place of SAP Cloud Identity Services.
type scim struct {
	api
	server testenv.SCIM
}

type scimUser struct {
	ID     string `json:"id"`
	Active bool   `json:"active"`
}

type scimGroup struct {
	ID          string       `json:"id"`
	DisplayName string       `json:"displayName"`
	Members     []scimMember `json:"members"`
}

type scimMember struct {
	Value string `json:"value"`
}

type scimList[T any] struct {
	TotalResults int `json:"totalResults"`
	Resources    []T `json:"Resources"`
}

func (s *scim) name() string  { return sap }
func (s *scim) env() []string { return []string{"NHI_SAP_TOKEN=" + s.server.Token} }

// A SCIM service provisions users; they log in elsewhere, where this attribute decides.
func (s *scim) loginMeans() string { return "login as far as SCIM tells (active)" }

func (s *scim) block() string {
	return fmt.Sprintf("  scim {\n    name = %q\n    url  = %q # its token is in NHI_SAP_TOKEN\n  }\n", sap, s.server.URL)
}

func (s *scim) prepare(ctx context.Context) error {
	for _, name := range []string{"Billing Viewers", "Billing Admins"} {
		group := map[string]any{"schemas": []string{"urn:ietf:params:scim:schemas:core:2.0:Group"}, "displayName": name}
		if err := s.do(ctx, http.MethodPost, "Groups", group, nil); err != nil {
			return err
		}
	}
	return nil
}

// user returns the agent's user, nil if there is none.
func (s *scim) user(ctx context.Context) (*scimUser, error) {
	var list scimList[scimUser]
	query := url.Values{"filter": {fmt.Sprintf("userName eq %q", account(sap))}}
	if err := s.do(ctx, http.MethodGet, "Users?"+query.Encode(), nil, &list); err != nil {
		return nil, err
	}
	if len(list.Resources) == 0 {
		return nil, nil
	}
	return &list.Resources[0], nil
}

func (s *scim) groups(ctx context.Context) ([]scimGroup, error) {
	var list scimList[scimGroup]
	err := s.do(ctx, http.MethodGet, "Groups?count=100", nil, &list)
	if err == nil && len(list.Resources) < list.TotalResults {
		err = fmt.Errorf("%d of %d groups were listed", len(list.Resources), list.TotalResults)
	}
	return list.Resources, err
}

func (s *scim) dump(ctx context.Context) (string, error) {
	user, err := s.user(ctx)
	if err != nil || user == nil {
		return nothing, err
	}
	groups, err := s.groups(ctx)
	var holds []string
	for _, group := range groups {
		if slices.Contains(group.Members, scimMember{user.ID}) {
			holds = append(holds, "group:"+group.DisplayName)
		}
	}
	return shown(account(sap), user.Active, holds), err
}

func (s *scim) grant(ctx context.Context, text string) (string, error) {
	name := strings.TrimPrefix(text, "group:")
	user, err := s.user(ctx)
	if err != nil {
		return "", err
	}
	groups, err := s.groups(ctx)
	if err != nil {
		return "", err
	}
	i := slices.IndexFunc(groups, func(g scimGroup) bool { return g.DisplayName == name })
	if user == nil || i < 0 {
		return "", fmt.Errorf("the user or the group %q is missing", name)
	}
	add := map[string]any{
		"schemas": []string{"urn:ietf:params:scim:api:messages:2.0:PatchOp"},
		"Operations": []map[string]any{
			{"op": "add", "path": "members", "value": []scimMember{{user.ID}}},
		},
	}
	err = s.do(ctx, http.MethodPatch, "Groups/"+groups[i].ID, add, nil)
	return fmt.Sprintf("PATCH /Groups/%s adds the user to %q", groups[i].ID, name), err
}

func (s *scim) newLogin(context.Context) error { return nil }

func (s *scim) login(ctx context.Context) error {
	user, err := s.user(ctx)
	if err != nil {
		return err
	}
	if user == nil || !user.Active {
		return errRefused
	}
	return nil
}
