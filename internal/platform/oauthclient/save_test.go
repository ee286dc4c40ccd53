package oauthclient_test

import (
	"context"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
	"github.com/nhi-labs/terraform-provider-nhi/internal/platform/oauthclient"
)

// refusing is a registry that refuses one write, the n-th, or all from there on.
type refusing struct {
	*memory
	n       int
	onwards bool
	code    driver.Code
	// written: the write happens all the same, and only its answer is lost.
	written bool
	puts    int
}

func (r *refusing) PutSecret(ctx context.Context, path string, s driver.StoredSecret) (int64, error) {
	r.puts++
	if r.puts != r.n && (!r.onwards || r.puts < r.n) {
		return r.memory.PutSecret(ctx, path, s)
	}
	if r.written {
		if _, err := r.memory.PutSecret(ctx, path, s); err != nil {
			return 0, err
		}
	}
	return 0, driver.Errorf(r.code, "refused")
}

// MayPutSecret counts as a write.
func (r *refusing) MayPutSecret(ctx context.Context, path string, s driver.StoredSecret) error {
	return mayPut(ctx, r, path, s)
}

// operations are all that a run does with a client that is there.
var operations = map[string]func(ctx context.Context, d *oauthclient.Driver, ref nhi.Ref) error{
	"read": func(ctx context.Context, d *oauthclient.Driver, ref nhi.Ref) error {
		_, err := d.ReadAccount(ctx, ref)
		return err
	},
	"update": func(ctx context.Context, d *oauthclient.Driver, ref nhi.Ref) error {
		return d.UpdateAccount(ctx, ref, driver.AccountChange{Mark: &nhi.Mark{}})
	},
	"grant": func(ctx context.Context, d *oauthclient.Driver, ref nhi.Ref) error {
		return d.Grant(ctx, ref, []nhi.Entitlement{{Type: "scope", Target: "tickets:read"}})
	},
	"issue": func(ctx context.Context, d *oauthclient.Driver, ref nhi.Ref) error {
		_, err := d.Issue(ctx, ref, driver.IssueRequest{Label: "one"})
		return err
	},
	"delete": func(ctx context.Context, d *oauthclient.Driver, ref nhi.Ref) error { return d.DeleteAccount(ctx, ref) },
}

// TestRefusedWrite: a write that the registry refuses once ends no client, whichever it is: the next run reads it and deletes
// it. Where the change had reached the server, the write is made good, so that the call succeeds.
func TestRefusedWrite(t *testing.T) {
	t.Parallel()
	for name, operation := range operations {
		for _, refusal := range []refusing{{code: driver.Unavailable}, {code: driver.Unavailable, written: true}, {code: driver.RateLimited}} {
			t.Run(fmt.Sprint(name, "/", refusal.code, "/written ", refusal.written), func(t *testing.T) {
				t.Parallel()
				for n, reached := 1, true; reached; n++ {
					w, registry := newTokenWorld(t), refusal
					registry.memory, registry.n = w.registry, n
					asked := w.server.count
					err := operation(t.Context(), w.open(&registry), w.ref)
					reached = registry.puts >= n
					if err != nil && (n > 1 && name != "delete" || w.d.Classify(err).Code != refusal.code) {
						t.Errorf("write %d is refused after %d answers: %v", n, w.server.count-asked, err)
					}
					if name != "delete" || err != nil {
						_ = w.read()
					}
					w.must("delete", w.d.DeleteAccount(t.Context(), w.ref))
					if w.server.client != nil || len(w.registry.stored) > 0 {
						t.Errorf("write %d is refused: left are client %v, %d entries", n, w.server.client, len(w.registry.stored))
					}
				}
			})
		}
	}
}

// TestLostToken: a registry that stays broken costs the client, and the error says so instead of being tried again.
func TestLostToken(t *testing.T) {
	t.Parallel()
	for name, operation := range operations {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newTokenWorld(t)
			broken := &refusing{memory: w.registry, n: 2, onwards: true, code: driver.Unavailable}
			err := operation(t.Context(), w.open(broken, impatient), w.ref)
			w.wantCode(name, err, driver.Unknown, `of client "own" (c1)`, "it is lost", registryPath+"/own", "refused")
		})
	}
}

func impatient(c *oauthclient.Config) { c.SaveTimeout = 100 * time.Millisecond }

