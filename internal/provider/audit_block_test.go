package provider

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/provider"
	"github.com/hashicorp/terraform-plugin-framework/tfsdk"
	"github.com/hashicorp/terraform-plugin-go/tftypes"

	"github.com/nhi-labs/terraform-provider-nhi/internal/audit"
)

// object and items are a block's arguments and a list of blocks, for tests.
type (
	object  map[string]any
	items   []any
	mapping map[string]string
)

// unknown is a value that is not known yet.
type unknown struct{}

// rawValue makes a value of a type; what is not given is null.
func rawValue(t *testing.T, of tftypes.Type, v any) tftypes.Value {
	t.Helper()
	switch v := v.(type) {
	case nil:
		return tftypes.NewValue(of, nil)
	case unknown:
		return tftypes.NewValue(of, tftypes.UnknownValue)
	case object:
		attributes := map[string]tftypes.Value{}
		objectType, ok := of.(tftypes.Object)
		if !ok {
			t.Fatalf("%v for %s", v, of)
		}
		for name, attribute := range objectType.AttributeTypes {
			attributes[name] = rawValue(t, attribute, v[name])
			delete(v, name)
		}
		if len(v) > 0 {
			t.Fatalf("no such arguments: %v", v)
		}
		return tftypes.NewValue(of, attributes)
	case mapping:
		values := map[string]tftypes.Value{}
		for key, text := range v {
			values[key] = tftypes.NewValue(tftypes.String, text)
		}
		return tftypes.NewValue(of, values)
	case items:
		var element tftypes.Type
		switch of := of.(type) {
		case tftypes.List:
			element = of.ElementType
		case tftypes.Set:
			element = of.ElementType
		}
		values := []tftypes.Value{}
		for _, e := range v {
			values = append(values, rawValue(t, element, e))
		}
		return tftypes.NewValue(of, values)
	default:
		return tftypes.NewValue(of, v)
	}
}

// auditedConfig is a provider configuration with two platforms, "a" and "b", an audit block, and a retired sink "gone".
func auditedConfig(t *testing.T, auditBlock any) tfsdk.Config {
	t.Helper()
	var resp provider.SchemaResponse
	New("test", time.Now)().Schema(t.Context(), provider.SchemaRequest{}, &resp)
	raw := rawValue(t, resp.Schema.Type().TerraformType(t.Context()), object{
		"stack": "s", "audit": auditBlock, "retired_sinks": items{"gone"},
		"sandbox": items{object{"name": "a", "path": "a.db"}, object{"name": "audit-taken", "path": "b.db"}},
	})
	return tfsdk.Config{Raw: raw, Schema: resp.Schema}
}

// problems renders errors as "path: summary: detail".
func problems(diags diag.Diagnostics) []string {
	var out []string
	for _, d := range diags {
		text := d.Summary() + ": " + d.Detail()
		if at, ok := d.(diag.DiagnosticWithPath); ok {
			text = at.Path().String() + ": " + text
		}
		out = append(out, text)
	}
	return out
}

