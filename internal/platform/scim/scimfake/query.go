package scimfake

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	filter "github.com/scim2/filter-parser/v2"
)

// cursor is where a list goes on.
type cursor struct {
	collection *collection
	after      string // The id of the last resource that was sent.
	filter     string
}

// list answers a query (RFC 7644, section 3.4.2).
func (s *Server) list(r *http.Request, c *collection) (*reply, *problem) {
	query := r.URL.Query()
	found, p := s.search(c, query.Get("filter"))
	if p != nil {
		return nil, p
	}
	count := s.options.MaxPageSize
	if text := query.Get("count"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil {
			return nil, problemf(http.StatusBadRequest, "invalidValue", "count is not a number")
		}
		count = min(max(n, 0), count)
	}
	answer := attributes{"schemas": []any{listSchema}, "totalResults": len(found)}
	var page []*stored
	switch {
	case s.options.SAP && query.Has("startId"):
		page, p = s.pageByID(found, query.Get("startId"), count, answer)
	case s.options.CursorOnly && (query.Has("cursor") || !query.Has("startIndex")):
		page, p = s.pageByCursor(c, found, query, count, answer)
	case s.options.CursorOnly:
		p = problemf(http.StatusBadRequest, "invalidValue", "this service pages by cursor")
	default:
		page, p = pageByIndex(found, query.Get("startIndex"), count, answer)
	}
	if p != nil {
		return nil, p
	}
	excluded := strings.Split(query.Get("excludedAttributes"), ",")
	resources := make([]any, len(page))
	for i, item := range page {
		view := s.view(c, item)
		for _, name := range excluded {
			delete(view, name)
		}
		resources[i] = view
	}
	answer["itemsPerPage"] = len(page)
	answer["Resources"] = resources
	return jsonReply(http.StatusOK, answer), nil
}

func pageByIndex(found []*stored, text string, count int, answer attributes) ([]*stored, *problem) {
	start := 1
	if text != "" {
		n, err := strconv.Atoi(text)
		if err != nil {
			return nil, problemf(http.StatusBadRequest, "invalidValue", "startIndex is not a number")
		}
		start = max(1, n)
	}
	answer["startIndex"] = start
	from := min(start-1, len(found))
	return found[from:min(from+count, len(found))], nil
}

// pageByID pages in the order of ids with startId and nextId; the last page leads to "end".
func (s *Server) pageByID(found []*stored, id string, count int, answer attributes) ([]*stored, *problem) {
	slices.SortFunc(found, func(a, b *stored) int { return strings.Compare(a.id(), b.id()) })
	from := 0
	if id != "initial" {
		if from = slices.IndexFunc(found, func(r *stored) bool { return r.id() == id }); from < 0 {
			return nil, problemf(http.StatusBadRequest, "invalidValue", "unknown startId")
		}
	}
	to := min(from+count, len(found))
	answer["startId"], answer["nextId"] = id, "end"
	if to < len(found) {
		answer["nextId"] = found[to].id()
	}
	return found[from:to], nil
}

// pageByCursor pages with opaque cursors that are good once (RFC 9865).
func (s *Server) pageByCursor(c *collection, found []*stored, query url.Values, count int, answer attributes) ([]*stored, *problem) {
	from := 0
	if text := query.Get("cursor"); text != "" {
		at, ok := s.cursors[text]
		if !ok || at.collection != c || at.filter != query.Get("filter") {
			return nil, problemf(http.StatusBadRequest, "invalidCursor", "unknown cursor")
		}
		delete(s.cursors, text)
		from = 1 + slices.IndexFunc(found, func(r *stored) bool { return r.id() == at.after })
		if from == 0 {
			return nil, problemf(http.StatusBadRequest, "expiredCursor", "the list changed")
		}
	}
	to := min(from+count, len(found))
	if to < len(found) && to > from {
		s.serial++
		next := fmt.Sprintf("cursor-%d", s.serial)
		s.cursors[next] = cursor{collection: c, after: found[to-1].id(), filter: query.Get("filter")}
		answer["nextCursor"] = next
	}
	return found[from:to], nil
}

