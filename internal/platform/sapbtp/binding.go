package sapbtp

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
	"github.com/nhi-labs/terraform-provider-nhi/internal/platform/internal/rest"
	"github.com/nhi-labs/terraform-provider-nhi/internal/secret"
)

const (
	bindingsPath = "/v1/service_bindings"
	// bindingSlots is this driver's own limit per account; an instance has up to 1,000 bindings.
	bindingSlots = 10
	// bindingNotFound is the Service Manager's own name of a 404.
	bindingNotFound = "NotFound"
	// The labels of a binding: the shadow user's id, and the label of the credential.
	labelAccount    = "nhi_account"
	labelCredential = "nhi_credential"
	// deleteTime is how long the deletion of a binding may take, asked for every deletePoll.
	deleteTime = time.Minute
	deletePoll = 200 * time.Millisecond
)

// binding is what is used of a service binding. Lists are read without the credentials in them.
type binding struct {
	ID         string              `json:"id,omitempty"`
	Name       string              `json:"name"`
	InstanceID string              `json:"service_instance_id"`
	CreatedAt  time.Time           `json:"created_at,omitzero"`
	Labels     map[string][]string `json:"labels"`
	Parameters *bindingParameters  `json:"parameters,omitempty"`
}

type bindingParameters struct {
	CredentialType string `json:"credential-type"`
}

// boundCredentials is a binding with its secret: that of XSUAA, or of a service that puts XSUAA's under "uaa".
type boundCredentials struct {
	binding
	Credentials struct {
		clientLogin
		UAA clientLogin `json:"uaa"`
	} `json:"credentials"`
}

type clientLogin struct {
	ClientID     string `json:"clientid"`
	ClientSecret string `json:"clientsecret"`
}

type bindingList struct {
	Token string     `json:"token"`
	Items *[]binding `json:"items"`
}

// Slots is how many bindings an account can have here, 0 without a Service Manager.
func (d *Driver) Slots() int {
	if d.bindings == nil {
		return 0
	}
	return bindingSlots
}

// listBindings returns the bindings of one account, or of all with "", by account, oldest first; none without a Service
// Manager. Those of every instance are among them: an account that was given some of another one than is configured now has
// them still.
func (d *Driver) listBindings(ctx context.Context, account string) (map[string][]nhi.Credential, error) {
	found := map[string][]nhi.Credential{}
	if d.bindings == nil {
		return found, nil
	}
	query := url.Values{}
	if account != "" {
		query.Set("labelQuery", labelAccount+" eq '"+account+"'")
	}
	for visited := map[string]bool{}; ; {
		var list bindingList
		if err := call(ctx, d.bindings, rest.Request{Method: http.MethodGet, Path: bindingsPath, Query: query}, &list); err != nil {
			return nil, d.noAbsence("listing the bindings", err)
		}
		if list.Items == nil {
			return nil, &rest.ContentError{Reason: "is no list of bindings"}
		}
		for _, b := range *list.Items {
			if owner := first(b.Labels[labelAccount]); owner != "" {
				found[owner] = append(found[owner], b.credential())
			}
		}
		if list.Token == "" {
			break
		}
		if visited[list.Token] {
			return nil, &rest.ContentError{Reason: "leads back to a page of bindings that was read before"}
		}
		visited[list.Token] = true
		query.Set("token", list.Token)
	}
	for _, credentials := range found {
		slices.SortFunc(credentials, func(a, b nhi.Credential) int {
			return cmp.Or(a.CreatedAt.Compare(b.CreatedAt), cmp.Compare(a.ID, b.ID))
		})
	}
	return found, nil
}

func (b binding) credential() nhi.Credential {
	return nhi.Credential{ID: b.ID, Label: first(b.Labels[labelCredential]), CreatedAt: b.CreatedAt}
}

func first(values []string) string {
	if len(values) == 0 {
		return ""
	}
	return values[0]
}

