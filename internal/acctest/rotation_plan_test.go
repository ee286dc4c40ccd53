package acctest

import (
	"database/sql"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
	"github.com/nhi-labs/terraform-provider-nhi/internal/secret"
)

// withSlots is a sandbox whose accounts have n credentials at once.
func withSlots(t *testing.T, name string, n int) *site {
	t.Helper()
	s := sandboxSite(t, name)
	block := s.block()
	s.block = func() string {
		return strings.Replace(block, "sandbox {", fmt.Sprintf("sandbox {\n  credential_slots = %d", n), 1)
	}
	return s
}

func (s *site) issueByHand(account, label string) driver.Issued {
	s.t.Helper()
	issuer, ok := s.hand.(driver.Issuer)
	if !ok {
		s.t.Fatalf("%s issues no credentials", s.name)
	}
	issued, err := issuer.Issue(s.t.Context(), nhi.Ref{Name: account}, driver.IssueRequest{Label: label})
	s.do(err)
	return issued
}

// Not due, clock moved backwards, rotate_when_changed, full slots, an overlap of zero, and rotation in place.
func TestWhenRotationIsDue(t *testing.T) {
	t.Parallel()
	s, store := sandboxSite(t, "warehouse"), sandboxSite(t, "secrets")
	r := newRotations(t, []*site{s}, store)
	w := r.workspace(t)
	w.Apply()
	first := r.held(t, s, store)
	for _, clock := range []time.Duration{23 * time.Hour, -48 * time.Hour} {
		w.MoveClock(clock)
		w.Plan(exitEmpty)
	}
	w.MoveClock(0)

	r.extraRotation = "  rotate_when_changed = { key = \"1\" }"
	w.Configure(r.hcl())
	w.Plan(exitChanges).Has(t, "Applying this plan will", "rotate: rotate_when_changed has changed")
	w.Apply()
	r.consistent(t, w)
	second := r.held(t, s, store)
	if second.Fields["secret"].Equal(first.Fields["secret"]) {
		t.Error("rotate_when_changed did not rotate")
	}
	w.MoveClock(-48 * time.Hour) // the overlap is not over because the clock went back
	w.Plan(exitEmpty)

	w.MoveClock(0)
	r.extraRotation = "  rotate_when_changed = { key = \"2\" }"
	w.Configure(r.hcl())
	w.Plan(exitError).Has(t, "Impossible rotation", "the account has 2 credentials and can have 2 at once", "may be retired from")
	w.MoveClock(2 * time.Hour)
	w.Apply()
	r.consistent(t, w)

	r.period, r.extraRotation = "  rotate_every = \"24h\"\n  overlap = \"0s\"\n", "  rotate_when_changed = { key = \"3\" }"
	w.Configure(r.hcl())
	w.MoveClock(4 * time.Hour)
	w.Apply()
	r.settled(t)
	if err := s.login(t, second); err == nil {
		t.Error("an overlap of zero left an older credential")
	}
	w.Destroy()
}

// A suspended identity proves nothing, so its rotations wait; resumed, it goes on with the credential that it had.
func TestRotationOfASuspendedIdentity(t *testing.T) {
	if !onlyOnce() {
		return
	}
	t.Parallel()
	pg, vault := postgresqlSite(t, "warehouse", ""), vaultSite(t, "secrets", "")
	r := newRotations(t, []*site{pg, vault})
	r.stores = []*site{vault}
	w := r.workspace(t)
	w.ApplyOnly()
	r.extra = "  enabled = false"
	w.Configure(r.hcl())
	w.Apply()
	w.MoveClock(cycle)
	w.Plan(exitEmpty)
	r.extra = ""
	w.Configure(r.hcl())
	w.ApplyOnly()
	r.settled(t)
	w.Plan(exitChanges).Has(t, "rotate: due since")
	w.Apply()
	r.consistent(t, w)
}

// withSpareStore is a rotation from one sandbox into another, and a third one that it could deliver to.
func withSpareStore(t *testing.T) (r rotations, issuer, store, spare *site, w *Workspace) {
	t.Helper()
	issuer, store, spare = sandboxSite(t, "warehouse"), sandboxSite(t, "secrets"), sandboxSite(t, "more")
	r = newRotations(t, []*site{issuer}, store)
	r.extraProvider += spare.block()
	return r, issuer, store, spare, r.workspace(t)
}

