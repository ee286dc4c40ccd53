package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nhi-labs/terraform-provider-nhi/internal/fleet"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
	"github.com/nhi-labs/terraform-provider-nhi/internal/reconcile"
	"github.com/nhi-labs/terraform-provider-nhi/internal/rotation"
)

// Rotation is what is declared.
type Rotation struct {
	Identity string
	// AccountNames holds the accounts that are not named like the identity.
	AccountNames map[string]string
	// AccountIDs is as in Grant.
	AccountIDs map[string]string
	Platform   string
	// Every is 0 if only Forced rotates.
	Every, Overlap time.Duration
	// Forced is set if what rotate_when_changed watches differs from what is recorded, Owed if it did when it could not be done,
	// and nothing has rotated since. Begun is the label of the credential that was issued for it, "" if none was.
	Forced, Owed bool
	Begun        string

	AllowOutage, Verify, RequireUse bool
	// Frozen is set if the plan promised that the credentials stay as they are, whatever has become due since.
	Frozen     bool
	Deliveries []Delivery
	// GivenUp lists places that another rotation holds now and gives up before this one is made: for planning.
	GivenUp []Place
	// Leaves reports whether an account that is another identity's now is deleted before this rotation is made: for planning.
	// It may be nil.
	Leaves func(nhi.Account) bool
	// Own reports whether a creation that failed has issued a credential. Deleting takes away only those, and planning to make the
	// rotation again leaves them out. It is nil if no creation has failed: then all are the rotation's.
	Own func(id string) bool
}

// grant stands for the rotation where its account is looked up.
func (r Rotation) grant() Grant {
	return Grant{Identity: r.Identity, AccountNames: r.AccountNames, AccountIDs: r.AccountIDs}
}

// RotationRecord is what state keeps of a rotation. None of it is secret.
type RotationRecord struct {
	Credentials rotation.Record
	// Delivered lists the places that hold the credential, or may.
	Delivered []Place
	// Targets are the ids of the systems, by platform, and by storeKey those of stores that are one of several on their system.
	Targets map[string]string
	// AccountID is the platform's id of the account, "" if it was not read.
	AccountID string
	// Waits says what a run did not do although it was declared or due, and until when; "" if it did all. State does not keep it.
	Waits string
	// Issued is the label of the credential that a run has issued, "" if it has not. State does not keep it.
	Issued string
	// WentBack is set if a run was to make a previous credential current again, so that a rotation is owed. State does not keep it.
	WentBack bool
}

// RotationView is what the platforms say of a rotation, and what is due.
type RotationView struct {
	rotation.Plan
	// Account is false if the platform says that the account does not exist, AccountID its id if it does.
	Account   bool
	AccountID string
	// Suspended accounts get nothing. Notes say what waits.
	Suspended bool
	// Lacking names what our admin account may not do on the issuing platform.
	Lacking []string
}

// rotationWork is one operation on a rotation.
type rotationWork struct {
	Rotation
	fleet   *fleet.Fleet
	record  RotationRecord
	conn    *fleet.Conn
	account nhi.Account
	exists  bool
	stores  []storeNow
}

// storeNow is one delivery with its store and what that holds.
type storeNow struct {
	Delivery
	conn *fleet.Conn
	found
}

// gives reports whether the place gives a credential back.
func (s storeNow) gives(id, label string) bool {
	return s.readable && s.of(id, label)
}

// observe reads the account and every store. now asks the platform even if the account was read before.
func observeRotation(ctx context.Context, f *fleet.Fleet, r Rotation, record RotationRecord, now bool) (*rotationWork, Problems) {
	w := &rotationWork{Rotation: r, fleet: f, record: record}
	var err error
	if w.conn, err = connect(ctx, f, r.Platform, record.Targets[r.Platform]); err != nil {
		return nil, Problems{{r.Platform, err}}
	}
	grant := r.grant()
	w.account, err = grant.account(ctx, f, w.conn, lookup{purpose: toGive, now: now})
	w.exists = err == nil
	var owned *reconcile.OwnershipError
	leaves := r.Leaves != nil && errors.As(err, &owned) && r.Leaves(owned.Account)
	if err != nil && !leaves && !grant.gone(r.Platform, err) {
		return nil, Problems{{r.Platform, err}}
	}
	var problems Problems
	for _, d := range r.Deliveries {
		store, err := w.lookAt(ctx, d)
		if err != nil {
			problems = append(problems, Problem{d.Platform, fmt.Errorf("delivery to %s: %w", d.Place, err)})
			continue
		}
		w.stores = append(w.stores, store)
	}
	return w, problems
}

func (w *rotationWork) lookAt(ctx context.Context, d Delivery) (storeNow, error) {
	conn, err := w.record.store(ctx, w.fleet, d.Platform)
	if err != nil {
		return storeNow{}, err
	}
	there, err := look(ctx, conn, d.Place, w.owned(w.fleet))
	if err == nil {
		err = w.mayReplace(d.Place)(there)
	}
	w.conn.Hide(there.credential.secret)
	return storeNow{Delivery: d, conn: conn, found: there}, err
}

