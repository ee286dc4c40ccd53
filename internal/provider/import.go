package provider

import (
	"context"
	"fmt"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"
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
	accounts = make(map[string]string)
	for part := range strings.SplitSeq(rest, ",") {
		platform, account, named := strings.Cut(part, "=")
		if !named {
			account = name
		}
		if platform == "" || account == "" {
			return "", nil, fmt.Errorf("%q is not platform=account", part)
		}
		if _, twice := accounts[platform]; twice {
			return "", nil, fmt.Errorf("platform %q is named twice", platform)
		}
		accounts[platform] = account
	}
	return name, accounts, nil
}

// importTarget returns what an import names, by resource identity or by id.
func importTarget(ctx context.Context, req resource.ImportStateRequest, attribute string, diags *diag.Diagnostics) (string, map[string]string) {
	id := req.ID
	if id == "" && req.Identity != nil {
		var name types.String
		diags.Append(req.Identity.GetAttribute(ctx, path.Root(attribute), &name)...)
		id = name.ValueString()
	}
	name, accounts, err := parseImportID(id)
	if err != nil {
		diags.AddError("Invalid import id", fmt.Sprintf("%v. Write the identity's name to import it wherever it has an account, or "+
			"name the accounts: \"billing-agent:warehouse=svc_billing,secrets=billing-agent\".", err))
	}
	return name, accounts
}

// ImportState finds the identity's accounts. It changes nothing on any platform.
func (r *identityResource) ImportState(ctx context.Context, req resource.ImportStateRequest, resp *resource.ImportStateResponse) {
	defer guard(&resp.Diagnostics)
	name, given := importTarget(ctx, req, "name", &resp.Diagnostics)
	if resp.Diagnostics.HasError() {
		return
	}
	state := identityModel{Name: types.StringValue(name)}
	records, problems := lifecycle.Locate(ctx, r.data.fleet, name, given)
	state.report("import", problems, &resp.Diagnostics)
	if len(records) == 0 && len(problems) == 0 {
		resp.Diagnostics.AddError("Nothing to import", fmt.Sprintf("No configured platform (%s) has an account of identity %q: none "+
			"carries its mark, and none is named like it. If its accounts have other names, give them in the import id: %q.",
			strings.Join(r.data.fleet.Names(), ", "), name, name+":platform=account"))
	}
	if resp.Diagnostics.HasError() {
		return
	}
	state.importAccounts(records, accountType(resp.State.Schema.Type()))
	resp.Diagnostics.Append(setAll(ctx, &resp.State, map[string]attr.Value{
		"name": state.Name, "enabled": state.Enabled, "on_destroy": state.OnDestroy, "account": state.Account,
		"accounts": state.Accounts, "account_names": state.AccountNames, "pending": state.Pending,
	})...)
	resp.Diagnostics.Append(resp.Private.SetKey(ctx, importedKey, []byte("true"))...)
	resp.Diagnostics.Append(resp.Identity.SetAttribute(ctx, path.Root("name"), state.Name)...)
}

// accountType is the type of an account block. It is read from the schema, because every kind adds to it.
func accountType(resourceType attr.Type) types.ObjectType {
	object, _ := resourceType.(types.ObjectType)
	set, _ := object.AttrTypes["account"].(types.SetType)
	element, _ := set.ElemType.(types.ObjectType)
	return element
}

// importAccounts fills what follows from the accounts that were found.
func (m *identityModel) importAccounts(records map[string]lifecycle.Record, block types.ObjectType) {
	enabled := false
	elements := make([]attr.Value, 0, len(records))
	for platform, r := range records {
		enabled = enabled || r.Status == nhi.Active
		elements = append(elements, accountElement(block, platform, r.Name, m.Name.ValueString()))
	}
	m.Account = types.SetValueMust(block, elements)
	m.Enabled = types.BoolValue(enabled)
	m.OnDestroy = types.StringValue(onDestroyDelete)
	m.record(records, nil)
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
