package provider

import (
	"context"
	"os"
	"path/filepath"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"

	"github.com/nhi-labs/terraform-provider-nhi/internal/lifecycle"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
)

// movedEntitlements is what grants that the plan removes hold on an account and another grant holds as well, which the plan
// leaves as it is: it is no part of the apply, so lifecycle.Shared does not learn of it. The plan notes it as it notes the
// removal of identities (see plannedRemovals), and who is removed leaves it. Without the file the next plan grants it again.
type movedEntitlements struct {
	Platform     string            `json:"platform"`
	Account      string            `json:"account"`
	Entitlements []nhi.Entitlement `json:"entitlements"`
}

func (p *plannedRemovals) movedFile(plan, platform, account string) string {
	return filepath.Join(p.folder(plan), seal(plan, "moved on "+platform+": "+account))
}

// noteMoved sees to what grants that this plan has seen so far give up and others hold on to.
func (d *providerData) noteMoved(platform, account string, diags *diag.Diagnostics) {
	at := path.Root("entitlements").AtMapKey(platform)
	if es := d.exclusives.moved(platform, account, d.exclusives.removed); len(es) > 0 {
		moved := movedEntitlements{Platform: platform, Account: account, Entitlements: es}
		if err := d.removals.put(d.removals.movedFile(d.removals.plan, platform, account), moved); err != nil {
			warnMoved(at, es, " This could not be noted: "+err.Error(), diags)
		}
	}
	// The update of a grant is planned once more when it is applied and knows of no file.
	if es := d.exclusives.moved(platform, account, d.exclusives.dropped); len(es) > 0 {
		warnMoved(at, es, "", diags)
	}
}

func warnMoved(at path.Path, es []nhi.Entitlement, why string, diags *diag.Diagnostics) {
	diags.AddAttributeWarning(at, "One grant gives up what another one holds already", "Applying this plan takes it away ("+nhi.JoinTexts(es)+
		"), and the next plan grants it again. To close the gap, change the grant that goes on holding it in the same apply, for example "+
		"its justification."+why)
}

// noteDropped notes what a grant gives up: all that state shows, but for what the plan declares.
func (d *providerData) noteDropped(grant lifecycle.Grant, shown lifecycle.Entitlements, by map[accountKey][]nhi.Entitlement,
	diags *diag.Diagnostics,
) {
	for platform, es := range shown {
		dropped := nhi.Without(es, nhi.Union(grant.Declared[platform], grant.Tolerated[platform]))
		d.exclusives.drop(platform, grant.AccountName(platform), dropped, by)
		d.noteMoved(platform, grant.AccountName(platform), diags)
	}
}

// recallMoved lets the grants of this run leave what the plan that removes one of them has noted.
func (d *providerData) recallMoved(ctx context.Context, private privateReader, grant lifecycle.Grant, shown lifecycle.Entitlements) {
	text, diags := private.GetKey(ctx, removalKey)
	plan := strings.Trim(string(text), `"`)
	if diags.HasError() || !planID.MatchString(plan) {
		return
	}
	for platform := range shown {
		var moved movedEntitlements
		account := grant.AccountName(platform)
		file := d.removals.movedFile(plan, platform, account)
		if !d.removals.get(plan, file, &moved) || moved.Platform != platform || moved.Account != account {
			continue
		}
		d.shared.Declare(platform, account, moved.Entitlements)
		_ = os.Remove(file) // After Declare: who does not find it any more need not.
		_ = os.Remove(d.removals.folder(plan))
	}
}