// mayReplace refuses to overwrite what this rotation did not deliver.
func (w *rotationWork) mayReplace(place Place) func(found) error {
	return func(there found) error {
		if there.stored.Version == 0 || there.ours || slices.Contains(w.record.Delivered, place) || slices.Contains(w.GivenUp, place) {
			return nil
		}
		return fmt.Errorf("%q in platform %q holds a secret that this rotation did not deliver, and it is never overwritten silently; "+
			"remove it there, or choose another path", place.Path, place.Platform)
	}
}

// holds reports whether a declared place gives back the current credential.
func (w *rotationWork) holds(record rotation.Record) bool {
	current, ok := record.Current()
	return ok && slices.ContainsFunc(w.stores, func(s storeNow) bool { return s.gives(current.ID, current.Label) })
}

func (w *rotationWork) suspended() bool { return w.account.Status == nhi.Suspended }

// next decides what is due now.
func (w *rotationWork) next(revocable func(string) bool, now time.Time) (rotation.Plan, error) {
	seen := rotation.Observed{
		Credentials: w.account.Credentials, ExpiresAt: w.account.ExpiresAt, Suspended: w.suspended(),
	}
	for _, s := range w.stores {
		seen.Stores = append(seen.Stores, w.holding(s))
	}
	if w.Own != nil {
		seen.Credentials = slices.DeleteFunc(slices.Clone(seen.Credentials), func(c nhi.Credential) bool { return w.Own(c.ID) })
	}
	return rotation.Next(w.record.Credentials, seen, rotation.Settings{
		Labels: rotation.NewLabels(w.fleet.Stack(), w.Identity), Every: w.Every, Overlap: w.Overlap, Forced: w.Forced,
		Owed: w.Owed, Begun: w.Begun, Slots: w.conn.Slots(), AllowOutage: w.AllowOutage, RequireUse: w.RequireUse,
	}, revocable, now)
}

func (w *rotationWork) holding(s storeNow) rotation.Holding {
	h := rotation.Holding{Place: s.String()}
	if !s.ours || w.Own != nil && w.Own(s.note.Credential) {
		return h
	}
	h.Label, h.ID, h.IssuedAt, h.Readable = s.note.Label, s.note.Credential, s.note.IssuedAt, s.readable
	if s.readable {
		credential := s.credential
		credential.account = w.account.Name
		want, _, err := s.content(w.owned(w.fleet), credential)
		h.AsDeclared = err == nil && same(s.stored, want)
	}
	return h
}

// ErrRotationImpossible is wrapped by problems of the configuration that no platform has to be asked about again.
var ErrRotationImpossible = errors.New("the rotation is impossible as it is declared")

// PlanRotation says what is due. It changes nothing.
// shown is as for ApplyRotation; nil plans everything that is due.
func PlanRotation(ctx context.Context, f *fleet.Fleet, r Rotation, record RotationRecord, shown func(id string) bool, now time.Time) (RotationView, Problems) {
	w, problems := observeRotation(ctx, f, r, record, false)
	if len(problems) > 0 {
		return RotationView{}, problems
	}
	plan, err := w.next(shown, now)
	if err != nil {
		return RotationView{}, Problems{{r.Platform, fmt.Errorf("%w: %w", ErrRotationImpossible, err)}}
	}
	return RotationView{
		Plan: plan, Account: w.exists, AccountID: w.account.ID, Suspended: w.suspended(), Lacking: w.conn.Target().Lacking,
	}, nil
}

// ApplyRotation does what is due, and revokes only what a plan has shown (rotation.Next). It returns the record as it is
// afterwards, also when a step failed; everything before that step stays done, and the next run goes on there. While the account
// is suspended, or has no room for a new credential and no declared place holds the current one, what was delivered stays where it is
// and on record, also if the deliveries have changed: nothing takes its place.
func ApplyRotation(ctx context.Context, f *fleet.Fleet, r Rotation, record RotationRecord, shown func(id string) bool, clock func() time.Time) (RotationRecord, Problems) {
	w, run, problems := runRotation(ctx, f, r, record, shown, clock)
	if w == nil || len(problems) > 0 {
		return run.record, problems
	}
	waits := run.record.Waits != "" && !r.delivered(record)
	if waits && (w.suspended() || !w.holds(run.record.Credentials)) {
		return run.record, nil
	}
	declared := r.places()
	left, problems := removePlaces(ctx, f, r, run.record, func(p Place) bool { return !slices.Contains(declared, p) })
	run.record.Delivered = left
	if len(problems) > 0 || waits {
		return run.record, problems
	}
	return run.finished(), nil
}

