package aws

import (
	"context"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
)

// undoTimeout bounds how long a creation that failed takes back what it made, also if the caller's time is up.
const undoTimeout = 10 * time.Second

// CreateAccount makes a user with its mark in one request. A server that does not keep the tags of that request gets them
// in the next one; if that fails, the user is taken back.
func (d *awsDriver) CreateAccount(ctx context.Context, spec driver.AccountSpec) (ref nhi.Ref, err error) {
	if err := checkAccountName(spec.Name); err != nil {
		return ref, driver.Errorf(driver.Invalid, "account name %q: %w", spec.Name, err)
	}
	boundary, err := boundaryOf(spec.Settings)
	if err != nil {
		return ref, err
	}
	in := &iam.CreateUserInput{UserName: &spec.Name, Path: &d.path, Tags: []types.Tag{tag(markTag, spec.Mark.String())}}
	if aws.ToString(boundary) != "" {
		in.PermissionsBoundary = boundary
	}
	out, err := d.iam.CreateUser(ctx, in)
	if isAbsent(err) {
		return ref, driver.Errorf(driver.Invalid, "the policy of the permissions boundary does not exist: %w", err)
	}
	if err != nil {
		return ref, err
	}
	d.fresh.add("user:" + spec.Name)
	defer func() {
		if err != nil && d.undo(ctx, spec.Name) != nil {
			err = driver.AfterChange(classify, err)
		}
	}()
	if out.User == nil || idOf(out.User.UserId, out.User.Arn) == "" {
		return ref, driver.Errorf(driver.Unknown, "the answer to the creation of the user %q lacks its id", spec.Name)
	}
	if err := d.finish(ctx, spec, out.User, boundary); err != nil {
		return ref, err
	}
	return nhi.Ref{Name: spec.Name, ID: idOf(out.User.UserId, out.User.Arn)}, nil
}

// finish does what the creation of a user left undone, and waits until AWS shows the user.
func (d *awsDriver) finish(ctx context.Context, spec driver.AccountSpec, made *types.User, boundary *string) error {
	kept := map[string]string{}
	addTags(kept, made.Tags)
	if kept[markTag] != spec.Mark.String() {
		if err := d.tag(ctx, spec.Name, tag(markTag, spec.Mark.String())); err != nil {
			return err
		}
	}
	if want := aws.ToString(boundary); want != boundaryARN(made.PermissionsBoundary) {
		if err := d.setBoundary(ctx, spec.Name, want); err != nil {
			return err
		}
	}
	if spec.Suspended {
		if err := d.putDenyAll(ctx, spec.Name); err != nil {
			return err
		}
	}
	return d.seen(ctx, "user "+spec.Name, func() (bool, error) {
		u, err := d.user(ctx, spec.Name)
		return u.tags[markTag] == spec.Mark.String(), err
	})
}

// undo removes a user whose creation failed. What it cannot remove is left to the mark.
func (d *awsDriver) undo(ctx context.Context, name string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoTimeout)
	defer cancel()
	return d.remove(ctx, name)
}

func tag(key, value string) types.Tag { return types.Tag{Key: &key, Value: &value} }

func (d *awsDriver) tag(ctx context.Context, name string, tags ...types.Tag) error {
	return d.about(ctx, name, func() error {
		_, err := d.iam.TagUser(ctx, &iam.TagUserInput{UserName: &name, Tags: tags})
		return err
	})
}

func (d *awsDriver) untag(ctx context.Context, name string, keys ...string) error {
	return d.about(ctx, name, func() error {
		_, err := d.iam.UntagUser(ctx, &iam.UntagUserInput{UserName: &name, TagKeys: keys})
		return err
	})
}

// setBoundary sets the permissions boundary, or removes it if arn is "".
func (d *awsDriver) setBoundary(ctx context.Context, name, arn string) error {
	return d.about(ctx, name, func() error {
		if arn == "" {
			_, err := d.iam.DeleteUserPermissionsBoundary(ctx, &iam.DeleteUserPermissionsBoundaryInput{UserName: &name})
			return gone(err)
		}
		_, err := d.iam.PutUserPermissionsBoundary(ctx, &iam.PutUserPermissionsBoundaryInput{
			UserName: &name, PermissionsBoundary: &arn,
		})
		return err
	})
}

