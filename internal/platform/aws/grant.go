package aws

import (
	"cmp"
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
)

// Grant attaches policies and adds to groups. AWS has no transaction: that every target exists is checked before anything
// changes. It returns when AWS shows the user with what was granted, also if AWS refuses a part of it: who reads next, to take
// it back or to record it, shall see it.
func (d *awsDriver) Grant(ctx context.Context, ref nhi.Ref, entitlements []nhi.Entitlement) error {
	u, err := d.find(ctx, ref)
	if err != nil {
		return err
	}
	for _, e := range entitlements {
		if err := d.wantTarget(ctx, e); err != nil {
			return err
		}
	}
	var given []nhi.Entitlement
	var failed error
	err = d.seen(ctx, "user "+u.name, func() (bool, error) {
		now, err := d.rights(ctx, u.name)
		if err != nil {
			return false, err
		}
		if failed == nil {
			for _, e := range nhi.Without(entitlements, nhi.Union(now.entitlements, given)) {
				if err := d.about(ctx, u.name, func() error { return d.give(ctx, u.name, e) }); err != nil {
					if classify(err).Code == driver.PermissionDenied {
						d.fresh.add(refusedGrant(u.name, e))
					}
					failed, entitlements = d.blame(ctx, ref, e, err), given
					break
				}
				given = append(given, e)
			}
		}
		return len(nhi.Without(entitlements, now.entitlements)) == 0, nil
	})
	return cmp.Or(failed, err)
}

// wantTarget checks that the policy or group exists.
func (d *awsDriver) wantTarget(ctx context.Context, e nhi.Entitlement) error {
	var err error
	switch e.Type {
	case typePolicy:
		_, err = d.iam.GetPolicy(ctx, &iam.GetPolicyInput{PolicyArn: &e.Target})
	case typeGroup:
		one := int32(1)
		_, err = d.iam.GetGroup(ctx, &iam.GetGroupInput{GroupName: &e.Target, MaxItems: &one})
	default:
		return driver.Errorf(driver.Unsupported, "%s cannot be granted in AWS", e)
	}
	if isAbsent(err) {
		return driver.Errorf(driver.Invalid, "%s does not exist: %w", e, err)
	}
	return err
}

func (d *awsDriver) give(ctx context.Context, name string, e nhi.Entitlement) error {
	var err error
	if e.Type == typeGroup {
		_, err = d.iam.AddUserToGroup(ctx, &iam.AddUserToGroupInput{UserName: &name, GroupName: &e.Target})
	} else {
		_, err = d.iam.AttachUserPolicy(ctx, &iam.AttachUserPolicyInput{UserName: &name, PolicyArn: &e.Target})
	}
	return err
}

// blame tells whether it is the user or the target that no longer exists.
func (d *awsDriver) blame(ctx context.Context, ref nhi.Ref, e nhi.Entitlement, err error) error {
	if !isAbsent(err) {
		return err
	}
	if _, err := d.find(ctx, ref); err != nil {
		return err
	}
	return driver.Errorf(driver.Invalid, "%s does not exist any more: %w", e, err)
}

func refusedGrant(name string, e nhi.Entitlement) string { return "refused:" + name + " " + e.String() }

// Revoke detaches policies, removes from groups, and deletes inline policies. What Grant gives it takes away whether AWS shows
// it or not: it may show it only later. It returns when AWS no longer shows any of it.
func (d *awsDriver) Revoke(ctx context.Context, ref nhi.Ref, entitlements []nhi.Entitlement) error {
	u, err := d.find(ctx, ref)
	if err != nil {
		return gone(err)
	}
	var refused error
	for _, e := range entitlements {
		if e.Type == typeInline {
			continue // Somebody else made it. By its name alone it may be that of a suspension.
		}
		err := d.take(ctx, u.name, e)
		switch {
		case err != nil && classify(err).Code != driver.PermissionDenied:
			return err
		case err != nil && d.fresh.left(refusedGrant(u.name, e)) <= 0: // Else AWS did not let it be given, either.
			refused = fmt.Errorf("taking away %s: %w", e, err)
		}
	}
	return gone(cmp.Or(d.takeShown(ctx, u.name, entitlements), refused))
}

