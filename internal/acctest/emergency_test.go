package acctest

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
	"github.com/nhi-labs/terraform-provider-nhi/internal/platform/sandbox"
	"github.com/nhi-labs/terraform-provider-nhi/internal/testenv"
)

// invoke runs one action, and nothing else.
func (w *Workspace) invoke(code int, action string, extra ...string) Result {
	w.t.Helper()
	return w.must(code, append([]string{"apply", "-no-color", "-input=false", "-auto-approve", "-invoke=action." + action}, extra...)...)
}

// actionBlock writes an action.
func actionBlock(actionType, config string) string {
	return fmt.Sprintf("\naction %q \"this\" {\n  config {\n%s\n  }\n}\n", actionType, config)
}

// issue gives an account a credential by hand.
func (s *site) issue(account string) driver.Issued {
	s.t.Helper()
	issuer, ok := s.hand.(driver.Issuer)
	if !ok {
		s.t.Fatalf("%s has no credentials", s.name)
	}
	issued, err := issuer.Issue(s.t.Context(), nhi.Ref{Name: account}, driver.IssueRequest{Label: "by-hand"})
	s.do(err)
	return issued
}

// session is something that is logged in.
type session struct {
	site *site
	with driver.Issued
	// alive returns nil while the session works.
	alive func() error
}

// logsIn returns nil if the credential still works.
func (s session) logsIn(t *testing.T) error {
	t.Helper()
	verifier, ok := s.site.hand.(driver.Verifier)
	if !ok {
		t.Fatalf("%s has no logins", s.site.name)
	}
	return verifier.Verify(t.Context(), s.with.Login, s.with.Secret)
}

// works fails the test unless login and session work, or both do not.
func (s session) works(t *testing.T, want bool) {
	t.Helper()
	if err := s.alive(); (err == nil) != want {
		t.Errorf("%s: the live session works: %v, want %v (%v)", s.site.name, err == nil, want, err)
	}
	if err := s.logsIn(t); (err == nil) != want {
		t.Errorf("%s: the login works: %v, want %v (%v)", s.site.name, err == nil, want, err)
	}
}

func postgresqlSession(t *testing.T, s *site, account string) session {
	t.Helper()
	with := s.issue(account)
	conn := pgConnect(t, with.Login, with.Secret.Reveal())
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return session{s, with, func() error { return conn.Ping(t.Context()) }}
}

func vaultSession(t *testing.T, s *site, account string) session {
	t.Helper()
	with := s.issue(account)
	client := vaultClient(t)
	answer, err := client.Logical().Write("auth/approle/login", map[string]any{"role_id": with.Login, "secret_id": with.Secret.Reveal()})
	if err != nil {
		t.Fatal(err)
	}
	client.SetToken(answer.Auth.ClientToken)
	return session{s, with, func() error {
		_, err := client.Auth().Token().LookupSelfWithContext(t.Context())
		return err
	}}
}

func sandboxSession(t *testing.T, s *site, path, account string) session {
	t.Helper()
	admin, err := sandbox.OpenAdmin(sandbox.Config{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = admin.Close() })
	with := s.issue(account)
	if err := admin.Login(t.Context(), account, with.Secret); err != nil {
		t.Fatal(err)
	}
	return session{s, with, func() error {
		if n, err := admin.Sessions(t.Context(), account); n == 0 || err != nil {
			return fmt.Errorf("%d sessions: %w", n, err)
		}
		return nil
	}}
}

