package vault_test

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
	"github.com/nhi-labs/terraform-provider-nhi/internal/platform/internal/resttest"
	"github.com/nhi-labs/terraform-provider-nhi/internal/secret"
)

func TestHalfMadeAccountIsFoundByItsMarkAndCompleted(t *testing.T) {
	s := newServer(t)
	d := full(t, s.Open(t))
	name := random("half")
	id := s.call(t, http.MethodPost, "identity/entity",
		encode(t, map[string]any{"name": name, "metadata": map[string]string{"nhi_mark": mark.String()}})).Data.ID
	account := read(t, d, nhi.Ref{Name: name})
	if account.Mark != mark || account.ID != id || account.Status != nhi.Suspended {
		t.Fatalf("half-made account reads as %+v", account)
	}
	_, err := d.CreateAccount(t.Context(), driver.AccountSpec{Name: name, Mark: mark})
	wantCode(t, d, err, driver.AlreadyExists)
	must(t, d.Resume(t.Context(), account.Ref))
	if account = read(t, d, account.Ref); account.Status != nhi.Active || account.Mark != mark {
		t.Fatalf("completed account reads as %+v", account)
	}
	issued, err := d.Issue(t.Context(), account.Ref, driver.IssueRequest{Label: "a"})
	must(t, err)
	must(t, d.Verify(t.Context(), issued.Login, issued.Secret))
	must(t, d.DeleteAccount(t.Context(), account.Ref))
}

// TestDeletedRoleIsDrift deletes the role by hand: the account is there, cannot log in, and comes back with Resume.
func TestDeletedRoleIsDrift(t *testing.T) {
	s := newServer(t)
	d := full(t, s.Open(t))
	ref, e := create(t, d), s.policy(t)
	must(t, d.Grant(t.Context(), ref, []nhi.Entitlement{e}))
	s.call(t, http.MethodDelete, s.role(ref.Name), "")
	if account := read(t, d, ref); account.Status != nhi.Suspended || account.Mark != mark {
		t.Fatalf("account without its role reads as %+v", account)
	}
	must(t, d.Resume(t.Context(), ref))
	if account := read(t, d, ref); account.Status != nhi.Active || account.Ref != ref {
		t.Fatalf("account with its role reads as %+v", account)
	}
	wantHolds(t, d, ref, e.String())
	must(t, d.DeleteAccount(t.Context(), ref))
}

// TestKilledCreation stops CreateAccount for good at each of its requests. The next run with the same mark finds the
// account by its mark, or makes it; nothing is left under a passing name.
func TestKilledCreation(t *testing.T) {
	s := newServer(t)
	for n := 1; ; n++ {
		name := random("killed")
		_, err := s.killedAfter(t, n).CreateAccount(t.Context(), driver.AccountSpec{Name: name, Mark: mark})
		d := s.Open(t)
		account, readErr := d.ReadAccount(t.Context(), nhi.Ref{Name: name})
		switch {
		case readErr == nil && account.Mark != mark:
			t.Fatalf("killed after %d requests: the account has the mark %q", n, account.Mark)
		case readErr != nil:
			wantCode(t, d, readErr, driver.NotFound)
			ref, err := d.CreateAccount(t.Context(), driver.AccountSpec{Name: name, Mark: mark})
			must(t, err)
			account.Ref = ref
		}
		must(t, d.DeleteAccount(t.Context(), account.Ref))
		for _, left := range s.entityNames(t) {
			if strings.Contains(left, name) {
				t.Fatalf("killed after %d requests: the entity %q is left", n, left)
			}
		}
		if err == nil {
			if n < 6 {
				t.Fatalf("creation took %d requests; the test did not kill it", n)
			}
			return
		}
	}
}