// In an emergency one apply suspends the identity, changes the trigger and moves the deliveries. It succeeds, and nothing is
// left to apply; the apply that resumes rotates, and delivers to the new place.
func TestTriggerOfASuspendedIdentity(t *testing.T) {
	if !onlyOnce() {
		return
	}
	t.Parallel()
	r, s, store, second, w := withSpareStore(t)
	w.ApplyOnly()
	leaked := r.held(t, s, store)
	r.extra, r.extraRotation, r.stores = "  enabled = false", "  rotate_when_changed = { incident = \"1\" }", []*site{second}
	w.Configure(r.hcl())
	w.Plan(exitChanges).Has(t, "suspends the account, so this waits until it is resumed: - rotate: rotate_when_changed has changed")
	w.ApplyOnly().Has(t, "was put off", "The account is suspended, so nothing was issued, delivered or removed")
	w.Plan(exitEmpty).Has(t, "A rotation waits (rotate_when_changed has changed)", "waits: the account is suspended")
	if !r.held(t, s, store).Fields["secret"].Equal(leaked.Fields["secret"]) {
		t.Error("the only copy of the secret is gone")
	}
	r.extra = ""
	w.Configure(r.hcl())
	w.Plan(exitChanges).Has(t, "Applying this plan resumes the account")
	w.Apply()
	r.consistent(t, w)
	if r.held(t, s, second).Fields["secret"].Equal(leaked.Fields["secret"]) {
		t.Error("the trigger was forgotten")
	}
}

// With one slot a rotation is refused, or with allow_outage done in place.
func TestRotationInPlace(t *testing.T) {
	if !onlyOnce() {
		return
	}
	t.Parallel()
	s, store := withSlots(t, "warehouse", 1), sandboxSite(t, "secrets")
	r := newRotations(t, []*site{s}, store)
	w := r.workspace(t)
	w.Plan(exitError).Has(t, "one credential at a time", "allow_outage = true")
	r.extraRotation = "  allow_outage = true"
	w.Configure(r.hcl())
	w.Apply()
	first := r.held(t, s, store)
	w.MoveClock(cycle)
	w.Apply()
	r.settled(t)
	if err := s.login(t, first); err == nil {
		t.Error("the old credential still works")
	}
}

// A credential that somebody made by hand is shown by the first plan that sees it and revoked by the apply of that plan,
// never by an apply whose plan did not know it.
func TestUnmanagedCredential(t *testing.T) {
	if !onlyOnce() {
		return
	}
	t.Parallel()
	s, store := withSlots(t, "warehouse", 3), sandboxSite(t, "secrets")
	r := newRotations(t, []*site{s}, store)
	w := r.workspace(t)
	w.Apply()
	w.MoveClock(cycle)
	w.Plan(exitChanges, "-out=saved")
	s.issueByHand(r.identity, "by-hand")
	w.must(0, "apply", "-no-color", "saved")
	if got := len(s.account(r.identity).Credentials); got != 3 {
		t.Errorf("%d credentials after an apply that did not know of the third", got)
	}
	w.Plan(exitChanges).Has(t, "(by-hand): no rotation made this credential")
	w.Apply()
	r.consistent(t, w)

	// What somebody writes into a store is put right, too.
	stored := r.held(t, s, store)
	stored.Fields["secret"] = secret.New("by-hand")
	if _, err := store.secrets().PutSecret(t.Context(), r.path(s), stored); err != nil {
		t.Fatal(err)
	}
	w.Plan(exitChanges).Has(t, "rotate: no store can give the current credential back")
	w.MoveClock(cycle + 2*time.Hour)
	w.Apply()
	r.consistent(t, w)
}

// Another store is served without a rotation, and one that is not named any more is emptied.
func TestDeliveriesChange(t *testing.T) {
	if !onlyOnce() {
		return
	}
	t.Parallel()
	r, s, store, second, w := withSpareStore(t)
	w.Apply()
	before := r.held(t, s, store)
	r.stores = []*site{store, second}
	w.Configure(r.hcl())
	w.Apply()
	r.settled(t)
	r.stores = []*site{second}
	r.extraDeliver = "    fields = { login = \"{{login}}\", secret = \"{{secret}}\", URL = \"db://{{login}}:{{secret_urlencoded}}@db/x\" }"
	w.Configure(r.hcl())
	w.Apply()
	r.settled(t)
	after := r.held(t, s, second)
	if !after.Fields["secret"].Equal(before.Fields["secret"]) {
		t.Error("a change of the deliveries rotated")
	}
	want := "db://" + r.identity + ":" + before.Fields["secret"].Reveal() + "@db/x"
	if after.Fields["URL"].Reveal() != want {
		t.Errorf("the template gave something else than %d characters", len(want))
	}
	if _, err := store.secrets().GetSecret(t.Context(), r.path(s)); store.hand.Classify(err).Code != driver.NotFound {
		t.Errorf("the store that is not named any more: %v", err)
	}
}

