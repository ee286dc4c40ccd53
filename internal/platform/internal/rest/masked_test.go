package rest_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/platform/internal/rest"
	"github.com/nhi-labs/terraform-provider-nhi/internal/secret"
)

// escaped spells a text in JSON with an escape for every letter.
func escaped(text string) string {
	var b strings.Builder
	for _, r := range text {
		_, _ = fmt.Fprintf(&b, `\u%04x`, r)
	}
	return b.String()
}

// TestCredentialsAreNotRepeated has servers that explain a refusal with what they refuse.
func TestCredentialsAreNotRepeated(t *testing.T) {
	const token = "opaque/live+token/0123456789"
	basic := func(pair string) string { return base64.StdEncoding.EncodeToString([]byte(pair)) }
	for name, c := range map[string]struct {
		auth    rest.Auth // {url}/token is the token endpoint
		request rest.Request
		hidden  []string
	}{
		"fetched token": {auth: rest.Auth{OAuth2: &rest.ClientCredentials{ClientID: "c", ClientSecret: secret.New(canary)}}, hidden: []string{token}},
		"bearer":        {auth: rest.Auth{Bearer: secret.New(token)}, hidden: []string{token}},
		"basic":         {auth: rest.Auth{Username: "admin", Password: secret.New(token)}, hidden: []string{token, basic("admin:" + token)}},
		"header of the request": {
			request: rest.Request{Header: http.Header{"Authorization": {"Bearer " + token}}}, hidden: []string{token},
		},
		"basic header, escaped as in OAuth 2.0": {
			request: rest.Request{Header: http.Header{"authorization": {"basic " + basic("c:opaque%2Flive%2Btoken")}}},
			hidden:  []string{"opaque/live+token", "opaque%2Flive%2Btoken", basic("c:opaque%2Flive%2Btoken")},
		},
		"secret of the body": {
			request: rest.Request{Body: map[string]string{"password": token}, Secrets: []secret.Value{secret.New(token)}}, hidden: []string{token},
		},
	} {
		for _, said := range c.hidden {
			for form, text := range map[string]string{
				"as it is": said, "escaped slashes": strings.ReplaceAll(said, "/", `\/`), "escaped": escaped(said),
				"where the text is cut": strings.Repeat("x", 270) + said,
			} {
				t.Run(name+"/"+form, func(t *testing.T) {
					server := serve(t, func(w http.ResponseWriter, r *http.Request) {
						w.Header().Set("Content-Type", "application/json")
						if r.URL.Path == "/token" {
							_, _ = fmt.Fprintf(w, `{"access_token":%q,"token_type":"bearer","expires_in":3600}`, token)
							return
						}
						w.WriteHeader(http.StatusForbidden)
						_, _ = fmt.Fprintf(w, `{"n":12345678901234567890,"error":"invalid_token","error_description":"Not good: %[1]s","more":[{"a":"%[1]s"}]}`, text)
					})
					auth := c.auth
					if auth.OAuth2 != nil {
						endpoint := *auth.OAuth2
						endpoint.TokenURL = server.URL + "/token"
						auth.OAuth2 = &endpoint
					}
					request := c.request
					request.Method, request.Path = http.MethodPost, "/things"
					_, err := client(t, rest.Config{BaseURL: server.URL, Auth: auth}).Do(t.Context(), request)
					wantCode(t, err, driver.PermissionDenied)
					var status *rest.StatusError
					if !errors.As(err, &status) || !strings.Contains(err.Error(), "Not good: ") {
						t.Fatalf("the error does not explain: %v", err)
					}
					var body struct {
						N     json.Number
						Error string
						More  []struct{ A string }
					}
					if err := json.Unmarshal(status.Body, &body); err != nil || body.N != "12345678901234567890" || body.Error != "invalid_token" {
						t.Errorf("body %s, error %v", status.Body, err)
					}
					for _, shown := range []string{err.Error(), status.Detail, string(status.Body), body.More[0].A} {
						if strings.Contains(shown, said) || strings.Contains(shown, said[:10]) {
							t.Errorf("shown: %s", shown)
						}
					}
				})
			}
		}
	}
}

// TestTokenEndpointRepeatsTheSecret: the error code of a token endpoint is shown, and is the endpoint's to choose.
func TestTokenEndpointRepeatsTheSecret(t *testing.T) {
	server := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = fmt.Fprintf(w, `{"error":"invalid_client %s %s"}`, canary, r.Header.Get("Authorization"))
	})
	_, err := get(t, oauthClient(t, server.URL))
	wantCode(t, err, driver.Unauthenticated)
	if pair := base64.StdEncoding.EncodeToString([]byte("client:" + canary)); strings.Contains(err.Error(), pair) {
		t.Errorf("the error shows a secret: %v", err)
	}
	if !strings.Contains(err.Error(), "invalid_client") {
		t.Errorf("the error does not explain: %v", err)
	}
}
