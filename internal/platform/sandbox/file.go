package sandbox

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"

	"github.com/google/uuid"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
)

// busyAttempts times busyTimeout is how long a call waits for other processes. SQLite does not notice while it waits
// that the caller has given up; that is why it waits in short pieces.
const (
	busyAttempts = 40
	busyTimeout  = "busy_timeout(250)"
)

// maxConnections is enough for many readers beside the one writer that SQLite allows.
const maxConnections = 4

// file is a SQLite file that is opened by the first call.
type file struct {
	path     string
	readOnly bool
	// opening holds one token; who has it may look at db and set it.
	opening chan struct{}
	db      *sql.DB
}

func newFile(path string, readOnly bool) *file {
	f := &file{path: path, readOnly: readOnly, opening: make(chan struct{}, 1)}
	f.opening <- struct{}{}
	return f
}

func (f *file) close() error {
	<-f.opening
	defer func() { f.opening <- struct{}{} }()
	if f.db == nil {
		return nil
	}
	err := f.db.Close()
	f.db = nil
	return err
}

// read runs work in a transaction that sees one state of the file. Work may run several times; it must not keep what an
// earlier run found.
func (f *file) read(ctx context.Context, work func(tx *sql.Tx) error) error {
	return f.run(ctx, &sql.TxOptions{ReadOnly: true}, work)
}

// write runs work in a transaction that no other process can disturb, and undoes it if work fails. Work may run several
// times.
func (f *file) write(ctx context.Context, work func(tx *sql.Tx) error) error {
	return f.run(ctx, nil, work)
}

func (f *file) run(ctx context.Context, options *sql.TxOptions, work func(tx *sql.Tx) error) error {
	db, err := f.open(ctx)
	if err != nil {
		return err
	}
	return transact(ctx, db, options, work)
}

// transact repeats a transaction for which the file was busy.
func transact(ctx context.Context, db *sql.DB, options *sql.TxOptions, work func(tx *sql.Tx) error) error {
	var err error
	for range busyAttempts {
		err = transactOnce(ctx, db, options, work)
		if ctx.Err() != nil && err != nil {
			return fmt.Errorf("the sandbox did not answer in time: %w", ctx.Err())
		}
		if !isBusy(err) {
			return err
		}
	}
	return fmt.Errorf("another process keeps the sandbox busy: %w", err)
}

func transactOnce(ctx context.Context, db *sql.DB, options *sql.TxOptions, work func(tx *sql.Tx) error) error {
	tx, err := db.BeginTx(ctx, options)
	if err != nil {
		return err
	}
	if err := work(tx); err != nil {
		return errors.Join(err, ignoreDone(tx.Rollback()))
	}
	return tx.Commit()
}

// ignoreDone drops the error that says that an ended context has rolled the transaction back already.
func ignoreDone(err error) error {
	if errors.Is(err, sql.ErrTxDone) {
		return nil
	}
	return err
}

