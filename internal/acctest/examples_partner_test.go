package acctest

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
	"github.com/nhi-labs/terraform-provider-nhi/internal/platform/postgresql"
	"github.com/nhi-labs/terraform-provider-nhi/internal/platform/vault"
	"github.com/nhi-labs/terraform-provider-nhi/internal/secret"
	"github.com/nhi-labs/terraform-provider-nhi/internal/testenv"
)

// The agents of the example, and a moment between the ends of their contracts.
const (
	invoiceAgent    = "partner-invoice-agent"
	triageAgent     = "partner-triage-agent"
	contractIsOver  = "2031-07-01T00:00:00Z"
	ticketTriage    = "project:billing#Reporter"
	invoicesOfAgent = "kv/data/invoice-reader/" + invoiceAgent
)

// partnerSites are the ticket system, the secrets manager and the data warehouse.
func partnerSites(t *testing.T) (tickets, secrets, warehouse *site) {
	t.Helper()
	servers := testenv.Load(t)
	secrets = newSite(t, "secrets", "", vault.Spec(), func() (driver.Driver, error) {
		return vault.Open(vault.Config{Address: servers.Vault.Address, Token: secret.New(servers.Vault.Token)})
	})
	pg := servers.PostgreSQL
	warehouse = newSite(t, "warehouse", "", postgresql.Spec(), func() (driver.Driver, error) {
		return postgresql.Open(postgresql.Config{Host: pg.Host, Port: pg.Port, Database: "analytics", Username: pg.Username,
			Password: secret.New(pg.Password), SSLRootCert: pg.CAFile})
	})
	return redmineHand(t, "tickets", ""), secrets, warehouse
}

// partnerAgent makes what the roles name.
func partnerAgent(t *testing.T, e *exampleRun) {
	t.Helper()
	redmineExample(t, e)
	if err := vaultClient(t).Sys().PutPolicy("invoice-reader", `path "kv/data/invoice-reader/*" { capabilities = ["read"] }`); err != nil {
		t.Fatal(err)
	}
	tickets, secrets, warehouse := partnerSites(t)
	for _, s := range []*site{tickets, secrets, warehouse} {
		s.cleanup(invoiceAgent)
		s.cleanup(triageAgent)
	}
}

// The agent of a partner has on three real systems what its roles need and nothing else. When the contract has ended, the
// next plan suspends it on all three, and no login works any more.
func partnerContractEnds(t *testing.T, e *exampleRun) {
	t.Helper()
	tickets, secrets, warehouse := partnerSites(t)
	tickets.holds(invoiceAgent, ticketTriage)
	secrets.holds(invoiceAgent, "policy:invoice-reader")
	warehouse.holds(invoiceAgent, "schema:finance#usage", "table:finance.invoices#select")
	tickets.holds(triageAgent, ticketTriage)
	secrets.gone(triageAgent)
	warehouse.gone(triageAgent)

	logins := map[string]func() error{
		"tickets": issued(t, tickets)(invoiceAgent), "secrets": issued(t, secrets)(invoiceAgent), "warehouse": invoiceLogin(t, secrets),
	}
	triage := issued(t, tickets)(triageAgent)
	for name, login := range logins {
		if err := login(); err != nil {
			t.Fatalf("%s: login before the end of the contract: %v", name, err)
		}
	}

	end, err := time.Parse(time.RFC3339, contractIsOver)
	if err != nil {
		t.Fatal(err)
	}
	e.MoveClock(time.Until(end))
	plan := e.Plan(exitChanges)
	plan.HasNot(t, `nhi_identity.agent["partner-triage-agent"] will be`, `nhi_grant.agent["partner-invoice-agent"] will be`)
	if n := strings.Count(plan.Output, `"active" -> "suspended"`); n < 3 {
		t.Errorf("the plan shows %d accounts that it suspends:\n%s", n, plan.Output)
	}
	e.Apply()
	for _, s := range []*site{tickets, secrets, warehouse} {
		if status := s.account(invoiceAgent).Status; status != nhi.Suspended {
			t.Errorf("%s: the account is %s", s.name, status)
		}
		if err := logins[s.name](); err == nil {
			t.Errorf("%s: the login still works", s.name)
		}
	}
	if err := triage(); err != nil || tickets.account(triageAgent).Status != nhi.Active {
		t.Errorf("the agent whose contract goes on cannot log in: %v", err)
	}
}

// invoiceLogin reads the agent's password of the warehouse, as the agent, and returns a login with it.
func invoiceLogin(t *testing.T, secrets *site) func() error {
	t.Helper()
	issuer, ok := secrets.hand.(driver.Issuer)
	if !ok {
		t.Fatal("Vault has no credentials")
	}
	issuedID, err := issuer.Issue(t.Context(), nhi.Ref{Name: invoiceAgent}, driver.IssueRequest{Label: "of-the-agent"})
	if err != nil {
		t.Fatal(err)
	}
	client := vaultClient(t)
	client.ClearToken()
	session, err := client.Logical().Write("auth/approle/login", map[string]any{"role_id": issuedID.Login, "secret_id": issuedID.Secret.Reveal()})
	if err != nil {
		t.Fatal(err)
	}
	client.SetToken(session.Auth.ClientToken)
	delivered, err := client.Logical().Read(invoicesOfAgent)
	if err != nil || delivered == nil {
		t.Fatalf("the agent cannot read its password of the warehouse: %v", err)
	}
	fields, ok := delivered.Data["data"].(map[string]any)
	if !ok {
		t.Fatalf("%s has no data", invoicesOfAgent)
	}
	login, password := fmt.Sprint(fields["login"]), fmt.Sprint(fields["secret"])
	return func() error {
		conn, err := pgTry(t, login, password)
		if err == nil {
			_ = conn.Close(context.Background())
		}
		return err
	}
}