// CreateRotation issues and delivers the first credential, or takes back what it made. If it could not take back all, the record that
// it returns together with the problems has the one credential that it issued, and the places that may hold it. A credential that an earlier run of the same rotation made
// and delivered is taken over, and stays if this run fails. Others of the rotation's become previous ones, and none is revoked:
// no plan can tell its apply which one it named before there is state. Where the account can have no more, nothing is issued, and the
// record says what waits.
func CreateRotation(ctx context.Context, f *fleet.Fleet, r Rotation, clock func() time.Time) (RotationRecord, Problems) {
	w, run, problems := runRotation(ctx, f, r, RotationRecord{}, func(string) bool { return false }, clock)
	if w == nil {
		return RotationRecord{}, problems
	}
	if len(problems) == 0 && run.record.Waits != "" {
		return run.record, nil
	}
	if len(problems) == 0 {
		return run.finished(), nil
	}
	undone := run.undo(begun(ctx))
	problems = append(problems, undone...)
	if !run.issued || len(undone) == 0 {
		return RotationRecord{}, problems
	}
	run.record.Credentials = rotation.Record(nil).Issued(nhi.Credential{ID: run.made.id, Label: run.made.label}, run.made.issuedAt)
	return run.record, problems
}

func runRotation(ctx context.Context, f *fleet.Fleet, r Rotation, record RotationRecord, shown func(string) bool, clock func() time.Time) (*rotationWork, *rotationRun, Problems) {
	run := &rotationRun{record: record, clock: clock}
	w, problems := observeRotation(ctx, f, r, record, true)
	if len(problems) > 0 {
		return nil, run, problems
	}
	if !w.exists {
		return nil, run, Problems{{r.Platform, fmt.Errorf("the identity %q has no account on platform %q, so there is nothing to issue "+
			"credentials for; declare it in an account block of the nhi_identity", r.Identity, r.Platform)}}
	}
	plan := rotation.Plan{Record: record.Credentials}
	if !r.Frozen {
		var err error
		if plan, err = w.next(shown, clock()); err != nil {
			return nil, run, Problems{{r.Platform, err}}
		}
	}
	run.rotationWork = w
	run.record.Credentials, run.record.Targets = plan.Record, merged(record.Targets, w.targets())
	run.record.AccountID, run.record.Waits, run.record.WentBack = w.account.ID, w.waits(plan, record), plan.WentBack
	return w, run, run.steps(ctx, plan.Steps)
}

// waits says why an apply leaves undone what was declared or is due, "" if it does not.
func (w *rotationWork) waits(plan rotation.Plan, record RotationRecord) string {
	switch {
	case plan.Waits:
		return strings.Join(plan.Notes, "\n")
	case w.suspended() && (w.Forced || !w.delivered(record)):
		return "The account is suspended, so nothing was issued, delivered or removed. It is done by the apply that resumes the identity, or by " +
			"the next one."
	default:
		return ""
	}
}

// finished is the record when every step is done: all that is declared holds the credential, and nothing else does.
func (r *rotationRun) finished() RotationRecord {
	record := r.record
	record.Delivered, record.Targets = r.places(), r.targets()
	return record
}

// places are the declared ones.
func (r Rotation) places() []Place {
	var places []Place
	for _, d := range r.Deliveries {
		places = append(places, d.Place)
	}
	return places
}

// delivered reports whether the record has the declared places and no other.
func (r Rotation) delivered(record RotationRecord) bool {
	declared := r.places()
	outside := func(places []Place) func(Place) bool {
		return func(p Place) bool { return !slices.Contains(places, p) }
	}
	return !slices.ContainsFunc(declared, outside(record.Delivered)) && !slices.ContainsFunc(record.Delivered, outside(declared))
}

// targets are the systems and stores that answered.
func (w *rotationWork) targets() map[string]string {
	targets := map[string]string{w.Platform: w.conn.Target().ID}
	for _, s := range w.stores {
		noteStore(targets, s.conn)
	}
	return targets
}

// RotationTargets are the systems and stores that answer, as a RotationRecord notes them.
func RotationTargets(ctx context.Context, f *fleet.Fleet, platform string, stores []string) (map[string]string, error) {
	conn, err := connect(ctx, f, platform, "")
	if err != nil {
		return nil, err
	}
	targets := map[string]string{platform: conn.Target().ID}
	for _, store := range stores {
		if conn, err = connect(ctx, f, store, ""); err != nil {
			return nil, err
		}
		noteStore(targets, conn)
	}
	return targets, nil
}

func noteStore(targets map[string]string, conn *fleet.Conn) {
	platform, target := conn.Platform().Name(), conn.Target()
	targets[platform] = target.ID
	if target.Store != "" {
		targets[storeKey(platform)] = target.StoreID()
	}
}

// storeKey is no platform's name.
func storeKey(platform string) string { return platform + "/store" }

// store connects to a platform that holds, or shall hold, what was delivered.
func (r RotationRecord) store(ctx context.Context, f *fleet.Fleet, platform string) (*fleet.Conn, error) {
	return f.ConnectStore(ctx, platform, r.Targets[platform], r.Targets[storeKey(platform)])
}
