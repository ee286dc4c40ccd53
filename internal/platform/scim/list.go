package scim

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/platform/internal/rest"
)

// maxStepsBack bounds how often paging by index goes back because the list changed under it.
const maxStepsBack = 20

// listResponse is one page.
type listResponse struct {
	Schemas      []string          `json:"schemas"`
	TotalResults *int              `json:"totalResults"`
	StartIndex   *int              `json:"startIndex"`
	Resources    []json.RawMessage `json:"Resources"`
	NextCursor   string            `json:"nextCursor"`
	NextID       string            `json:"nextId"`
}

func (l listResponse) check() error {
	if !hasSchema(l.Schemas, listSchema) {
		return &rest.ContentError{Reason: "is not a SCIM list"}
	}
	return nil
}

// resource is what can be listed.
type resource interface {
	user | group
}

func idOf[T resource](r T) string {
	switch r := any(r).(type) {
	case user:
		return r.ID
	case group:
		return r.ID
	}
	return ""
}

// lister reads one list to its end and proves that it is whole.
type lister[T resource] struct {
	d     *Driver
	path  string
	query url.Values
	size  int
	page  func([]T) error
	seen  map[string]bool
}

// list calls page for each page of a collection. It returns nil only if the list is complete: a page that is missing,
// repeated or shorter than announced is an error. No resource comes twice.
func list[T resource](ctx context.Context, d *Driver, f features, path string, query url.Values, page func([]T) error) error {
	l := &lister[T]{d: d, path: path, query: query, size: f.pageSize, page: page, seen: map[string]bool{}}
	switch f.paging {
	case byCursor:
		return l.follow(ctx, "cursor", "", func(r listResponse) string { return r.NextCursor })
	case byID:
		return l.follow(ctx, "startId", "initial", func(r listResponse) string {
			if r.NextID == "end" {
				return ""
			}
			return r.NextID
		})
	default:
		return l.count(ctx)
	}
}

// fetch reads one page and returns its resources.
func (l *lister[T]) fetch(ctx context.Context, position url.Values) (listResponse, []T, error) {
	query := maps.Clone(l.query)
	if query == nil {
		query = url.Values{}
	}
	maps.Copy(query, position)
	query.Set("count", strconv.Itoa(l.size))
	var r listResponse
	if _, err := l.d.call(ctx, rest.Request{Method: http.MethodGet, Path: l.path, Query: query}, &r); err != nil {
		return r, nil, err
	}
	if err := r.check(); err != nil {
		return r, nil, err
	}
	resources := make([]T, len(r.Resources))
	ids := map[string]bool{}
	for i, raw := range r.Resources {
		if err := json.Unmarshal(raw, &resources[i]); err != nil {
			return r, nil, &rest.ContentError{Reason: "lists something else than " + l.path, Err: err}
		}
		id := idOf(resources[i])
		if id == "" || ids[id] {
			return r, nil, &rest.ContentError{Reason: fmt.Sprintf("lists the id %q twice or without a value", id)}
		}
		ids[id] = true
	}
	return r, resources, nil
}

// emit hands over what is new and reports how much that is.
func (l *lister[T]) emit(resources []T) (int, error) {
	fresh := make([]T, 0, len(resources))
	for _, r := range resources {
		if id := idOf(r); !l.seen[id] {
			l.seen[id] = true
			fresh = append(fresh, r)
		}
	}
	if len(fresh) == 0 {
		return 0, nil
	}
	return len(fresh), l.page(fresh)
}

