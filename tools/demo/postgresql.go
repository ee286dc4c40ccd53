package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/nhi-labs/terraform-provider-nhi/internal/secret"
	"github.com/nhi-labs/terraform-provider-nhi/internal/testenv"
)

// postgresql is the warehouse on a real server, used through psql.
type postgresql struct {
	server   testenv.PostgreSQL
	psql     string
	password secret.Value
}

// findPsql looks on PATH and where Debian keeps it.
func findPsql() (string, error) {
	if path, err := exec.LookPath("psql"); err == nil {
		return path, nil
	}
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/psql")
	if err != nil || len(found) == 0 {
		return "", errors.Join(errors.New("psql is not on PATH: install the PostgreSQL client"), err)
	}
	return found[len(found)-1], nil
}

func (p *postgresql) name() string       { return warehouse }
func (p *postgresql) env() []string      { return []string{"NHI_WAREHOUSE_PASSWORD=" + p.server.Password} }
func (p *postgresql) loginMeans() string { return "login with the agent's password" }

func (p *postgresql) block() string {
	return fmt.Sprintf(`  postgresql {
    name        = %q
    host        = %q
    port        = %d
    database    = %q
    username    = %q # its password is in NHI_WAREHOUSE_PASSWORD
    sslrootcert = %q
  }
`, warehouse, p.server.Host, p.server.Port, p.server.Database, p.server.Username, p.server.CAFile)
}

// run sends SQL from standard input, so that no password is among the arguments of a process.
func (p *postgresql) run(ctx context.Context, user string, password secret.Value, sql string) (string, error) {
	cmd := exec.CommandContext(ctx, p.psql, "--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--no-password",
		"--set=ON_ERROR_STOP=1")
	cmd.Env = []string{
		"PGHOST=" + p.server.Host, "PGPORT=" + strconv.Itoa(p.server.Port), "PGDATABASE=" + p.server.Database,
		"PGUSER=" + user, "PGPASSWORD=" + password.Reveal(), "PGSSLMODE=verify-full", "PGSSLROOTCERT=" + p.server.CAFile,
		"PATH=/usr/bin:/bin", "LC_ALL=C",
	}
	cmd.Stdin = strings.NewReader(sql)
	output, err := cmd.Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return "", fmt.Errorf("psql: %s", strings.TrimSpace(string(exit.Stderr)))
	}
	return string(output), err
}

func (p *postgresql) admin(ctx context.Context, sql string) (string, error) {
	return p.run(ctx, p.server.Username, secret.New(p.server.Password), sql)
}

func (p *postgresql) prepare(ctx context.Context) error {
	_, err := p.admin(ctx, `create schema finance;
		create table finance.invoices (id bigint primary key, amount numeric);
		create table finance.salaries (id bigint primary key, amount numeric);
		create role reporting;`)
	return err
}

func (p *postgresql) dump(ctx context.Context) (string, error) {
	const sql = `select 'login ' || rolcanlogin from pg_roles where rolname = 'billing-agent';
		select 'role:' || pg_get_userbyid(roleid) from pg_auth_members where pg_get_userbyid(member) = 'billing-agent';
		select 'table:' || table_schema || '.' || table_name || '#' || lower(privilege_type)
			from information_schema.role_table_grants where grantee = 'billing-agent';`
	output, err := p.admin(ctx, sql)
	lines := strings.Split(strings.TrimSpace(output), "\n")
	if err != nil || lines[0] == "" {
		return nothing, err
	}
	return shown(account(warehouse), lines[0] == "login true", slices.Clone(lines[1:])), nil
}

func (p *postgresql) grant(ctx context.Context, text string) (string, error) {
	table, privilege, _ := strings.Cut(strings.TrimPrefix(text, "table:"), "#")
	sql := fmt.Sprintf(`GRANT %s ON %s TO "%s"`, strings.ToUpper(privilege), table, account(warehouse))
	_, err := p.admin(ctx, sql)
	return sql, err
}

func (p *postgresql) newLogin(ctx context.Context) error {
	p.password = secret.New(rand.Text())
	_, err := p.admin(ctx, fmt.Sprintf(`alter role "%s" password '%s'`, account(warehouse), p.password.Reveal()))
	return err
}

func (p *postgresql) login(ctx context.Context) error {
	_, err := p.run(ctx, account(warehouse), p.password, "select 1")
	if err != nil && (strings.Contains(err.Error(), "is not permitted to log in") ||
		strings.Contains(err.Error(), "password authentication failed")) {
		return errRefused
	}
	return err
}
