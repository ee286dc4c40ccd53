package provider

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/terraform-plugin-framework-timetypes/timetypes"
	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/resource/identityschema"
	"github.com/hashicorp/terraform-plugin-framework/tfsdk"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/nhi-labs/terraform-provider-nhi/internal/lifecycle"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
)

// importedKey marks in private state a resource that was imported and not yet applied: its accounts may carry no mark.
const importedKey = "imported"

// parseImportID reads "name" or "name:platform=account,platform=account". Account names may be left out:
// "name:platform,platform".
func parseImportID(id string) (name string, accounts map[string]string, err error) {
	name, rest, found := strings.Cut(id, ":")
	if err := nhi.CheckIdentityName(name); err != nil {
		return "", nil, err
	}
	if !found {
		return name, nil, nil
	}
	if accounts, err = parseAccounts(name, strings.Split(rest, ",")); err != nil {
		return "", nil, err
	}
	return name, accounts, nil
}

// parseAccounts reads texts "platform=account", or "platform" for an account that is named like the identity.
func parseAccounts(identity string, texts []string) (map[string]string, error) {
	accounts := make(map[string]string, len(texts))
	for _, text := range texts {
		platform, account, named := strings.Cut(text, "=")
		if !named {
			account = identity
		}
		if platform == "" || account == "" {
			return nil, fmt.Errorf("%q is not platform=account", text)
		}
		if _, twice := accounts[platform]; twice {
			return nil, fmt.Errorf("platform %q is named twice", platform)
		}
		accounts[platform] = account
	}
	return accounts, nil
}

// importTarget is what an import names, by resource identity or by id.
type importTarget struct {
	name        string
	accounts    map[string]string // by platform; nil: wherever the identity has one
	kind, owner types.String      // null but in the resource identity of an nhi_identity
}

func readImportTarget(ctx context.Context, req resource.ImportStateRequest, attribute string, diags *diag.Diagnostics) importTarget {
	if req.ID == "" && req.Identity != nil {
		return importTargetOfIdentity(ctx, req.Identity, attribute, diags)
	}
	name, accounts, err := parseImportID(req.ID)
	if err != nil {
		diags.AddError("Invalid import id", fmt.Sprintf("%v. Write the identity's name to import it wherever it has an account, or "+
			"name the accounts: \"billing-agent:warehouse=svc_billing,secrets=billing-agent\".", err))
	}
	return importTarget{name: name, accounts: accounts}
}

func importTargetOfIdentity(ctx context.Context, identity *tfsdk.ResourceIdentity, attribute string, diags *diag.Diagnostics) importTarget {
	var name types.String
	var accounts types.List
	var t importTarget
	diags.Append(identity.GetAttribute(ctx, path.Root(attribute), &name)...)
	diags.Append(identity.GetAttribute(ctx, path.Root(accountsKey), &accounts)...)
	if attribute == "name" {
		diags.Append(identity.GetAttribute(ctx, path.Root("kind"), &t.kind)...)
		diags.Append(identity.GetAttribute(ctx, path.Root("owner"), &t.owner)...)
	}
	t.name = name.ValueString()
	err := nhi.CheckIdentityName(t.name)
	if list := knownStrings(accounts.Elements()); err == nil && len(list) > 0 {
		t.accounts, err = parseAccounts(t.name, list)
	}
	if err != nil {
		diags.AddError("Invalid resource identity", fmt.Sprintf("%v. An account is written platform=account, for example "+
			"accounts = [\"warehouse=svc_billing\"].", err))
	}
	return t
}

// accountsKey is the attribute of resource identities that names accounts.
const accountsKey = "accounts"

func accountsIdentityAttribute() identityschema.ListAttribute {
	return identityschema.ListAttribute{
		OptionalForImport: true, ElementType: types.StringType,
		Description: "For an import: the accounts, each as platform=account. Without it, those with the identity's mark or name. " +
			"Not kept in state.",
	}
}

// identityVersion is the version of resource identities with what an import needs. Version 0 was the name alone.
const identityVersion = 1

// fromNameAlone upgrades resource identities of version 0, whose only attribute is given.
func fromNameAlone(attribute string, full func(name types.String) any) map[int64]resource.IdentityUpgrader {
	prior := identityschema.Schema{Attributes: map[string]identityschema.Attribute{attribute: identityschema.StringAttribute{RequiredForImport: true}}}
	return map[int64]resource.IdentityUpgrader{0: {
		PriorSchema: &prior,
		IdentityUpgrader: func(ctx context.Context, req resource.UpgradeIdentityRequest, resp *resource.UpgradeIdentityResponse) {
			var name types.String
			resp.Diagnostics.Append(req.Identity.GetAttribute(ctx, path.Root(attribute), &name)...)
			resp.Diagnostics.Append(resp.Identity.Set(ctx, full(name))...)
		},
	}}
}

