package acctest

import (
	"fmt"
	"net"
	"slices"
	"strconv"
	"testing"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
	"github.com/nhi-labs/terraform-provider-nhi/internal/testenv"
)

// eightKinds is one identity with an account on a real server of each of eight kinds. Three of the accounts have a
// credential that is rotated, which is in Vault.
type eightKinds struct {
	rotations
	*Workspace
	t *testing.T
	// issuers have a rotation, down are behind gates.
	issuers []*site
	down    []gated
}

func newEightKinds(t *testing.T) *eightKinds {
	t.Helper()
	servers := testenv.Load(t)
	ldapGate := NewGate(t, net.JoinHostPort(servers.LDAP.Host, strconv.Itoa(servers.LDAP.Port)))
	redmineGate, redmineURL := gateURL(t, servers.Redmine.URL)
	directory, tickets := ldapSite(t, "directory", ldapGate.Addr), redmineSite(t, "tickets", redmineURL)
	warehouse, shop, secrets := postgresqlSite(t, "warehouse", ""), mysqlSite(t, "shop"), vaultSite(t, "secrets", "")
	all := []*site{
		warehouse, shop, secrets, directory, tickets, scimSite(t, "sap", ""), kubernetesSite(t, "cluster"), oauthSite(t, "login", secrets),
	}
	e := &eightKinds{t: t, issuers: []*site{warehouse, shop, directory}, down: []gated{{directory, ldapGate}, {tickets, redmineGate}}}
	e.rotations = rotations{period: usualPeriod, stores: []*site{secrets}, config: config{
		stack: unique(t, "stack"), identity: unique(t, "agent"), sites: all, holds: []int{0},
	}}
	e.Workspace = e.config.workspace(t)
	return e
}

// configure writes the identity, its grant and its rotations.
func (e *eightKinds) configure() {
	e.t.Helper()
	hcl := e.config.hcl()
	for _, issuer := range e.issuers {
		hcl += e.rotation(issuer)
	}
	e.Configure(hcl)
}

// are fails the test unless every account holds what was declared, and is active or, where that can be, suspended.
func (e *eightKinds) are(status nhi.Status) {
	e.t.Helper()
	for _, s := range e.sites {
		s.holds(e.identity, s.texts(0)...)
		want := nhi.Active
		if s.spec.Can(driver.CanSuspend) {
			want = status
		}
		if got := s.account(e.identity).Status; got != want {
			e.t.Errorf("%s: the account is %s, want %s", s.name, got, want)
		}
	}
}

// logIn logs in on every platform with a rotation, with what Vault holds, and returns that by platform.
func (e *eightKinds) logIn(works bool) map[string]driver.StoredSecret {
	e.t.Helper()
	held := make(map[string]driver.StoredSecret)
	for _, s := range e.issuers {
		held[s.name] = e.held(e.t, s, e.stores[0])
		if err := s.login(e.t, held[s.name]); (err == nil) != works {
			e.t.Errorf("%s: login: %v, want that it works: %t", s.name, err, works)
		}
	}
	return held
}

// One identity lives on eight kinds of platforms at once, from its creation to its end, in which two of them are down.
func TestEightKindsAtOnce(t *testing.T) {
	if !onlyOnce() {
		return
	}
	t.Parallel()
	e := newEightKinds(t)
	e.configure()
	e.Apply()
	e.are(nhi.Active)
	first := e.logIn(true)

	e.driftEverywhere()

	e.extra = "  enabled = false"
	e.configure()
	e.suspensionReaches(e.Plan(exitChanges))
	e.Apply()
	e.are(nhi.Suspended)
	e.logIn(false)
	e.extra = ""
	e.configure()
	e.Apply()
	e.are(nhi.Active)
	e.logIn(true)

	e.extraRotation = "  rotate_when_changed = { reason = \"leaver\" }"
	e.configure()
	e.Apply()
	second := e.logIn(true)
	for _, s := range e.issuers {
		if second[s.name].Fields["secret"].Equal(first[s.name].Fields["secret"]) {
			t.Errorf("%s: the credential is the same after the rotation", s.name)
		}
		if err := s.login(t, first[s.name]); err != nil {
			t.Errorf("%s: login with the old credential during the overlap: %v", s.name, err)
		}
	}

	e.destroyWithTwoDown()
	e.leftNothing(first, second)
}

// driftEverywhere grants something by hand on every platform. The plan names it there, and applying it takes it away.
func (e *eightKinds) driftEverywhere() {
	e.t.Helper()
	for _, s := range e.sites {
		s.grantByHand(e.identity, s.entitlements[1])
	}
	plan := e.Plan(exitChanges)
	for _, s := range e.sites {
		plan.Has(e.t, fmt.Sprintf("~ %q = [ - %q, # (1 unchanged element hidden) ]", s.name, s.entitlements[1]))
	}
	e.Apply()
	e.are(nhi.Active)
}

// suspensionReaches fails the test unless a plan warns of the platforms where the accounts stay active, and of no others.
func (e *eightKinds) suspensionReaches(plan Result) {
	e.t.Helper()
	var active []string
	for _, s := range e.sites {
		warning := fmt.Sprintf("Account %q on platform %q stays active", e.identity, s.name)
		if s.spec.Can(driver.CanSuspend) {
			plan.HasNot(e.t, warning)
		} else {
			plan.Has(e.t, warning)
			active = append(active, s.spec.Kind)
		}
	}
	if want := []string{"kubernetes", "oauth_client"}; !slices.Equal(active, want) {
		e.t.Errorf("kinds that cannot suspend: %v, want %v", active, want)
	}
}

// destroyWithTwoDown destroys while two platforms are down. The accounts on the six others are gone at once; those two
// follow when their platforms are back.
func (e *eightKinds) destroyWithTwoDown() {
	e.t.Helper()
	up := slices.Clone(e.sites)
	for _, d := range e.down {
		d.gate.Shut()
		up = slices.DeleteFunc(up, func(s *site) bool { return s == d.site })
	}
	failed := e.DestroyFails("-refresh=false")
	for _, d := range e.down {
		failed.Has(e.t, fmt.Sprintf("Unable to delete the grant of %q on platform %q", e.identity, d.name))
	}
	held := e.Attributes("nhi_grant", "this").Entitlements
	for _, d := range e.down {
		if len(held) != len(e.down) || !slices.Equal(held[d.name], d.texts(0)) {
			e.t.Errorf("state of the grant holds %v, want what is left on the two that are down", held)
		}
	}
	for _, s := range up {
		s.gone(e.identity)
	}
	for _, d := range e.down {
		d.holds(e.identity, d.texts(0)...)
		d.gate.Open()
	}
	e.Destroy()
}

// leftNothing fails the test if anything of the identity is left: an account, a login, a delivered secret, or a membership or
// binding that an account of the same name would come into.
func (e *eightKinds) leftNothing(credentials ...map[string]driver.StoredSecret) {
	e.t.Helper()
	for _, s := range e.sites {
		s.gone(e.identity)
	}
	store := e.stores[0]
	for _, s := range e.issuers {
		for _, held := range credentials {
			if err := s.login(e.t, held[s.name]); err == nil {
				e.t.Errorf("%s: a credential survived the destroy", s.name)
			}
		}
		if _, err := store.secrets().GetSecret(e.t.Context(), e.path(s)); store.hand.Classify(err).Code != driver.NotFound {
			e.t.Errorf("%s is still there: %v", e.path(s), err)
		}
	}
	for _, s := range e.sites {
		s.marked(e.identity, nhi.Mark{Stack: e.stack, Identity: e.identity})
		s.holds(e.identity)
	}
}
