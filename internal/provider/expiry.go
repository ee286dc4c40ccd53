package provider

import (
	"context"
	"fmt"
	"time"

	"github.com/hashicorp/terraform-plugin-framework-timetypes/timetypes"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/tfsdk"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
)

// wholeSeconds refuses fractions of a second: platforms keep less of them than HCL can write, and would never show the
// date that was declared.
func wholeSeconds(date timetypes.RFC3339) error {
	if at := timeOf(date); at.Nanosecond() != 0 {
		return fmt.Errorf("write whole seconds: %q", at.Truncate(time.Second).Format(time.RFC3339))
	}
	return nil
}

func expiredText(at, now time.Time, advice string) string {
	return fmt.Sprintf("%s is past (it is %s now). Write a date to come. %s",
		at.UTC().Format(time.RFC3339), now.UTC().Format(time.RFC3339), advice)
}

// soonKey notes in private state that the date was near when the resource was last refreshed.
const soonKey = "expires_soon"

// noteSoon notes in a refresh whether the date is near: see mayPass.
func noteSoon(ctx context.Context, private privateWriter, date timetypes.RFC3339, now time.Time) diag.Diagnostics {
	at := timeOf(date)
	if now.Before(at) && at.Before(now.Add(24*time.Hour)) {
		return private.SetKey(ctx, soonKey, []byte("true"))
	}
	return private.SetKey(ctx, soonKey, nil)
}

// mayPass reports whether a plan that is made now may be applied when the date has passed. Terraform plans again in the
// middle of an apply and takes it for a bug if what was planned as active is then planned as suspended or expired, so such a
// plan leaves that open; and it must not be left open then if it was not before. So whether the date is near is judged once, by
// the refresh, which both plans go by. A date that is new or changed is never left open: if it has passed, the second plan
// refuses it. A saved plan is rarely applied after a day.
func mayPass(ctx context.Context, private privateReader, before, after timetypes.RFC3339, now time.Time, diags *diag.Diagnostics) bool {
	noted, more := private.GetKey(ctx, soonKey)
	diags.Append(more...)
	return now.Before(timeOf(after)) && noted != nil && after.Equal(before)
}

// openStatuses plans that active accounts may be active or suspended: see mayPass.
func (p *identityPlan) openStatuses(ctx context.Context, plan *tfsdk.Plan) diag.Diagnostics {
	var planned identityModel
	diags := plan.Get(ctx, &planned)
	for platform, r := range planned.records() {
		configured, err := p.data.fleet.Platform(platform)
		if err != nil || !configured.Abilities().Suspend || r.Status != nhi.Active {
			continue
		}
		at := path.Root("accounts").AtMapKey(platform).AtName("status")
		diags.Append(plan.SetAttribute(ctx, at, types.StringUnknown())...)
	}
	return diags
}
