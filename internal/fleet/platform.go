package fleet

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/guard"
	"github.com/nhi-labs/terraform-provider-nhi/internal/reconcile"
	"github.com/nhi-labs/terraform-provider-nhi/internal/secret"
)

// ErrNotConfigured is returned for a platform whose configuration is not known yet.
var ErrNotConfigured = errors.New("the platform's configuration is not known yet; it depends on something that has not been applied")

// Platform is one configured platform. Fleet.Connect gives access to it.
type Platform struct {
	config   Config
	redactor *secret.Redactor
	chain    []interceptor
	cache    *cache
	// down is set while the platform was unavailable at its last call.
	down atomic.Bool

	mu     sync.Mutex
	driver driver.Driver
	target driver.Target // zero until the first successful probe
	// failure is what the last probe came to if the platform did not answer, until retryAt: callers that queued behind a
	// slow probe get its answer instead of waiting as long one after the other.
	failure error
	retryAt time.Time
}

func newPlatform(stack string, config Config, retry retryPolicy) *Platform {
	p := &Platform{config: config, redactor: &secret.Redactor{}, cache: newCache(stack)}
	p.redactor.Add(config.Secrets...)
	p.chain = []interceptor{
		logged(config.Name), audited(config.Name), explained(p), retried(p, retry),
		limited(config.Options), whole(), timed(config.Options),
	}
	if config.Watch != nil {
		p.chain = append(p.chain, watched(config.Watch))
	}
	return p
}

// Name is the name that users gave the platform.
func (p *Platform) Name() string { return p.config.Name }

// Spec is what is known of the platform's kind without a connection.
func (p *Platform) Spec() driver.Spec { return p.config.Spec }

// Abilities is Spec in the words of package reconcile.
func (p *Platform) Abilities() reconcile.Abilities {
	spec := p.config.Spec
	return reconcile.Abilities{
		Suspend: spec.Can(driver.CanSuspend), EndSessions: spec.Can(driver.CanEndSessions),
		Issue: spec.Can(driver.CanIssue), NativeExpiry: spec.NativeExpiry,
	}
}

// WasTarget reports whether id is the target that the platform had before a migration, so that today's is found under it.
func (p *Platform) WasTarget(id string) bool { return slices.Contains(p.config.PreviousTargets, id) }

// WrongTargetError says that a platform's name now reaches another system than the one that state knows. Accounts are
// never looked for there.
type WrongTargetError struct {
	Platform, Recorded, Answering string
}

func (e *WrongTargetError) Error() string {
	return fmt.Sprintf("platform %q now reaches another system: state knows %q, but %q answers. Nothing was read or changed there. "+
		"Correct the provider configuration; or, if this is the same system after a migration, add the old id to previous_targets "+
		"of the platform's block", e.Platform, e.Recorded, e.Answering)
}

func (p *Platform) connect(ctx context.Context, recorded string) (*Conn, error) {
	d, target, err := p.open(ctx)
	if err != nil {
		return nil, err
	}
	if recorded != "" && recorded != target.ID && !p.WasTarget(recorded) {
		return nil, &WrongTargetError{Platform: p.Name(), Recorded: recorded, Answering: target.ID}
	}
	return &Conn{platform: p, driver: d, target: target}, nil
}

// open opens and probes once. A probe that failed is tried again by the next caller, unless it took long.
func (p *Platform) open(ctx context.Context) (driver.Driver, driver.Target, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.config.Open == nil {
		return nil, driver.Target{}, fmt.Errorf("platform %q: %w", p.Name(), ErrNotConfigured)
	}
	if p.driver == nil {
		d, err := p.config.Open()
		if err != nil {
			return nil, driver.Target{}, errors.New(p.redactor.Redact(fmt.Sprintf("platform %q: %v", p.Name(), err)))
		}
		p.driver = d
	}
	if p.target.ID == "" {
		if time.Now().Before(p.retryAt) {
			return nil, driver.Target{}, p.failure
		}
		begin := time.Now()
		err := p.call(ctx, call{op: "probe", idempotent: true}, func(ctx context.Context) (err error) {
			p.target, err = p.driver.Probe(ctx)
			if err == nil && p.target.ID == "" {
				err = errors.New("the system does not say which one it is")
			}
			return err
		})
		if err != nil {
			p.target = driver.Target{}
			if ctx.Err() == nil { // How long one caller waits says nothing about the platform.
				p.rememberFailure(err, time.Since(begin))
			}
			return nil, driver.Target{}, err
		}
	}
	return p.driver, p.target, nil
}

// Realm is the space in which account names are unique on the system that answered, "" if none has been asked yet.
func (p *Platform) Realm() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return cmp.Or(p.target.Realm, p.target.ID)
}

const (
	// slowProbe is how long a failed probe takes at least to be remembered; failureMemory how long it is.
	slowProbe     = 500 * time.Millisecond
	failureMemory = time.Minute
)

// rememberFailure keeps the answer of a probe that waited for a platform in vain.
func (p *Platform) rememberFailure(err error, took time.Duration) {
	if took >= slowProbe && driver.CodeOf(err) == driver.Unavailable {
		p.failure, p.retryAt = err, time.Now().Add(failureMemory)
	}
}

func (p *Platform) close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.driver == nil {
		return nil
	}
	if err := guard.Call(context.Background(), "the driver", p.driver.Close); err != nil {
		return errors.New(p.redactor.Redact(fmt.Sprintf("platform %q: close: %v", p.Name(), err)))
	}
	return nil
}
