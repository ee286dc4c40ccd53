package vault

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/vault/api"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/guard"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
	"github.com/nhi-labs/terraform-provider-nhi/internal/secret"
)

const (
	// slots is this driver's own limit: Vault has none, and a rotation needs two.
	slots = 10
	// labelKey is the key of a credential's label in the metadata of the secret id.
	labelKey = "label"
	// bareRoleID is the id and label of the way in through a role that asks for no secret id (bind_secret_id = false):
	// whoever knows its role id logs in. No accessor, which is a UUID, is called so.
	bareRoleID = "role_id"
	// lookups is how many tokens are looked up at the same time.
	lookups = 8
)

// Slots returns this driver's limit of secret ids per account.
func (d *vaultDriver) Slots() int { return slots }

// credentials lists the secret ids of a role, and before them the role id where that is enough to log in. Vault tells of
// each secret id in a request of its own.
func (d *vaultDriver) credentials(ctx context.Context, name string, r role) ([]nhi.Credential, error) {
	accessors, err := d.conn.list(ctx, d.rolePath(name)+"/secret-id")
	if err != nil {
		return nil, err
	}
	var out []nhi.Credential
	for _, accessor := range accessors.Keys {
		s, err := d.secretID(ctx, name, accessor)
		switch {
		case err != nil && classify(err).Code == driver.NotFound:
			// Destroyed or expired since it was listed.
		case err != nil:
			return nil, err
		case !s.isPassing():
			out = append(out, s.credential())
		}
	}
	slices.SortFunc(out, func(a, b nhi.Credential) int {
		return cmp.Or(a.CreatedAt.Compare(b.CreatedAt), cmp.Compare(a.ID, b.ID))
	})
	if !*r.BindSecretID {
		out = slices.Insert(out, 0, nhi.Credential{ID: bareRoleID, Label: bareRoleID})
	}
	return out, nil
}

func (d *vaultDriver) secretID(ctx context.Context, name, accessor string) (secretID, error) {
	s, err := post[secretID](ctx, d.conn, d.rolePath(name)+"/secret-id-accessor/lookup", secretIDAccessor{accessor})
	if err != nil {
		return secretID{}, err
	}
	if s.Accessor != accessor || s.CreationTime.IsZero() {
		return secretID{}, driver.Errorf(driver.Unknown, "the answer about secret id accessor %s is incomplete", accessor)
	}
	return s, nil
}

func (s secretID) credential() nhi.Credential {
	return nhi.Credential{
		ID: s.Accessor, Label: s.Metadata[labelKey], CreatedAt: s.CreationTime, ExpiresAt: s.ExpirationTime,
	}
}

// Issue makes a secret id. Its label is in the metadata that every token made with it carries, too.
func (d *vaultDriver) Issue(ctx context.Context, ref nhi.Ref, request driver.IssueRequest) (driver.Issued, error) {
	f, err := d.find(ctx, ref)
	if err != nil {
		return driver.Issued{}, err
	}
	if !f.hasRole {
		return driver.Issued{}, driver.Errorf(driver.Conflict,
			"the AppRole of account %q is missing; resume the account first", f.ref.Name)
	}
	metadata, err := json.Marshal(map[string]string{labelKey: request.Label})
	if err != nil {
		return driver.Issued{}, err
	}
	in := secretIDRequest{Metadata: string(metadata)}
	if !request.ExpiresAt.IsZero() {
		left := int64(time.Until(request.ExpiresAt).Seconds())
		if left < 1 {
			return driver.Issued{}, driver.Errorf(driver.Invalid, "the credential would have expired already")
		}
		in.TTL = seconds(left)
	}
	unlock, err := d.lock(ctx, "secret-ids:"+f.ref.Name)
	if err != nil {
		return driver.Issued{}, err
	}
	defer unlock()
	taken, err := d.conn.list(ctx, d.rolePath(f.ref.Name)+"/secret-id")
	if err != nil {
		return driver.Issued{}, err
	}
	if len(taken.Keys) >= slots {
		return driver.Issued{}, driver.Errorf(driver.Conflict, "account %q has %d secret ids already", f.ref.Name, len(taken.Keys))
	}
	made, err := d.makeSecretID(ctx, f.ref.Name, in)
	if err != nil {
		return driver.Issued{}, err
	}
	s, err := d.secretID(ctx, f.ref.Name, made.Accessor)
	if err != nil {
		if d.undoSecretID(ctx, f.ref.Name, made.Accessor) != nil {
			err = driver.AfterChange(classify, err)
		}
		return driver.Issued{}, err
	}
	return driver.Issued{Credential: s.credential(), Login: f.ref.ID, Secret: secret.New(made.SecretID)}, nil
}

// makeSecretID makes a secret id of a role. For a role that asks for none Vault makes none.
func (d *vaultDriver) makeSecretID(ctx context.Context, name string, in secretIDRequest) (secretIDReply, error) {
	made, err := post[secretIDReply](ctx, d.conn, d.rolePath(name)+"/secret-id", in)
	if err != nil && classify(err).Code == driver.Invalid {
		if r, readErr := d.readRole(ctx, name); readErr == nil && !*r.BindSecretID {
			err = driver.Errorf(driver.Invalid, "%w; the AppRole %q lets in whoever knows its role id: end that first, with "+
				"\"vault write %s bind_secret_id=true\"", err, name, d.rolePath(name))
		}
	}
	if err == nil && (made.SecretID == "" || made.Accessor == "") {
		err = driver.Errorf(driver.Unknown, "Vault's answer lacks the secret id it made")
	}
	return made, err
}

