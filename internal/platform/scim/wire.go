package scim

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/nhi-labs/terraform-provider-nhi/internal/platform/internal/rest"
)

const (
	mediaType      = "application/scim+json"
	userSchema     = "urn:ietf:params:scim:schemas:core:2.0:User"
	configSchema   = "urn:ietf:params:scim:schemas:core:2.0:ServiceProviderConfig"
	sapUserSchema  = "urn:ietf:params:scim:schemas:extension:sap:2.0:User"
	listSchema     = "urn:ietf:params:scim:api:messages:2.0:ListResponse"
	patchSchema    = "urn:ietf:params:scim:api:messages:2.0:PatchOp"
	errorSchema    = "urn:ietf:params:scim:api:messages:2.0:Error"
	usersPath      = "/Users"
	groupsPath     = "/Groups"
	configPath     = "/ServiceProviderConfig"
	schemasPath    = "/Schemas"
	sapActive      = "active"
	sapInactive    = "inactive"
	sapGroupsLimit = 1000 // A User comes with at most so many groups.
	sapPageLimit   = 100
)

// user is what is read of a User.
type user struct {
	Schemas      []string    `json:"schemas"`
	ID           string      `json:"id,omitempty"`
	ExternalID   string      `json:"externalId,omitempty"`
	UserName     string      `json:"userName"`
	Name         *personName `json:"name,omitempty"`
	DisplayName  string      `json:"displayName,omitempty"`
	UserType     string      `json:"userType,omitempty"`
	Active       *bool       `json:"active,omitempty"`
	Emails       []email     `json:"emails,omitempty"`
	Groups       *[]groupRef `json:"groups,omitempty"`
	Roles        []value     `json:"roles,omitempty"`
	Entitlements []value     `json:"entitlements,omitempty"`
	SAP          *sapUser    `json:"urn:ietf:params:scim:schemas:extension:sap:2.0:User,omitempty"`
}

type personName struct {
	FamilyName string `json:"familyName,omitempty"`
}

type email struct {
	Value   string `json:"value"`
	Type    string `json:"type,omitempty"`
	Primary bool   `json:"primary,omitempty"`
}

// value is one entry of a multi-valued attribute.
type value struct {
	Value string `json:"value"`
}

type groupRef struct {
	Value   string `json:"value"`
	Display string `json:"display,omitempty"`
	Type    string `json:"type,omitempty"`
}

// sapUser is what is used of SAP's extension.
type sapUser struct {
	Status   string `json:"status,omitempty"`
	ValidTo  string `json:"validTo,omitempty"`
	SendMail *bool  `json:"sendMail,omitempty"`
}

type group struct {
	ID          string   `json:"id"`
	DisplayName string   `json:"displayName"`
	Members     *[]value `json:"members"`
}

// has reports whether the group lists a member. It is false if the service left the members out.
func (g group) has(id string) bool {
	return g.Members != nil && slices.Contains(*g.Members, value{Value: id})
}

// apiError is an error answer in SCIM's own form (RFC 7644, section 3.12). Nothing else counts as the service's word.
type apiError struct {
	*rest.StatusError
	ScimType string
}

func (e *apiError) Error() string {
	if e.ScimType == "" {
		return e.StatusError.Error()
	}
	return e.StatusError.Error() + " (" + e.ScimType + ")"
}

// Unwrap returns the HTTP error.
func (e *apiError) Unwrap() error { return e.StatusError }

// asAPIError recognises SCIM's own errors among the HTTP errors.
func asAPIError(err error) error {
	var status *rest.StatusError
	if !errors.As(err, &status) || len(status.Body) == 0 {
		return err
	}
	var body struct {
		Schemas  []string `json:"schemas"`
		ScimType string   `json:"scimType"`
	}
	if json.Unmarshal(status.Body, &body) != nil || !hasSchema(body.Schemas, errorSchema) {
		return err
	}
	return &apiError{StatusError: status, ScimType: body.ScimType}
}

func hasSchema(schemas []string, want string) bool {
	return slices.ContainsFunc(schemas, func(s string) bool { return strings.EqualFold(s, want) })
}

// call sends one request and decodes the answer into out, if out is not nil.
func (d *Driver) call(ctx context.Context, request rest.Request, out any) (*rest.Response, error) {
	response, err := d.rest.Do(ctx, request)
	if err != nil {
		return nil, asAPIError(err)
	}
	if out == nil {
		return response, nil
	}
	if err := response.Decode(out); err != nil {
		return nil, fmt.Errorf("%s %s: %w", request.Method, request.Path, err)
	}
	return response, nil
}

func resourcePath(collection, id string) string {
	// "." and ".." survive PathEscape, and proxies resolve them.
	if id == "." || id == ".." {
		return collection + "/" + strings.ReplaceAll(id, ".", "%2E")
	}
	return collection + "/" + url.PathEscape(id)
}

// getUser reads one User by its id.
func (d *Driver) getUser(ctx context.Context, id string) (user, error) {
	var u user
	if _, err := d.call(ctx, rest.Request{Method: http.MethodGet, Path: resourcePath(usersPath, id)}, &u); err != nil {
		return user{}, err
	}
	if u.ID != id || u.UserName == "" {
		return user{}, &rest.ContentError{Reason: fmt.Sprintf("to the read of user %q is not that user", id)}
	}
	return u, nil
}

// isStatus reports whether err is an HTTP answer with one of the statuses.
func isStatus(err error, statuses ...int) bool {
	var status *rest.StatusError
	return errors.As(err, &status) && slices.Contains(statuses, status.Status)
}

// isScimType reports whether err is an answer in SCIM's form with one of the types.
func isScimType(err error, types ...string) bool {
	var api *apiError
	return errors.As(err, &api) && slices.Contains(types, api.ScimType)
}

// quote makes a filter's string literal: JSON's escapes (RFC 7644, section 3.4.2.2), so no text can leave it.
func quote(text string) string {
	var buffer bytes.Buffer
	encoder := json.NewEncoder(&buffer)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(text) // A string always has a JSON form.
	return strings.TrimSuffix(buffer.String(), "\n")
}

// plainPattern is what every filter parser gets right. Several do not know escapes, or split at brackets inside quotes.
var plainPattern = regexp.MustCompile(`^[A-Za-z0-9 _@#/+:.-]+$`)

func isPlain(text string) bool { return plainPattern.MatchString(text) }
