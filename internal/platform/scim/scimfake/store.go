package scimfake

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// stored is one resource.
type stored struct {
	attrs            attributes
	created, changed time.Time
	version          int
}

func (r *stored) id() string {
	id, _ := r.attrs["id"].(string)
	return id
}

func (r *stored) etag() string { return fmt.Sprintf(`W/"%d"`, r.version) }

// collection holds the resources of one type in the order of their creation.
type collection struct {
	path  string
	kind  resourceType
	items []*stored
}

func newCollection(path string, kind resourceType) *collection {
	return &collection{path: path, kind: kind}
}

func (c *collection) get(id string) *stored {
	i := slices.IndexFunc(c.items, func(r *stored) bool { return r.id() == id })
	if i < 0 {
		return nil
	}
	return c.items[i]
}

func (s *Server) userNamed(name string) *stored {
	for _, u := range s.users.items {
		if existing, _ := u.attrs["userName"].(string); strings.EqualFold(existing, name) {
			return u
		}
	}
	return nil
}

func (s *Server) route(r *http.Request, path string) (*reply, *problem) {
	parts := strings.SplitN(strings.TrimPrefix(path, "/"), "/", 2)
	id := ""
	if len(parts) == 2 {
		var err error
		if id, err = url.PathUnescape(parts[1]); err != nil {
			return nil, problemf(http.StatusBadRequest, "invalidSyntax", "bad path")
		}
	}
	switch parts[0] {
	case "ServiceProviderConfig":
		if s.options.NoConfig {
			break
		}
		return jsonReply(http.StatusOK, s.config()), nil
	case "Schemas":
		return jsonReply(http.StatusOK, s.schemas()), nil
	case "Users":
		return s.resources(r, s.users, id)
	case "Groups":
		return s.resources(r, s.groups, id)
	}
	return nil, problemf(http.StatusNotFound, "", "no such endpoint")
}

func (s *Server) config() attributes {
	o := s.options
	on := func(yes bool) attributes { return attributes{"supported": yes} }
	filter := on(!o.NoFilter)
	filter["maxResults"] = o.MaxPageSize
	c := attributes{
		"schemas": []any{configSchema}, "patch": on(!o.NoPatch), "filter": filter, "etag": on(!o.NoETag),
		"bulk": attributes{"supported": false, "maxOperations": 0, "maxPayloadSize": 0}, "sort": on(false),
		"changePassword": on(false), "authenticationSchemes": []any{},
	}
	if o.CursorOnly {
		c["pagination"] = attributes{"cursor": true, "index": false, "defaultPaginationMethod": "cursor", "maxPageSize": o.MaxPageSize}
	}
	return c
}

func (s *Server) schemas() attributes {
	list := []any{}
	for _, id := range []string{userSchema, groupSchema, sapUserSchema} {
		if id != sapUserSchema || s.options.SAP {
			list = append(list, attributes{"schemas": []any{schemaSchema}, "id": id})
		}
	}
	return attributes{
		"schemas": []any{listSchema}, "totalResults": len(list), "startIndex": 1, "itemsPerPage": len(list), "Resources": list,
	}
}

func (s *Server) resources(r *http.Request, c *collection, id string) (*reply, *problem) {
	if r.Method != http.MethodGet && s.options.ReadOnly {
		return nil, problemf(http.StatusForbidden, "", "this client may only read")
	}
	if id == "" {
		switch r.Method {
		case http.MethodGet:
			return s.list(r, c)
		case http.MethodPost:
			return s.create(r, c)
		}
		return nil, problemf(http.StatusMethodNotAllowed, "", "method not allowed")
	}
	item := c.get(id)
	if item == nil {
		return nil, problemf(http.StatusNotFound, "", "resource %s not found", id)
	}
	if match := r.Header.Get("If-Match"); match != "" && r.Method != http.MethodGet && !s.options.NoETag && match != item.etag() {
		return nil, problemf(http.StatusPreconditionFailed, "", "the version is %s", item.etag())
	}
	switch r.Method {
	case http.MethodGet:
		return s.show(http.StatusOK, c, item), nil
	case http.MethodPut:
		return s.replace(r, c, item)
	case http.MethodPatch:
		if !s.options.NoPatch {
			return s.patch(r, c, item)
		}
		return nil, problemf(http.StatusNotImplemented, "", "PATCH is not supported")
	case http.MethodDelete:
		s.remove(c, item)
		return &reply{status: http.StatusNoContent, header: http.Header{}}, nil
	}
	return nil, problemf(http.StatusMethodNotAllowed, "", "method not allowed")
}

func body[T any](r *http.Request) (T, *problem) {
	var out T
	if !isSCIMMediaType(r.Header.Get("Content-Type")) {
		return out, problemf(http.StatusUnsupportedMediaType, "", "the content type is not %s", mediaType)
	}
	raw, err := io.ReadAll(r.Body)
	if err == nil {
		err = json.Unmarshal(raw, &out)
	}
	if err != nil {
		return out, problemf(http.StatusBadRequest, "invalidSyntax", "the body is not the expected JSON")
	}
	return out, nil
}

