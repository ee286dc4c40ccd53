package fleet

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/terraform-plugin-log/tflogtest"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
	"github.com/nhi-labs/terraform-provider-nhi/internal/reconcile"
	"github.com/nhi-labs/terraform-provider-nhi/internal/secret"
)

var ref = nhi.Ref{Name: "billing", ID: "1"}

// TestRetry fails a call with every code and looks how often it is made.
func TestRetry(t *testing.T) {
	const attempts = 5
	always, idempotent := map[driver.Code]bool{driver.RateLimited: true},
		map[driver.Code]bool{driver.RateLimited: true, driver.Unavailable: true, driver.Conflict: true}
	for _, operation := range []struct {
		op     string
		repeat map[driver.Code]bool
		call   func(ctx context.Context, c *Conn) error
	}{
		{"create", always, func(ctx context.Context, c *Conn) error {
			_, err := c.Create(ctx, driver.AccountSpec{Name: "billing"})
			return err
		}},
		{"read", idempotent, func(ctx context.Context, c *Conn) error {
			_, err := c.ReadNow(ctx, ref)
			return err
		}},
		{"grant", idempotent, do(reconcile.StepGrant)},
		{"revoke", idempotent, do(reconcile.StepRevoke)},
		{"update", idempotent, do(reconcile.StepUpdate)},
		{"delete", idempotent, do(reconcile.StepDelete)},
		{"suspend", idempotent, do(reconcile.StepSuspend)},
		{"resume", idempotent, do(reconcile.StepResume)},
		{"end sessions", idempotent, do(reconcile.StepEndSessions)},
		{"revoke credential", idempotent, do(reconcile.StepRevokeCredential)},
	} {
		for code := driver.Unknown; code <= driver.Unavailable; code++ {
			d := able{bare{newScript()}}
			p, waits := newTestPlatform(d, nil)
			conn := connect(t, p)
			d.on = func(context.Context, string, int) error { return driver.Errorf(code, "scripted") }
			wantCode(t, operation.call(t.Context(), conn), code)
			want := 1
			if operation.repeat[code] {
				want = attempts
			}
			if got := d.count(operation.op); got != want || len(waits.all) != want-1 {
				t.Errorf("%s, %s: %d calls and %d pauses, want %d calls", operation.op, code, got, len(waits.all), want)
			}
			for i, pause := range waits.all {
				if longest := 200 * time.Millisecond << i; pause < longest/2 || pause > longest {
					t.Errorf("%s: pause %d is %s", operation.op, i, pause)
				}
			}
		}
	}
}

func do(kind reconcile.StepKind) func(ctx context.Context, c *Conn) error {
	return func(ctx context.Context, c *Conn) error { return c.Do(ctx, ref, reconcile.Step{Kind: kind}) }
}

func TestRetrySucceedsInTheEnd(t *testing.T) {
	d := able{bare{newScript(account("1", nhi.Mark{}))}}
	p, _ := newTestPlatform(d, nil)
	conn := connect(t, p)
	d.on = func(_ context.Context, _ string, call int) error {
		if call < 3 {
			return driver.Errorf(driver.Unavailable, "scripted")
		}
		return nil
	}
	got, err := conn.ReadNow(t.Context(), ref)
	if err != nil || got.ID != "1" || d.count("read") != 3 {
		t.Errorf("%v, %v after %d calls", got, err, d.count("read"))
	}
}

// TestPlatformThatIsDown looks how often calls are made one after the other.
func TestPlatformThatIsDown(t *testing.T) {
	d := able{bare{newScript()}}
	p, _ := newTestPlatform(d, nil)
	conn := connect(t, p)
	next := driver.Unavailable
	d.on = func(context.Context, string, int) error {
		if next < 0 {
			return nil
		}
		return driver.Errorf(next, "scripted")
	}
	const answers = driver.Code(-1)
	for i, step := range []struct {
		code  driver.Code
		calls int
	}{
		{driver.Unavailable, 5},
		{driver.Unavailable, 1}, // it is known to be down
		{driver.Unavailable, 1},
		{answers, 1},
		{driver.Unavailable, 5},
		{driver.PermissionDenied, 1}, // that is an answer
		{driver.Unavailable, 5},
		{driver.RateLimited, 5}, // and that, too
		{driver.Unavailable, 5},
		{driver.Unavailable, 1},
	} {
		before := d.count("grant")
		next = step.code
		_ = do(reconcile.StepGrant)(t.Context(), conn)
		if got := d.count("grant") - before; got != step.calls {
			t.Errorf("step %d, %s: %d calls, want %d", i, step.code, got, step.calls)
		}
	}
}

