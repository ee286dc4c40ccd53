package aws

import (
	"cmp"
	"context"
	"encoding/json"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/guard"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
)

// The tags that this driver writes on a user.
const (
	markTag = "nhi:mark"
	// suspendedTag remembers which keys Suspend switched off.
	suspendedTag = "nhi:suspended"
	// keysOnlyTag stands for the policy denyAll on a server that knows no policies which deny.
	keysOnlyTag = "nhi:suspended-without-policy"
	// keyTag, before the id of an access key, holds its label: IAM keeps none.
	keyTag = "nhi:key:"
	// issuingTag holds the label of a key that is being made, knownTag the ids of those that were there before: so a key
	// is known by its label also if the run was killed before the label was written.
	issuingTag = "nhi:issuing"
	knownTag   = "nhi:known"
)

// denyAll is the name of the inline policy of a suspended user. It is no entitlement.
const denyAll = "nhi-suspended"

// user is an IAM user with its tags.
type user struct {
	name, id, boundary string
	tags               map[string]string
}

func (u user) mark() nhi.Mark { return nhi.FindMark(u.tags[markTag]) }

// isSuspended reports whether a suspension was brought to its end. Where no policy denies, it lasts until a key is on.
func (u user) isSuspended(r rights, keys []key) bool {
	return r.denied || (u.tags[keysOnlyTag] != "" && !slices.ContainsFunc(keys, func(k key) bool { return k.active }))
}

// rights are what a user holds directly.
type rights struct {
	entitlements []nhi.Entitlement
	denied       bool // by the policy denyAll, with the document that Suspend writes
}

// about makes a request about a user; AWS may not know yet of one that was just made.
func (d *awsDriver) about(ctx context.Context, name string, ask func() error) error {
	return d.fresh.known(ctx, "user:"+name, isAbsent, ask)
}

// user reads one user.
func (d *awsDriver) user(ctx context.Context, name string) (user, error) {
	var out *iam.GetUserOutput
	err := d.about(ctx, name, func() (err error) {
		out, err = d.iam.GetUser(ctx, &iam.GetUserInput{UserName: &name})
		return err
	})
	if err != nil {
		return user{}, err
	}
	if out.User == nil {
		return user{}, driver.Errorf(driver.Unknown, "the answer about the user %q is not that of AWS", name)
	}
	u := user{name: aws.ToString(out.User.UserName), id: idOf(out.User.UserId, out.User.Arn), boundary: boundaryARN(out.User.PermissionsBoundary)}
	switch {
	case u.name == "" || u.id == "":
		return user{}, driver.Errorf(driver.Unknown, "the answer about the user %q lacks its name or id", name)
	case u.name != name:
		return user{}, driver.Errorf(driver.Invalid, "the user is called %q", u.name)
	}
	// AWS shows all tags of the user here; other servers show none.
	if len(out.User.Tags) > 0 {
		u.tags = map[string]string{}
		addTags(u.tags, out.User.Tags)
		return u, nil
	}
	u.tags, err = d.tags(ctx, name)
	return u, err
}

// idOf is the id that AWS gives to no second user. A server without such ids tells the ARN, which holds the name.
func idOf(id, arn *string) string { return cmp.Or(aws.ToString(id), aws.ToString(arn)) }

func boundaryARN(b *types.AttachedPermissionsBoundary) string {
	if b == nil {
		return ""
	}
	return aws.ToString(b.PermissionsBoundaryArn)
}

func (d *awsDriver) tags(ctx context.Context, name string) (map[string]string, error) {
	out := map[string]string{}
	err := d.about(ctx, name, func() error {
		clear(out)
		pages := iam.NewListUserTagsPaginator(d.iam, &iam.ListUserTagsInput{UserName: &name, MaxItems: &d.pageSize})
		return each(ctx, pages, func(page *iam.ListUserTagsOutput) error { addTags(out, page.Tags); return nil })
	})
	return out, err
}