// The emergency stop of an identity with a live session and a credential on each of three platforms, one of which is
// down: the other two are cut off, the error names the third, and a second call finishes. All it needs is the name.
func TestEmergencyStop(t *testing.T) {
	t.Parallel()
	w := NewWorkspace(t)
	if !w.atLeast(queryVersion) {
		w.withoutActions(t)
		return
	}
	gate := NewGate(t, strings.TrimPrefix(testenv.Load(t).Vault.Address, "http://"))
	pg, vault, box := postgresqlSite(t, "warehouse", ""), vaultSite(t, "secrets", "http://"+gate.Addr), sandboxSite(t, "company")
	c := config{stack: unique(t, "stack"), identity: unique(t, "agent"), sites: []*site{pg, vault, box}, holds: []int{0}}
	owner := c.workspace(t)
	owner.Apply()
	boxPath := strings.Split(strings.Split(box.block(), "path = \"")[1], "\"")[0]
	onPG, onVault, onBox := postgresqlSession(t, pg, c.identity), vaultSession(t, vault, c.identity), sandboxSession(t, box, boxPath, c.identity)
	for _, s := range []session{onPG, onVault, onBox} {
		s.works(t, true)
	}
	box.marked("bystander", nhi.Mark{Stack: c.stack, Identity: "bystander"})

	// Another directory, without any state.
	w.env = owner.env
	w.Setenv("TF_CLI_CONFIG_FILE", filepath.Join(w.dir, "cli.rc"))
	w.Configure(providerOver(c.stack, pg, vault, box) + "variable \"identity\" {}\n" +
		actionBlock("nhi_suspend", "    identity = var.identity") + actionBlock("nhi_resume", "    identity = var.identity"))
	gate.Shut()
	out := w.invoke(exitError, "nhi_suspend.this", "-var=identity="+c.identity)
	out.Has(t, fmt.Sprintf(`Unable to suspend identity %q on platform "secrets"`, c.identity), "Set enabled = false in the nhi_identity",
		fmt.Sprintf(`company: account %q: is suspended, its sessions are ended, 1 of its credentials are revoked`, c.identity))
	out.HasNot(t, `on platform "warehouse"`, `on platform "company"`)
	onPG.works(t, false)
	onBox.works(t, false)
	onVault.works(t, true)

	gate.Open()
	w.invoke(0, "nhi_suspend.this", "-var=identity="+c.identity).Has(t, fmt.Sprintf("warehouse: account %q: was suspended before", c.identity))
	for _, s := range []session{onPG, onVault, onBox} {
		s.works(t, false)
		account := s.site.account(c.identity)
		if account.Status != nhi.Suspended || len(account.Credentials) > 0 {
			t.Errorf("%s: the account is %s with %d credentials", s.site.name, account.Status, len(account.Credentials))
		}
		s.site.holds(c.identity, s.site.entitlements[0])
	}
	if box.account("bystander").Status != nhi.Active {
		t.Error("another identity was suspended")
	}

	// The configuration says enabled = true: the plan says honestly that it would resume.
	owner.Plan(exitChanges).Has(t, `"suspended" -> "active"`, "0 to add, 1 to change, 0 to destroy")
	w.invoke(0, "nhi_resume.this", "-var=identity="+c.identity).Has(t, "that were revoked stay revoked")
	owner.Plan(exitEmpty)
	for _, s := range []session{onPG, onVault, onBox} {
		s.works(t, false)
	}
	w.invoke(exitError, "nhi_suspend.this", "-var=identity=nobody-has-this-name").Has(t, "No account found")
}

// withoutActions does the same with what a CLI without actions has: enabled = false and -target.
func (w *Workspace) withoutActions(t *testing.T) {
	t.Helper()
	s := sandboxSite(t, "company")
	c := config{stack: "stack", identity: "agent", sites: []*site{s}, holds: []int{0}}
	w.Configure(c.hcl())
	w.Apply()
	login := issued(t, s)("agent")
	c.extra = "  enabled = false"
	w.Configure(c.hcl())
	w.ApplyOnly("-target=nhi_identity.this", "-refresh=false")
	if err := login(); err == nil || s.account("agent").Status != nhi.Suspended {
		t.Errorf("the login works (%v), the account is %s", err, s.account("agent").Status)
	}
}

