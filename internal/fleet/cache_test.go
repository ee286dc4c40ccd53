package fleet

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
	"github.com/nhi-labs/terraform-provider-nhi/internal/reconcile"
)

func accounts(n int) []nhi.Account {
	var all []nhi.Account
	for i := range n {
		all = append(all, account(fmt.Sprint(i), nhi.Mark{Stack: "stack", Identity: fmt.Sprintf("i%d", i)}))
	}
	return all
}

func read(t *testing.T, c *Conn, ref nhi.Ref) nhi.Account {
	t.Helper()
	got, err := c.Read(t.Context(), ref)
	if err != nil {
		t.Fatalf("read %v: %v", ref, err)
	}
	return got
}

func wantCalls(t *testing.T, s *script, reads, sweeps int) {
	t.Helper()
	if s.count("read") != reads || s.count("sweep") != sweeps {
		t.Errorf("%d reads and %d sweeps, want %d and %d", s.count("read"), s.count("sweep"), reads, sweeps)
	}
}

func TestManyReadsAreOneSweep(t *testing.T) {
	d := able{bare{newScript(accounts(100)...)}}
	p, _ := newTestPlatform(d, nil)
	conn := connect(t, p)
	for i := range sweepAfter {
		read(t, conn, nhi.Ref{ID: fmt.Sprint(i)})
		read(t, conn, nhi.Ref{Name: fmt.Sprintf("name-%d", i)}) // remembered, by its name too
	}
	wantCalls(t, d.script, sweepAfter, 0)
	var wg sync.WaitGroup
	for i := range 100 {
		wg.Go(func() {
			ref := nhi.Ref{ID: fmt.Sprint(i)}
			if i%2 == 0 {
				ref = nhi.Ref{Name: fmt.Sprintf("name-%d", i)}
			}
			if got, err := conn.Read(t.Context(), ref); err != nil || got.ID != fmt.Sprint(i) {
				t.Errorf("read %v: %v, %v", ref, got, err)
			}
		})
	}
	wg.Wait()
	wantCalls(t, d.script, sweepAfter, 1)
}

func TestWithoutSweeperEveryAccountIsReadOnce(t *testing.T) {
	d := bare{newScript(accounts(20)...)}
	p, _ := newTestPlatform(d, nil)
	conn := connect(t, p)
	for range 2 {
		for i := range 20 {
			read(t, conn, nhi.Ref{ID: fmt.Sprint(i)})
		}
	}
	wantCalls(t, d.script, 20, 0)
}

func TestAbsenceIsAskedSingly(t *testing.T) {
	d := able{bare{newScript(accounts(20)...)}}
	p, _ := newTestPlatform(d, nil)
	conn := connect(t, p)
	for i := range 20 {
		read(t, conn, nhi.Ref{ID: fmt.Sprint(i)})
	}
	before := d.count("read")
	for range 3 {
		_, err := conn.Read(t.Context(), nhi.Ref{Name: "nobody"})
		wantCode(t, err, driver.NotFound)
	}
	wantCalls(t, d.script, before+3, 1)
	// A later account is found although the sweep did not see it.
	d.accounts["new"] = account("new", nhi.Mark{})
	if got := read(t, conn, nhi.Ref{Name: "name-new"}); got.ID != "new" {
		t.Errorf("account %v", got)
	}
}

func TestAccountsWithoutIDAreNotConfused(t *testing.T) {
	d := bare{newScript(nhi.Account{Ref: nhi.Ref{Name: "anonymous"}})}
	p, _ := newTestPlatform(d, nil)
	conn := connect(t, p)
	read(t, conn, nhi.Ref{Name: "anonymous"})
	_, err := conn.Read(t.Context(), nhi.Ref{Name: "nobody"})
	wantCode(t, err, driver.NotFound)
}

func TestWritesForget(t *testing.T) {
	steps := []reconcile.StepKind{
		reconcile.StepUpdate, reconcile.StepGrant, reconcile.StepRevoke, reconcile.StepSuspend, reconcile.StepResume, reconcile.StepDelete,
		reconcile.StepEndSessions, reconcile.StepRevokeCredential,
	}
	for _, kind := range steps {
		for _, ref := range []nhi.Ref{{ID: "1"}, {Name: "name-1"}, {Name: "name-1", ID: "1"}} {
			d := able{bare{newScript(accounts(3)...)}}
			p, _ := newTestPlatform(d, nil)
			conn := connect(t, p)
			read(t, conn, nhi.Ref{ID: "1"})
			read(t, conn, nhi.Ref{ID: "2"})
			// A failed write may have taken effect.
			d.on = func(_ context.Context, op string, _ int) error {
				if op != "read" {
					return driver.Errorf(driver.Invalid, "scripted")
				}
				return nil
			}
			wantCode(t, conn.Do(t.Context(), ref, reconcile.Step{Kind: kind}), driver.Invalid)
			read(t, conn, nhi.Ref{ID: "1"})
			read(t, conn, nhi.Ref{ID: "2"})
			wantCalls(t, d.script, 3, 0)
		}
	}
}

