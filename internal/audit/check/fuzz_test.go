package check

import (
	"bytes"
	"testing"
)

// FuzzReadState: a file that is no state, or a damaged one, is an error, and what can be read can be compared.
func FuzzReadState(f *testing.F) {
	for _, text := range []string{
		"", "null", `{"version":4}`, `{"version":3}`, `{"version":4,"resources":[null]}`,
		`{"version":4,"resources":[{"mode":"managed","type":"nhi_identity","name":"x","instances":[{"attributes":{"accounts":{"p":` +
			`{"name":"a","target":"t","status":"active"}},"undelivered":["{}"]}}]}]}`,
		`{"version":4,"resources":[{"mode":"managed","type":"nhi_grant","name":"x","instances":[{"attributes":{"identity":{"name":"a",` +
			`"account_names":null},"entitlements":{"p":["role:x"]},"targets":{"p":"t"},"undelivered":null}}]}]}`,
		`{"version":4,"resources":[{"mode":"managed","type":"nhi_rotation","name":"x","instances":[{"attributes":{"platform":"p",` +
			`"credentials":[{"label":"l","id":"i"}],"delivered":[{"platform":"s","path":"x"}]}},null]}]}`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(_ *testing.T, text []byte) {
		if state, err := ReadState(bytes.NewReader(text)); err == nil {
			_ = Run(life().events, []State{state})
		}
	})
}
