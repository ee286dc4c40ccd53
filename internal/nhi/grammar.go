package nhi

import (
	"fmt"
	"slices"
	"strings"
)

// EntitlementType is one row of a platform's entitlement grammar. The parser and the documentation are made from the
// same rows, so they cannot disagree.
type EntitlementType struct {
	// Name stands before the first colon.
	Name string
	// Description says in one sentence what holding it means; Markdown.
	Description string
	// Example is one complete canonical text.
	Example string
	// Permissions lists what may stand behind the last '#'. Empty: the type has no permission, and a '#' belongs to
	// the target.
	Permissions []string
	// FreePermission accepts any permission text (a permission is then required); Canonical checks it.
	FreePermission bool
	// Canonical returns the canonical form of e, or an error that says what to write instead. It is called with a type
	// and permission that passed the checks above. Nil: every non-empty target is canonical as it stands.
	Canonical func(e Entitlement) (Entitlement, error)
	// Observed types are listed when the platform reports them, but cannot be granted; declaring one is refused with
	// this text. Empty for ordinary types.
	Observed string
}

func (t EntitlementType) hasPermission() bool { return len(t.Permissions) > 0 || t.FreePermission }

// Grammar is the table of entitlement types of one kind of platform.
type Grammar struct {
	Types []EntitlementType
}

// NotCanonicalError is what Parse returns for a text that names an entitlement in another than its one spelling.
type NotCanonicalError struct {
	Text, Canonical string
}

func (e *NotCanonicalError) Error() string {
	return fmt.Sprintf("%q is not the canonical spelling; write %q", e.Text, e.Canonical)
}

// Parse reads the canonical text of an entitlement. The first ':' ends the type, the last '#' starts the permission of
// a type that has one. What is not canonical is refused with a *NotCanonicalError; other errors say what is wrong and
// list what is allowed.
func (g Grammar) Parse(text string) (Entitlement, error) {
	typeName, rest, found := strings.Cut(text, ":")
	if !found {
		return Entitlement{}, fmt.Errorf("%q is not an entitlement: write type:target, with a type among %s", text, g.typeList())
	}
	row, ok := g.row(typeName)
	if !ok {
		return Entitlement{}, fmt.Errorf("%q has the unknown type %q%s; known types: %s",
			text, typeName, didYouMean(typeName, g.typeNames()), g.typeList())
	}
	if row.Observed != "" {
		return Entitlement{}, fmt.Errorf("%q cannot be granted: %s", text, row.Observed)
	}
	e := Entitlement{Type: row.Name, Target: rest}
	if row.hasPermission() {
		i := strings.LastIndexByte(rest, '#')
		if i < 0 {
			return Entitlement{}, fmt.Errorf("%q lacks the permission: write for example %q", text, row.Example)
		}
		e.Target, e.Permission = rest[:i], rest[i+1:]
	}
	asWritten := e
	if lower := strings.ToLower(e.Permission); slices.Contains(row.Permissions, lower) {
		e.Permission = lower
	}
	if err := row.check(text, e); err != nil {
		return Entitlement{}, err
	}
	return row.canonical(text, asWritten, e)
}

// check refuses empty parts, control characters, and permissions that the type does not have.
func (t EntitlementType) check(text string, e Entitlement) error {
	if e.Target == "" {
		return fmt.Errorf("%q names no target: write for example %q", text, t.Example)
	}
	for _, part := range []string{e.Target, e.Permission} {
		if strings.TrimSpace(part) != part {
			return fmt.Errorf("%q has white space around %q; remove it", text, part)
		}
	}
	if err := checkText(text); err != nil {
		return fmt.Errorf("%q: %w", text, err)
	}
	if !t.hasPermission() || t.FreePermission {
		if t.FreePermission && e.Permission == "" {
			return fmt.Errorf("%q has an empty permission: write for example %q", text, t.Example)
		}
		return nil
	}
	if slices.Contains(t.Permissions, e.Permission) {
		return nil
	}
	return fmt.Errorf("%q has the unknown permission %q%s; %s has: %s", text, e.Permission,
		didYouMean(e.Permission, t.Permissions), t.Name, strings.Join(t.Permissions, ", "))
}

// canonical refuses asWritten unless it is the canonical form of e, which is asWritten with its permission in small
// letters.
func (t EntitlementType) canonical(text string, asWritten, e Entitlement) (Entitlement, error) {
	if t.Canonical != nil {
		canonical, err := t.Canonical(e)
		if err != nil {
			return Entitlement{}, fmt.Errorf("%q: %w", text, err)
		}
		e = canonical
	}
	if e != asWritten {
		return Entitlement{}, &NotCanonicalError{Text: text, Canonical: e.String()}
	}
	return e, nil
}

// ParseObserved splits a canonical text that came from this program's own state. Unlike Parse it accepts observed-only
// types and does not judge the spelling; it fails on a text without a known type.
func (g Grammar) ParseObserved(text string) (Entitlement, error) {
	typeName, rest, found := strings.Cut(text, ":")
	row, ok := g.row(typeName)
	if !found || !ok {
		return Entitlement{}, fmt.Errorf("%q is not an entitlement of a known type (%s)", text, g.typeList())
	}
	e := Entitlement{Type: typeName, Target: rest}
	if i := strings.LastIndexByte(rest, '#'); row.hasPermission() && i >= 0 {
		e.Target, e.Permission = rest[:i], rest[i+1:]
	}
	return e, nil
}

// Find reads the canonical text of an entitlement that is looked for: Parse, but for types that are only listed.
func (g Grammar) Find(text string) (Entitlement, error) {
	e, err := g.ParseObserved(text)
	if err != nil || !g.OnlyObserved(e) || e.Target == "" {
		return g.Parse(text)
	}
	row, _ := g.row(e.Type)
	return row.canonical(text, e, e)
}

// OnlyObserved reports whether entitlements of e's type are listed but never granted.
func (g Grammar) OnlyObserved(e Entitlement) bool {
	row, ok := g.row(e.Type)
	return ok && row.Observed != ""
}

func (g Grammar) row(name string) (EntitlementType, bool) {
	i := slices.IndexFunc(g.Types, func(t EntitlementType) bool { return t.Name == name })
	if i < 0 {
		return EntitlementType{}, false
	}
	return g.Types[i], true
}

func (g Grammar) typeNames() []string {
	names := make([]string, len(g.Types))
	for i, t := range g.Types {
		names[i] = t.Name
	}
	return names
}

func (g Grammar) typeList() string { return strings.Join(g.typeNames(), ", ") }
