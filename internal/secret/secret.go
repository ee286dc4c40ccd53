// Package secret holds text that must not be printed.
package secret

import (
	"crypto/subtle"
	"fmt"
	"log/slog"
)

// Masked is what a Value shows instead of its text, everywhere.
const Masked = "(secret)"

// Value is a text that cannot be printed by accident. The text hides behind a function, because fmt, reflection-based
// dumpers and encoders look into strings and pointers but cannot call a function. The zero Value holds no text.
//
// Values are not comparable with ==; use Equal.
type Value struct {
	reveal func() string
}

// New hides text. An empty text gives the zero Value.
func New(text string) Value {
	if text == "" {
		return Value{}
	}
	return Value{reveal: func() string { return text }}
}

// Reveal returns the text, "" for the zero Value. Call it only where the text leaves the process on purpose: as an
// argument of a client library.
func (v Value) Reveal() string {
	if v.reveal == nil {
		return ""
	}
	return v.reveal()
}

// IsZero reports whether v holds no text.
func (v Value) IsZero() bool { return v.reveal == nil }

// Equal compares two texts in constant time.
func (v Value) Equal(other Value) bool {
	return subtle.ConstantTimeCompare([]byte(v.Reveal()), []byte(other.Reveal())) == 1
}

// String returns Masked.
func (v Value) String() string { return Masked }

// GoString returns Masked.
func (v Value) GoString() string { return Masked }

// Format writes Masked for every verb and flag.
func (v Value) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(Masked)) }

// MarshalJSON encodes Masked, never the text.
func (v Value) MarshalJSON() ([]byte, error) { return []byte(`"` + Masked + `"`), nil }

// MarshalText encodes Masked, never the text.
func (v Value) MarshalText() ([]byte, error) { return []byte(Masked), nil }

// LogValue implements slog.LogValuer with Masked.
func (v Value) LogValue() slog.Value { return slog.StringValue(Masked) }
