package lifecycle

import (
	"context"
	"errors"
	"fmt"

	"github.com/nhi-labs/terraform-provider-nhi/internal/fleet"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
	"github.com/nhi-labs/terraform-provider-nhi/internal/reconcile"
	"github.com/nhi-labs/terraform-provider-nhi/internal/rotation"
	"github.com/nhi-labs/terraform-provider-nhi/internal/secret"
)

// DeleteRotation revokes every credential that the rotation made and removes what it delivered; of a rotation whose creation has
// failed those that it issued itself (Own): others were there before it, and are in use. One system that fails
// does not stop the others. It returns what is left.
func DeleteRotation(ctx context.Context, f *fleet.Fleet, r Rotation, record RotationRecord) (RotationRecord, Problems) {
	var problems Problems
	if !f.Retired(r.Platform) {
		left, err := revokeAll(ctx, f, r, record)
		record.Credentials = left
		if err != nil {
			problems = append(problems, Problem{r.Platform, err})
		}
	} else {
		record.Credentials = nil
	}
	left, more := removePlaces(ctx, f, r, record, func(Place) bool { return true })
	record.Delivered = left
	return record, append(problems, more...)
}

// revokeAll returns the credentials that are still there.
func revokeAll(ctx context.Context, f *fleet.Fleet, r Rotation, record RotationRecord) (rotation.Record, error) {
	conn, err := connect(ctx, f, r.Platform, record.Targets[r.Platform])
	if err != nil {
		return record.Credentials, err
	}
	owner, id := r.grant(), r.AccountIDs[r.Platform]
	account, err := owner.account(ctx, f, conn, lookup{purpose: toTake, now: true, recorded: true})
	if err != nil && owner.gone(r.Platform, err) {
		return revokeLeft(ctx, conn, nhi.Ref{Name: owner.AccountName(r.Platform), ID: id}, record.Credentials)
	}
	if err != nil {
		return record.Credentials, err
	}
	w := &rotationWork{Rotation: r, fleet: f, conn: conn}
	labels := rotation.NewLabels(f.Stack(), r.Identity)
	var left rotation.Record
	var failures []error
	for _, c := range account.Credentials {
		_, ours := labels.Number(c.Label)
		if r.Own != nil && !r.Own(c.ID) || !ours && !record.Credentials.Has(c.ID) {
			continue
		}
		if err := w.revoke(ctx, account.Ref, c.ID); err != nil {
			failures = append(failures, err)
			left = append(left, recorded(record.Credentials, c.ID, c.Label))
		}
	}
	ref, rest := account.Ref, record.Credentials
	if id != "" && id != account.ID {
		ref = nhi.Ref{Name: owner.AccountName(r.Platform), ID: id}
	} else {
		for _, c := range account.Credentials {
			rest = rest.Without(c.ID)
		}
	}
	more, err := revokeLeft(ctx, conn, ref, rest)
	return append(left, more...), errors.Join(append(failures, err)...)
}

// revokeLeft revokes recorded credentials of an account that is gone, or that does not show them, where they may outlive it: the
// platform says whether they are gone, or cannot be looked for. It returns those that it could not revoke.
func revokeLeft(ctx context.Context, conn *fleet.Conn, ref nhi.Ref, credentials rotation.Record) (rotation.Record, error) {
	if ref.ID == "" || !conn.Platform().Spec().NameHolds {
		return nil, nil
	}
	var left rotation.Record
	var failures []error
	for _, c := range credentials {
		if err := conn.Do(ctx, ref, reconcile.Step{Kind: reconcile.StepRevokeCredential, Credential: c.ID}); err != nil {
			failures = append(failures, err)
			left = append(left, c)
		}
	}
	return left, errors.Join(failures...)
}

// recorded returns what the record says of a credential.
func recorded(record rotation.Record, id, label string) rotation.Credential {
	for _, c := range record {
		if c.ID == id {
			return c
		}
	}
	return rotation.Credential{ID: id, Label: label, Stage: rotation.Pending}
}

// removePlaces removes what was delivered to the chosen places and returns the places that are left. What somebody else
// has put there meanwhile stays.
func removePlaces(ctx context.Context, f *fleet.Fleet, r Rotation, record RotationRecord, chosen func(Place) bool) ([]Place, Problems) {
	var left []Place
	var problems Problems
	for _, place := range record.Delivered {
		if !chosen(place) {
			left = append(left, place)
			continue
		}
		if f.Retired(place.Platform) {
			continue
		}
		if err := removePlace(ctx, f, place, record, r); err != nil {
			left = append(left, place)
			problems = append(problems, Problem{place.Platform, fmt.Errorf("remove what was delivered to %s: %w", place, err)})
		}
	}
	return left, problems
}

func removePlace(ctx context.Context, f *fleet.Fleet, place Place, record RotationRecord, r Rotation) error {
	owner := r.owned(f)
	conn, err := record.store(ctx, f, place.Platform)
	if err != nil {
		return err
	}
	now, err := look(ctx, conn, place, owner)
	if err != nil || !now.ours || r.Own != nil && !r.Own(now.note.Credential) {
		return err
	}
	if err := conn.RemoveSecret(ctx, place.Path); err != nil {
		return err
	}
	now, err = look(context.WithoutCancel(ctx), conn, place, owner)
	if err == nil && now.ours {
		err = fmt.Errorf("platform %q accepted the removal of the secret at %q, but it is still there", place.Platform, place.Path)
	}
	return err
}

// StoredCredential is what a store holds for those who use it.
type StoredCredential struct {
	Fields  map[string]secret.Value
	Version int64
	// Label, Login and Secret are zero if no rotation delivered it, or somebody has changed it since.
	Label, Login string
	Secret       secret.Value
}

// ReadCredential reads what is at a place.
func ReadCredential(ctx context.Context, f *fleet.Fleet, place Place) (StoredCredential, error) {
	conn, err := connect(ctx, f, place.Platform, "")
	if err != nil {
		return StoredCredential{}, err
	}
	stored, err := conn.GetSecret(ctx, place.Path)
	if err != nil {
		return StoredCredential{}, err
	}
	out := StoredCredential{Fields: stored.Fields, Version: stored.Version}
	if n, ok := readNote(stored); ok {
		if text, readable := n.secret(stored); readable {
			conn.Hide(text)
			out.Label, out.Login, out.Secret = n.Label, n.Login, text
		}
	}
	delete(out.Fields, NoteField)
	return out, nil
}