// count pages by index. Each page after the first begins with the last resource of the page before: if it is not there,
// resources were removed meanwhile and others may have moved to where we were already, so it goes back until it meets
// what it has seen.
func (l *lister[T]) count(ctx context.Context) error {
	start, last, stepsBack, steady, total := 1, "", 0, true, -1
	for {
		r, resources, err := l.fetch(ctx, url.Values{"startIndex": {strconv.Itoa(start)}})
		if err != nil {
			return err
		}
		if err := l.checkIndex(r, start, len(resources)); err != nil {
			return err
		}
		steady = steady && (total < 0 || total == *r.TotalResults)
		total = *r.TotalResults
		if !l.joins(start, last, resources) {
			if stepsBack++; stepsBack > maxStepsBack {
				return driver.Errorf(driver.Unavailable, "the list of %s changes too fast to be read", l.path)
			}
			start, last, steady = max(1, start-l.size), anySeen, false
			continue
		}
		fresh, err := l.emit(resources)
		if err != nil {
			return err
		}
		end := start + len(resources) - 1
		if end >= total {
			return l.whole(total, steady)
		}
		if len(resources) == 0 || fresh == 0 && steady {
			return &rest.ContentError{Reason: fmt.Sprintf("has no further %s at %d of %d announced", l.path, start, total)}
		}
		start, last = end+1, ""
		if len(resources) > 1 {
			start, last = end, idOf(resources[len(resources)-1])
		}
	}
}

// anySeen stands for any resource that was on an earlier page.
const anySeen = "*"

// joins reports whether a page continues what was read. last is the id that it has to begin with, anySeen, or "" for
// pages that begin where the one before ended.
func (l *lister[T]) joins(start int, last string, resources []T) bool {
	switch {
	case start == 1 || last == "":
		return true
	case last == anySeen:
		return slices.ContainsFunc(resources, func(r T) bool { return l.seen[idOf(r)] })
	default:
		return len(resources) > 0 && idOf(resources[0]) == last
	}
}

func (l *lister[T]) checkIndex(r listResponse, start, n int) error {
	if r.TotalResults == nil {
		return &rest.ContentError{Reason: "to the list of " + l.path + " has no totalResults"}
	}
	if r.StartIndex != nil && *r.StartIndex != start && n > 0 {
		return &rest.ContentError{Reason: fmt.Sprintf("begins at %d instead of %d: the service does not page", *r.StartIndex, start)}
	}
	return nil
}

// follow pages by a token that leads from each page to the next.
func (l *lister[T]) follow(ctx context.Context, parameter, first string, next func(listResponse) string) error {
	visited, token, steady, total := map[string]bool{}, first, true, -1
	for {
		r, resources, err := l.fetch(ctx, url.Values{parameter: {token}})
		if err != nil {
			return err
		}
		if r.TotalResults != nil {
			steady = steady && (total < 0 || total == *r.TotalResults)
			total = *r.TotalResults
		}
		if _, err := l.emit(resources); err != nil {
			return err
		}
		visited[token] = true
		token = next(r)
		switch {
		case token == "":
			return l.whole(total, steady)
		case visited[token]:
			return &rest.ContentError{Reason: "leads back to a page that was read before"}
		}
	}
}

// whole checks the sum. It can only be held against a total that did not change meanwhile.
func (l *lister[T]) whole(total int, steady bool) error {
	if total > len(l.seen) && steady {
		return &rest.ContentError{Reason: fmt.Sprintf("lists %d of %d %s", len(l.seen), total, l.path)}
	}
	return nil
}

// matching lists what a filter finds. Where the service has no filters, refuses this one, or finds nothing for a text
// that filter parsers get wrong, it lists everything: callers check each result themselves.
func matching[T resource](ctx context.Context, d *Driver, path, attribute, operator, text string, query url.Values, page func([]T) error) error {
	f, err := d.discover(ctx)
	if err != nil {
		return err
	}
	if f.filter {
		found := 0
		filtered := url.Values{"filter": {attribute + " " + operator + " " + quote(text)}}
		maps.Copy(filtered, query)
		err := list(ctx, d, f, path, filtered, func(rs []T) error {
			found += len(rs)
			return page(rs)
		})
		if found > 0 || err == nil && isPlain(text) || err != nil && !refusesFilter(err) {
			return err
		}
	}
	return list(ctx, d, f, path, query, page)
}

func refusesFilter(err error) bool {
	return isScimType(err, "invalidFilter") || isStatus(err, http.StatusBadRequest, http.StatusNotImplemented)
}