// takeShown takes away what AWS shows of the entitlements, until it shows none.
func (d *awsDriver) takeShown(ctx context.Context, name string, entitlements []nhi.Entitlement) error {
	return d.seen(ctx, "user "+name, func() (bool, error) {
		now, err := d.rights(ctx, name)
		if err != nil {
			return false, err
		}
		held := nhi.Intersect(now.entitlements, entitlements)
		for _, e := range held {
			if err := d.take(ctx, name, e); err != nil {
				return false, err
			}
		}
		return len(held) == 0, nil
	})
}

// take removes one entitlement. One that is gone already is success.
func (d *awsDriver) take(ctx context.Context, name string, e nhi.Entitlement) error {
	var err error
	switch e.Type {
	case typePolicy:
		_, err = d.iam.DetachUserPolicy(ctx, &iam.DetachUserPolicyInput{UserName: &name, PolicyArn: &e.Target})
	case typeGroup:
		_, err = d.iam.RemoveUserFromGroup(ctx, &iam.RemoveUserFromGroupInput{UserName: &name, GroupName: &e.Target})
	default:
		err = d.deleteInline(ctx, name, e.Target)
	}
	return gone(err)
}

// Explain adds the policies of the user's groups. What resource policies, permission boundaries and the organisation
// allow or deny is not in it.
func (d *awsDriver) Explain(ctx context.Context, ref nhi.Ref) ([]driver.Holding, error) {
	u, err := d.find(ctx, ref)
	if err != nil {
		return nil, err
	}
	direct, err := d.rights(ctx, u.name)
	if err != nil {
		return nil, err
	}
	return driver.Inherit(direct.entitlements, d.conferred(ctx))
}

// ExplainAll is a sweep, and reads each group once.
func (d *awsDriver) ExplainAll(ctx context.Context, page func([]driver.Explained) error) error {
	conferred := d.conferred(ctx)
	return d.Sweep(ctx, driver.SweepFilter{}, func(accounts []nhi.Account) error {
		out := make([]driver.Explained, len(accounts))
		for i, account := range accounts {
			holdings, err := driver.Inherit(account.Entitlements, conferred)
			if err != nil {
				return err
			}
			out[i] = driver.Explained{Account: account, Holdings: holdings}
		}
		return page(out)
	})
}

// conferred tells what the members of a group have through it. It asks for each group once.
func (d *awsDriver) conferred(ctx context.Context) func(nhi.Entitlement) ([]nhi.Entitlement, error) {
	known := map[nhi.Entitlement][]nhi.Entitlement{}
	return func(e nhi.Entitlement) ([]nhi.Entitlement, error) {
		if e.Type != typeGroup {
			return nil, nil
		}
		if held, ok := known[e]; ok {
			return held, nil
		}
		held, err := d.groupRights(ctx, e.Target)
		if err == nil {
			known[e] = held
		}
		return held, err
	}
}

func (d *awsDriver) groupRights(ctx context.Context, name string) ([]nhi.Entitlement, error) {
	var out rights
	attached := iam.NewListAttachedGroupPoliciesPaginator(d.iam,
		&iam.ListAttachedGroupPoliciesInput{GroupName: &name, MaxItems: &d.pageSize})
	err := each(ctx, attached, func(page *iam.ListAttachedGroupPoliciesOutput) error {
		out.attached(page.AttachedPolicies)
		return nil
	})
	if err != nil {
		return nil, gone(err)
	}
	inline := iam.NewListGroupPoliciesPaginator(d.iam, &iam.ListGroupPoliciesInput{GroupName: &name, MaxItems: &d.pageSize})
	err = each(ctx, inline, func(page *iam.ListGroupPoliciesOutput) error {
		for _, policy := range page.PolicyNames {
			out.add(typeInline, aws.ToString(&policy))
		}
		return nil
	})
	return out.entitlements, gone(err)
}
