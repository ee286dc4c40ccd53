package postgresql

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
)

// sessionPoll is how often we look whether terminated sessions are gone.
const sessionPoll = 20 * time.Millisecond

// EndSessions implements driver.SessionEnder.
func (c *client) EndSessions(ctx context.Context, ref nhi.Ref) error {
	var a account
	err := c.read(ctx, func(tx pgx.Tx) error {
		var err error
		if a, err = c.find(ctx, tx, ref); err != nil {
			return err
		}
		return a.mayBeSwitchedOff()
	})
	if driver.CodeOf(err) == driver.NotFound {
		return nil
	}
	if err != nil {
		return err
	}
	return c.endSessions(ctx, a.roles())
}

// endSessions terminates the sessions that roles have now and waits until they are gone.
func (c *client) endSessions(ctx context.Context, roles []role) error {
	pids, err := c.terminate(ctx, roles)
	if err != nil || len(pids) == 0 {
		return err
	}
	tick := time.NewTicker(sessionPoll)
	defer tick.Stop()
	for {
		var left int
		err := c.pool.QueryRow(ctx, `select count(*) from pg_catalog.pg_stat_activity
			where pid = any($1::int[]) and usesysid = any($2::oid[])`, pids, oidsOf(roles)).Scan(&left)
		if err != nil || left == 0 {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%d sessions of %q have been told to end and are still there: %w", left, roles[0].name, ctx.Err())
		case <-tick.C:
		}
	}
}

// terminate tells all sessions of the roles to end and returns their process ids.
func (c *client) terminate(ctx context.Context, roles []role) ([]int32, error) {
	const sessions = " from pg_catalog.pg_stat_activity where usesysid = any($1::oid[])"
	var live bool
	if err := c.pool.QueryRow(ctx, "select exists (select"+sessions+")", oidsOf(roles)).Scan(&live); err != nil || !live {
		return nil, err
	}
	var pids []int32
	err := c.write(ctx, func(tx pgx.Tx) error {
		// A role may end the sessions of roles that it is a member of.
		leave, err := joinRoles(ctx, tx, roles)
		if err != nil {
			return err
		}
		rows, err := tx.Query(ctx, "select pid, pg_terminate_backend(pid)"+sessions, oidsOf(roles))
		if err != nil {
			return err
		}
		pids, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (pid int32, err error) {
			return pid, row.Scan(&pid, nil)
		})
		if err != nil {
			return err
		}
		return run(ctx, tx, leave...)
	})
	return pids, err
}

// joinRoles makes the role that we act as a member of roles where it is not, as far as it may, and returns the
// statements that undo it. They must run in the same transaction: nobody else ever sees the membership. Superusers
// need none; up to version 15 CREATEROLE suffices to join, from 16 on the ADMIN option, which the role that created
// another one has. Where joining is refused the work itself will fail with the better message.
func joinRoles(ctx context.Context, tx pgx.Tx, roles []role) (leave []string, err error) {
	for _, r := range roles {
		var member bool
		if err := tx.QueryRow(ctx, "select pg_has_role($1::oid, 'usage')", r.oid).Scan(&member); err != nil {
			return nil, err
		}
		if member {
			continue
		}
		refused := pgx.BeginFunc(ctx, tx, func(tx pgx.Tx) error {
			return run(ctx, tx, "grant "+ident(r.name)+" to current_user")
		})
		switch {
		case refused == nil:
			leave = append(leave, "revoke "+ident(r.name)+" from current_user")
		case sqlState(refused) == "":
			return nil, refused
		}
	}
	return leave, nil
}
