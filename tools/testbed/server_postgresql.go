package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"

	"github.com/nhi-labs/terraform-provider-nhi/internal/testenv"
	"github.com/nhi-labs/terraform-provider-nhi/tools/internal/programs"
)

// postgresql is a cluster of the PostgreSQL that Debian installs. Debian's own cluster is neither made nor used.
type postgresql struct{}

const (
	pgAdmin    = "nhi_admin"
	pgDatabase = "warehouse"
)

func (postgresql) name() string { return "postgresql" }

func (postgresql) install(ctx context.Context) error {
	if _, err := pgBin(); err == nil {
		return nil
	}
	if err := programs.Apt(ctx, os.Stderr, "postgresql-common"); err != nil {
		return err
	}
	const config = "/etc/postgresql-common/createcluster.conf"
	if err := os.WriteFile(config, []byte("create_main_cluster = false\n"), 0o644); err != nil {
		return err
	}
	if err := programs.Apt(ctx, os.Stderr, "postgresql"); err != nil {
		return err
	}
	_, err := pgBin()
	return err
}

// pgBin is the directory with the programs of the newest PostgreSQL that is installed.
func pgBin() (string, error) {
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/postgres")
	if err != nil {
		return "", err
	}
	if len(found) == 0 {
		return "", errors.New("no PostgreSQL below /usr/lib/postgresql")
	}
	version := func(path string) int {
		n, _ := strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(path))))
		return n
	}
	newest := slices.MaxFunc(found, func(a, b string) int { return version(a) - version(b) })
	return filepath.Dir(newest), nil
}

func (postgresql) start(_ context.Context, p *place, all *testenv.Servers) error {
	bin, err := pgBin()
	if err != nil {
		return err
	}
	account, err := systemUser("postgres")
	if err != nil {
		return err
	}
	port, err := freePort()
	if err != nil {
		return err
	}
	caFile := filepath.Join(p.dir, "ca.pem")
	all.PostgreSQL = testenv.PostgreSQL{
		Host: "127.0.0.1", Port: port, Database: pgDatabase, Username: pgAdmin, Password: randomText(),
		LogFile: p.logFile, CAFile: caFile,
	}
	home := filepath.Join(p.dir, "postgresql")
	if err := pgPrepare(home, account, all.PostgreSQL); err != nil {
		return err
	}
	data := filepath.Join(home, "data")
	initdb := spawn{path: filepath.Join(bin, "initdb"), user: account, args: []string{
		"-D", data, "-U", pgAdmin, "-A", "scram-sha-256", "--pwfile", filepath.Join(home, "password"),
		"-E", "UTF8", "--locale=C.UTF-8", "--no-sync",
	}}
	if err := p.run(initdb, ""); err != nil {
		return err
	}
	postgres := filepath.Join(bin, "postgres")
	single := spawn{path: postgres, user: account, args: []string{"--single", "-F", "-D", data, "postgres"}}
	if err := p.run(single, "create database "+pgDatabase+"\n"); err != nil {
		return err
	}
	args := append([]string{"-D", data}, pgSettings(home, port)...)
	return p.spawn(spawn{path: postgres, user: account, args: args})
}

// pgPrepare makes the directory of the server's user, with the certificate and the administrator's first password.
func pgPrepare(home string, account *syscall.Credential, server testenv.PostgreSQL) error {
	if err := serverHome(home, account, server.CAFile, server.Host); err != nil {
		return err
	}
	password := filepath.Join(home, "password")
	if err := os.WriteFile(password, []byte(server.Password+"\n"), 0o600); err != nil || account == nil {
		return err
	}
	return os.Lchown(password, int(account.Uid), int(account.Gid))
}

func pgSettings(home string, port int) []string {
	settings := []string{
		"listen_addresses=127.0.0.1",
		"port=" + strconv.Itoa(port),
		"unix_socket_directories=",
		"max_connections=300",
		"ssl=on",
		"ssl_cert_file=" + filepath.Join(home, "server.crt"),
		"ssl_key_file=" + filepath.Join(home, "server.key"),
		// Tests look for secrets in the log, so it must hold everything that reached the server.
		"log_statement=all",
		"log_line_prefix=%m [%p] %u@%d ",
		// The data need not survive the machine.
		"fsync=off", "synchronous_commit=off", "full_page_writes=off",
	}
	var args []string
	for _, setting := range settings {
		args = append(args, "-c", setting)
	}
	return args
}

func (postgresql) health(ctx context.Context, all testenv.Servers) error {
	bin, err := pgBin()
	if err != nil {
		return err
	}
	server := all.PostgreSQL
	target := fmt.Sprintf("host=%s port=%d dbname=%s user=%s sslmode=verify-full sslrootcert=%s connect_timeout=5",
		server.Host, server.Port, server.Database, server.Username, server.CAFile)
	cmd := exec.CommandContext(ctx, filepath.Join(bin, "psql"), "-XAtq", "-c", "select 1", target)
	cmd.Env = []string{"PGPASSWORD=" + server.Password}
	if output, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("psql: %w: %s", err, output)
	}
	return nil
}

func (postgresql) describe(all testenv.Servers) string {
	return fmt.Sprintf("%s:%d database %s", all.PostgreSQL.Host, all.PostgreSQL.Port, all.PostgreSQL.Database)
}