func TestRetryAfter(t *testing.T) {
	for _, test := range []struct {
		asked time.Duration
		calls int
	}{{time.Minute, 2}, {90 * time.Second, 2}, {91 * time.Second, 1}} {
		d := able{bare{newScript(account("1", nhi.Mark{}))}}
		p, waits := newTestPlatform(d, nil)
		conn := connect(t, p)
		busy := errors.New("busy")
		d.classify = func(error) driver.Verdict { return driver.Verdict{Code: driver.RateLimited, RetryAfter: test.asked} }
		d.on = func(_ context.Context, _ string, call int) error {
			if call == 1 {
				return busy
			}
			return nil
		}
		_, err := conn.ReadNow(t.Context(), ref)
		if d.count("read") != test.calls || (err == nil) != (test.calls == 2) {
			t.Errorf("asked to wait %s: %d calls, error %v", test.asked, d.count("read"), err)
		}
		if test.calls == 2 && (len(waits.all) != 1 || waits.all[0] != test.asked) {
			t.Errorf("asked to wait %s: waited %v", test.asked, waits.all)
		}
	}
}

func TestRetryEndsWithTheContext(t *testing.T) {
	for _, when := range []string{"in the call", "in the pause"} {
		d := able{bare{newScript()}}
		p, waits := newTestPlatform(d, nil)
		conn := connect(t, p)
		ctx, cancel := context.WithCancel(t.Context())
		d.on = func(context.Context, string, int) error {
			if when == "in the call" {
				cancel()
			}
			return driver.Errorf(driver.Unavailable, "scripted")
		}
		waits.hook = func(ctx context.Context) error {
			cancel()
			return ctx.Err()
		}
		_, err := conn.ReadNow(ctx, ref)
		cancel()
		wantCode(t, err, driver.Unavailable)
		if d.count("read") != 1 {
			t.Errorf("cancelled %s: %d calls", when, d.count("read"))
		}
	}
}

// newLatePlatform has a limit of a second for a call. None ends before it; each then returns what failure makes of its context.
func newLatePlatform(t *testing.T, failure func(context.Context) error) (*Platform, *Conn) {
	t.Helper()
	d := able{bare{newScript()}}
	p, _ := newTestPlatform(d, func(c *Config) { c.Options.Timeout = time.Second })
	conn := connect(t, p)
	d.on = func(ctx context.Context, _ string, _ int) error {
		<-ctx.Done()
		return failure(ctx)
	}
	return p, conn
}

func TestTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, conn := newLatePlatform(t, func(context.Context) error { return errors.New("broken pipe") })
		for name, test := range map[string]struct {
			call func(context.Context, *Conn) error
			took time.Duration // with all attempts
		}{
			"read": {func(ctx context.Context, c *Conn) error {
				_, err := c.ReadNow(ctx, ref)
				return err
			}, 5 * time.Second},
			"grant": {do(reconcile.StepGrant), 5 * time.Second},
			"create": {func(ctx context.Context, c *Conn) error {
				_, err := c.Create(ctx, driver.AccountSpec{Name: "x"})
				return err
			}, time.Second},
		} {
			p.down.Store(false)
			begin := time.Now()
			err := test.call(t.Context(), conn)
			wantCode(t, err, driver.Unavailable)
			if !strings.Contains(err.Error(), `platform "crm"`) || !strings.Contains(err.Error(), "no answer within 1s") {
				t.Errorf("%s: error %v", name, err)
			}
			if took := time.Since(begin); took != test.took {
				t.Errorf("%s: took %s", name, took)
			}
		}
		p.down.Store(false)
		begin := time.Now()
		_, err := conn.FindMarked(t.Context(), nhi.Mark{Stack: "stack", Identity: "x"})
		wantCode(t, err, driver.Unavailable)
		if took := time.Since(begin); took != 5*20*time.Second {
			t.Errorf("the sweep took %s", took)
		}
	})
}

func TestConcurrencyIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := able{bare{newScript()}}
		p, _ := newTestPlatform(d, func(c *Config) { c.Options.MaxConcurrency = 3 })
		conn := connect(t, p)
		var now, most atomic.Int64
		release := make(chan struct{})
		d.on = func(context.Context, string, int) error {
			most.Store(max(most.Load(), now.Add(1)))
			<-release
			now.Add(-1)
			return nil
		}
		var wg sync.WaitGroup
		for range 10 {
			wg.Go(func() { _ = do(reconcile.StepGrant)(t.Context(), conn) })
		}
		synctest.Wait()
		ctx, cancel := context.WithCancel(t.Context())
		impatient := make(chan error)
		go func() { impatient <- do(reconcile.StepRevoke)(ctx, conn) }()
		synctest.Wait()
		if now.Load() != 3 {
			t.Errorf("%d calls under way", now.Load())
		}
		cancel()
		wantCode(t, <-impatient, driver.Unavailable)
		close(release)
		wg.Wait()
		if d.count("grant") != 10 || d.count("revoke") != 0 || most.Load() != 3 {
			t.Errorf("%d calls, %d of the one that gave up, at most %d at once", d.count("grant"), d.count("revoke"), most.Load())
		}
	})
}

func TestRateIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := able{bare{newScript()}}
		p, _ := newTestPlatform(d, func(c *Config) { c.Options.RequestsPerMinute = 60 })
		begin := time.Now()
		conn := connect(t, p) // the first call
		for range 5 {
			if err := do(reconcile.StepGrant)(t.Context(), conn); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(begin); took != 5*time.Second {
			t.Errorf("six calls at one per second took %s", took)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		err := do(reconcile.StepGrant)(ctx, conn)
		wantCode(t, err, driver.Unavailable)
		if !strings.Contains(err.Error(), "requests_per_minute") || d.count("grant") != 5 {
			t.Errorf("error %v", err)
		}
	})
}

func TestErrorsRepeatNoSecret(t *testing.T) {
	const password = `s3cr/t "pässword`
	d := able{bare{newScript()}}
	p, _ := newTestPlatform(d, func(c *Config) { c.Secrets = []secret.Value{secret.New(password)} })
	conn := connect(t, p)
	var log bytes.Buffer
	ctx := tflogtest.RootLogger(t.Context(), &log)
	for _, form := range []string{password, url.QueryEscape(password), url.PathEscape(password), fmt.Sprintf("%q", password)} {
		d.on = func(context.Context, string, int) error { return fmt.Errorf("login with %s failed", form) }
		for kind, call := range map[string]func(context.Context, *Conn) error{
			"update": do(reconcile.StepUpdate),
			"sweep": func(ctx context.Context, c *Conn) error {
				c.platform.cache = newCache("stack")
				_, err := c.FindMarked(ctx, nhi.Mark{Stack: "s", Identity: "i"})
				return err
			},
		} {
			err := call(ctx, conn)
			wantCode(t, err, driver.Unknown)
			for e := err; e != nil; e = errors.Unwrap(e) {
				if strings.Contains(e.Error(), form) || !strings.Contains(e.Error(), "login with") {
					t.Errorf("%s: %v", kind, e)
				}
			}
		}
		if strings.Contains(log.String(), form) || !strings.Contains(log.String(), "login with") {
			t.Errorf("the log: %s", log.String())
		}
	}
	d.on = func(context.Context, string, int) error { return errors.New("close " + password) }
	if err := p.close(); err == nil || strings.Contains(err.Error(), password) || !strings.Contains(err.Error(), `platform "crm"`) {
		t.Errorf("close: %v", err)
	}
	failing, _ := newTestPlatform(nil, func(c *Config) {
		c.Secrets = []secret.Value{secret.New(password)}
		c.Open = func() (driver.Driver, error) { return nil, errors.New("cannot parse " + password) }
	})
	if _, err := failing.connect(ctx, ""); err == nil || strings.Contains(err.Error(), password) {
		t.Errorf("open: %v", err)
	}
}

func TestErrorsAreExplained(t *testing.T) {
	d := able{bare{newScript()}}
	p, _ := newTestPlatform(d, nil)
	conn := connect(t, p)
	d.classify = func(error) driver.Verdict { return driver.Verdict{Code: driver.PermissionDenied} }
	d.on = func(context.Context, string, int) error { return errors.New("42501") }
	es := []nhi.Entitlement{{Type: "role", Target: "a"}, {Type: "role", Target: "b"}}
	for _, test := range []struct {
		step reconcile.Step
		want string
	}{
		{reconcile.Step{Kind: reconcile.StepUpdate}, `platform "crm": update account "billing": 42501 (permission denied)`},
		{reconcile.Step{Kind: reconcile.StepGrant, Entitlements: es}, `platform "crm": grant role:a, role:b on account "billing": 42501 (permission denied)`},
		{reconcile.Step{Kind: reconcile.StepEndSessions}, `platform "crm": end sessions of account "billing": 42501 (permission denied)`},
	} {
		err := fmt.Errorf("outer: %w", conn.Do(t.Context(), ref, test.step))
		wantCode(t, err, driver.PermissionDenied)
		if err.Error() != "outer: "+test.want {
			t.Errorf("error %q, want %q", err, test.want)
		}
	}
}

// TestLeftoversAreTold: what is explained and redacted still says that the account itself is gone.
func TestLeftoversAreTold(t *testing.T) {
	d := able{bare{newScript()}}
	p, _ := newTestPlatform(d, nil)
	conn := connect(t, p)
	d.on = func(context.Context, string, int) error {
		return &driver.LeftoverError{Err: driver.Errorf(driver.PermissionDenied, "left\x1b[0m")}
	}
	err := fmt.Errorf("outer: %w", conn.Do(t.Context(), ref, reconcile.Step{Kind: reconcile.StepDelete}))
	wantCode(t, err, driver.PermissionDenied)
	var leftover *driver.LeftoverError
	if want := `platform "crm": delete account "billing": left [0m (permission denied)`; !errors.As(err, &leftover) || leftover.Error() != want {
		t.Errorf("error %v, want a LeftoverError that says %q", err, want)
	}
}