func (s *Server) create(r *http.Request, c *collection) (*reply, *problem) {
	in, p := body[attributes](r)
	if p != nil {
		return nil, p
	}
	attrs, p := c.kind.clean(in)
	if p == nil {
		p = s.check(c, attrs, "")
	}
	if p != nil {
		return nil, p
	}
	now := s.options.Now()
	attrs["id"] = strings.ToLower(rand.Text())
	item := &stored{attrs: attrs, created: now, changed: now, version: 1}
	if secret, ok := attrs["password"].(string); ok {
		s.secrets[item.id()] = secret
		delete(attrs, "password")
	}
	c.items = append(c.items, item)
	return s.show(http.StatusCreated, c, item), nil
}

func (s *Server) replace(r *http.Request, c *collection, item *stored) (*reply, *problem) {
	in, p := body[attributes](r)
	if p != nil {
		return nil, p
	}
	attrs, p := c.kind.clean(in)
	if p != nil {
		return nil, p
	}
	return s.commit(c, item, attrs)
}

// commit stores new attributes of a resource after the last checks.
func (s *Server) commit(c *collection, item *stored, attrs attributes) (*reply, *problem) {
	if p := s.check(c, attrs, item.id()); p != nil {
		return nil, p
	}
	attrs["id"] = item.id()
	item.attrs, item.changed = attrs, s.options.Now()
	item.version++
	return s.show(http.StatusOK, c, item), nil
}

// check checks uniqueness and references.
func (s *Server) check(c *collection, attrs attributes, id string) *problem {
	if c.kind.key != "" {
		name, _ := attrs[c.kind.key].(string)
		for _, other := range c.items {
			if taken, _ := other.attrs[c.kind.key].(string); other.id() != id && strings.EqualFold(taken, name) {
				return problemf(http.StatusConflict, "uniqueness", "%s %q is taken", c.kind.key, name)
			}
		}
	}
	members, _ := attrs["members"].([]any)
	seen := map[string]bool{}
	kept := make([]any, 0, len(members))
	for _, m := range members {
		member := entryValue(m)
		if s.users.get(member) == nil && s.groups.get(member) == nil && !(s.options.KeepGhosts && s.wasMember(id, member)) {
			return problemf(http.StatusBadRequest, "invalidValue", "no such member %q", member)
		}
		if !seen[member] {
			seen[member] = true
			kept = append(kept, m)
		}
	}
	if members != nil {
		attrs["members"] = kept
	}
	return nil
}

func (s *Server) wasMember(groupID, member string) bool {
	g := s.groups.get(groupID)
	if g == nil {
		return false
	}
	members, _ := g.attrs["members"].([]any)
	return slices.ContainsFunc(members, func(m any) bool { return entryValue(m) == member })
}

func (s *Server) remove(c *collection, item *stored) {
	c.items = slices.DeleteFunc(c.items, func(r *stored) bool { return r == item })
	delete(s.secrets, item.id())
	if s.options.KeepGhosts {
		return
	}
	for _, g := range s.groups.items {
		if s.wasMember(g.id(), item.id()) {
			members, _ := g.attrs["members"].([]any)
			g.attrs["members"] = slices.DeleteFunc(members, func(m any) bool { return entryValue(m) == item.id() })
			g.version++
		}
	}
}

func entryValue(entry any) string {
	object, _ := entry.(attributes)
	value, _ := object["value"].(string)
	return value
}

// view is a resource as it is sent and filtered.
func (s *Server) view(c *collection, item *stored) attributes {
	out := attributes{}
	for name, value := range item.attrs {
		if !isEmpty(value) {
			out[name] = value
		}
	}
	meta := attributes{
		"resourceType": c.kind.name, "created": item.created.UTC().Format(time.RFC3339),
		"lastModified": item.changed.UTC().Format(time.RFC3339), "location": "/scim/" + c.path + "/" + item.id(),
	}
	if !s.options.NoETag {
		meta["version"] = item.etag()
	}
	out["meta"] = meta
	if c == s.users && !s.options.NoUserGroups {
		groups := []any{}
		for _, g := range s.groups.items {
			if s.wasMember(g.id(), item.id()) {
				groups = append(groups, attributes{"value": g.id(), "display": g.attrs["displayName"], "type": "direct"})
			}
		}
		if len(groups) > 0 {
			out["groups"] = groups
		}
	}
	return out
}

func (s *Server) show(status int, c *collection, item *stored) *reply {
	a := jsonReply(status, s.view(c, item))
	a.header.Set("Location", "/scim/"+c.path+"/"+item.id())
	if !s.options.NoETag {
		a.header.Set("ETag", item.etag())
	}
	return a
}
