package postgresql

import (
	"errors"
	"strings"

	"github.com/nhi-labs/terraform-provider-nhi/internal/platform/internal/sqlname"
)

// key addresses an object by the parts of its name, as the catalog spells them; unused parts are "".
type key [3]string

// joinTarget spells a target.
func joinTarget(parts []string) string { return sqlname.DoubleQuotes.Join(parts) }

// splitTarget is the inverse of joinTarget. It also accepts quotes that are not needed.
func splitTarget(target string, several bool) ([]string, error) {
	return sqlname.DoubleQuotes.Split(target, several)
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