// RevokeCredential destroys a secret id, or makes the role ask for one. Tokens that were made before live on: EndSessions.
func (d *vaultDriver) RevokeCredential(ctx context.Context, ref nhi.Ref, id string) error {
	f, err := d.find(ctx, ref)
	if err != nil || !f.hasRole {
		return gone(err)
	}
	if id == bareRoleID {
		return d.demandSecretID(ctx, f.ref.Name)
	}
	return gone(d.conn.write(ctx, d.rolePath(f.ref.Name)+"/secret-id-accessor/destroy", secretIDAccessor{id}))
}

// demandSecretID ends logins with the role id alone, and reads back that they have ended. Writing to a role that is gone
// would make one, so the role is read first.
func (d *vaultDriver) demandSecretID(ctx context.Context, name string) error {
	unlock, err := d.lock(ctx, "role:"+name)
	if err != nil {
		return err
	}
	defer unlock()
	r, err := d.readRole(ctx, name)
	if err != nil || *r.BindSecretID {
		return gone(err)
	}
	demand := true
	if err := d.conn.write(ctx, d.rolePath(name), roleRequest{BindSecretID: &demand}); err != nil {
		return err
	}
	if r, err = d.readRole(ctx, name); err != nil {
		return gone(err)
	}
	if !*r.BindSecretID {
		return driver.Errorf(driver.Conflict, "somebody let the AppRole %q log in without a secret id again at the same time", name)
	}
	return nil
}

// Verify logs in, uses the token once, and revokes it.
func (d *vaultDriver) Verify(ctx context.Context, login string, text secret.Value) error {
	auth, err := d.conn.login(ctx, strings.TrimPrefix(d.approle, "auth/"), login, text.Reveal())
	if err != nil {
		return err
	}
	client, err := d.conn.newClient(auth.ClientToken)
	if err != nil {
		return err
	}
	// A token without the default policy may not look itself up, or revoke itself: then the login is the proof.
	ownRights := slices.Contains(auth.Policies, defaultPolicy)
	_, _, useErr := d.conn.exchange(ctx, client, request{method: http.MethodGet, path: "auth/token/lookup-self"})
	if useErr != nil && classify(useErr).Code == driver.PermissionDenied {
		useErr = nil
		if ownRights {
			useErr = driver.Errorf(driver.Unauthenticated, "Vault accepts the login and refuses its token")
		}
	}
	if _, _, err := d.conn.exchange(ctx, client, request{method: http.MethodPut, path: "auth/token/revoke-self"}); err != nil {
		err = d.conn.write(ctx, "auth/token/revoke-accessor", tokenAccessor{auth.Accessor})
		return errors.Join(useErr, err)
	}
	return useErr
}

// EndSessions revokes every token of the account's entity, also those of other auth methods. Vault cannot list tokens
// by entity, so it looks up each token there is: the cost grows with all tokens of the namespace. Batch tokens cannot
// be revoked; a suspended or deleted account's are refused all the same.
func (d *vaultDriver) EndSessions(ctx context.Context, ref nhi.Ref) error {
	f, err := d.find(ctx, ref)
	if err != nil || f.entity == nil {
		return gone(err)
	}
	all, err := d.conn.list(ctx, "auth/token/accessors")
	if err != nil {
		return err
	}
	return each(ctx, all.Keys, func(accessor string) error { return d.endSession(ctx, accessor, f.entity.ID) })
}

func (d *vaultDriver) endSession(ctx context.Context, accessor, entityID string) error {
	token, err := post[tokenInfo](ctx, d.conn, "auth/token/lookup-accessor", tokenAccessor{accessor})
	if err != nil {
		return gone(err)
	}
	if token.Path == "" {
		return driver.Errorf(driver.Unknown, "the answer about token accessor %s is incomplete", accessor)
	}
	if token.EntityID != entityID {
		return nil
	}
	return gone(d.conn.write(ctx, "auth/token/revoke-accessor", tokenAccessor{accessor}))
}

// each calls work for every item, some at a time, stops taking new ones after an error, and returns the errors.
func each(ctx context.Context, items []string, work func(string) error) error {
	var (
		wg   sync.WaitGroup
		mu   sync.Mutex
		errs []error
	)
	next := make(chan string)
	failed := func() bool { mu.Lock(); defer mu.Unlock(); return len(errs) > 0 }
	for range min(lookups, len(items)) {
		wg.Go(func() {
			for item := range next {
				if err := guard.Call(ctx, "the driver", func() error { return work(item) }); err != nil {
					mu.Lock()
					errs = append(errs, err)
					mu.Unlock()
				}
			}
		})
	}
	for _, item := range items {
		if failed() {
			break
		}
		next <- item
	}
	close(next)
	wg.Wait()
	return errors.Join(errs...)
}

// absentData recognises the 404 that Vault gives for an unknown secret id accessor: the message is in the data.
type absentData struct {
	Error string `json:"error"`
}

func isUnknownAccessor(err error) bool {
	var e *requestError
	var answer *api.ResponseError
	if !errors.As(err, &e) || !errors.As(err, &answer) || answer.StatusCode != http.StatusNotFound {
		return false
	}
	var out reply[absentData]
	return json.Unmarshal(e.body, &out) == nil && out.Data != nil &&
		strings.HasPrefix(out.Data.Error, "failed to find accessor entry")
}
