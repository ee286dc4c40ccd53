// Package sqlname spells the names of SQL objects as targets of entitlements: the parts joined by dots, quoted only where
// they could be misread. The spelling depends on nothing but the name, other than a server's own quoting, which depends on
// its version's list of key words.
package sqlname

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Style is how one kind of database quotes a name.
type Style byte

// The styles: standard SQL, and MySQL.
const (
	DoubleQuotes Style = '"'
	Backticks    Style = '`'
)

// Join spells a target. A part is written as the catalog spells it, and quoted (inner quotes doubled) only if it is empty,
// contains a quote, has white space at an end, or, in a target of several parts, contains a dot or a parenthesis.
func (s Style) Join(parts []string) string {
	quoted := make([]string, len(parts))
	for i, part := range parts {
		quoted[i] = s.quote(part, len(parts) > 1)
	}
	return strings.Join(quoted, ".")
}

func (s Style) quote(part string, oneOfSeveral bool) string {
	first, _ := utf8.DecodeRuneInString(part)
	last, _ := utf8.DecodeLastRuneInString(part)
	plain := part != "" && strings.IndexByte(part, byte(s)) < 0 && !unicode.IsSpace(first) && !unicode.IsSpace(last) &&
		(!oneOfSeveral || !strings.ContainsAny(part, ".()"))
	if plain {
		return part
	}
	return s.Quote(part)
}

// Quote quotes a name whatever it contains, as the server's own SQL wants it.
func (s Style) Quote(name string) string {
	quote := string(rune(s))
	return quote + strings.ReplaceAll(name, quote, quote+quote) + quote
}

// Split is the inverse of Join. It also accepts quotes that are not needed. Unless several is set, the target is one name,
// in which dots have no meaning.
func (s Style) Split(target string, several bool) ([]string, error) {
	var parts []string
	for rest := target; ; {
		part, tail, err := s.cut(rest, several)
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

// cut takes one name from the front and returns what follows it.
func (s Style) cut(text string, several bool) (part, tail string, err error) {
	if text == "" || text[0] != byte(s) {
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
		case text[i] != byte(s):
			name.WriteByte(text[i])
		case i+1 < len(text) && text[i+1] == byte(s):
			name.WriteByte(byte(s))
			i++
		default:
			return name.String(), text[i+1:], nil
		}
	}
	return "", "", fmt.Errorf("a %c is not closed", rune(s))
}