func TestAuditBlockChecked(t *testing.T) {
	file := func(more object) object {
		more["path"] = "x"
		return more
	}
	for name, c := range map[string]struct {
		block any
		want  string // a part of the only problem; "" for none
	}{
		"none":      {nil, ""},
		"one":       {object{"file": items{file(object{})}}, ""},
		"two":       {object{"file": items{file(object{}), file(object{"name": "second"})}}, ""},
		"no sink":   {object{}, "audit: No audit sink"},
		"same name": {object{"file": items{file(object{}), file(object{"name": "file"})}}, "audit.file[1].name: Duplicate sink name"},
		"no name":   {object{"file": items{file(object{}), file(object{})}}, "audit.file[1].name: Duplicate sink name"},
		"bad name":  {object{"file": items{file(object{"name": "a b"})}}, "audit.file[0].name: Invalid sink name"},
		"empty":     {object{"file": items{file(object{"name": ""})}}, "audit.file[0].name: Invalid sink name"},
		"retired":   {object{"file": items{file(object{"name": "gone"})}}, "audit.file[0].name: Retired sink"},
		"same variables": {
			object{"file": items{file(object{"name": "a.b"}), file(object{"name": "a-b"})}}, "audit.file[1].name: Ambiguous sink name",
		},
		"variables of a platform": {object{"file": items{file(object{"name": "taken"})}}, "audit.file[0].name: Ambiguous sink name"},
		"unknown platform": {
			object{"file": items{file(object{"platforms": items{"a", "audit-takn"}})}},
			`audit.file[0].platforms: Unknown platform: no platform is named "audit-takn", so the filter would never choose an event of it; did you mean "audit-taken"?`,
		},
		"required":                {object{"required": true, "file": items{file(object{})}}, ""},
		"required of one of two":  {object{"required": true, "security_events": items{object{}}, "file": items{file(object{})}}, ""},
		"required of no activity": {object{"required": true, "security_events": items{object{}}}, "audit.required: Nothing to wait for"},
		"required of no outcome": {
			object{"required": true, "file": items{file(object{"outcomes": items{"succeeded", "failed"}})}}, "audit.required: Nothing to wait for",
		},
		"required of some": {
			object{"required": true, "file": items{
				file(object{"activities": items{"grant", "revoke"}, "platforms": items{"a"}}), file(object{"name": "later", "outcomes": items{"failed"}}),
				file(object{"name": "all", "platforms": items{"audit-taken"}, "outcomes": items{"intended"}}),
			}},
			"audit.required: Changes that do not wait for evidence: No sink takes the event before these changes, so they are made whether " +
				"or not a sink is reachable: create_account, update_account, delete_account, suspend_account, resume_account, end_sessions, " +
				`issue_credential, revoke_credential, store_secret, remove_secret, mint_token, revoke_token on "a".`,
		},
		"required of one platform": {
			object{"required": true, "file": items{file(object{"platforms": items{"a"}})}}, `reachable: any change on "audit-taken". Widen`,
		},
		"not required of any": {object{"required": false, "security_events": items{object{}}}, ""},
		"perhaps required":    {object{"required": unknown{}, "security_events": items{object{}}}, ""},
		"required of what is not known yet": {
			object{"required": true, "file": items{file(object{"activities": unknown{}, "platforms": items{unknown{}}, "outcomes": items{"failed", unknown{}}})}}, "",
		},
		"required of sinks to come": {object{"required": true, "file": unknown{}, "security_events": items{object{}}}, ""},
		"sinks to come":             {object{"file": unknown{}}, ""},
		"not known yet":             {object{"file": items{file(object{"name": unknown{}, "platforms": unknown{}})}}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			var diags diag.Diagnostics
			checkAudit(t.Context(), auditedConfig(t, c.block), &diags)
			got := problems(diags)
			if c.want == "" && len(got) > 0 || c.want != "" && (len(got) != 1 || !strings.Contains(got[0], c.want)) {
				t.Errorf("problems %q, want %q", got, c.want)
			}
		})
	}
}

func TestAuditConfig(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	config := auditedConfig(t, object{"required": true, "schema_version": "1.9.0", "file": items{
		object{"path": path},
		object{
			"name": "some", "path": path, "activities": items{"grant", "revoke"}, "platforms": items{"a"}, "outcomes": items{"failed"},
		},
		object{"name": "later", "path": unknown{}},
	}})
	var diags diag.Diagnostics
	got := auditConfig(t.Context(), config, &diags)
	if diags.HasError() {
		t.Fatal(problems(diags))
	}
	if !got.Required || len(got.Sinks) != 3 {
		t.Fatalf("config %+v", got)
	}
	want := []audit.Filter{{}, {
		Activities: []audit.Activity{audit.Grant, audit.Revoke}, Platforms: []string{"a"}, Outcomes: []audit.Outcome{audit.Failed},
	}, {}}
	for i, name := range []string{"file", "some", "later"} {
		if got.Sinks[i].Name != name {
			t.Errorf("sink %d is named %q, want %q", i, got.Sinks[i].Name, name)
		}
		if diff := cmp.Diff(want[i], got.Sinks[i].Filter); diff != "" {
			t.Errorf("filter of %s (-want +got):\n%s", name, diff)
		}
	}
	for i, ok := range []bool{true, true, false} {
		err := got.Sinks[i].Sink.Deliver(t.Context(), audit.Event{ID: "1"})
		if (err == nil) != ok {
			t.Errorf("deliver to %s: %v", got.Sinks[i].Name, err)
		}
	}
	perhaps := auditConfig(t.Context(), auditedConfig(t, object{"required": unknown{}, "file": items{object{"path": path}}}), &diags)
	if !perhaps.Required || diags.HasError() {
		t.Errorf("with required not known: %+v, %v", perhaps, diags)
	}
	for name, c := range map[string]struct {
		block    any
		required bool
	}{
		"sinks to come":          {object{"file": unknown{}}, false},
		"required sinks to come": {object{"required": true, "file": unknown{}}, true},
		"one to come":            {object{"file": items{unknown{}}}, false},
		"all to come":            {unknown{}, true},
	} {
		got := auditConfig(t.Context(), auditedConfig(t, c.block), &diags)
		if diags.HasError() || got.Required != c.required || len(got.Sinks) != 1 || audit.NewTrail(audit.Source{}, got, time.Now).Silent() {
			t.Fatalf("%s: %+v, %v", name, got, problems(diags))
		}
		if err := got.Sinks[0].Sink.Deliver(t.Context(), audit.Event{ID: "1"}); err == nil {
			t.Errorf("%s: delivered", name)
		}
	}
	if none := auditConfig(t.Context(), auditedConfig(t, nil), &diags); none.Required || len(none.Sinks) != 0 || diags.HasError() {
		t.Errorf("without a block: %+v, %v", none, diags)
	}
}
