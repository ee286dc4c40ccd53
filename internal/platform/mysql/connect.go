package mysql

import (
	"context"
	"database/sql"
	sqldriver "database/sql/driver"
	"errors"
	"fmt"
	"time"

	mysqlclient "github.com/go-sql-driver/mysql"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/secret"
)

const (
	// writeLock is the server's own named lock that serializes the writers of this product, so that what one of them has
	// read stays true until it has written. Every version of this product must use the same name.
	writeLock = "nhi.write"
	// lockSeconds is how long a writer waits for others; the context usually ends before.
	lockSeconds = 120
)

// connector makes connections for the pool.
type connector struct{ config func() *mysqlclient.Config }

// Connect implements database/sql's Connector.
func (c connector) Connect(ctx context.Context) (sqldriver.Conn, error) {
	inner, err := mysqlclient.NewConnector(c.config())
	if err != nil {
		return nil, err
	}
	conn, err := inner.Connect(ctx)
	if err != nil {
		return nil, &loginError{err}
	}
	return conn, nil
}

// loginError is a failure to connect. The servers have one number for a login that is refused and for a GRANT that is.
type loginError struct{ err error }

func (e *loginError) Error() string { return e.err.Error() }
func (e *loginError) Unwrap() error { return e.err }

// Driver implements database/sql's Connector.
func (c connector) Driver() sqldriver.Driver { return &mysqlclient.MySQLDriver{} }

// login proves a login by connecting with it.
func (c *client) login(ctx context.Context, user string, text secret.Value) error {
	config := c.config()
	config.User, config.Passwd = user, text.Reveal()
	conn, err := connector{func() *mysqlclient.Config { return config }}.Connect(ctx)
	if err != nil {
		return err
	}
	return conn.Close()
}

// write runs work on one connection, alone among the writers of this product.
func (c *client) write(ctx context.Context, work func(querier) error) error {
	conn, err := c.db.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close() //nolint:errcheck // It only goes back to the pool.
	var got sql.NullInt64
	if err := conn.QueryRowContext(ctx, "select get_lock(?, ?)", writeLock, lockSeconds).Scan(&got); err != nil {
		return fmt.Errorf("wait for other writers: %w", err)
	}
	if got.Int64 != 1 {
		return driver.Errorf(driver.Conflict, "another run has been writing for %d seconds", lockSeconds)
	}
	defer unlock(context.WithoutCancel(ctx), conn)
	return work(conn)
}

// unlock lets the next writer go on. A connection that cannot be unlocked is closed, which unlocks it.
func unlock(ctx context.Context, conn *sql.Conn) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if _, err := conn.ExecContext(ctx, "do release_lock(?)", writeLock); err != nil {
		_ = conn.Raw(func(any) error { return sqldriver.ErrBadConn })
	}
}

// run executes statements that cannot have parameters, one after the other. Whatever is not constant in them is a quoted
// name, a number, or a text of our own making in an alphabet that needs no quotes. There is no transaction: the servers
// commit after each change of an account.
func run(ctx context.Context, q querier, statements ...string) error {
	for _, statement := range statements {
		if _, err := q.ExecContext(ctx, statement); err != nil {
			return err
		}
	}
	return nil
}

// each calls scan for every row. It closes the rows and returns the first error.
func each(ctx context.Context, q querier, query string, args []any, scan func(*sql.Rows) error) (err error) {
	rows, err := q.QueryContext(ctx, query, args...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		if err := scan(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}
