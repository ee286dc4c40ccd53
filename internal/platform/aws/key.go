package aws

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
	"github.com/nhi-labs/terraform-provider-nhi/internal/secret"
)

// slots is AWS's own limit of access keys per user, which cannot be raised.
const slots = 2

// Slots returns AWS's limit of access keys.
func (d *awsDriver) Slots() int { return slots }

// key is an access key as IAM lists it.
type key struct {
	id      string
	active  bool
	created time.Time
}

// keys lists the access keys of a user, oldest first.
func (d *awsDriver) keys(ctx context.Context, name string) ([]key, error) {
	var out []key
	err := d.about(ctx, name, func() error {
		out = nil
		pages := iam.NewListAccessKeysPaginator(d.iam, &iam.ListAccessKeysInput{UserName: &name, MaxItems: &d.pageSize})
		return each(ctx, pages, func(page *iam.ListAccessKeysOutput) error {
			for _, k := range page.AccessKeyMetadata {
				out = append(out, key{
					id: aws.ToString(k.AccessKeyId), active: k.Status != types.StatusTypeInactive, created: aws.ToTime(k.CreateDate).UTC(),
				})
			}
			return nil
		})
	})
	slices.SortFunc(out, func(a, b key) int { return cmp.Or(a.created.Compare(b.created), cmp.Compare(a.id, b.id)) })
	return out, err
}

// lastUsed returns when a key was last used, zero if never or if the server does not tell.
func (d *awsDriver) lastUsed(ctx context.Context, id string) (time.Time, error) {
	if d.noLastUse.Load() {
		return time.Time{}, nil
	}
	out, err := d.iam.GetAccessKeyLastUsed(ctx, &iam.GetAccessKeyLastUsedInput{AccessKeyId: &id})
	if err != nil || out.AccessKeyLastUsed == nil {
		if err != nil && lacks(err) == nil {
			d.noLastUse.Store(true)
		}
		return time.Time{}, lacks(gone(err))
	}
	return aws.ToTime(out.AccessKeyLastUsed.LastUsedDate).UTC(), nil
}

// labelOf returns the label of a key: its own, or that of an Issue that was killed after it had made the key.
func (u user) labelOf(id string) string {
	if label, ok := u.tags[keyTag+id]; ok {
		return label
	}
	if label, issuing := u.tags[issuingTag]; issuing && !slices.Contains(splitIDs(u.tags[knownTag]), id) {
		return label
	}
	return ""
}

// Ids of access keys have letters and digits only; in the value of a tag '+' stands between them.
func splitIDs(text string) []string {
	return slices.DeleteFunc(strings.Split(text, "+"), func(id string) bool { return id == "" })
}

func joinIDs(ids []string) string {
	ids = slices.Clone(ids)
	slices.Sort(ids)
	return strings.Join(slices.Compact(ids), "+")
}

// issuing returns the tags of a user who gets a key beside the known ones. The key of an Issue that was cut off keeps its
// label, which only the tags that change here have given it.
func (u user) issuing(label string, known []key) []types.Tag {
	var ids []string
	var tags []types.Tag
	for _, k := range known {
		ids = append(ids, k.id)
		if had := u.labelOf(k.id); had != u.tags[keyTag+k.id] {
			tags = append(tags, tag(keyTag+k.id, had))
		}
	}
	return append(tags, tag(issuingTag, label), tag(knownTag, joinIDs(ids)))
}

// Issue makes an access key. IAM keeps no label with a key, so it stands in tags of the user: first as that of a key to
// come, then as that key's.
func (d *awsDriver) Issue(ctx context.Context, ref nhi.Ref, request driver.IssueRequest) (driver.Issued, error) {
	u, err := d.find(ctx, ref)
	if err != nil {
		return driver.Issued{}, err
	}
	known, err := d.keys(ctx, u.name)
	if err != nil {
		return driver.Issued{}, err
	}
	if err := d.mayIssue(ctx, u, known); err != nil {
		return driver.Issued{}, err
	}
	if len(known) >= slots {
		return driver.Issued{}, driver.Errorf(driver.Conflict, "user %q has %d access keys already", u.name, len(known))
	}
	if err := d.tag(ctx, u.name, u.issuing(request.Label, known)...); err != nil {
		return driver.Issued{}, err
	}
	var out *iam.CreateAccessKeyOutput
	err = d.about(ctx, u.name, func() (err error) {
		out, err = d.iam.CreateAccessKey(ctx, &iam.CreateAccessKeyInput{UserName: &u.name})
		return err
	})
	if hasCode(err, "LimitExceeded") {
		_ = d.untag(ctx, u.name, issuingTag, knownTag)
		return driver.Issued{}, driver.Errorf(driver.Conflict, "user %q has all the access keys it can have: %w", u.name, err)
	}
	if err != nil {
		return driver.Issued{}, err
	}
	return d.issued(ctx, u.name, request.Label, out.AccessKey)
}

