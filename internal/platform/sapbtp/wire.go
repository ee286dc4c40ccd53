package sapbtp

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
	"github.com/nhi-labs/terraform-provider-nhi/internal/platform/internal/rest"
)

const (
	coreSchema = "urn:scim:schemas:core:1.0"
	usersPath  = "/Users"
	groupsPath = "/Groups"
	// direct is the type of a group that the user is a member of itself.
	direct = "DIRECT"
)

// user is what is used of a user. An update sends all of it back.
type user struct {
	Schemas    []string   `json:"schemas"`
	ID         string     `json:"id,omitempty"`
	ExternalID string     `json:"externalId,omitempty"`
	Meta       *meta      `json:"meta,omitempty"`
	UserName   string     `json:"userName"`
	Name       personName `json:"name"`
	Emails     []email    `json:"emails"`
	Groups     *[]group   `json:"groups,omitempty"`
	Active     *bool      `json:"active,omitempty"`
	Verified   *bool      `json:"verified,omitempty"`
	Origin     string     `json:"origin"`
	Phones     []value    `json:"phoneNumbers,omitempty"`
}

type meta struct {
	Version int `json:"version"`
}

type personName struct {
	FamilyName string `json:"familyName,omitempty"`
	GivenName  string `json:"givenName,omitempty"`
}

type email struct {
	Value   string `json:"value"`
	Primary bool   `json:"primary"`
}

type value struct {
	Value string `json:"value"`
}

// group is a role collection as the user management shows it: its id is its name.
type group struct {
	Value   string `json:"value"`
	Display string `json:"display"`
	Type    string `json:"type"`
}

type member struct {
	Origin string `json:"origin"`
	Type   string `json:"type"`
	Value  string `json:"value"`
}

type userList struct {
	Resources    *[]user `json:"resources"`
	StartIndex   int     `json:"startIndex"`
	TotalResults *int    `json:"totalResults"`
}

// notFound is the code of the service's own 404; a proxy, or a wrong path, has none.
const notFound = "scim_resource_not_found"

// uaaError is the form of the service's errors.
type uaaError struct {
	Error string `json:"error"`
}

// errorName returns the service's own name of an error, "" if it is not in its form.
func errorName(err error) string {
	var status *rest.StatusError
	var body uaaError
	if !errors.As(err, &status) || json.Unmarshal(status.Body, &body) != nil {
		return ""
	}
	return body.Error
}

// Classify says what an error means. NotFound is only what the service, or the Service Manager, calls so itself.
func (d *Driver) Classify(err error) driver.Verdict {
	if verdict, ok := driver.Known(err); ok {
		return verdict
	}
	verdict := rest.Classify(err)
	var status *rest.StatusError
	if !errors.As(err, &status) {
		return verdict
	}
	switch name := errorName(err); {
	case status.Status == http.StatusNotFound && (name == notFound || name == bindingNotFound):
		verdict.Code = driver.NotFound
	case status.Status == http.StatusConflict && name == "scim_resource_already_exists":
		verdict.Code = driver.AlreadyExists
	}
	return verdict
}

func (d *Driver) isNotFound(err error) bool {
	return err != nil && d.Classify(err).Code == driver.NotFound
}

// noAbsence keeps the code of an error, but for NotFound: what is missing there is not the user.
func (d *Driver) noAbsence(doing string, err error) error {
	if d.isNotFound(err) {
		return driver.Errorf(driver.Unknown, "%s: %w", doing, err)
	}
	return fmt.Errorf("%s: %w", doing, err)
}

func isStatus(err error, status int) bool {
	var e *rest.StatusError
	return errors.As(err, &e) && e.Status == status
}

// call sends a request and decodes the answer into out, if it is not nil.
func call(ctx context.Context, client *rest.Client, request rest.Request, out any) error {
	response, err := client.Do(ctx, request)
	if err != nil || out == nil {
		return err
	}
	return response.Decode(out)
}

// quote writes a text of a filter.
func quote(text string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(text) + `"`
}

func (d *Driver) originFilter() string { return "origin eq " + quote(d.config.Origin) }

