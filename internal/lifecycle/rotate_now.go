package lifecycle

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/fleet"
	"github.com/nhi-labs/terraform-provider-nhi/internal/rotation"
)

// RotateNow issues a new credential, proves it and delivers it to places, each of which holds a credential of the same
// rotation and says itself in which form. It revokes nothing and has no record: to the next plan of the rotation it looks
// like one that was interrupted before its end, and is finished there (rotation.Next), overlap included. It returns the new
// credential's label.
//
// A failure leaves what was done. The next plan finishes it, if a store got the credential, or else revokes it.
func RotateNow(ctx context.Context, f *fleet.Fleet, r Rotation, places []Place, clock func() time.Time, tell Tell) (string, Problems) {
	var problems Problems
	for _, place := range places {
		d, err := deliveredTo(ctx, f, place, r.owned(f))
		if err != nil {
			problems = append(problems, Problem{place.Platform, err})
		}
		r.Deliveries = append(r.Deliveries, d)
	}
	if len(problems) > 0 {
		return "", problems
	}
	w, problems := observeRotation(ctx, f, r, RotationRecord{}, true)
	if len(problems) > 0 {
		return "", problems
	}
	label, err := w.nextLabel()
	if err != nil {
		return "", Problems{{r.Platform, err}}
	}
	steps := []rotation.Step{{Kind: rotation.StepIssue, Label: label}, {Kind: rotation.StepVerify, Label: label}}
	for i := range w.stores {
		steps = append(steps, rotation.Step{Kind: rotation.StepDeliver, Label: label, Store: i})
	}
	run := &rotationRun{rotationWork: w, clock: clock, lifetime: w.lifetime()}
	for _, step := range steps {
		if platform, err := run.step(ctx, step); err != nil {
			return label, Problems{{platform, err}}
		}
		tell(run.told(step))
	}
	return label, nil
}

// told is what Tell hears of a step that was done.
func (r *rotationRun) told(step rotation.Step) (platform, sentence string) {
	switch {
	case step.Kind == rotation.StepDeliver:
		return r.stores[step.Store].Platform, fmt.Sprintf("%s is delivered to %q", step.Label, r.stores[step.Store].Path)
	case step.Kind == rotation.StepIssue:
		return r.Platform, step.Label + " is issued"
	case r.Verify:
		return r.Platform, step.Label + " has logged in"
	default:
		return r.Platform, step.Label + " is not proven, because the platform cannot do that"
	}
}

// deliveredTo reads from what a rotation has delivered to a place in which form it was.
func deliveredTo(ctx context.Context, f *fleet.Fleet, place Place, owner note) (Delivery, error) {
	d := Delivery{Place: place, Fields: make(map[string]Template)}
	conn, err := connect(ctx, f, place.Platform, "")
	if err != nil {
		return d, err
	}
	there, err := look(ctx, conn, place, owner)
	if err != nil {
		return d, err
	}
	if !there.ours || len(there.note.Fields) == 0 {
		return d, fmt.Errorf("%s holds no credential of %q that an nhi_rotation has delivered from platform %q; only what one delivers can be "+
			"rotated at once", place, owner.Identity, owner.Platform)
	}
	for _, name := range slices.Sorted(maps.Keys(there.note.Fields)) {
		if d.Fields[name], err = ParseTemplate(there.note.Fields[name]); err != nil {
			return d, fmt.Errorf("%s: field %q: %w", place, name, err)
		}
	}
	return d, nil
}

// nextLabel is the label after all that were seen. It refuses an account that can take no further credential.
func (w *rotationWork) nextLabel() (string, error) {
	switch slots := w.conn.Slots(); {
	case !w.exists:
		return "", driver.Errorf(driver.NotFound, "the identity %q has no account on platform %q", w.Identity, w.Platform)
	case w.suspended():
		return "", fmt.Errorf("account %q on platform %q is suspended; resume it first", w.account.Name, w.Platform)
	case slots < 2:
		return "", fmt.Errorf("an account on platform %q has one credential at a time, so rotating it breaks every caller; change "+
			"rotate_when_changed of the nhi_rotation, with allow_outage = true if that is acceptable", w.Platform)
	case len(w.account.Credentials) >= slots:
		return "", driver.Errorf(driver.Conflict, "account %q on platform %q has %d credentials and can have %d at once; apply the nhi_rotation, "+
			"which retires the previous one when its overlap is over (overlap = \"0s\": at once), or revoke one", w.account.Name, w.Platform,
			len(w.account.Credentials), slots)
	}
	labels, highest := rotation.NewLabels(w.fleet.Stack(), w.Identity), 0
	see := func(label string) {
		n, _ := labels.Number(label)
		highest = max(highest, n)
	}
	for _, c := range w.account.Credentials {
		see(c.Label)
	}
	for _, s := range w.stores {
		see(s.note.Label)
	}
	return labels.Label(highest + 1), nil
}

// lifetime is the native lifetime of the newest credential that the stores hold, 0 if it has none: the new one gets the same.
func (w *rotationWork) lifetime() time.Duration {
	newest := slices.MaxFunc(w.stores, func(a, b storeNow) int { return cmp.Compare(a.note.IssuedAt.Unix(), b.note.IssuedAt.Unix()) })
	for _, c := range w.account.Credentials {
		if c.ID == newest.note.Credential && c.ExpiresAt.After(newest.note.IssuedAt) && !c.ExpiresAt.Equal(w.account.ExpiresAt) {
			return c.ExpiresAt.Sub(newest.note.IssuedAt)
		}
	}
	return 0
}
