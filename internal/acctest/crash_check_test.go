package acctest

import (
	"context"
	"database/sql"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/nhi-labs/terraform-provider-nhi/internal/audit/check"
	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
)

// settled fails the test unless nothing is left to do: for the program, on the platforms as they look by hand, in state
// and in evidence.
func (w *world) settled() {
	w.t.Helper()
	if w.there {
		w.Plan(exitEmpty)
	} else if left := w.State(); len(left.Resources) > 0 {
		w.t.Errorf("state after destroy: %+v", left)
	}
	for _, s := range w.r.sites {
		w.onSite(s)
	}
	if w.there {
		w.inState()
	}
	switch {
	case w.rotation && w.suspended:
		for _, store := range w.r.stores {
			if w.r.sites[0].login(w.t, w.r.held(w.t, w.r.sites[0], store)) == nil {
				w.t.Errorf("the login that %s holds works, and the identity is suspended", store.name)
			}
		}
	case w.rotation:
		w.r.consistent(w.t, w.Workspace)
	}
	if n := w.undelivered(); n > 0 {
		w.t.Errorf("%d events wait in state", n)
	}
	w.complete(false)
	w.checked()
}

// onSite looks at everything on a platform that the stack or the identity has there.
func (w *world) onSite(s *site) {
	w.t.Helper()
	ours := s.markedWith(w.t, w.r.stack)
	if !w.there {
		s.gone(w.r.identity)
		if len(ours) > 0 {
			w.t.Errorf("%s: accounts are left: %+v", s.name, ours)
		}
	}
	if got, want := s.things(w.t, w.r.identity), w.wantedThings(s); !maps.Equal(got, want) {
		w.t.Errorf("%s has %v, want %v", s.name, got, want)
	}
	if !w.there {
		return
	}
	if len(ours) != 1 {
		w.t.Errorf("%s: %d accounts carry the mark, want one: %+v", s.name, len(ours), ours)
		return
	}
	s.holds(w.r.identity, s.texts(w.r.holds...)...)
	status := nhi.Active
	if w.suspended {
		status = nhi.Suspended
	}
	if a := ours[0]; a.Mark.Identity != w.r.identity || a.Name != w.r.identity || a.Status != status {
		w.t.Errorf("%s: %+v, want it %s", s.name, a, status)
	}
}

// wantedThings is what things must find.
func (w *world) wantedThings(s *site) map[string]int {
	w.t.Helper()
	want := make(map[string]int)
	if w.there {
		want["account"] = 1
		if s.spec.Kind == "vault" {
			want["entity"], want["alias"] = 1, 1
		}
	}
	if !w.rotation {
		return want
	}
	if s == w.r.sites[0] {
		want["credential"] = len(w.rotationState(s.name).Credentials)
		if w.lost && w.suspended {
			want["credential"] = s.things(w.t, w.r.identity)["credential"]
		}
	}
	if slices.Contains(w.r.stores, s) {
		want["secret"] = 1
	}
	return want
}

// inState fails the test unless state says what is there.
func (w *world) inState() {
	w.t.Helper()
	accounts := w.Attributes("nhi_identity", "this").Accounts
	grant := w.Attributes("nhi_grant", "this")
	for _, s := range w.r.sites {
		there, recorded := s.account(w.r.identity), accounts[s.name]
		if recorded.Name != there.Name || recorded.ID != there.ID || recorded.Status != string(there.Status) {
			w.t.Errorf("%s: state has %+v, there is %+v", s.name, recorded, there)
		}
		got := slices.Sorted(slices.Values(grant.Entitlements[s.name]))
		if want := slices.Sorted(slices.Values(s.texts(w.r.holds...))); !slices.Equal(got, want) {
			w.t.Errorf("%s: state has the entitlements %v, want %v", s.name, got, want)
		}
	}
	if len(accounts) != len(w.r.sites) || len(grant.Entitlements) != len(w.r.sites) {
		w.t.Errorf("state has %v and %v", accounts, grant.Entitlements)
	}
}

// checked compares evidence with state as auditors do. A run that was stopped may have announced what it never told the
// outcome of, and an imported account was given by somebody else what it holds; that must be all.
func (w *world) checked() {
	w.t.Helper()
	file, err := os.Open(w.path("terraform.tfstate"))
	if err != nil {
		w.t.Fatal(err)
	}
	defer file.Close() //nolint:errcheck // only read
	state, err := check.ReadState(file)
	if err != nil {
		w.t.Fatal(err)
	}
	findings := check.Run(w.events(), []check.State{state})
	announced := slices.ContainsFunc(findings, func(f check.Finding) bool { return f.Kind == check.NoOutcome })
	for _, f := range findings {
		switch {
		case f.Kind == check.NoOutcome, f.Kind == check.NoAccess && (announced || w.lost):
		case f.Kind == check.NoEvidence && w.imported() && strings.Contains(f.Detail, " of account"):
		default:
			w.t.Errorf("audit-check: %s", f)
		}
	}
}

