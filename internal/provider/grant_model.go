package provider

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/hashicorp/terraform-plugin-framework-timeouts/resource/timeouts"
	"github.com/hashicorp/terraform-plugin-framework-timetypes/timetypes"
	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/nhi-labs/terraform-provider-nhi/internal/audit"
	"github.com/nhi-labs/terraform-provider-nhi/internal/lifecycle"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
)

type grantModel struct {
	Identity      types.Object      `tfsdk:"identity"`
	Entitlements  types.Map         `tfsdk:"entitlements"`
	Exclusive     types.Bool        `tfsdk:"exclusive"`
	Tolerate      types.Map         `tfsdk:"tolerate"`
	ExpiresAt     timetypes.RFC3339 `tfsdk:"expires_at"`
	Justification types.String      `tfsdk:"justification"`
	Status        types.String      `tfsdk:"status"`
	Targets       types.Map         `tfsdk:"targets"`
	Pending       types.List        `tfsdk:"pending"`
	Undelivered   types.List        `tfsdk:"undelivered"`
	Timeouts      timeouts.Value    `tfsdk:"timeouts"`
}

func (m grantModel) identityName() types.String {
	name, _ := m.Identity.Attributes()["name"].(types.String)
	return name
}

func (m grantModel) accountNames() types.Map {
	names, _ := m.Identity.Attributes()["account_names"].(types.Map)
	return names
}

func identityReference(name string, accountNames map[string]string) types.Object {
	return types.ObjectValueMust(identityReferenceTypes(), map[string]attr.Value{
		"name": types.StringValue(name), "account_names": stringMap(accountNames),
	})
}

// expired reports whether the grant's time is over.
func (m grantModel) expired(now time.Time) bool {
	at := timeOf(m.ExpiresAt)
	return !at.IsZero() && !now.Before(at)
}

func grantStatus(expired bool) types.String {
	if expired {
		return types.StringValue(grantExpired)
	}
	return types.StringValue(grantActive)
}

// wish is the model in the words of package lifecycle. Texts come from a checked plan or from state; one that its
// platform's grammar does not know is an error.
func (m grantModel) wish(data *providerData, diags *diag.Diagnostics) lifecycle.Grant {
	return lifecycle.Grant{
		Identity: m.identityName().ValueString(), AccountNames: mapOfStrings(m.accountNames()),
		Declared: m.recorded(data, diags), Tolerated: parseSets(data, m.Tolerate, "tolerate", diags),
		Exclusive: m.Exclusive.ValueBool(), Expired: m.expired(data.now()), Shared: data.shared,
	}
}

// recorded parses the entitlements.
func (m grantModel) recorded(data *providerData, diags *diag.Diagnostics) lifecycle.Entitlements {
	return parseSets(data, m.Entitlements, "entitlements", diags)
}

// parseSets reads sets of texts that were checked before, or that came from a platform.
func parseSets(data *providerData, sets types.Map, attribute string, diags *diag.Diagnostics) lifecycle.Entitlements {
	out := make(lifecycle.Entitlements)
	for platform, value := range sets.Elements() {
		set, ok := value.(types.Set)
		if !ok || data.fleet.Retired(platform) {
			continue
		}
		p, err := data.fleet.Platform(platform)
		if err != nil {
			diags.AddAttributeError(path.Root(attribute).AtMapKey(platform), "Unknown platform", err.Error())
			continue
		}
		parsed := []nhi.Entitlement{}
		for _, text := range knownStrings(set.Elements()) {
			e, err := p.Spec().Grammar.ParseObserved(text)
			addErrorAt(diags, path.Root(attribute).AtMapKey(platform).AtSetValue(types.StringValue(text)), "Unknown entitlement", err)
			parsed = append(parsed, e)
		}
		out[platform] = nhi.SortEntitlements(parsed)
	}
	return out
}

func entitlementsValue(sets lifecycle.Entitlements) types.Map {
	elementType := types.SetType{ElemType: types.StringType}
	values := make(map[string]attr.Value, len(sets))
	for platform, es := range sets {
		values[platform] = stringSet(nhi.Texts(es))
	}
	return types.MapValueMust(elementType, values)
}

// hold sets what the accounts hold. What stands there for a retired platform stays as it is written: nobody looks, and state
// has to agree with the configuration.
func (m *grantModel) hold(data *providerData, held lifecycle.Entitlements) {
	values := entitlementsValue(held).Elements()
	for platform, set := range m.Entitlements.Elements() {
		if data.fleet.Retired(platform) {
			values[platform] = set
		}
	}
	m.Entitlements = types.MapValueMust(m.Entitlements.ElementType(context.Background()), values)
}

// record sets what is known after an operation. If it failed, entitlements are what reading back saw.
func (m *grantModel) record(data *providerData, held lifecycle.Entitlements, failed bool) {
	m.hold(data, held)
	var pending []string
	if failed && m.Status.ValueString() == grantExpired {
		for _, platform := range slices.Sorted(maps.Keys(held)) {
			for _, e := range held[platform] {
				pending = append(pending, fmt.Sprintf("%s: revoke %s (expired)", platform, e))
			}
		}
	}
	m.Pending = stringList(pending)
}

// resolveTargets fills targets that the plan could not know because a platform was not configured yet.
func (m *grantModel) resolveTargets(ctx context.Context, data *providerData) {
	targets := make(map[string]string)
	for platform, value := range m.Targets.Elements() {
		if text, ok := value.(types.String); ok && known(text) {
			targets[platform] = text.ValueString()
			continue
		}
		if target, _, err := lifecycle.Target(ctx, data.fleet, platform); err == nil {
			targets[platform] = target
		}
	}
	m.Targets = stringMap(targets)
}

// operation is what the evidence of an operation on the grant says of it.
func (m grantModel) operation() audit.Operation {
	return audit.NewOperation("nhi_grant", audit.Identity{Name: m.identityName().ValueString()}, m.Justification.ValueString())
}

// report turns problems into diagnostics on the platform's element of entitlements.
func (m grantModel) report(verb string, problems lifecycle.Problems, diags *diag.Diagnostics) {
	detail := advice(verb)
	if verb == "delete" {
		detail += " If the plan also removes the identity and no warning says that its accounts were deleted ahead, they wait for this " +
			"grant on every platform. To remove them now, take the grant out of state (state rm) and destroy again with -refresh=false: " +
			"deleting an account takes away what it holds, and the account on this platform stays in state until it is deleted, too."
	}
	for _, p := range problems {
		diags.AddAttributeError(path.Root("entitlements").AtMapKey(p.Platform),
			fmt.Sprintf("Unable to %s the grant of %q on platform %q", verb, m.identityName().ValueString(), p.Platform), p.Err.Error()+detail)
	}
}
