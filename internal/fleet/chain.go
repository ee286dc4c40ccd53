package fleet

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"
	"unicode"

	"github.com/hashicorp/terraform-plugin-log/tflog"
	"golang.org/x/sync/semaphore"
	"golang.org/x/time/rate"

	"github.com/nhi-labs/terraform-provider-nhi/internal/audit"
	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/guard"
)

const (
	defaultTimeout     = 30 * time.Second
	sweepTimeoutFactor = 20
	defaultConcurrency = 10
)

// call describes one call of a driver to the interceptors.
type call struct {
	op      string // in words, for messages: "read account"
	account string // "" if the call is not about one account
	// idempotent calls may be repeated when the platform did not say whether it did anything.
	idempotent bool
	// change is set for calls that change the platform: what their evidence says of them. The driver's function may fill
	// in what it learns.
	change *audit.Change
	// journal takes the evidence.
	journal *audit.Journal
	// sweep calls read everything and take longer.
	sweep bool
}

func (c call) write() bool { return c.change != nil }

type handler func(ctx context.Context) error

// interceptor wraps a call. Interceptors instead of decorators around Driver: a decorator would hide the optional
// interfaces of what it wraps.
type interceptor func(c call, next handler) handler

// call sends one driver call through the chain; the first interceptor is outermost. A panic, of the driver or of an
// interceptor, is an error to the next one outside, so that what was begun is evidenced, and finished or taken back, like
// after any other failure.
func (p *Platform) call(ctx context.Context, c call, f handler) error {
	f = p.answering(c, recovered("the driver", p.intercepted(c, f)))
	for i := len(p.chain) - 1; i >= 0; i-- {
		f = recovered("the provider", p.chain[i](c, f))
	}
	return f(ctx)
}

func recovered(who string, f handler) handler {
	return func(ctx context.Context) error {
		return guard.Call(ctx, who, func() error { return f(ctx) })
	}
}

// ask is call for functions that return a value.
func ask[T any](ctx context.Context, p *Platform, c call, f func(ctx context.Context) (T, error)) (T, error) {
	var result T
	err := p.call(ctx, c, func(ctx context.Context) (err error) {
		result, err = f(ctx)
		return err
	})
	if err != nil {
		var zero T
		return zero, err
	}
	return result, nil
}

// logged writes one line per call to the provider's log. Errors are already explained and redacted.
func logged(platform string) interceptor {
	return func(c call, next handler) handler {
		return func(ctx context.Context) error {
			begin := time.Now()
			err := next(ctx)
			line := tflog.SetField(ctx, "platform", platform)
			line = tflog.SetField(line, "op", c.op)
			line = tflog.SetField(line, "account", c.account)
			line = tflog.SetField(line, "milliseconds", time.Since(begin).Milliseconds())
			if err != nil {
				line = tflog.SetField(line, "error", err.Error())
			}
			tflog.Debug(line, "platform call")
			return err
		}
	}
}

// explained turns the client library's error into one that names the platform, the operation and the account, carries
// the verdict, and repeats no secret. The original error is dropped on purpose: its text is not redacted.
func explained(p *Platform) interceptor {
	return func(c call, next handler) handler {
		return func(ctx context.Context) error {
			err := next(ctx)
			if err == nil {
				return nil
			}
			verdict := p.verdict(err)
			subject := c.op
			if c.account != "" {
				subject = fmt.Sprintf("%s %q", c.op, c.account)
			}
			text := p.redactor.Redact(fmt.Sprintf("platform %q: %s: %v (%s)", p.Name(), subject, err, verdict.Code))
			clean := errors.New(printable(text))
			var leftover *driver.LeftoverError
			if errors.As(err, &leftover) {
				clean = &driver.LeftoverError{Err: clean}
			}
			return &driver.Error{Verdict: verdict, Err: clean}
		}
	}
}

// longestError is how many characters of an error are shown.
const longestError = 16 << 10

// printable makes a text that may come from a platform harmless: to a terminal, which takes commands from characters that
// do not print, to readers, whom some of them deceive about the order of the text, and to CI systems that take commands
// from the beginning of a line.
func printable(text string) string {
	count := 0
	text = strings.Map(func(r rune) rune {
		if count++; count > longestError {
			return -1
		}
		if r == '\n' || unicode.IsPrint(r) {
			return r
		}
		return ' '
	}, text)
	if count > longestError {
		text += "…"
	}
	return strings.ReplaceAll(text, "\n", "\n| ")
}

func (p *Platform) verdict(err error) driver.Verdict {
	if v, ok := driver.Known(err); ok {
		return v
	}
	if p.driver == nil {
		return driver.Verdict{}
	}
	return p.driver.Classify(err)
}