// All deliveries move while both slots are taken, so nothing can be issued for the new place: the old one keeps the only copy of the
// secret until there is room.
func TestDeliveriesMoveDuringAnOverlap(t *testing.T) {
	if !onlyOnce() {
		return
	}
	t.Parallel()
	r, s, store, spare, w := withSpareStore(t)
	w.ApplyOnly()
	w.MoveClock(cycle)
	w.ApplyOnly()
	r.stores = []*site{spare}
	w.Configure(r.hcl())
	w.ApplyOnly().Has(t, "was put off", "may be retired from")
	w.Plan(exitEmpty).Has(t, "A rotation waits (no store can give the current credential back)")
	if err := s.login(t, r.held(t, s, store)); err != nil {
		t.Errorf("what the old place holds: %v", err)
	}
	w.MoveClock(cycle + 2*time.Hour)
	w.Apply()
	r.consistent(t, w)
}

// used lets the sandbox say that its newest credential was last used at a time. It knows the real time only.
func (s *site) used(t *testing.T, at time.Time) {
	t.Helper()
	db, err := sql.Open("sqlite", s.path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close() //nolint:errcheck // a test's own connection
	_, err = db.ExecContext(t.Context(), "UPDATE credentials SET last_used_at = ? WHERE number = (SELECT max(number) FROM credentials)", at.UnixMicro())
	if err != nil {
		t.Fatal(err)
	}
}

// The previous credential is kept until somebody has used the current one.
func TestRequireUseBeforeRetire(t *testing.T) {
	if !onlyOnce() {
		return
	}
	t.Parallel()
	s, store := sandboxSite(t, "warehouse"), sandboxSite(t, "secrets")
	r := newRotations(t, []*site{s}, store)
	r.extraRotation = "  require_use_before_retire = true"
	w := r.workspace(t)
	w.Apply()
	w.MoveClock(cycle)
	w.Apply()
	promoted := time.Now().Add(cycle)
	w.MoveClock(cycle + 2*time.Hour)
	s.used(t, promoted.Add(time.Minute)) // as our own proof may look
	w.Plan(exitEmpty).Has(t, "nobody has used the current credential yet")
	s.used(t, promoted.Add(time.Hour))
	w.Plan(exitChanges).Has(t, `- "retire nhi-1-`)
	w.Apply()
	r.settled(t)
}

// State is lost, the account is full, and one plan resumes the identity and delivers elsewhere: it cannot say which credential has to
// go, so its apply revokes none, whether it creates the rotation or that was done before. The next plan names the one that goes.
func TestNothingIsRevokedThatNoPlanHasNamed(t *testing.T) {
	if !onlyOnce() {
		return
	}
	for name, createdBefore := range map[string]bool{"created": false, "updated": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, s, store, spare, w := withSpareStore(t)
			w.ApplyOnly()
			w.MoveClock(cycle)
			w.ApplyOnly()
			used := r.held(t, s, store)
			w.must(0, "state", "rm", "nhi_rotation.warehouse")
			r.extra, r.stores = "  enabled = false", []*site{spare}
			w.Configure(r.config.hcl())
			if createdBefore {
				w.Configure(r.hcl())
			}
			w.ApplyOnly()

			r.extra = ""
			w.Configure(r.hcl())
			plan := w.Plan(exitChanges)
			plan.Has(t, "waits: the account is suspended", "Applying this plan resumes the account")
			if strings.Contains(plan.Output, "revoke nhi-") {
				t.Errorf("the plan knows already what goes, so this tests nothing:\n%s", plan.Output)
			}
			w.ApplyOnly().Has(t, "was put off", "the account has 2 credentials and can have 2 at once", "Plan again after this apply")
			if got := s.account(r.identity).Credentials; len(got) != 2 || !strings.HasPrefix(got[0].Label, "nhi-1-") || s.login(t, used) != nil {
				t.Fatalf("credentials %+v, or the delivered one does not work", got)
			}

			w.Plan(exitChanges, "-refresh=false").Has(t, "waits (no store can give back", "with a refresh")
			w.Plan(exitChanges).Has(t, `- "revoke nhi-1-`, "no store can give it back, and a new one needs its place")
			w.Apply()
			r.consistent(t, w)
			if err := s.login(t, used); err != nil {
				t.Errorf("the credential that the plan kept: %v", err)
			}
		})
	}
}

