// Package provider is the HCL surface: schemas, models and plan logic. What happens on the platforms is the business
// of package lifecycle.
package provider

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/action"
	"github.com/hashicorp/terraform-plugin-framework/datasource"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/ephemeral"
	"github.com/hashicorp/terraform-plugin-framework/function"
	"github.com/hashicorp/terraform-plugin-framework/list"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/provider"
	"github.com/hashicorp/terraform-plugin-framework/provider/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/tfsdk"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/nhi-labs/terraform-provider-nhi/internal/audit"
	"github.com/nhi-labs/terraform-provider-nhi/internal/fleet"
	"github.com/nhi-labs/terraform-provider-nhi/internal/lifecycle"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
)

var (
	_ provider.Provider                   = (*nhiProvider)(nil)
	_ provider.ProviderWithValidateConfig = (*nhiProvider)(nil)

	_ provider.ProviderWithFunctions          = (*nhiProvider)(nil)
	_ provider.ProviderWithEphemeralResources = (*nhiProvider)(nil)
	_ provider.ProviderWithListResources      = (*nhiProvider)(nil)
	_ provider.ProviderWithActions            = (*nhiProvider)(nil)
)

type nhiProvider struct {
	server *Server
}

// New returns the constructor of a provider whose process nobody ends: for tests and for tools that only want the
// schema. Whether something has expired is judged by now.
func New(version string, now func() time.Time) func() provider.Provider {
	return NewServer(version, now, Hooks{}).Provider
}

// providerData is what Configure hands to the resources. Caches hang on it, never on globals: one process may serve
// several provider configurations.
type providerData struct {
	fleet      *fleet.Fleet
	trail      *audit.Trail
	owners     *owners
	handovers  *handovers
	exclusives *exclusiveGrants
	accounts   *plannedAccounts
	objects    *twoObjects
	made       *madeHere
	shared     *lifecycle.Shared
	rotations  *rotationClaims
	removals   *plannedRemovals
	now        func() time.Time
}

func (p *nhiProvider) Metadata(_ context.Context, _ provider.MetadataRequest, resp *provider.MetadataResponse) {
	resp.TypeName = "nhi"
	resp.Version = p.server.version
}

func (p *nhiProvider) Schema(_ context.Context, _ provider.SchemaRequest, resp *provider.SchemaResponse) {
	blocks := platformBlocks()
	blocks["audit"] = auditBlock()
	resp.Schema = schema.Schema{
		MarkdownDescription: "Declares non-human identities (service accounts, workloads, AI agents, API clients, partner " +
			"integrations) once, and gives and takes their access on every platform: SAP and other SCIM systems, databases, " +
			"secrets managers. Each platform is a block named after its kind.",
		Attributes: map[string]schema.Attribute{
			"stack": schema.StringAttribute{
				Required: true,
				MarkdownDescription: "Name of this stack. It is written on every account made here as part of its ownership mark, " +
					"and no stack ever changes an account of another one. Two configurations must not share a stack name. " +
					"1 to 63 letters, digits, `.`, `_` or `-`.",
			},
			"retired_platforms": schema.SetAttribute{
				Optional: true, ElementType: types.StringType,
				MarkdownDescription: "Names of platforms that were switched off for good. Accounts that state still records there " +
					"count as gone, so that nothing is stuck on them.",
			},
			"retired_sinks": schema.SetAttribute{
				Optional: true, ElementType: types.StringType,
				MarkdownDescription: "Names of audit sinks that are gone for good. Events that still wait for them in state are let go.",
			},
		},
		Blocks: blocks,
	}
}

func (p *nhiProvider) ValidateConfig(ctx context.Context, req provider.ValidateConfigRequest, resp *provider.ValidateConfigResponse) {
	var stack types.String
	resp.Diagnostics.Append(req.Config.GetAttribute(ctx, path.Root("stack"), &stack)...)
	if known(stack) {
		addErrorAt(&resp.Diagnostics, path.Root("stack"), "Invalid stack", nhi.CheckStack(stack.ValueString()))
	}
	retired := namesIn(ctx, req.Config, "retired_platforms", &resp.Diagnostics)
	seen := make(map[string]path.Path)
	for _, k := range kinds() {
		for _, b := range k.blocks(ctx, req.Config, &resp.Diagnostics) {
			checkPlatformName(b, seen, retired, &resp.Diagnostics)
		}
	}
	checkAudit(ctx, req.Config, &resp.Diagnostics)
}

// checkPlatformName refuses names that cannot be, are taken, or are retired.
func checkPlatformName(b platformBlock, seen map[string]path.Path, retired []string, diags *diag.Diagnostics) {
	if !known(b.name) {
		return
	}
	name, at := b.name.ValueString(), b.path.AtName("name")
	addErrorAt(diags, at, "Invalid platform name", nhi.CheckPlatformName(name))
	if first, taken := seen[name]; taken {
		diags.AddAttributeError(at, "Duplicate platform name", fmt.Sprintf(
			"Two platforms are named %q (the other one is %s). Accounts and entitlements refer to a platform by its name, so "+
				"each needs its own.", name, first))
	}
	if slices.Contains(retired, name) {
		diags.AddAttributeError(at, "Retired platform", fmt.Sprintf(
			"Platform %q is listed in retired_platforms. Remove it there if it is in use, or remove this block.", name))
	}
	for other := range seen {
		if other != name && environmentName(other, "") == environmentName(name, "") {
			diags.AddAttributeError(at, "Ambiguous platform name", fmt.Sprintf(
				"Platforms %q and %q would read their secrets from the same environment variables (%s…). Rename one of them.",
				other, name, environmentName(name, "")))
		}
	}
	seen[name] = b.path
}

