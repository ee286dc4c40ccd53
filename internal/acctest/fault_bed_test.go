package acctest

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/nhi-labs/terraform-provider-nhi/internal/audit"
	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
	"github.com/nhi-labs/terraform-provider-nhi/internal/testenv"
)

// faultBed is one identity on four platforms, with a grant on each and a rotation from one into two others, whose life is
// lived again and again while the platforms fail.
type faultBed struct {
	t     *testing.T
	c     config
	ways  *faultWays
	links map[string]*faultLink // by platform; the sandbox is a file and has none
	// issuer and stores are the platforms of the rotation.
	issuer *site
	stores []*site
	admin  faultAdmin // of the issuer
	urls   map[string]string
	// runner plans and applies.
	runner faultRunner
}

// faultRunner is what plans and applies the steps of a life.
type faultRunner interface {
	// begin makes the step's configuration the one that counts, after the time that passes before it, and forgets the
	// evidence of earlier steps.
	begin(step faultStep)
	// plan plans and keeps the plan, apply applies the plan that was kept, and again does both.
	plan(step faultStep) faultRun
	apply(step faultStep) faultRun
	again(step faultStep) faultRun
	// reading is what the plan that was kept has read back and would do.
	reading() (planReading, error)
	state() State
	rotation() rotationState
	// undelivered counts the events that wait, unevidenced lists the changes that a platform accepted and no event tells of.
	undelivered() int
	events() []audit.Event
	unevidenced() []string
	// disk limits the size of files, 0 does not.
	disk(bytes int)
	// forget throws state away.
	forget()
}

// faultRun is what came of a plan or an apply.
type faultRun struct {
	failed bool
	// empty plans have nothing to do.
	empty bool
	// broken are breaches of the plugin protocol, and evidence that was lost at the end of the process.
	broken []string
	output string
}

// newFaultBed makes a bed without a runner, whose platforms have names below .test, or addresses if named is false.
func newFaultBed(t *testing.T, named bool) *faultBed {
	t.Helper()
	host := func(platform string) string {
		if named {
			return platform + ".test"
		}
		return "127.0.0.1"
	}
	ways, servers := newFaultWays(t), testenv.Load(t)
	b := &faultBed{t: t, ways: ways, links: ways.links, urls: make(map[string]string)}
	pg, vault, scim, sandbox := postgresqlSite(t, "warehouse", ""), vaultSite(t, "secrets", ""), scimSite(t, "sap", ""), sandboxSite(t, "vaultlet")
	b.admin = ways.postgresql(pg.name, host(pg.name))
	b.urls[vault.name] = ways.http(vault.name, host(vault.name), servers.Vault.Address)
	b.urls[scim.name] = ways.http(scim.name, host(scim.name), servers.SCIM.URL)
	b.issuer, b.stores = pg, []*site{vault, sandbox}
	b.c = config{stack: unique(t, "stack"), identity: unique(t, "agent"), sites: []*site{pg, vault, scim, sandbox}}
	t.Cleanup(b.wipe)
	return b
}

func (b *faultBed) rotation(c config) rotations {
	return rotations{config: c, stores: b.stores, period: usualPeriod}
}

// faultStep is one request of the user.
type faultStep struct {
	name  string
	holds []int
	// suspended is for enabled = false.
	suspended bool
	bare      bool // without the rotation
	imports   bool
	destroy   bool
	// inUse says that callers use the credential from before to after.
	inUse bool
	// later is how much time has passed before.
	later time.Duration
	// byHand is what happens on the platforms before.
	byHand func(b *faultBed)
}

