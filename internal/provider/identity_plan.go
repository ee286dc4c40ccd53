package provider

import (
	"cmp"
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
	"github.com/hashicorp/terraform-plugin-framework/tfsdk"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/nhi-labs/terraform-provider-nhi/internal/fleet"
	"github.com/nhi-labs/terraform-provider-nhi/internal/lifecycle"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
	"github.com/nhi-labs/terraform-provider-nhi/internal/reconcile"
)

// ValidateConfig checks what needs no platform.
func (r *identityResource) ValidateConfig(ctx context.Context, req resource.ValidateConfigRequest, resp *resource.ValidateConfigResponse) {
	var config identityModel
	resp.Diagnostics.Append(req.Config.Get(ctx, &config)...)
	if resp.Diagnostics.HasError() {
		return
	}
	if known(config.Name) {
		addErrorAt(&resp.Diagnostics, path.Root("name"), "Invalid identity name", nhi.CheckIdentityName(config.Name.ValueString()))
	}
	seen := make(map[string]bool)
	for _, b := range config.accountBlocks() {
		if !known(b.platform) {
			continue
		}
		platform := b.platform.ValueString()
		if seen[platform] {
			resp.Diagnostics.AddAttributeError(b.path("platform"), "Duplicate account block", fmt.Sprintf(
				"The identity already has an account on platform %q. An identity has at most one account per platform: remove this "+
					"block, or declare a second identity.", platform))
		}
		seen[platform] = true
	}
}

// ModifyPlan makes the plan exact, and refuses what could not be applied before anything is changed. It asks a platform
// only about accounts that state does not know.
func (r *identityResource) ModifyPlan(ctx context.Context, req resource.ModifyPlanRequest, resp *resource.ModifyPlanResponse) {
	defer recovered(ctx, &resp.Diagnostics)
	if r.data == nil {
		return
	}
	if req.Plan.Raw.IsNull() {
		r.planRemoval(ctx, req, resp)
		return
	}
	var plan, state identityModel
	resp.Diagnostics.Append(req.Plan.Get(ctx, &plan)...)
	if !req.State.Raw.IsNull() {
		resp.Diagnostics.Append(req.State.Get(ctx, &state)...)
	}
	if resp.Diagnostics.HasError() {
		return
	}
	if known(plan.Name) {
		addErrorAt(&resp.Diagnostics, path.Root("name"), "Two objects of one identity", r.data.objects.keep(identityThing(plan.Name.ValueString())))
	}
	if !req.State.Raw.IsNull() && !plan.Name.Equal(state.Name) {
		addErrorAt(&resp.Diagnostics, path.Root("name"), "Two objects of one identity", r.data.objects.remove(identityThing(state.Name.ValueString())))
	}
	p := identityPlan{data: r.data, plan: plan, state: state, creating: req.State.Raw.IsNull(), diags: &resp.Diagnostics}
	p.checkExpiry()
	p.noteLeaving()
	values := p.computed(ctx)
	if resp.Diagnostics.HasError() {
		return
	}
	resp.Diagnostics.Append(setAll(ctx, &resp.Plan, values)...)
	r.data.owners.learn(plan.operation().Identity)
	r.data.planUndelivered(ctx, req, resp, state.Undelivered)
	if resp.Plan.Raw.Equal(req.State.Raw) {
		r.data.accounts.disown(state.records()) // nothing will be written: what carries no mark, as after an import, goes on without
		return
	}
	resp.Diagnostics.Append(p.openTargets(ctx, &resp.Plan)...)
	if mayPass(ctx, req.Private, state.ExpiresAt, plan.ExpiresAt, r.data.now(), &resp.Diagnostics) {
		resp.Diagnostics.Append(p.openStatuses(ctx, &resp.Plan)...)
	}
}

