package provider

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/nhi-labs/terraform-provider-nhi/internal/fleet"
	"github.com/nhi-labs/terraform-provider-nhi/internal/lifecycle"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
)

// ModifyPlan checks every entitlement against its platform's grammar, refuses two exclusive grants on one account, and
// makes the plan exact.
func (r *grantResource) ModifyPlan(ctx context.Context, req resource.ModifyPlanRequest, resp *resource.ModifyPlanResponse) {
	defer recovered(ctx, &resp.Diagnostics)
	if r.data == nil {
		return
	}
	if req.Plan.Raw.IsNull() {
		r.planRemoval(ctx, req, resp)
		return
	}
	var plan, state grantModel
	resp.Diagnostics.Append(req.Plan.Get(ctx, &plan)...)
	if !req.State.Raw.IsNull() {
		resp.Diagnostics.Append(req.State.Get(ctx, &state)...)
	}
	if resp.Diagnostics.HasError() {
		return
	}
	p := grantPlan{
		data: r.data, plan: plan, state: state, creating: req.State.Raw.IsNull(), changed: !req.Plan.Raw.Equal(req.State.Raw), diags: &resp.Diagnostics,
	}
	p.checkExpiry()
	p.checkIdentity()
	p.checkTexts()
	if resp.Diagnostics.HasError() {
		return
	}
	p.checkExclusive()
	switch {
	case p.creating || !p.changed:
	case !plan.identityName().Equal(state.identityName()): // The grant is replaced, and the old one deleted.
		r.noteGivenUp(state, r.data.exclusives.dropped, p.diags)
	default:
		r.data.noteDropped(plan.wish(r.data, p.diags), state.recorded(r.data, p.diags), r.data.exclusives.dropped, p.diags)
	}
	p.checkAccounts()
	p.checkStrangers(ctx, req.Private)
	values := p.computed(ctx)
	if resp.Diagnostics.HasError() {
		return
	}
	resp.Diagnostics.Append(setAll(ctx, &resp.Plan, values)...)
	if !req.State.Raw.IsNull() {
		resp.Diagnostics.Append(r.data.owners.keep(ctx, plan.identityName().ValueString(), resp.Private)...)
	}
	r.data.planUndelivered(ctx, req, resp, state.Undelivered)
	if !resp.Plan.Raw.Equal(req.State.Raw) && mayPass(ctx, req.Private, state.ExpiresAt, plan.ExpiresAt, r.data.now(), &resp.Diagnostics) {
		resp.Diagnostics.Append(resp.Plan.SetAttribute(ctx, path.Root("status"), types.StringUnknown())...)
	}
}

// planRemoval notes what goes with the grant.
func (r *grantResource) planRemoval(ctx context.Context, req resource.ModifyPlanRequest, resp *resource.ModifyPlanResponse) {
	resp.Diagnostics.Append(r.data.removals.noteDependent(ctx, resp.Private)...)
	var state grantModel
	resp.Diagnostics.Append(req.State.Get(ctx, &state)...)
	r.noteGivenUp(state, r.data.exclusives.removed, &resp.Diagnostics)
}

// noteGivenUp notes that a grant gives up all that state shows of it.
func (r *grantResource) noteGivenUp(state grantModel, by map[accountKey][]nhi.Entitlement, diags *diag.Diagnostics) {
	var unreadable diag.Diagnostics // The deletion says so.
	grant := state.wish(r.data, &unreadable)
	shown := grant.Declared
	grant.Declared = nil
	r.data.noteDropped(grant, shown, by, diags)
}

// grantPlan is the work of one ModifyPlan.
type grantPlan struct {
	data              *providerData
	plan, state       grantModel
	creating, changed bool
	diags             *diag.Diagnostics
}

func (p *grantPlan) checkExpiry() {
	addErrorAt(p.diags, path.Root("expires_at"), "Invalid date", wholeSeconds(p.plan.ExpiresAt))
	changed := p.creating || !p.plan.ExpiresAt.Equal(p.state.ExpiresAt)
	if now := p.data.now(); changed && p.plan.expired(now) {
		p.diags.AddAttributeError(path.Root("expires_at"), "Date in the past", expiredText(timeOf(p.plan.ExpiresAt), now,
			"To take the access away now, remove the entitlements or the grant."))
	}
}