// What cannot be applied is refused before anything is changed: first what needs no platform, then the rest.
func TestRotationRefusals(t *testing.T) {
	if !onlyOnce() {
		return
	}
	t.Parallel()
	s, store := sandboxSite(t, "warehouse"), sandboxSite(t, "secrets")
	r := newRotations(t, []*site{s}, store)
	w := r.workspace(t)
	head := r.config.hcl() + "\n"
	block := func(name, body string) string {
		return fmt.Sprintf("resource \"nhi_rotation\" %q {\n  identity = nhi_identity.this\n%s\n}\n", name, body)
	}
	on := "  platform = \"warehouse\"\n"
	deliver := func(path, fields string) string {
		return fmt.Sprintf("  deliver {\n    platform = \"secrets\"\n    path = %q\n%s\n  }\n", path, fields)
	}
	w.Configure(head +
		block("overlap", on+"  rotate_every = \"1h\"\n"+deliver("a", "")) +
		block("short", on+"  rotate_every = \"1s\"\n  overlap = \"0s\"\n"+deliver("a", "")) +
		block("nowhere", on) +
		block("path", on+deliver("/a/", "")) +
		block("placeholder", on+deliver("a", `fields = { X = "{{secrte}}" }`)) +
		block("open", on+deliver("a", `fields = { X = "{{secret" }`)) +
		block("useless", on+deliver("a", `fields = { X = "{{login}}" }`)) +
		block("reserved", on+deliver("a", `fields = { nhi = "{{secret}}" }`)) +
		block("twice", on+deliver("a", "")+deliver("a", "")))
	w.Plan(exitError).Has(t, "Overlap longer than the period", "less than a minute", "deliver", "without a slash at an end",
		"did you mean {{secret}}?", "write }} behind its name", "Nothing to deliver", "Reserved field", "Duplicate deliver block")

	head += "\nresource \"nhi_identity\" \"other\" {\n  name = \"" + r.identity + "-2\"\n  kind = \"workload\"\n  owner = \"x\"\n  account {\n    platform = \"warehouse\"\n  }\n}\n"
	w.Configure(head)
	w.Apply()
	_, err := store.secrets().PutSecret(t.Context(), "foreign", driver.StoredSecret{Fields: map[string]secret.Value{"a": secret.New("b")}})
	s.do(err)
	s.issueByHand(r.identity+"-2", "one")
	s.issueByHand(r.identity+"-2", "two")
	scim := "  scim {\n    name = \"sap\"\n    url = \"http://127.0.0.1:9\"\n    token = \"x\"\n  }\n  postgresql {\n    name = \"pg\"\n    host = \"127.0.0.1\"\n    port = 9\n    database = \"x\"\n    username = \"x\"\n    password = \"x\"\n  }\n"
	w.Configure(replaceOnce(t, head, "stack = \""+r.stack+"\"\n", "stack = \""+r.stack+"\"\n"+scim) +
		block("unknown", "  platform = \"warehuose\"\n"+deliver("a", "")) +
		block("nostore", on+"  deliver {\n    platform = \"pg\"\n    path = \"a\"\n  }\n") +
		block("noissuer", "  platform = \"sap\"\n"+deliver("a", "")) +
		block("nouse", "  platform = \"pg\"\n  require_use_before_retire = true\n"+deliver("a", "")) +
		block("one", on+deliver("a", "")) + block("two", on+deliver("b", "")) +
		strings.Replace(block("full", on+deliver("c", "")), "nhi_identity.this", "nhi_identity.other", 1))
	w.Plan(exitError).Has(t, `did you mean "warehouse"?`, "is no secret store", "does not issue credentials", "does not tell when a credential was last used",
		"Conflicting rotations", "the account has 2 credentials and can have 2 at once: revoke one of them first")
	w.Configure(head + block("foreign", on+deliver("foreign", "")))
	w.Plan(exitError).Has(t, "this rotation did not deliver", "choose another path")
	if got := len(s.account(r.identity).Credentials); got != 0 {
		t.Errorf("refused plans issued %d credentials", got)
	}
}
