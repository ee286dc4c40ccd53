package lifecycle

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nhi-labs/terraform-provider-nhi/internal/audit"
	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
	"github.com/nhi-labs/terraform-provider-nhi/internal/reconcile"
	"github.com/nhi-labs/terraform-provider-nhi/internal/rotation"
)

// rotationRun carries out the steps of a rotation.
type rotationRun struct {
	*rotationWork
	record RotationRecord
	clock  func() time.Time
	// lifetime is when the platform shall end a new credential, counted from now; 0: as the settings say.
	lifetime time.Duration
	// issued is set once this run has made a credential, made holds it.
	issued bool
	made   fresh
	// written are the indexes of the stores that this run has written to, or tried to.
	written []int
}

// steps runs one step after the other and stops at the first that fails, or between steps when ctx ends. What is revoked before
// the others makes room for the new credential. Callers may need that then, so it is issued and delivered also if no sink takes
// the evidence of that any more.
func (r *rotationRun) steps(ctx context.Context, steps []rotation.Step) Problems {
	roomMade := false
	for _, step := range steps {
		under := ctx
		if roomMade && step.Kind != rotation.StepRevoke {
			under = audit.Begun(ctx)
		}
		platform, err := r.step(under, step)
		if err != nil {
			return Problems{{platform, err}}
		}
		roomMade = roomMade || step.Kind == rotation.StepRevoke
	}
	return nil
}

// step returns the platform that it was about.
func (r *rotationRun) step(ctx context.Context, step rotation.Step) (string, error) {
	switch step.Kind {
	case rotation.StepIssue:
		return r.Platform, r.issue(ctx, step.Label)
	case rotation.StepVerify:
		return r.Platform, r.verify(ctx, step)
	case rotation.StepDeliver:
		return r.stores[step.Store].Platform, r.deliver(ctx, step)
	case rotation.StepPromote:
		return r.Platform, r.promote(ctx, step)
	case rotation.StepRevoke:
		return r.Platform, r.retire(ctx, step)
	default:
		return r.Platform, fmt.Errorf("unknown step %q", step.Kind)
	}
}

func (r *rotationRun) now() time.Time { return r.clock().UTC().Truncate(time.Second) }

// issue makes the credential. If the answer is lost, so is the secret: what was made is revoked. If it was refused because another
// run came first, what carries the label is that run's; were it our own, the next plan would find it.
func (r *rotationRun) issue(ctx context.Context, label string) error {
	now := r.now()
	request := driver.IssueRequest{Label: label}
	// The native expiry is the last resort if nobody runs the rotation any more. It leaves room for a run that comes
	// late and a whole overlap after it.
	lifetime := r.lifetime
	if r.Every > 0 && r.Overlap > 0 {
		lifetime = r.Every + 2*r.Overlap
	}
	if lifetime > 0 {
		request.ExpiresAt = now.Add(lifetime)
	}
	issued, err := r.conn.Issue(ctx, r.account.Ref, request)
	switch code := driver.CodeOf(err); {
	case err == nil:
	case unacknowledged(err):
		return err
	case code == driver.AlreadyExists || code == driver.Conflict:
		return fmt.Errorf("issue the credential %s; if another run has issued one at the same time, run again: %w", label, err)
	default:
		return errors.Join(err, r.forget(begun(ctx), label))
	}
	for _, s := range r.stores {
		s.conn.Hide(issued.Secret)
	}
	r.issued, r.record.Issued = true, label
	r.made = fresh{
		id: issued.Credential.ID, label: label, login: issued.Login, account: r.account.Name, issuedAt: now, secret: issued.Secret,
	}
	r.record.Credentials = r.record.Credentials.Issued(issued.Credential, now)
	return nil
}

// forget revokes the credential with a label, if there is one that another run has not delivered meanwhile.
func (r *rotationRun) forget(ctx context.Context, label string) error {
	account, err := r.conn.ReadNow(ctx, r.account.Ref)
	if err != nil {
		return fmt.Errorf("and it could not be found out whether it was made; if it was, the next run finds it by its label %s: %w", label, err)
	}
	for _, c := range account.Credentials {
		if c.Label != label {
			continue
		}
		for _, s := range r.stores {
			now, err := look(ctx, s.conn, s.Place, r.owned(r.fleet))
			if err != nil || now.of(c.ID, label) {
				return errors.Join(err, fmt.Errorf("and %s may be another run's, so it is not revoked; the next plan says what becomes of it", label))
			}
		}
		return r.revoke(ctx, account.Ref, c.ID)
	}
	return nil
}

// id is the id of the credential that a step is about: this run has made it if the step does not say.
func (r *rotationRun) id(step rotation.Step) string { return cmp.Or(step.ID, r.made.id) }

// credential returns a step's credential with its secret: the one just made, or what a store gives back.
func (r *rotationRun) credential(step rotation.Step) (fresh, error) {
	if r.issued && r.made.id == r.id(step) && r.made.label == step.Label {
		return r.made, nil
	}
	for _, s := range r.stores {
		if s.gives(r.id(step), step.Label) {
			c := s.credential
			c.account = r.account.Name
			return c, nil
		}
	}
	return fresh{}, fmt.Errorf("no store gives the credential %s back", step.Label)
}

