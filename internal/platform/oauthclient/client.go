package oauthclient

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
	"github.com/nhi-labs/terraform-provider-nhi/internal/platform/internal/rest"
	"github.com/nhi-labs/terraform-provider-nhi/internal/secret"
)

// The members of a registration (RFC 7591, section 2 and 3.2.1) that are used here.
const (
	memberID     = "client_id"
	memberName   = "client_name"
	memberScope  = "scope"
	memberAuth   = "token_endpoint_auth_method"
	memberSecret = "client_secret"
	memberKeys   = "jwks"
	memberKeyURI = "jwks_uri"
	memberGrants = "grant_types"
)

// client is a registration as the server shows it. Members that mean nothing here are kept, because an update replaces
// the registration whole.
type client map[string]json.RawMessage

func (c client) text(member string) string {
	var text string
	_ = json.Unmarshal(c[member], &text) // Absent, or no text: "".
	return text
}

// set puts a member in; values are those of this package and can be encoded.
func (c client) set(member string, value any) {
	var buffer bytes.Buffer
	encoder := json.NewEncoder(&buffer)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err == nil {
		c[member] = bytes.TrimSpace(buffer.Bytes())
	}
}

// update is what is sent to change the registration (RFC 7592, section 2.2).
func (c client) update() client {
	out := maps.Clone(c)
	for _, member := range []string{fieldToken, fieldURI, "client_secret_expires_at", "client_id_issued_at"} {
		delete(out, member)
	}
	return out
}

// scopes returns the scopes that the client may ask for; ok is false if the registration leaves that to the server.
func (c client) scopes() (scopes []string, ok bool) {
	scopes = strings.Fields(c.text(memberScope))
	return scopes, len(scopes) > 0
}

// entitlements lists the scopes without the placeholder.
func (d *Driver) entitlements(c client) []nhi.Entitlement {
	scopes, ok := c.scopes()
	if !ok {
		return []nhi.Entitlement{{Type: typeDefault, Target: defaultScopes}}
	}
	var es []nhi.Entitlement
	for _, scope := range scopes {
		if scope != d.config.Placeholder {
			es = append(es, nhi.Entitlement{Type: typeScope, Target: scope})
		}
	}
	return nhi.SortEntitlements(es)
}

// setEntitlements writes the scopes, and the placeholder with them: a list that becomes empty would mean every scope.
func (d *Driver) setEntitlements(c client, es []nhi.Entitlement) {
	scopes := []string{d.config.Placeholder}
	for _, e := range nhi.SortEntitlements(slices.Clone(es)) {
		if e.Type == typeScope {
			scopes = append(scopes, e.Target)
		}
	}
	c.set(memberScope, strings.Join(scopes, " "))
}

// manage sends one request of the management protocol with the client's own token.
func (d *Driver) manage(ctx context.Context, method string, e entry, body any) (*rest.Response, error) {
	if _, err := d.discover(ctx); err != nil {
		return nil, err
	}
	path, err := d.pathOf(e.uri)
	if err != nil {
		return nil, err
	}
	return d.bare.Do(ctx, rest.Request{
		Method: method, Path: path, Body: body,
		Header: http.Header{"Authorization": {"Bearer " + e.token.Reveal()}},
	})
}

// get reads the registration. If the server gives a new token with it, e has that token and must be saved. What a refusal
// (isRefused) means, the caller has to find out.
func (d *Driver) get(ctx context.Context, e *entry) (client, error) {
	response, err := d.manage(ctx, http.MethodGet, *e, nil)
	if err != nil {
		return nil, err
	}
	return d.decode(response, e)
}

// put replaces the registration, and returns what the server made of it. The same goes for the token.
func (d *Driver) put(ctx context.Context, e *entry, c client) (client, error) {
	response, err := d.manage(ctx, http.MethodPut, *e, c.update())
	if err != nil {
		return nil, d.refused(*e, err)
	}
	return d.decode(response, e)
}

// decode reads a registration and the token in it (RFC 7592, section 3).
func (d *Driver) decode(response *rest.Response, e *entry) (client, error) {
	var c client
	if err := response.Decode(&c); err != nil {
		return nil, err
	}
	if id := c.text(memberID); id == "" || e.clientID != "" && id != e.clientID {
		return nil, &rest.ContentError{Reason: fmt.Sprintf("is about client %q instead of %q", id, e.clientID)}
	}
	if token := c.text(fieldToken); token != "" {
		e.token = secret.New(token)
	}
	if uri := c.text(fieldURI); uri != "" {
		e.uri = uri
	}
	return c, nil
}

// isRefused reports whether the server refused a registration access token.
func isRefused(err error) bool {
	var status *rest.StatusError
	return errors.As(err, &status) && status.Status == http.StatusUnauthorized
}

// refused explains a 401. RFC 7592 answers so for a client that is gone and for a token that is no longer valid, so it
// is absence only where this driver had begun to delete the client itself.
func (d *Driver) refused(e entry, err error) error {
	if !isRefused(err) {
		return err
	}
	if e.removing {
		return driver.Errorf(driver.NotFound, "client %q was deleted", e.name)
	}
	return driver.Errorf(driver.Unauthenticated, "the server refuses the registration access token of client %q (%s): the client was "+
		"deleted there, or the token was replaced; find out which, and then remove or correct the registry's entry %s: %w",
		e.name, e.clientID, d.entryPath(e.name), err)
}