// faultLife is what happens to the identity, from nothing to nothing.
func faultLife() []faultStep {
	return []faultStep{
		{name: "create", holds: []int{0, 1}},
		{name: "change", holds: []int{1, 2}, inUse: true},
		{name: "refresh", holds: []int{1, 2}, inUse: true},
		{name: "rotate", holds: []int{1, 2}, later: cycle, inUse: true},
		{name: "suspend", holds: []int{1, 2}, suspended: true},
		{name: "resume", holds: []int{1, 2}},
		{name: "destroy", holds: []int{1, 2}, destroy: true},
		{name: "import", holds: []int{0, 3}, bare: true, imports: true, byHand: func(b *faultBed) {
			for _, s := range b.c.sites {
				_, err := s.hand.CreateAccount(b.t.Context(), driver.AccountSpec{Name: b.c.identity, Mark: nhi.Mark{Stack: "x", Identity: "y"}})
				s.do(err)
				s.do(s.hand.UpdateAccount(b.t.Context(), nhi.Ref{Name: b.c.identity}, driver.AccountChange{Mark: &nhi.Mark{}}))
				s.grantByHand(b.c.identity, s.entitlements[0])
				s.grantByHand(b.c.identity, s.entitlements[3])
			}
		}},
		{name: "destroy imported", holds: []int{0, 3}, bare: true, destroy: true},
	}
}

// begin brings about what the step starts from.
func (b *faultBed) begin(step faultStep) {
	if step.byHand != nil {
		step.byHand(b)
	}
	b.runner.begin(step)
}

// config is what the step declares, without its rotation.
func (b *faultBed) config(step faultStep) config {
	c := b.c
	c.holds = step.holds
	if step.suspended {
		c.extra = "  enabled = false"
	}
	return c
}

// observe reads all platforms by hand.
func (b *faultBed) observe() observed {
	b.t.Helper()
	there := make(observed)
	for _, s := range b.c.sites {
		account, err := s.hand.ReadAccount(b.t.Context(), nhi.Ref{Name: b.c.identity})
		switch {
		case err == nil:
			there[s.name] = account
		case s.hand.Classify(err).Code != driver.NotFound:
			b.t.Fatalf("%s: read by hand: %v", s.name, err)
		}
	}
	return there
}

// settled says in what the platforms differ from the step's configuration.
func (b *faultBed) settled(step faultStep) []string {
	var wrong []string
	there := b.observe()
	for _, s := range b.c.sites {
		account, ok := there[s.name]
		switch {
		case step.destroy && ok:
			wrong = append(wrong, fmt.Sprintf("%s still has %+v", s.name, account))
		case step.destroy:
		case !ok:
			wrong = append(wrong, "no account on "+s.name)
		default:
			wrong = append(wrong, b.differs(step, s, account)...)
		}
	}
	wrong = append(wrong, b.rotated(step, there)...)
	if n := b.runner.undelivered(); n > 0 {
		wrong = append(wrong, fmt.Sprintf("%d events wait", n))
	}
	if left := b.runner.state().Resources; step.destroy && len(left) > 0 {
		wrong = append(wrong, fmt.Sprintf("state has %+v", left))
	}
	return wrong
}

func (b *faultBed) differs(step faultStep, s *site, account nhi.Account) []string {
	var wrong []string
	var want []nhi.Entitlement
	for _, text := range s.texts(step.holds...) {
		want = append(want, s.parse(text))
	}
	if got, want := nhi.JoinTexts(account.Entitlements), nhi.JoinTexts(nhi.SortEntitlements(want)); got != want {
		wrong = append(wrong, fmt.Sprintf("%s holds %s, want %s", s.name, got, want))
	}
	status := nhi.Active
	if step.suspended {
		status = nhi.Suspended
	}
	if account.Status != status {
		wrong = append(wrong, fmt.Sprintf("%s is %s, want %s", s.name, account.Status, status))
	}
	if mark := (nhi.Mark{Stack: b.c.stack, Identity: b.c.identity}); account.Mark != mark {
		wrong = append(wrong, fmt.Sprintf("%s is marked %v", s.name, account.Mark))
	}
	if s != b.issuer && len(account.Credentials) > 0 {
		wrong = append(wrong, fmt.Sprintf("%s has credentials %v", s.name, account.Credentials))
	}
	return wrong
}

