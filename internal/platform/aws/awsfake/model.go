package awsfake

import (
	"embed"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// The published API models, cut down to the operations that the driver uses.
//
//go:embed model/*.json
var files embed.FS

// record is a structure of the API as the model describes it: name of a member → string, bool, int64, time.Time, record or
// []any.
type record map[string]any

func (r record) text(name string) string { s, _ := r[name].(string); return s }

func (r record) texts(name string) []string {
	var out []string
	list, _ := r[name].([]any)
	for _, item := range list {
		if s, ok := item.(string); ok {
			out = append(out, s)
		}
	}
	return out
}

// model is the API of one service.
type model struct {
	Version    string               `json:"version"`
	Operations map[string]operation `json:"operations"`
	Shapes     map[string]shape     `json:"shapes"`
}

type operation struct {
	Input   string         `json:"input"`
	Output  string         `json:"output"`
	Wrapper string         `json:"wrapper"`
	Status  map[string]int `json:"status"` // the errors of its own, with their HTTP status
}

type shape struct {
	Type     string            `json:"type"`
	Required []string          `json:"required"`
	Pattern  string            `json:"pattern"`
	Min      *float64          `json:"min"`
	Max      *float64          `json:"max"`
	Enum     []string          `json:"enum"`
	Members  map[string]string `json:"members"`
	Member   string            `json:"member"`
}

func loadModel(service string) (*model, error) {
	content, err := files.ReadFile("model/" + service + ".json")
	if err != nil {
		return nil, err
	}
	m := &model{}
	return m, json.Unmarshal(content, m)
}

var escapedRune = regexp.MustCompile(`\\u([0-9A-Fa-f]{4})`)

// check says what a value has that its shape forbids, "" if nothing.
func (m *model) check(name string, value any) string {
	s := m.Shapes[name]
	switch v := value.(type) {
	case record:
		for _, member := range s.Required {
			if v[member] == nil {
				return "lacks " + member
			}
		}
		for member, inner := range v {
			shapeName, ok := s.Members[member]
			if !ok {
				return "has the unknown member " + member
			}
			if problem := m.check(shapeName, inner); problem != "" {
				return member + " " + problem
			}
		}
		return wantType(s, "structure")
	case []any:
		for _, inner := range v {
			if problem := m.check(s.Member, inner); problem != "" {
				return problem
			}
		}
		return cmpOr(bounds(s, len(v)), wantType(s, "list"))
	case string:
		if s.Pattern != "" {
			pattern := escapedRune.ReplaceAllString(s.Pattern, `\x{$1}`)
			if !regexp.MustCompile(`^(?:` + pattern + `)$`).MatchString(v) {
				return fmt.Sprintf("%q does not match %s", v, s.Pattern)
			}
		}
		if len(s.Enum) > 0 && !slices.Contains(s.Enum, v) {
			return fmt.Sprintf("%q is none of %q", v, s.Enum)
		}
		return cmpOr(bounds(s, utf8.RuneCountInString(v)), wantType(s, "string"))
	case bool:
		return wantType(s, "boolean")
	case int64:
		return cmpOr(bounds(s, int(v)), wantType(s, "integer"))
	case time.Time:
		return wantType(s, "timestamp")
	default:
		return fmt.Sprintf("has a value of type %T", value)
	}
}

func cmpOr(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

func bounds(s shape, n int) string {
	if s.Min != nil && float64(n) < *s.Min || s.Max != nil && float64(n) > *s.Max {
		return fmt.Sprintf("has a length or value of %d, which is out of bounds", n)
	}
	return ""
}

func wantType(s shape, want string) string {
	if s.Type != want {
		return fmt.Sprintf("is a %s, not a %s", want, s.Type)
	}
	return ""
}

// fromForm decodes the parameters of a request of the query protocol, and removes those that it uses from form.
func (m *model) fromForm(form url.Values, name, prefix string) any {
	s := m.Shapes[name]
	take := func() (string, bool) {
		values, ok := form[prefix]
		delete(form, prefix)
		return strings.Join(values, ""), ok
	}
	switch s.Type {
	case "structure":
		out := record{}
		for member, inner := range s.Members {
			if value := m.fromForm(form, inner, strings.TrimPrefix(prefix+"."+member, ".")); value != nil {
				out[member] = value
			}
		}
		if len(out) == 0 && prefix != "" {
			return nil
		}
		return out
	case "list":
		var out []any
		for i := 1; ; i++ {
			value := m.fromForm(form, s.Member, prefix+".member."+strconv.Itoa(i))
			if value == nil {
				break
			}
			out = append(out, value)
		}
		if out == nil {
			return nil
		}
		return out
	}
	text, ok := take()
	if !ok {
		return nil
	}
	switch s.Type {
	case "integer":
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return text
		}
		return n
	case "boolean":
		return text == "true"
	}
	return text
}

// fromJSON turns what encoding/json decoded into the types that the shapes want.
func (m *model) fromJSON(name string, value any) any {
	s := m.Shapes[name]
	switch v := value.(type) {
	case map[string]any:
		out := record{}
		for member, inner := range v {
			out[member] = m.fromJSON(s.Members[member], inner)
		}
		return out
	case []any:
		for i := range v {
			v[i] = m.fromJSON(s.Member, v[i])
		}
		return v
	case float64:
		return int64(v)
	default:
		return v
	}
}

// toXML writes a value as the query protocol does.
func toXML(out *strings.Builder, name string, value any) {
	out.WriteString("<" + name + ">")
	switch v := value.(type) {
	case record:
		for _, member := range slices.Sorted(maps.Keys(v)) {
			toXML(out, member, v[member])
		}
	case []any:
		for _, item := range v {
			toXML(out, "member", item)
		}
	case time.Time:
		out.WriteString(v.UTC().Format(time.RFC3339))
	default:
		_ = xml.EscapeText(out, []byte(fmt.Sprint(v)))
	}
	out.WriteString("</" + name + ">")
}

// toJSON turns times into what the JSON protocol has for them: seconds.
func toJSON(value any) any {
	switch v := value.(type) {
	case record:
		out := map[string]any{}
		for name, inner := range v {
			out[name] = toJSON(inner)
		}
		return out
	case time.Time:
		return v.Unix()
	default:
		return v
	}
}
