package provider

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/fleet"
	"github.com/nhi-labs/terraform-provider-nhi/internal/lifecycle"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
)

// ValidateConfig checks what needs no platform.
func (r *rotationResource) ValidateConfig(ctx context.Context, req resource.ValidateConfigRequest, resp *resource.ValidateConfigResponse) {
	var config rotationModel
	resp.Diagnostics.Append(req.Config.Get(ctx, &config)...)
	if resp.Diagnostics.HasError() {
		return
	}
	config.checkTimes(&resp.Diagnostics)
	seen := make(map[lifecycle.Place]bool)
	for _, b := range config.deliverBlocks() {
		b.templates(&resp.Diagnostics)
		if !known(b.platform) || !known(b.path) {
			continue
		}
		addErrorAt(&resp.Diagnostics, b.at.AtName("path"), "Invalid path", checkSecretPath(b.path.ValueString()))
		if seen[b.place()] {
			resp.Diagnostics.AddAttributeError(b.at, "Duplicate deliver block", "The rotation delivers to this path already. Remove this block, "+
				"or choose another path.")
		}
		seen[b.place()] = true
	}
}

func (m rotationModel) checkTimes(diags *diag.Diagnostics) {
	every, overlap := durationOf(m.RotateEvery), m.overlap()
	if known(m.RotateEvery) && every < time.Minute {
		diags.AddAttributeError(path.Root("rotate_every"), "Invalid period", fmt.Sprintf("%s is less than a minute.", m.RotateEvery.ValueString()))
	}
	if overlap < 0 {
		diags.AddAttributeError(path.Root("overlap"), "Invalid overlap", "The overlap is negative.")
	}
	if known(m.RotateEvery) && !m.Overlap.IsUnknown() && every > 0 && overlap >= every {
		diags.AddAttributeError(path.Root("overlap"), "Overlap longer than the period", fmt.Sprintf(
			"The overlap (%s) must be shorter than rotate_every (%s): the previous credential has to be gone before the next one is issued. "+
				"The default overlap is %s.", overlap, every, defaultOverlap))
	}
}

// checkSecretPath refuses paths that no store has.
func checkSecretPath(text string) error {
	if err := nhi.CheckAccountText(text); err != nil {
		return fmt.Errorf("%q cannot be the path of a secret: %w", text, err)
	}
	if strings.HasPrefix(text, "/") || strings.HasSuffix(text, "/") || strings.Contains(text, "//") {
		return fmt.Errorf("%q cannot be the path of a secret: write it without a slash at an end, for example kv/billing-agent/warehouse", text)
	}
	return nil
}

// ModifyPlan refuses what could not be applied, says what is due, and makes the plan exact.
func (r *rotationResource) ModifyPlan(ctx context.Context, req resource.ModifyPlanRequest, resp *resource.ModifyPlanResponse) {
	defer recovered(ctx, &resp.Diagnostics)
	if r.data == nil {
		return
	}
	if req.Plan.Raw.IsNull() {
		resp.Diagnostics.Append(r.data.removals.noteDependent(ctx, resp.Private)...)
		var state rotationModel
		resp.Diagnostics.Append(req.State.Get(ctx, &state)...)
		addErrorAt(&resp.Diagnostics, path.Root("platform"), "Two objects of one rotation", r.data.objects.remove(state.thing()))
		return
	}
	var plan, state rotationModel
	resp.Diagnostics.Append(req.Plan.Get(ctx, &plan)...)
	if !req.State.Raw.IsNull() {
		resp.Diagnostics.Append(req.State.Get(ctx, &state)...)
		state.checkRecord(&resp.Diagnostics)
	}
	if resp.Diagnostics.HasError() {
		return
	}
	p := rotationPlan{
		data: r.data, plan: plan, state: state, creating: req.State.Raw.IsNull(), changed: !req.Plan.Raw.Equal(req.State.Raw), diags: &resp.Diagnostics,
	}
	// Of an identity that is made anew the credentials go with the accounts: this makes it an update, which issues another one.
	p.changed = p.changed || r.data.accounts.creates(plan.identityName().ValueString())
	if !p.creating {
		p.accountIDs = accountIDs(ctx, req.Private, &resp.Diagnostics)
		p.owed = isOwed(ctx, req.Private, &resp.Diagnostics)
		p.begun = begun(ctx, req.Private, plan.RotateWhenChanged, &resp.Diagnostics)
	}
	p.checkPlatforms()
	if resp.Diagnostics.HasError() {
		return
	}
	values := p.computed(ctx)
	if resp.Diagnostics.HasError() {
		return
	}
	resp.Diagnostics.Append(setAll(ctx, &resp.Plan, values)...)
	if !req.State.Raw.IsNull() {
		resp.Diagnostics.Append(r.data.owners.keep(ctx, plan.identityName().ValueString(), resp.Private)...)
	}
	r.data.planUndelivered(ctx, req, resp, state.Undelivered)
}

