package postgresql

import (
	"context"
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
)

// bootstrapSuperuser is the oid of the role that initdb made. Nothing can take its rights away.
const bootstrapSuperuser = 10

// CreateAccount implements driver.Driver: role and mark appear in one transaction. The role has no password.
func (c *client) CreateAccount(ctx context.Context, spec driver.AccountSpec) (nhi.Ref, error) {
	if err := Spec().CheckName(spec.Name); err != nil {
		return nhi.Ref{}, driver.Errorf(driver.Invalid, "%w", err)
	}
	options, err := settingsSQL(spec.Settings)
	if err != nil {
		return nhi.Ref{}, err
	}
	if !spec.ExpiresAt.IsZero() {
		options += " valid until " + timeLiteral(spec.ExpiresAt)
	}
	oid, err := c.script(ctx,
		fmt.Sprintf("create role %s nosuperuser nocreatedb nocreaterole inherit %s%s",
			ident(spec.Name), loginSQL(!spec.Suspended), options),
		commentSQL(spec.Name, spec.Mark.String()),
		"select oid::text from pg_roles where rolname = "+literal(spec.Name))
	if err != nil {
		return nhi.Ref{}, err
	}
	c.bare.set(spec.Name, true)
	return nhi.Ref{Name: spec.Name, ID: oid}, nil
}

// UpdateAccount implements driver.Driver.
func (c *client) UpdateAccount(ctx context.Context, ref nhi.Ref, change driver.AccountChange) error {
	options, err := settingsSQL(change.Settings)
	if err != nil {
		return err
	}
	return c.write(ctx, func(tx pgx.Tx) error {
		a, err := c.find(ctx, tx, ref)
		if err != nil {
			return err
		}
		var statements []string
		if change.Mark != nil {
			statements = append(statements, commentSQL(a.name, nhi.WithMark(a.comment, *change.Mark)))
		}
		for _, r := range a.roles() {
			if options != "" {
				statements = append(statements, "alter role "+ident(r.name)+options)
			}
			if change.ExpiresAt != nil {
				until := earlier(*change.ExpiresAt, parseLoginComment(r.comment).expiresAt)
				statements = append(statements, "alter role "+ident(r.name)+" valid until "+timeLiteral(until))
			}
		}
		return run(ctx, tx, statements...)
	})
}

// Suspend implements driver.Suspender: neither the account nor a credential of it may log in.
func (c *client) Suspend(ctx context.Context, ref nhi.Ref) error {
	return c.write(ctx, func(tx pgx.Tx) error {
		a, err := c.find(ctx, tx, ref)
		if err == nil {
			err = a.mayBeSwitchedOff()
		}
		if err != nil {
			return err
		}
		return run(ctx, tx, a.loginStatements(false)...)
	})
}

// Resume implements driver.Suspender.
func (c *client) Resume(ctx context.Context, ref nhi.Ref) error {
	return c.write(ctx, func(tx pgx.Tx) error {
		a, err := c.find(ctx, tx, ref)
		if err != nil {
			return err
		}
		return run(ctx, tx, a.loginStatements(true)...)
	})
}

// mayBeSwitchedOff protects the roles without which nobody could undo it.
func (a account) mayBeSwitchedOff() error {
	switch {
	case a.self:
		return driver.Errorf(driver.Invalid, "role %q is the one that this platform logs in as; "+
			"it cannot be switched off here", a.name)
	case a.oid == bootstrapSuperuser:
		return driver.Errorf(driver.Invalid, "role %q is the cluster's first superuser; "+
			"it cannot be switched off here", a.name)
	}
	return nil
}

func (a account) loginStatements(allowed bool) []string {
	var statements []string
	for _, r := range a.roles() {
		if r.canLogin != allowed {
			statements = append(statements, "alter role "+ident(r.name)+" "+loginSQL(allowed))
		}
	}
	return statements
}

func loginSQL(allowed bool) string {
	if allowed {
		return "login"
	}
	return "nologin"
}

func commentSQL(name, comment string) string {
	return "comment on role " + ident(name) + " is " + literal(comment)
}

// settingsSQL returns the role options for settings, each with a space in front.
func settingsSQL(settings map[string]string) (string, error) {
	options := ""
	for name, value := range settings {
		if name != settingConnectionLimit {
			return "", driver.Errorf(driver.Invalid, "PostgreSQL accounts have no setting %q; there is %q",
				name, settingConnectionLimit)
		}
		limit, err := strconv.Atoi(value)
		if err != nil || limit < -1 || limit > math.MaxInt32 || strconv.Itoa(limit) != value {
			return "", driver.Errorf(driver.Invalid, "%s must be a number from 0, or -1 for no limit; it is %q", name, value)
		}
		options += " connection limit " + value
	}
	return options, nil
}

// timeLiteral spells a time for VALID UNTIL, to the microsecond; the zero time is no limit.
func timeLiteral(t time.Time) string {
	if t.IsZero() {
		return "'infinity'"
	}
	return "'" + t.UTC().Format("2006-01-02 15:04:05.999999+00") + "'"
}

// earlier returns the earlier of two limits, of which the zero time is none.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}
