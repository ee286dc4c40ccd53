package provider

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/terraform-plugin-framework-timeouts/resource/timeouts"
	"github.com/hashicorp/terraform-plugin-framework-timetypes/timetypes"
	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/nhi-labs/terraform-provider-nhi/internal/audit"
	"github.com/nhi-labs/terraform-provider-nhi/internal/fleet"
	"github.com/nhi-labs/terraform-provider-nhi/internal/lifecycle"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
)

type identityModel struct {
	Name         types.String      `tfsdk:"name"`
	Kind         types.String      `tfsdk:"kind"`
	Owner        types.String      `tfsdk:"owner"`
	Purpose      types.String      `tfsdk:"purpose"`
	Enabled      types.Bool        `tfsdk:"enabled"`
	ExpiresAt    timetypes.RFC3339 `tfsdk:"expires_at"`
	OnDestroy    types.String      `tfsdk:"on_destroy"`
	Account      types.Set         `tfsdk:"account"`
	Accounts     types.Map         `tfsdk:"accounts"`
	AccountNames types.Map         `tfsdk:"account_names"`
	Pending      types.List        `tfsdk:"pending"`
	Undelivered  types.List        `tfsdk:"undelivered"`
	Timeouts     timeouts.Value    `tfsdk:"timeouts"`
}

// accountBlock is one account block. The settings of a kind are decoded by kind, so that a new kind changes nothing
// here.
type accountBlock struct {
	object   types.Object
	platform types.String
	name     types.String
	adopt    types.Bool
}

// path is where diagnostics about the block, or one of its attributes, point to.
func (b accountBlock) path(attribute ...string) path.Path {
	at := path.Root("account").AtSetValue(b.object)
	for _, a := range attribute {
		at = at.AtName(a)
	}
	return at
}

// accountName is the account's name, "" if it is not known.
func (b accountBlock) accountName(identity types.String) string {
	if known(b.name) {
		return b.name.ValueString()
	}
	if b.name.IsUnknown() {
		return ""
	}
	return identity.ValueString()
}

// settings returns the declared settings: those of the sub-block of the platform's kind.
func (b accountBlock) settings(kindName string) map[string]string {
	k, ok := kindsWithSettings()[kindName]
	if !ok {
		return nil
	}
	object, ok := b.object.Attributes()[kindName].(types.Object)
	if !ok {
		return nil
	}
	return k.settingsOf(object)
}

func (m identityModel) accountBlocks() []accountBlock {
	var out []accountBlock
	for _, element := range m.Account.Elements() {
		object, ok := element.(types.Object)
		if !ok || object.IsNull() || object.IsUnknown() {
			continue
		}
		b := accountBlock{object: object}
		b.platform, _ = object.Attributes()["platform"].(types.String)
		b.name, _ = object.Attributes()["name"].(types.String)
		b.adopt, _ = object.Attributes()["adopt"].(types.Bool)
		out = append(out, b)
	}
	slices.SortFunc(out, func(a, b accountBlock) int {
		return strings.Compare(a.platform.ValueString(), b.platform.ValueString())
	})
	return out
}

// expiry is expires_at, zero if it is not set or not known.
func (m identityModel) expiry() time.Time { return timeOf(m.ExpiresAt) }

func timeOf(value timetypes.RFC3339) time.Time {
	if !known(value) {
		return time.Time{}
	}
	at, diags := value.ValueRFC3339Time()
	if diags.HasError() {
		return time.Time{}
	}
	return at
}

// suspended reports whether the accounts are to be suspended now.
func (m identityModel) suspended(now time.Time) bool {
	expiry := m.expiry()
	disabled := known(m.Enabled) && !m.Enabled.ValueBool()
	return disabled || (!expiry.IsZero() && !now.Before(expiry))
}

// wish is the model in the words of package lifecycle, without the accounts on retired platforms: they count as gone.
func (m identityModel) wish(data *providerData) lifecycle.Identity {
	id := lifecycle.Identity{
		Name: m.Name.ValueString(), Accounts: make(map[string]lifecycle.Account),
		Suspended: m.suspended(data.now()), ExpiresAt: m.expiry(),
	}
	for _, b := range m.accountBlocks() {
		platform := b.platform.ValueString()
		if data.fleet.Retired(platform) {
			continue
		}
		account := lifecycle.Account{Name: b.accountName(m.Name), Adopt: b.adopt.ValueBool()}
		if p, err := data.fleet.Platform(platform); err == nil {
			account.Settings = b.settings(p.Spec().Kind)
		}
		id.Accounts[platform] = account
	}
	return id
}