// rotationPlan is the work of one ModifyPlan.
type rotationPlan struct {
	data              *providerData
	plan, state       rotationModel
	creating, changed bool
	owed              bool   // a rotation, since it could not be made
	begun             string // what it has issued
	accountIDs        map[string]string
	// resumes and suspends are set if the same plan does that to the account.
	resumes, suspends bool
	diags             *diag.Diagnostics
}

// checkPlatforms refuses unknown platforms, and platforms that cannot do what they are named for.
func (p *rotationPlan) checkPlatforms() {
	if name := p.plan.identityName(); known(name) {
		addErrorAt(p.diags, path.Root("identity").AtName("name"), "Invalid identity name", nhi.CheckIdentityName(name.ValueString()))
		if known(p.plan.Platform) {
			addErrorAt(p.diags, path.Root("platform"), "Two objects of one rotation", p.data.objects.keep(p.plan.thing()))
		}
	}
	if !p.creating && p.replaced() {
		addErrorAt(p.diags, path.Root("platform"), "Two objects of one rotation", p.data.objects.remove(p.state.thing()))
	}
	if issuer := p.platform(p.plan.Platform, path.Root("platform")); issuer != nil {
		for _, need := range p.plan.needs() {
			p.need(issuer, need, path.Root("platform"))
		}
		if p.plan.RequireUse.ValueBool() && !issuer.Spec().TellsLastUse {
			p.diags.AddAttributeError(path.Root("require_use_before_retire"), "Unknown use", fmt.Sprintf(
				"Platform %q (%s) does not tell when a credential was last used. Remove require_use_before_retire.", issuer.Name(), issuer.Spec().Title))
		}
	}
	for _, b := range p.plan.deliverBlocks() {
		if store := p.platform(b.platform, b.at.AtName("platform")); store != nil {
			p.need(store, driver.CanStoreSecrets, b.at.AtName("platform"))
		}
	}
	p.checkRemovals()
}

// checkRemovals refuses what an update would fail to remove: a refresh looks at the places that were declared last, and one
// of which an update had failed before is not among them.
func (p *rotationPlan) checkRemovals() {
	var declared []lifecycle.Place
	for _, b := range p.plan.deliverBlocks() {
		declared = append(declared, b.place())
	}
	for _, place := range p.state.record().Delivered {
		if slices.Contains(declared, place) || p.data.fleet.Retired(place.Platform) {
			continue
		}
		if _, err := p.data.fleet.Platform(place.Platform); err != nil {
			addErrorAt(p.diags, path.Root("deliver"), "Unknown platform", fmt.Errorf("what was delivered to %s is to be removed: %w", place, err))
		}
	}
}

// platform returns a platform by its name, nil if it is not known.
func (p *rotationPlan) platform(name types.String, at path.Path) *fleet.Platform {
	if !known(name) {
		return nil
	}
	platform, err := p.data.fleet.Platform(name.ValueString())
	addErrorAt(p.diags, at, "Unknown platform", err)
	return platform
}

// need refuses a platform that lacks a capability.
func (p *rotationPlan) need(platform *fleet.Platform, capability driver.Capability, at path.Path) {
	if platform.Spec().Can(capability) {
		return
	}
	advice := map[driver.Capability]string{
		driver.CanIssue:        "does not issue credentials, so there is nothing to rotate there.",
		driver.CanVerify:       "cannot prove credentials by logging in. Set verify = false if that is acceptable.",
		driver.CanStoreSecrets: "is no secret store. Deliver to a platform that is, for example of kind vault.",
	}
	p.diags.AddAttributeError(at, "Unsuitable platform", fmt.Sprintf("Platform %q (%s) %s", platform.Name(), platform.Spec().Title, advice[capability]))
}

// wholly reports whether everything is known that has to be asked about.
func (p *rotationPlan) wholly(ctx context.Context) bool {
	for _, v := range []attr.Value{p.plan.Identity, p.plan.Platform, p.plan.Deliver, p.plan.RotateEvery, p.plan.Overlap} {
		if !whollyKnown(ctx, v) {
			return false
		}
	}
	return true
}