// open returns the open file.
func (f *file) open(ctx context.Context) (*sql.DB, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	select {
	case <-f.opening:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { f.opening <- struct{}{} }()
	if f.db != nil {
		return f.db, nil
	}
	if err := f.create(); err != nil {
		return nil, err
	}
	db, err := sql.Open("sqlite", f.dsn())
	if err != nil {
		return nil, fmt.Errorf("open sandbox %q: %w", f.path, err)
	}
	db.SetMaxOpenConns(maxConnections)
	if err := f.prepare(ctx, db); err != nil {
		return nil, errors.Join(fmt.Errorf("open sandbox %q: %w", f.path, err), db.Close())
	}
	f.db = db
	return db, nil
}

// create makes an empty file that only its owner can read; SQLite would make one that everybody can.
func (f *file) create() error {
	flags := os.O_RDWR | os.O_CREATE
	if f.readOnly {
		flags = os.O_RDONLY
	}
	opened, err := os.OpenFile(f.path, flags, 0o600)
	if err != nil {
		return fmt.Errorf("open sandbox: %w; its directory must exist and be writable", err)
	}
	return opened.Close()
}

func (f *file) dsn() string {
	query := url.Values{"_pragma": {busyTimeout, "foreign_keys(1)"}, "_txlock": {"immediate"}, "mode": {"rw"}}
	if f.readOnly {
		query.Add("_pragma", "query_only(1)")
	} else {
		query.Add("_pragma", "journal_mode(WAL)")
	}
	return (&url.URL{Scheme: "file", Path: f.path, RawQuery: query.Encode()}).String()
}

// migrations are the schema's versions; the file says which of them it has seen (PRAGMA user_version).
var migrations = []string{`
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;

CREATE TABLE accounts (
	id         TEXT PRIMARY KEY,
	name       TEXT NOT NULL UNIQUE,
	mark       TEXT NOT NULL,
	suspended  INTEGER NOT NULL,
	expires_at INTEGER NOT NULL -- microseconds since 1970, 0 is never; as all times here
) STRICT;

CREATE TABLE settings (
	account TEXT NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
	name    TEXT NOT NULL,
	value   TEXT NOT NULL,
	PRIMARY KEY (account, name)
) STRICT;

-- The catalogue: where it has a target of a type, no other targets of that type exist.
CREATE TABLE targets (type TEXT NOT NULL, target TEXT NOT NULL, PRIMARY KEY (type, target)) STRICT;

CREATE TABLE entitlements (
	account    TEXT NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
	type       TEXT NOT NULL,
	target     TEXT NOT NULL,
	permission TEXT NOT NULL,
	PRIMARY KEY (account, type, target, permission)
) STRICT;

CREATE TABLE credentials (
	number       INTEGER PRIMARY KEY AUTOINCREMENT,
	id           TEXT NOT NULL UNIQUE,
	account      TEXT NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
	label        TEXT NOT NULL,
	salt         BLOB NOT NULL,
	hash         BLOB NOT NULL,
	created_at   INTEGER NOT NULL,
	expires_at   INTEGER NOT NULL,
	last_used_at INTEGER NOT NULL,
	UNIQUE (account, label)
) STRICT;

CREATE TABLE sessions (
	id         TEXT PRIMARY KEY,
	account    TEXT NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
	started_at INTEGER NOT NULL
) STRICT;

CREATE TABLE secrets (
	path     TEXT NOT NULL,
	version  INTEGER NOT NULL,
	fields   TEXT NOT NULL,
	metadata TEXT NOT NULL,
	PRIMARY KEY (path, version)
) STRICT;
`, `
-- What everybody holds who is in a role or group.
CREATE TABLE conferred (
	holder_type   TEXT NOT NULL,
	holder_target TEXT NOT NULL,
	type          TEXT NOT NULL,
	target        TEXT NOT NULL,
	permission    TEXT NOT NULL,
	PRIMARY KEY (holder_type, holder_target, type, target, permission)
) STRICT;
`}

// prepare brings the schema up to date.
func (f *file) prepare(ctx context.Context, db *sql.DB) error {
	return transact(ctx, db, &sql.TxOptions{ReadOnly: f.readOnly}, func(tx *sql.Tx) error {
		var version int
		if err := tx.QueryRowContext(ctx, `PRAGMA user_version`).Scan(&version); err != nil {
			return err
		}
		switch {
		case version > len(migrations):
			return fmt.Errorf("it was made by a newer version of this provider (schema %d, known are %d)", version, len(migrations))
		case version < len(migrations) && f.readOnly:
			return driver.Errorf(driver.PermissionDenied, "it is no sandbox of this version yet, and it is opened read-only")
		case version == len(migrations):
			return nil
		}
		return migrate(ctx, tx, version)
	})
}

func migrate(ctx context.Context, tx *sql.Tx, version int) error {
	if version == 0 {
		var tables int
		if err := tx.QueryRowContext(ctx, `SELECT count(*) FROM sqlite_schema`).Scan(&tables); err != nil {
			return err
		}
		if tables > 0 {
			return errors.New("it is a database of something else: choose another path")
		}
	}
	for _, statements := range migrations[version:] {
		if _, err := tx.ExecContext(ctx, statements); err != nil {
			return err
		}
	}
	if version == 0 {
		target := "sandbox:" + uuid.NewString()
		if _, err := tx.ExecContext(ctx, `INSERT INTO meta (name, value) VALUES ('target', ?)`, target); err != nil {
			return err
		}
	}
	_, err := tx.ExecContext(ctx, fmt.Sprintf(`PRAGMA user_version = %d`, len(migrations)))
	return err
}

func isBusy(err error) bool {
	var e *sqlite.Error
	return errors.As(err, &e) && (primary(e) == sqlite3.SQLITE_BUSY || primary(e) == sqlite3.SQLITE_LOCKED)
}

// primary strips the details from a result code.
func primary(e *sqlite.Error) int { return e.Code() & 0xff }

// classify says what an error of SQLite, or of opening the file, means.
func classify(err error) driver.Verdict {
	if verdict, ok := driver.Known(err); ok {
		return verdict
	}
	var e *sqlite.Error
	switch {
	case errors.As(err, &e):
		return driver.Verdict{Code: codeOfResult(primary(e))}
	case errors.Is(err, fs.ErrPermission):
		return driver.Verdict{Code: driver.PermissionDenied}
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, sql.ErrConnDone):
		return driver.Verdict{Code: driver.Unavailable}
	default:
		return driver.Verdict{Code: driver.Unknown}
	}
}

// codeOfResult reads SQLite's result codes. A damaged file, and one that is no database, say nothing about accounts.
func codeOfResult(result int) driver.Code {
	switch result {
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_INTERRUPT, sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR,
		sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PROTOCOL, sqlite3.SQLITE_NOMEM:
		return driver.Unavailable
	case sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH:
		return driver.PermissionDenied
	default:
		return driver.Unknown
	}
}
