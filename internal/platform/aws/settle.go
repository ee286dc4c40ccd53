package aws

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
)

// AWS copies a change to its servers after it has answered. For a while some of them do not know of it: a user that was
// just made is not found, a key that was just issued is refused, a list lacks what was just attached.

// fresh remembers what this driver has made a short while ago, and waits for AWS to know of it; and what AWS has refused to make.
type fresh struct {
	settle time.Duration

	mu   sync.Mutex
	made map[string]time.Time // a name of a user, the id of an access key, or a refusedGrant
}

func newFresh(settle time.Duration) *fresh {
	return &fresh{settle: settle, made: map[string]time.Time{}}
}

func (f *fresh) add(what string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for other, at := range f.made {
		if time.Since(at) > f.settle {
			delete(f.made, other)
		}
	}
	f.made[what] = time.Now()
}

func (f *fresh) drop(what ...string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, one := range what {
		delete(f.made, one)
	}
}

// left is for how long AWS may still not know of what, 0 or less if it must by now.
func (f *fresh) left(what string) time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	at, ok := f.made[what]
	if !ok {
		return 0
	}
	return f.settle - time.Since(at)
}

const (
	firstPause   = 50 * time.Millisecond
	longestPause = 2 * time.Second
)

// known calls ask, again while AWS says that it does not know what this driver made a short while ago.
func (f *fresh) known(ctx context.Context, what string, unknown func(error) bool, ask func() error) error {
	for pause := firstPause; ; pause = min(2*pause, longestPause) {
		err := ask()
		if err == nil || !unknown(err) || f.left(what) <= 0 {
			return err
		}
		if err := wait(ctx, pause); err != nil {
			return err
		}
	}
}

// seen calls look until it reports that a change shows. That it does not for as long as AWS may take is an error: a read
// that follows would not show it either.
func (d *awsDriver) seen(ctx context.Context, what string, look func() (bool, error)) error {
	end := time.Now().Add(d.fresh.settle)
	for pause := firstPause; ; pause = min(2*pause, longestPause) {
		done, err := look()
		if err != nil || done {
			return err
		}
		if time.Now().After(end) {
			return driver.Errorf(driver.Unavailable, "AWS accepted the change of %s and does not show it after %s", what, d.fresh.settle)
		}
		if err := wait(ctx, pause); err != nil {
			return err
		}
	}
}

// wait waits for between half of d and d, so that those who met do not meet again.
func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d/2 + rand.N(d/2+1)) //nolint:gosec // not a secret
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
