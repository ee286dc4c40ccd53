package acctest

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
	"github.com/nhi-labs/terraform-provider-nhi/internal/platform/scim"
	"github.com/nhi-labs/terraform-provider-nhi/internal/secret"
	"github.com/nhi-labs/terraform-provider-nhi/internal/testenv"
)

// exampleList is every example: each directory under platforms/ and guides/ by itself, and those that the reference pages
// show put together.
func exampleList(t *testing.T, examples string) []example {
	t.Helper()
	provider, resources := "provider/provider.tf", []string{"resources/nhi_identity/resource.tf", "resources/nhi_grant/resource.tf"}
	declared := append([]string{provider}, resources...)
	all := []example{
		{
			name: "resources and actions", prepare: monthEnd, use: useActions,
			files: slices.Concat(declared, []string{
				"resources/nhi_rotation/resource.tf", "ephemeral-resources/nhi_credential/ephemeral-resource.tf",
				"ephemeral-resources/nhi_token/ephemeral-resource.tf", "actions/nhi_suspend/action.tf", "actions/nhi_resume/action.tf",
				"actions/nhi_rotate/action.tf",
			}),
		},
		{name: "import by id", prepare: billingAgent, files: append(slices.Clone(declared),
			"resources/nhi_identity/import-by-string-id.tf", "resources/nhi_grant/import-by-string-id.tf")},
		{name: "import by identity", prepare: billingAgent, files: append(slices.Clone(declared),
			"resources/nhi_identity/import-by-identity.tf", "resources/nhi_grant/import-by-identity.tf")},
	}
	for _, resource := range []string{"nhi_identity", "nhi_grant"} {
		all = append(all,
			example{name: "import of " + resource, files: append(slices.Clone(declared), "resources/"+resource+"/import.sh"),
				prepare: billingAgent, first: func(t *testing.T, e *exampleRun) {
					e.lines(t, "import.sh")
					if resource == "nhi_grant" {
						e.must(0, "import", "-no-color", "nhi_identity.billing_agent", "billing-agent:warehouse,secrets,sap=T_BILLING_AGENT")
					}
				}},
			example{name: "list of " + resource, files: []string{provider, "list-resources/" + resource + "/list-resource.tfquery.hcl"},
				prepare: services, use: func(t *testing.T, e *exampleRun) {
					e.must(0, "query", "-no-color").Has(t, "billing on secrets=svc_billing_prod, warehouse=svc_billing, managed by nobody")
				}})
	}
	for _, pattern := range []string{"platforms/*", "guides/*"} {
		dirs, err := filepath.Glob(filepath.Join(examples, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, dir := range dirs {
			name := strings.TrimPrefix(dir, examples+"/")
			e := guideExamples()[name]
			e.name = name
			files, err := filepath.Glob(filepath.Join(dir, "*"))
			if err != nil {
				t.Fatal(err)
			}
			for _, file := range files {
				e.files = append(e.files, strings.TrimPrefix(file, examples+"/"))
			}
			all = append(all, e)
		}
	}
	return all
}

// guideExamples says what the directories need beyond their configuration, and what is done with their scripts.
func guideExamples() map[string]example {
	return map[string]example{
		"platforms/aws":        {reach: awsExample},
		"platforms/jira":       jiraExample(),
		"platforms/kubernetes": {prepare: kubernetesExample},
		"platforms/ldap":       {reach: directoriesExample},
		"platforms/mysql":      {prepare: mysqlExample},
		"platforms/redmine":    {prepare: redmineExample},
		"platforms/sap_btp":    {reach: sapBTPExample},
		"platforms/postgresql": {use: func(t *testing.T, e *exampleRun) {
			exampleSQL(t, "analytics", "BEGIN", "CREATE ROLE svc_billing", strings.ReplaceAll(e.read(t, "admin.sql"), "nhi_admin", "another_admin"), "ROLLBACK")
		}},
		"guides/audit":         auditExample(),
		"guides/audit-sinks":   auditSinksExample(),
		"guides/partner-agent": {prepare: partnerAgent, use: partnerContractEnds},
		"guides/adoption":      {prepare: services},
		"guides/adoption-query": {prepare: services, use: func(t *testing.T, e *exampleRun) {
			out := e.shell(t, 0, "adopt.sh")
			Result{Output: out}.Has(t, "to import, 0 to add, 0 to change, 0 to destroy")
			e.must(0, "plan", "-detailed-exitcode", "-no-color")
		}},
		"guides/drift": {use: func(t *testing.T, e *exampleRun) {
			e.pipeline(t, "github.yml")
			e.pipeline(t, "gitlab.yml")
			exampleSQL(t, "analytics", `REVOKE reporting FROM "billing-agent"`)
			Result{Output: e.shell(t, 2, "check.sh")}.Has(t, "Somebody changed access outside of Terraform")
		}},
		"guides/emergency-stop": {env: []string{"TF_VAR_identity=billing-agent"}, prepare: billingAgentMarked, use: func(t *testing.T, e *exampleRun) {
			e.shell(t, 0, "stop.sh")
			if canLogin(t, "billing-agent") {
				t.Error("the account can log in after the emergency stop")
			}
			e.shell(t, 0, "resume.sh")
			if !canLogin(t, "billing-agent") {
				t.Error("the account cannot log in after resuming")
			}
		}},
		"guides/emergency-stop-without-actions": {use: func(t *testing.T, e *exampleRun) {
			current := e.rotationState("billing_agent").Current
			e.shell(t, 0, "rotate.sh")
			if e.rotationState("billing_agent").Current == current {
				t.Error("nothing was rotated")
			}
			e.shell(t, 0, "stop.sh")
			if canLogin(t, "billing-agent") {
				t.Error("the account can log in after the emergency stop")
			}
		}},
		"guides/offboarding": {use: func(t *testing.T, e *exampleRun) {
			e.shell(t, 0, "rotate.sh")
			e.shell(t, 0, "remove.sh")
			if exists(t, "billing-agent") || !exists(t, "partner-feed") {
				t.Error("not the one identity was removed, or more than it")
			}
		}},
		"guides/partial-failure": {use: func(t *testing.T, e *exampleRun) {
			e.shell(t, 0, "remove.sh")
			e.ApplyOnly()
			e.shell(t, 0, "delete.sh")
			if exists(t, "billing-agent") {
				t.Error("the account is still there")
			}
		}},
		"guides/review": {use: func(t *testing.T, e *exampleRun) {
			e.Setenv("GITHUB_STEP_SUMMARY", filepath.Join(e.dir, "summary.md"))
			exampleSQL(t, "analytics", `REVOKE reporting FROM "billing-agent"`)
			e.pipeline(t, "github.yml")
			Result{Output: e.read(t, "summary.md")}.Has(t, "+ \"role:reporting\"")
		}},
	}
}

// prepareExamples makes what every example takes for granted on the servers.
func prepareExamples(t *testing.T) {
	t.Helper()
	server := testenv.Load(t).PostgreSQL
	drop := func() {
		exampleSQL(t, server.Database, "DROP DATABASE IF EXISTS analytics WITH (FORCE)", "DROP ROLE IF EXISTS app_owner", "DROP ROLE IF EXISTS reporting")
	}
	drop()
	t.Cleanup(drop)
	exampleSQL(t, server.Database, "CREATE ROLE app_owner", "CREATE ROLE reporting",
		"CREATE DATABASE analytics OWNER app_owner")
	exampleSQL(t, "analytics", "CREATE SCHEMA finance AUTHORIZATION app_owner", "CREATE SCHEMA audit", "CREATE TABLE finance.invoices (id int)",
		"CREATE TABLE finance.invoices_2030 (id int)", "CREATE TABLE audit.entries (id int)")

	client := vaultClient(t)
	auths, err := client.Sys().ListAuth()
	if err == nil && auths["approle/"] == nil {
		_, err = client.Logical().Write("sys/auth/approle", map[string]any{"type": "approle"})
	}
	if err == nil {
		_, err = client.Logical().Write("sys/mounts/kv", map[string]any{"type": "kv", "options": map[string]any{"version": "2"}})
	}
	if err == nil {
		err = client.Sys().PutPolicy("billing-read", `path "secret/data/billing" { capabilities = ["read"] }`)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Sys().Unmount("kv") })
}

// cleanExamples removes the roles that examples make, or that were made for them.
func cleanExamples(t *testing.T) {
	t.Helper()
	exampleSQL(t, "analytics", `DO $$ DECLARE r name; BEGIN
		FOR r IN SELECT rolname FROM pg_roles WHERE rolname ~ '^(billing-agent|partner-feed|partner-invoice-agent|report-job|svc_billing|svc_invoices)(~|$)' LOOP
			EXECUTE format('DROP OWNED BY %I', r);
			EXECUTE format('DROP ROLE %I', r);
		END LOOP; END $$`)
}

// exampleSQL runs statements as the administrator in a database.
func exampleSQL(t *testing.T, database string, statements ...string) {
	t.Helper()
	server := testenv.Load(t).PostgreSQL
	config, err := pgx.ParseConfig(fmt.Sprintf("host=%s port=%d dbname=%s sslmode=verify-full sslrootcert='%s'", server.Host, server.Port, database, server.CAFile))
	if err != nil {
		t.Fatal(err)
	}
	config.User, config.Password = server.Username, server.Password
	conn, err := pgx.ConnectConfig(context.Background(), config)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background()) //nolint:errcheck // a test's own connection
	for _, statement := range statements {
		if _, err := conn.PgConn().Exec(context.Background(), statement).ReadAll(); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
}

func canLogin(t *testing.T, role string) bool {
	t.Helper()
	return roleIs(t, "SELECT rolcanlogin FROM pg_roles WHERE rolname = $1", role)
}

func exists(t *testing.T, role string) bool {
	t.Helper()
	return roleIs(t, "SELECT count(*) > 0 FROM pg_roles WHERE rolname = $1", role)
}

func roleIs(t *testing.T, query, role string) bool {
	t.Helper()
	conn := pgAdmin(t)
	defer conn.Close(context.Background()) //nolint:errcheck // a test's own connection
	var is bool
	if err := conn.QueryRow(t.Context(), query, role).Scan(&is); err != nil {
		t.Fatal(err)
	}
	return is
}

// addGroups makes groups in the fake.
func (r *exampleRun) addGroups(t *testing.T, names ...string) {
	t.Helper()
	for _, name := range names {
		body := fmt.Sprintf(`{"schemas":["urn:ietf:params:scim:schemas:core:2.0:Group"],"displayName":%q}`, name)
		req := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/scim/Groups", strings.NewReader(body))
		req.Header.Set("Content-Type", "application/scim+json")
		answer := httptest.NewRecorder()
		r.fake.Admin().ServeHTTP(answer, req)
		if answer.Code != http.StatusCreated {
			t.Fatalf("make the group %s: %s", name, answer.Body)
		}
	}
}

// byHand returns a driver for the SAP of an example.
func (r *exampleRun) byHand(t *testing.T) driver.Driver {
	t.Helper()
	d, err := scim.Open(scim.Config{URL: r.sap.URL + "/scim", Dialect: scim.SAPCloudIdentity,
		Auth: scim.Auth{Username: "terraform", Password: secret.New(examplePassword)}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	return d
}

// account makes an account in the SAP of an example; one with the zero mark is nobody's.
func (r *exampleRun) account(t *testing.T, name string, mark nhi.Mark) {
	t.Helper()
	d := r.byHand(t)
	ref, err := d.CreateAccount(t.Context(), driver.AccountSpec{Name: name, Mark: nhi.Mark{Stack: "x", Identity: "y"}})
	if err == nil {
		err = d.UpdateAccount(t.Context(), ref, driver.AccountChange{Mark: &mark})
	}
	if err != nil {
		t.Fatal(err)
	}
}

// monthEnd makes the account of an identity that another workspace declares.
func monthEnd(t *testing.T, e *exampleRun) {
	t.Helper()
	e.account(t, "T_MONTH_END", nhi.Mark{Stack: exampleStack, Identity: "month-end-job"})
}

// billingAgent makes the accounts that are imported, with what they hold.
func billingAgent(t *testing.T, e *exampleRun) {
	t.Helper()
	monthEnd(t, e)
	e.account(t, "T_BILLING_AGENT", nhi.Mark{})
	exampleSQL(t, "analytics", `CREATE ROLE "billing-agent" LOGIN IN ROLE reporting`, `GRANT SELECT ON finance.invoices TO "billing-agent"`)
	vaultRole(t, "billing-agent", "billing-read")
}

// billingAgentMarked makes the accounts of an identity that is declared elsewhere.
func billingAgentMarked(t *testing.T, _ *exampleRun) {
	t.Helper()
	mark := nhi.Mark{Stack: exampleStack, Identity: "billing-agent"}
	pg, vault := postgresqlSite(t, "warehouse", ""), vaultSite(t, "secrets", "")
	pg.marked("billing-agent", mark)
	vault.marked("billing-agent", mark)
}

// services makes accounts that nobody manages.
func services(t *testing.T, _ *exampleRun) {
	t.Helper()
	exampleSQL(t, "analytics", "CREATE ROLE svc_billing LOGIN",
		"CREATE ROLE svc_invoices LOGIN IN ROLE reporting")
	vaultRole(t, "svc_billing_prod", "billing-read")
}

func vaultRole(t *testing.T, name, policy string) {
	t.Helper()
	client := vaultClient(t)
	if _, err := client.Logical().Write("auth/approle/role/"+name, map[string]any{"token_policies": policy}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = client.Logical().Delete("auth/approle/role/" + name) })
}

// useActions invokes every action.
func useActions(t *testing.T, e *exampleRun) {
	t.Helper()
	e.invoke(0, "nhi_rotate.warehouse")
	e.ApplyOnly()
	e.Plan(exitEmpty)
	e.invoke(0, "nhi_suspend.stop")
	e.invoke(0, "nhi_resume.billing_agent")
	e.invoke(0, "nhi_suspend.stop_sap")
	e.Plan(exitChanges).Has(t, `"suspended" -> "active"`)
}
