package provider

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/terraform-plugin-framework-timetypes/timetypes"
	"github.com/hashicorp/terraform-plugin-framework-validators/stringvalidator"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/list"
	"github.com/hashicorp/terraform-plugin-framework/list/schema"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/lifecycle"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
)

// searchModel is what every list block says about which accounts it looks for.
type searchModel struct {
	Platforms            types.List           `tfsdk:"platforms"`
	ManagedBy            types.String         `tfsdk:"managed_by"`
	Name                 types.String         `tfsdk:"name"`
	Disabled             types.Bool           `tfsdk:"disabled"`
	UnusedFor            timetypes.GoDuration `tfsdk:"unused_for"`
	CredentialsOlderThan timetypes.GoDuration `tfsdk:"credentials_older_than"`
	Accounts             types.Map            `tfsdk:"accounts"`
}

func searchAttributes() map[string]schema.Attribute {
	var managers []string
	for _, m := range lifecycle.Managers() {
		managers = append(managers, string(m))
	}
	return map[string]schema.Attribute{
		"platforms": schema.ListAttribute{
			Optional: true, ElementType: types.StringType,
			MarkdownDescription: "Names of the platforms to look at. Default: every configured one that can list its accounts; a warning " +
				"names the others. Accounts of one platform come as they are read, and reading stops at the list's `limit`; several platforms are read to their end, to join the accounts of one identity.",
		},
		"managed_by": schema.StringAttribute{
			Optional: true, Validators: []validator.String{stringvalidator.OneOf(managers...)},
			MarkdownDescription: "Who manages the account: " + codeList(managers) + ". Default: any of them. To adopt accounts, write `nobody`: " +
				"what another stack manages cannot be imported, and what this one manages is in its state.",
		},
		"name": schema.StringAttribute{
			Optional: true, Validators: []validator.String{stringvalidator.LengthAtLeast(1)},
			MarkdownDescription: "Only accounts with such a name: `*` stands for any text, `?` for any letter.",
		},
		"disabled": schema.BoolAttribute{
			Optional: true, MarkdownDescription: "`true`: only suspended accounts, `false`: only active ones.",
		},
		"unused_for": schema.StringAttribute{
			Optional: true, CustomType: timetypes.GoDurationType{},
			MarkdownDescription: "Only accounts none of whose credentials was made or used for this long, for example `2160h`. On platforms " +
				"that do not tell when a credential was last used, no account is found; a warning names them.",
		},
		"credentials_older_than": schema.StringAttribute{
			Optional: true, CustomType: timetypes.GoDurationType{},
			MarkdownDescription: "Only accounts with a credential that is older than this, for example `2160h`. Credentials whose age the " +
				"platform does not tell do not count.",
		},
		"accounts": schema.MapAttribute{
			Optional: true, ElementType: types.MapType{ElemType: types.StringType},
			MarkdownDescription: "Which accounts belong to one identity, where their names differ: " +
				"`{ billing-agent = { warehouse = \"svc_billing\", sap = \"T_BILLING\" } }`. Without it, accounts that nobody marked are one " +
				"identity if they have the same name and the same status.",
		},
	}
}

// search is the model in the words of package lifecycle, checked against the configured platforms.
func (m searchModel) search(data *providerData, diags *diag.Diagnostics) lifecycle.Search {
	s := lifecycle.Search{
		Platforms: knownStrings(m.Platforms.Elements()), ManagedBy: lifecycle.Manager(m.ManagedBy.ValueString()),
		Name: m.Name.ValueString(), Suspended: m.Disabled.ValueBoolPointer(), Accounts: make(map[string]map[string]string),
	}
	for attribute, age := range map[string]struct {
		value timetypes.GoDuration
		since *time.Time
	}{"unused_for": {m.UnusedFor, &s.UnusedSince}, "credentials_older_than": {m.CredentialsOlderThan, &s.CredentialBefore}} {
		if d := durationOf(age.value); d > 0 {
			*age.since = data.now().Add(-d)
		} else if known(age.value) {
			diags.AddAttributeError(path.Root(attribute), "Invalid duration", fmt.Sprintf("%s is not positive.", age.value.ValueString()))
		}
	}
	for i, name := range s.Platforms {
		_, err := data.fleet.Platform(name)
		addErrorAt(diags, path.Root("platforms").AtListIndex(i), "Unknown platform", err)
	}
	for identity, value := range m.Accounts.Elements() {
		at := path.Root("accounts").AtMapKey(identity)
		addErrorAt(diags, at, "Invalid identity name", nhi.CheckIdentityName(identity))
		accounts, _ := value.(types.Map)
		s.Accounts[identity] = mapOfStrings(accounts)
		for platform := range s.Accounts[identity] {
			_, err := data.fleet.Platform(platform)
			addErrorAt(diags, at.AtMapKey(platform), "Unknown platform", err)
		}
	}
	return s
}

