package rotation

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// A store may hold a previous credential again: it was rolled back, or a deliver block came back to a path that could not be
// emptied. Whoever reads it there uses it, so it is not revoked before that store holds another one.

// held lists the stores that hold a credential that works.
func (d *decision) held(c Credential) []int {
	var out []int
	for i, h := range d.seen.Stores {
		if h.Of(c) && !d.expired(c.ID) {
			out = append(out, i)
		}
	}
	return out
}

// usable reports whether a store can give back a credential that has not expired.
func (d *decision) usable(c Credential) bool { return d.readable(c) && !d.expired(c.ID) }

// goBack makes a previous credential the current one again, where a store holds that, none gives the current one back, and there is
// no room for a new one: the one that nobody can read has its overlap then, and goes. A new one follows.
func (d *decision) goBack() bool {
	var why string
	switch {
	case d.current == nil:
		why = "the current credential is gone from the platform"
	case d.usable(*d.current):
		return false
	case d.expired(d.current.ID):
		why = "the platform has ended the current credential"
	default:
		why = "no store can give the current credential back"
	}
	var held []Credential
	for _, c := range d.plan.Record {
		if c.Stage == Previous && !d.found(c) && d.usable(c) {
			held = append(held, c)
		}
	}
	if len(held) == 0 {
		return false
	}
	c := slices.MaxFunc(held, func(a, b Credential) int { return cmp.Compare(d.number(a), d.number(b)) })
	d.over = slices.DeleteFunc(d.over, func(o Credential) bool { return o.ID == c.ID })
	d.needSlots = false
	d.plan.Words = append(d.plan.Words, fmt.Sprintf("rotate: go back to %s, which a store holds: %s, and there is no room for a new one; rotate "+
		"once there is", c.Label, why))
	d.plan.WentBack = true
	if d.Forced || d.Owed {
		d.plan.Notes = append(d.plan.Notes, fmt.Sprintf("A rotation waits (rotate_when_changed has changed): it needs the place of the credential "+
			"that %s replaces.", c.Label))
	}
	d.finish(c, d.stale(c))
	return true
}

// makeRoomOfHeld revokes n previous credentials whose overlap is over, after the stores that hold them have got the current one, or
// none where that makes no room.
func (d *decision) makeRoomOfHeld(n int) {
	if n > len(d.over) {
		return
	}
	var stores []int
	for _, c := range d.over[:max(0, n)] {
		stores = append(stores, d.held(c)...)
		d.revoke(c, "retire "+c.Label+": "+overlapWords(c))
	}
	if len(stores) == 0 || d.current == nil || !d.usable(*d.current) {
		return
	}
	d.first = append(d.first, Step{Kind: StepVerify, ID: d.current.ID, Label: d.current.Label})
	for _, i := range stores {
		d.first = append(d.first, Step{Kind: StepDeliver, ID: d.current.ID, Label: d.current.Label, Store: i})
	}
}

// keepHeld says which previous credentials stay after their overlap because a store holds them.
func (d *decision) keepHeld() {
	for _, c := range d.over {
		if d.revokes(c.ID) {
			continue
		}
		var places []string
		for _, i := range d.held(c) {
			places = append(places, d.seen.Stores[i].Place)
		}
		d.plan.Notes = append(d.plan.Notes, fmt.Sprintf("The overlap of %s is over, but it is kept: it is what %s holds.", c.Label,
			strings.Join(places, " and ")))
	}
}
