package acctest

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
)

// A thousand grants on one table, as many at once as Terraform is told to (a hundred with the other CLIs): every one is
// there, and nothing else.
// PostgreSQL fails such changes with "tuple concurrently updated" if they are not made one after the other.
func TestThousandGrantsOnOneTable(t *testing.T) {
	n := many
	if !onlyOnce() {
		n = few // Whether two changes meet is up to the provider.
	}
	s := postgresqlSite(t, "warehouse", "")
	stack, prefix := unique(t, "stack"), unique(t, "svc")
	t.Cleanup(func() { dropRoles(t, prefix) })
	createRoles(t, stack, prefix, 0, n)

	w := NewWorkspace(t, s.env...)
	w.Configure(fmt.Sprintf("provider \"nhi\" {\n  stack = %q\n%s}\n\nresource \"nhi_grant\" \"svc\" {\n  count    = %d\n"+
		"  identity = { name = \"%s-${count.index}\", account_names = {} }\n  entitlements = { warehouse = [%q] }\n}\n",
		stack, s.block(), n, prefix, s.entitlements[0]))
	w.ApplyOnly("-parallelism=50")
	w.Plan(exitEmpty)

	table := strings.TrimSuffix(strings.TrimPrefix(s.entitlements[0], "table:"), "#select")
	want := make(map[string]bool, n)
	for i := range n {
		want[fmt.Sprintf("%s-%d SELECT false", prefix, i)] = true
	}
	for _, got := range aclOf(t, table) {
		if !want[got] {
			t.Errorf("%s: unexpected %q", table, got)
		}
		delete(want, got)
	}
	if len(want) > 0 {
		t.Errorf("%s: %d grants are missing: %v", table, len(want), want)
	}
}

// createRoles makes the roles prefix-first to prefix-(n-1) as the driver makes accounts, all in one go, and returns their
// ids.
func createRoles(t *testing.T, stack, prefix string, first, n int) []string {
	t.Helper()
	conn := pgAdmin(t)
	defer conn.Close(context.Background()) //nolint:errcheck // a test's own connection
	_, err := conn.Exec(t.Context(), fmt.Sprintf(`DO $$ DECLARE r text; BEGIN FOR i IN %d..%d LOOP
		r := '%s-' || i;
		EXECUTE format('CREATE ROLE %%I LOGIN', r);
		EXECUTE format('COMMENT ON ROLE %%I IS %%L', r, 'nhi:v1:%s:' || r);
	END LOOP; END $$`, first, n-1, prefix, stack))
	if err != nil {
		t.Fatal(err)
	}
	rows, err := conn.Query(t.Context(), `SELECT r.oid::text FROM generate_series($1::int, $2::int) i
		JOIN pg_roles r ON r.rolname = $3::text || '-' || i ORDER BY i`, first, n-1, prefix)
	if err != nil {
		t.Fatal(err)
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil || len(ids) != n-first {
		t.Fatalf("made %d roles of %d: %v", len(ids), n-first, err)
	}
	return ids
}

// aclOf lists who but the owner holds what on a table, and whether with the right to pass it on.
func aclOf(t *testing.T, table string) []string {
	t.Helper()
	conn := pgAdmin(t)
	defer conn.Close(context.Background()) //nolint:errcheck // a test's own connection
	rows, err := conn.Query(t.Context(), `SELECT pg_get_userbyid(x.grantee) || ' ' || x.privilege_type || ' ' || x.is_grantable::text
		FROM pg_class c, aclexplode(c.relacl) x WHERE c.oid = $1::text::regclass AND x.grantee <> c.relowner`, table)
	if err != nil {
		t.Fatal(err)
	}
	found, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// dropRoles removes every role whose name begins with prefix, and what it holds.
func dropRoles(t *testing.T, prefix string) {
	t.Helper()
	conn := pgAdmin(t)
	defer conn.Close(context.Background()) //nolint:errcheck // a test's own connection
	_, err := conn.Exec(context.Background(), fmt.Sprintf(`DO $$ DECLARE r name; BEGIN
		FOR r IN SELECT rolname FROM pg_roles WHERE starts_with(rolname, '%s-') LOOP
			EXECUTE format('DROP OWNED BY %%I', r);
			EXECUTE format('DROP ROLE %%I', r);
		END LOOP; END $$`, prefix))
	if err != nil {
		t.Errorf("remove the roles %s-*: %v", prefix, err)
	}
}