// verify logs in. A new credential that the platform does not accept is revoked at once: nobody has seen it.
func (r *rotationRun) verify(ctx context.Context, step rotation.Step) error {
	if !r.Verify {
		return nil
	}
	label := step.Label
	c, err := r.credential(step)
	if err != nil {
		return err
	}
	err = r.conn.Verify(ctx, c.login, c.secret)
	switch {
	case err == nil:
		r.record.Credentials = r.record.Credentials.Proven(r.id(step), r.now())
		return nil
	case r.issued:
		err = fmt.Errorf("the new credential %s was not accepted, so nothing was delivered and the old one stays: %w", label, err)
		if undo := r.retire(begun(ctx), rotation.Step{ID: c.id, Label: label}); undo != nil {
			return errors.Join(err, undo)
		}
		return err
	case driver.CodeOf(err) == driver.Unauthenticated:
		return fmt.Errorf("the stores hold the credential %s, and the platform does not accept it; if it cannot be repaired there, "+
			"revoke it on the platform, and the next run issues another one: %w", label, err)
	default:
		return fmt.Errorf("proving the credential %s: %w", label, err)
	}
}

func (r *rotationRun) deliver(ctx context.Context, step rotation.Step) error {
	s := r.stores[step.Store]
	c, err := r.credential(step)
	if err != nil {
		return err
	}
	want, hide, err := s.content(r.owned(r.fleet), c)
	if err != nil {
		return err
	}
	mayReplace := r.mayReplace(s.Place)
	r.written = append(r.written, step.Store)
	if !slices.Contains(r.record.Delivered, s.Place) {
		r.record.Delivered = append(slices.Clone(r.record.Delivered), s.Place)
	}
	if err := put(ctx, s.conn, s.Place, r.owned(r.fleet), want, hide, mayReplace); err != nil {
		return fmt.Errorf("deliver %s to %s; until that is done, the previous credential stays valid: %w", step.Label, s.Place, err)
	}
	if s.ours {
		r.record.Credentials = r.record.Credentials.Left(s.note.Credential, r.now().Add(r.Overlap))
	}
	return nil
}

func (r *rotationRun) promote(ctx context.Context, step rotation.Step) error {
	var used time.Time
	if r.RequireUse {
		account, err := r.conn.ReadNow(ctx, r.account.Ref)
		if err != nil {
			return fmt.Errorf("reading when credential %s was used: %w", step.Label, err)
		}
		for _, c := range account.Credentials {
			if c.ID == r.id(step) {
				used = c.LastUsedAt
			}
		}
	}
	r.record.Credentials = r.record.Credentials.Promoted(r.id(step), r.now(), r.Overlap, used)
	return nil
}

func (r *rotationRun) retire(ctx context.Context, step rotation.Step) error {
	if err := r.revoke(ctx, r.account.Ref, step.ID); err != nil {
		return fmt.Errorf("revoke credential %s: %w", step.ID, err)
	}
	r.record.Credentials = r.record.Credentials.Without(step.ID)
	return nil
}

// revoke revokes a credential and reads back that it is gone.
func (w *rotationWork) revoke(ctx context.Context, ref nhi.Ref, id string) error {
	step := reconcile.Step{Kind: reconcile.StepRevokeCredential, Credential: id}
	if err := w.conn.Do(ctx, ref, step); err != nil {
		return err
	}
	account, gone, err := absent(context.WithoutCancel(ctx), w.conn, ref)
	if err != nil {
		return fmt.Errorf("reading back that credential %s is gone: %w", id, err)
	}
	if !gone && slices.ContainsFunc(account.Credentials, func(c nhi.Credential) bool { return c.ID == id }) {
		return fmt.Errorf("platform %q accepted the revocation of credential %s, but it is still there", w.Platform, id)
	}
	return nil
}

// undo takes back what a creation made: the credential, and what it wrote to stores.
func (r *rotationRun) undo(ctx context.Context) Problems {
	if !r.issued {
		return nil
	}
	var problems Problems
	fail := func(platform string, err error) {
		if err != nil {
			problems = append(problems, Problem{platform, fmt.Errorf("taking back what was made: %w", err)})
		}
	}
	for _, i := range r.written {
		s := r.stores[i]
		err := r.restore(ctx, s)
		if err == nil {
			r.record.Delivered = slices.DeleteFunc(r.record.Delivered, func(p Place) bool { return p == s.Place })
		}
		fail(s.Platform, err)
	}
	if r.record.Credentials.Has(r.made.id) {
		fail(r.Platform, r.retire(ctx, rotation.Step{ID: r.made.id}))
	}
	return problems
}

// restore makes a store hold again what it held before this run.
func (r *rotationRun) restore(ctx context.Context, s storeNow) error {
	owner := r.owned(r.fleet)
	now, err := look(ctx, s.conn, s.Place, owner)
	if err != nil || !now.of(r.made.id, r.made.label) {
		return err
	}
	if s.stored.Version == 0 {
		return s.conn.RemoveSecret(ctx, s.Path)
	}
	return put(ctx, s.conn, s.Place, owner, s.stored, nil, r.mayReplace(s.Place))
}