func addTags(out map[string]string, tags []types.Tag) {
	for _, tag := range tags {
		out[aws.ToString(tag.Key)] = aws.ToString(tag.Value)
	}
}

// pager is a paginator of the SDK.
type pager[P any] interface {
	HasMorePages() bool
	NextPage(ctx context.Context, options ...func(*iam.Options)) (P, error)
}

// each calls use with every page.
func each[P any](ctx context.Context, pages pager[P], use func(P) error) error {
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return err
		}
		if err := use(page); err != nil {
			return err
		}
	}
	return nil
}

// find reads the user that ref addresses. A user that was renamed is found by its id, by going through all of them.
func (d *awsDriver) find(ctx context.Context, ref nhi.Ref) (user, error) {
	if err := checkAccountName(ref.Name); err != nil {
		return user{}, driver.Errorf(driver.Invalid, "account name %q: %w", ref.Name, err)
	}
	u, err := d.user(ctx, ref.Name)
	switch {
	case err != nil && !isAbsent(err):
		return user{}, err
	case err == nil && (ref.ID == "" || u.id == ref.ID):
		return u, nil
	case ref.ID == "":
		return user{}, err
	}
	name, err := d.nameOf(ctx, ref.ID)
	if err != nil {
		return user{}, err
	}
	if name == "" {
		return user{}, driver.Errorf(driver.NotFound, "there is no user %q with the id %s", ref.Name, ref.ID)
	}
	return d.user(ctx, name)
}

// nameOf returns the name of the user with an id, "" if there is none.
func (d *awsDriver) nameOf(ctx context.Context, id string) (string, error) {
	name := ""
	pages := iam.NewListUsersPaginator(d.iam, &iam.ListUsersInput{MaxItems: &d.pageSize})
	err := each(ctx, pages, func(page *iam.ListUsersOutput) error {
		for _, u := range page.Users {
			if idOf(u.UserId, u.Arn) == id {
				name = aws.ToString(u.UserName)
			}
		}
		return nil
	})
	return name, err
}

// rights lists what a user holds directly.
func (d *awsDriver) rights(ctx context.Context, name string) (rights, error) {
	var out rights
	err := d.about(ctx, name, func() error {
		out = rights{}
		policies := iam.NewListAttachedUserPoliciesPaginator(d.iam,
			&iam.ListAttachedUserPoliciesInput{UserName: &name, MaxItems: &d.pageSize})
		err := each(ctx, policies, func(page *iam.ListAttachedUserPoliciesOutput) error {
			out.attached(page.AttachedPolicies)
			return nil
		})
		if err != nil {
			return err
		}
		groups := iam.NewListGroupsForUserPaginator(d.iam, &iam.ListGroupsForUserInput{UserName: &name, MaxItems: &d.pageSize})
		err = each(ctx, groups, func(page *iam.ListGroupsForUserOutput) error {
			for _, g := range page.Groups {
				out.add(typeGroup, aws.ToString(g.GroupName))
			}
			return nil
		})
		if err != nil {
			return err
		}
		return d.inline(ctx, name, &out)
	})
	out.entitlements = nhi.SortEntitlements(out.entitlements)
	return out, err
}

// inline adds the inline policies of a user to out. The list has their names only, and one name says too little.
func (d *awsDriver) inline(ctx context.Context, name string, out *rights) error {
	pages := iam.NewListUserPoliciesPaginator(d.iam, &iam.ListUserPoliciesInput{UserName: &name, MaxItems: &d.pageSize})
	return each(ctx, pages, func(page *iam.ListUserPoliciesOutput) error {
		for _, policy := range page.PolicyNames {
			if policy != denyAll {
				out.inline(policy, "")
				continue
			}
			found, err := d.iam.GetUserPolicy(ctx, &iam.GetUserPolicyInput{UserName: &name, PolicyName: &policy})
			switch {
			case isAbsent(err): // It was deleted since it was listed.
			case err != nil:
				return err
			default:
				out.inline(policy, aws.ToString(found.PolicyDocument))
			}
		}
		return nil
	})
}