// namesIn returns the names that one of the provider's sets lists.
func namesIn(ctx context.Context, config tfsdk.Config, attribute string, diags *diag.Diagnostics) []string {
	var set types.Set
	diags.Append(config.GetAttribute(ctx, path.Root(attribute), &set)...)
	return knownStrings(set.Elements())
}

// auditConfig is what the configuration says of audit.
func (p *nhiProvider) auditConfig(ctx context.Context, req provider.ConfigureRequest, diags *diag.Diagnostics) audit.Config {
	config := auditConfig(ctx, req.Config, diags)
	config.Retired = namesIn(ctx, req.Config, "retired_sinks", diags)
	if replace := p.server.hooks.Sink; replace != nil {
		for i, sink := range config.Sinks {
			config.Sinks[i] = replace(sink)
		}
	}
	return config
}

func (p *nhiProvider) Configure(ctx context.Context, req provider.ConfigureRequest, resp *provider.ConfigureResponse) {
	var stack types.String
	resp.Diagnostics.Append(req.Config.GetAttribute(ctx, path.Root("stack"), &stack)...)
	if stack.IsUnknown() {
		resp.Diagnostics.AddAttributeError(path.Root("stack"), "Unknown stack",
			"The stack's name marks accounts on the platforms, so it must be known when planning. Write it as a constant or a variable.")
	}
	var configs []fleet.Config
	later := &fleetLater{}
	for _, k := range kinds() {
		for _, b := range k.blocks(ctx, req.Config, &resp.Diagnostics) {
			config := k.config(ctx, b, later, &resp.Diagnostics)
			config.Watch, config.Intercept = p.server.hooks.Change, p.server.hooks.Intercept
			configs = append(configs, config)
		}
	}
	evidence := p.auditConfig(ctx, req, &resp.Diagnostics)
	if resp.Diagnostics.HasError() {
		return
	}
	source := audit.Source{Actor: actor(), Stack: stack.ValueString(), Version: p.server.version}
	trail := audit.NewTrail(source, evidence, p.server.now)
	// What belongs to no operation is a token that a server has replaced during a read, which is stored (platformStore). Anything else
	// would be a mistake of the provider, and is evidenced all the same.
	stray := trail.Open(audit.Operation{Correlation: audit.NewID()}, nil)
	data := &providerData{
		fleet:      fleet.New(stack.ValueString(), namesIn(ctx, req.Config, "retired_platforms", &resp.Diagnostics), configs).Under(stray),
		trail:      trail,
		owners:     newOwners(),
		handovers:  newHandovers(),
		exclusives: newExclusiveGrants(),
		accounts:   newPlannedAccounts(),
		objects:    newTwoObjects(),
		made:       newMadeHere(),
		shared:     new(lifecycle.Shared),
		rotations:  newRotationClaims(),
		removals:   newPlannedRemovals(),
		now:        p.server.now,
	}
	later.fleet = data.fleet
	p.server.register(data)
	resp.ResourceData = data
	resp.DataSourceData = data
	resp.EphemeralResourceData = data
	resp.ListResourceData = data
	resp.ActionData = data
}

func (p *nhiProvider) Resources(context.Context) []func() resource.Resource {
	return []func() resource.Resource{newIdentityResource, newGrantResource, newRotationResource}
}

// EphemeralResources implements provider.ProviderWithEphemeralResources.
func (p *nhiProvider) EphemeralResources(context.Context) []func() ephemeral.EphemeralResource {
	return []func() ephemeral.EphemeralResource{newCredentialEphemeral, newTokenEphemeral}
}

// ListResources implements provider.ProviderWithListResources.
func (p *nhiProvider) ListResources(context.Context) []func() list.ListResource {
	return []func() list.ListResource{newIdentityList, newGrantList}
}

// Actions implements provider.ProviderWithActions.
func (p *nhiProvider) Actions(context.Context) []func() action.Action {
	return []func() action.Action{newSuspendAction, newResumeAction, newRotateAction}
}

func (p *nhiProvider) DataSources(context.Context) []func() datasource.DataSource {
	return []func() datasource.DataSource{
		newPlatformData, newAccountData, newAccountsData, newEntitlementsData, newHoldersData, newOrphansData,
	}
}

// Functions implements provider.ProviderWithFunctions.
func (p *nhiProvider) Functions(context.Context) []func() function.Function {
	return []func() function.Function{newEntitlementFunction, newParseFunction}
}

// environmentName is the variable that holds a platform's secret: NHI_<NAME>_<ATTRIBUTE>.
func environmentName(platform, attribute string) string {
	clean := strings.NewReplacer("-", "_", ".", "_").Replace(platform)
	return strings.ToUpper("NHI_" + clean + "_" + attribute)
}
