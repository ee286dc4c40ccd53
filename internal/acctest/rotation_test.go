package acctest

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
	"github.com/nhi-labs/terraform-provider-nhi/internal/testenv"
)

// cycle is a little longer than rotate_every. It is short, because Vault ends credentials by its own clock.
const cycle = 25 * time.Hour

// rotations is a configuration with one identity, and one rotation per site of it.
type rotations struct {
	config
	stores []*site
	// extraRotation goes into every nhi_rotation, deliver into every deliver block; period replaces the usual one.
	extraRotation, extraDeliver, period string
	// pace is the time between two logins of a client.
	pace time.Duration
}

const usualPeriod = "  rotate_every = \"24h\"\n  overlap      = \"1h\"\n"

func newRotations(t *testing.T, issuers []*site, stores ...*site) rotations {
	t.Helper()
	r := rotations{config: config{stack: unique(t, "stack"), identity: unique(t, "agent"), sites: issuers, noGrant: true}}
	r.stores, r.period, r.pace = stores, usualPeriod, 50*time.Millisecond
	for _, s := range stores {
		r.extraProvider += s.block()
	}
	return r
}

// path is where the credentials of an issuer are in every store.
func (r rotations) path(issuer *site) string { return "secret/" + r.identity + "/" + issuer.name }

func (r rotations) hcl() string {
	var b strings.Builder
	b.WriteString(r.config.hcl())
	for _, issuer := range r.sites {
		b.WriteString(r.rotation(issuer))
	}
	return b.String()
}

// rotation is the resource of one issuer.
func (r rotations) rotation(issuer *site) string {
	var b strings.Builder
	fmt.Fprintf(&b, "\nresource \"nhi_rotation\" %q {\n  identity = nhi_identity.this\n  platform = %q\n%s%s\n", issuer.name, issuer.name,
		r.period, r.extraRotation)
	for _, store := range r.stores {
		fmt.Fprintf(&b, "  deliver {\n    platform = %q\n    path     = %q\n%s\n  }\n", store.name, r.path(issuer), r.extraDeliver)
	}
	b.WriteString("}\n")
	return b.String()
}

func (r rotations) workspace(t *testing.T) *Workspace {
	t.Helper()
	w := r.config.workspace(t)
	for _, s := range r.stores {
		w.env = append(w.env, s.env...)
		for _, issuer := range r.sites {
			t.Cleanup(func() { _ = s.secrets().RemoveSecret(context.Background(), r.path(issuer)) })
		}
	}
	w.Configure(r.hcl())
	return w
}

// secrets is the site as a secret store.
func (s *site) secrets() driver.SecretStore {
	s.t.Helper()
	store, ok := s.hand.(driver.SecretStore)
	if !ok {
		s.t.Fatalf("%s is no secret store", s.name)
	}
	return store
}

// held is what a store holds of an issuer's credentials.
func (r rotations) held(t *testing.T, issuer, store *site) driver.StoredSecret {
	t.Helper()
	stored, err := store.secrets().GetSecret(t.Context(), r.path(issuer))
	if err != nil {
		t.Fatalf("%s: %v", store.name, err)
	}
	return stored
}

// login logs in with what a store holds.
func (s *site) login(t *testing.T, stored driver.StoredSecret) error {
	t.Helper()
	verifier, ok := s.hand.(driver.Verifier)
	if !ok {
		t.Fatalf("%s has no logins", s.name)
	}
	return verifier.Verify(t.Context(), stored.Fields["login"].Reveal(), stored.Fields["secret"])
}

// client is a program that logs in with whatever a store says, again and again.
type client struct {
	issuer, store *site
	path, account string

	mu       sync.Mutex
	logins   int
	failures []string
	most     int
	seen     map[string]driver.StoredSecret // by secret
	stop     chan struct{}
	done     chan struct{}
}

// startClient begins as soon as the store holds something.
func (r rotations) startClient(t *testing.T, issuer, store *site) *client {
	c := &client{issuer: issuer, store: store, path: r.path(issuer), account: r.identity, seen: make(map[string]driver.StoredSecret),
		stop: make(chan struct{}), done: make(chan struct{})}
	go func() {
		defer close(c.done)
		tick := time.NewTicker(r.pace)
		defer tick.Stop()
		for {
			select {
			case <-c.stop:
				return
			case <-tick.C:
				c.turn(t)
			}
		}
	}()
	t.Cleanup(c.end)
	return c
}

func (c *client) end() {
	c.mu.Lock()
	select {
	case <-c.stop:
	default:
		close(c.stop)
	}
	c.mu.Unlock()
	<-c.done
}

