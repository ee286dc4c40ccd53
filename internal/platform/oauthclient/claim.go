package oauthclient

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
	"github.com/nhi-labs/terraform-provider-nhi/internal/platform/internal/rest"
)

// claim is a client that this run has to itself: RFC 7592 replaces a registration whole and has nothing to detect that
// another run did so meanwhile. It ends with end or drop.
type claim struct {
	entry
	driver *Driver
	unlock func()
}

func (d *Driver) claim(ctx context.Context, ref nhi.Ref) (*claim, error) {
	unlock, err := d.locks.Lock(ctx, ref.Name)
	if err != nil {
		return nil, err
	}
	e, err := d.claimEntry(ctx, ref)
	if err != nil {
		unlock()
		return nil, err
	}
	return &claim{entry: e, driver: d, unlock: unlock}, nil
}

// get reads the registration. A read of another run may have had a new token for the one that this run has: it is then in
// the registry, or soon will be.
func (c *claim) get(ctx context.Context) (client, error) {
	var registration client
	err := c.insist(ctx, func() (err error) {
		registration, err = c.driver.get(ctx, &c.entry)
		return err
	})
	return registration, err
}

// delete deletes the client.
func (c *claim) delete(ctx context.Context) error {
	if _, err := c.get(ctx); err != nil {
		return gone(err)
	}
	c.removing = true
	if err := c.driver.save(ctx, &c.entry); err != nil {
		c.removing = false
		return err
	}
	answered := func(err error) bool {
		var status *rest.StatusError
		return errors.As(err, &status)
	}
	return c.insist(ctx, func() error {
		_, err := c.driver.manage(ctx, http.MethodDelete, c.entry, nil)
		c.removing = !answered(err) // An error that the server answers with: it did not delete.
		return err
	})
}

// insist repeats what the server refuses as long as other runs save newer tokens.
func (c *claim) insist(ctx context.Context, send func() error) error {
	for end := time.Now().Add(claimWait); ; {
		err := send()
		if !isRefused(err) || time.Now().After(end) {
			return c.driver.refused(c.entry, err)
		}
		now, replaced, lookupErr := c.driver.successor(ctx, c.entry, c.changing)
		if lookupErr != nil || !replaced || !now.changing.Equal(c.changing) {
			return cmp.Or(lookupErr, c.driver.refused(c.entry, err))
		}
		c.access, c.stored, c.version = now.access, now.stored, now.version
	}
}

// end gives the client free, and returns what the change came to: err, unless the registry fails. Something may have been
// done then, and the claim be left, so that repeating it at once would do it twice, or wait for itself.
func (c *claim) end(ctx context.Context, err error) error {
	released := c.release(ctx)
	if released == nil {
		return err
	}
	return driver.AfterChange(c.driver.Classify, errors.Join(released, err))
}

// release writes the entry as it is now: the token in it may be a new one.
func (c *claim) release(ctx context.Context) error {
	defer c.unlock()
	return c.driver.release(ctx, &c.entry, c.driver.config.SaveTimeout)
}

func (d *Driver) release(ctx context.Context, e *entry, timeout time.Duration) error {
	claimed, unsure := e.changing, false
	e.changing = time.Time{}
	return d.persist(ctx, e, timeout, func(failure error, now *entry) (bool, error) {
		unsure = unsure || driver.CodeOf(failure) != driver.Conflict
		switch {
		case now == nil:
			return true, failure
		case unsure && now.same(*e):
			return true, nil // Only the answer was lost.
		case !now.changing.Equal(claimed): // The claim has run out: the entry is another run's, but for a token that it lacks.
			return true, errors.Join(d.keepToken(ctx, *e), failure)
		case !now.sameAccess(e.stored): // A read of another run has saved its token.
			e.access = now.access
		}
		e.stored, e.version = now.stored, now.version
		return false, nil
	})
}

// drop removes the entry of a client that is gone.
func (c *claim) drop(ctx context.Context) error {
	defer c.unlock()
	return c.driver.forget(ctx, c.name)
}

func (d *Driver) claimEntry(ctx context.Context, ref nhi.Ref) (entry, error) {
	for end := time.Now().Add(claimWait); ; {
		e, err := d.lookup(ctx, ref)
		if err != nil {
			return entry{}, err
		}
		if now := time.Now(); now.After(e.changing) {
			e.changing = now.Add(claimTime)
			err = d.save(ctx, &e)
			if driver.CodeOf(err) == driver.Unavailable {
				return d.unanswered(ctx, e, err)
			}
			if driver.CodeOf(err) != driver.Conflict {
				return e, err
			}
		}
		if time.Now().After(end) {
			return entry{}, driver.Errorf(driver.Conflict, "another run is changing client %q, or was killed while it did: "+
				"it is free again at %s", ref.Name, e.changing.Format(time.RFC3339))
		}
		if err := pause(ctx, claimPoll); err != nil {
			return entry{}, err
		}
	}
}

