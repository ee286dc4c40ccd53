package sandbox

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"database/sql"
	"errors"
	"time"

	"github.com/google/uuid"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
	"github.com/nhi-labs/terraform-provider-nhi/internal/secret"
)

// errRefused is what every refused login gets, whatever the reason: like a real system, the sandbox does not tell.
var errRefused = driver.Errorf(driver.Unauthenticated, "the sandbox refuses this login")

// Slots implements driver.Issuer.
func (s *sandbox) Slots() int { return s.slots }

// Issue implements driver.Issuer.
func (s *sandbox) Issue(ctx context.Context, ref nhi.Ref, request driver.IssueRequest) (driver.Issued, error) {
	text, salt := "sbx_"+rand.Text()+rand.Text(), []byte(rand.Text())
	credential := nhi.Credential{
		ID:        uuid.NewString(),
		Label:     request.Label,
		CreatedAt: fromStamp(stamp(time.Now())),
		ExpiresAt: fromStamp(stamp(request.ExpiresAt)),
	}
	var login string
	err := s.change(ctx, ref, func(tx *sql.Tx, id string) error {
		var taken int
		var sameLabel bool
		err := tx.QueryRowContext(ctx, `SELECT name, (SELECT count(*) FROM credentials WHERE account = accounts.id),
			EXISTS (SELECT 1 FROM credentials WHERE account = accounts.id AND label = ?)
			FROM accounts WHERE id = ?`, request.Label, id).Scan(&login, &taken, &sameLabel)
		switch {
		case err != nil:
			return err
		case sameLabel:
			return driver.Errorf(driver.Conflict, "account %q has a credential with the label %q already", login, request.Label)
		case taken >= s.slots:
			return driver.Errorf(driver.Conflict, "account %q has %d credentials already, all it can have", login, taken)
		}
		_, err = tx.ExecContext(ctx, `INSERT INTO credentials (id, account, label, salt, hash, created_at, expires_at, last_used_at)
			VALUES (?, ?, ?, ?, ?, ?, ?, 0)`,
			credential.ID, id, credential.Label, salt, digest(salt, text), stamp(credential.CreatedAt), stamp(credential.ExpiresAt))
		return err
	})
	if err != nil {
		return driver.Issued{}, err
	}
	return driver.Issued{Credential: credential, Login: login, Secret: secret.New(text)}, nil
}

// digest needs no slow hash: the text is random and long.
func digest(salt []byte, text string) []byte {
	sum := sha256.Sum256(append(append([]byte{}, salt...), text...))
	return sum[:]
}

// RevokeCredential implements driver.Issuer.
func (s *sandbox) RevokeCredential(ctx context.Context, ref nhi.Ref, id string) error {
	return s.changeIfThere(ctx, ref, func(tx *sql.Tx, account string) error {
		_, err := tx.ExecContext(ctx, `DELETE FROM credentials WHERE account = ? AND id = ?`, account, id)
		return err
	})
}

// Verify implements driver.Verifier: it logs in and leaves no session behind.
func (s *sandbox) Verify(ctx context.Context, login string, text secret.Value) error {
	return s.file.write(ctx, func(tx *sql.Tx) error {
		_, err := authenticate(ctx, tx, login, text)
		return err
	})
}

// authenticate returns the id of the account that login and text open, errRefused if they open none.
func authenticate(ctx context.Context, tx *sql.Tx, login string, text secret.Value) (string, error) {
	now := stamp(time.Now())
	account, credential := "", ""
	err := each(ctx, tx, func(rows *sql.Rows) error {
		var accountID, credentialID string
		var salt, hash []byte
		if err := rows.Scan(&accountID, &credentialID, &salt, &hash); err != nil {
			return err
		}
		if subtle.ConstantTimeCompare(digest(salt, text.Reveal()), hash) == 1 {
			account, credential = accountID, credentialID
		}
		return nil
	}, `SELECT accounts.id, credentials.id, salt, hash FROM accounts JOIN credentials ON account = accounts.id
		WHERE name = ? AND NOT suspended AND (accounts.expires_at = 0 OR accounts.expires_at > ?)
		AND (credentials.expires_at = 0 OR credentials.expires_at > ?)`, login, now, now)
	if err != nil {
		return "", err
	}
	if credential == "" {
		return "", errRefused
	}
	_, err = tx.ExecContext(ctx, `UPDATE credentials SET last_used_at = ? WHERE id = ?`, now, credential)
	return account, err
}

// login authenticates and opens a session, within the account's max_sessions.
func login(ctx context.Context, tx *sql.Tx, name string, text secret.Value) error {
	account, err := authenticate(ctx, tx, name, text)
	if err != nil {
		return err
	}
	var open, limit int
	err = tx.QueryRowContext(ctx, `SELECT (SELECT count(*) FROM sessions WHERE account = ?),
		(SELECT CAST(value AS INTEGER) FROM settings WHERE account = ? AND name = ?)`,
		account, account, settingMaxSessions).Scan(&open, &limit)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	if limit > 0 && open >= limit {
		return driver.Errorf(driver.Conflict, "account %q has %d sessions already, the most that it is allowed", name, open)
	}
	_, err = tx.ExecContext(ctx, `INSERT INTO sessions (id, account, started_at) VALUES (?, ?, ?)`,
		uuid.NewString(), account, stamp(time.Now()))
	return err
}

// EndSessions implements driver.SessionEnder.
func (s *sandbox) EndSessions(ctx context.Context, ref nhi.Ref) error {
	return s.changeIfThere(ctx, ref, func(tx *sql.Tx, id string) error {
		_, err := tx.ExecContext(ctx, `DELETE FROM sessions WHERE account = ?`, id)
		return err
	})
}