// Issue makes a service binding with a secret of its own. Its login is the client id.
func (d *Driver) Issue(ctx context.Context, ref nhi.Ref, request driver.IssueRequest) (driver.Issued, error) {
	if d.bindings == nil {
		return driver.Issued{}, driver.Errorf(driver.Unsupported, "no Service Manager is configured, so accounts have no credentials")
	}
	u, err := d.find(ctx, ref)
	if err != nil {
		return driver.Issued{}, err
	}
	unlock, err := d.locks.Lock(ctx, u.ID)
	if err != nil {
		return driver.Issued{}, err
	}
	defer unlock()
	have, err := d.listBindings(ctx, u.ID)
	if err != nil {
		return driver.Issued{}, err
	}
	if n := len(have[u.ID]); n >= bindingSlots {
		return driver.Issued{}, driver.Errorf(driver.Conflict, "user %q has %d bindings already", u.UserName, n)
	}
	in := binding{
		Name: bindingName(u.ID, request.Label), InstanceID: d.config.Bindings.InstanceID,
		Labels:     map[string][]string{labelAccount: {u.ID}, labelCredential: {request.Label}},
		Parameters: &bindingParameters{CredentialType: "binding-secret"},
	}
	var made boundCredentials
	request1 := rest.Request{Method: http.MethodPost, Path: bindingsPath, Query: url.Values{"async": {"false"}}, Body: in}
	if err := call(ctx, d.bindings, request1, &made); err != nil {
		return driver.Issued{}, err
	}
	return d.issued(ctx, made, request.Label)
}

// bindingName is unique in the instance, so that the same label cannot be bound twice.
func bindingName(user, label string) string { return "nhi-" + user + "-" + label }

func (d *Driver) issued(ctx context.Context, made boundCredentials, label string) (driver.Issued, error) {
	login := made.Credentials.clientLogin
	if login.ClientID == "" {
		login = made.Credentials.UAA
	}
	if made.ID == "" || login.ClientID == "" || login.ClientSecret == "" || first(made.Labels[labelCredential]) != label {
		err := driver.Errorf(driver.Unsupported, "the binding of instance %s came without its labels, or without clientid and "+
			"clientsecret: use an instance of a service whose bindings have them", d.config.Bindings.InstanceID)
		if made.ID == "" {
			return driver.Issued{}, err
		}
		return driver.Issued{}, errors.Join(err, d.unbind(context.WithoutCancel(ctx), made.ID))
	}
	return driver.Issued{Credential: made.credential(), Login: login.ClientID, Secret: secret.New(login.ClientSecret)}, nil
}

// RevokeCredential deletes a binding; the service refuses its client from then on. Tokens that it got live until they
// expire.
func (d *Driver) RevokeCredential(ctx context.Context, ref nhi.Ref, id string) error {
	if d.bindings == nil {
		return driver.Errorf(driver.Unsupported, "binding %s of user %q cannot be looked for or deleted, because no Service Manager is "+
			"configured: put service_manager back until it is revoked", id, ref.Name)
	}
	account := ref.ID // Bindings outlive their user.
	if account == "" {
		u, err := d.find(ctx, ref)
		if err != nil {
			return d.gone(err)
		}
		account = u.ID
	}
	have, err := d.listBindings(ctx, account)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(have[account], func(c nhi.Credential) bool { return c.ID == id }) {
		return nil
	}
	return d.unbind(ctx, id)
}

// unbind deletes a binding and waits until it is gone: the Service Manager may only promise it (202).
func (d *Driver) unbind(ctx context.Context, id string) error {
	path := bindingsPath + "/" + url.PathEscape(id)
	response, err := d.bindings.Do(ctx, rest.Request{Method: http.MethodDelete, Path: path, Query: url.Values{"async": {"false"}}})
	if err != nil || response.Status != http.StatusAccepted {
		return d.gone(err)
	}
	for end := time.Now().Add(deleteTime); time.Now().Before(end); {
		if err := call(ctx, d.bindings, rest.Request{Method: http.MethodGet, Path: path}, nil); err != nil {
			return d.gone(err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(deletePoll):
		}
	}
	return driver.Errorf(driver.Unavailable, "binding %s is still being deleted", id)
}

// Verify asks for a token as the client does, and drops it. The credentials go into the form: in a header, the service
// does not decode the escapes that RFC 6749 wants, and client ids are full of what has to be escaped.
func (d *Driver) Verify(ctx context.Context, login string, text secret.Value) error {
	if d.logins == nil {
		return driver.Errorf(driver.Unsupported, "no Service Manager is configured, so accounts have no credentials")
	}
	var token struct {
		AccessToken string `json:"access_token"`
	}
	err := call(ctx, d.logins, rest.Request{
		Method: http.MethodPost, Form: url.Values{
			"grant_type": {"client_credentials"}, "client_id": {login}, "client_secret": {text.Reveal()},
		},
		Secrets: []secret.Value{text},
	}, &token)
	if name := errorName(err); name == "invalid_client" || name == "unauthorized" {
		return driver.Errorf(driver.Unauthenticated, "the service refuses the credential of client %s: %w", login, err)
	}
	if err != nil {
		return fmt.Errorf("login of client %s: %w", login, err)
	}
	if strings.TrimSpace(token.AccessToken) == "" {
		return &rest.ContentError{Reason: "holds no access token"}
	}
	return nil
}