// accountTexts is the reverse of parseAccounts.
func accountTexts(records map[string]lifecycle.Record) types.List {
	texts := make([]string, 0, len(records))
	for _, platform := range slices.Sorted(maps.Keys(records)) {
		texts = append(texts, platform+"="+records[platform].Name)
	}
	return stringList(texts)
}

// ImportState finds the identity's accounts. It changes nothing on any platform.
func (r *identityResource) ImportState(ctx context.Context, req resource.ImportStateRequest, resp *resource.ImportStateResponse) {
	defer recovered(ctx, &resp.Diagnostics)
	target := readImportTarget(ctx, req, "name", &resp.Diagnostics)
	if resp.Diagnostics.HasError() {
		return
	}
	state := identityModel{Name: types.StringValue(target.name), Kind: target.kind, Owner: target.owner}
	records, accounts, problems := lifecycle.Locate(ctx, r.data.fleet, target.name, target.accounts)
	state.report("import", problems, &resp.Diagnostics)
	if len(records) == 0 && len(problems) == 0 {
		resp.Diagnostics.AddError("Nothing to import", fmt.Sprintf("No configured platform (%s) has an account of identity %q: none "+
			"carries its mark, and none is named like it. If its accounts have other names, give them in the import id: %q.",
			strings.Join(r.data.fleet.Names(), ", "), target.name, target.name+":platform=account"))
	}
	if resp.Diagnostics.HasError() {
		return
	}
	state.importAccounts(records, accounts, accountType(resp.State.Schema.Type()))
	resp.Diagnostics.Append(setAll(ctx, &resp.State, state.imported())...)
	resp.Diagnostics.Append(resp.Private.SetKey(ctx, importedKey, []byte("true"))...)
	resp.Diagnostics.Append(resp.Identity.Set(ctx, identityIdentity{Name: state.Name, Accounts: types.ListNull(types.StringType)})...)
}

// imported are the attributes that an import sets.
func (m identityModel) imported() map[string]attr.Value {
	return map[string]attr.Value{
		"name": m.Name, "kind": m.Kind, "owner": m.Owner, "enabled": m.Enabled, "expires_at": m.ExpiresAt, "on_destroy": m.OnDestroy,
		"account": m.Account, "accounts": m.Accounts, "account_names": m.AccountNames, "pending": m.Pending,
	}
}

// accountType is the type of an account block. It is read from the schema, because every kind adds to it.
func accountType(resourceType attr.Type) types.ObjectType {
	object, _ := resourceType.(types.ObjectType)
	set, _ := object.AttrTypes["account"].(types.SetType)
	element, _ := set.ElemType.(types.ObjectType)
	return element
}

// importAccounts fills what follows from the accounts that were found.
func (m *identityModel) importAccounts(records map[string]lifecycle.Record, accounts map[string]nhi.Account, block types.ObjectType) {
	enabled := false
	elements := make([]attr.Value, 0, len(records))
	for platform, r := range records {
		enabled = enabled || r.Status == nhi.Active
		elements = append(elements, accountElement(block, platform, r.Name, m.Name.ValueString()))
	}
	m.Account = types.SetValueMust(block, elements)
	m.Enabled = types.BoolValue(enabled)
	m.ExpiresAt = firstExpiry(accounts)
	m.OnDestroy = types.StringValue(onDestroyDelete)
	m.record(records, nil)
}

// firstExpiry is the earliest native expiry of the accounts, null if none has one. Where they differ, pending says so: an
// import prolongs nothing.
func firstExpiry(accounts map[string]nhi.Account) timetypes.RFC3339 {
	var first time.Time
	for _, a := range accounts {
		if !a.ExpiresAt.IsZero() && (first.IsZero() || a.ExpiresAt.Before(first)) {
			first = a.ExpiresAt.UTC().Truncate(time.Second)
		}
	}
	if first.IsZero() {
		return timetypes.NewRFC3339Null()
	}
	return timetypes.NewRFC3339TimeValue(first)
}

// accountElement builds an account block with nothing in it but the platform, and the name if it is not the identity's.
func accountElement(t types.ObjectType, platform, name, identity string) attr.Value {
	attributes := make(map[string]attr.Value, len(t.AttrTypes))
	for attribute, attributeType := range t.AttrTypes {
		attributes[attribute] = nullOf(attributeType)
	}
	attributes["platform"] = types.StringValue(platform)
	if name != identity {
		attributes["name"] = types.StringValue(name)
	}
	return types.ObjectValueMust(t.AttrTypes, attributes)
}

func nullOf(t attr.Type) attr.Value {
	switch t := t.(type) {
	case types.ObjectType:
		return types.ObjectNull(t.AttrTypes)
	default:
		switch {
		case t.Equal(types.BoolType):
			return types.BoolNull()
		case t.Equal(types.Int64Type):
			return types.Int64Null()
		default:
			return types.StringNull()
		}
	}
}
