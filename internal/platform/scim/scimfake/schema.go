package scimfake

import (
	"net/http"
	"slices"
	"strings"
	"time"
)

const (
	userSchema    = "urn:ietf:params:scim:schemas:core:2.0:User"
	groupSchema   = "urn:ietf:params:scim:schemas:core:2.0:Group"
	configSchema  = "urn:ietf:params:scim:schemas:core:2.0:ServiceProviderConfig"
	schemaSchema  = "urn:ietf:params:scim:schemas:core:2.0:Schema"
	sapUserSchema = "urn:ietf:params:scim:schemas:extension:sap:2.0:User"
	listSchema    = "urn:ietf:params:scim:api:messages:2.0:ListResponse"
	patchSchema   = "urn:ietf:params:scim:api:messages:2.0:PatchOp"
	errorSchema   = "urn:ietf:params:scim:api:messages:2.0:Error"
)

// attributes is a JSON object as it is stored and sent.
type attributes = map[string]any

// definition is one attribute of a schema.
type definition struct {
	name      string
	kind      kind
	multi     bool
	required  bool
	readOnly  bool
	neverSent bool // Returned: never.
	caseExact bool
	sub       []definition
	allowed   []string
}

type kind int

const (
	isString kind = iota
	isBool
	isTime
	isComplex
)

// resourceType is a schema with its extensions.
type resourceType struct {
	name       string
	schema     string
	extensions map[string][]definition
	attributes []definition
	key        string // The attribute that has to be unique, "" for none.
	extraCheck func(attributes) *problem
}

func text(name string) definition { return definition{name: name} }

// common is part of every resource (RFC 7643, section 3.1).
func common() []definition {
	return []definition{
		{name: "id", readOnly: true, caseExact: true}, {name: "externalId", caseExact: true},
		{name: "schemas", multi: true}, {name: "meta", kind: isComplex, readOnly: true},
	}
}

func entries(name string, sub ...definition) definition {
	all := append([]definition{text("value"), text("display"), text("type"), {name: "primary", kind: isBool}}, sub...)
	return definition{name: name, kind: isComplex, multi: true, sub: all}
}

func userResource(sap bool) resourceType {
	groups := entries("groups", text("$ref"))
	groups.readOnly = true
	t := resourceType{name: "User", schema: userSchema, key: "userName", extensions: map[string][]definition{}}
	t.attributes = append(common(),
		definition{name: "userName", required: true}, text("displayName"), text("nickName"), text("title"), text("userType"),
		definition{name: "active", kind: isBool}, definition{name: "password", neverSent: true},
		definition{name: "name", kind: isComplex, sub: []definition{
			text("formatted"), text("familyName"), text("givenName"), text("middleName")}},
		entries("emails"), entries("phoneNumbers"), entries("roles"), entries("entitlements"), groups)
	if !sap {
		return t
	}
	t.extensions[sapUserSchema] = []definition{
		{name: "status", allowed: []string{"active", "inactive", "new"}}, {name: "sendMail", kind: isBool},
		{name: "mailVerified", kind: isBool}, {name: "validFrom", kind: isTime}, {name: "validTo", kind: isTime},
		{name: "userUuid", readOnly: true},
	}
	t.extraCheck = checkSAPUser
	return t
}

func groupResource() resourceType {
	members := entries("members", text("$ref"))
	return resourceType{
		name: "Group", schema: groupSchema,
		attributes: append(common(), definition{name: "displayName", required: true}, members),
	}
}

// checkSAPUser checks what the Identity Directory documents beyond the standard.
func checkSAPUser(u attributes) *problem {
	emails, _ := u["emails"].([]any)
	if len(emails) == 0 {
		return problemf(http.StatusBadRequest, "invalidValue", "emails is required")
	}
	name, _ := u["name"].(attributes)
	family, _ := name["familyName"].(string)
	display, _ := u["displayName"].(string)
	if strings.ContainsAny(family+display, "<>:") {
		return problemf(http.StatusBadRequest, "invalidValue", "familyName or displayName has one of < > :")
	}
	types := []string{"public", "partner", "customer", "external", "onboardee", "employee"}
	if userType, ok := u["userType"].(string); ok && !slices.Contains(types, strings.ToLower(userType)) {
		return problemf(http.StatusBadRequest, "invalidValue", "unknown userType")
	}
	extension, _ := u[sapUserSchema].(attributes)
	if status, ok := extension["status"].(string); ok && (status == "active") != (u["active"] != false) {
		return problemf(http.StatusBadRequest, "invalidValue", "status and active disagree")
	}
	return nil
}

