package provider

import (
	"context"
	"fmt"
	"slices"

	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/types"
)

// known reports whether a value is there and known.
func known(v attr.Value) bool { return !v.IsNull() && !v.IsUnknown() }

// knownStrings returns the known strings among values, sorted.
func knownStrings(values []attr.Value) []string {
	var out []string
	for _, v := range values {
		if s, ok := v.(types.String); ok && known(s) {
			out = append(out, s.ValueString())
		}
	}
	slices.Sort(out)
	return out
}

// stringSet builds a set of strings; never null.
func stringSet(texts []string) types.Set {
	values := make([]attr.Value, len(texts))
	for i, text := range texts {
		values[i] = types.StringValue(text)
	}
	return types.SetValueMust(types.StringType, values)
}

// stringList builds a list of strings; never null.
func stringList(texts []string) types.List {
	values := make([]attr.Value, len(texts))
	for i, text := range texts {
		values[i] = types.StringValue(text)
	}
	return types.ListValueMust(types.StringType, values)
}

// stringMap builds a map of strings; never null.
func stringMap(m map[string]string) types.Map {
	values := make(map[string]attr.Value, len(m))
	for k, v := range m {
		values[k] = types.StringValue(v)
	}
	return types.MapValueMust(types.StringType, values)
}

// mapOfStrings is the reverse of stringMap; unknown and null elements are left out.
func mapOfStrings(m types.Map) map[string]string {
	out := make(map[string]string)
	for k, v := range m.Elements() {
		if s, ok := v.(types.String); ok && known(s) {
			out[k] = s.ValueString()
		}
	}
	return out
}

// addErrorAt adds err as a diagnostic on an attribute; nil adds nothing.
func addErrorAt(diags *diag.Diagnostics, at path.Path, summary string, err error) {
	if err != nil {
		diags.AddAttributeError(at, summary, err.Error())
	}
}

// configured returns the provider data, nil while the provider is not configured (validation).
func configured(data any, diags *diag.Diagnostics) *providerData {
	if data == nil {
		return nil
	}
	d, ok := data.(*providerData)
	if !ok {
		diags.AddError("Unexpected provider data", fmt.Sprintf("This is a bug of the provider: got %T.", data))
		return nil
	}
	return d
}

// setAll sets several attributes of a plan or state.
type attributeSetter interface {
	SetAttribute(ctx context.Context, at path.Path, value any) diag.Diagnostics
}

func setAll(ctx context.Context, target attributeSetter, values map[string]attr.Value) diag.Diagnostics {
	var diags diag.Diagnostics
	for name, value := range values {
		diags.Append(target.SetAttribute(ctx, path.Root(name), value)...)
	}
	return diags
}