// search returns what a filter finds, everything without one.
func (s *Server) search(c *collection, text string) ([]*stored, *problem) {
	if text == "" {
		return slices.Clone(c.items), nil
	}
	if s.options.NoFilter {
		return nil, problemf(http.StatusBadRequest, "invalidFilter", "filters are not supported")
	}
	expression, err := filter.ParseFilter([]byte(text))
	if err != nil {
		return nil, problemf(http.StatusBadRequest, "invalidFilter", "the filter cannot be parsed")
	}
	var found []*stored
	for _, item := range c.items {
		ok, p := c.kind.matches(expression, s.view(c, item))
		if p != nil {
			return nil, p
		}
		if ok {
			found = append(found, item)
		}
	}
	// The filter has to make sense for an empty collection, too.
	if _, p := c.kind.matches(expression, attributes{}); p != nil {
		return nil, p
	}
	return found, nil
}

// matches evaluates a filter on a resource.
func (t resourceType) matches(expression filter.Expression, r attributes) (bool, *problem) {
	switch e := expression.(type) {
	case *filter.AttributeExpression:
		d, ok := t.lookup(e.AttributePath.URI(), e.AttributePath.AttributeName)
		if !ok || d.neverSent {
			return false, problemf(http.StatusBadRequest, "invalidFilter", "unknown attribute %s", e.AttributePath.AttributeName)
		}
		return compareAttribute(d, within(r, e.AttributePath.URI(), t)[d.name], e)
	case *filter.ValuePath:
		d, ok := t.lookup(e.AttributePath.URI(), e.AttributePath.AttributeName)
		if !ok || !d.multi || d.kind != isComplex {
			return false, problemf(http.StatusBadRequest, "invalidFilter", "%s has no entries", e.AttributePath.AttributeName)
		}
		list, _ := r[d.name].([]any)
		sub := resourceType{attributes: d.sub}
		for _, entry := range list {
			object, _ := entry.(attributes)
			if ok, p := sub.matches(e.ValueFilter, object); ok || p != nil {
				return ok, p
			}
		}
		return false, nil
	case *filter.LogicalExpression:
		left, p := t.matches(e.Left, r)
		if p != nil {
			return false, p
		}
		right, p := t.matches(e.Right, r)
		if e.Operator == filter.AND {
			return left && right, p
		}
		return left || right, p
	case *filter.NotExpression:
		ok, p := t.matches(e.Expression, r)
		return !ok, p
	}
	return false, problemf(http.StatusBadRequest, "invalidFilter", "unsupported filter")
}

// within returns the object that holds the attributes of a schema.
func within(r attributes, schema string, t resourceType) attributes {
	if schema == "" || strings.EqualFold(schema, t.schema) {
		return r
	}
	extension, _ := r[schema].(attributes)
	return extension
}

func compareAttribute(d definition, value any, e *filter.AttributeExpression) (bool, *problem) {
	values := []any{value}
	if list, ok := value.([]any); ok {
		values = slices.Clone(list)
	}
	leaf := d
	if d.kind == isComplex {
		name := e.AttributePath.SubAttributeName()
		if name == "" {
			name = "value"
		}
		var ok bool
		if leaf, ok = find(d.sub, name); !ok {
			return false, problemf(http.StatusBadRequest, "invalidFilter", "unknown attribute %s.%s", d.name, name)
		}
		for i, v := range values {
			object, _ := v.(attributes)
			values[i] = object[leaf.name]
		}
	}
	for _, v := range values {
		ok, p := compareValue(v, e.Operator, e.CompareValue, leaf.caseExact)
		if ok || p != nil {
			return ok, p
		}
	}
	return false, nil
}

func compareValue(v any, op filter.CompareOperator, want any, exact bool) (bool, *problem) {
	if op == filter.PR {
		return v != nil && v != "", nil
	}
	text, isText := want.(string)
	if !isText {
		switch op {
		case filter.EQ:
			return v == want, nil
		case filter.NE:
			return v != want, nil
		}
		return false, problemf(http.StatusBadRequest, "invalidFilter", "the operator does not fit")
	}
	// The parser leaves the escapes of the string literal as they are.
	if json.Unmarshal([]byte(`"`+text+`"`), &text) != nil {
		return false, problemf(http.StatusBadRequest, "invalidFilter", "bad string")
	}
	have, _ := v.(string)
	if !exact {
		have, text = strings.ToLower(have), strings.ToLower(text)
	}
	switch op {
	case filter.EQ:
		return v != nil && have == text, nil
	case filter.NE:
		return have != text, nil
	case filter.CO:
		return strings.Contains(have, text), nil
	case filter.SW:
		return v != nil && strings.HasPrefix(have, text), nil
	case filter.EW:
		return v != nil && strings.HasSuffix(have, text), nil
	}
	return false, problemf(http.StatusBadRequest, "invalidFilter", "unsupported operator %s", op)
}
