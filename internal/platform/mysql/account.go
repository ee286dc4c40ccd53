package mysql

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strconv"

	mysqlclient "github.com/go-sql-driver/mysql"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
)

// CreateAccount implements driver.Driver.
//
// The servers commit every change of an account at once, so mark and account cannot appear together. The mark is noted
// first: a run that is killed between the two leaves a note about nobody, which the next creation replaces, and never an
// account that nobody knows. A note counts only beside an account.
func (c *client) CreateAccount(ctx context.Context, spec driver.AccountSpec) (nhi.Ref, error) {
	if err := Spec().CheckName(spec.Name); err != nil {
		return nhi.Ref{}, driver.Errorf(driver.Invalid, "%w", err)
	}
	options, err := settingsSQL(spec.Settings)
	if err != nil {
		return nhi.Ref{}, err
	}
	a := account{user: user{who: parseWho(spec.Name)}, record: record{id: rand.Text(), mark: spec.Mark.String()}}
	err = c.write(ctx, func(q querier) error {
		f, err := c.flavorOf(ctx, q)
		if err != nil {
			return err
		}
		switch _, err := c.find(ctx, q, f, nhi.Ref{Name: spec.Name}); {
		case err == nil:
			return driver.Errorf(driver.AlreadyExists, "there is an account %q already", spec.Name)
		case driver.CodeOf(err) != driver.NotFound:
			return err
		}
		if err := c.forget(ctx, q, a.who); err != nil {
			return err
		}
		if err := c.note(ctx, q, a); err != nil {
			return err
		}
		err = run(ctx, q, "create user "+a.sql()+f.locked()+options+lockSQL(spec.Suspended))
		if errorNumber(err) == errCannotUser { // Somebody who does not take our lock was faster; the account is theirs.
			err = driver.Errorf(driver.AlreadyExists, "there is an account %q already: %w", spec.Name, err)
		}
		if err != nil {
			return errors.Join(err, c.forget(context.WithoutCancel(ctx), q, a.who))
		}
		return nil
	})
	if err != nil {
		return nhi.Ref{}, err
	}
	return a.ref(), nil
}

// note writes down the id and mark of an account.
func (c *client) note(ctx context.Context, q querier, a account) error {
	_, err := q.ExecContext(ctx, "replace into "+c.table("accounts")+" (User, Host, id, mark) values (?, ?, ?, ?)",
		a.user.user, a.host, a.id, a.mark)
	return err
}

// forget removes what is noted of an account.
func (c *client) forget(ctx context.Context, q querier, w who) error {
	for _, table := range []string{"credentials", "accounts"} {
		if _, err := q.ExecContext(ctx, "delete from "+c.table(table)+" where User = ? and Host = ?", w.user, w.host); err != nil {
			return err
		}
	}
	return nil
}

// bury notes of an account that it is gone. Without that, one that somebody makes under its name could not be told from it.
func (c *client) bury(ctx context.Context, q querier, a account) error {
	if err := c.forget(ctx, q, a.who); err != nil || a.id == "" {
		return err
	}
	a.mark = markDeleted
	return c.note(ctx, q, a)
}

// change runs work on the account that ref addresses.
func (c *client) change(ctx context.Context, ref nhi.Ref, work func(q querier, f flavor, a account) error) error {
	return c.write(ctx, func(q querier) error {
		f, err := c.flavorOf(ctx, q)
		if err != nil {
			return err
		}
		a, err := c.find(ctx, q, f, ref)
		if err != nil {
			return err
		}
		return work(q, f, a)
	})
}

// UpdateAccount implements driver.Driver.
func (c *client) UpdateAccount(ctx context.Context, ref nhi.Ref, change driver.AccountChange) error {
	options, err := settingsSQL(change.Settings)
	if err != nil {
		return err
	}
	return c.change(ctx, ref, func(q querier, _ flavor, a account) error {
		if options != "" {
			if err := run(ctx, q, "alter user "+a.sql()+options); err != nil {
				return err
			}
		}
		if change.Mark == nil {
			return nil
		}
		a.mark = change.Mark.String()
		return c.note(ctx, q, a)
	})
}

// DeleteAccount implements driver.Driver. The sessions go first: DROP USER ends none, and afterwards nobody could tell whose
// they are. The notes go last: until the account is gone they say whose it is.
func (c *client) DeleteAccount(ctx context.Context, ref nhi.Ref) error {
	return absent(c.change(ctx, ref, func(q querier, f flavor, a account) error {
		if err := a.mayBeSwitchedOff(); err != nil {
			return err
		}
		if !a.locked {
			if err := run(ctx, q, "alter user "+a.sql()+lockSQL(true)); err != nil {
				return err
			}
		}
		if err := c.endSessions(ctx, q, f, a); err != nil {
			return err
		}
		if err := run(ctx, q, "drop user "+a.sql()); err != nil {
			return err
		}
		return c.bury(ctx, q, a)
	}))
}

// absent turns NotFound into success.
func absent(err error) error {
	if driver.CodeOf(err) == driver.NotFound {
		return nil
	}
	return err
}

// Suspend implements driver.Suspender.
func (c *client) Suspend(ctx context.Context, ref nhi.Ref) error {
	return c.change(ctx, ref, func(q querier, _ flavor, a account) error {
		if err := a.mayBeSwitchedOff(); err != nil || a.locked {
			return err
		}
		return run(ctx, q, "alter user "+a.sql()+lockSQL(true))
	})
}

// Resume implements driver.Suspender.
func (c *client) Resume(ctx context.Context, ref nhi.Ref) error {
	return c.change(ctx, ref, func(q querier, _ flavor, a account) error {
		if !a.locked {
			return nil
		}
		return run(ctx, q, "alter user "+a.sql()+lockSQL(false))
	})
}

// mayBeSwitchedOff protects the account without which nobody could undo it here.
func (a account) mayBeSwitchedOff() error {
	if a.self {
		return driver.Errorf(driver.Invalid, "%q is the account that this platform logs in as; it cannot be switched off here", a.who)
	}
	return nil
}

func lockSQL(locked bool) string {
	if locked {
		return " account lock"
	}
	return " account unlock"
}

// settingsSQL returns the options of CREATE and ALTER USER for settings, with a space in front.
func settingsSQL(settings map[string]string) (string, error) {
	options := ""
	for name, value := range settings {
		if name != settingMaxConnections {
			return "", driver.Errorf(driver.Invalid, "accounts of MySQL have no setting %q; there is %q", name, settingMaxConnections)
		}
		n, err := strconv.ParseUint(value, 10, 31)
		if err != nil || strconv.FormatUint(n, 10) != value {
			return "", driver.Errorf(driver.Invalid, "%s must be a number from 0 on; it is %q", name, value)
		}
		options = fmt.Sprintf(" with %s %d", settingMaxConnections, n)
	}
	return options, nil
}

// errorNumber returns the server's number of an error, 0 if the error is none of the server's.
func errorNumber(err error) uint16 {
	var answer *mysqlclient.MySQLError
	if errors.As(err, &answer) {
		return answer.Number
	}
	return 0
}
