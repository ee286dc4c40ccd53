package vault

import (
	"context"
	"encoding/json"
	"errors"
	"strings"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/secret"
)

// kvRequest writes a version. CAS is the version that must be there, 0 for none at all.
type kvRequest struct {
	Options kvOptions         `json:"options"`
	Data    map[string]string `json:"data"`
}

type kvOptions struct {
	CAS int64 `json:"cas"`
}

type kvVersion struct {
	Version        int64             `json:"version"`
	DeletionTime   string            `json:"deletion_time"`
	Destroyed      bool              `json:"destroyed"`
	CustomMetadata map[string]string `json:"custom_metadata"`
}

type kvSecret struct {
	Data     map[string]json.RawMessage `json:"data"`
	Metadata *kvVersion                 `json:"metadata"`
}

type kvMetadataRequest struct {
	CustomMetadata map[string]string `json:"custom_metadata"`
}

// kvPath is where a secret is in a KV version 2 mount.
type kvPath struct{ mount, path string }

func (p kvPath) data() string { return p.mount + "data/" + p.path }

func (p kvPath) metadata() string { return p.mount + "metadata/" + p.path }

// PutSecret writes a version with check-and-set, then its metadata. A path whose newest version was deleted counts as
// empty; the versions go on from there.
func (d *vaultDriver) PutSecret(ctx context.Context, path string, s driver.StoredSecret) (int64, error) {
	p, err := d.resolve(ctx, path)
	if err != nil {
		return 0, err
	}
	in := kvRequest{Options: kvOptions{CAS: s.Version}, Data: map[string]string{}}
	for name, value := range s.Fields {
		in.Data[name] = value.Reveal()
	}
	out, err := post[kvVersion](ctx, d.conn, p.data(), in)
	if err != nil && s.Version == 0 && classify(err).Code == driver.Conflict {
		deleted, readErr := d.deletedVersion(ctx, p)
		if readErr != nil || deleted == 0 {
			return 0, errors.Join(err, readErr)
		}
		in.Options.CAS = deleted
		out, err = post[kvVersion](ctx, d.conn, p.data(), in)
	}
	if err != nil {
		return 0, err
	}
	if out.Version < 1 {
		return 0, driver.Errorf(driver.Unknown, "Vault's answer lacks the version that it wrote at %q", path)
	}
	if len(s.Metadata) == 0 && out.Version == 1 {
		return out.Version, nil
	}
	metadata := kvMetadataRequest{CustomMetadata: s.Metadata}
	if metadata.CustomMetadata == nil {
		metadata.CustomMetadata = map[string]string{}
	}
	return out.Version, driver.AfterChange(classify, d.conn.write(ctx, p.metadata(), metadata))
}

// deletedVersion returns the newest version at p if it was deleted or destroyed, 0 if it is alive or there is none.
func (d *vaultDriver) deletedVersion(ctx context.Context, p kvPath) (int64, error) {
	_, err := fetch[kvSecret](ctx, d.conn, p.data())
	if deleted, ok := deletedSecret(err); ok {
		return deleted.Version, nil
	}
	return 0, gone(err)
}

// deletedSecret returns the version that a 404 of KV version 2 tells of: there is one, but its data was deleted.
func deletedSecret(err error) (kvVersion, bool) {
	var e *requestError
	if !errors.As(err, &e) {
		return kvVersion{}, false
	}
	var out reply[kvSecret]
	if json.Unmarshal(e.body, &out) != nil || out.Data == nil || out.Data.Metadata == nil {
		return kvVersion{}, false
	}
	m := *out.Data.Metadata
	return m, m.Version > 0 && (m.DeletionTime != "" || m.Destroyed)
}

// GetSecret returns the newest version. Fields that are not texts, which others may write, come as their JSON.
func (d *vaultDriver) GetSecret(ctx context.Context, path string) (driver.StoredSecret, error) {
	p, err := d.resolve(ctx, path)
	if err != nil {
		return driver.StoredSecret{}, err
	}
	out, err := fetch[kvSecret](ctx, d.conn, p.data())
	if err != nil {
		if _, deleted := deletedSecret(err); deleted {
			err = driver.Errorf(driver.NotFound, "the newest version of %q was deleted", path)
		}
		return driver.StoredSecret{}, err
	}
	if out.Data == nil || out.Metadata == nil || out.Metadata.Version < 1 {
		return driver.StoredSecret{}, driver.Errorf(driver.Unknown, "Vault's answer lacks the data or the version of %q", path)
	}
	s := driver.StoredSecret{Fields: map[string]secret.Value{}, Version: out.Metadata.Version}
	for name, raw := range out.Data {
		text := string(raw)
		var decoded string
		if json.Unmarshal(raw, &decoded) == nil {
			text = decoded
		}
		s.Fields[name] = secret.New(text)
	}
	if len(out.Metadata.CustomMetadata) > 0 {
		s.Metadata = out.Metadata.CustomMetadata
	}
	return s, nil
}

// RemoveSecret removes the metadata, and with it every version.
func (d *vaultDriver) RemoveSecret(ctx context.Context, path string) error {
	p, err := d.resolve(ctx, path)
	if err != nil {
		return err
	}
	return d.conn.remove(ctx, p.metadata())
}

// resolve asks Vault which mount path is in, because the path of a mount may contain slashes.
func (d *vaultDriver) resolve(ctx context.Context, path string) (kvPath, error) {
	if !cleanPath(path) || strings.TrimSpace(path) != path {
		return kvPath{}, driver.Errorf(driver.Invalid,
			"%q cannot be the path of a secret: write the mount and the path, for example \"kv/billing-agent/warehouse\"", path)
	}
	m, err := fetch[mountInfo](ctx, d.conn, "sys/internal/ui/mounts/"+path)
	if err != nil {
		return kvPath{}, err
	}
	rest, ok := strings.CutPrefix(path, m.Path)
	switch {
	case m.Path == "" || m.Type == "":
		return kvPath{}, driver.Errorf(driver.Unknown, "the answer about the mount of %q lacks its path or type", path)
	case m.Type != "kv" || m.Options["version"] != "2":
		return kvPath{}, driver.Errorf(driver.Invalid, "%q is not in a KV version 2 mount: %s is of type %q", path, m.Path, m.Type)
	case !ok || rest == "":
		return kvPath{}, driver.Errorf(driver.Invalid, "%q names the mount %s and no path in it", path, m.Path)
	}
	return kvPath{mount: m.Path, path: rest}, nil
}
