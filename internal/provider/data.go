package provider

import (
	"context"
	"fmt"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/datasource"
	"github.com/hashicorp/terraform-plugin-framework/datasource/schema"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/nhi-labs/terraform-provider-nhi/internal/lifecycle"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
)

// dataSource is what all data sources share. They read, and never change anything on a platform.
type dataSource struct {
	data *providerData
}

// Configure implements datasource.DataSourceWithConfigure.
func (d *dataSource) Configure(_ context.Context, req datasource.ConfigureRequest, resp *datasource.ConfigureResponse) {
	d.data = configured(req.ProviderData, &resp.Diagnostics)
}

// bounded gives a reading of whole platforms its time.
func bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, queryTimeout)
}

// checkPlatforms refuses names that are not configured.
func (d *dataSource) checkPlatforms(names types.List, diags *diag.Diagnostics) []string {
	var platforms []string
	for i, element := range names.Elements() {
		name, _ := element.(types.String)
		_, err := d.data.fleet.Platform(name.ValueString())
		addErrorAt(diags, path.Root("platforms").AtListIndex(i), "Unknown platform", err)
		platforms = append(platforms, name.ValueString())
	}
	return platforms
}

// checkPlatform refuses a name that is not configured.
func (d *dataSource) checkPlatform(name types.String, diags *diag.Diagnostics) {
	_, err := d.data.fleet.Platform(name.ValueString())
	addErrorAt(diags, path.Root("platform"), "Unknown platform", err)
}

// addProblems reports each platform that could not be read. What is there is not known, so there is no result without it.
func addProblems(diags *diag.Diagnostics, problems lifecycle.Problems) {
	for _, p := range problems {
		diags.AddError(fmt.Sprintf("Unable to read platform %q", p.Platform), listAdvice(p.Err))
	}
}

func platformsAttribute(more string) schema.ListAttribute {
	return schema.ListAttribute{
		Optional: true, ElementType: types.StringType,
		MarkdownDescription: "Names of the platforms to look at. Default, also of an empty list: every configured one. A platform that cannot " +
			"be read is an error, because an answer without it would look whole." + more,
	}
}

// accountView is an account as the data sources show it.
type accountView struct {
	Platform     types.String     `tfsdk:"platform"`
	Name         types.String     `tfsdk:"name"`
	ID           types.String     `tfsdk:"id"`
	Target       types.String     `tfsdk:"target"`
	Status       types.String     `tfsdk:"status"`
	ManagedBy    types.String     `tfsdk:"managed_by"`
	Stack        types.String     `tfsdk:"stack"`
	Identity     types.String     `tfsdk:"identity"`
	ExpiresAt    types.String     `tfsdk:"expires_at"`
	Entitlements types.Set        `tfsdk:"entitlements"`
	Credentials  []credentialView `tfsdk:"credentials"`
	Settings     types.Map        `tfsdk:"settings"`
}

// credentialView is what is known of a credential; its text is known to nobody but the platform.
type credentialView struct {
	ID         types.String `tfsdk:"id"`
	Label      types.String `tfsdk:"label"`
	CreatedAt  types.String `tfsdk:"created_at"`
	ExpiresAt  types.String `tfsdk:"expires_at"`
	LastUsedAt types.String `tfsdk:"last_used_at"`
}

func viewOf(f lifecycle.Found) accountView {
	a := f.Account
	view := accountView{
		Platform: types.StringValue(f.Platform), Name: types.StringValue(a.Name), ID: types.StringValue(a.ID),
		Target: types.StringValue(f.Target), Status: types.StringValue(string(a.Status)),
		ManagedBy: types.StringValue(string(f.ManagedBy)), Stack: textOrNull(a.Mark.Stack), Identity: textOrNull(a.Mark.Identity),
		ExpiresAt: timeOrNull(a.ExpiresAt), Entitlements: stringSet(nhi.Texts(a.Entitlements)), Credentials: []credentialView{},
		Settings: stringMap(a.Settings),
	}
	for _, c := range a.Credentials {
		view.Credentials = append(view.Credentials, credentialView{
			ID: types.StringValue(c.ID), Label: textOrNull(c.Label),
			CreatedAt: timeOrNull(c.CreatedAt), ExpiresAt: timeOrNull(c.ExpiresAt), LastUsedAt: timeOrNull(c.LastUsedAt),
		})
	}
	return view
}

func viewsOf(found []lifecycle.Found) []accountView {
	views := make([]accountView, len(found))
	for i, f := range found {
		views[i] = viewOf(f)
	}
	return views
}

func textOrNull(text string) types.String {
	if text == "" {
		return types.StringNull()
	}
	return types.StringValue(text)
}

func timeOrNull(t time.Time) types.String {
	if t.IsZero() {
		return types.StringNull()
	}
	return types.StringValue(t.UTC().Format(time.RFC3339))
}

// accountAttributes are the attributes of an accountView, all computed.
func accountAttributes() map[string]schema.Attribute {
	text := func(description string) schema.StringAttribute {
		return schema.StringAttribute{Computed: true, MarkdownDescription: description}
	}
	return map[string]schema.Attribute{
		"platform": text("Name of the configured platform."),
		"name":     text("Name of the account."),
		"id":       text("The platform's own stable id of the account."),
		"target":   text("The system behind the platform, by its own stable id."),
		"status":   text("`active` or `suspended`."),
		"managed_by": text("Who manages the account, by its ownership mark: `this_stack`, `another_stack`, or `nobody`, if it carries " +
			"no mark."),
		"stack":      text("The stack in the ownership mark. Null without a mark."),
		"identity":   text("The identity in the ownership mark. Null without a mark."),
		"expires_at": text("When the platform ends the account (RFC 3339). Null if it does not."),
		"entitlements": schema.SetAttribute{
			Computed: true, ElementType: types.StringType,
			MarkdownDescription: "The entitlements that the account holds directly, whoever granted them. What it inherits is told by " +
				"`nhi_entitlements`.",
		},
		"credentials": schema.ListNestedAttribute{
			Computed: true, MarkdownDescription: "What the platform tells of the account's credentials, oldest first; never the secrets.",
			NestedObject: schema.NestedAttributeObject{Attributes: map[string]schema.Attribute{
				"id":           text("The platform's own id of the credential."),
				"label":        text("The text that whoever issued it attached. Null if the platform shows none."),
				"created_at":   text("When it was issued (RFC 3339). Null if the platform does not tell."),
				"expires_at":   text("When it ends by itself (RFC 3339). Null if it does not, or the platform does not tell."),
				"last_used_at": text("When it was last used (RFC 3339). Null if it never was, or the platform does not tell."),
			}},
		},
		"settings": schema.MapAttribute{
			Computed: true, ElementType: types.StringType,
			MarkdownDescription: "The kind's own settings of the account, as listed in the guide of its kind.",
		},
	}
}

func accountsAttribute(description string) schema.ListNestedAttribute {
	return schema.ListNestedAttribute{
		Computed: true, MarkdownDescription: description + " Ordered by platform and name.",
		NestedObject: schema.NestedAttributeObject{Attributes: accountAttributes()},
	}
}