// TestKilledAdoption stops the adoption of an AppRole that has no entity at each of its requests. The next run adopts it, and
// no second entity is left behind.
func TestKilledAdoption(t *testing.T) {
	s := newServer(t)
	d := s.Open(t)
	for n := 1; ; n++ {
		name := random("legacy")
		mark := nhi.Mark{Stack: "killed", Identity: name}
		s.call(t, http.MethodPost, s.role(name), `{}`)
		ref := read(t, d, nhi.Ref{Name: name}).Ref
		err := s.killedAfter(t, n).UpdateAccount(t.Context(), ref, driver.AccountChange{Mark: &mark})
		must(t, d.UpdateAccount(t.Context(), ref, driver.AccountChange{Mark: &mark}))
		if after := read(t, d, ref); after.Mark != mark || after.Ref != ref {
			t.Fatalf("killed after %d requests, the account is then %+v", n, after)
		}
		must(t, d.DeleteAccount(t.Context(), ref))
		for _, left := range s.entityNames(t) {
			// Another test's may be gone meanwhile.
			if _, body := s.try(t, s.token, http.MethodGet, "identity/entity/name/"+url.PathEscape(left), ""); strings.Contains(string(body), mark.String()) {
				t.Fatalf("killed after %d requests: the entity %q is left", n, left)
			}
		}
		if err == nil {
			if n < 5 {
				t.Fatalf("adoption took %d requests; the test did not kill it", n)
			}
			return
		}
	}
}

// killedAfter is a driver that gets no answer after n requests.
func (s *server) killedAfter(t *testing.T, n int) driver.Driver {
	t.Helper()
	var seen atomic.Int64
	cfg := s.config()
	cfg.Address = s.proxy(t, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if seen.Add(1) > int64(n) {
				panic(http.ErrAbortHandler)
			}
			next.ServeHTTP(w, r)
		})
	})
	return s.open(t, cfg)
}

// TestFailedCreationLeavesNothing fails each request of CreateAccount once.
func TestFailedCreationLeavesNothing(t *testing.T) {
	s := newServer(t)
	for n := 1; ; n++ {
		name := random("failed")
		var seen atomic.Int64
		cfg := s.config()
		cfg.Address = s.proxy(t, func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if seen.Add(1) == int64(n) {
					http.Error(w, `{"errors":["out of order"]}`, http.StatusServiceUnavailable)
					return
				}
				next.ServeHTTP(w, r)
			})
		})
		_, err := s.open(t, cfg).CreateAccount(t.Context(), driver.AccountSpec{Name: name, Mark: mark})
		if err == nil {
			return
		}
		_, err = s.Open(t).ReadAccount(t.Context(), nhi.Ref{Name: name})
		wantCode(t, s.Open(t), err, driver.NotFound)
		for _, left := range s.entityNames(t) {
			if strings.Contains(left, name) {
				t.Fatalf("request %d failed: the entity %q is left", n, left)
			}
		}
	}
}

// TestAdoptRoleWithoutEntity adopts an AppRole that was made without the identity store, before or after its first
// login, which makes Vault invent an entity.
func TestAdoptRoleWithoutEntity(t *testing.T) {
	for _, loggedIn := range []bool{false, true} {
		t.Run(fmt.Sprintf("logged in %v", loggedIn), func(t *testing.T) {
			s := newServer(t)
			d := full(t, s.Open(t))
			name, e := random("legacy"), s.policy(t)
			s.call(t, http.MethodPost, s.role(name), encode(t, map[string]any{"token_policies": []string{e.Target}, "token_ttl": "600s"}))
			roleID := s.call(t, http.MethodGet, s.role(name)+"/role-id", "").Data.RoleID
			secretID := s.call(t, http.MethodPost, s.role(name)+"/secret-id", `{"metadata":"{\"label\":\"theirs\"}"}`).Data.SecretID
			if loggedIn {
				s.login(t, roleID, secretID)
			}
			before := read(t, d, nhi.Ref{Name: name})
			if !before.Mark.IsZero() || before.Status != nhi.Active || before.ID != roleID || len(before.Credentials) != 1 {
				t.Fatalf("foreign AppRole reads as %+v", before)
			}
			wantHolds(t, d, before.Ref, e.String())
			_, err := d.CreateAccount(t.Context(), driver.AccountSpec{Name: name, Mark: mark})
			wantCode(t, d, err, driver.AlreadyExists)

			must(t, d.UpdateAccount(t.Context(), before.Ref, driver.AccountChange{Mark: &mark}))
			after := read(t, d, before.Ref)
			if after.Mark != mark || after.Ref != before.Ref || after.Settings["token_ttl"] != "600s" ||
				!slices.Equal(after.Credentials, before.Credentials) {
				t.Fatalf("adopted AppRole reads as %+v, was %+v", after, before)
			}
			wantHolds(t, d, before.Ref, e.String())
			must(t, d.Suspend(t.Context(), before.Ref))
			wantCode(t, d, d.Verify(t.Context(), roleID, secret.New(secretID)), driver.Unauthenticated)
			must(t, d.Resume(t.Context(), before.Ref))
			must(t, d.Verify(t.Context(), roleID, secret.New(secretID)))
			must(t, d.DeleteAccount(t.Context(), before.Ref))
		})
	}
}

