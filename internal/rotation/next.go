package rotation

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
)

// Next returns what is to be done now. revocable says which credentials a plan has named for revocation: no other is revoked,
// but the current one, where AllowOutage or an overlap of zero says that a rotation does that. nil means that everything that is
// due may be planned. The error says what in the configuration or on the platform makes a rotation impossible.
func Next(record Record, seen Observed, s Settings, revocable func(id string) bool, now time.Time) (Plan, error) {
	if err := s.check(); err != nil {
		return Plan{}, err
	}
	if revocable == nil {
		revocable = func(string) bool { return true }
	}
	if seen.Suspended {
		return asleep(record, seen, s), nil
	}
	d := decision{Settings: s, seen: seen, revocable: revocable, now: now}
	d.merge(record)
	d.choose()
	d.revokeUnknown()
	d.revokeUnfinished()
	d.retire()
	if err := d.advance(); err != nil {
		return Plan{}, err
	}
	d.keepFound()
	d.keepHeld()
	// A store may still hold what is revoked, so revoking comes last unless a slot is needed.
	if d.needSlots {
		d.plan.Steps = slices.Concat(d.first, d.revocations, d.plan.Steps)
	} else {
		d.plan.Steps = append(d.plan.Steps, d.revocations...)
	}
	return d.plan, nil
}

// asleep is the plan for a suspended account: no step, and notes of what waits.
func asleep(record Record, seen Observed, s Settings) Plan {
	plan := Plan{Record: record}
	if s.Forced || s.Owed {
		plan.Notes = append(plan.Notes, "A rotation waits (rotate_when_changed has changed): the account is suspended.")
	}
	for _, store := range seen.Stores {
		if store.Label == "" {
			plan.Notes = append(plan.Notes, fmt.Sprintf("The delivery to %s waits: the account is suspended.", store.Place))
		}
	}
	return plan
}

func (s Settings) check() error {
	switch {
	case s.Slots < 1:
		return fmt.Errorf("accounts on this platform have no credentials that could be rotated")
	case s.Slots == 1 && !s.AllowOutage:
		return fmt.Errorf("an account on this platform has one credential at a time, so rotating it breaks every caller until it has read " +
			"the new one; set allow_outage = true if that is acceptable")
	case s.Every > 0 && s.Overlap >= s.Every:
		return fmt.Errorf("overlap (%s) must be shorter than rotate_every (%s): the previous credential has to be gone before the next "+
			"one is issued", s.Overlap, s.Every)
	}
	return nil
}

// decision is the work of one Next.
type decision struct {
	Settings
	seen      Observed
	revocable func(string) bool
	now       time.Time

	plan Plan
	// current is the credential that the record, confirmed by the platform, calls so; nil if there is none.
	current *Credential
	// candidate is a newer one whose rotation was not finished and can be.
	candidate *Credential
	// revocations are what is to be revoked; needSlots puts them first, but for the steps in first.
	revocations, first []Step
	needSlots          bool
	// over are previous credentials whose overlap is over and that a store holds all the same.
	over []Credential
	// unnamed is set if a credential stays only because no plan has named it.
	unnamed bool
	// highest is the highest number that was seen anywhere.
	highest int
}

// merge confirms the record: what the platform does not list is gone, and what carries a label of ours belongs to it. What
// is added to a record was issued by a run that was interrupted; where there is none, callers may use it. Where an account has
// one credential, that may keep its id for ever: with another label of ours it is another credential.
func (d *decision) merge(record Record) {
	for _, c := range record {
		d.see(c.Label)
	}
	for _, store := range d.seen.Stores {
		d.see(store.Label)
	}
	for _, c := range d.seen.Credentials {
		_, ours := d.Labels.Number(c.Label)
		i := slices.IndexFunc(record, func(r Credential) bool { return r.ID == c.ID && (r.Label == c.Label || r.Label == "" || !ours) })
		switch {
		case i >= 0:
			d.plan.Record = append(d.plan.Record, record[i])
		case ours:
			d.see(c.Label)
			stage := Pending
			if !slices.ContainsFunc(record, func(r Credential) bool { return r.Stage != Pending }) && !d.expired(c.ID) {
				stage = Previous
			}
			d.plan.Record = append(d.plan.Record, Credential{ID: c.ID, Label: c.Label, Stage: stage, IssuedAt: d.issuedAt(c)})
		default:
			d.plan.Unmanaged = append(d.plan.Unmanaged, c)
		}
	}
}

