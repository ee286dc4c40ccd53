package acctest

import (
	"context"
	"crypto/tls"
	"database/sql"
	"net"
	"strconv"
	"testing"

	"github.com/go-sql-driver/mysql"

	"github.com/nhi-labs/terraform-provider-nhi/internal/testenv"
)

// mysqlExample makes what the example takes for granted: the provider's schema, and the least privileges of an
// administrator, each as the example's own scripts do.
func mysqlExample(t *testing.T, e *exampleRun) {
	t.Helper()
	drop := func() {
		mysqlRun(t, "DROP DATABASE IF EXISTS finance; DROP USER IF EXISTS nhi_admin@'app.internal'")
	}
	drop()
	t.Cleanup(drop)
	mysqlRun(t, e.read(t, "schema.sql"))
	mysqlRun(t, "CREATE DATABASE finance; CREATE TABLE finance.invoices (id int)")
	mysqlRun(t, e.read(t, "admin.sql"))
}

// mysqlRun runs statements as the administrator.
func mysqlRun(t *testing.T, statements string) {
	t.Helper()
	server := testenv.Load(t).MySQL
	config := mysql.NewConfig()
	config.User, config.Passwd, config.Net = server.Username, server.Password, "tcp"
	config.Addr = net.JoinHostPort(server.Host, strconv.Itoa(server.Port))
	config.TLS, config.MultiStatements = &tls.Config{RootCAs: authorities(t, server.CAFile), ServerName: server.Host}, true
	connector, err := mysql.NewConnector(config)
	if err != nil {
		t.Fatal(err)
	}
	db := sql.OpenDB(connector)
	defer db.Close() //nolint:errcheck // a test's own connection
	if _, err := db.ExecContext(context.Background(), statements); err != nil {
		t.Fatalf("%s: %v", statements, err)
	}
}