// rotated says what is wrong with the credentials and where they were delivered.
func (b *faultBed) rotated(step faultStep, there observed) []string {
	var wrong []string
	path := b.rotation(b.c).path(b.issuer)
	if step.bare || step.destroy {
		for _, store := range b.stores {
			if _, err := store.secrets().GetSecret(b.t.Context(), path); err == nil || store.hand.Classify(err).Code != driver.NotFound {
				wrong = append(wrong, fmt.Sprintf("%s has a secret left: %v", store.name, err))
			}
		}
		if n := len(there[b.issuer.name].Credentials); n > 0 {
			wrong = append(wrong, fmt.Sprintf("%d credentials are left", n))
		}
		return wrong
	}
	state := b.runner.rotation()
	var known, have []string
	for _, c := range state.Credentials {
		known = append(known, c.Label)
	}
	for _, c := range there[b.issuer.name].Credentials {
		have = append(have, c.Label)
	}
	slices.Sort(known)
	slices.Sort(have)
	if !slices.Equal(known, have) {
		wrong = append(wrong, fmt.Sprintf("state knows the credentials %v, the account has %v", known, have))
	}
	for _, store := range b.stores {
		stored, err := store.secrets().GetSecret(b.t.Context(), path)
		if err != nil || stored.Metadata["nhi_label"] != state.Current {
			wrong = append(wrong, fmt.Sprintf("%s holds %s, want %s (%v)", store.name, stored.Metadata["nhi_label"], state.Current, err))
		}
	}
	if !step.suspended {
		wrong = append(wrong, b.callers()...)
	}
	return wrong
}

// callers logs in with what the stores hold, as everything does that uses the credential. A store that holds nothing has
// no callers.
func (b *faultBed) callers() []string {
	var wrong []string
	for _, store := range b.stores {
		stored, err := store.secrets().GetSecret(b.t.Context(), b.rotation(b.c).path(b.issuer))
		if err != nil {
			continue
		}
		if err := b.issuer.login(b.t, stored); err != nil {
			wrong = append(wrong, fmt.Sprintf("a caller with the credential in %s fails: %v", store.name, err))
		}
	}
	return wrong
}

// unevidenced lists what is different on the platforms, and what they accepted, and no event tells.
func (b *faultBed) unevidenced(before, after observed) []string {
	wrong := b.runner.unevidenced()
	events := b.runner.events()
	tells := func(platform string, activity audit.Activity) bool {
		return slices.ContainsFunc(events, func(e audit.Event) bool { return e.Platform.Name == platform && e.Activity == activity })
	}
	need := func(platform string, activity audit.Activity, needed bool) {
		if needed && !tells(platform, activity) {
			wrong = append(wrong, fmt.Sprintf("no event tells of %s on %s", activity, platform))
		}
	}
	for _, s := range b.c.sites {
		was, existed := before[s.name]
		is, exists := after[s.name]
		need(s.name, audit.CreateAccount, !existed && exists)
		need(s.name, audit.DeleteAccount, existed && !exists)
		if !exists {
			continue
		}
		need(s.name, audit.Grant, len(nhi.Without(is.Entitlements, was.Entitlements)) > 0)
		need(s.name, audit.Revoke, len(nhi.Without(was.Entitlements, is.Entitlements)) > 0)
		need(s.name, audit.SuspendAccount, is.Status == nhi.Suspended && was.Status != nhi.Suspended)
		need(s.name, audit.ResumeAccount, is.Status == nhi.Active && was.Status == nhi.Suspended)
		need(s.name, audit.IssueCredential, len(is.Credentials) > len(was.Credentials))
		need(s.name, audit.RevokeCredential, len(is.Credentials) < len(was.Credentials))
	}
	return wrong
}

// wipe removes what there is on the platforms.
func (b *faultBed) wipe() {
	ctx := context.Background()
	for _, s := range b.c.sites {
		_ = s.hand.DeleteAccount(ctx, nhi.Ref{Name: b.c.identity})
	}
	for _, store := range b.stores {
		_ = store.secrets().RemoveSecret(ctx, b.rotation(b.c).path(b.issuer))
	}
}