// planRemoval notes for the grants and rotations of the identity that it goes with them.
func (r *identityResource) planRemoval(ctx context.Context, req resource.ModifyPlanRequest, resp *resource.ModifyPlanResponse) {
	var state identityModel
	resp.Diagnostics.Append(req.State.Get(ctx, &state)...)
	resp.Diagnostics.Append(r.data.removals.noteDependent(ctx, resp.Private)...)
	addErrorAt(&resp.Diagnostics, path.Root("name"), "Two objects of one identity", r.data.objects.remove(identityThing(state.Name.ValueString())))
	if resp.Diagnostics.HasError() {
		return
	}
	r.data.removals.noteIdentity(plannedRemoval{
		Identity: state.Name.ValueString(), Accounts: state.records(), SuspendOnly: state.OnDestroy.ValueString() == onDestroySuspend,
	}, &resp.Diagnostics)
}

// identityPlan is the work of one ModifyPlan.
type identityPlan struct {
	data        *providerData
	plan, state identityModel
	creating    bool
	diags       *diag.Diagnostics
}

// checkExpiry refuses a date that is past when it is written. One that passes later suspends.
func (p *identityPlan) checkExpiry() {
	addErrorAt(p.diags, path.Root("expires_at"), "Invalid date", wholeSeconds(p.plan.ExpiresAt))
	changed := p.creating || !p.plan.ExpiresAt.Equal(p.state.ExpiresAt)
	if at := p.plan.expiry(); changed && !at.IsZero() && !p.data.now().Before(at) {
		p.diags.AddAttributeError(path.Root("expires_at"), "Date in the past", expiredText(at, p.data.now(),
			"To suspend the identity now, set enabled = false."))
	}
}

// noteLeaving notes the accounts that are deleted before those of the identity's new name are made, which may be named as they
// are. With create_before_destroy that is not so, which the provider does not learn: the apply finds them there, and refuses.
func (p *identityPlan) noteLeaving() {
	if !p.creating && known(p.plan.Name) && !p.plan.Name.Equal(p.state.Name) && p.state.OnDestroy.ValueString() != onDestroySuspend {
		p.data.accounts.leave(p.state.Name.ValueString(), p.state.records())
	}
}

// openTargets leaves open the target of accounts that state pins to one from before a migration: the apply records the one that
// answers, which is not asked for here, so that a platform that is down does not hold up the others.
func (p *identityPlan) openTargets(ctx context.Context, plan *tfsdk.Plan) diag.Diagnostics {
	var planned identityModel
	diags := plan.Get(ctx, &planned)
	for platform, r := range planned.records() {
		if configured, err := p.data.fleet.Platform(platform); err == nil && configured.WasTarget(r.Target) {
			at := path.Root("accounts").AtMapKey(platform).AtName("target")
			diags.Append(plan.SetAttribute(ctx, at, types.StringUnknown())...)
		}
	}
	return diags
}

// computed returns the computed attributes as they will be after the apply.
func (p *identityPlan) computed(ctx context.Context) map[string]attr.Value {
	values := map[string]attr.Value{
		"accounts":      types.MapUnknown(types.ObjectType{AttrTypes: recordTypes()}),
		"account_names": types.MapUnknown(types.StringType),
		"pending":       stringList(nil),
	}
	if p.creating && known(p.plan.Name) {
		p.data.accounts.create(p.plan.Name.ValueString())
	}
	recorded := p.state.records()
	if !p.decided() {
		if known(p.plan.Name) { // Otherwise the identity is replaced, which says it all.
			p.warnRemovals(recorded)
		}
		return values
	}
	records := make(map[string]attr.Value)
	for _, b := range p.plan.accountBlocks() {
		if r, ok := p.account(ctx, b, recorded); ok {
			records[b.platform.ValueString()] = r
		}
	}
	p.data.accounts.complete(p.plan.Name.ValueString(), slices.Collect(maps.Keys(records)))
	p.warnRemovals(recorded)
	if p.diags.HasError() {
		return nil
	}
	values["accounts"] = types.MapValueMust(types.ObjectType{AttrTypes: recordTypes()}, records)
	values["account_names"] = p.plan.accountNames()
	return values
}

// decided reports whether it is known which accounts the identity is to have.
func (p *identityPlan) decided() bool {
	return !p.plan.Name.IsUnknown() && p.platformsKnown() &&
		!slices.ContainsFunc(p.plan.accountBlocks(), func(b accountBlock) bool { return b.name.IsUnknown() })
}

