package scim

import (
	"context"
	"encoding/json"
	"errors"
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
const maxStepsBack = 100

// maxRounds bounds how often a list with a wrong sum is read.
const maxRounds = 3

// maxRestarts bounds how often paging by token begins again.
const maxRestarts = 5

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
	seen  map[string]bool // Handed over.
	round map[string]bool // Seen since the list was begun, the last time.
}

// incompleteError says that the sum of the pages is not what was announced.
type incompleteError struct {
	*rest.ContentError
}

// Unwrap returns the error as it is classified.
func (e *incompleteError) Unwrap() error { return e.ContentError }

// list calls page for each page of a collection. It returns nil only if the list is complete: a page that is missing,
// repeated or shorter than announced is an error. No resource comes twice.
func list[T resource](ctx context.Context, d *Driver, f features, path string, query url.Values, page func([]T) error) error {
	l := &lister[T]{d: d, path: path, query: query, size: f.pageSize, page: page, seen: map[string]bool{}}
	for attempt := 1; ; attempt++ {
		l.round = map[string]bool{}
		err := l.once(ctx, f.paging)
		// One resource that came and one that went meanwhile look like a missing one: only a sum that is wrong every time
		// is the service's fault.
		var incomplete *incompleteError
		if !errors.As(err, &incomplete) || attempt == maxRounds {
			return err
		}
	}
}

func (l *lister[T]) once(ctx context.Context, by paging) error {
	switch by {
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

// emit hands over what is new and reports how much of it is new in this round.
func (l *lister[T]) emit(resources []T) (int, error) {
	before := len(l.round)
	fresh := make([]T, 0, len(resources))
	for _, r := range resources {
		id := idOf(r)
		l.round[id] = true
		if !l.seen[id] {
			l.seen[id] = true
			fresh = append(fresh, r)
		}
	}
	if len(fresh) == 0 {
		return len(l.round) - before, nil
	}
	return len(l.round) - before, l.page(fresh)
}

// count pages by index. Each page overlaps the one before: if none of its resources was seen, resources were removed
// meanwhile and others may have moved to where we were already, so it goes back, further each time, until it meets what
// it has seen.
func (l *lister[T]) count(ctx context.Context) error {
	start, overlaps, stepsBack, back, steady, total := 1, false, 0, l.size, true, -1
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
		if overlaps && start > 1 && !slices.ContainsFunc(resources, func(r T) bool { return l.round[idOf(r)] }) {
			if stepsBack++; stepsBack > maxStepsBack {
				return driver.Errorf(driver.Unavailable, "the list of %s changes too fast to be read", l.path)
			}
			start, back, steady = max(1, start-back), 2*back, false
			continue
		}
		back = l.size
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
		overlap := min(max(1, len(resources)/10), len(resources)-1)
		start, overlaps = end+1-overlap, overlap > 0
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

// follow pages by a token that leads from each page to the next. A token that is no longer good (it expired, or what it
// stood for was deleted) means beginning again: what was handed over already is left out then.
func (l *lister[T]) follow(ctx context.Context, parameter, first string, next func(listResponse) string) error {
	visited, token, restarts, steady, total := map[string]bool{}, first, 0, true, -1
	for {
		r, resources, err := l.fetch(ctx, url.Values{parameter: {token}})
		if token != first && restarts < maxRestarts && isScimType(err, "expiredCursor", "invalidCursor", "invalidValue") {
			restarts, token, steady = restarts+1, first, false
			clear(visited)
			clear(l.round)
			continue
		}
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
	if total > len(l.round) && steady {
		return &incompleteError{&rest.ContentError{Reason: fmt.Sprintf("lists %d of %d %s", len(l.round), total, l.path)}}
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
