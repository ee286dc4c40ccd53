package scim

import (
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/platform/internal/rest"
)

// membersAttr is the attribute of a group with its members.
const membersAttr = "members"

// edit is one change of one attribute of a resource. It can be sent as PATCH, or applied to the whole resource.
type edit struct {
	kind   editKind
	schema string // Of an extension; "" for the core schema.
	attr   string
	value  any    // set
	entry  string // add, remove
	exact  bool   // remove: other values differ in case only
}

type editKind int

const (
	setAttr     editKind = iota // Replaces the attribute; nil removes it.
	addEntry                    // Adds an entry with this value to a multi-valued attribute.
	removeEntry                 // Removes the entries with exactly this value.
	setEmail                    // Replaces the address of the primary e-mail entry.
)

type operation struct {
	Op    string `json:"op"`
	Path  string `json:"path"`
	Value any    `json:"value,omitempty"`
}

type patchRequest struct {
	Schemas    []string    `json:"schemas"`
	Operations []operation `json:"Operations"`
}

func (e edit) path() string {
	if e.schema == "" {
		return e.attr
	}
	return e.schema + ":" + e.attr
}

// patch returns the operation that makes the change without knowing the resource, false if there is none that every
// service gets right.
func (e edit) patch() (operation, bool) {
	switch e.kind {
	case setAttr:
		if e.value == nil {
			return operation{Op: "remove", Path: e.path()}, true
		}
		return operation{Op: "replace", Path: e.path(), Value: e.value}, true
	case addEntry:
		return operation{Op: "add", Path: e.path(), Value: []value{{e.entry}}}, true
	case removeEntry:
		// Ids of members are the service's own, so only what would end the quotes or the brackets is left out.
		safe := isPlain(e.entry) || e.attr == membersAttr && !strings.ContainsAny(e.entry, `"\[]`)
		return operation{Op: "remove", Path: e.path() + "[value eq " + quote(e.entry) + "]"}, safe && !e.exact
	default:
		return operation{}, false
	}
}

// document is a whole resource. What we do not know in it is kept as it is.
type document map[string]json.RawMessage

// key finds an attribute: their names know no case.
func (doc document) key(name string) string {
	for key := range doc {
		if strings.EqualFold(key, name) {
			return key
		}
	}
	return name
}

func (doc document) put(name string, v any) error {
	raw, err := json.Marshal(v)
	if err == nil {
		doc[doc.key(name)] = raw
	}
	return err
}

// apply makes the change in the document.
func (e edit) apply(doc document) error {
	if e.schema == "" {
		return e.applyIn(doc)
	}
	extension := document{}
	if raw, ok := doc[doc.key(e.schema)]; ok {
		if err := json.Unmarshal(raw, &extension); err != nil {
			return &rest.ContentError{Reason: "has an extension that is not an object", Err: err}
		}
	}
	if err := e.applyIn(extension); err != nil {
		return err
	}
	return doc.put(e.schema, extension)
}

func (e edit) applyIn(doc document) error {
	if e.kind == setAttr {
		if e.value == nil {
			delete(doc, doc.key(e.attr))
			return nil
		}
		return doc.put(e.attr, e.value)
	}
	var entries []document
	if raw, ok := doc[doc.key(e.attr)]; ok {
		if err := json.Unmarshal(raw, &entries); err != nil {
			return &rest.ContentError{Reason: "has an attribute " + e.attr + " that is not a list of objects", Err: err}
		}
	}
	isEntry := func(entry document) bool { return entry.text("value") == e.entry }
	if e.kind != setEmail && slices.ContainsFunc(entries, isEntry) == (e.kind == addEntry) {
		return nil
	}
	switch e.kind {
	case addEntry:
		entry := document{}
		if err := entry.put("value", e.entry); err != nil {
			return err
		}
		entries = append(entries, entry)
	case removeEntry:
		entries = slices.DeleteFunc(entries, isEntry)
	case setEmail:
		if err := replacePrimary(&entries, e.entry); err != nil {
			return err
		}
	}
	if len(entries) == 0 {
		delete(doc, doc.key(e.attr))
		return nil
	}
	return doc.put(e.attr, entries)
}

func (doc document) text(name string) string {
	var text string
	if json.Unmarshal(doc[doc.key(name)], &text) != nil {
		return ""
	}
	return text
}

// replacePrimary changes the address of the entry that primaryEmail reads; "" removes the entry.
func replacePrimary(entries *[]document, address string) error {
	i := max(0, slices.IndexFunc(*entries, func(entry document) bool { return string(entry[entry.key("primary")]) == "true" }))
	if address == "" {
		*entries = slices.Delete(*entries, min(i, len(*entries)), min(i+1, len(*entries)))
		return nil
	}
	if len(*entries) == 0 {
		fresh := document{"primary": json.RawMessage("true"), "type": json.RawMessage(`"work"`)}
		*entries = append(*entries, fresh)
	}
	return (*entries)[i].put("value", address)
}