// TestReadOnlyRegistry: where the registry may not be written, no client is read, because its answer may end the token.
func TestReadOnlyRegistry(t *testing.T) {
	t.Parallel()
	w := newTokenWorld(t)
	asked := w.server.count
	d := w.open(&refusing{memory: w.registry, n: 1, onwards: true, code: driver.PermissionDenied}, impatient)
	_, err := d.ReadAccount(t.Context(), w.ref)
	w.wantCode("read", err, driver.PermissionDenied, "is not read", "the registry")
	if w.server.count != asked {
		t.Error("the server was asked all the same")
	}
	w.must("delete", w.d.DeleteAccount(t.Context(), w.ref))
}

// TestRateLimitedRegistry: "rate limited" would mean that nothing was done.
func TestRateLimitedRegistry(t *testing.T) {
	t.Parallel()
	t.Run("issue", func(t *testing.T) {
		t.Parallel()
		w := newTokenWorld(t)
		w.server.keep = true
		d := w.open(&refusing{memory: w.registry, n: 2, onwards: true, code: driver.RateLimited}, impatient)
		_, err := d.Issue(t.Context(), w.ref, driver.IssueRequest{Label: "one"})
		w.wantCode("issue", err, driver.Unavailable, "refused")
		if got := w.read().Credentials; len(got) != 1 || got[0].Label != "one" {
			t.Errorf("credentials %+v", got)
		}
	})
	t.Run("create", func(t *testing.T) {
		t.Parallel()
		w := newTokenWorld(t)
		w.server.forbidden = http.MethodDelete
		d := w.open(&refusing{memory: w.registry, n: 1, onwards: true, code: driver.RateLimited}, impatient)
		_, err := d.CreateAccount(t.Context(), driver.AccountSpec{Name: "other", Mark: testMark})
		w.wantCode("create", err, driver.Unavailable, "deleting client c1 again failed", "refused")
	})
	t.Run("create and take back", func(t *testing.T) {
		t.Parallel()
		w := newTokenWorld(t)
		d := w.open(&refusing{memory: w.registry, n: 1, onwards: true, code: driver.RateLimited}, impatient)
		_, err := d.CreateAccount(t.Context(), driver.AccountSpec{Name: "other", Mark: testMark})
		w.wantCode("create", err, driver.RateLimited, "refused")
		if w.server.client != nil {
			t.Errorf("client %v is left", w.server.client)
		}
	})
}

// cutOff is a registry whose first write is cut off by the end of the run's context. It arrives all the same: at once, or only
// shortly before the next one.
type cutOff struct {
	*memory
	cut     context.CancelFunc
	late    bool
	arrives func()
	cuts    int
}

func (c *cutOff) GetSecret(ctx context.Context, path string) (driver.StoredSecret, error) {
	if ctx.Err() != nil {
		return driver.StoredSecret{}, driver.Errorf(driver.Unavailable, "cut off: %w", ctx.Err())
	}
	return c.memory.GetSecret(ctx, path)
}

func (c *cutOff) PutSecret(ctx context.Context, path string, s driver.StoredSecret) (int64, error) {
	if c.cuts++; c.cuts > 1 {
		c.arrives()
		c.arrives = func() {}
		return c.memory.PutSecret(ctx, path, s)
	}
	c.cut()
	c.arrives = func() { _, _ = c.memory.PutSecret(context.WithoutCancel(ctx), path, s) }
	if !c.late {
		c.arrives()
		c.arrives = func() {}
	}
	return 0, driver.Errorf(driver.Unavailable, "cut off: %w", ctx.Err())
}

// TestClaimCutOff: a run that ends while it claims a client leaves no claim, which would hold up the next run for a minute.
func TestClaimCutOff(t *testing.T) {
	t.Parallel()
	for _, late := range []bool{false, true} {
		w := newTokenWorld(t)
		ctx, cancel := context.WithCancel(t.Context())
		err := w.open(&cutOff{memory: w.registry, cut: cancel, late: late}).UpdateAccount(ctx, w.ref, driver.AccountChange{Mark: &nhi.Mark{}})
		w.wantCode("update", err, driver.Unavailable, "cut off")
		if _, held := w.registry.stored[registryPath+"/own"].Fields["changing_until"]; held {
			t.Errorf("late %v: the client is still claimed", late)
		}
		w.must("delete", w.d.DeleteAccount(t.Context(), w.ref))
	}
}