// open is what is planned while it cannot be said what will be done.
func open() map[string]attr.Value {
	return map[string]attr.Value{
		"current": types.StringUnknown(), "rotates_at": types.StringUnknown(), "credentials": types.ListUnknown(credentialType()),
		"delivered": types.ListUnknown(placeType()), "targets": types.MapUnknown(types.StringType),
		"pending": stringList(nil), "unmanaged": stringList(nil),
	}
}

// computed returns the computed attributes as they will be after the apply.
func (p *rotationPlan) computed(ctx context.Context) map[string]attr.Value {
	if !p.wholly(ctx) {
		return open()
	}
	wish := p.plan.wish(p.diags)
	wish.AccountIDs = p.accountIDs
	account := lifecycle.Grant{Identity: wish.Identity, AccountNames: wish.AccountNames}.AccountName(wish.Platform)
	if id := p.data.accounts.owned(wish.Platform, account); id != "" {
		wish.AccountIDs = map[string]string{wish.Platform: id} // by the time the rotation is applied it carries our mark
	}
	wish.Leaves = func(account nhi.Account) bool { return p.data.accounts.leaves(wish.Platform, account) }
	if p.claim(wish); p.diags.HasError() {
		return nil
	}
	shown := func(string) bool { return false }
	if p.creating {
		wish.GivenUp, wish.Own = p.data.rotations.givenUpPlaces(), p.data.rotations.leaves(p.plan.thing())
	} else {
		wish.Forced, wish.Owed, wish.Begun, shown = forced(p.plan, p.state), p.owed, p.begun, p.state.shown()
		if p.replaced() {
			p.data.rotations.giveUp(p.state.record().Delivered)
		}
	}
	view, problems := lifecycle.PlanRotation(ctx, p.data.fleet, wish, p.state.record(), shown, p.data.now())
	if onlyUnconfigured(problems) {
		if p.creating || p.changed {
			return open()
		}
		return nil
	}
	if len(problems) > 0 && !impossible(problems) && !p.creating && !p.changed {
		p.diags.AddWarning(fmt.Sprintf("Rotation of %q on platform %q was not looked at", wish.Identity, wish.Platform), problems.Error())
		return p.unseen()
	}
	if p.report(problems); p.diags.HasError() {
		return nil
	}
	if len(view.Lacking) > 0 {
		p.diags.AddAttributeError(path.Root("platform"), fmt.Sprintf("Missing rights on platform %q", wish.Platform),
			"The provider's own account there cannot manage credentials: "+strings.Join(view.Lacking, " ")+" Nothing was changed.")
		return nil
	}
	status, planned := p.data.accounts.becomes(wish.Platform, account)
	p.resumes = planned && view.Suspended && status != nhi.Suspended
	p.suspends = planned && !view.Suspended && status == nhi.Suspended
	p.explain(view)
	return p.values(ctx, view)
}

// unseen is what is planned of a rotation whose configuration is the same and whose platforms do not answer. Refreshing has
// succeeded or was switched off, so others need not wait: where state knows of nothing to do, nothing is planned. What it
// knows of stays planned as before: when Terraform plans again in the middle of an apply, a plan that says something else
// would be taken for a bug of this provider. The apply then says which platform does not answer.
func (p *rotationPlan) unseen() map[string]attr.Value {
	values := open()
	if values["delivered"] = p.places(); !values["delivered"].IsUnknown() {
		values["targets"] = p.state.Targets
	}
	if !p.updates(values) {
		return nil
	}
	for key, target := range mapOfStrings(p.state.Targets) {
		platform, _, _ := strings.Cut(key, "/")
		if configured, err := p.data.fleet.Platform(platform); err == nil && configured.WasTarget(target) {
			values["targets"] = types.MapUnknown(types.StringType) // the apply records the one that answers
		}
	}
	return values
}

// places is what is planned of delivered. What differs from state is not known before the apply: if the account is suspended
// by then, nothing is delivered and nothing removed.
func (p *rotationPlan) places() attr.Value {
	if places := p.plan.places(); places.Equal(p.state.Delivered) {
		return places
	}
	return types.ListUnknown(placeType())
}