func (d *decision) see(label string) {
	if n, ok := d.Labels.Number(label); ok {
		d.highest = max(d.highest, n)
	}
}

// issuedAt is what the stores say, because that is the time of our own clock; or what the platform says.
func (d *decision) issuedAt(c nhi.Credential) time.Time {
	for _, store := range d.seen.Stores {
		if store.Of(Credential{ID: c.ID, Label: c.Label}) && !store.IssuedAt.IsZero() {
			return store.IssuedAt
		}
	}
	if c.CreatedAt.IsZero() {
		return d.now
	}
	return c.CreatedAt
}

func (d *decision) number(c Credential) int {
	n, _ := d.Labels.Number(c.Label)
	return n
}

// choose finds the current credential and the newest unfinished or found one that a store can give back. Credentials older
// than the current one of which the record knows nothing are previous ones whose time is over. One with the current one's number
// was issued at the same time by another run, which has delivered it last if a store holds it.
func (d *decision) choose() {
	record := d.plan.Record
	for i := range record {
		if record[i].Stage == Current {
			d.current = &record[i]
		}
	}
	for i := range record {
		c := &record[i]
		if c.Stage != Pending && !d.found(*c) {
			continue
		}
		readable := d.readable(*c)
		newer := d.current == nil || d.number(*c) > d.number(*d.current) || readable && d.number(*c) == d.number(*d.current)
		if !newer {
			c.Stage = Previous
		}
		if newer && readable && !d.expired(c.ID) && (d.candidate == nil || d.number(*c) > d.number(*d.candidate)) {
			d.candidate = c
		}
	}
}

// readable reports whether a store can give the credential back.
func (d *decision) readable(c Credential) bool {
	return slices.ContainsFunc(d.seen.Stores, func(h Holding) bool { return h.Of(c) && h.Readable })
}

// revokes reports whether a credential is to be revoked.
func (d *decision) revokes(id string) bool {
	return slices.ContainsFunc(d.revocations, func(s Step) bool { return s.ID == id })
}

// Named reports whether words that Next has put into plans name a credential as one that is revoked.
func Named(c Credential, words []string) bool {
	return slices.ContainsFunc(words, func(s string) bool {
		return strings.HasPrefix(s, "revoke "+c.Label+": ") || strings.HasPrefix(s, "retire "+c.Label+": ")
	})
}

// named reports whether a plan has named the credential, so that it may be revoked.
func (d *decision) named(id string) bool {
	named := d.revocable(id)
	d.unnamed = d.unnamed || !named
	return named
}

func (d *decision) revoke(c Credential, words string) {
	d.revocations = append(d.revocations, Step{Kind: StepRevoke, ID: c.ID, Label: c.Label})
	d.plan.Words = append(d.plan.Words, words)
}

// revokeUnknown revokes what no rotation made, once a plan has shown it.
func (d *decision) revokeUnknown() {
	for _, c := range d.plan.Unmanaged {
		if !d.revocable(c.ID) {
			continue
		}
		name := c.ID
		if c.Label != "" && c.Label != c.ID {
			name = fmt.Sprintf("%s (%s)", c.ID, c.Label)
		}
		d.revoke(Credential{ID: c.ID, Label: c.Label}, fmt.Sprintf("revoke %s: no rotation made this credential", name))
	}
}

// revokeUnfinished revokes pending credentials that are lost: nobody can have them. Those older than the candidate may
// have been delivered before it, so they get an overlap like every previous one.
func (d *decision) revokeUnfinished() {
	for _, c := range d.plan.Record {
		if c.Stage != Pending || d.candidate != nil && d.number(c) <= d.number(*d.candidate) {
			continue
		}
		if d.named(c.ID) {
			d.revoke(c, fmt.Sprintf("revoke %s: its rotation was interrupted, and no store can give it back while it is valid", c.Label))
		}
	}
}