// turn is one login.
func (c *client) turn(t *testing.T) {
	stored, err := c.store.secrets().GetSecret(t.Context(), c.path)
	if err != nil && c.store.hand.Classify(err).Code == driver.NotFound {
		return
	}
	if err == nil {
		err = c.issuer.login(t, stored)
	}
	account, readErr := c.issuer.hand.ReadAccount(t.Context(), nhi.Ref{Name: c.account})
	c.mu.Lock()
	defer c.mu.Unlock()
	c.logins++
	if err != nil || readErr != nil {
		c.failures = append(c.failures, fmt.Sprintf("%v: %v %v", time.Now(), err, readErr))
		return
	}
	c.most = max(c.most, len(account.Credentials))
	c.seen[stored.Fields["secret"].Reveal()] = stored
}

// finish stops the client, which must never have failed, and returns everything that it logged in with.
func (c *client) finish(t *testing.T) []driver.StoredSecret {
	t.Helper()
	c.end()
	if len(c.failures) > 0 || c.logins == 0 {
		t.Errorf("%s: %d of %d logins failed: %s", c.issuer.name, len(c.failures), c.logins, strings.Join(c.failures, "\n"))
	}
	issuer, ok := c.issuer.hand.(driver.Issuer)
	if !ok || c.most > issuer.Slots() {
		t.Errorf("%s: %d credentials at once", c.issuer.name, c.most)
	}
	t.Logf("%s: %d logins with %d credentials, %d at once", c.issuer.name, c.logins, len(c.seen), c.most)
	var out []driver.StoredSecret
	for _, stored := range c.seen {
		out = append(out, stored)
	}
	return out
}

// settled fails the test unless each issuer has one credential and every store holds it.
func (r rotations) settled(t *testing.T) {
	t.Helper()
	for _, issuer := range r.sites {
		credentials := issuer.account(r.identity).Credentials
		if len(credentials) != 1 {
			t.Errorf("%s: credentials %+v, want one", issuer.name, credentials)
			return
		}
		for _, store := range r.stores {
			stored := r.held(t, issuer, store)
			if err := issuer.login(t, stored); err != nil {
				t.Errorf("%s: login with what %s holds: %v", issuer.name, store.name, err)
			}
			if got := stored.Metadata["nhi_label"]; got != credentials[0].Label {
				t.Errorf("%s holds %s, the account has %s", store.name, got, credentials[0].Label)
			}
		}
	}
}

// Three rotations on real PostgreSQL and Vault at once, while clients log in all the time: none fails, retired
// credentials do, scheduled plans say what is due, and no secret is where it must not be.
func TestRotationNeverBreaksACaller(t *testing.T) {
	if !onlyOnce() {
		return
	}
	t.Parallel()
	pg, vault := postgresqlSite(t, "warehouse", ""), vaultSite(t, "secrets", "")
	r := newRotations(t, []*site{pg, vault})
	r.stores = []*site{vault}
	w := r.workspace(t)
	secrets := watchForSecrets(t, w)
	keep := secrets.keep
	keep(w.ApplyOnly())
	clients := []*client{r.startClient(t, pg, vault), r.startClient(t, vault, vault)}
	for i := range 3 {
		w.MoveClock(time.Duration(i+1) * cycle)
		plan := w.Plan(exitChanges, "-out=saved")
		plan.Has(t, `- "rotate: due since`, `- "rotate: due since`)
		if i > 0 {
			plan.Has(t, `- "retire nhi-`, "its overlap ended")
		}
		keep(plan)
		keep(w.must(0, "show", "-json", "saved"))
		keep(w.must(0, "apply", "-no-color", "saved"))
	}
	keep(w.Plan(exitEmpty))
	w.MoveClock(3*cycle + 2*time.Hour)
	w.Plan(exitChanges).Has(t, `- "retire nhi-`, "its overlap ended")
	keep(w.Apply())
	r.settled(t)
	for _, c := range clients {
		secrets.sample(t)
		all := c.finish(t)
		if len(all) != 4 {
			t.Errorf("%s: the client has seen %d credentials, want 4", c.issuer.name, len(all))
		}
		current := r.held(t, c.issuer, vault)
		for _, stored := range all {
			secrets.add(stored.Fields["secret"])
			err := c.issuer.login(t, stored)
			if isCurrent := stored.Fields["secret"].Equal(current.Fields["secret"]); isCurrent != (err == nil) {
				t.Errorf("%s: credential %s: current %t, login %v", c.issuer.name, stored.Metadata["nhi_label"], isCurrent, err)
			}
		}
	}
	keep(w.Destroy())
	for _, c := range clients {
		if _, err := vault.secrets().GetSecret(t.Context(), c.path); vault.hand.Classify(err).Code != driver.NotFound {
			t.Errorf("%s is still there: %v", c.path, err)
		}
	}
	log := testenv.Load(t).PostgreSQL.LogFile
	if content, err := os.ReadFile(log); err != nil || !strings.Contains(string(content), `create role "`+r.identity+"~") {
		t.Errorf("the server's log does not show how the credentials were made, so it proves nothing: %v", err)
	}
	secrets.check(t, log)
}
