package redmine

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
	"github.com/nhi-labs/terraform-provider-nhi/internal/platform/internal/rest"
	"github.com/nhi-labs/terraform-provider-nhi/internal/secret"
)

// notePattern finds what is noted of the password beside the mark: [nhi-credential:v1:<id>:<made at>:<label>], the time in
// microseconds since 1970, the label escaped as in a URL. Redmine itself does not say whether a user has a password.
var notePattern = regexp.MustCompile(` ?\[nhi-credential:v1:([A-Z2-7]+):(\d+):([^\]\s]*)\]`)

// parseNote returns the credential that a text notes.
func parseNote(text string) (nhi.Credential, bool) {
	m := notePattern.FindStringSubmatch(text)
	if m == nil {
		return nhi.Credential{}, false
	}
	made, errMade := strconv.ParseInt(m[2], 10, 64)
	label, errLabel := url.QueryUnescape(m[3])
	if errMade != nil || errLabel != nil {
		return nhi.Credential{}, false
	}
	return nhi.Credential{ID: m[1], Label: label, CreatedAt: time.UnixMicro(made).UTC()}, true
}

// withNote puts a note in place of the one that text has; nil removes it.
func withNote(text string, credential *nhi.Credential) string {
	text = notePattern.ReplaceAllString(text, "")
	if credential == nil {
		return text
	}
	return fmt.Sprintf("%s [nhi-credential:v1:%s:%d:%s]", text, credential.ID, credential.CreatedAt.UnixMicro(),
		url.QueryEscape(credential.Label))
}

// newPassword makes a random password of 256 bits. Its end satisfies every rule that Redmine can have about kinds of
// characters.
func newPassword() secret.Value {
	random := make([]byte, 32)
	_, _ = rand.Read(random) // It never fails, by contract.
	return secret.New(base64.RawURLEncoding.EncodeToString(random) + "aA1!")
}

// Slots implements driver.Issuer: a user has one password. The API key that Redmine gives to every user can neither be
// made nor taken away over the API.
func (c *client) Slots() int { return 1 }

// Issue implements driver.Issuer: password and note change in one request.
func (c *client) Issue(ctx context.Context, ref nhi.Ref, request driver.IssueRequest) (driver.Issued, error) {
	issued := driver.Issued{
		Secret: newPassword(),
		Credential: nhi.Credential{
			ID: rand.Text(), Label: request.Label, CreatedAt: time.Now().UTC().Truncate(time.Microsecond),
		},
	}
	err := c.change(ctx, ref, func(u user, field int) (*userChange, error) {
		if had, ok := parseNote(u.text(field)); ok {
			if had.Label == request.Label {
				return nil, driver.Errorf(driver.AlreadyExists, "user %q has a password labelled %q already", u.Login, had.Label)
			}
			return nil, driver.Errorf(driver.Conflict, "user %q has a password already, and there is room for one", u.Login)
		}
		issued.Login = u.Login
		return &userChange{
			Password:     issued.Secret.Reveal(),
			CustomFields: []fieldWrite{{field, withNote(u.text(field), &issued.Credential)}},
		}, nil
	})
	if err != nil {
		return driver.Issued{}, err
	}
	return issued, nil
}

// RevokeCredential implements driver.Issuer: it sets a password that nobody knows, which also ends web sessions.
func (c *client) RevokeCredential(ctx context.Context, ref nhi.Ref, id string) error {
	err := c.change(ctx, ref, func(u user, field int) (*userChange, error) {
		had, ok := parseNote(u.text(field))
		if !ok || had.ID != id {
			return nil, nil
		}
		return &userChange{
			Password: newPassword().Reveal(), CustomFields: []fieldWrite{{field, withNote(u.text(field), nil)}},
		}, nil
	})
	if driver.CodeOf(err) == driver.NotFound {
		return nil
	}
	return err
}

// Verify implements driver.Verifier by asking Redmine who the login is.
func (c *client) Verify(ctx context.Context, login string, text secret.Value) error {
	if login == "" || text.IsZero() || strings.Contains(login, ":") {
		return driver.Errorf(driver.Unauthenticated, "%q with this password cannot be a login", login)
	}
	transport, err := c.config.client(rest.Auth{Username: login, Password: text})
	if err != nil {
		return err
	}
	defer transport.Close()
	answer, err := transport.Do(ctx, rest.Request{Method: http.MethodGet, Path: "/users/current.json"})
	if err != nil {
		return fmt.Errorf("log in as %q: %w", login, err)
	}
	var who struct {
		User user `json:"user"`
	}
	if err := answer.Decode(&who); err != nil {
		return err
	}
	if !strings.EqualFold(who.User.Login, login) {
		return driver.Errorf(driver.Unknown, "Redmine answered the login of %q with another user", login)
	}
	return nil
}
