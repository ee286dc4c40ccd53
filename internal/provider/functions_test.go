package provider

import (
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/function"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
)

// call runs a function.
func call(t *testing.T, f function.Function, arguments ...attr.Value) (attr.Value, *function.FuncError) {
	t.Helper()
	var definition function.DefinitionResponse
	f.Definition(t.Context(), function.DefinitionRequest{}, &definition)
	result, err := definition.Definition.Return.NewResultData(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	resp := function.RunResponse{Result: result}
	f.Run(t.Context(), function.RunRequest{Arguments: function.NewArgumentsData(arguments)}, &resp)
	return resp.Result.Value(), resp.Error
}

func TestEntitlementFunction(t *testing.T) {
	null := types.StringNull()
	text := types.StringValue
	for _, test := range []struct {
		typeName, target string
		permission       types.String
		want             string // the text, or with an argument, part of what is said
		argument         int64
	}{
		{"table", "finance.invoices", text("select"), "table:finance.invoices#select", -1},
		{"role", "reporting", null, "role:reporting", -1},
		{"role", "reporting", text(""), "role:reporting", -1},
		{"group", "a#b:c", null, "group:a#b:c", -1},
		{"project", "BILL", text("Lead Developer"), "project:BILL#Lead Developer", -1},
		{"owner", "table finance.invoices", null, "owner:table finance.invoices", -1},
		{"tabel", "finance.invoices", text("select"), `did you mean "table"?`, argType},
		{"", "x", null, `no kind of platform has the type ""`, argType},
		{"role:x", "y", null, `no kind of platform has the type "role:x"`, argType},
		{"role", "", null, "names no target", argTarget},
		{"role", " x", null, "white space", argTarget},
		{"table", "invoices", text("select"), "", argTarget},
		{"table", "finance.invoices", null, "needs a permission", argPermission},
		{"table", "finance.invoices", text("SELECT"), `write "table:finance.invoices#select"`, argPermission},
		{"table", "finance.invoices", text("sele"), "unknown permission", argPermission},
		{"project", "BILL", text("a#b"), `has no "#"`, argPermission},
		{"role", "reporting", text("x"), `has no permission`, argPermission},
	} {
		got, err := call(t, newEntitlementFunction(), text(test.typeName), text(test.target), test.permission)
		name := test.typeName + ", " + test.target + ", " + test.permission.String()
		switch {
		case test.argument < 0 && (err != nil || !got.Equal(text(test.want))):
			t.Errorf("%s: %s, error %v", name, got, err)
		case test.argument >= 0 && (err == nil || err.FunctionArgument == nil || *err.FunctionArgument != test.argument ||
			!strings.Contains(err.Text, test.want)):
			t.Errorf("%s: %s, error %+v, want %q on argument %d", name, got, err, test.want, test.argument)
		}
	}
}

// TestFunctionsAreInverse takes every example of every kind apart and puts it together again.
func TestFunctionsAreInverse(t *testing.T) {
	n := 0
	for _, spec := range Specs() {
		for _, row := range spec.Grammar.Types {
			n++
			parsed, err := call(t, newParseFunction(), types.StringValue(row.Example))
			if err != nil {
				t.Errorf("%s: %v", row.Example, err)
				continue
			}
			object, ok := parsed.(types.Object)
			if !ok {
				t.Fatalf("%s gives %T", row.Example, parsed)
			}
			parts := object.Attributes()
			if takesPermission(row) == parts["permission"].IsNull() {
				t.Errorf("%s: the permission is %s", row.Example, parts["permission"])
			}
			again, err := call(t, newEntitlementFunction(), parts["type"], parts["target"], parts["permission"])
			if err != nil || !again.Equal(types.StringValue(row.Example)) {
				t.Errorf("%s becomes %s, error %v", row.Example, again, err)
			}
		}
	}
	if n < 20 {
		t.Errorf("only %d types", n)
	}
}

func TestParseFunctionRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"": "write type:target", "reporting": "write type:target", "tabel:x": `did you mean "table"?`, "role:": "names no target",
		"table:finance.invoices": "lacks the permission", "table:finance.invoices#SELECT": `write "table:finance.invoices#select"`,
	} {
		_, err := call(t, newParseFunction(), types.StringValue(text))
		if err == nil || err.FunctionArgument == nil || *err.FunctionArgument != 0 || !strings.Contains(err.Text, want) {
			t.Errorf("%q: error %+v, want %q", text, err, want)
		}
	}
}

// TestTypesAgree holds that a type that several kinds have is taken apart in one way: parse_entitlement does not know the
// platform.
func TestTypesAgree(t *testing.T) {
	seen := map[string]nhi.EntitlementType{}
	for _, spec := range Specs() {
		for _, row := range spec.Grammar.Types {
			if other, ok := seen[row.Name]; ok && takesPermission(other) != takesPermission(row) {
				t.Errorf("the type %q has a permission on some kinds of platforms and none on others", row.Name)
			}
			seen[row.Name] = row
		}
	}
}
