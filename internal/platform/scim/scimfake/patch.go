package scimfake

import (
	"encoding/json"
	"net/http"
	"reflect"
	"slices"
	"strings"

	filter "github.com/scim2/filter-parser/v2"
)

type patchRequest struct {
	Schemas    []string         `json:"schemas"`
	Operations []patchOperation `json:"Operations"`
}

type patchOperation struct {
	Op    string `json:"op"`
	Path  string `json:"path"`
	Value any    `json:"value"`
}

// patch applies the operations to a copy; all of them or none take effect (RFC 7644, section 3.5.2).
func (s *Server) patch(r *http.Request, c *collection, item *stored) (*reply, *problem) {
	in, p := body[patchRequest](r)
	if p != nil {
		return nil, p
	}
	if !slices.Contains(in.Schemas, patchSchema) || len(in.Operations) == 0 {
		return nil, problemf(http.StatusBadRequest, "invalidSyntax", "this is not a PatchOp")
	}
	attrs := clone(item.attrs)
	for _, op := range in.Operations {
		if p := c.kind.operate(attrs, op); p != nil {
			return nil, p
		}
	}
	if p := c.kind.complete(attrs); p != nil {
		return nil, p
	}
	return s.commit(c, item, attrs)
}

func clone(in attributes) attributes {
	raw, err := json.Marshal(in)
	if err != nil {
		panic(err) // It came out of JSON.
	}
	out := attributes{}
	if err := json.Unmarshal(raw, &out); err != nil {
		panic(err)
	}
	return out
}

func (t resourceType) operate(attrs attributes, op patchOperation) *problem {
	kind := strings.ToLower(op.Op)
	if !slices.Contains([]string{"add", "remove", "replace"}, kind) {
		return problemf(http.StatusBadRequest, "invalidSyntax", "unknown operation %q", op.Op)
	}
	if op.Path == "" {
		return problemf(http.StatusBadRequest, "noTarget", "this service wants a path")
	}
	path, err := filter.ParsePath([]byte(op.Path))
	if err != nil {
		return problemf(http.StatusBadRequest, "invalidPath", "the path cannot be parsed")
	}
	uri := path.AttributePath.URI()
	d, ok := t.lookup(uri, path.AttributePath.AttributeName)
	switch {
	case !ok:
		return problemf(http.StatusBadRequest, "invalidPath", "unknown attribute %s", op.Path)
	case d.readOnly:
		return problemf(http.StatusBadRequest, "mutability", "%s is read-only", d.name)
	case kind != "remove" && op.Value == nil:
		return problemf(http.StatusBadRequest, "invalidValue", "%s without a value", kind)
	}
	holder := attrs
	if uri != "" && !strings.EqualFold(uri, t.schema) {
		holder = within(attrs, uri, t)
		if holder == nil {
			holder = attributes{}
			attrs[uri] = holder
		}
	}
	switch {
	case path.ValueExpression != nil:
		return operateEntries(holder, d, path, kind)
	case path.AttributePath.SubAttribute != nil || path.SubAttribute != nil:
		return problemf(http.StatusBadRequest, "invalidPath", "this service does not change sub-attributes by path")
	case kind == "remove":
		if d.required {
			return problemf(http.StatusBadRequest, "mutability", "%s is required", d.name)
		}
		delete(holder, d.name)
		return nil
	}
	return assign(holder, d, kind, op.Value)
}

func assign(holder attributes, d definition, kind string, value any) *problem {
	cleaned, p := d.clean(value)
	if p != nil {
		return p
	}
	if list, ok := cleaned.([]any); ok && kind == "add" {
		existing, _ := holder[d.name].([]any)
		for _, entry := range list {
			if !slices.ContainsFunc(existing, func(old any) bool { return reflect.DeepEqual(old, entry) }) {
				existing = append(existing, entry)
			}
		}
		cleaned = existing
	}
	holder[d.name] = cleaned
	return nil
}

// operateEntries removes the entries that a value filter selects.
func operateEntries(holder attributes, d definition, path filter.Path, kind string) *problem {
	if !d.multi || d.kind != isComplex || kind != "remove" || path.SubAttribute != nil {
		return problemf(http.StatusBadRequest, "invalidPath", "this service only removes whole entries by filter")
	}
	list, _ := holder[d.name].([]any)
	sub := resourceType{attributes: d.sub}
	kept := make([]any, 0, len(list))
	for _, entry := range list {
		object, _ := entry.(attributes)
		ok, p := sub.matches(path.ValueExpression, object)
		if p != nil {
			return p
		}
		if !ok {
			kept = append(kept, entry)
		}
	}
	if len(kept) == len(list) {
		return problemf(http.StatusBadRequest, "noTarget", "nothing matches the filter")
	}
	holder[d.name] = kept
	return nil
}