func recordTypes() map[string]attr.Type {
	return map[string]attr.Type{
		"name": types.StringType, "id": types.StringType, "target": types.StringType, "status": types.StringType,
	}
}

// recordValue builds one element of accounts. An empty id or target is not known yet.
func recordValue(r lifecycle.Record) attr.Value {
	optional := func(text string) attr.Value {
		if text == "" {
			return types.StringUnknown()
		}
		return types.StringValue(text)
	}
	return types.ObjectValueMust(recordTypes(), map[string]attr.Value{
		"name": types.StringValue(r.Name), "id": optional(r.ID), "target": optional(r.Target),
		"status": optional(string(r.Status)),
	})
}

func recordsValue(records map[string]lifecycle.Record) types.Map {
	values := make(map[string]attr.Value, len(records))
	for platform, r := range records {
		values[platform] = recordValue(r)
	}
	return types.MapValueMust(types.ObjectType{AttrTypes: recordTypes()}, values)
}

// records is the reverse of recordsValue.
func (m identityModel) records() map[string]lifecycle.Record {
	out := make(map[string]lifecycle.Record)
	for platform, element := range m.Accounts.Elements() {
		object, ok := element.(types.Object)
		if !ok || !known(object) {
			continue
		}
		text := func(name string) string {
			s, _ := object.Attributes()[name].(types.String)
			return s.ValueString()
		}
		out[platform] = lifecycle.Record{
			Name: text("name"), ID: text("id"), Target: text("target"), Status: nhi.Status(text("status")),
		}
	}
	return out
}

// record sets the computed attributes from what is known of the accounts.
func (m *identityModel) record(records map[string]lifecycle.Record, pending []string) {
	m.Accounts = recordsValue(records)
	m.AccountNames = m.accountNames()
	m.Pending = stringList(pending)
}

// identityFailed stands in pending of an identity whose creation has failed, and that is in state only because something could not be
// taken back, or because events wait: see creationFailed, which is the same for rotations.
const identityFailed = "replace: creating the identity failed; what it had made goes first, and nothing else"

// failed reports whether the identity was not created. It then owns nothing but what is recorded: accounts with its mark that are
// there all the same were there before, as where state was lost.
func (m identityModel) failed() bool {
	return slices.Contains(knownStrings(m.Pending.Elements()), identityFailed)
}

// accountNames is the computed attribute of that name: it follows from the configuration alone.
func (m identityModel) accountNames() types.Map {
	names := make(map[string]string)
	for _, b := range m.accountBlocks() {
		if name := b.accountName(m.Name); name != m.Name.ValueString() {
			names[b.platform.ValueString()] = name
		}
	}
	return stringMap(names)
}

// refreshSettings shows in state the observed values of the settings that are declared.
func (m *identityModel) refreshSettings(observed map[string]nhi.Account) {
	withSettings := kindsWithSettings()
	elements := make([]attr.Value, 0, len(m.Account.Elements()))
	for _, b := range m.accountBlocks() {
		account, ok := observed[b.platform.ValueString()]
		if !ok {
			elements = append(elements, b.object)
			continue
		}
		attributes := b.object.Attributes()
		for name := range withSettings {
			if object, ok := attributes[name].(types.Object); ok && known(object) {
				attributes[name] = refreshed(object, account.Settings)
			}
		}
		elements = append(elements, types.ObjectValueMust(b.object.AttributeTypes(nil), attributes)) //nolint:staticcheck // it ignores the context
	}
	m.Account = types.SetValueMust(m.Account.ElementType(context.Background()), elements)
}

// refreshed replaces what is declared by what is observed. A text that the platform leaves out is empty there.
func refreshed(settings types.Object, observed map[string]string) types.Object {
	attributes := settings.Attributes()
	for name, declared := range attributes {
		text := observed[name]
		if want, set := settingText(declared); set && want != text {
			attributes[name] = settingValue(declared, text)
		}
	}
	return types.ObjectValueMust(settings.AttributeTypes(context.Background()), attributes)
}

// operation is what the evidence of an operation on the identity says of it.
func (m identityModel) operation() audit.Operation {
	identity := audit.Identity{Name: m.Name.ValueString(), Kind: m.Kind.ValueString(), Owner: m.Owner.ValueString()}
	return audit.NewOperation("nhi_identity", identity, "")
}