// values says what the apply makes of the rotation; nil if it stays as it is, also where that is because it has to wait while
// the current credential works on. What waits for the account to be resumed is done by the apply of the plan that resumes it.
func (p *rotationPlan) values(ctx context.Context, view lifecycle.RotationView) map[string]attr.Value {
	values := open()
	values["delivered"] = p.places()
	moved := values["delivered"].IsUnknown()
	_, working := view.Record.Current()
	waits := view.Suspended && !p.resumes || view.Waits && working && len(view.Words) == 0
	if moved && waits && !p.updates(map[string]attr.Value{"delivered": p.state.Delivered, "targets": p.state.Targets}) {
		return nil
	}
	if !moved || p.creating {
		values["targets"] = p.targets(ctx)
	}
	if p.creating || len(view.Words) > 0 || p.resumes && len(view.Notes) > 0 || p.updates(values) {
		return values
	}
	values["current"], values["credentials"] = p.state.Current, p.state.Credentials
	values["rotates_at"] = p.plan.rotatesAt(p.state.record().Credentials)
	return values
}

// updates reports whether the rotation is updated although nothing is due. Then what becomes due until the apply is done as
// well: the identity may be resumed first, or time may pass. Terraform would take that for a broken promise if the plan
// had said that the credentials stay as they are.
func (p *rotationPlan) updates(values map[string]attr.Value) bool {
	return p.changed || len(p.state.Undelivered.Elements()) > 0 || !p.state.Delivered.Equal(values["delivered"]) ||
		!p.state.Targets.Equal(values["targets"]) || len(p.state.Pending.Elements()) > 0 || len(p.state.Unmanaged.Elements()) > 0
}

// replaced reports whether the rotation becomes one of another account.
func (p *rotationPlan) replaced() bool {
	return !p.plan.Platform.Equal(p.state.Platform) || !p.plan.identityName().Equal(p.state.identityName())
}

// targets are the systems that answer.
func (p *rotationPlan) targets(ctx context.Context) types.Map {
	var stores []string
	for _, b := range p.plan.deliverBlocks() {
		stores = append(stores, b.platform.ValueString())
	}
	targets, err := lifecycle.RotationTargets(ctx, p.data.fleet, p.plan.Platform.ValueString(), stores)
	addErrorAt(p.diags, path.Root("platform"), "Unable to plan the rotation", err)
	return stringMap(targets)
}

// explain puts what is due into the plan's warnings, unless the change of pending shows it anyway.
func (p *rotationPlan) explain(view lifecycle.RotationView) {
	shown := knownStrings(p.state.Pending.Elements())
	var hidden []string
	for _, words := range view.Words {
		if !slices.Contains(shown, words) && !(p.creating && words == "rotate: there is no credential yet") {
			hidden = append(hidden, words)
		}
	}
	name := p.plan.identityName().ValueString()
	notes, list := view.Notes, "\n  - "+strings.Join(hidden, "\n  - ")
	switch {
	case len(hidden) > 0 && p.suspends:
		notes = append(notes, "Applying this plan suspends the account, so this waits until it is resumed:"+list)
	case len(hidden) > 0:
		p.diags.AddWarning(fmt.Sprintf("Rotation of %q on platform %q", name, p.plan.Platform.ValueString()), "Applying this plan will:"+list)
	case len(notes) > 0 && p.resumes:
		notes = append(notes, "Applying this plan resumes the account. What has waited is done then, unless a credential has to go for it that "+
			"no plan has named.")
	}
	if len(notes) > 0 {
		p.diags.AddWarning(fmt.Sprintf("Rotation of %q on platform %q waits", name, p.plan.Platform.ValueString()), strings.Join(notes, "\n"))
	}
}

func (p *rotationPlan) report(problems lifecycle.Problems) {
	if impossible(problems) {
		p.diags.AddAttributeError(path.Root("platform"), "Impossible rotation", problems[0].Err.Error())
		return
	}
	p.plan.report("plan", problems, p.diags)
}

// claim refuses a second rotation of one account.
func (p *rotationPlan) claim(wish lifecycle.Rotation) {
	account := lifecycle.Grant{Identity: wish.Identity, AccountNames: wish.AccountNames}.AccountName(wish.Platform)
	fingerprint := fmt.Sprint(p.plan.Deliver, p.plan.RotateEvery, p.plan.Overlap, p.plan.RotateWhenChanged)
	if !p.data.rotations.claim(wish.Platform, account, fingerprint, p.creating) {
		p.diags.AddAttributeError(path.Root("platform"), "Conflicting rotations", fmt.Sprintf(
			"Another rotation in this configuration is about account %q on platform %q: each would retire what the other issues. Merge them: "+
				"one rotation has any number of deliver blocks.", account, wish.Platform))
	}
}