func (p *grantPlan) checkIdentity() {
	name := p.plan.identityName()
	if known(p.plan.Identity) && name.IsNull() {
		p.diags.AddAttributeError(path.Root("identity").AtName("name"), "Missing identity name", "The name is null. Write nhi_identity.x, "+
			"or the name of the identity.")
	}
	if known(name) {
		addErrorAt(p.diags, path.Root("identity").AtName("name"), "Invalid identity name", nhi.CheckIdentityName(name.ValueString()))
	}
}

// checkTexts parses everything that is known, each problem on its own element.
func (p *grantPlan) checkTexts() {
	p.checkSets(p.plan.Entitlements, "entitlements", nhi.Grammar.Parse)
	// What is tolerated is never granted, so observed-only types may stand there.
	p.checkSets(p.plan.Tolerate, "tolerate", nhi.Grammar.ParseObserved)
}

func (p *grantPlan) checkSets(sets types.Map, attribute string, parse func(nhi.Grammar, string) (nhi.Entitlement, error)) {
	elements := sets.Elements()
	for _, platform := range slices.Sorted(maps.Keys(elements)) {
		at := path.Root(attribute).AtMapKey(platform)
		if p.data.fleet.Retired(platform) && !p.creating {
			p.diags.AddAttributeWarning(at, "Retired platform", fmt.Sprintf(
				"Platform %q is listed in retired_platforms, so nothing is granted there. Remove these entitlements.", platform))
			continue
		}
		configured, err := p.data.fleet.Platform(platform)
		if err != nil {
			p.diags.AddAttributeError(at, "Unknown platform", err.Error())
			continue
		}
		set, ok := elements[platform].(types.Set)
		if !ok || set.IsNull() {
			p.diags.AddAttributeError(at, "Missing entitlements", "The value is null. Write [] for an account that holds nothing.")
			continue
		}
		if slices.ContainsFunc(set.Elements(), attr.Value.IsNull) {
			p.diags.AddAttributeError(at, "Missing entitlement", "An element of the set is null. Leave it out, for example with compact().")
			continue
		}
		for _, text := range knownStrings(set.Elements()) {
			_, err := parse(configured.Spec().Grammar, text)
			var spelling *nhi.NotCanonicalError
			summary := "Invalid entitlement"
			if errors.As(err, &spelling) {
				summary = "Entitlement not in its canonical spelling"
			}
			addErrorAt(p.diags, at.AtSetValue(types.StringValue(text)), summary, err)
		}
	}
}

// checkExclusive refuses a second exclusive grant on an account, and grants that an exclusive one would fight.
func (p *grantPlan) checkExclusive() {
	if !known(p.plan.identityName()) || p.plan.accountNames().IsUnknown() || !whollyKnown(context.Background(), p.plan.Entitlements) ||
		!whollyKnown(context.Background(), p.plan.Tolerate) {
		return
	}
	grant := p.plan.wish(p.data, p.diags)
	for _, platform := range slices.Sorted(maps.Keys(grant.Declared)) {
		claim := grantClaim{
			identity: grant.Identity, exclusive: grant.Exclusive, creating: p.creating, unchanged: !p.changed,
			ends: !p.plan.ExpiresAt.IsNull(), fingerprint: p.plan.fingerprint(),
			entitlements: grant.Declared[platform], tolerated: grant.Tolerated[platform],
		}
		if err := p.data.exclusives.claim(platform, grant.AccountName(platform), claim); err != nil {
			p.diags.AddAttributeError(path.Root("entitlements").AtMapKey(platform), "Conflicting grants", err.Error())
		}
		p.data.noteMoved(platform, grant.AccountName(platform), p.diags)
	}
}

// checkAccounts refuses entitlements on platforms where the identity has no account, as far as this configuration
// declares the identity.
func (p *grantPlan) checkAccounts() {
	name := p.plan.identityName()
	if !known(name) {
		return
	}
	for _, platform := range slices.Sorted(maps.Keys(p.plan.Entitlements.Elements())) {
		if p.data.accounts.lacks(name.ValueString(), platform) && !p.data.fleet.Retired(platform) {
			p.diags.AddAttributeError(path.Root("entitlements").AtMapKey(platform), "No account on the platform", fmt.Sprintf(
				"The identity %q has no account on platform %q. Add an account block for it to the identity, or remove these entitlements.",
				name.ValueString(), platform))
		}
	}
}

