package oauthclient

import (
	"context"
	"fmt"
	"time"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
	"github.com/nhi-labs/terraform-provider-nhi/internal/secret"
)

// Registry is a secret store that says which one it is. All its errors are *driver.Error.
type Registry interface {
	driver.SecretStore
	// ID is the store's own stable id (driver.Target.StoreID).
	ID(ctx context.Context) (string, error)
	// MayPutSecret returns nil if stored may be written at path, as far as the store tells without a write.
	MayPutSecret(ctx context.Context, path string, stored driver.StoredSecret) error
}

// The fields of a client's entry. An administrator who wants a client to be adopted writes the first three.
const (
	fieldClientID = "client_id"
	fieldURI      = "registration_client_uri"
	fieldToken    = "registration_access_token"
	// fieldLabel is the label of the client secret: the server has no place for it.
	fieldLabel = "client_secret_label"
	// fieldRetired is the hash (SHA-256, hexadecimal) of the client secret that was revoked last: some servers give a client its
	// old secret again.
	fieldRetired = "client_secret_retired"
	// fieldState is stateRemoving from shortly before the client is deleted.
	fieldState = "state"
	// fieldChanging is the time until which one run has the client to itself.
	fieldChanging = "changing_until"
)

const stateRemoving = "removing"

// A run that was killed while it changed a client holds it for claimTime at most. The others wait for claimWait, asking
// every claimPoll.
const (
	claimTime = time.Minute
	claimWait = 10 * time.Second
	claimPoll = 20 * time.Millisecond
	// saveWait is how long a run may take to save the token that came with an answer.
	saveWait = 2 * time.Second
	// saveTimeout is longer than the longest wait that a platform may ask for (package fleet).
	saveTimeout = 2 * time.Minute
	// longestPause is the longest between two attempts to save.
	longestPause = 5 * time.Second
)

// entry is what the registry holds of one client.
type entry struct {
	name, clientID, label, retired string
	access
	// stored is the access that the registry has in version.
	stored   access
	removing bool
	changing time.Time
	version  int64
}

// access is how a registration is managed. Some servers give a new one with every answer, which ends the one before.
type access struct {
	uri   string
	token secret.Value
}

func (a access) sameAccess(b access) bool { return a.uri == b.uri && a.token.Equal(b.token) }

// same reports whether both say the same of the client.
func (e entry) same(b entry) bool {
	return e.sameAccess(b.access) && e.label == b.label && e.retired == b.retired && e.removing == b.removing && e.changing.Equal(b.changing)
}

func (e entry) ref() nhi.Ref { return nhi.Ref{Name: e.name, ID: e.clientID} }

func (d *Driver) entryPath(name string) string { return d.config.RegistryPath + "/" + name }

// lookup reads the entry that ref means, NotFound if there is none. An entry of another client id means that the client
// with ref's id is none of this platform any more.
func (d *Driver) lookup(ctx context.Context, ref nhi.Ref) (entry, error) {
	if err := checkName(ref.Name); err != nil {
		return entry{}, driver.Errorf(driver.Invalid, "%q cannot be the name of a client: %w", ref.Name, err)
	}
	stored, err := d.config.Registry.GetSecret(ctx, d.entryPath(ref.Name))
	if driver.CodeOf(err) == driver.NotFound {
		return entry{}, driver.Errorf(driver.NotFound, "the registry has no client %q", ref.Name)
	}
	if err != nil {
		return entry{}, storeError("reading the registry", err)
	}
	field := func(name string) string { return stored.Fields[name].Reveal() }
	e := entry{
		name: ref.Name, clientID: field(fieldClientID), label: field(fieldLabel), retired: field(fieldRetired),
		access:   access{uri: field(fieldURI), token: stored.Fields[fieldToken]},
		removing: field(fieldState) == stateRemoving, version: stored.Version,
	}
	e.stored = e.access
	if e.clientID == "" || e.uri == "" || e.token.IsZero() {
		return entry{}, driver.Errorf(driver.Invalid, "the registry's entry %s lacks one of %s, %s and %s: complete or remove it",
			d.entryPath(ref.Name), fieldClientID, fieldURI, fieldToken)
	}
	if text := field(fieldChanging); text != "" {
		if e.changing, err = time.Parse(time.RFC3339, text); err != nil {
			return entry{}, driver.Errorf(driver.Invalid, "the registry's entry %s has a %s that is no time", d.entryPath(ref.Name), fieldChanging)
		}
	}
	if ref.ID != "" && ref.ID != e.clientID {
		return entry{}, driver.Errorf(driver.NotFound, "the registry holds another client as %q: %s", ref.Name, e.clientID)
	}
	return e, nil
}

// content is what the registry holds of a client.
func (e entry) content() driver.StoredSecret {
	fields := map[string]secret.Value{
		fieldClientID: secret.New(e.clientID), fieldURI: secret.New(e.uri), fieldToken: e.token,
	}
	if e.label != "" {
		fields[fieldLabel] = secret.New(e.label)
	}
	if e.retired != "" {
		fields[fieldRetired] = secret.New(e.retired)
	}
	if e.removing {
		fields[fieldState] = secret.New(stateRemoving)
	}
	if !e.changing.IsZero() {
		fields[fieldChanging] = secret.New(e.changing.UTC().Format(time.RFC3339Nano))
	}
	return driver.StoredSecret{Fields: fields, Version: e.version}
}

// save writes the entry if it is still the version that was read, and notes the new version. Otherwise Conflict.
func (d *Driver) save(ctx context.Context, e *entry) error {
	version, err := d.config.Registry.PutSecret(ctx, d.entryPath(e.name), e.content())
	if err != nil {
		return storeError("writing the registry", err)
	}
	d.written.Store(true)
	e.version, e.stored = version, e.access
	return nil
}

func pause(ctx context.Context, wait time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(wait):
		return nil
	}
}

// forget removes the entry.
func (d *Driver) forget(ctx context.Context, name string) error {
	if err := d.config.Registry.RemoveSecret(ctx, d.entryPath(name)); err != nil {
		return storeError("removing from the registry", err)
	}
	return nil
}

// storeError keeps the code of a secret store's error, but for NotFound: what is missing there says nothing of a client.
func storeError(doing string, err error) error {
	if driver.CodeOf(err) == driver.NotFound {
		return driver.Errorf(driver.Unknown, "%s: %w", doing, err)
	}
	return fmt.Errorf("%s: %w", doing, err)
}
