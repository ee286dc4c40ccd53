package oauthclient

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
	"github.com/nhi-labs/terraform-provider-nhi/internal/platform/internal/rest"
)

// claim is a client that this run has to itself: RFC 7592 replaces a registration whole and has nothing to detect that
// another run did so meanwhile. It ends with release or drop.
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

// release writes the entry as it is now, also after ctx has ended: the token in it may be a new one.
func (c *claim) release(ctx context.Context) error {
	defer c.unlock()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), claimWait)
	defer cancel()
	claimed := c.changing
	c.changing = time.Time{}
	for {
		err := c.driver.save(ctx, &c.entry)
		if driver.CodeOf(err) != driver.Conflict {
			return err
		}
		now, lookupErr := c.driver.lookup(ctx, c.ref())
		if lookupErr != nil {
			return errors.Join(err, lookupErr)
		}
		if !now.changing.Equal(claimed) { // The claim has run out: the entry is another run's, but for a token that it lacks.
			return errors.Join(err, c.driver.keepToken(ctx, c.entry))
		}
		// A read of another run has saved its token.
		if !now.sameAccess(c.stored) {
			c.access = now.access
		}
		c.stored, c.version = now.stored, now.version
	}
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
			if err = d.save(ctx, &e); driver.CodeOf(err) != driver.Conflict {
				return e, err
			}
		}
		if time.Now().After(end) {
			return entry{}, driver.Errorf(driver.Conflict, "another run is changing client %q, or was killed while it did: "+
				"it is free again at %s", ref.Name, e.changing.Format(time.RFC3339))
		}
		if err := pause(ctx); err != nil {
			return entry{}, err
		}
	}
}

// keepToken saves a token that came with an answer. It replaces the one that the server was asked with, and no other: if the
// registry has another one meanwhile, that is newer.
func (d *Driver) keepToken(ctx context.Context, e entry) error {
	if e.sameAccess(e.stored) {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), claimWait)
	defer cancel()
	for {
		err := d.save(ctx, &e)
		if driver.CodeOf(err) != driver.Conflict {
			return err
		}
		now, err := d.lookup(ctx, e.ref())
		if err != nil || !now.sameAccess(e.stored) {
			return gone(err)
		}
		now.access = e.access
		e = now
	}
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
		if err := pause(ctx); err != nil {
			return entry{}, false, err
		}
	}
}