// retryPolicy bounds how a call is repeated.
type retryPolicy struct {
	attempts int
	first    time.Duration // wait before the second attempt; doubles each time
	longest  time.Duration // also for what the platform asks for: beyond it the error is returned
	sleep    func(ctx context.Context, d time.Duration) error
}

func defaultRetry() retryPolicy {
	return retryPolicy{attempts: 5, first: 200 * time.Millisecond, longest: 90 * time.Second, sleep: sleep}
}

// retried repeats what may be repeated: RateLimited always (nothing was done), Unavailable and Conflict only for
// idempotent calls. Every driver call re-reads what it depends on, so repeating after a conflict decides anew.
//
// A platform that was unavailable to the end of one call's attempts gets a single attempt per call until it answers
// again: a run over a thousand accounts says within seconds that a platform is down.
func retried(p *Platform, policy retryPolicy) interceptor {
	return func(c call, next handler) handler {
		return func(ctx context.Context) error {
			wait := policy.first
			for attempt := 1; ; attempt++ {
				err := next(ctx)
				if err == nil {
					p.down.Store(false)
					return nil
				}
				verdict := p.verdict(err)
				unavailable := verdict.Code == driver.Unavailable
				if !unavailable {
					p.down.Store(false) // a refusal is an answer, too
				}
				if ctx.Err() != nil || !repeatable(c, verdict.Code) {
					return err
				}
				if attempt == policy.attempts || (unavailable && p.down.Load()) {
					p.down.Store(unavailable)
					return err
				}
				pause := max(jitter(wait), verdict.RetryAfter)
				if pause > policy.longest || policy.sleep(ctx, pause) != nil {
					return err
				}
				wait *= 2
			}
		}
	}
}

func repeatable(c call, code driver.Code) bool {
	switch code {
	case driver.RateLimited:
		return true
	case driver.Unavailable, driver.Conflict:
		return c.idempotent
	default:
		return false
	}
}

// jitter spreads retries of calls that failed together: between half and the whole of d.
func jitter(d time.Duration) time.Duration {
	return d/2 + rand.N(d/2+1) //nolint:gosec // not a secret
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// limited keeps to the platform's limits on rate and concurrency.
func limited(options Options) interceptor {
	width := options.MaxConcurrency
	if width <= 0 {
		width = defaultConcurrency
	}
	slots := semaphore.NewWeighted(width)
	limiter := rate.NewLimiter(rate.Inf, 0)
	if options.RequestsPerMinute > 0 {
		limiter = rate.NewLimiter(rate.Limit(float64(options.RequestsPerMinute)/60), 1)
	}
	return func(_ call, next handler) handler {
		return func(ctx context.Context) error {
			if err := slots.Acquire(ctx, 1); err != nil {
				return err
			}
			defer slots.Release(1)
			if err := limiter.Wait(ctx); err != nil {
				if ctx.Err() != nil {
					return ctx.Err()
				}
				return driver.Errorf(driver.Unavailable, "the platform's requests_per_minute leave no room before the deadline: %w", err)
			}
			return next(ctx)
		}
	}
}

// whole lets a change that has begun run to its end: an interrupt stops the work between steps, not inside one. The
// time limit of the call still holds.
func whole() interceptor {
	return func(c call, next handler) handler {
		return func(ctx context.Context) error {
			if err := ctx.Err(); err != nil {
				return err
			}
			if c.write() {
				ctx = context.WithoutCancel(ctx)
			}
			return next(ctx)
		}
	}
}

// timed bounds one attempt. That it took too long is its error, whatever the driver says; but what it says to be left, or to be
// lost (final), is kept.
func timed(options Options) interceptor {
	timeout := options.Timeout
	if timeout <= 0 {
		timeout = defaultTimeout
	}
	return func(c call, next handler) handler {
		limit := timeout
		if c.sweep {
			limit *= sweepTimeoutFactor
		}
		return func(ctx context.Context) error {
			ctx, cancel := context.WithTimeoutCause(ctx, limit,
				driver.Errorf(driver.Unavailable, "no answer within %s; raise the platform's timeout if it is this slow", limit))
			defer cancel()
			err := next(ctx)
			if err == nil || !errors.Is(ctx.Err(), context.DeadlineExceeded) {
				return err
			}
			var left *driver.LeftoverError
			if errors.As(err, &left) {
				return errors.Join(context.Cause(ctx), left)
			}
			if final(err) {
				return err
			}
			return context.Cause(ctx)
		}
	}
}

// final reports whether the driver itself says that nobody must try again (Unknown), and not because the time was over: a time
// limit in the place of that would hide what was lost.
func final(err error) bool {
	var own *driver.Error
	return errors.As(err, &own) && own.Code == driver.Unknown && !errors.Is(err, context.DeadlineExceeded)
}