// What the emergency stop touches: accounts by their mark under any name, what nobody marked only if it is named, and
// never what belongs to others.
func TestEmergencyStopFindsAccounts(t *testing.T) {
	t.Parallel()
	w := NewWorkspace(t)
	if !w.atLeast(queryVersion) {
		return // TestEmergencyStop covers what other CLIs have.
	}
	a, b := sandboxSite(t, "a"), sandboxSite(t, "b")
	mark := nhi.Mark{Stack: "stack", Identity: "agent"}
	a.marked("T_AGENT", mark)
	a.marked("agent", nhi.Mark{Stack: "stack", Identity: "sibling"})
	b.foreign("agent")
	stop := func(code int, config string) Result {
		w.Configure(providerOver("stack", a, b) + actionBlock("nhi_suspend", "    identity = \"agent\"\n"+config))
		return w.invoke(code, "nhi_suspend.this")
	}
	status := func(want map[*site]map[string]nhi.Status) {
		t.Helper()
		for s, accounts := range want {
			for name, status := range accounts {
				if got := s.account(name).Status; got != status {
					t.Errorf("%s: account %q is %s, want %s", s.name, name, got, status)
				}
			}
		}
	}
	stop(exitError, "").Has(t, `account "agent" on platform "b" carries no mark`, `account_names = { b = "agent" }`)
	status(map[*site]map[string]nhi.Status{a: {"T_AGENT": nhi.Suspended, "agent": nhi.Active}, b: {"agent": nhi.Active}})
	stop(exitError, `account_names = { a = "agent" }`+"\nplatforms = [\"a\"]").Has(t, `already belongs to the identity "sibling"`)
	stop(exitError, `account_names = { a = "T_AGNET" }`).Has(t, `has no account "T_AGNET"`)
	stop(exitError, `platforms = ["c"]`).Has(t, "Unknown platform")
	status(map[*site]map[string]nhi.Status{a: {"agent": nhi.Active}, b: {"agent": nhi.Active}})
	stop(0, `account_names = { b = "agent" }`)
	status(map[*site]map[string]nhi.Status{a: {"T_AGENT": nhi.Suspended, "agent": nhi.Active}, b: {"agent": nhi.Suspended}})
}

// nhi_rotate delivers a new credential at once, and the next apply of the rotation makes it the current one.
func TestRotateNow(t *testing.T) {
	t.Parallel()
	w := NewWorkspace(t)
	if !w.atLeast(queryVersion) {
		return // rotate_when_changed is what other CLIs have: TestRotationForced.
	}
	pg, vault, store := postgresqlSite(t, "warehouse", ""), vaultSite(t, "secrets", ""), sandboxSite(t, "vaultlet")
	r := newRotations(t, []*site{pg}, vault, store)
	r.extraDeliver = "    fields = {\n      url    = \"postgres://{{login_urlencoded}}:{{secret_urlencoded}}@db/x\"\n      login  = \"{{login}}\"\n" +
		"      secret = \"{{secret}}\"\n    }"
	w = r.workspace(t)
	rotate := actionBlock("nhi_rotate", fmt.Sprintf("    identity = %q\n    platform = \"warehouse\"\n    delivered = nhi_rotation.warehouse.delivered", r.identity))
	w.Configure(r.hcl() + rotate)
	w.Apply()
	before := r.held(t, pg, vault)

	w.invoke(0, "nhi_rotate.this").Has(t, "Apply the nhi_rotation", "has logged in", `is delivered to "`+r.path(pg)+`"`)
	state := w.rotationState("warehouse")
	for _, s := range []*site{vault, store} {
		now := r.held(t, pg, s)
		if now.Metadata["nhi_label"] == state.Current || now.Fields["secret"].Equal(before.Fields["secret"]) || pg.login(t, now) != nil {
			t.Errorf("%s still holds %s", s.name, now.Metadata["nhi_label"])
		}
		if url := now.Fields["url"].Reveal(); !strings.HasPrefix(url, "postgres://") || url == before.Fields["url"].Reveal() {
			t.Errorf("%s: the fields are not as declared: %v", s.name, len(url))
		}
	}
	if err := pg.login(t, before); err != nil {
		t.Errorf("a caller that has the old credential is cut off: %v", err)
	}
	w.invoke(exitError, "nhi_rotate.this").Has(t, "has 2 credentials and can have 2 at once")

	w.Plan(exitChanges).Has(t, "rotate: finish nhi-2-", "which an interrupted run or nhi_rotate issued")
	w.ApplyOnly()
	w.Plan(exitEmpty)
	r.consistent(t, w)
	if err := pg.login(t, before); err != nil {
		t.Errorf("the overlap is not kept: %v", err)
	}
	w.MoveClock(2 * time.Hour)
	w.Plan(exitChanges).Has(t, "retire nhi-1-")
	w.ApplyOnly()
	if err := pg.login(t, before); err == nil {
		t.Error("the old credential works after the overlap")
	}

	// Only what a rotation has delivered.
	w.Configure(r.hcl() + strings.Replace(rotate, "nhi_rotation.warehouse.delivered", `[{ platform = "secrets", path = "secret/elsewhere" }]`, 1))
	w.invoke(exitError, "nhi_rotate.this").Has(t, "holds no credential of")
}
