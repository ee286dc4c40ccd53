package sandbox

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"time"

	"github.com/google/uuid"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
)

// pageSize is how many accounts a sweep reads at once.
const pageSize = 100

// stamp is how a time is stored.
func stamp(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

func fromStamp(micros int64) time.Time {
	if micros == 0 {
		return time.Time{}
	}
	return time.UnixMicro(micros).UTC()
}

// find returns the id of the account that ref means.
func find(ctx context.Context, tx *sql.Tx, ref nhi.Ref) (string, error) {
	query, key := `SELECT id FROM accounts WHERE name = ?`, ref.Name
	if ref.ID != "" {
		query, key = `SELECT id FROM accounts WHERE id = ?`, ref.ID
	}
	var id string
	err := tx.QueryRowContext(ctx, query, key).Scan(&id)
	if errors.Is(err, sql.ErrNoRows) {
		return "", notFound(ref)
	}
	return id, err
}

// ReadAccount implements driver.Driver.
func (s *sandbox) ReadAccount(ctx context.Context, ref nhi.Ref) (nhi.Account, error) {
	var account nhi.Account
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
		return nil
	})
	return account, err
}

// CreateAccount implements driver.Driver.
func (s *sandbox) CreateAccount(ctx context.Context, spec driver.AccountSpec) (nhi.Ref, error) {
	if err := Spec().CheckName(spec.Name); err != nil {
		return nhi.Ref{}, driver.Errorf(driver.Invalid, "%w", err)
	}
	ref := nhi.Ref{Name: spec.Name, ID: uuid.NewString()}
	err := s.file.write(ctx, func(tx *sql.Tx) error {
		switch _, err := find(ctx, tx, nhi.Ref{Name: spec.Name}); {
		case err == nil:
			return driver.Errorf(driver.AlreadyExists, "the sandbox has an account %q already", spec.Name)
		case !isNotFound(err):
			return err
		}
		_, err := tx.ExecContext(ctx, `INSERT INTO accounts (id, name, mark, suspended, expires_at) VALUES (?, ?, ?, ?, ?)`,
			ref.ID, ref.Name, spec.Mark.String(), spec.Suspended, stamp(spec.ExpiresAt))
		if err != nil {
			return err
		}
		defaults := map[string]string{settingDescription: "", settingMaxSessions: "0"}
		if err := setSettings(ctx, tx, ref.ID, defaults); err != nil {
			return err
		}
		return setSettings(ctx, tx, ref.ID, spec.Settings)
	})
	if err != nil {
		return nhi.Ref{}, err
	}
	return ref, nil
}

func setSettings(ctx context.Context, tx *sql.Tx, id string, settings map[string]string) error {
	if err := checkSettings(settings); err != nil {
		return err
	}
	for name, value := range settings {
		_, err := tx.ExecContext(ctx, `INSERT INTO settings (account, name, value) VALUES (?, ?, ?)
			ON CONFLICT (account, name) DO UPDATE SET value = excluded.value`, id, name, value)
		if err != nil {
			return err
		}
	}
	return nil
}

// UpdateAccount implements driver.Driver.
func (s *sandbox) UpdateAccount(ctx context.Context, ref nhi.Ref, change driver.AccountChange) error {
	return s.change(ctx, ref, func(tx *sql.Tx, id string) error {
		if change.Mark != nil {
			if _, err := tx.ExecContext(ctx, `UPDATE accounts SET mark = ? WHERE id = ?`, change.Mark.String(), id); err != nil {
				return err
			}
		}
		if change.ExpiresAt != nil {
			_, err := tx.ExecContext(ctx, `UPDATE accounts SET expires_at = ? WHERE id = ?`, stamp(*change.ExpiresAt), id)
			if err != nil {
				return err
			}
		}
		return setSettings(ctx, tx, id, change.Settings)
	})
}

// change runs work on an account that exists.
func (s *sandbox) change(ctx context.Context, ref nhi.Ref, work func(tx *sql.Tx, id string) error) error {
	return s.file.write(ctx, func(tx *sql.Tx) error {
		id, err := find(ctx, tx, ref)
		if err != nil {
			return err
		}
		return work(tx, id)
	})
}

// changeIfThere is change for what is done when the account is gone.
func (s *sandbox) changeIfThere(ctx context.Context, ref nhi.Ref, work func(tx *sql.Tx, id string) error) error {
	return s.file.write(ctx, func(tx *sql.Tx) error {
		id, err := find(ctx, tx, ref)
		if isNotFound(err) {
			return nil
		}
		if err != nil {
			return err
		}
		return work(tx, id)
	})
}

// DeleteAccount implements driver.Driver.
func (s *sandbox) DeleteAccount(ctx context.Context, ref nhi.Ref) error {
	return s.changeIfThere(ctx, ref, func(tx *sql.Tx, id string) error {
		_, err := tx.ExecContext(ctx, `DELETE FROM accounts WHERE id = ?`, id)
		return err
	})
}

// Suspend implements driver.Suspender.
func (s *sandbox) Suspend(ctx context.Context, ref nhi.Ref) error {
	return s.setSuspended(ctx, ref, true)
}

// Resume implements driver.Suspender.
func (s *sandbox) Resume(ctx context.Context, ref nhi.Ref) error {
	return s.setSuspended(ctx, ref, false)
}

