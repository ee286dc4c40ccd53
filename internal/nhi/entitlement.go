// Package nhi holds the nouns of the product: identity, account, entitlement, credential and ownership mark. It is
// pure: no network, no clock, no Terraform.
package nhi

import (
	"cmp"
	"slices"
	"strings"
)

// Entitlement is one right that an account holds on a platform. Its canonical text is "type:target" or
// "type:target#permission"; the same text stands in HCL, plan, state, import, audit events and errors.
//
// Entitlements are comparable and serve as map keys. Build them with Grammar.Parse or from what a platform lists.
type Entitlement struct {
	Type       string // for example "table"
	Target     string // the platform's own name, in the platform's own spelling
	Permission string // "" where the type has none
}

// String returns the canonical text.
func (e Entitlement) String() string {
	if e.Permission == "" {
		return e.Type + ":" + e.Target
	}
	return e.Type + ":" + e.Target + "#" + e.Permission
}

// Compare orders entitlements by their text.
func (e Entitlement) Compare(other Entitlement) int { return cmp.Compare(e.String(), other.String()) }

// SortEntitlements sorts es in place by text, drops duplicates and returns the result.
func SortEntitlements(es []Entitlement) []Entitlement {
	slices.SortFunc(es, Entitlement.Compare)
	return slices.Compact(es)
}

// Without returns the members of a that are not in b, sorted. It modifies neither.
func Without(a, b []Entitlement) []Entitlement {
	return filter(a, b, false)
}

// Intersect returns the members of a that are also in b, sorted. It modifies neither.
func Intersect(a, b []Entitlement) []Entitlement {
	return filter(a, b, true)
}

func filter(a, b []Entitlement, want bool) []Entitlement {
	in := make(map[Entitlement]bool, len(b))
	for _, e := range b {
		in[e] = true
	}
	out := make([]Entitlement, 0, len(a))
	for _, e := range a {
		if in[e] == want {
			out = append(out, e)
		}
	}
	return SortEntitlements(out)
}

// Union returns every member of a or b once, sorted. It modifies neither.
func Union(a, b []Entitlement) []Entitlement {
	return SortEntitlements(slices.Concat(a, b))
}

// Texts returns the canonical texts of es, in their order.
func Texts(es []Entitlement) []string {
	out := make([]string, len(es))
	for i, e := range es {
		out[i] = e.String()
	}
	return out
}

// JoinTexts returns the canonical texts of es separated by ", ".
func JoinTexts(es []Entitlement) string { return strings.Join(Texts(es), ", ") }
