package jira

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
	"github.com/nhi-labs/terraform-provider-nhi/internal/platform/internal/rest"
)

const (
	userPath     = "/rest/api/3/user"
	propertyPath = "/rest/api/3/user/properties/nhi"
	projectsPath = "/rest/api/3/project"
	// pageSize is how many projects and groups are asked for at once; the site may give fewer.
	pageSize = 50
	// maxRounds is how often a list that changed while it was read is begun anew.
	maxRounds = 5
)

type user struct {
	AccountID string `json:"accountId"`
	Active    *bool  `json:"active"`
}

type groupName struct {
	Name    string `json:"name"`
	GroupID string `json:"groupId"`
}

// property is the user property with the ownership mark.
type property struct {
	Value struct {
		Mark string `json:"mark"`
	} `json:"value"`
}

type role struct {
	ID     int64   `json:"id"`
	Name   string  `json:"name"`
	Actors []actor `json:"actors"`
}

// actor is a user or a group that plays a role.
type actor struct {
	User  *user      `json:"actorUser"`
	Group *groupName `json:"actorGroup"`
}

func (r role) has(accountID string) bool {
	for _, a := range r.Actors {
		if a.User != nil && a.User.AccountID == accountID {
			return true
		}
	}
	return false
}

// page is one page of a list.
type page[T any] struct {
	Values *[]T  `json:"values"`
	Total  *int  `json:"total"`
	IsLast *bool `json:"isLast"`
}

// call sends a request and decodes the answer into out, if it is not nil.
func (d *Driver) call(ctx context.Context, request rest.Request, out any) error {
	response, err := d.rest.Do(ctx, request)
	if err != nil || out == nil {
		return err
	}
	return response.Decode(out)
}

func (d *Driver) get(ctx context.Context, path string, query url.Values, out any) error {
	return d.call(ctx, rest.Request{Method: http.MethodGet, Path: path, Query: query}, out)
}

// list reads a list whole, or fails: a list that changes meanwhile is begun anew.
func list[T any](ctx context.Context, d *Driver, path string, query url.Values, key func(T) string) ([]T, error) {
	for range maxRounds {
		all, whole, err := listOnce(ctx, d, path, query, key)
		if err != nil || whole {
			return all, err
		}
	}
	return nil, driver.Errorf(driver.Unavailable, "the list %s changes too fast to be read", path)
}

func listOnce[T any](ctx context.Context, d *Driver, path string, query url.Values, key func(T) string) (all []T, whole bool, err error) {
	seen := map[string]bool{}
	for {
		at := url.Values{"startAt": {strconv.Itoa(len(all))}, "maxResults": {strconv.Itoa(pageSize)}}
		for name, values := range query {
			at[name] = values
		}
		var p page[T]
		err := d.get(ctx, path, at, &p)
		if len(all) > 0 && d.isNotFound(err) {
			return nil, false, nil // What was there is not there any more.
		}
		if err != nil {
			return nil, false, err
		}
		if p.Values == nil || p.Total == nil || p.IsLast == nil {
			return nil, false, &rest.ContentError{Reason: "is no page of the list " + path}
		}
		for _, v := range *p.Values {
			seen[key(v)] = true
		}
		all = append(all, *p.Values...)
		if *p.IsLast || len(*p.Values) == 0 {
			return all, len(seen) == len(all) && len(all) == *p.Total, nil
		}
	}
}

// Classify says what an error means. NotFound is only a 404 in Jira's own form.
func (d *Driver) Classify(err error) driver.Verdict {
	if verdict, ok := driver.Known(err); ok {
		return verdict
	}
	verdict := rest.Classify(err)
	var status *rest.StatusError
	var body struct {
		Messages []string `json:"errorMessages"`
	}
	if errors.As(err, &status) && status.Status == http.StatusNotFound && json.Unmarshal(status.Body, &body) == nil && len(body.Messages) > 0 {
		verdict.Code = driver.NotFound
	}
	return verdict
}

func (d *Driver) isNotFound(err error) bool {
	return err != nil && d.Classify(err).Code == driver.NotFound
}

// gone makes success of absence.
func (d *Driver) gone(err error) error {
	if d.isNotFound(err) {
		return nil
	}
	return err
}

// idOf is what addresses the account: name and id are the same here.
func idOf(ref nhi.Ref) string {
	if ref.ID != "" {
		return ref.ID
	}
	return ref.Name
}

func byAccount(id string) url.Values { return url.Values{"accountId": {id}} }

// beside keeps what is not found beside the account from being read as "the account is not found".
func (d *Driver) beside(what string, err error) error {
	if err == nil {
		return nil
	}
	verdict := d.Classify(err)
	if verdict.Code == driver.NotFound {
		verdict.Code = driver.Unknown
	}
	return &driver.Error{Verdict: verdict, Err: fmt.Errorf("reading %s: %w", what, err)}
}

// find reads the user that ref means. Jira answers whoever may not see users as if there were none, so NotFound is only
// what a login that sees them is told.
func (d *Driver) find(ctx context.Context, ref nhi.Ref) (user, error) {
	var u user
	err := d.get(ctx, userPath, byAccount(idOf(ref)), &u)
	if d.isNotFound(err) {
		return user{}, d.absent(ctx, err)
	}
	if err != nil {
		return user{}, err
	}
	if u.AccountID != idOf(ref) || u.Active == nil {
		return user{}, &rest.ContentError{Reason: fmt.Sprintf("is not about account %q", idOf(ref))}
	}
	return u, nil
}

func (d *Driver) groupsOf(ctx context.Context, id string) ([]groupName, error) {
	var groups []groupName
	if err := d.get(ctx, userPath+"/groups", byAccount(id), &groups); err != nil {
		return nil, d.beside("the groups of account "+id, err)
	}
	if groups == nil {
		return nil, &rest.ContentError{Reason: "is no list of groups"}
	}
	return groups, nil
}
