// Package rotation decides how the credentials of one account go from stage to stage. It is pure: what is recorded,
// what the platforms show and the time go in, ordered steps and the words for a plan come out. Package lifecycle
// carries the steps out.
//
// Nothing that a killed run must not lose is kept in the record: each credential carries a label with a number that
// only grows, and each store says which label it holds. A credential with a higher number than the current one is
// therefore a rotation that was not finished, and the stores tell how far it came.
package rotation

import (
	"slices"
	"time"

	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
)

// Stage is where a credential is between being issued and being gone.
type Stage string

// The stages. What is retired is gone from the platform and from the record.
const (
	// Pending: issued, and not yet delivered everywhere and proven.
	Pending Stage = "pending"
	// Current: the one that the stores hold.
	Current Stage = "current"
	// Previous: still valid for callers that have not read the new one.
	Previous Stage = "previous"
)

// Stages lists every stage.
func Stages() []Stage { return []Stage{Pending, Current, Previous} }

// Credential is what is recorded of one credential.
type Credential struct {
	ID, Label string
	Stage     Stage
	// IssuedAt counts for when the next rotation is due; PromotedAt is when it became current.
	IssuedAt, PromotedAt time.Time
	// RetireAt is when a previous credential may go; zero: as soon as there is a current one, or an overlap after the next
	// promotion if there is none.
	RetireAt time.Time
	// UsedAtPromotion is the last use that may have been our own: a proof, or what the platform said when it became
	// current. A use that is later by UseMargin is a caller's.
	UsedAtPromotion time.Time
}

// UseMargin is how much later than our own doing a use has to be to count as a caller's. It covers clocks that disagree,
// and platforms that tell late: of an access key's uses within 15 minutes AWS records the first one only
// (https://docs.aws.amazon.com/IAM/latest/UserGuide/id_credentials_getting-report.html).
const UseMargin = 15 * time.Minute

// Record holds the credentials of one rotation that are not retired, oldest first. Its methods return a new record.
type Record []Credential

// Current returns the current credential.
func (r Record) Current() (Credential, bool) {
	for _, c := range r {
		if c.Stage == Current {
			return c, true
		}
	}
	return Credential{}, false
}

// Has reports whether the record holds the credential with this id.
func (r Record) Has(id string) bool {
	return slices.ContainsFunc(r, func(c Credential) bool { return c.ID == id })
}

// Issued adds a credential that was just made.
func (r Record) Issued(c nhi.Credential, now time.Time) Record {
	return append(slices.Clone(r), Credential{ID: c.ID, Label: c.Label, Stage: Pending, IssuedAt: now})
}

// Proven notes that we log in with the credential at now.
func (r Record) Proven(id string, now time.Time) Record {
	out := slices.Clone(r)
	for i, c := range out {
		if c.ID == id {
			out[i].UsedAtPromotion = later(c.UsedAtPromotion, now)
		}
	}
	return out
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// Promoted makes the credential with this id current at now. Every other one becomes previous and keeps the date it had
// for that, or gets now and the overlap. used is what the platform says of the credential's last use.
func (r Record) Promoted(id string, now time.Time, overlap time.Duration, used time.Time) Record {
	out := slices.Clone(r)
	for i, c := range out {
		switch {
		case c.ID == id:
			out[i].Stage, out[i].PromotedAt, out[i].RetireAt = Current, now, time.Time{}
			out[i].UsedAtPromotion = later(c.UsedAtPromotion, used)
		case c.Stage != Previous || c.RetireAt.IsZero():
			out[i].Stage, out[i].RetireAt = Previous, now.Add(overlap)
		}
	}
	return out
}

// Left notes that a store that held the credential has got another one: if it is a previous one, those who have read it there
// have until then, at least.
func (r Record) Left(id string, until time.Time) Record {
	out := slices.Clone(r)
	for i, c := range out {
		if c.ID == id && c.Stage == Previous && !c.RetireAt.IsZero() {
			out[i].RetireAt = later(c.RetireAt, until)
		}
	}
	return out
}

// Without drops a credential that is gone.
func (r Record) Without(id string) Record {
	return slices.DeleteFunc(slices.Clone(r), func(c Credential) bool { return c.ID == id })
}

// Settings are what the configuration says.
type Settings struct {
	Labels Labels
	// Every is how old the current credential may get; 0: only Forced rotates.
	Every, Overlap time.Duration
	// Forced is set if what rotate_when_changed watches has changed.
	Forced bool
	// Owed is set if it had changed before, and the account was suspended then, or an older rotation had to be finished first; or if
	// an earlier plan WentBack.
	// Unlike Forced it waits for a slot.
	Owed bool
	// Begun is the label of the credential that was issued for that, "" if none was.
	Begun string
	// Slots is how many credentials the account can have at once.
	Slots int
	// AllowOutage permits to revoke before issuing where there is one slot only.
	AllowOutage bool
	// RequireUse keeps a previous credential until somebody has used the current one.
	RequireUse bool
}

// Holding is what one store holds.
type Holding struct {
	// Place is the store and the path, for people.
	Place string
	// Label is the label of the credential it holds, "" if it holds none of this rotation. ID is the credential's id, "" if the
	// store does not say it.
	Label, ID string
	// Readable is set if the credential can be read back whole, and was not changed since it was delivered.
	Readable bool
	// AsDeclared is set if the fields are the declared ones.
	AsDeclared bool
	// IssuedAt is when the credential was issued.
	IssuedAt time.Time
}

// Of reports whether the store holds the credential. Runs at the same time may have given two the same label.
func (h Holding) Of(c Credential) bool {
	return h.Label == c.Label && (h.ID == "" || h.ID == c.ID)
}

// Observed is what the platforms show.
type Observed struct {
	Credentials []nhi.Credential
	// ExpiresAt is when the platform ends the account itself; no new credential outlives that.
	ExpiresAt time.Time
	// Suspended accounts prove nothing and may list nothing: what they hold is left as it is, and what is due waits.
	Suspended bool
	Stores    []Holding
}

// StepKind says what a step does.
type StepKind string

// The kinds of steps.
const (
	// StepRevoke revokes the credential ID and reads back that it is gone.
	StepRevoke StepKind = "revoke"
	// StepIssue issues a credential with Label.
	StepIssue StepKind = "issue"
	// StepVerify proves the credential with Label by logging in. ID is "" if this plan issues it, here and below.
	StepVerify StepKind = "verify"
	// StepDeliver writes the credential with Label and ID to Store and reads it back.
	StepDeliver StepKind = "deliver"
	// StepPromote records that the credential with Label and ID is the current one.
	StepPromote StepKind = "promote"
)

// Step is one step. Every one but the promotion, which is a record and no change, leaves its trace on a platform.
type Step struct {
	Kind  StepKind
	ID    string
	Label string
	Store int
}

// Plan is what is to be done.
type Plan struct {
	// Record is the record as the platforms confirm it, before the steps.
	Record Record
	Steps  []Step
	// Words say in sentences what is due; empty if nothing is.
	Words []string
	// Notes say what waits, and for what.
	Notes []string
	// Waits is set if a credential is needed and there is no room for it yet: nothing is issued or delivered.
	Waits bool
	// Unmanaged are credentials of the account that no rotation made.
	Unmanaged []nhi.Credential
	// WentBack is set if a previous credential becomes the current one again. That is a stopgap: a rotation is owed then, as soon as
	// there is room.
	WentBack bool
}
