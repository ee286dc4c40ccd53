package provider

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/hashicorp/terraform-plugin-framework-validators/setvalidator"
	"github.com/hashicorp/terraform-plugin-framework/action"
	"github.com/hashicorp/terraform-plugin-framework/action/schema"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/lifecycle"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
)

// actionBase is what the actions have in common.
type actionBase struct {
	data *providerData
}

// Configure implements action.ActionWithConfigure.
func (a *actionBase) Configure(_ context.Context, req action.ConfigureRequest, resp *action.ConfigureResponse) {
	a.data = configured(req.ProviderData, &resp.Diagnostics)
}

// progress sends what was done to Terraform, one sentence at a time.
func progress(resp *action.InvokeResponse) lifecycle.Tell {
	var mu sync.Mutex
	return func(platform, sentence string) {
		mu.Lock()
		defer mu.Unlock()
		resp.SendProgress(action.InvokeProgressEvent{Message: platform + ": " + sentence})
	}
}

// emergencyModel says whom an action is about.
type emergencyModel struct {
	Identity     types.String `tfsdk:"identity"`
	AccountNames types.Map    `tfsdk:"account_names"`
	Platforms    types.Set    `tfsdk:"platforms"`
}

func emergencyAttributes() map[string]schema.Attribute {
	return map[string]schema.Attribute{
		"identity": identityNameAttribute(),
		"account_names": schema.MapAttribute{
			Optional: true, ElementType: types.StringType,
			MarkdownDescription: "Names of accounts, by platform. Needed for accounts that nobody marked (imported and not applied since), and " +
				"for those that are not named like the identity on platforms that cannot list accounts. Accounts of other identities and " +
				"stacks are refused.",
		},
		"platforms": schema.SetAttribute{
			Optional: true, ElementType: types.StringType, Validators: []validator.Set{setvalidator.SizeAtLeast(1), setvalidator.NoNullValues()},
			MarkdownDescription: "Names of the platforms to act on. Default: every configured one. An empty set is an error.",
		},
	}
}

func identityNameAttribute() schema.StringAttribute {
	return schema.StringAttribute{
		Required: true, MarkdownDescription: "Name of the identity. Its accounts are found by their ownership mark; no state is needed.",
	}
}

// read decodes the configuration and checks it against the configured platforms.
func (m *emergencyModel) read(ctx context.Context, req action.InvokeRequest, data *providerData, diags *diag.Diagnostics) lifecycle.Emergency {
	diags.Append(req.Config.Get(ctx, m)...)
	e := lifecycle.Emergency{
		Identity: m.Identity.ValueString(), AccountNames: mapOfStrings(m.AccountNames), Platforms: knownStrings(m.Platforms.Elements()),
	}
	addErrorAt(diags, path.Root("identity"), "Invalid identity name", nhi.CheckIdentityName(e.Identity))
	// Terraform validates what is known before; a set that is computed may come out empty now.
	if chosen := len(m.Platforms.Elements()); !m.Platforms.IsNull() && (chosen == 0 || len(e.Platforms) < chosen) {
		diags.AddAttributeError(path.Root("platforms"), "No platform named", "The set is empty or holds a null, so which platforms are meant is "+
			"not known, and nothing was done. Name them, or leave platforms out to act on every configured one.")
	}
	for _, platform := range e.Platforms {
		_, err := data.fleet.Platform(platform)
		addErrorAt(diags, path.Root("platforms").AtSetValue(types.StringValue(platform)), "Unknown platform", err)
	}
	for platform := range e.AccountNames {
		at := path.Root("account_names").AtMapKey(platform)
		_, err := data.fleet.Platform(platform)
		addErrorAt(diags, at, "Unknown platform", err)
		if len(e.Platforms) > 0 && !slices.Contains(e.Platforms, platform) {
			diags.AddAttributeError(at, "Platform not chosen", fmt.Sprintf("Platform %q is not among platforms. Add it there, or remove it here.", platform))
		}
	}
	return e
}

// reportEmergency turns what happened into diagnostics. Nothing found is an error: in an emergency a wrong name must not
// look like success.
func reportEmergency(verb string, e lifecycle.Emergency, found int, problems lifecycle.Problems, diags *diag.Diagnostics) {
	for _, p := range problems {
		next := " Invoke the action again to finish this one."
		if driver.CodeOf(p.Err) == driver.Unsupported {
			next = "" // that alone would change nothing
		}
		diags.AddError(fmt.Sprintf("Unable to %s identity %q on platform %q", verb, e.Identity, p.Platform),
			p.Err.Error()+"\n\nThe other platforms were not held up."+next)
	}
	if found == 0 && len(problems) == 0 {
		diags.AddAttributeError(path.Root("identity"), "No account found", fmt.Sprintf("No platform that was asked has an account of identity %q. "+
			"Is the name right? Accounts are found by the mark of this provider configuration's stack.", e.Identity))
	}
}