func (d *awsDriver) mayIssue(ctx context.Context, u user, keys []key) error {
	r, err := d.rights(ctx, u.name)
	if err == nil && u.isSuspended(r, keys) {
		err = driver.Errorf(driver.Conflict, "user %q is suspended and gets no access key; resume it first", u.name)
	}
	return err
}

// issued labels a new key. If that fails nobody learns its secret: it is taken back.
func (d *awsDriver) issued(ctx context.Context, name, label string, made *types.AccessKey) (driver.Issued, error) {
	if made == nil || aws.ToString(made.AccessKeyId) == "" || aws.ToString(made.SecretAccessKey) == "" {
		return driver.Issued{}, driver.Errorf(driver.Unknown, "the answer to the request for an access key lacks it")
	}
	id := aws.ToString(made.AccessKeyId)
	d.fresh.add("key:" + id)
	err := d.tag(ctx, name, tag(keyTag+id, label))
	if err == nil {
		err = d.untag(ctx, name, issuingTag, knownTag)
	}
	if err == nil {
		err = d.seen(ctx, "user "+name, func() (bool, error) {
			keys, err := d.keys(ctx, name)
			return slices.ContainsFunc(keys, func(k key) bool { return k.id == id }), err
		})
	}
	if err != nil {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoTimeout)
		defer cancel()
		if d.dropKey(ctx, name, id) != nil {
			err = driver.AfterChange(classify, err)
		}
		return driver.Issued{}, err
	}
	return driver.Issued{
		Credential: nhi.Credential{ID: id, Label: label, CreatedAt: aws.ToTime(made.CreateDate).UTC()},
		Login:      id, Secret: secret.New(aws.ToString(made.SecretAccessKey)),
	}, nil
}

func (d *awsDriver) setActive(ctx context.Context, name, id string, active bool) error {
	status := types.StatusTypeInactive
	if active {
		status = types.StatusTypeActive
		d.fresh.add("key:" + id)
	} else {
		d.fresh.drop("key:" + id)
	}
	return d.about(ctx, name, func() error {
		_, err := d.iam.UpdateAccessKey(ctx, &iam.UpdateAccessKeyInput{UserName: &name, AccessKeyId: &id, Status: status})
		return err
	})
}

// RevokeCredential switches a key off and deletes it.
func (d *awsDriver) RevokeCredential(ctx context.Context, ref nhi.Ref, id string) error {
	u, err := d.find(ctx, ref)
	if err != nil {
		return gone(err)
	}
	keys, err := d.keys(ctx, u.name)
	if err != nil {
		return gone(err)
	}
	if slices.ContainsFunc(keys, func(k key) bool { return k.id == id }) {
		return d.dropKey(ctx, u.name, id)
	}
	return nil
}

// dropKey switches a key off before it deletes it: from then on it is useless, whatever fails.
func (d *awsDriver) dropKey(ctx context.Context, name, id string) error {
	if err := d.setActive(ctx, name, id, false); err != nil {
		return gone(err)
	}
	_, err := d.iam.DeleteAccessKey(ctx, &iam.DeleteAccessKeyInput{UserName: &name, AccessKeyId: &id})
	if err := gone(err); err != nil {
		return err
	}
	if err := d.untag(ctx, name, keyTag+id); err != nil {
		return gone(err)
	}
	return d.seen(ctx, "user "+name, func() (bool, error) {
		keys, err := d.keys(ctx, name)
		return !slices.ContainsFunc(keys, func(k key) bool { return k.id == id }), gone(err)
	})
}

// Verify asks STS with the key whose it is, which needs no right. STS may not know yet of a key that was just made.
func (d *awsDriver) Verify(ctx context.Context, login string, text secret.Value) error {
	if login == "" || text.IsZero() {
		return driver.Errorf(driver.Unauthenticated, "there is no access key")
	}
	client := sts.NewFromConfig(d.login(login, text))
	unknown := func(err error) bool {
		return hasCode(err, "InvalidClientTokenId") || hasCode(err, "InvalidAccessKeyId")
	}
	return d.fresh.known(ctx, "key:"+login, unknown, func() error {
		who, err := client.GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
		if err == nil && aws.ToString(who.Arn) == "" {
			err = driver.Errorf(driver.Unknown, "the answer to the login does not say whose it is")
		}
		return err
	})
}