// TestLateLeftoversAreTold: a deletion that does not end in time has told what is left, all the same.
func TestLateLeftoversAreTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, conn := newLatePlatform(t, func(ctx context.Context) error {
			return &driver.LeftoverError{Err: errors.Join(driver.Errorf(driver.PermissionDenied, "a binding is left"), ctx.Err())}
		})
		err := conn.Do(t.Context(), ref, reconcile.Step{Kind: reconcile.StepDelete})
		wantCode(t, err, driver.Unavailable) // so it was tried again
		var leftover *driver.LeftoverError
		if !errors.As(err, &leftover) || !strings.Contains(err.Error(), "no answer within 1s") || !strings.Contains(err.Error(), "a binding is left") {
			t.Errorf("error %v, want a LeftoverError with the time limit", err)
		}
	})
}

// TestErrorsAreHarmless: what a platform says reaches neither the terminal's commands nor those of a CI system, and does
// not fill the log.
func TestErrorsAreHarmless(t *testing.T) {
	d := able{bare{newScript()}}
	p, _ := newTestPlatform(d, nil)
	conn := connect(t, p)
	for said, want := range map[string]string{
		"\x1b]0;owned\a\x1b[2Jgone":        " ]0;owned  [2Jgone",
		"no\r\n::add-path::/tmp/evil\nend": "no \n| ::add-path::/tmp/evil\n| end",
		"role \u202egnp.exe\u2066":         "role  gnp.exe ",
		"Größe 数 \u00a0\xff":               "Größe 数  �",
		strings.Repeat("x", 1<<20):         "…",
	} {
		d.on = func(context.Context, string, int) error { return errors.New(said) }
		err := do(reconcile.StepUpdate)(t.Context(), conn)
		if err == nil || !strings.Contains(err.Error(), want) || len(err.Error()) > longestError+10 {
			t.Errorf("%.40q is shown as %.200q", said, err)
		}
	}
}

// TestWritesRunToTheirEnd cancels in the middle of calls.
func TestWritesRunToTheirEnd(t *testing.T) {
	for _, test := range []struct {
		op    string
		whole bool
		call  func(context.Context, *Conn) error
	}{
		{"grant", true, do(reconcile.StepGrant)},
		{"delete", true, do(reconcile.StepDelete)},
		{"create", true, func(ctx context.Context, c *Conn) error {
			_, err := c.Create(ctx, driver.AccountSpec{Name: "x"})
			return err
		}},
		{"read", false, func(ctx context.Context, c *Conn) error {
			_, err := c.ReadNow(ctx, nhi.Ref{ID: "1"})
			return err
		}},
	} {
		d := able{bare{newScript(account("1", nhi.Mark{}))}}
		p, _ := newTestPlatform(d, nil)
		conn := connect(t, p)
		ctx, cancel := context.WithCancel(t.Context())
		d.on = func(ctx context.Context, _ string, _ int) error {
			cancel()
			if _, bounded := ctx.Deadline(); !bounded {
				t.Errorf("%s has no time limit", test.op)
			}
			return ctx.Err()
		}
		if err := test.call(ctx, conn); (err == nil) != test.whole {
			t.Errorf("%s, cancelled in the middle: %v", test.op, err)
		}
		wantCode(t, test.call(ctx, conn), driver.Unavailable)
		if d.count(test.op) != 1 {
			t.Errorf("%s was begun after the end of the context", test.op)
		}
	}
}

func TestPanicIsAnError(t *testing.T) {
	d := able{bare{newScript()}}
	p, _ := newTestPlatform(d, func(c *Config) { c.Options.MaxConcurrency = 1 })
	conn := connect(t, p)
	d.on = func(context.Context, string, int) error { panic("index out of range") }
	for range 2 { // the second call needs what the first one held
		err := do(reconcile.StepGrant)(t.Context(), conn)
		wantCode(t, err, driver.Unknown)
		if !strings.Contains(err.Error(), "the driver panicked; please report this") {
			t.Errorf("error %v", err)
		}
	}
	if d.count("grant") != 2 {
		t.Errorf("%d calls", d.count("grant"))
	}
}

func TestSleep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		if err := sleep(t.Context(), time.Hour); err != nil || time.Since(begin) != time.Hour {
			t.Errorf("slept %s: %v", time.Since(begin), err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := sleep(ctx, time.Hour); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v", err)
		}
	})
}
