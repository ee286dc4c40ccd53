package nhi

import (
	"fmt"
	"regexp"
)

// Mark says on the platform itself which stack made an account and for which identity. It is what a later run finds
// after a run was killed, and what keeps two stacks from changing each other's accounts.
type Mark struct {
	Stack    string
	Identity string
}

// markPattern finds a mark in a platform's free text (a comment may hold more than our mark).
var markPattern = regexp.MustCompile(`nhi:v1:([^:\s]+):([^:\s\]]+)`)

// IsZero reports whether m marks nothing.
func (m Mark) IsZero() bool { return m == Mark{} }

// String returns the text form, "nhi:v1:stack:identity". Stack and identity names have no character that would need
// escaping here (CheckStack, CheckIdentityName). The zero Mark gives "".
func (m Mark) String() string {
	if m.IsZero() {
		return ""
	}
	return MarkPrefix(m.Stack) + m.Identity
}

// MarkPrefix is what the text of every mark of a stack begins with; of every stack if stack is "".
func MarkPrefix(stack string) string {
	if stack == "" {
		return "nhi:v1:"
	}
	return "nhi:v1:" + stack + ":"
}

// FindMark returns the first mark in text, the zero Mark if there is none.
func FindMark(text string) Mark {
	m := markPattern.FindStringSubmatch(text)
	if m == nil {
		return Mark{}
	}
	return Mark{Stack: m[1], Identity: m[2]}
}

// WithMark returns text (a platform's free-text field, perhaps written by others) with m in place of any mark it had:
// what others wrote is kept, the mark stands at the end in brackets, or alone if there is nothing else. The zero Mark
// removes the mark, so that the text is again what it was before WithMark.
func WithMark(text string, m Mark) string {
	rest := text
	for bracketedMark.MatchString(rest) { // again, because what stood around a mark may make another one together
		rest = bracketedMark.ReplaceAllString(rest, "")
	}
	switch {
	case m.IsZero():
		return rest
	case rest == "":
		return m.String()
	default:
		return rest + " [" + m.String() + "]"
	}
}

var bracketedMark = regexp.MustCompile(` ?(\[` + markPattern.String() + `\]|` + markPattern.String() + `)`)

// stackPattern also rules out every character with a meaning in a mark, a URL, a filter or a comment.
var stackPattern = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9._-]{0,62}$`)

// CheckStack returns an error unless name can be a stack: 1 to 63 letters, digits, '.', '_' or '-', the first a letter
// or digit.
func CheckStack(name string) error { return checkPlain("a stack", name) }

// CheckIdentityName returns an error unless name can be an identity: the same alphabet as a stack. Account names on a
// platform are freer; each kind has its own rule.
func CheckIdentityName(name string) error { return checkPlain("an identity name", name) }

// CheckPlatformName returns an error unless name can be a configured platform: the same alphabet as a stack.
func CheckPlatformName(name string) error { return checkPlain("a platform name", name) }

func checkPlain(what, name string) error {
	if stackPattern.MatchString(name) {
		return nil
	}
	return fmt.Errorf("%q cannot be %s: use 1 to 63 letters, digits, '.', '_' or '-', beginning with a letter or digit", name, what)
}
