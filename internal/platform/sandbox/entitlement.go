package sandbox

import (
	"context"
	"database/sql"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
)

// Grant implements driver.Driver, all or none.
func (s *sandbox) Grant(ctx context.Context, ref nhi.Ref, entitlements []nhi.Entitlement) error {
	return s.change(ctx, ref, func(tx *sql.Tx, id string) error {
		for _, e := range entitlements {
			if err := checkTarget(ctx, tx, e); err != nil {
				return err
			}
			_, err := tx.ExecContext(ctx, `INSERT INTO entitlements (account, type, target, permission) VALUES (?, ?, ?, ?)
				ON CONFLICT DO NOTHING`, id, e.Type, e.Target, e.Permission)
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// Revoke implements driver.Driver.
func (s *sandbox) Revoke(ctx context.Context, ref nhi.Ref, entitlements []nhi.Entitlement) error {
	return s.changeIfThere(ctx, ref, func(tx *sql.Tx, id string) error {
		for _, e := range entitlements {
			_, err := tx.ExecContext(ctx, `DELETE FROM entitlements
				WHERE account = ? AND type = ? AND target = ? AND permission = ?`, id, e.Type, e.Target, e.Permission)
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// checkTarget asks the catalogue. A type of which the catalogue has no target is not catalogued: all its targets exist.
func checkTarget(ctx context.Context, tx *sql.Tx, e nhi.Entitlement) error {
	var known, listed bool
	err := tx.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM targets WHERE type = ?),
		EXISTS (SELECT 1 FROM targets WHERE type = ? AND target = ?)`, e.Type, e.Type, e.Target).Scan(&known, &listed)
	if err != nil {
		return err
	}
	if known && !listed {
		return driver.Errorf(driver.Invalid, "the sandbox has no %s %q, so %q cannot be granted", e.Type, e.Target, e)
	}
	return nil
}