func (r *rights) add(typeName, target string) {
	r.entitlements = append(r.entitlements, nhi.Entitlement{Type: typeName, Target: target})
}

func (r *rights) attached(policies []types.AttachedPolicy) {
	for _, p := range policies {
		r.add(typePolicy, aws.ToString(p.PolicyArn))
	}
}

// inline adds an inline policy. One that only has the name of a suspension is what any other is.
func (r *rights) inline(name, document string) {
	if name == denyAll && isDenyAll(document) {
		r.denied = true
		return
	}
	r.add(typeInline, name)
}

// isDenyAll reports whether a document, which AWS encodes as in a URL, says what Suspend writes.
func isDenyAll(document string) bool {
	if text, err := url.PathUnescape(document); err == nil {
		document = text
	}
	var got, want any
	return json.Unmarshal([]byte(document), &got) == nil && json.Unmarshal([]byte(denyAllPolicy), &want) == nil &&
		reflect.DeepEqual(got, want)
}

// ReadAccount returns the account whole.
func (d *awsDriver) ReadAccount(ctx context.Context, ref nhi.Ref) (nhi.Account, error) {
	u, err := d.find(ctx, ref)
	if err != nil {
		return nhi.Account{}, err
	}
	r, err := d.rights(ctx, u.name)
	if err != nil {
		return nhi.Account{}, err
	}
	return d.whole(ctx, u, r)
}

// whole adds the access keys, which AWS lists user by user only.
func (d *awsDriver) whole(ctx context.Context, u user, r rights) (nhi.Account, error) {
	keys, err := d.keys(ctx, u.name)
	if err != nil {
		return nhi.Account{}, err
	}
	account := nhi.Account{
		Ref: nhi.Ref{Name: u.name, ID: u.id}, Mark: u.mark(), Status: nhi.Active,
		Entitlements: r.entitlements, Settings: map[string]string{settingBoundary: u.boundary},
	}
	if u.isSuspended(r, keys) {
		account.Status = nhi.Suspended
	}
	for _, k := range keys {
		c := nhi.Credential{ID: k.id, Label: u.labelOf(k.id), CreatedAt: k.created}
		if c.LastUsedAt, err = d.lastUsed(ctx, k.id); err != nil {
			return nhi.Account{}, err
		}
		account.Credentials = append(account.Credentials, c)
	}
	return account, nil
}

// workers is how many users are read at the same time.
const workers = 8

// bulk remembers whether the server and the login allow to read all users at once.
type bulk struct {
	mu   sync.Mutex
	mode bulkMode
}

type bulkMode int

const (
	bulkUnknown bulkMode = iota
	bulkYes
	bulkDenied // the login may not
	bulkNone   // the server cannot
)

func (d *awsDriver) bulkMode(ctx context.Context) (bulkMode, error) {
	d.bulk.mu.Lock()
	defer d.bulk.mu.Unlock()
	if d.bulk.mode != bulkUnknown {
		return d.bulk.mode, nil
	}
	one := int32(1)
	_, err := d.iam.GetAccountAuthorizationDetails(ctx, &iam.GetAccountAuthorizationDetailsInput{
		Filter: []types.EntityType{types.EntityTypeUser}, MaxItems: &one,
	})
	switch {
	case err == nil:
		d.bulk.mode = bulkYes
	case classify(err).Code == driver.PermissionDenied:
		d.bulk.mode = bulkDenied
	case classify(err).Code == driver.Unsupported:
		d.bulk.mode = bulkNone
	default:
		return bulkUnknown, err
	}
	return d.bulk.mode, nil
}