// report turns problems into diagnostics, each on the account block of its platform where there is one.
func (m identityModel) report(verb string, problems lifecycle.Problems, diags *diag.Diagnostics) {
	for _, p := range problems {
		summary := fmt.Sprintf("Unable to %s identity %q on platform %q", verb, m.Name.ValueString(), p.Platform)
		detail := p.Err.Error() + advice(verb)
		i := slices.IndexFunc(m.accountBlocks(), func(b accountBlock) bool { return b.platform.ValueString() == p.Platform })
		if i < 0 {
			diags.AddError(summary, detail)
			continue
		}
		diags.AddAttributeError(m.accountBlocks()[i].path(), summary, detail)
	}
}

// reportRemade says which accounts are not those that the plan knew: they were deleted before it was applied, and are made
// again. Terraform would call that a bug of the provider.
func (m identityModel) reportRemade(records map[string]lifecycle.Record, diags *diag.Diagnostics) {
	for platform, planned := range m.records() {
		now, there := records[platform]
		if !there || planned.ID == "" || planned.ID == now.ID {
			continue
		}
		diags.AddAttributeError(path.Root("accounts").AtMapKey(platform), fmt.Sprintf("Account %q on platform %q was deleted meanwhile",
			now.Name, platform), fmt.Sprintf("The account with the id %q was deleted outside Terraform after this plan was made. It is there again "+
			"with the id %q, as declared, but without what grants and rotations gave it. Run again: the next plan shows what that is.",
			planned.ID, now.ID))
	}
}

// reportStatuses says which accounts that the provider cannot suspend are not in the status that the plan knew.
func (m identityModel) reportStatuses(f *fleet.Fleet, records map[string]lifecycle.Record, diags *diag.Diagnostics) {
	for platform, planned := range m.records() {
		configured, err := f.Platform(platform)
		now, there := records[platform]
		if err != nil || configured.Abilities().Suspend || !there || planned.Status == "" || planned.Status == now.Status {
			continue
		}
		what := "suspended"
		if now.Status != nhi.Suspended {
			what = "resumed"
		}
		diags.AddAttributeError(path.Root("accounts").AtMapKey(platform), fmt.Sprintf("Account %q on platform %q was %s meanwhile",
			now.Name, platform, what), "That was done outside Terraform after this plan was made, or was not seen because the plan did not "+
			"refresh. Run again: the next plan knows it.")
	}
}

// advice says what a user can do next, where that does not follow from the error itself.
func advice(verb string) string {
	switch verb {
	case "read":
		return "\n\nNothing is assumed about what could not be read. To remove or suspend access elsewhere while this platform is " +
			"unavailable, run the plan, apply or destroy with -refresh=false."
	case "delete", "update":
		return "\n\nThe other platforms were not held up. What is left to do here is kept in state; run again to finish it."
	default:
		return ""
	}
}

// onlyUnconfigured reports whether every problem is that a platform's configuration is not known yet.
func onlyUnconfigured(problems lifecycle.Problems) bool {
	for _, p := range problems {
		if !errors.Is(p.Err, fleet.ErrNotConfigured) {
			return false
		}
	}
	return len(problems) > 0
}

func warnUnconfigured(problems lifecycle.Problems, resourceType, name string, diags *diag.Diagnostics) {
	diags.AddWarning(fmt.Sprintf("%s %q was not refreshed everywhere", resourceType, name), fmt.Sprintf(
		"The configuration of %s is not known yet because it depends on something that has not been applied. "+
			"What state records of it is used as it is; apply and plan again.", strings.Join(problems.Platforms(), ", ")))
}

// pendingOn is what is pending on a platform that could not be asked, without what waits for audit sinks: a platform may be
// named "audit".
func pendingOn(platform string, pending, undelivered types.List) []string {
	waiting := audit.Words(stringsIn(undelivered))
	return slices.DeleteFunc(stringsIn(pending), func(words string) bool {
		return !strings.HasPrefix(words, platform+": ") || slices.Contains(waiting, words)
	})
}

// copyIfThere copies one entry of a map, if there is one.
func copyIfThere(to, from map[string]string, key string) {
	if value, ok := from[key]; ok {
		to[key] = value
	}
}

// removedPlatforms lists platforms with an account in state that the plan no longer has, or has under another name.
func removedPlatforms(recorded map[string]lifecycle.Record, wish lifecycle.Identity) []string {
	var out []string
	for _, platform := range slices.Sorted(maps.Keys(recorded)) {
		account, declared := wish.Accounts[platform]
		if !declared || account.Name != recorded[platform].Name {
			out = append(out, platform)
		}
	}
	return out
}