// unanswered goes on with a claim that the registry has, although writing it failed. One that it does not show, or that is of
// no use any more because ctx has ended, may still arrive: it is released, or else nobody could change the client for claimTime.
func (d *Driver) unanswered(ctx context.Context, e entry, failure error) (entry, error) {
	if now, err := d.lookup(ctx, e.ref()); err == nil && now.changing.Equal(e.changing) {
		return now, nil
	}
	// That this fails as well is no news: the registry has no answer.
	_ = d.release(ctx, &e, min(saveWait, d.config.SaveTimeout))
	return entry{}, failure
}

// keepToken saves a token that came with an answer. It replaces the one that the server was asked with, and no other: if the
// registry has another one meanwhile, that is newer.
func (d *Driver) keepToken(ctx context.Context, e entry) error {
	if e.sameAccess(e.stored) {
		return nil
	}
	return d.persist(ctx, &e, d.config.SaveTimeout, func(_ error, now *entry) (bool, error) {
		if now == nil || !now.sameAccess(e.stored) {
			return true, nil
		}
		now.access = e.access
		e = *now
		return false, nil
	})
}

// persist saves e, also after ctx has ended: the token in it may be the only one that is valid. Whatever the registry answers,
// it is asked again until timeout is over. After each failure, look is told what is there now, nil if nothing is: it brings e up to
// that, or is done and says what that comes to.
func (d *Driver) persist(ctx context.Context, e *entry, timeout time.Duration, look func(failure error, now *entry) (done bool, err error)) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), timeout)
	defer cancel()
	for wait := claimPoll; ; wait = min(2*wait, longestPause) {
		failure := d.save(ctx, e)
		if failure == nil {
			return nil
		}
		done := false
		now, err := d.lookup(ctx, e.ref())
		switch {
		case err == nil:
			done, err = look(failure, &now)
		case driver.CodeOf(err) == driver.NotFound:
			done, err = look(failure, nil)
		}
		if done {
			return err
		}
		if pause(ctx, wait) != nil {
			return d.lost(*e, failure)
		}
	}
}

// lost says what it means that e was not saved. It is Unknown if a token is lost with it, so that nobody tries again: the next
// answer would hide this one.
func (d *Driver) lost(e entry, failure error) error {
	if e.sameAccess(e.stored) {
		return failure
	}
	return driver.Errorf(driver.Unknown, "the server replaced the registration access token of client %q (%s), and the registry did not "+
		"take the new one within %s: it is lost. Give the client a new one at the server and write it to the registry's entry %s, or delete "+
		"the client there and remove the entry: %w", e.name, e.clientID, d.config.SaveTimeout, d.entryPath(e.name), failure)
}

// mayWrite makes sure, once, that the registry may be written, before the server is asked: its answer may end the token that
// the registry has.
func (d *Driver) mayWrite(ctx context.Context, e entry) error {
	if d.written.Load() {
		return nil
	}
	if err := d.config.Registry.MayPutSecret(ctx, d.entryPath(e.name), e.content()); err != nil {
		return fmt.Errorf("client %q is not read, because the server may answer with a new registration access token, which the "+
			"registry has to take: %w", e.name, storeError("writing the registry", err))
	}
	d.written.Store(true)
	return nil
}

// successor waits until the registry has another token than the one that was refused: the run that was given it may not have
// saved it yet. It waits longer while a run has claimed the client, unless that is the run of the claim own. false: there is
// none.
func (d *Driver) successor(ctx context.Context, refused entry, own time.Time) (now entry, replaced bool, err error) {
	for start := time.Now(); ; {
		if now, err = d.lookup(ctx, refused.ref()); err != nil || !now.sameAccess(refused.stored) {
			return now, err == nil, err
		}
		wait := saveWait
		if now.changing.After(time.Now()) && !now.changing.Equal(own) {
			wait = claimWait
		}
		if time.Since(start) > wait {
			return now, false, nil
		}
		if err := pause(ctx, claimPoll); err != nil {
			return entry{}, false, err
		}
	}
}