// Sweep reads users with what they hold in one go where AWS allows it, else one by one; access keys come user by user in
// any case, because AWS lists them no other way. With a stack, only its users are read whole.
func (d *awsDriver) Sweep(ctx context.Context, filter driver.SweepFilter, page func([]nhi.Account) error) error {
	mode, err := d.bulkMode(ctx)
	if err != nil {
		return err
	}
	if mode != bulkYes {
		return d.sweepSingly(ctx, filter, page)
	}
	pages := iam.NewGetAccountAuthorizationDetailsPaginator(d.iam, &iam.GetAccountAuthorizationDetailsInput{
		Filter: []types.EntityType{types.EntityTypeUser}, MaxItems: &d.pageSize,
	})
	return each(ctx, pages, func(out *iam.GetAccountAuthorizationDetailsOutput) error {
		found, err := together(ctx, out.UserDetailList, func(ctx context.Context, detail types.UserDetail) (nhi.Account, error) {
			u, r := fromDetail(detail)
			if filter.Stack != "" && u.mark().Stack != filter.Stack {
				return nhi.Account{}, nil
			}
			return d.whole(ctx, u, r)
		})
		if err != nil {
			return err
		}
		return page(found)
	})
}

func fromDetail(detail types.UserDetail) (user, rights) {
	u := user{
		name: aws.ToString(detail.UserName), id: idOf(detail.UserId, detail.Arn), boundary: boundaryARN(detail.PermissionsBoundary),
		tags: map[string]string{},
	}
	addTags(u.tags, detail.Tags)
	var r rights
	r.attached(detail.AttachedManagedPolicies)
	for _, group := range detail.GroupList {
		r.add(typeGroup, group)
	}
	for _, policy := range detail.UserPolicyList {
		r.inline(aws.ToString(policy.PolicyName), aws.ToString(policy.PolicyDocument))
	}
	r.entitlements = nhi.SortEntitlements(r.entitlements)
	return u, r
}

func (d *awsDriver) sweepSingly(ctx context.Context, filter driver.SweepFilter, page func([]nhi.Account) error) error {
	pages := iam.NewListUsersPaginator(d.iam, &iam.ListUsersInput{MaxItems: &d.pageSize})
	return each(ctx, pages, func(out *iam.ListUsersOutput) error {
		found, err := together(ctx, out.Users, func(ctx context.Context, listed types.User) (nhi.Account, error) {
			u, err := d.user(ctx, aws.ToString(listed.UserName))
			if err != nil || (filter.Stack != "" && u.mark().Stack != filter.Stack) {
				return nhi.Account{}, err
			}
			r, err := d.rights(ctx, u.name)
			if err != nil {
				return nhi.Account{}, err
			}
			return d.whole(ctx, u, r)
		})
		if err != nil {
			return err
		}
		return page(found)
	})
}

// together reads an account for each item, some at a time, and leaves out those without an id and those that were deleted
// meanwhile.
func together[T any](ctx context.Context, items []T, read func(context.Context, T) (nhi.Account, error)) ([]nhi.Account, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	accounts, errs := make([]nhi.Account, len(items)), make([]error, len(items))
	var wg sync.WaitGroup
	turn := make(chan struct{}, workers)
	for i, item := range items {
		wg.Go(func() {
			turn <- struct{}{}
			defer func() { <-turn }()
			errs[i] = guard.Call(ctx, "the driver", func() (err error) {
				accounts[i], err = read(ctx, item)
				return err
			})
			if errs[i] != nil && !isAbsent(errs[i]) {
				cancel()
			}
		})
	}
	wg.Wait()
	var first error
	for i, err := range errs {
		switch {
		case isAbsent(err):
			accounts[i] = nhi.Account{}
		case err != nil && (first == nil || strings.Contains(first.Error(), context.Canceled.Error())):
			first = err
		}
	}
	if first != nil {
		return nil, first
	}
	return slices.DeleteFunc(accounts, func(a nhi.Account) bool { return a.ID == "" }), nil
}