func (s *sandbox) setSuspended(ctx context.Context, ref nhi.Ref, suspended bool) error {
	return s.change(ctx, ref, func(tx *sql.Tx, id string) error {
		_, err := tx.ExecContext(ctx, `UPDATE accounts SET suspended = ? WHERE id = ?`, suspended, id)
		return err
	})
}

// Sweep implements driver.Sweeper. Pages go by name; an account that exists all the time is on one of them.
func (s *sandbox) Sweep(ctx context.Context, filter driver.SweepFilter, page func([]nhi.Account) error) error {
	prefix := ""
	if filter.Stack != "" {
		prefix = nhi.MarkPrefix(filter.Stack)
	}
	for after := ""; ; {
		var accounts []nhi.Account
		err := s.file.read(ctx, func(tx *sql.Tx) error {
			ids, err := texts(ctx, tx, `SELECT id FROM accounts WHERE name > ? AND substr(mark, 1, length(?)) = ?
				ORDER BY name LIMIT ?`, after, prefix, prefix, pageSize)
			if err != nil {
				return err
			}
			accounts, err = load(ctx, tx, ids)
			return err
		})
		if err != nil {
			return err
		}
		if len(accounts) == 0 {
			return nil
		}
		if err := page(accounts); err != nil {
			return err
		}
		after = accounts[len(accounts)-1].Name
	}
}

// load returns whole accounts, in the order of their names. Its number of queries does not depend on theirs.
func load(ctx context.Context, tx *sql.Tx, ids []string) ([]nhi.Account, error) {
	list, err := json.Marshal(ids)
	if err != nil {
		return nil, err
	}
	chosen := string(list)
	accounts := make([]nhi.Account, 0, len(ids))
	index := make(map[string]int, len(ids))
	err = each(ctx, tx, func(rows *sql.Rows) error {
		account := nhi.Account{Status: nhi.Active, Settings: map[string]string{}}
		var mark string
		var suspended bool
		var expires int64
		if err := rows.Scan(&account.ID, &account.Name, &mark, &suspended, &expires); err != nil {
			return err
		}
		account.Mark, account.ExpiresAt = nhi.FindMark(mark), fromStamp(expires)
		if suspended {
			account.Status = nhi.Suspended
		}
		index[account.ID] = len(accounts)
		accounts = append(accounts, account)
		return nil
	}, `SELECT id, name, mark, suspended, expires_at FROM accounts
		WHERE id IN (SELECT value FROM json_each(?)) ORDER BY name`, chosen)
	if err != nil {
		return nil, err
	}
	at := func(id string) *nhi.Account { return &accounts[index[id]] }
	if err := loadParts(ctx, tx, chosen, at); err != nil {
		return nil, err
	}
	for i := range accounts {
		nhi.SortEntitlements(accounts[i].Entitlements)
	}
	return accounts, nil
}

// loadParts adds to the chosen accounts what stands in other tables.
func loadParts(ctx context.Context, tx *sql.Tx, chosen string, at func(id string) *nhi.Account) error {
	err := each(ctx, tx, func(rows *sql.Rows) error {
		var id, name, value string
		if err := rows.Scan(&id, &name, &value); err != nil {
			return err
		}
		at(id).Settings[name] = value
		return nil
	}, `SELECT account, name, value FROM settings WHERE account IN (SELECT value FROM json_each(?))`, chosen)
	if err != nil {
		return err
	}
	err = each(ctx, tx, func(rows *sql.Rows) error {
		var id string
		var e nhi.Entitlement
		if err := rows.Scan(&id, &e.Type, &e.Target, &e.Permission); err != nil {
			return err
		}
		at(id).Entitlements = append(at(id).Entitlements, e)
		return nil
	}, `SELECT account, type, target, permission FROM entitlements WHERE account IN (SELECT value FROM json_each(?))`, chosen)
	if err != nil {
		return err
	}
	return each(ctx, tx, func(rows *sql.Rows) error {
		var id string
		var c nhi.Credential
		var created, expires, used int64
		if err := rows.Scan(&id, &c.ID, &c.Label, &created, &expires, &used); err != nil {
			return err
		}
		c.CreatedAt, c.ExpiresAt, c.LastUsedAt = fromStamp(created), fromStamp(expires), fromStamp(used)
		at(id).Credentials = append(at(id).Credentials, c)
		return nil
	}, `SELECT account, id, label, created_at, expires_at, last_used_at FROM credentials
		WHERE account IN (SELECT value FROM json_each(?)) ORDER BY number`, chosen)
}

// each runs a query and calls row for every row of its answer.
func each(ctx context.Context, tx *sql.Tx, row func(rows *sql.Rows) error, query string, args ...any) (err error) {
	rows, err := tx.QueryContext(ctx, query, args...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		if err := row(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

// texts returns the answer of a query for one column of text.
func texts(ctx context.Context, tx *sql.Tx, query string, args ...any) ([]string, error) {
	all := []string{}
	err := each(ctx, tx, func(rows *sql.Rows) error {
		var text string
		if err := rows.Scan(&text); err != nil {
			return err
		}
		all = append(all, text)
		return nil
	}, query, args...)
	return all, err
}
