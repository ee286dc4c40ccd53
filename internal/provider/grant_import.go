package provider

import (
	"context"
	"fmt"
	"maps"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/nhi-labs/terraform-provider-nhi/internal/lifecycle"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
)

// ImportState reads everything that the identity's accounts hold. It changes nothing on any platform.
func (r *grantResource) ImportState(ctx context.Context, req resource.ImportStateRequest, resp *resource.ImportStateResponse) {
	defer recovered(ctx, &resp.Diagnostics)
	target := readImportTarget(ctx, req, "identity", &resp.Diagnostics)
	if resp.Diagnostics.HasError() {
		return
	}
	records, accounts, problems := lifecycle.Locate(ctx, r.data.fleet, target.name, target.accounts)
	grantModel{Identity: identityReference(target.name, nil)}.report("import", problems, &resp.Diagnostics)
	maps.DeleteFunc(accounts, func(platform string, a nhi.Account) bool {
		return len(a.Entitlements) == 0 && target.accounts[platform] == ""
	})
	if len(accounts) == 0 && len(problems) == 0 {
		resp.Diagnostics.AddError("Nothing to import", fmt.Sprintf("No account of identity %q on the configured platforms (%s) holds an "+
			"entitlement.", target.name, strings.Join(r.data.fleet.Names(), ", ")))
	}
	if resp.Diagnostics.HasError() {
		return
	}
	resp.Diagnostics.Append(setAll(ctx, &resp.State, importedGrant(r.data, target.name, records, accounts))...)
	resp.Diagnostics.Append(resp.Identity.Set(ctx, grantIdentity{Identity: types.StringValue(target.name), Accounts: types.ListNull(types.StringType)})...)
}

// importedGrant is the grant of everything that the accounts hold. What a grant cannot give, because the platform only
// shows it, is tolerated, so that nothing is planned to be revoked.
func importedGrant(data *providerData, identity string, records map[string]lifecycle.Record, accounts map[string]nhi.Account) map[string]attr.Value {
	names, targets := make(map[string]string), make(map[string]string)
	held, observed := make(lifecycle.Entitlements), make(lifecycle.Entitlements)
	for platform, r := range records {
		if r.Name != identity {
			names[platform] = r.Name
		}
		account, ok := accounts[platform]
		if !ok {
			continue
		}
		targets[platform] = r.Target
		held[platform], observed[platform] = splitObserved(data, platform, account.Entitlements)
		if len(observed[platform]) == 0 {
			delete(observed, platform)
		}
	}
	tolerate := types.MapNull(types.SetType{ElemType: types.StringType})
	if len(observed) > 0 {
		tolerate = entitlementsValue(observed)
	}
	return map[string]attr.Value{
		"identity": identityReference(identity, names), "entitlements": entitlementsValue(held), "tolerate": tolerate,
		"exclusive": types.BoolValue(true), "targets": stringMap(targets), "status": types.StringValue(grantActive), "pending": stringList(nil),
	}
}

// splitObserved parts what a grant can give from what the platform only shows.
func splitObserved(data *providerData, platform string, all []nhi.Entitlement) (own, observed []nhi.Entitlement) {
	p, err := data.fleet.Platform(platform)
	if err != nil {
		return all, nil
	}
	for _, e := range all {
		if p.Spec().Grammar.OnlyObserved(e) {
			observed = append(observed, e)
		} else {
			own = append(own, e)
		}
	}
	return own, observed
}
