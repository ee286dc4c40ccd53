package provider

import (
	"context"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/providerserver"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-go/tftypes"

	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
)

func loadSchema(t *testing.T) *tfprotov6.GetProviderSchemaResponse {
	t.Helper()
	server, err := providerserver.NewProtocol6WithError(New("test", time.Now)())()
	if err != nil {
		t.Fatal(err)
	}
	schema, err := server.GetProviderSchema(t.Context(), &tfprotov6.GetProviderSchemaRequest{})
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range schema.Diagnostics {
		t.Fatalf("%s: %s", d.Summary, d.Detail)
	}
	return schema
}

// visit calls f for every attribute and block below b, with its path.
func visit(at string, b *tfprotov6.SchemaBlock, f func(at, name, description string, required bool)) {
	for _, a := range b.Attributes {
		f(at+"."+a.Name, a.Name, a.Description, a.Required)
		if a.NestedType != nil {
			visit(at+"."+a.Name, &tfprotov6.SchemaBlock{Attributes: a.NestedType.Attributes}, f)
		}
	}
	for _, nested := range b.BlockTypes {
		f(at+"."+nested.TypeName, nested.TypeName, nested.Block.Description, false)
		visit(at+"."+nested.TypeName, nested.Block, f)
	}
}

func TestSchema(t *testing.T) {
	schema := loadSchema(t)
	if diff := cmp.Diff([]string{"nhi_grant", "nhi_identity", "nhi_rotation"}, slices.Sorted(maps.Keys(schema.ResourceSchemas))); diff != "" {
		t.Errorf("resources (-want +got):\n%s", diff)
	}
	ephemerals := slices.Sorted(maps.Keys(schema.EphemeralResourceSchemas))
	if diff := cmp.Diff([]string{"nhi_credential", "nhi_token"}, ephemerals); diff != "" {
		t.Errorf("ephemeral resources (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"nhi_grant", "nhi_identity"}, slices.Sorted(maps.Keys(schema.ListResourceSchemas))); diff != "" {
		t.Errorf("list resources (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"nhi_resume", "nhi_rotate", "nhi_suspend"}, slices.Sorted(maps.Keys(schema.ActionSchemas))); diff != "" {
		t.Errorf("actions (-want +got):\n%s", diff)
	}
	blocks := map[string]*tfprotov6.SchemaBlock{"provider": schema.Provider.Block}
	for name, s := range schema.ListResourceSchemas {
		blocks["list "+name] = s.Block
	}
	for name, s := range schema.ActionSchemas {
		blocks["action "+name] = s.Schema.Block
	}
	for name, s := range schema.ResourceSchemas {
		blocks[name] = s.Block
	}
	for name, s := range schema.EphemeralResourceSchemas {
		blocks[name] = s.Block
	}
	for name, block := range blocks {
		if block.Description == "" {
			t.Errorf("%s has no description", name)
		}
		visit(name, block, func(at, _, description string, _ bool) {
			if description == "" && !strings.HasSuffix(at, ".timeouts") { // the library's own block
				t.Errorf("%s has no description", at)
			}
		})
	}
}

// TestReservedNames: Terraform keeps names at the top of resources and of the provider for itself.
func TestReservedNames(t *testing.T) {
	schema := loadSchema(t)
	check := func(where string, b *tfprotov6.SchemaBlock, reserved ...string) {
		for _, a := range b.Attributes {
			if slices.Contains(reserved, a.Name) {
				t.Errorf("%s.%s", where, a.Name)
			}
		}
		for _, nested := range b.BlockTypes {
			if slices.Contains(reserved, nested.TypeName) {
				t.Errorf("%s.%s", where, nested.TypeName)
			}
		}
	}
	check("provider", schema.Provider.Block, "alias", "version")
	for name, s := range schema.ResourceSchemas {
		check(name, s.Block, "connection", "count", "depends_on", "for_each", "lifecycle", "provider", "provisioner", "id")
	}
	// The kinds' sub-blocks stand beside these attributes of an account block.
	for _, k := range kinds() {
		if slices.Contains([]string{"platform", "name", "adopt", "audit"}, k.spec.Kind) || nhi.CheckPlatformName(k.spec.Kind) != nil {
			t.Errorf("a kind is named %q", k.spec.Kind)
		}
	}
}

// TestKinds holds every kind's schema, settings and grammar against each other.
func TestKinds(t *testing.T) {
	common := slices.Collect(maps.Keys(commonAttributes()))
	seen := map[string]bool{}
	for _, k := range kinds() {
		if seen[k.spec.Kind] || k.spec.Title == "" || k.spec.Evidence == "" || k.description == "" {
			t.Errorf("kind %q is repeated or lacks a text", k.spec.Kind)
		}
		seen[k.spec.Kind] = true
		var settings []string
		for _, s := range k.spec.Settings {
			settings = append(settings, s.Name)
			if s.Description == "" {
				t.Errorf("%s: setting %s has no description", k.spec.Kind, s.Name)
			}
		}
		slices.Sort(settings)
		if diff := cmp.Diff(settings, slices.Sorted(maps.Keys(k.settings))); diff != "" {
			t.Errorf("%s: settings (-spec +schema):\n%s", k.spec.Kind, diff)
		}
		for name := range k.attributes {
			if slices.Contains(common, name) {
				t.Errorf("%s: attribute %s is common to all kinds", k.spec.Kind, name)
			}
		}
		checkGrammar(t, k.spec.Kind, k.spec.Grammar)
	}
}

func checkGrammar(t *testing.T, kind string, g nhi.Grammar) {
	t.Helper()
	seen := map[string]bool{}
	for _, row := range g.Types {
		if seen[row.Name] || row.Name == "" || row.Description == "" || row.Example == "" || slices.Contains([]byte(row.Name), ':') {
			t.Errorf("%s: entitlement type %q is repeated or lacks a text", kind, row.Name)
		}
		seen[row.Name] = true
		if e, err := g.ParseObserved(row.Example); err != nil || e.Type != row.Name || e.String() != row.Example {
			t.Errorf("%s: the example %q is %v, %v", kind, row.Example, e, err)
		}
		if _, err := g.Parse(row.Example); (err == nil) != (row.Observed == "") {
			t.Errorf("%s: the example %q: %v", kind, row.Example, err)
		}
	}
}

// nullObject is an object of a type with nothing in it.
func nullObject(t *testing.T, objectType types.ObjectType, set map[string]attr.Value) types.Object {
	t.Helper()
	attributes := map[string]attr.Value{}
	for name, of := range objectType.AttrTypes {
		value, err := of.ValueFromTerraform(t.Context(), tftypes.NewValue(of.TerraformType(t.Context()), nil))
		if err != nil {
			t.Fatal(err)
		}
		attributes[name] = value
	}
	maps.Copy(attributes, set)
	object, diags := types.ObjectValue(objectType.AttrTypes, attributes)
	if diags.HasError() {
		t.Fatal(diags)
	}
	return object
}

func blockType(t *testing.T, kind string) types.ObjectType {
	t.Helper()
	list, ok := platformBlocks()[kind].Type().(types.ListType)
	if !ok {
		t.Fatalf("%s is no list", kind)
	}
	object, ok := list.ElemType.(types.ObjectType)
	if !ok {
		t.Fatalf("%s is no list of objects", kind)
	}
	return object
}

// TestModels: a model that lacks an attribute of its schema, or has one too many, cannot be decoded.
func TestModels(t *testing.T) {
	for _, k := range kinds() {
		var diags diag.Diagnostics
		name := types.StringValue("p")
		object := nullObject(t, blockType(t, k.spec.Kind), map[string]attr.Value{"name": name})
		config := k.config(t.Context(), platformBlock{path.Root(k.spec.Kind).AtListIndex(0), object, name}, &fleetLater{}, &diags)
		for _, d := range diags {
			if d.Summary() == "Value Conversion Error" {
				t.Errorf("%s: %s", k.spec.Kind, d.Detail())
			}
		}
		if config.Open == nil || config.Name != "p" || config.Spec.Kind != k.spec.Kind {
			t.Errorf("%s: config %+v", k.spec.Kind, config)
		}
		// What is not known yet cannot be opened yet, and is no error.
		diags = nil
		unknown := nullObject(t, blockType(t, k.spec.Kind), map[string]attr.Value{"name": name, "max_concurrency": types.Int64Unknown()})
		config = k.config(t.Context(), platformBlock{path.Root(k.spec.Kind).AtListIndex(0), unknown, name}, &fleetLater{}, &diags)
		if config.Open != nil || len(diags) > 0 {
			t.Errorf("%s, not known: %+v, %v", k.spec.Kind, config, diags)
		}
	}
}

func schemaOf(t *testing.T, r resource.Resource) resource.SchemaResponse {
	t.Helper()
	var resp resource.SchemaResponse
	r.Schema(context.Background(), resource.SchemaRequest{}, &resp)
	if resp.Diagnostics.HasError() {
		t.Fatal(resp.Diagnostics)
	}
	return resp
}

// TestImportedAccountBlock: import builds account blocks without a configuration.
func TestImportedAccountBlock(t *testing.T) {
	block := accountType(schemaOf(t, newIdentityResource()).Schema.Type())
	for name, want := range map[string]types.String{"billing": types.StringNull(), "svc": types.StringValue("svc")} {
		element := accountElement(block, "warehouse", name, "billing")
		if !element.Type(t.Context()).Equal(block) {
			t.Errorf("type %s", element.Type(t.Context()))
		}
		object := nullObject(t, block, map[string]attr.Value{"platform": types.StringValue("warehouse"), "name": want})
		if !element.Equal(object) {
			t.Errorf("block %s, want %s", element, object)
		}
	}
}

func TestSettingTexts(t *testing.T) {
	for text, value := range map[string]attr.Value{"a": types.StringValue("a"), "-1": types.Int64Value(-1), "true": types.BoolValue(true)} {
		got, ok := settingText(value)
		if !ok || got != text || !settingValue(value, text).Equal(value) {
			t.Errorf("%s: text %q, value %s", value, got, settingValue(value, text))
		}
	}
	for _, value := range []attr.Value{types.StringNull(), types.Int64Unknown(), types.ListNull(types.StringType)} {
		if text, ok := settingText(value); ok {
			t.Errorf("%s has the text %q", value, text)
		}
	}
	if got := settingValue(types.Int64Value(5), "many"); !got.Equal(types.Int64Value(5)) {
		t.Errorf("a text that is no number: %s", got)
	}
}