// modify makes the changes in one request. PATCH says exactly what changes, so others' changes survive; where it
// cannot, the resource is read and written back on condition that nobody changed it meanwhile.
func (d *Driver) modify(ctx context.Context, path string, edits []edit) error {
	if len(edits) == 0 {
		return nil
	}
	unlock, err := d.locks.Lock(ctx, path)
	if err != nil {
		return err
	}
	defer unlock()
	f, err := d.discover(ctx)
	if err != nil {
		return err
	}
	operations := make([]operation, 0, len(edits))
	for _, e := range edits {
		if op, ok := e.patch(); ok {
			operations = append(operations, op)
		}
	}
	if !f.patch || len(operations) < len(edits) {
		return d.rewrite(ctx, f, path, edits, nil)
	}
	refusal := d.patch(ctx, path, operations, "")
	switch {
	case isStatus(refusal, http.StatusMethodNotAllowed, http.StatusNotImplemented):
		d.noPatch.Store(true)
		f.patch, refusal = false, nil
	case slices.ContainsFunc(edits, func(e edit) bool { return e.kind == removeEntry }) && isStatus(refusal, http.StatusBadRequest):
		// Some refuse the removal of what is not there, some do not know value filters in paths.
	default:
		return refusal
	}
	return d.rewrite(ctx, f, path, edits, refusal)
}

func (d *Driver) patch(ctx context.Context, path string, operations []operation, version string) error {
	_, err := d.call(ctx, rest.Request{
		Method: http.MethodPatch, Path: path, Header: ifMatch(version),
		Body: patchRequest{Schemas: []string{patchSchema}, Operations: operations},
	}, nil)
	return err
}

// rewrite reads the resource, applies the changes, and sends the attributes that changed (PATCH) or all of it (PUT), or
// nothing if everything is as wanted. refusal is why the removal of an entry was refused, nil if it was not tried.
func (d *Driver) rewrite(ctx context.Context, f features, path string, edits []edit, refusal error) error {
	doc := document{}
	response, err := d.call(ctx, rest.Request{Method: http.MethodGet, Path: path}, &doc)
	if err != nil {
		return err
	}
	if doc.text("id") == "" {
		return &rest.ContentError{Reason: "to the read of " + path + " is not a resource"}
	}
	version := ""
	if f.etag {
		version = versionOf(response, doc)
	}
	before := maps.Clone(doc)
	for _, e := range edits {
		if err := e.apply(doc); err != nil {
			return err
		}
	}
	members := slices.ContainsFunc(edits, func(e edit) bool { return e.attr == membersAttr })
	switch {
	case maps.EqualFunc(before, doc, slices.Equal[json.RawMessage]):
		return d.unchanged(doc, members, refusal)
	case members && f.patch && version == "":
		return errNoSingleRemoval
	}
	if f.patch {
		return d.patch(ctx, path, replacements(doc, edits), version)
	}
	// The service sets these itself.
	delete(doc, doc.key("meta"))
	delete(doc, doc.key("groups"))
	_, err = d.call(ctx, rest.Request{Method: http.MethodPut, Path: path, Header: ifMatch(version), Body: doc}, nil)
	return err
}

// errNoSingleRemoval stands for two ways that are not gone. The list of members is not replaced unconditionally: that would
// throw out who joins at the same moment, and all that the service has left out of a long list. Nor is {"op": "remove",
// "path": "members", "value": …} sent, which some document: by RFC 7644, section 3.5.2.2, it removes every member.
var errNoSingleRemoval = driver.Errorf(driver.Unsupported, "the service cannot take one member out of a group by PATCH, and has no "+
	"ETags, without which the other members would be at risk; nothing was changed: take the user out with the service's own tools")

// unchanged returns nil where the resource is as wanted already. If the service refused the removal for another reason than
// that there is nothing to remove, a group without members is one only if the service is known to show members.
func (d *Driver) unchanged(doc document, members bool, refusal error) error {
	if refusal == nil || !members || isScimType(refusal, "noTarget") || d.groupsSeen.Load() || d.membersSeen.Load() {
		return nil
	}
	var others []json.RawMessage
	if json.Unmarshal(doc[doc.key(membersAttr)], &others) == nil && len(others) > 0 {
		return nil
	}
	return driver.Errorf(driver.Unsupported, "the service does not show whether the user is in the group: %w", refusal)
}

// replacements sends the changed attributes of the core schema whole, and what is in extensions as it is.
func replacements(doc document, edits []edit) []operation {
	var operations []operation
	for _, e := range edits {
		if op, ok := e.patch(); ok && e.kind == setAttr {
			operations = append(operations, op)
			continue
		}
		op := operation{Op: "remove", Path: e.attr}
		if raw, ok := doc[doc.key(e.attr)]; ok {
			op = operation{Op: "replace", Path: e.attr, Value: raw}
		}
		if !slices.ContainsFunc(operations, func(o operation) bool { return o.Path == op.Path }) {
			operations = append(operations, op)
		}
	}
	return operations
}

// versionOf returns the entity tag of what was read, "" if the service gave none.
func versionOf(response *rest.Response, doc document) string {
	if tag := response.Header.Get("ETag"); tag != "" {
		return tag
	}
	meta := document{}
	if json.Unmarshal(doc[doc.key("meta")], &meta) != nil {
		return ""
	}
	if tag := meta.text("version"); strings.HasSuffix(tag, `"`) {
		return tag
	}
	return ""
}

func ifMatch(version string) http.Header {
	if version == "" {
		return nil
	}
	return http.Header{"If-Match": {version}}
}