func find(defs []definition, name string) (definition, bool) {
	i := slices.IndexFunc(defs, func(d definition) bool { return strings.EqualFold(d.name, name) })
	if i < 0 {
		return definition{}, false
	}
	return defs[i], true
}

// lookup finds an attribute by the schema in front of it, "" for the core schema.
func (t resourceType) lookup(schema, name string) (definition, bool) {
	if schema == "" || strings.EqualFold(schema, t.schema) {
		return find(t.attributes, name)
	}
	for urn, defs := range t.extensions {
		if strings.EqualFold(urn, schema) {
			return find(defs, name)
		}
	}
	return definition{}, false
}

// clean checks a resource that a client sent and returns it with the names of the schema and without what only the
// service may set (RFC 7644, section 3.3: read-only attributes are ignored).
func (t resourceType) clean(in attributes) (attributes, *problem) {
	schemas, _ := in["schemas"].([]any)
	if !slices.ContainsFunc(schemas, func(s any) bool { return s == t.schema }) {
		return nil, problemf(http.StatusBadRequest, "invalidSyntax", "schemas lacks %s", t.schema)
	}
	out := attributes{}
	for name, value := range in {
		if defs, ok := t.extensions[name]; ok {
			extension, ok := value.(attributes)
			if !ok {
				return nil, problemf(http.StatusBadRequest, "invalidSyntax", "%s is not an object", name)
			}
			if !slices.ContainsFunc(schemas, func(s any) bool { return s == name }) {
				return nil, problemf(http.StatusBadRequest, "invalidSyntax", "schemas lacks %s", name)
			}
			cleaned, p := cleanObject(defs, extension)
			if p != nil {
				return nil, p
			}
			out[name] = cleaned
			continue
		}
		if p := cleanInto(out, t.attributes, name, value); p != nil {
			return nil, p
		}
	}
	return out, t.complete(out)
}

// complete checks what has to be there whatever the way in which it came.
func (t resourceType) complete(r attributes) *problem {
	for _, d := range t.attributes {
		if value, _ := r[d.name].(string); d.required && value == "" {
			return problemf(http.StatusBadRequest, "invalidValue", "%s is required", d.name)
		}
	}
	if t.extraCheck != nil {
		return t.extraCheck(r)
	}
	return nil
}

func cleanObject(defs []definition, in attributes) (attributes, *problem) {
	out := attributes{}
	for name, value := range in {
		if p := cleanInto(out, defs, name, value); p != nil {
			return nil, p
		}
	}
	return out, nil
}

func cleanInto(out attributes, defs []definition, name string, value any) *problem {
	d, ok := find(defs, name)
	switch {
	case !ok:
		return problemf(http.StatusBadRequest, "invalidSyntax", "unknown attribute %q", name)
	case d.readOnly || value == nil:
		return nil
	}
	cleaned, p := d.clean(value)
	if p == nil && !isEmpty(cleaned) {
		out[d.name] = cleaned
	}
	return p
}

// isEmpty reports what RFC 7643, section 2.5, calls unassigned.
func isEmpty(v any) bool {
	list, ok := v.([]any)
	return v == nil || ok && len(list) == 0
}

// clean checks a value, a list of values for a multi-valued attribute.
func (d definition) clean(value any) (any, *problem) {
	if !d.multi {
		return d.cleanOne(value)
	}
	list, ok := value.([]any)
	if !ok {
		return nil, problemf(http.StatusBadRequest, "invalidSyntax", "%s is not a list", d.name)
	}
	out := make([]any, 0, len(list))
	for _, one := range list {
		cleaned, p := d.cleanOne(one)
		if p != nil {
			return nil, p
		}
		out = append(out, cleaned)
	}
	return out, nil
}

func (d definition) cleanOne(value any) (any, *problem) {
	wrong := problemf(http.StatusBadRequest, "invalidValue", "%s has the wrong type or value", d.name)
	switch d.kind {
	case isComplex:
		object, ok := value.(attributes)
		if !ok {
			return nil, wrong
		}
		return cleanObject(d.sub, object)
	case isBool:
		if _, ok := value.(bool); !ok {
			return nil, wrong
		}
	default:
		s, ok := value.(string)
		if !ok || len(d.allowed) > 0 && !slices.Contains(d.allowed, s) {
			return nil, wrong
		}
		if _, err := time.Parse(time.RFC3339, s); d.kind == isTime && err != nil {
			return nil, wrong
		}
	}
	return value, nil
}
