package sandbox

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
	"github.com/nhi-labs/terraform-provider-nhi/internal/secret"
)

// PutSecret implements driver.SecretStore. The secret stands in the file in clear.
func (s *sandbox) PutSecret(ctx context.Context, path string, stored driver.StoredSecret) (int64, error) {
	if err := nhi.CheckAccountText(path); err != nil {
		return 0, driver.Errorf(driver.Invalid, "%q cannot be the path of a secret: write for example \"kv/billing-agent\"", path)
	}
	texts := make(map[string]string, len(stored.Fields))
	for name, value := range stored.Fields {
		texts[name] = value.Reveal()
	}
	fields, err := json.Marshal(texts)
	if err != nil {
		return 0, errors.New("the secret's fields cannot be written as JSON")
	}
	metadata, err := json.Marshal(stored.Metadata)
	if err != nil {
		return 0, fmt.Errorf("metadata of the secret at %q: %w", path, err)
	}
	err = s.file.write(ctx, func(tx *sql.Tx) error {
		var there int64
		err := tx.QueryRowContext(ctx, `SELECT coalesce(max(version), 0) FROM secrets WHERE path = ?`, path).Scan(&there)
		if err != nil {
			return err
		}
		if there != stored.Version {
			return driver.Errorf(driver.Conflict, "the secret at %q has the version %d, not %d", path, there, stored.Version)
		}
		_, err = tx.ExecContext(ctx, `INSERT INTO secrets (path, version, fields, metadata) VALUES (?, ?, ?, ?)`,
			path, there+1, string(fields), string(metadata))
		return err
	})
	if err != nil {
		return 0, err
	}
	return stored.Version + 1, nil
}

// GetSecret implements driver.SecretStore.
func (s *sandbox) GetSecret(ctx context.Context, path string) (driver.StoredSecret, error) {
	var version int64
	var fields, metadata []byte
	err := s.file.read(ctx, func(tx *sql.Tx) error {
		err := tx.QueryRowContext(ctx, `SELECT version, fields, metadata FROM secrets WHERE path = ? ORDER BY version DESC LIMIT 1`,
			path).Scan(&version, &fields, &metadata)
		if errors.Is(err, sql.ErrNoRows) {
			return driver.Errorf(driver.NotFound, "the sandbox has no secret at %q", path)
		}
		return err
	})
	if err != nil {
		return driver.StoredSecret{}, err
	}
	texts := map[string]string{}
	stored := driver.StoredSecret{Fields: map[string]secret.Value{}, Version: version}
	// The decoder's own error may quote what it could not read.
	if json.Unmarshal(fields, &texts) != nil || json.Unmarshal(metadata, &stored.Metadata) != nil {
		return driver.StoredSecret{}, fmt.Errorf("the secret at %q is damaged", path)
	}
	for name, text := range texts {
		stored.Fields[name] = secret.New(text)
	}
	return stored, nil
}

// RemoveSecret implements driver.SecretStore.
func (s *sandbox) RemoveSecret(ctx context.Context, path string) error {
	return s.file.write(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `DELETE FROM secrets WHERE path = ?`, path)
		return err
	})
}