// TestReadDuringAWriteIsNotRemembered lets a write begin and end while a read, and then a sweep, is under way.
func TestReadDuringAWriteIsNotRemembered(t *testing.T) {
	d := able{bare{newScript(accounts(3)...)}}
	p, _ := newTestPlatform(d, nil)
	conn := connect(t, p)
	d.on = func(ctx context.Context, op string, call int) error {
		if op == "read" && call == 1 || op == "sweep" && call == 1 {
			return conn.Do(ctx, nhi.Ref{Name: "name-1", ID: "1"}, reconcile.Step{Kind: reconcile.StepGrant})
		}
		return nil
	}
	read(t, conn, nhi.Ref{ID: "1"})
	read(t, conn, nhi.Ref{ID: "1"})
	read(t, conn, nhi.Ref{ID: "1"})
	wantCalls(t, d.script, 2, 0)
	// Both the account that was written and one that the sweep listed are found.
	for _, identity := range []string{"i1", "i2"} {
		got, err := conn.FindMarked(t.Context(), nhi.Mark{Stack: "stack", Identity: identity})
		if err != nil || got.Mark.Identity != identity {
			t.Errorf("%s: %v, %v", identity, got, err)
		}
	}
}

// TestReadWithinAWrite: what was read before a write is not used during it, and what was read during it not afterwards.
func TestReadWithinAWrite(t *testing.T) {
	d := able{bare{newScript(accounts(3)...)}}
	p, _ := newTestPlatform(d, nil)
	conn := connect(t, p)
	one := nhi.Ref{Name: "name-1", ID: "1"}
	read(t, conn, one)
	d.on = func(_ context.Context, op string, _ int) error {
		if op == "grant" {
			read(t, conn, one)
			wantCalls(t, d.script, 2, 0)
		}
		return nil
	}
	if err := conn.Do(t.Context(), one, reconcile.Step{Kind: reconcile.StepGrant}); err != nil {
		t.Fatal(err)
	}
	read(t, conn, one)
	wantCalls(t, d.script, 3, 0)
}

func TestCreatingForgets(t *testing.T) {
	d := able{bare{newScript(accounts(1)...)}}
	p, _ := newTestPlatform(d, nil)
	conn := connect(t, p)
	d.on = func(_ context.Context, op string, _ int) error {
		if op == "create" {
			read(t, conn, nhi.Ref{Name: "name-0"}) // a half-made account
		}
		return nil
	}
	if _, err := conn.Create(t.Context(), driver.AccountSpec{Name: "name-0"}); err != nil {
		t.Fatal(err)
	}
	read(t, conn, nhi.Ref{Name: "name-0"})
	wantCalls(t, d.script, 2, 0)
}

func TestFailedSweepSticks(t *testing.T) {
	d := able{bare{newScript(accounts(3)...)}}
	p, _ := newTestPlatform(d, nil)
	conn := connect(t, p)
	d.on = func(_ context.Context, op string, _ int) error {
		if op == "sweep" {
			return driver.Errorf(driver.PermissionDenied, "may not list")
		}
		return nil
	}
	for range 3 {
		_, err := conn.FindMarked(t.Context(), nhi.Mark{Stack: "stack", Identity: "i1"})
		wantCode(t, err, driver.PermissionDenied)
	}
	var failed int
	for i := range 2 * sweepAfter {
		if _, err := conn.Read(t.Context(), nhi.Ref{Name: fmt.Sprintf("nobody-%d", i)}); driver.CodeOf(err) == driver.PermissionDenied {
			failed++
		}
	}
	wantCalls(t, d.script, sweepAfter, 1)
	if failed != sweepAfter {
		t.Errorf("%d reads failed", failed)
	}
}

// TestSweepOutlivesWhoeverBeganIt: whoever stops waiting gets an answer at once, and the others get theirs from the same sweep.
func TestSweepOutlivesWhoeverBeganIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := able{bare{newScript(accounts(3)...)}}
		p, _ := newTestPlatform(d, nil)
		conn := connect(t, p)
		d.on = takes(3 * time.Second)
		hasty, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		var others sync.WaitGroup
		others.Go(func() {
			_, err := conn.FindMarked(hasty, nhi.Mark{Stack: "stack", Identity: "i1"})
			wantCode(t, err, driver.Unavailable)
			if !strings.Contains(err.Error(), `platform "crm": read all accounts: context deadline exceeded`) {
				t.Errorf("error %v", err)
			}
		})
		synctest.Wait()
		if _, err := conn.FindMarked(t.Context(), nhi.Mark{Stack: "stack", Identity: "i1"}); err != nil {
			t.Errorf("error %v", err)
		}
		others.Wait()
		wantCalls(t, d.script, 0, 1)
	})
}

