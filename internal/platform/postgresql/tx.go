package postgresql

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
)

// Every transaction fixes the search path: names in catalog queries mean the catalog's objects whatever a schema in
// the database contains, and the server qualifies every name that it prints.
const (
	beginRead = `begin isolation level repeatable read read only; set local search_path = pg_catalog, pg_temp; ` + planOnce

	// The queries ask for the same whatever their parameters are, and to plan one can take longer than to carry it out: each
	// connection plans each once.
	planOnce = `set local plan_cache_mode = force_generic_plan`

	// One writer of this product at a time per database: two changes of one ACL or one role at the same time make
	// PostgreSQL fail with "tuple concurrently updated". What follows the lock sees what the previous writer committed.
	// The lock's number is arbitrary and fixed: every version of this product must use the same.
	lockWriters = `select pg_advisory_xact_lock(7882826979825)`

	// The server ends a session that is in such a transaction and says nothing: the network to a run that it takes away in
	// the middle would otherwise keep all other writers waiting until TCP gives up, which takes hours. We never think that
	// long between two statements.
	//
	// Warnings are asked for because of warnedOfGrant.
	beginWrite = `begin isolation level read committed; set local search_path = pg_catalog, pg_temp;` +
		` set local idle_in_transaction_session_timeout = '10s'; set local client_min_messages = warning; ` +
		planOnce + "; " + lockWriters
)

// beginner is a pool or a connection.
type beginner interface {
	BeginTx(ctx context.Context, options pgx.TxOptions) (pgx.Tx, error)
}

// querier is a transaction, or the connection that it is on.
type querier interface {
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	SendBatch(ctx context.Context, queries *pgx.Batch) pgx.BatchResults
}

// read runs work in one snapshot.
func (c *client) read(ctx context.Context, work func(pgx.Tx) error) error {
	return pgx.BeginTxFunc(ctx, c.pool, pgx.TxOptions{BeginQuery: beginRead}, work)
}

// readTwice runs two batches in one snapshot and, the transaction included, in two round trips. The second is filled when
// the first is answered. If hopefully nothing will be left to ask, the first comes with the end of the transaction, in one round
// trip; where that hope fails, both are run again.
func (c *client) readTwice(ctx context.Context, hopeful bool, first, second func(*pgx.Batch)) error {
	// A connection that is still in a transaction when it is released is closed, which rolls back.
	return c.pool.AcquireFunc(ctx, func(conn *pgxpool.Conn) error {
		if hopeful {
			queries, rest := batchOf(beginRead), &pgx.Batch{}
			first(queries)
			queries.Queue("commit")
			if err := conn.SendBatch(ctx, queries).Close(); err != nil {
				return err
			}
			if second(rest); rest.Len() == 0 {
				return nil
			}
		}
		queries := batchOf(beginRead)
		first(queries)
		if err := conn.SendBatch(ctx, queries).Close(); err != nil {
			return err
		}
		queries = &pgx.Batch{}
		second(queries)
		queries.Queue("commit")
		return conn.SendBatch(ctx, queries).Close()
	})
}

// batchOf puts the statements that begin a transaction into a batch.
func batchOf(statements string) *pgx.Batch {
	queries := &pgx.Batch{}
	for statement := range strings.SplitSeq(statements, "; ") {
		queries.Queue(statement)
	}
	return queries
}

// write runs work in one transaction, alone among the writers of this product.
func (c *client) write(ctx context.Context, work func(pgx.Tx) error) error {
	return writeIn(ctx, c.pool, work)
}

func writeIn(ctx context.Context, db beginner, work func(pgx.Tx) error) error {
	return pgx.BeginTxFunc(ctx, db, pgx.TxOptions{BeginQuery: beginWrite}, work)
}

// writeAfter is write for work that has to look first: what look queues is sent together with the lock, in one round trip,
// because the next writer waits for as long as this one has the lock. For the same reason, the statements that work returns are
// sent together with the commit.
func (c *client) writeAfter(ctx context.Context, look func(*pgx.Batch), work func(*pgxpool.Conn) ([]string, error)) error {
	return c.pool.AcquireFunc(ctx, func(conn *pgxpool.Conn) error {
		queries := batchOf(beginWrite)
		look(queries)
		err := conn.SendBatch(ctx, queries).Close()
		var last []string
		if err == nil {
			last, err = work(conn)
		}
		var done pgconn.CommandTag
		if err == nil {
			done, err = conn.Exec(ctx, strings.Join(append(last, "commit"), ";\n"))
		}
		if err != nil {
			_, _ = conn.Exec(ctx, "rollback") // If that fails, too, the connection is closed when it is released.
			return err
		}
		if done.String() != "COMMIT" {
			return pgx.ErrTxCommitRollback
		}
		if warnedOfGrant(conn) {
			return driver.Errorf(driver.PermissionDenied, "the server has not carried out all of the GRANT: "+
				"our admin role has just ceased to be a superuser")
		}
		return nil
	})
}

// script executes statements as run does, alone among the writers, in a transaction of their own and in one round trip: the
// lock is held no longer than the server needs. It returns the only column of the only row of the last one.
func (c *client) script(ctx context.Context, statements ...string) (text string, err error) {
	all := strings.Join(slices.Concat([]string{beginWrite}, statements, []string{"commit"}), ";\n")
	err = c.pool.AcquireFunc(ctx, func(conn *pgxpool.Conn) error {
		// A connection that is still in a transaction when it is released is closed, which rolls back.
		results, err := conn.Conn().PgConn().Exec(ctx, all).ReadAll()
		if err != nil {
			return err
		}
		last := results[len(results)-2] // before that of commit
		if len(last.Rows) != 1 || len(last.Rows[0]) != 1 {
			return fmt.Errorf("the server answers with %d rows instead of one", len(last.Rows))
		}
		text = string(last.Rows[0][0])
		return nil
	})
	return text, err
}

// run executes statements that cannot have parameters. Whatever is not constant in them went through ident or literal,
// or came quoted from the server. All go in one message, and the first that fails ends them.
func run(ctx context.Context, tx querier, statements ...string) error {
	if len(statements) == 0 {
		return nil
	}
	_, err := tx.Exec(ctx, strings.Join(statements, ";\n"))
	return err
}

// ident quotes a name.
func ident(name string) string { return pgx.Identifier{name}.Sanitize() }

// literal quotes a text, so that it means the same whatever standard_conforming_strings is: a server reads all statements of a
// message before it executes the first, so none of them can set that for the others.
func literal(text string) string {
	quoted := "'" + strings.ReplaceAll(text, "'", "''") + "'"
	if strings.Contains(text, `\`) {
		return "E" + strings.ReplaceAll(quoted, `\`, `\\`)
	}
	return quoted
}