// retire revokes previous credentials whose overlap is over, unless a store holds them.
func (d *decision) retire() {
	for _, c := range d.plan.Record {
		if c.Stage != Previous || d.now.Before(c.RetireAt) || d.found(c) {
			continue
		}
		switch {
		case !d.named(c.ID):
		case d.RequireUse && !d.currentUsed():
			d.plan.Notes = append(d.plan.Notes, fmt.Sprintf("The overlap of %s is over, but it is kept: nobody has used the current "+
				"credential yet (require_use_before_retire).", c.Label))
		case len(d.held(c)) > 0:
			d.over = append(d.over, c)
		default:
			d.revoke(c, "retire "+c.Label+": "+overlapWords(c))
		}
	}
}

func overlapWords(c Credential) string {
	if c.RetireAt.IsZero() {
		return "a newer credential has replaced it"
	}
	return "its overlap ended " + stamp(c.RetireAt)
}

// currentUsed reports whether somebody but us has used the current credential since it was promoted.
func (d *decision) currentUsed() bool {
	if d.current == nil {
		return false
	}
	ours := later(d.current.UsedAtPromotion, d.current.PromotedAt).Add(UseMargin)
	return d.lastUsed(d.current.ID).After(ours)
}

// advance finishes the unfinished rotation, or begins one that is due, or repairs what the stores hold.
func (d *decision) advance() error {
	if d.candidate != nil {
		d.finish(*d.candidate, d.stale(*d.candidate))
		d.plan.Words = append(d.plan.Words, fmt.Sprintf("rotate: finish %s, which an interrupted run or nhi_rotate issued", d.candidate.Label))
		if (d.Forced || d.Owed) && d.candidate.Label != d.Begun {
			d.plan.Notes = append(d.plan.Notes, fmt.Sprintf("A rotation waits (rotate_when_changed has changed): %s was issued before that, and is finished "+
				"first.", d.candidate.Label))
		}
		return nil
	}
	if why := d.due(); why != "" {
		return d.begin(why)
	}
	stale := d.stale(*d.current)
	if len(stale) == 0 {
		return nil
	}
	d.add(StepVerify, *d.current)
	for _, i := range stale {
		d.plan.Steps = append(d.plan.Steps, Step{Kind: StepDeliver, ID: d.current.ID, Label: d.current.Label, Store: i})
		d.plan.Words = append(d.plan.Words, fmt.Sprintf("deliver %s to %s: %s", d.current.Label, d.seen.Stores[i].Place,
			d.staleWords(d.seen.Stores[i])))
	}
	return nil
}

func (d *decision) staleWords(h Holding) string {
	switch {
	case h.Label == "":
		return "nothing of this rotation is there"
	case h.Label != d.current.Label:
		return "it holds " + h.Label
	case !h.Of(*d.current):
		return "it holds another " + h.Label
	default:
		return "its fields are not the declared ones"
	}
}

// stale lists the stores that do not hold the credential as declared.
func (d *decision) stale(c Credential) []int {
	var out []int
	for i, h := range d.seen.Stores {
		if !h.Of(c) || !h.Readable || !h.AsDeclared {
			out = append(out, i)
		}
	}
	return out
}

// due says why a new credential is needed, "" if none is.
func (d *decision) due() string {
	c := d.current
	switch {
	case slices.ContainsFunc(d.plan.Record, d.found):
		return "no store can give back any of the credentials that are there"
	case c == nil && d.highest > 0:
		return "the current credential is gone from the platform"
	case c == nil:
		return "there is no credential yet"
	case d.Forced:
		return "rotate_when_changed has changed"
	case d.Owed:
		return "rotate_when_changed has changed, or an earlier credential had to become current again"
	case !d.readable(*c):
		return "no store can give the current credential back"
	case d.Every > 0 && !d.now.Before(c.IssuedAt.Add(d.Every)):
		return fmt.Sprintf("due since %s (issued %s)", stamp(c.IssuedAt.Add(d.Every)), stamp(c.IssuedAt))
	default:
		return d.ending(*c)
	}
}

