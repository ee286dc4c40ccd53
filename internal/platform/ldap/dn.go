package ldap

import (
	"encoding/hex"
	"errors"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	goldap "github.com/go-ldap/ldap/v3"
	"golang.org/x/text/unicode/norm"
)

// canonicalDN returns the one spelling in which a DN stands in entitlements. It is a spelling of RFC 4514: attribute
// types and values in small letters (directories compare names without regard to case), no spaces around ',', '+' and
// '=', the parts of an RDN with several sorted, '\' only before the characters that need it, and characters that cannot
// be seen as '\' and two hexadecimal digits per byte.
func canonicalDN(text string) (string, error) {
	dn, err := goldap.ParseDN(text)
	if err != nil {
		return "", err
	}
	if len(dn.RDNs) == 0 {
		return "", errors.New("the name is empty")
	}
	rdns := make([]string, len(dn.RDNs))
	for i, rdn := range dn.RDNs {
		parts := make([]string, len(rdn.Attributes))
		for j, a := range rdn.Attributes {
			if a.Type == "" || a.Value == "" || !validType(a.Type) {
				return "", errors.New("each part must be a type and a value, as in cn=readers")
			}
			value := a.Value
			if utf8.ValidString(value) { // Others have no small letters.
				value = strings.ToLower(value)
			}
			parts[j] = strings.ToLower(a.Type) + "=" + escapeValue(value)
		}
		slices.Sort(parts)
		rdns[i] = strings.Join(parts, "+")
	}
	return strings.Join(rdns, ","), nil
}

// validType reports whether name is an attribute type: a word or a dotted number (RFC 4512, 1.4).
func validType(name string) bool {
	return !strings.ContainsFunc(name, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '.'
	})
}

// escapeValue escapes an attribute value for a DN.
func escapeValue(value string) string {
	var out strings.Builder
	for i, r := range value {
		size := utf8.RuneLen(r)
		if r == utf8.RuneError {
			_, size = utf8.DecodeRuneInString(value[i:])
		}
		raw := value[i : i+size]
		edge := i == 0 || i+size == len(value)
		switch {
		case strings.ContainsRune(`"+,;<>=\`, r), r == ' ' && edge, r == '#' && i == 0:
			out.WriteString(`\` + raw)
		case r == utf8.RuneError && size == 1, r != ' ' && !unicode.IsPrint(r):
			for _, b := range []byte(raw) {
				out.WriteString(`\` + hex.EncodeToString([]byte{b}))
			}
		default:
			out.WriteString(raw)
		}
	}
	return out.String()
}

// matchKey is what two DNs share that a directory takes for one: beyond case it evens out the width and composition of
// characters and runs of spaces (RFC 4518), so that a member value that was written by hand finds its entry.
func matchKey(dn string) string {
	canonical, err := canonicalDN(dn)
	if err != nil {
		canonical = strings.ToLower(dn)
	}
	return strings.Join(strings.Fields(norm.NFKC.String(canonical)), " ")
}

// isBelow reports whether dn is base or an entry below it. Both are match keys.
func isBelow(dn, base string) bool {
	return base == "" || dn == base || strings.HasSuffix(dn, ","+base)
}
