package sandbox

import (
	"context"
	"database/sql"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
	"github.com/nhi-labs/terraform-provider-nhi/internal/secret"
)

// Admin changes a sandbox by hand, as an administrator does with a platform's own tools: it knows accounts by their
// names and cares about nobody's ownership mark. It is safe for concurrent use.
type Admin struct {
	sandbox *sandbox
}

// OpenAdmin returns an Admin of the file that config names. Close it after use.
func OpenAdmin(config Config) (*Admin, error) {
	s, err := open(config)
	if err != nil {
		return nil, err
	}
	return &Admin{sandbox: s}, nil
}

// Close releases the file.
func (a *Admin) Close() error { return a.sandbox.Close() }

// CreateForeign makes an account without an ownership mark that holds the given entitlements.
func (a *Admin) CreateForeign(ctx context.Context, account string, holds ...nhi.Entitlement) error {
	ref, err := a.sandbox.CreateAccount(ctx, driver.AccountSpec{Name: account})
	if err != nil {
		return err
	}
	return a.sandbox.Grant(ctx, ref, holds)
}

// Grant gives an account one entitlement.
func (a *Admin) Grant(ctx context.Context, account string, e nhi.Entitlement) error {
	return a.sandbox.Grant(ctx, nhi.Ref{Name: account}, []nhi.Entitlement{e})
}

// Revoke takes one entitlement from an account.
func (a *Admin) Revoke(ctx context.Context, account string, e nhi.Entitlement) error {
	return a.sandbox.Revoke(ctx, nhi.Ref{Name: account}, []nhi.Entitlement{e})
}

// Suspend switches an account off.
func (a *Admin) Suspend(ctx context.Context, account string) error {
	return a.sandbox.Suspend(ctx, nhi.Ref{Name: account})
}

// Resume switches an account on again.
func (a *Admin) Resume(ctx context.Context, account string) error {
	return a.sandbox.Resume(ctx, nhi.Ref{Name: account})
}

// DeleteAccount removes an account. If there is none it succeeds.
func (a *Admin) DeleteAccount(ctx context.Context, account string) error {
	return a.sandbox.DeleteAccount(ctx, nhi.Ref{Name: account})
}

// AddTarget puts a target into the catalogue. From then on the catalogue's targets of its type are all that exist;
// until then every target of a type exists.
func (a *Admin) AddTarget(ctx context.Context, typeName, target string) error {
	return a.sandbox.file.write(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO targets (type, target) VALUES (?, ?) ON CONFLICT DO NOTHING`, typeName, target)
		return err
	})
}

// Login logs an account in and leaves the session open. The code of its error (driver.CodeOf) is Unauthenticated if the
// sandbox refuses.
func (a *Admin) Login(ctx context.Context, account string, text secret.Value) error {
	return a.sandbox.file.write(ctx, func(tx *sql.Tx) error { return login(ctx, tx, account, text) })
}

// Sessions counts the open sessions of an account, 0 if there is no such account.
func (a *Admin) Sessions(ctx context.Context, account string) (int, error) {
	var n int
	err := a.sandbox.file.read(ctx, func(tx *sql.Tx) error {
		return tx.QueryRowContext(ctx, `SELECT count(*) FROM sessions JOIN accounts ON accounts.id = account WHERE name = ?`,
			account).Scan(&n)
	})
	return n, err
}

// Dump writes what the sandbox holds for people: every account with its status, mark and credentials, its entitlements
// one per line, and the paths of secrets. No secret is among it.
func (a *Admin) Dump(ctx context.Context, w io.Writer) error {
	var out strings.Builder
	err := a.sandbox.Sweep(ctx, driver.SweepFilter{}, func(page []nhi.Account) error {
		for _, account := range page {
			dumpAccount(&out, account)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if out.Len() == 0 {
		out.WriteString("no accounts\n")
	}
	paths, err := a.secretPaths(ctx)
	if err != nil {
		return err
	}
	for _, path := range paths {
		fmt.Fprintf(&out, "secret %s\n", path)
	}
	_, err = io.WriteString(w, out.String())
	return err
}

func (a *Admin) secretPaths(ctx context.Context) ([]string, error) {
	var paths []string
	err := a.sandbox.file.read(ctx, func(tx *sql.Tx) (err error) {
		paths, err = texts(ctx, tx, `SELECT DISTINCT path FROM secrets ORDER BY path`)
		return err
	})
	return paths, err
}

func dumpAccount(out *strings.Builder, account nhi.Account) {
	fmt.Fprintf(out, "%s  %s", account.Name, account.Status)
	if !account.Mark.IsZero() {
		fmt.Fprintf(out, "  of stack %s", account.Mark.Stack)
	}
	if n := len(account.Credentials); n > 0 {
		labels := make([]string, n)
		for i, c := range account.Credentials {
			labels[i] = c.Label
		}
		slices.Sort(labels)
		fmt.Fprintf(out, "  credentials %s", strings.Join(labels, ", "))
	}
	out.WriteString("\n")
	for _, e := range account.Entitlements {
		fmt.Fprintf(out, "    %s\n", e)
	}
}
