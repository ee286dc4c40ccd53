package sandbox

import (
	"context"
	"database/sql"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
)

// conferred is what everybody holds who is in a role or group, by that role or group.
type conferred map[nhi.Entitlement][]nhi.Entitlement

// mayConfer lists the types of entitlements through which an account can come by others.
func mayConfer(e nhi.Entitlement) bool { return e.Type == "role" || e.Type == "group" }

// Confer lets everybody who is in a role or group hold e, which may be another role or group.
func (a *Admin) Confer(ctx context.Context, holder, e nhi.Entitlement) error {
	if !mayConfer(holder) {
		return driver.Errorf(driver.Invalid, "%q holds nothing itself: name a role or a group", holder)
	}
	return a.sandbox.file.write(ctx, func(tx *sql.Tx) error {
		if err := checkTarget(ctx, tx, e); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, `INSERT INTO conferred (holder_type, holder_target, type, target, permission)
			VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`, holder.Type, holder.Target, e.Type, e.Target, e.Permission)
		return err
	})
}

// Explain implements driver.Explainer.
func (s *sandbox) Explain(ctx context.Context, ref nhi.Ref) ([]driver.Holding, error) {
	var account nhi.Account
	var all conferred
	err := s.file.read(ctx, func(tx *sql.Tx) error {
		id, err := find(ctx, tx, ref)
		if err != nil {
			return err
		}
		accounts, err := load(ctx, tx, []string{id})
		if err != nil {
			return err
		}
		account = accounts[0]
		all, err = loadConferred(ctx, tx)
		return err
	})
	if err != nil {
		return nil, err
	}
	return all.explain(account)
}

// ExplainAll implements driver.BulkExplainer.
func (s *sandbox) ExplainAll(ctx context.Context, page func([]driver.Explained) error) error {
	var all conferred
	err := s.file.read(ctx, func(tx *sql.Tx) (err error) {
		all, err = loadConferred(ctx, tx)
		return err
	})
	if err != nil {
		return err
	}
	return s.Sweep(ctx, driver.SweepFilter{}, func(accounts []nhi.Account) error {
		out := make([]driver.Explained, len(accounts))
		for i, account := range accounts {
			holdings, err := all.explain(account)
			if err != nil {
				return err
			}
			out[i] = driver.Explained{Account: account, Holdings: holdings}
		}
		return page(out)
	})
}

func (c conferred) explain(account nhi.Account) ([]driver.Holding, error) {
	return driver.Inherit(account.Entitlements, func(e nhi.Entitlement) ([]nhi.Entitlement, error) { return c[e], nil })
}

func loadConferred(ctx context.Context, tx *sql.Tx) (conferred, error) {
	all := conferred{}
	err := each(ctx, tx, func(rows *sql.Rows) error {
		var holder, e nhi.Entitlement
		if err := rows.Scan(&holder.Type, &holder.Target, &e.Type, &e.Target, &e.Permission); err != nil {
			return err
		}
		all[holder] = append(all[holder], e)
		return nil
	}, `SELECT holder_type, holder_target, type, target, permission FROM conferred`)
	return all, err
}