// find reads the user that ref means.
func (d *Driver) find(ctx context.Context, ref nhi.Ref) (user, error) {
	if ref.ID != "" {
		var u user
		err := call(ctx, d.users, rest.Request{Method: http.MethodGet, Path: usersPath + "/" + url.PathEscape(ref.ID)}, &u)
		switch {
		case err != nil:
			return user{}, err
		case u.ID != ref.ID || u.UserName == "":
			return user{}, &rest.ContentError{Reason: "to the read of a user is not that user"}
		case u.Origin != d.config.Origin:
			return user{}, driver.Errorf(driver.NotFound, "user %q belongs to the origin %q instead of %q", u.UserName, u.Origin, d.config.Origin)
		}
		return u, nil
	}
	return d.findByName(ctx, d.users, ref.Name)
}

// findByName asks one level for the user. The service takes upper and lower case for the same.
func (d *Driver) findByName(ctx context.Context, level *rest.Client, name string) (user, error) {
	var list userList
	query := url.Values{"filter": {"userName eq " + quote(name) + " and " + d.originFilter()}}
	if err := call(ctx, level, rest.Request{Method: http.MethodGet, Path: usersPath, Query: query}, &list); err != nil {
		return user{}, d.noAbsence("searching for the user", err)
	}
	if list.Resources == nil || list.TotalResults == nil || *list.TotalResults != len(*list.Resources) {
		return user{}, &rest.ContentError{Reason: "to the search for a user is no whole list"}
	}
	for _, u := range *list.Resources {
		if !strings.EqualFold(u.UserName, name) || u.Origin != d.config.Origin || u.ID == "" {
			return user{}, &rest.ContentError{Reason: fmt.Sprintf("to the search for user %q holds %q", name, u.UserName)}
		}
	}
	switch users := *list.Resources; len(users) {
	case 0:
		return user{}, driver.Errorf(driver.NotFound, "there is no user %q of the origin %q", name, d.config.Origin)
	case 1:
		return users[0], nil
	default:
		return user{}, driver.Errorf(driver.Invalid, "several users of the origin %q are named %q", d.config.Origin, name)
	}
}

// maxStepsBack bounds how often a list that shifts under the reader is read again from further ahead.
const maxStepsBack = 50

// eachPage reads all users of the origin in pages. Each page begins with the last user of the one before: if that user
// is not there, users were deleted meanwhile and others moved to where the reader already was, so it goes back.
func (d *Driver) eachPage(ctx context.Context, page func([]user) error) error {
	size := d.config.PageSize
	seen := map[string]bool{}
	last := ""
	for start, back, steps := 1, size, 0; ; {
		users, total, err := d.page(ctx, start)
		if err != nil {
			return err
		}
		if last != "" && (len(users) == 0 || users[0].ID != last) && start > 1 {
			if steps++; steps > maxStepsBack {
				return driver.Errorf(driver.Unavailable, "the list of users changes too fast to be read")
			}
			start, back, last = max(1, start-back), 2*back, ""
			continue
		}
		var fresh []user
		for _, u := range users {
			if !seen[u.ID] {
				seen[u.ID] = true
				fresh = append(fresh, u)
			}
		}
		if len(fresh) > 0 {
			if err := page(fresh); err != nil {
				return err
			}
		}
		end := start + len(users) - 1
		if end >= total {
			return nil
		}
		if len(users) < 2 {
			return &rest.ContentError{Reason: fmt.Sprintf("lists no further users at %d of %d", start, total)}
		}
		start, last, back = end, users[len(users)-1].ID, size
	}
}

func (d *Driver) page(ctx context.Context, start int) ([]user, int, error) {
	query := url.Values{
		"filter": {d.originFilter()}, "sortBy": {"created"}, "startIndex": {strconv.Itoa(start)}, "count": {strconv.Itoa(d.config.PageSize)},
	}
	var list userList
	if err := call(ctx, d.users, rest.Request{Method: http.MethodGet, Path: usersPath, Query: query}, &list); err != nil {
		return nil, 0, err
	}
	if list.Resources == nil || list.TotalResults == nil || (list.StartIndex != start && len(*list.Resources) > 0) {
		return nil, 0, &rest.ContentError{Reason: "is no list of users"}
	}
	for _, u := range *list.Resources {
		if u.ID == "" || u.UserName == "" || u.Origin != d.config.Origin {
			return nil, 0, &rest.ContentError{Reason: "lists users without an id, or of another origin"}
		}
	}
	return *list.Resources, *list.TotalResults, nil
}