func (p *identityPlan) platformsKnown() bool {
	blocks := p.plan.accountBlocks()
	return !p.plan.Account.IsUnknown() && len(blocks) == len(p.plan.Account.Elements()) &&
		!slices.ContainsFunc(blocks, func(b accountBlock) bool { return b.platform.IsUnknown() })
}

// account checks one account block and returns what accounts will say of it.
func (p *identityPlan) account(ctx context.Context, b accountBlock, recorded map[string]lifecycle.Record) (attr.Value, bool) {
	name := b.platform.ValueString()
	if p.data.fleet.Retired(name) && !p.creating {
		p.diags.AddAttributeWarning(b.path("platform"), "Retired platform", fmt.Sprintf(
			"Platform %q is listed in retired_platforms, so its account counts as gone. Remove this account block.", name))
		return nil, false
	}
	platform, err := p.data.fleet.Platform(name)
	if err != nil {
		p.diags.AddAttributeError(b.path("platform"), "Unknown platform", err.Error())
		return nil, false
	}
	accountName := b.accountName(p.plan.Name)
	if !p.checkBlock(b, platform, accountName) {
		return nil, false
	}
	if err := p.data.accounts.claim(name, accountName, p.plan.Name.ValueString(), p.creating); err != nil {
		p.diags.AddAttributeError(b.path(), "Account declared twice", err.Error())
		return nil, false
	}
	status := nhi.Active
	switch {
	case !platform.Abilities().Suspend: // it stays what it is
	case p.plan.Enabled.IsUnknown() || p.plan.ExpiresAt.IsUnknown():
		status = "" // not known yet
	case p.plan.suspended(p.data.now()):
		status = nhi.Suspended
	}
	p.data.accounts.become(name, accountName, status)
	if r, ok := recorded[name]; ok && r.Name == accountName && r.Status != lifecycle.Deleted {
		if realm := platform.Realm(); realm != "" {
			addErrorAt(p.diags, b.path(), "Same account on two platforms", p.data.accounts.claimRealm(realm, accountName, name))
		}
		p.data.accounts.own(name, accountName, r.ID)
		if !platform.Abilities().Suspend {
			status = r.Status
		}
		p.warnStays(b, platform, r.Name, status)
		r.Status = status
		return recordValue(r), true
	}
	return p.newAccount(ctx, b, platform, lifecycle.Record{Name: accountName, Status: status})
}

// warnStays says in the plan that an account goes on working although the identity is to be suspended, or the other way round.
func (p *identityPlan) warnStays(b accountBlock, platform *fleet.Platform, accountName string, status nhi.Status) {
	suspended, open := p.plan.suspended(p.data.now()), p.plan.Enabled.IsUnknown() || p.plan.ExpiresAt.IsUnknown()
	if platform.Abilities().Suspend || suspended == (status == nhi.Suspended) || !suspended && open {
		return
	}
	title := platform.Spec().Title
	detail := title + " cannot suspend accounts, so neither enabled = false nor a passed expires_at stops this one. To end its access, " +
		"remove the account block, or what its grants give it and the rotation of its credentials."
	if !suspended {
		detail = title + " can suspend and resume no accounts as this platform is configured, so enabled = true does not let this one " +
			"in: it has to be resumed where it was suspended."
	}
	p.diags.AddAttributeWarning(b.path("platform"), fmt.Sprintf("Account %q on platform %q stays %s", accountName, platform.Name(), status), detail)
}

// checkBlock checks what a block says against the platform's kind.
func (p *identityPlan) checkBlock(b accountBlock, platform *fleet.Platform, accountName string) bool {
	spec := platform.Spec()
	if err := spec.CheckName(accountName); err != nil {
		at := b.path("name")
		if b.name.IsNull() {
			at = b.path()
		}
		p.diags.AddAttributeError(at, "Invalid account name", err.Error())
		return false
	}
	for kindName := range kindsWithSettings() {
		object, ok := b.object.Attributes()[kindName].(types.Object)
		if ok && known(object) && kindName != spec.Kind {
			p.diags.AddAttributeError(b.path(kindName), "Settings of another kind of platform", fmt.Sprintf(
				"Platform %q is of kind %q, so a %s block has no meaning in its account. Remove it.", platform.Name(), spec.Kind, kindName))
			return false
		}
	}
	return true
}

