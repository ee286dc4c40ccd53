// Package fleet holds the configured platforms. It opens each once, finds its capabilities, checks that it is still
// the system that state knows, sends every call through one chain of interceptors (rate limit, timeout, retry,
// redaction) and reads accounts in bulk.
//
// A Fleet belongs to one provider configuration in one process; nothing in it is global.
package fleet

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nhi-labs/terraform-provider-nhi/internal/audit"
	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
	"github.com/nhi-labs/terraform-provider-nhi/internal/secret"
)

// Options limit what a platform is asked to bear.
type Options struct {
	// Timeout bounds one call, but for a sweep, which gets twenty times as long. 0 means 30 seconds.
	Timeout time.Duration
	// RequestsPerMinute bounds the rate of calls, 0 is no limit.
	RequestsPerMinute int64
	// MaxConcurrency bounds the calls under way at once. 0 means 10.
	MaxConcurrency int64
}

// Config describes one platform.
type Config struct {
	Name string
	Spec driver.Spec
	// Open makes the driver, without I/O. Nil: the configuration is not known yet (it depends on a resource that is
	// not there yet), and every call fails with ErrNotConfigured.
	Open    func() (driver.Driver, error)
	Options Options
	// PreviousTargets are ids of targets that are the same system as today's: after a migration, accounts that state
	// pins to one of them are found here.
	PreviousTargets []string
	// Secrets are hidden wherever an error of the platform repeats them.
	Secrets []secret.Value
	// Watch, if set, is told of every successful change.
	Watch Watch
	// Intercept, if set, stands before every call of the driver.
	Intercept Intercept
}

// Fleet is the set of configured platforms of one stack. Its methods are safe for concurrent use.
type Fleet struct {
	stack     string
	retired   []string
	platforms map[string]*Platform
	journal   *audit.Journal
}

// New makes a fleet. It does no I/O. Names must be unique; retired names must not be configured as well.
func New(stack string, retired []string, configs []Config) *Fleet {
	f := &Fleet{stack: stack, retired: slices.Clone(retired), platforms: make(map[string]*Platform, len(configs))}
	for _, c := range configs {
		f.platforms[c.Name] = newPlatform(stack, c, defaultRetry())
	}
	return f
}

// Under returns the same fleet, whose changes are evidenced in a journal. Changes of a fleet that is under none are not
// evidenced at all.
func (f *Fleet) Under(journal *audit.Journal) *Fleet {
	under := *f
	under.journal = journal
	return &under
}

// Connect opens a platform if need be and checks that it is the system that recorded, a Target.ID from state, names.
// With recorded "" any system will do. A mismatch is a *WrongTargetError.
func (f *Fleet) Connect(ctx context.Context, name, recorded string) (*Conn, error) {
	p, err := f.Platform(name)
	if err != nil {
		return nil, err
	}
	conn, err := p.connect(ctx, recorded)
	if err != nil {
		return nil, err
	}
	conn.journal = f.journal
	return conn, nil
}

// ConnectStore is Connect, and checks that what answers is the secret store that store, a Target.StoreID from state, names.
// With "" any store of the system will do.
func (f *Fleet) ConnectStore(ctx context.Context, name, recorded, store string) (*Conn, error) {
	conn, err := f.Connect(ctx, name, recorded)
	if err == nil && store != "" && store != conn.target.StoreID() && !conn.platform.WasTarget(store) {
		return nil, &WrongTargetError{Platform: name, Recorded: store, Answering: conn.target.StoreID()}
	}
	return conn, err
}

// ConnectRegistry is Connect for the platform of, which keeps in this one what it knows of its own accounts. The evidence says so.
func (f *Fleet) ConnectRegistry(ctx context.Context, name, of string) (*Conn, error) {
	conn, err := f.Connect(ctx, name, "")
	if err == nil {
		conn.registryOf = of
	}
	return conn, err
}

// Stack is the name in the ownership marks.
func (f *Fleet) Stack() string { return f.stack }

// Names lists the configured platforms, sorted.
func (f *Fleet) Names() []string {
	names := make([]string, 0, len(f.platforms))
	for name := range f.platforms {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// Retired reports whether a platform was switched off for good: its accounts count as gone.
func (f *Fleet) Retired(name string) bool { return slices.Contains(f.retired, name) }

// Platform returns a configured platform. The error says which ones there are.
func (f *Fleet) Platform(name string) (*Platform, error) {
	if p, ok := f.platforms[name]; ok {
		return p, nil
	}
	if f.Retired(name) {
		return nil, fmt.Errorf("platform %q is listed in retired_platforms, so nothing can be declared on it", name)
	}
	known := f.Names()
	hint := ""
	if near, ok := nhi.Nearest(name, known); ok {
		hint = fmt.Sprintf("; did you mean %q?", near)
	}
	list := "none is configured"
	if len(known) > 0 {
		list = "configured are: " + strings.Join(known, ", ")
	}
	return nil, fmt.Errorf("no platform is named %q in the provider configuration%s (%s). "+
		"If it was switched off for good, add it to retired_platforms", name, hint, list)
}

// Close closes every driver that was opened and returns the first error.
func (f *Fleet) Close() error {
	var first error
	for _, name := range f.Names() {
		if err := f.platforms[name].close(); err != nil && first == nil {
			first = err
		}
	}
	return first
}