// TestSweepEndsWithWhoeverWaits: a sweep that nobody waits for any more is cut off, and the next one begins anew.
func TestSweepEndsWithWhoeverWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := able{bare{newScript(accounts(3)...)}}
		p, _ := newTestPlatform(d, nil)
		conn := connect(t, p)
		d.on = func(ctx context.Context, _ string, _ int) error { // never answers
			<-ctx.Done()
			return ctx.Err()
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		begin := time.Now()
		_, err := conn.FindMarked(ctx, nhi.Mark{Stack: "stack", Identity: "i1"})
		wantCode(t, err, driver.Unavailable)
		if took := time.Since(begin); took != time.Minute {
			t.Errorf("a caller with one minute waited for %s", took)
		}
		synctest.Wait() // the sweep has ended, or this hangs
		d.on = nil
		if _, err := conn.FindMarked(t.Context(), nhi.Mark{Stack: "stack", Identity: "i1"}); err != nil {
			t.Errorf("the next one: %v", err)
		}
		wantCalls(t, d.script, 0, 2)
	})
}

// takes lets every call take a while.
func takes(while time.Duration) func(context.Context, string, int) error {
	return func(ctx context.Context, _ string, _ int) error {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(while):
			return nil
		}
	}
}

// TestOnesTimeLimitIsNoFailureOfThePlatform: a probe that ends with its caller's patience is not held against the platform.
func TestOnesTimeLimitIsNoFailureOfThePlatform(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := able{bare{newScript()}}
		p, _ := newTestPlatform(d, nil)
		d.on = takes(3 * time.Second)
		hasty, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := p.connect(hasty, "")
		wantCode(t, err, driver.Unavailable)
		if _, err := p.connect(t.Context(), ""); err != nil {
			t.Errorf("the next one: %v", err)
		}
	})
}

func TestFindMarked(t *testing.T) {
	twin := account("twin", nhi.Mark{Stack: "stack", Identity: "i1"})
	d := able{bare{newScript(append(accounts(5), twin, account("bare", nhi.Mark{}))...)}}
	p, _ := newTestPlatform(d, nil)
	conn := connect(t, p)
	find := func(identity string) (nhi.Account, error) {
		return conn.FindMarked(t.Context(), nhi.Mark{Stack: "stack", Identity: identity})
	}
	for range 2 {
		got, err := find("i2")
		if err != nil || got.ID != "2" {
			t.Errorf("one: %v, %v", got, err)
		}
		_, err = find("i9")
		wantCode(t, err, driver.NotFound)
		_, err = find("i1")
		wantCode(t, err, driver.Conflict)
		if !strings.Contains(err.Error(), "name-1") || !strings.Contains(err.Error(), "name-twin") {
			t.Errorf("error %v", err)
		}
		wantCalls(t, d.script, 0, 1)
	}
	// What was written since the sweep is looked for again: not remembered is not absent.
	if err := do(reconcile.StepGrant)(t.Context(), conn); err != nil {
		t.Fatal(err)
	}
	for _, ref := range []nhi.Ref{{ID: "2"}} {
		if err := conn.Do(t.Context(), ref, reconcile.Step{Kind: reconcile.StepUpdate}); err != nil {
			t.Fatal(err)
		}
	}
	d.accounts["late"] = account("late", nhi.Mark{Stack: "stack", Identity: "late"})
	for _, identity := range []string{"i2", "late"} {
		if got, err := find(identity); err != nil || got.Mark.Identity != identity {
			t.Errorf("%s: %v, %v", identity, got, err)
		}
	}
}

func TestCallersCannotChangeWhatIsRemembered(t *testing.T) {
	original := account("1", nhi.Mark{})
	original.Entitlements = []nhi.Entitlement{{Type: "role", Target: "a"}}
	original.Settings = map[string]string{"limit": "5"}
	original.Credentials = []nhi.Credential{{ID: "c"}}
	d := bare{newScript(original)}
	p, _ := newTestPlatform(d, nil)
	conn := connect(t, p)
	for range 2 {
		got := read(t, conn, nhi.Ref{ID: "1"})
		got.Entitlements[0].Target, got.Credentials[0].ID = "x", "x"
		got.Settings["limit"] = "x"
		d.accounts["1"] = nhi.Account{} // is not asked again
	}
	want := original
	want.Entitlements = []nhi.Entitlement{{Type: "role", Target: "a"}}
	want.Settings, want.Credentials = map[string]string{"limit": "5"}, []nhi.Credential{{ID: "c"}}
	if diff := cmp.Diff(want, read(t, conn, nhi.Ref{ID: "1"})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