// UpdateAccount changes mark and permissions boundary, and waits until AWS shows the change.
func (d *awsDriver) UpdateAccount(ctx context.Context, ref nhi.Ref, change driver.AccountChange) error {
	boundary, err := boundaryOf(change.Settings)
	if err != nil {
		return err
	}
	u, err := d.find(ctx, ref)
	if err != nil {
		return err
	}
	mark := u.tags[markTag]
	if change.Mark != nil && change.Mark.String() != mark {
		mark = change.Mark.String()
		if mark == "" {
			err = d.untag(ctx, u.name, markTag)
		} else {
			err = d.tag(ctx, u.name, tag(markTag, mark))
		}
		if err != nil {
			return err
		}
	}
	want := u.boundary
	if boundary != nil && *boundary != want {
		want = *boundary
		if err := d.setBoundary(ctx, u.name, want); err != nil {
			return err
		}
	}
	if mark == u.tags[markTag] && want == u.boundary {
		return nil
	}
	return d.seen(ctx, "user "+u.name, func() (bool, error) {
		now, err := d.user(ctx, u.name)
		return now.tags[markTag] == mark && now.boundary == want, err
	})
}

const denyAllPolicy = `{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":"*","Resource":"*"}]}`

// putDenyAll denies everything. Where the server cannot read the policy, which AWS can, a tag says that the keys alone are
// switched off.
func (d *awsDriver) putDenyAll(ctx context.Context, name string) error {
	policy, document := denyAll, denyAllPolicy
	err := d.about(ctx, name, func() error {
		_, err := d.iam.PutUserPolicy(ctx, &iam.PutUserPolicyInput{UserName: &name, PolicyName: &policy, PolicyDocument: &document})
		return err
	})
	if hasCode(err, "MalformedPolicyDocument") {
		return d.tag(ctx, name, tag(keysOnlyTag, "true"))
	}
	return err
}

// sees waits until AWS shows the user suspended, or not.
func (d *awsDriver) sees(ctx context.Context, name string, suspended bool) error {
	return d.seen(ctx, "user "+name, func() (bool, error) {
		u, err := d.user(ctx, name)
		if err != nil {
			return false, err
		}
		r, err := d.rights(ctx, name)
		if err != nil {
			return false, err
		}
		keys, err := d.keys(ctx, name)
		return u.isSuspended(r, keys) == suspended, err
	})
}

func (d *awsDriver) deleteInline(ctx context.Context, name, policy string) error {
	_, err := d.iam.DeleteUserPolicy(ctx, &iam.DeleteUserPolicyInput{UserName: &name, PolicyName: &policy})
	return gone(err)
}

// Suspend notes which keys are active, switches them off, and then denies everything by an inline policy: where that
// policy is, all of it is done.
func (d *awsDriver) Suspend(ctx context.Context, ref nhi.Ref) error {
	u, err := d.find(ctx, ref)
	if err != nil {
		return err
	}
	keys, err := d.keys(ctx, u.name)
	if err != nil {
		return err
	}
	remembered := splitIDs(u.tags[suspendedTag])
	var active []string
	for _, k := range keys {
		if k.active {
			active = append(active, k.id)
		}
	}
	if note := joinIDs(append(remembered, active...)); note != u.tags[suspendedTag] {
		if err := d.tag(ctx, u.name, tag(suspendedTag, note)); err != nil {
			return err
		}
	}
	for _, id := range active {
		if err := d.setActive(ctx, u.name, id, false); err != nil {
			return err
		}
	}
	if err := d.putDenyAll(ctx, u.name); err != nil {
		return err
	}
	return d.sees(ctx, u.name, true)
}

// Resume switches on the keys that Suspend switched off and no others, then removes the policy, then the note.
func (d *awsDriver) Resume(ctx context.Context, ref nhi.Ref) error {
	u, err := d.find(ctx, ref)
	if err != nil {
		return err
	}
	r, err := d.rights(ctx, u.name)
	if err != nil {
		return err
	}
	note, noted := u.tags[suspendedTag]
	if !noted && !r.denied && u.tags[keysOnlyTag] == "" {
		return nil
	}
	for _, id := range splitIDs(note) {
		if err := gone(d.setActive(ctx, u.name, id, true)); err != nil {
			return err
		}
	}
	if !slices.Contains(r.entitlements, nhi.Entitlement{Type: typeInline, Target: denyAll}) { // Else it is not ours.
		if err := d.deleteInline(ctx, u.name, denyAll); err != nil {
			return err
		}
	}
	if err := d.untag(ctx, u.name, keysOnlyTag, suspendedTag); err != nil {
		return err
	}
	return d.sees(ctx, u.name, false)
}