// markedWith lists the accounts with a mark of the stack.
func (s *site) markedWith(t *testing.T, stack string) []nhi.Account {
	t.Helper()
	var found []nhi.Account
	keep := func(a nhi.Account) {
		if a.Mark.Stack == stack {
			found = append(found, a)
		}
	}
	if sweeper, ok := s.hand.(driver.Sweeper); ok {
		err := sweeper.Sweep(t.Context(), driver.SweepFilter{Stack: stack}, func(page []nhi.Account) error {
			for _, a := range page {
				keep(a)
			}
			return nil
		})
		s.do(err)
		return found
	}
	lister, ok := s.hand.(driver.Lister)
	if !ok {
		t.Fatalf("%s cannot list its accounts", s.name)
	}
	s.do(lister.ListAccounts(t.Context(), func(page []nhi.Ref) error {
		for _, ref := range page {
			a, err := s.hand.ReadAccount(t.Context(), ref)
			switch {
			case err == nil:
				keep(a)
			case s.hand.Classify(err).Code != driver.NotFound: // another test's, gone meanwhile
				return err
			}
		}
		return nil
	}))
	return found
}

// things counts what a platform has of an identity, without the driver and whether marked or not: the driver may
// overlook what it left half done.
func (s *site) things(t *testing.T, identity string) map[string]int {
	t.Helper()
	switch s.spec.Kind {
	case "sandbox":
		return s.inSandbox(t)
	case "postgresql":
		return inPostgreSQL(t, identity)
	case "vault":
		return inVault(t, identity)
	default:
		t.Fatalf("%s: nothing is known of %s", s.name, s.spec.Kind)
		return nil
	}
}

// inSandbox counts everything: a sandbox is the test's own.
func (s *site) inSandbox(t *testing.T) map[string]int {
	t.Helper()
	db, err := sql.Open("sqlite", s.path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close() //nolint:errcheck // a test's own connection
	found := make(map[string]int)
	for thing, query := range map[string]string{
		"account": "SELECT count(*) FROM accounts", "credential": "SELECT count(*) FROM credentials",
		"secret": "SELECT count(DISTINCT path) FROM secrets",
	} {
		var n int
		if err := db.QueryRowContext(t.Context(), query).Scan(&n); err != nil {
			t.Fatal(err)
		}
		if n > 0 {
			found[thing] = n
		}
	}
	return found
}

// inPostgreSQL counts roles: an account's own, and one for each credential.
func inPostgreSQL(t *testing.T, identity string) map[string]int {
	t.Helper()
	conn := pgAdmin(t)
	defer conn.Close(context.Background()) //nolint:errcheck // a test's own connection
	rows, err := conn.Query(t.Context(), "SELECT rolname FROM pg_roles WHERE starts_with(rolname, $1)", identity)
	if err != nil {
		t.Fatal(err)
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	found := make(map[string]int)
	for _, name := range names {
		if name == identity {
			found["account"]++
		} else {
			found["credential"]++
		}
	}
	return found
}

// inVault counts AppRoles, entities, aliases and secrets.
func inVault(t *testing.T, identity string) map[string]int {
	t.Helper()
	client := vaultClient(t)
	list := func(path string) map[string]any {
		answer, err := client.Logical().ListWithContext(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		if answer == nil { // nothing is there
			return nil
		}
		return answer.Data
	}
	found := make(map[string]int)
	for thing, path := range map[string]string{"account": "auth/approle/role", "secret": "secret/metadata/" + identity} {
		keys, _ := list(path)["keys"].([]any)
		for _, key := range keys {
			if thing == "secret" || strings.Contains(fmt.Sprint(key), identity) {
				found[thing]++
			}
		}
	}
	entities, _ := list("identity/entity/id")["key_info"].(map[string]any)
	for id := range entities {
		answer, err := client.Logical().ReadWithContext(t.Context(), "identity/entity/id/"+id)
		if err != nil {
			t.Fatal(err)
		}
		if answer == nil || !strings.Contains(fmt.Sprint(answer.Data["name"], answer.Data["metadata"]), identity) {
			continue
		}
		found["entity"]++
		aliases, _ := answer.Data["aliases"].([]any)
		if len(aliases) > 0 {
			found["alias"] += len(aliases)
		}
	}
	return found
}