// newAccount asks the platform about an account that state does not know.
func (p *identityPlan) newAccount(ctx context.Context, b accountBlock, platform *fleet.Platform, r lifecycle.Record) (attr.Value, bool) {
	wish := lifecycle.Account{Name: r.Name, Adopt: b.adopt.ValueBool() || b.adopt.IsUnknown()}
	preview, err := lifecycle.Inspect(ctx, p.data.fleet, p.plan.Name.ValueString(), platform.Name(), wish)
	p.warnStays(b, platform, r.Name, cmp.Or(preview.Status, nhi.Active))
	if !platform.Abilities().Suspend && (wish.Adopt || err != nil || preview.Status != "") {
		r.Status = "" // What is there by then stays what it is, unless a replacement deletes it first.
	}
	if errors.Is(err, fleet.ErrNotConfigured) {
		return recordValue(r), true
	}
	var owned *reconcile.OwnershipError
	if errors.As(err, &owned) && p.data.accounts.leaves(platform.Name(), owned.Account) {
		err = nil
	}
	if err != nil {
		p.diags.AddAttributeError(b.path(), fmt.Sprintf("Unable to plan the account on platform %q", platform.Name()), err.Error())
		return nil, false
	}
	if err := p.data.accounts.claimRealm(preview.Realm, r.Name, platform.Name()); err != nil {
		p.diags.AddAttributeError(b.path(), "Same account on two platforms", err.Error())
		return nil, false
	}
	if len(preview.Lacking) > 0 {
		p.diags.AddAttributeError(b.path("platform"), fmt.Sprintf("Missing rights on platform %q", platform.Name()),
			"The provider's own account there cannot manage accounts: "+strings.Join(preview.Lacking, " ")+" Nothing was changed.")
		return nil, false
	}
	switch {
	case preview.Found && p.data.accounts.spares(p.plan.Name.ValueString(), platform.Name()):
		p.diags.AddAttributeWarning(b.path(), fmt.Sprintf("Account %q exists on platform %q", r.Name, platform.Name()),
			"It carries this stack's mark for this identity, and is none that the creation has made that failed: it is taken over.")
	case preview.Found:
		// A tainted identity is planned as a creation alone: nothing here tells it from an account that a killed run has left.
		p.diags.AddAttributeWarning(b.path(), fmt.Sprintf("Account %q exists on platform %q", r.Name, platform.Name()),
			"It carries this stack's mark for this identity. If this plan replaces the identity (-/+), the account is deleted first, with "+
				"everything it holds, and made anew. Otherwise an earlier run made it and did not get to record it: it is taken over.")
	}
	if preview.AdoptedID != "" {
		p.data.accounts.own(platform.Name(), r.Name, preview.AdoptedID)
	}
	// The id is not planned, even if the account exists: a replacement deletes it first.
	r.Target = preview.Target
	return recordValue(r), true
}

// warnRemovals says in the plan that accounts will be deleted: Terraform itself prints such a change as an update.
func (p *identityPlan) warnRemovals(recorded map[string]lifecycle.Record) {
	for _, platform := range removedPlatforms(recorded, p.plan.wish(p.data)) {
		if p.data.fleet.Retired(platform) {
			continue // it counts as gone
		}
		verb, why := "will", "The identity has no such account any more. Applying"
		if p.undecided(platform) {
			verb, why = "may", "Whether the identity still has this account is known only when the plan is applied. If it has not, applying"
		}
		p.diags.AddAttributeWarning(path.Root("account"), fmt.Sprintf("Account %q on platform %q %s be deleted", recorded[platform].Name, platform, verb),
			why+" this plan ends its sessions, revokes its credentials and entitlements and deletes it, although Terraform counts this as "+
				"an update.")
	}
}

// undecided reports whether it is not known what account the identity is to have on the platform.
func (p *identityPlan) undecided(platform string) bool {
	for _, b := range p.plan.accountBlocks() {
		if known(b.platform) && b.platform.ValueString() == platform {
			return b.name.IsUnknown()
		}
	}
	return !p.platformsKnown()
}
