// Package ocsftest checks OCSF events against the published schema, in tests.
package ocsftest

import (
	"bytes"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
)

//go:embed schema/*.json
var files embed.FS

// schema is a version of the schema, as far as it is kept here: see schema/NOTICE.md.
type schema struct {
	Version string           `json:"version"`
	Classes map[string]class `json:"classes"`
	Objects map[string]class `json:"objects"`
}

// class is an event class or an object type.
type class struct {
	Attributes map[string]attribute `json:"attributes"`
	AtLeastOne []string             `json:"at_least_one"`
}

type attribute struct {
	Type        string            `json:"type"`
	Requirement string            `json:"requirement"`
	IsArray     bool              `json:"is_array"`
	ObjectType  string            `json:"object_type"`
	Enum        map[string]string `json:"enum"`
}

// Validate returns every violation of the schema version that the event names: missing, unknown and mistyped attributes,
// values outside an enumeration, texts that are not the caption of the number beside them.
func Validate(text []byte) error {
	var head struct {
		ClassUID int `json:"class_uid"`
		Metadata struct {
			Version string `json:"version"`
		} `json:"metadata"`
	}
	if err := json.Unmarshal(text, &head); err != nil {
		return err
	}
	content, err := files.ReadFile("schema/" + head.Metadata.Version + ".json")
	if err != nil {
		return fmt.Errorf("metadata.version: %w", err)
	}
	var s schema
	if err := json.Unmarshal(content, &s); err != nil {
		return err
	}
	c, ok := s.Classes[strconv.Itoa(head.ClassUID)]
	if !ok {
		return fmt.Errorf("class_uid: OCSF %s has no class %d here", s.Version, head.ClassUID)
	}
	return errors.Join(s.check("", c, text)...)
}

// siblings are the attributes that hold the caption of a number in words, where the schema has a caption for it.
var siblings = map[string]string{
	"activity_id": "activity_name", "category_uid": "category_name", "class_uid": "class_name", "severity_id": "severity",
	"status_id": "status", "type_uid": "type_name", "type_id": "type",
}

func (s schema) check(at string, c class, text []byte) []error {
	var values map[string]json.RawMessage
	if err := json.Unmarshal(text, &values); err != nil {
		return []error{fmt.Errorf("%s: %w", at, err)}
	}
	var errs []error
	for name, a := range c.Attributes {
		if _, there := values[name]; !there && a.Requirement == "required" {
			errs = append(errs, fmt.Errorf("%s.%s: missing", at, name))
		}
	}
	if len(c.AtLeastOne) > 0 && !slices.ContainsFunc(c.AtLeastOne, func(name string) bool { return values[name] != nil }) {
		errs = append(errs, fmt.Errorf("%s: none of %v", at, c.AtLeastOne))
	}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		where := at + "." + name
		a, known := c.Attributes[name]
		if !known {
			errs = append(errs, fmt.Errorf("%s: unknown", where))
			continue
		}
		errs = append(errs, s.checkAttribute(where, a, values[name])...)
		if sibling := values[siblings[name]]; sibling != nil && a.Enum != nil {
			errs = append(errs, checkCaption(where, a, values[name], sibling)...)
		}
	}
	return errs
}

// checkCaption holds a number against the words beside it. What has no number of its own (99) has words of its own.
func checkCaption(where string, a attribute, number, words json.RawMessage) []error {
	var text string
	if err := json.Unmarshal(words, &text); err != nil {
		return []error{err}
	}
	if want := a.Enum[string(number)]; want != text && !bytes.HasSuffix(number, []byte("99")) {
		return []error{fmt.Errorf("%s: %s is %q, and the words beside it are %q", where, number, want, text)}
	}
	return nil
}

func (s schema) checkAttribute(where string, a attribute, value json.RawMessage) []error {
	if !a.IsArray {
		return s.checkValue(where, a, value)
	}
	var elements []json.RawMessage
	if err := json.Unmarshal(value, &elements); err != nil {
		return []error{fmt.Errorf("%s: %w", where, err)}
	}
	var errs []error
	for i, element := range elements {
		errs = append(errs, s.checkValue(fmt.Sprintf("%s[%d]", where, i), a, element)...)
	}
	return errs
}

// hostname is the pattern of hostname_t in the schema's dictionary.
var hostname = regexp.MustCompile(`^(([a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9\-]*[a-zA-Z0-9])\.)*([A-Za-z0-9]|[A-Za-z0-9][A-Za-z0-9\-]*[A-Za-z0-9])$`)

func (s schema) checkValue(where string, a attribute, value json.RawMessage) []error {
	var err error
	switch a.Type {
	case "string_t", "username_t", "resource_uid_t", "email_t", "url_t":
		err = json.Unmarshal(value, new(string))
	case "hostname_t":
		var text string
		if err = json.Unmarshal(value, &text); err == nil && !hostname.MatchString(text) {
			err = fmt.Errorf("%q is no host name", text)
		}
	case "ip_t":
		err = json.Unmarshal(value, new(netip.Addr))
	case "integer_t", "port_t":
		err = json.Unmarshal(value, new(int32))
	case "long_t", "timestamp_t":
		err = json.Unmarshal(value, new(int64))
	case "boolean_t":
		err = json.Unmarshal(value, new(bool))
	case "object_t":
		if a.ObjectType == "object" { // The object without attributes of its own may have any.
			err = json.Unmarshal(value, new(map[string]json.RawMessage))
			break
		}
		c, ok := s.Objects[a.ObjectType]
		if !ok {
			return []error{fmt.Errorf("%s: the object %s is not kept here: add it to the schema", where, a.ObjectType)}
		}
		return s.check(where, c, value)
	default:
		err = fmt.Errorf("the type %s is not checked here", a.Type)
	}
	if err == nil && string(value) == "null" {
		err = errors.New("null")
	}
	if err == nil && a.Enum != nil {
		if _, ok := a.Enum[string(value)]; !ok {
			err = fmt.Errorf("%s is not in the enumeration", value)
		}
	}
	if err != nil {
		return []error{fmt.Errorf("%s: %w", where, err)}
	}
	return nil
}