func TestAdoptEntityWithoutRole(t *testing.T) {
	s := newServer(t)
	d := full(t, s.Open(t))
	name, e, g := random("person"), s.policy(t), s.group(t)
	s.call(t, http.MethodPost, "identity/entity", encode(t, map[string]any{"name": name, "metadata": map[string]string{"team": "x"}}))
	s.GrantByHand(t, name, e)
	s.GrantByHand(t, name, g)
	before := read(t, d, nhi.Ref{Name: name})
	_, err := d.CreateAccount(t.Context(), driver.AccountSpec{Name: name, Mark: mark})
	wantCode(t, d, err, driver.AlreadyExists)
	must(t, d.UpdateAccount(t.Context(), before.Ref, driver.AccountChange{Mark: &mark, Settings: map[string]string{"token_ttl": "60s"}}))
	after := read(t, d, before.Ref)
	if after.Mark != mark || after.Status != nhi.Active || after.Settings["token_ttl"] != "60s" || after.Ref != before.Ref {
		t.Fatalf("adopted entity reads as %+v", after)
	}
	wantHolds(t, d, before.Ref, g.String(), e.String())
	entity := s.call(t, http.MethodPost, "identity/lookup/entity", encode(t, map[string]string{"name": name})).Data
	if entity.Metadata["team"] != "x" {
		t.Errorf("adoption changed the metadata to %v", entity.Metadata)
	}
	must(t, d.UpdateAccount(t.Context(), before.Ref, driver.AccountChange{Mark: &nhi.Mark{}}))
	if got := read(t, d, before.Ref).Mark; !got.IsZero() {
		t.Errorf("the released account has the mark %q", got)
	}
	must(t, d.DeleteAccount(t.Context(), before.Ref))
}

func TestRateLimits(t *testing.T) {
	s := newServer(t)
	resttest.RateLimits(t, s, func(change func(http.Handler) http.Handler) driver.Driver {
		cfg := s.config()
		cfg.Address = s.proxy(t, change)
		return s.open(t, cfg)
	})
}

// TestTwoRequestsOverTheLimit refuses two requests in a row: the second may be the one that takes back what was made before the first.
func TestTwoRequestsOverTheLimit(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	whole := s.open(t, s.config())
	for n, reached := int64(1), true; reached; n++ {
		var seen atomic.Int64
		cfg := s.config()
		cfg.Address = s.proxy(t, func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if i := seen.Add(1); i == n || i == n+1 {
					http.Error(w, "slow down", http.StatusTooManyRequests)
					return
				}
				next.ServeHTTP(w, r)
			})
		})
		d, name := s.open(t, cfg), random("twice")
		_, err := d.CreateAccount(t.Context(), driver.AccountSpec{Name: name, Mark: mark})
		if reached = seen.Load() >= n; reached && d.Classify(err).Code != driver.RateLimited {
			t.Errorf("requests %d and %d are refused: %v", n, n+1, err)
		}
		must(t, whole.DeleteAccount(t.Context(), nhi.Ref{Name: name}))
	}
}