// leaveOut makes a search over every platform one over those that can list their accounts, and says which are left out:
// beside an OAuth 2.0 server, which lists nothing, a query would find nothing at all.
func leaveOut(data *providerData, s *lifecycle.Search, diags *diag.Diagnostics) {
	if len(s.Platforms) > 0 {
		return
	}
	var unable []string
	for _, name := range data.fleet.Names() {
		p, err := data.fleet.Platform(name)
		switch {
		case err != nil:
		case p.Spec().Can(driver.CanSweep) || p.Spec().Can(driver.CanList):
			s.Platforms = append(s.Platforms, name)
		default:
			unable = append(unable, fmt.Sprintf("%s (%s)", name, p.Spec().Title))
		}
	}
	if len(s.Platforms) > 0 && len(unable) > 0 {
		diags.AddWarning("Not every platform is looked at", "Platforms that cannot list their accounts: "+strings.Join(unable, ", ")+".")
	}
}

// silent names the platforms that do not tell what the search asks for.
func silent(data *providerData, s lifecycle.Search) []string {
	if s.UnusedSince.IsZero() {
		return nil
	}
	platforms := s.Platforms
	if len(platforms) == 0 {
		platforms = data.fleet.Names()
	}
	return slices.DeleteFunc(slices.Clone(platforms), func(name string) bool {
		p, err := data.fleet.Platform(name)
		return err != nil || p.Spec().TellsLastUse
	})
}

// listing is the work of one list block.
type listing struct {
	data   *providerData
	search lifecycle.Search
	// result makes a result of what was found, false to leave it out.
	result func(lifecycle.Discovered) (list.ListResult, bool)
}

// queryTimeout bounds one list block.
const queryTimeout = time.Hour

// stream reads the platforms while Terraform takes the results, up to limit.
func (l listing) stream(ctx context.Context, limit int64) func(func(list.ListResult) bool) {
	return func(push func(list.ListResult) bool) {
		ctx, cancel := context.WithTimeout(ctx, queryTimeout)
		defer cancel()
		var diags diag.Diagnostics
		leaveOut(l.data, &l.search, &diags)
		if names := silent(l.data, l.search); len(names) > 0 {
			diags.AddWarning("Unknown use", fmt.Sprintf("Platforms that do not tell when a credential was last used: %s. unused_for finds "+
				"nothing there.", strings.Join(names, ", ")))
		}
		if len(diags) > 0 && !push(list.ListResult{Diagnostics: diags}) {
			return
		}
		sent, open := int64(0), true
		problems := lifecycle.Discover(ctx, l.data.fleet, l.search, func(d lifecycle.Discovered) bool {
			result, ok := l.result(d)
			if !ok {
				return true
			}
			sent++
			open = push(result)
			return open && (limit <= 0 || sent < limit)
		})
		if !open || len(problems) == 0 {
			return
		}
		diags = nil
		for _, p := range problems {
			diags.AddError(fmt.Sprintf("Unable to list the accounts on platform %q", p.Platform), listAdvice(p.Err))
		}
		push(list.ListResult{Diagnostics: diags})
	}
}

func listAdvice(err error) string {
	if driver.CodeOf(err) == driver.Unsupported {
		return err.Error() + ". Name the platforms to look at under platforms, without this one."
	}
	return err.Error()
}

// displayName says in one line what was found.
func displayName(d lifecycle.Discovered) string {
	var places []string
	for _, platform := range slices.Sorted(maps.Keys(d.Records)) {
		text := platform
		if name := d.Records[platform].Name; name != d.Name {
			text += "=" + name
		}
		if d.Records[platform].Status == nhi.Suspended {
			text += " (suspended)"
		}
		places = append(places, text)
	}
	manager := "managed by nobody"
	switch d.ManagedBy {
	case lifecycle.ThisStack:
		manager = "managed by this stack"
	case lifecycle.AnotherStack:
		manager = fmt.Sprintf("managed by the stack %q", d.Stack)
	case lifecycle.Nobody:
	}
	return fmt.Sprintf("%s on %s, %s", d.Name, strings.Join(places, ", "), manager)
}
