package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/nhi-labs/terraform-provider-nhi/internal/testenv"
	"github.com/nhi-labs/terraform-provider-nhi/tools/internal/programs"
)

// mysql is the MariaDB that Debian installs. Debian's own server, if its package starts one, is not used.
type mysql struct{}

const mysqlAdmin = "nhi_admin"

func (mysql) name() string { return "mysql" }

func (mysql) install(ctx context.Context) error {
	if _, err := exec.LookPath("mariadbd"); err == nil {
		return nil
	}
	return programs.Apt(ctx, os.Stderr, "mariadb-server", "mariadb-client")
}

func (mysql) start(_ context.Context, p *place, all *testenv.Servers) error {
	account, err := systemUser("mysql")
	if err != nil {
		return err
	}
	port, err := freePort()
	if err != nil {
		return err
	}
	all.MySQL = testenv.MySQL{
		Host: "127.0.0.1", Port: port, Username: mysqlAdmin, Password: randomText(),
		LogFile: filepath.Join(p.dir, "mysql", "general.log"), CAFile: filepath.Join(p.dir, "ca.pem"),
	}
	home := filepath.Join(p.dir, "mysql")
	if err := serverHome(home, account, all.MySQL.CAFile, all.MySQL.Host); err != nil {
		return err
	}
	data := filepath.Join(home, "data")
	install := spawn{path: "mariadb-install-db", user: account, args: []string{
		"--no-defaults", "--datadir=" + data, "--auth-root-authentication-method=normal", "--skip-test-db",
		"--innodb-log-file-size=4M", "--skip-name-resolve",
	}}
	if install.path, err = exec.LookPath(install.path); err != nil {
		return err
	}
	if err := p.run(install, ""); err != nil {
		return err
	}
	root, err := testenv.Root()
	if err != nil {
		return err
	}
	schema, err := os.ReadFile(filepath.Join(root, "examples", "platforms", "mysql", "schema.sql"))
	if err != nil {
		return err
	}
	init := filepath.Join(home, "init.sql")
	statements := []string{
		string(schema), "create user " + mysqlAdmin + "@'%' identified by '" + all.MySQL.Password + "';",
		"grant all on *.* to " + mysqlAdmin + "@'%' with grant option;",
		"drop user root@localhost;", // Had no password.
	}
	if err := os.WriteFile(init, []byte(strings.Join(statements, "\n")), 0o644); err != nil {
		return err
	}
	mariadbd, err := exec.LookPath("mariadbd")
	if err != nil {
		return err
	}
	return p.spawn(spawn{path: mariadbd, user: account, args: mysqlSettings(home, port, init, all.MySQL.LogFile)})
}

func mysqlSettings(home string, port int, init, log string) []string {
	return []string{
		"--no-defaults", "--datadir=" + filepath.Join(home, "data"), "--bind-address=127.0.0.1", "--port=" + strconv.Itoa(port),
		"--socket=" + filepath.Join(home, "socket"), "--pid-file=" + filepath.Join(home, "pid"), "--init-file=" + init,
		"--max-connections=300", "--skip-name-resolve",
		"--ssl-cert=" + filepath.Join(home, "server.crt"), "--ssl-key=" + filepath.Join(home, "server.key"),
		// Tests look for secrets in the log, so it must hold every statement that reached the server.
		"--general-log", "--general-log-file=" + log,
		// The data need not survive the machine.
		"--innodb-flush-log-at-trx-commit=0", "--innodb-flush-method=nosync", "--innodb-buffer-pool-size=32M", "--aria-log-file-size=8M",
	}
}

func (mysql) health(ctx context.Context, all testenv.Servers) error {
	server := all.MySQL
	cmd := exec.CommandContext(ctx, "mariadb", "--no-defaults", "--host="+server.Host, "--port="+strconv.Itoa(server.Port),
		"--user="+server.Username, "--ssl-verify-server-cert", "--ssl-ca="+server.CAFile, "--connect-timeout=5", "--execute=select 1")
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "MYSQL_PWD=" + server.Password}
	if output, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("mariadb: %w: %s", err, output)
	}
	return nil
}

func (mysql) describe(all testenv.Servers) string {
	return fmt.Sprintf("%s:%d (MariaDB)", all.MySQL.Host, all.MySQL.Port)
}
