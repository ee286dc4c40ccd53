package rotation

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// A rotation without a record, because state is lost or a creation was killed, cannot know what is in use: a credential
// that no store gives back may be one that nobody has, or one that was delivered to a place that is not declared any more.
// It is kept like a previous one, for an overlap after the next promotion.

// found reports whether a credential was found without a record, and nothing has been promoted since.
func (d *decision) found(c Credential) bool {
	return d.current == nil && c.Stage == Previous && c.RetireAt.IsZero()
}

// makeRoom gives up n of the found credentials that a plan has named, or none where that makes no room: first the one that
// was not used for longest, as far as the platform tells, and of the others the oldest.
func (d *decision) makeRoom(n int) {
	var all []Credential
	for _, c := range d.plan.Record {
		if d.found(c) && d.named(c.ID) {
			all = append(all, c)
		}
	}
	if n > len(all) {
		return
	}
	slices.SortFunc(all, func(a, b Credential) int {
		return cmp.Or(d.lastUsed(a.ID).Compare(d.lastUsed(b.ID)), cmp.Compare(d.number(a), d.number(b)))
	})
	for _, c := range all[:max(0, n)] {
		d.revoke(c, fmt.Sprintf("revoke %s: no store can give it back, and a new one needs its place", c.Label))
	}
}

// lastUsed is what the platform says of the last use of a credential, zero if nothing.
func (d *decision) lastUsed(id string) time.Time {
	for _, c := range d.seen.Credentials {
		if c.ID == id {
			return c.LastUsedAt
		}
	}
	return time.Time{}
}

// keepFound says which found credentials stay, unless one may have to go once a plan names it.
func (d *decision) keepFound() {
	if d.plan.Waits {
		return
	}
	for _, c := range d.plan.Record {
		if d.found(c) && !d.revokes(c.ID) && (d.candidate == nil || d.candidate.ID != c.ID) {
			d.plan.Words = append(d.plan.Words, fmt.Sprintf("keep %s: somebody may use it; a later plan retires it, an overlap after the new one "+
				"is current", c.Label))
		}
	}
}
