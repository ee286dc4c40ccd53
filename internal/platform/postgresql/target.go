package postgresql

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// key addresses an object by the parts of its name, as the catalog spells them; unused parts are "".
type key [3]string

// joinTarget spells a target: the parts joined by dots. A part is written as the catalog spells it, and in double
// quotes (inner ones doubled) only where it could be misread: if it is empty, contains a double quote, has white space
// at an end, or, in a target of several parts, contains a dot or a parenthesis. This depends on nothing but the name,
// other than the server's quote_ident, which depends on its version's list of key words.
func joinTarget(parts []string) string {
	quoted := make([]string, len(parts))
	for i, part := range parts {
		quoted[i] = quotePart(part, len(parts) > 1)
	}
	return strings.Join(quoted, ".")
}

func quotePart(part string, oneOfSeveral bool) string {
	first, _ := utf8.DecodeRuneInString(part)
	last, _ := utf8.DecodeLastRuneInString(part)
	plain := part != "" && !strings.Contains(part, `"`) && !unicode.IsSpace(first) && !unicode.IsSpace(last) &&
		(!oneOfSeveral || !strings.ContainsAny(part, ".()"))
	if plain {
		return part
	}
	return `"` + strings.ReplaceAll(part, `"`, `""`) + `"`
}

// splitTarget is the inverse of joinTarget. It also accepts quotes that are not needed.
func splitTarget(target string, several bool) ([]string, error) {
	var parts []string
	for rest := target; ; {
		part, tail, err := cutPart(rest, several)
		if err != nil {
			return nil, err
		}
		parts = append(parts, part)
		if tail == "" {
			return parts, nil
		}
		if tail[0] != '.' || !several {
			return nil, fmt.Errorf("unexpected %q behind a quoted name", tail)
		}
		rest = tail[1:]
	}
}

// cutPart takes one name from the front and returns what follows it.
func cutPart(text string, several bool) (part, tail string, err error) {
	if !strings.HasPrefix(text, `"`) {
		end := len(text)
		if several {
			if i := strings.IndexByte(text, '.'); i >= 0 {
				end = i
			}
		}
		if end == 0 {
			return "", "", errors.New("a part of the name is empty")
		}
		return text[:end], text[end:], nil
	}
	var name strings.Builder
	for i := 1; i < len(text); i++ {
		switch {
		case text[i] != '"':
			name.WriteByte(text[i])
		case strings.HasPrefix(text[i+1:], `"`):
			name.WriteByte('"')
			i++
		default:
			return name.String(), text[i+1:], nil
		}
	}
	return "", "", errors.New("a double quote is not closed")
}

// splitFunction splits schema.name(types). The list of types begins at the first parenthesis outside quotes.
func splitFunction(target string) (key, error) {
	quoted, open := false, -1
	for i := 0; i < len(target) && open < 0; i++ {
		switch {
		case target[i] == '"':
			quoted = !quoted
		case target[i] == '(' && !quoted:
			open = i
		}
	}
	if open < 0 || !strings.HasSuffix(target, ")") {
		return key{}, errors.New("write the types of the arguments behind the name, for example finance.total(integer, text)")
	}
	parts, err := splitTarget(target[:open], true)
	if err != nil {
		return key{}, err
	}
	if len(parts) != 2 {
		return key{}, errors.New("write schema.function(types)")
	}
	return key{parts[0], parts[1], canonicalTypes(target[open+1 : len(target)-1])}, nil
}

// typeAliases maps SQL's and PostgreSQL's short names of types to what the server prints.
var typeAliases = map[string]string{
	"int": "integer", "int4": "integer", "int2": "smallint", "int8": "bigint", "bool": "boolean", "decimal": "numeric",
	"float": "double precision", "float8": "double precision", "float4": "real", "varchar": "character varying",
	"char": "character", "bpchar": "character", "varbit": "bit varying", "timestamp": "timestamp without time zone",
	"timestamptz": "timestamp with time zone", "time": "time without time zone", "timetz": "time with time zone",
}

// canonicalTypes spells a list of types as the server does, as far as that is known without asking it.
func canonicalTypes(list string) string {
	if strings.TrimSpace(list) == "" || strings.ContainsAny(list, `"()`) {
		return strings.TrimSpace(list)
	}
	types := strings.Split(list, ",")
	for i, name := range types {
		name = strings.TrimSpace(name)
		base, array := strings.CutSuffix(name, "[]")
		if full, ok := typeAliases[base]; ok {
			name = full
			if array {
				name += "[]"
			}
		}
		types[i] = name
	}
	return strings.Join(types, ", ")
}