// checkStrangers refuses to plan access for an account that nobody has marked, and that the identity does not mark in the same
// plan: one that somebody made under the name of the one that the grant was about, or one that was imported without a change. It
// asks only where something is to be granted, or where the grant is new.
func (p *grantPlan) checkStrangers(ctx context.Context, private privateReader) {
	if !known(p.plan.identityName()) || p.plan.accountNames().IsUnknown() || !whollyKnown(ctx, p.plan.Entitlements) {
		return
	}
	grant, shown := p.plan.wish(p.data, p.diags), lifecycle.Entitlements{}
	if grant.AccountIDs = map[string]string{}; !p.creating {
		shown = p.state.recorded(p.data, p.diags)
		maps.Copy(grant.AccountIDs, accountIDs(ctx, private, p.diags))
	}
	if grant.Expired || p.diags.HasError() || p.data.accounts.creates(grant.Identity) {
		return
	}
	targets := mapOfStrings(p.state.Targets)
	for _, platform := range slices.Sorted(maps.Keys(grant.Declared)) {
		before, recorded := shown[platform]
		if recorded && (len(nhi.Without(grant.Declared[platform], before)) == 0 || grant.AccountIDs[platform] == "") {
			continue
		}
		if id := p.data.accounts.owned(platform, grant.AccountName(platform)); id != "" {
			grant.AccountIDs[platform] = id // by the time the grant is applied it carries our mark
		}
		if err := grant.CheckStranger(ctx, p.data.fleet, platform, targets[platform]); err != nil {
			p.diags.AddAttributeError(path.Root("entitlements").AtMapKey(platform),
				fmt.Sprintf("Unable to plan the grant on platform %q", platform), err.Error())
		}
	}
}

// fingerprint tells grants of one configuration apart: the provider does not learn their addresses.
func (m grantModel) fingerprint() string {
	return fmt.Sprint(m.Identity, m.Entitlements, m.Exclusive, m.Tolerate, m.ExpiresAt, m.Justification)
}

// computed returns the computed attributes as they will be after the apply.
func (p *grantPlan) computed(ctx context.Context) map[string]attr.Value {
	values := map[string]attr.Value{
		"status": grantStatus(p.plan.expired(p.data.now())), "pending": stringList(nil), "targets": types.MapUnknown(types.StringType),
	}
	if p.plan.ExpiresAt.IsUnknown() {
		values["status"] = types.StringUnknown() // see mayPass
	}
	if name := p.plan.identityName(); !p.creating && known(name) && p.data.accounts.creates(name.ValueString()) {
		// The identity is replaced, and its accounts lose what they hold: this makes it an update, which grants it again.
		values["pending"] = types.ListUnknown(types.StringType)
	}
	if p.plan.Entitlements.IsUnknown() {
		return values
	}
	recorded := mapOfStrings(p.state.Targets)
	targets := make(map[string]attr.Value)
	for _, platform := range slices.Sorted(maps.Keys(p.plan.Entitlements.Elements())) {
		if p.data.fleet.Retired(platform) {
			continue
		}
		if target, ok := recorded[platform]; ok {
			targets[platform] = types.StringValue(target)
			continue
		}
		targets[platform] = p.target(ctx, platform)
	}
	values["targets"] = types.MapValueMust(types.StringType, targets)
	return values
}

// target asks which system a platform is that the grant did not name before, and whether we may change anything there.
func (p *grantPlan) target(ctx context.Context, platform string) attr.Value {
	id, lacking, err := lifecycle.Target(ctx, p.data.fleet, platform)
	at := path.Root("entitlements").AtMapKey(platform)
	switch {
	case errors.Is(err, fleet.ErrNotConfigured):
		return types.StringUnknown()
	case err != nil:
		p.diags.AddAttributeError(at, fmt.Sprintf("Unable to plan the grant on platform %q", platform), err.Error())
	case len(lacking) > 0:
		p.diags.AddAttributeError(at, fmt.Sprintf("Missing rights on platform %q", platform),
			"The provider's own account there cannot manage access: "+strings.Join(lacking, " ")+" Nothing was changed.")
	}
	return types.StringValue(id)
}