// begin issues a new credential: beside the old one where a slot is free, in its place where there is one slot only.
func (d *decision) begin(why string) error {
	taken := len(d.seen.Credentials)
	d.needSlots = taken >= d.Slots
	if d.needSlots {
		d.makeRoom(taken - len(d.revocations) - d.Slots + 1)
		lacking := taken - len(d.revocations) - d.Slots + 1
		if lacking > 0 && d.goBack() {
			return nil
		}
		d.makeRoomOfHeld(lacking)
		taken -= len(d.revocations)
	}
	inPlace := d.Slots == 1 && d.current != nil && taken == 1
	if inPlace {
		d.revocations = append(d.revocations, Step{Kind: StepRevoke, ID: d.current.ID, Label: d.current.Label})
		taken = 0
	}
	if taken >= d.Slots {
		return d.full(why, taken)
	}
	d.plan.Words = append(d.plan.Words, "rotate: "+why)
	issued := Credential{Label: d.Labels.Label(d.highest + 1)}
	d.add(StepIssue, issued)
	all := make([]int, len(d.seen.Stores))
	for i := range all {
		all[i] = i
	}
	d.finish(issued, all)
	return nil
}

// finish proves and delivers a credential, makes it current, and without an overlap retires the one before, and others that are
// known to be previous ones. Proving comes before delivering, because what is delivered is used at once.
func (d *decision) finish(c Credential, stores []int) {
	d.add(StepVerify, c)
	for _, i := range stores {
		d.plan.Steps = append(d.plan.Steps, Step{Kind: StepDeliver, ID: c.ID, Label: c.Label, Store: i})
	}
	d.add(StepPromote, c)
	if d.Overlap > 0 || d.RequireUse {
		return
	}
	for _, other := range d.plan.Record {
		if other.ID != c.ID && !d.revokes(other.ID) && !d.found(other) && (other.Stage == Current || d.revocable(other.ID)) {
			d.plan.Steps = append(d.plan.Steps, Step{Kind: StepRevoke, ID: other.ID, Label: other.Label})
		}
	}
}

func (d *decision) add(kind StepKind, c Credential) {
	d.plan.Steps = append(d.plan.Steps, Step{Kind: kind, ID: c.ID, Label: c.Label})
}

// full says why there is no slot for a new credential. A rotation that is merely due waits for the previous one to go:
// the current one works on. Every rotation waits for a plan where one would name what has to go.
func (d *decision) full(why string, taken int) error {
	if d.unnamed {
		d.wait(fmt.Sprintf("A rotation waits (%s): the account has %d credentials and can have %d at once, and none is revoked that no plan has "+
			"named. Plan again after this apply, with a refresh: that plan names the one that has to go.", why, taken, d.Slots))
		return nil
	}
	advice, waits := "revoke one of them first", false
	for _, c := range d.plan.Record {
		if c.Stage != Previous || d.found(c) || slices.Contains(d.over, c) {
			continue
		}
		waits = d.current != nil && !d.Forced
		advice = fmt.Sprintf("the previous one, %s, may be retired from %s on; wait for that", c.Label, stamp(c.RetireAt))
		if !d.now.Before(c.RetireAt) && d.RequireUse {
			advice = fmt.Sprintf("the previous one, %s, is kept until somebody uses the current one (require_use_before_retire)", c.Label)
		}
	}
	if waits {
		d.wait(fmt.Sprintf("A rotation waits (%s): %s.", why, advice))
		return nil
	}
	return fmt.Errorf("a rotation is needed (%s), but the account has %d credentials and can have %d at once: %s",
		why, taken, d.Slots, advice)
}

func (d *decision) wait(note string) {
	d.plan.Waits, d.plan.Notes = true, append(d.plan.Notes, note)
}

// stamp writes a time for people, and the same each time.
func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
