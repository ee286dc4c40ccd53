package rest

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"

	"github.com/nhi-labs/terraform-provider-nhi/internal/secret"
)

// masked returns a JSON document without the credentials that its texts repeat, nil if it is no JSON. It decodes the texts:
// an escape may hide a credential from whoever looks for it in the document. Servers of OAuth 2.0 do repeat tokens ("invalid
// access token: …"), and what one API refuses may be good for another.
func masked(document []byte, credentials []secret.Value) []byte {
	if !json.Valid(document) {
		return nil
	}
	var redactor secret.Redactor
	redactor.Add(credentials...)
	decoder := json.NewDecoder(bytes.NewReader(document))
	decoder.UseNumber()
	var value any
	if decoder.Decode(&value) != nil {
		return nil
	}
	out, err := json.Marshal(maskedValue(&redactor, value))
	if err != nil {
		return nil
	}
	return out
}

func maskedValue(redactor *secret.Redactor, value any) any {
	switch value := value.(type) {
	case string:
		return redactor.Redact(value)
	case []any:
		for i := range value {
			value[i] = maskedValue(redactor, value[i])
		}
	case map[string]any:
		for name := range value {
			value[name] = maskedValue(redactor, value[name])
		}
	}
	return value
}

// credentialsIn lists what a request's Authorization header gives away: what follows the scheme, and the password that
// Basic (RFC 7617) encodes, also as it was before a client of OAuth 2.0 escaped it (RFC 6749, section 2.3.1).
func credentialsIn(header http.Header) []secret.Value {
	var all []secret.Value
	for _, line := range header.Values("Authorization") {
		scheme, text, found := strings.Cut(line, " ")
		if !found {
			text = line
		}
		all = append(all, secret.New(text))
		pair, err := base64.StdEncoding.DecodeString(text)
		if err != nil || !strings.EqualFold(scheme, "Basic") {
			continue
		}
		_, password, _ := strings.Cut(string(pair), ":")
		all = append(all, secret.New(password))
		if plain, err := url.QueryUnescape(password); err == nil {
			all = append(all, secret.New(plain))
		}
	}
	return all
}
