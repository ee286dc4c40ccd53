package provider

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-go/tftypes"

	"github.com/nhi-labs/terraform-provider-nhi/internal/audit"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
)

// FuzzGrammars: what a kind accepts is spelled in one way, what it proposes instead is accepted, and what it accepts is read
// from state as the same.
func FuzzGrammars(f *testing.F) {
	specs := Specs()
	texts := []string{"", "#", "Ä.B#c", `"a.b".C`, "x(int, text[])", "cn=A,dc=b", "a\nb", "\xff", strings.Repeat("(", 300)}
	for kind, spec := range specs {
		for i, row := range spec.Grammar.Types {
			f.Add(uint8(kind), row.Example)
			f.Add(uint8(kind), strings.ToUpper(row.Example))
			f.Add(uint8(kind), row.Name+":"+texts[i%len(texts)])
		}
	}
	f.Fuzz(func(t *testing.T, kind uint8, text string) {
		spec := specs[int(kind)%len(specs)]
		g := spec.Grammar
		e, err := g.Parse(text)
		var spelling *nhi.NotCanonicalError
		switch {
		case err == nil:
			again, err := g.Parse(e.String())
			observed, observedErr := g.ParseObserved(text)
			if e.String() != text || err != nil || again != e || observedErr != nil || observed != e {
				t.Errorf("%s: Parse(%q) = %#v, again %#v, %v, from state %#v, %v", spec.Kind, text, e, again, err, observed, observedErr)
			}
		case errors.As(err, &spelling):
			if _, err := g.Parse(spelling.Canonical); err != nil {
				t.Errorf("%s: Parse(%q) proposes %q, which is refused: %v", spec.Kind, text, spelling.Canonical, err)
			}
		}
		_, _ = g.Find(text)
		_ = spec.CheckName(text)
	})
}

// stored is a resource as it comes from disk.
type stored struct {
	resource, attributes, private string
}

// storedSeeds are what the provider writes itself, and what other versions and damage may make of it.
func storedSeeds() []stored {
	event := `{"sink":"siem","event":{"id":"1","change":"2","correlation":"3","time":"2026-01-01T00:00:00Z","activity":"grant",` +
		`"outcome":"succeeded","actor":{"name":"a"},"stack":"s","identity":{"name":"agent"},"account":{"name":"agent"},"platform":{"name":"p"}}}`
	quoted, _ := json.Marshal(event)
	identity := `{"name":"agent","kind":"workload","owner":"o","purpose":null,"enabled":true,"expires_at":%s,"on_destroy":"delete","account":[` +
		`{"platform":"p","name":null,"adopt":null,"sandbox":null}],"accounts":{"p":{"name":"agent","id":%s,"target":null,"status":"active"}},` +
		`"account_names":{},"pending":[],"undelivered":[%s],"timeouts":null}`
	grant := `{"identity":{"name":"agent","account_names":{}},"entitlements":{"p":[%s]},"exclusive":false,"tolerate":null,"expires_at":null,` +
		`"justification":null,"status":"active","targets":{"p":null},"pending":[],"undelivered":[%s],"timeouts":null}`
	rotation := `{"identity":{"name":"agent","account_names":{}},"platform":"p","rotate_every":"720h","overlap":null,"rotate_when_changed":null,` +
		`"allow_outage":false,"verify":true,"require_use_before_retire":false,"current":"nhi-1-x","rotates_at":null,"credentials":[{"label":"nhi-1-x",` +
		`"id":"1","stage":%s,"issued_at":%s,"promoted_at":null,"retire_at":%s,"used_at_promotion":null}],"delivered":[{"platform":"p","path":"x"}],` +
		`"unmanaged":[],"targets":{"p":null},"pending":[],"undelivered":[],"deliver":[{"platform":"p","path":"x","fields":null}],"timeouts":null}`
	seeds := []stored{
		{"nhi_identity", fmt.Sprintf(identity, `"2030-01-01T00:00:00Z"`, `"1"`, quoted), `{"imported":true}`},
		{"nhi_identity", fmt.Sprintf(identity, `"never"`, `""`, `"{}"`), `{"removed_by_plan":"../../x"}`},
		{"nhi_identity", fmt.Sprintf(identity, `null`, `null`, `null`), `{"imported":{"x":[]}}`},
		{"nhi_grant", fmt.Sprintf(grant, `"role:reporting"`, quoted), `{"account_ids":{"p":"1"},"owner":{"name":"agent","kind":"workload"}}`},
		{"nhi_grant", fmt.Sprintf(grant, `"nonsense"`, `""`), `{"account_ids":[1],"owner":7}`},
		{"nhi_grant", fmt.Sprintf(grant, `null`, `"null"`), `null`},
		{"nhi_rotation", fmt.Sprintf(rotation, `"current"`, `"2026-01-01T00:00:00Z"`, `null`), `{"owner":{"name":"agent","kind":"workload"}}`},
		{"nhi_rotation", fmt.Sprintf(rotation, `"previous"`, `null`, `"soon"`), `{"removed_by_plan":"0123456789abcdef0123456789abcdef"}`},
		{"nhi_rotation", fmt.Sprintf(rotation, `"gone"`, `"x"`, `"9999-12-31T23:59:59-23:59"`), `[]`},
		{"nhi_grant", `{}`, ``},
		{"nhi_identity", `{"name":"agent","unknown_to_this_version":1}`, `{}`},
	}
	return seeds
}

// FuzzState goes through what Terraform does with a resource from disk: upgrade, read, plan, and the plan and the apply of
// its deletion. Nothing panics; what cannot be read is an error, and then nothing of it is lost; events that wait stay.
func FuzzState(f *testing.F) {
	server, schemas := configuredServer(f)
	for _, seed := range storedSeeds() {
		f.Add(seed.resource, []byte(seed.attributes), []byte(seed.private))
	}
	f.Fuzz(func(t *testing.T, resource string, attributes, private []byte) {
		schema := schemas[resource]
		if schema == nil {
			return
		}
		upgraded, err := server.UpgradeResourceState(t.Context(), &tfprotov6.UpgradeResourceStateRequest{
			TypeName: resource, Version: schema.Version, RawState: &tfprotov6.RawState{JSON: attributes},
		})
		if err != nil || failed(t, upgraded.Diagnostics) || upgraded.UpgradedState == nil {
			return
		}
		before := value(t, schema, upgraded.UpgradedState)
		if before.IsNull() {
			return // Terraform does not read what is not there.
		}
		read, err := server.ReadResource(t.Context(), &tfprotov6.ReadResourceRequest{
			TypeName: resource, CurrentState: upgraded.UpgradedState, Private: private, CurrentIdentity: nil,
		})
		if err != nil {
			t.Fatal(err)
		}
		if !failed(t, read.Diagnostics) {
			after := value(t, schema, read.NewState)
			if after.IsNull() {
				t.Errorf("reading drops the resource")
			}
			wantWaiting(t, before, after)
		}
		planAndDelete(t, server, schema, resource, upgraded.UpgradedState, private)
	})
}

// planAndDelete plans with the state as configuration, and deletes.
func planAndDelete(t *testing.T, server tfprotov6.ProviderServer, schema *tfprotov6.Schema, resource string, state *tfprotov6.DynamicValue, private []byte) {
	t.Helper()
	planned, err := server.PlanResourceChange(t.Context(), &tfprotov6.PlanResourceChangeRequest{
		TypeName: resource, PriorState: state, ProposedNewState: state, Config: state, PriorPrivate: private,
	})
	if err != nil {
		t.Fatal(err)
	}
	failed(t, planned.Diagnostics)
	planned, err = server.PlanResourceChange(t.Context(), &tfprotov6.PlanResourceChangeRequest{
		TypeName: resource, PriorState: state, ProposedNewState: null(t, schema), Config: null(t, schema), PriorPrivate: private,
	})
	if err != nil {
		t.Fatal(err)
	}
	if failed(t, planned.Diagnostics) {
		return
	}
	deleted, err := server.ApplyResourceChange(t.Context(), &tfprotov6.ApplyResourceChangeRequest{
		TypeName: resource, PriorState: state, PlannedState: null(t, schema), Config: null(t, schema), PlannedPrivate: planned.PlannedPrivate,
	})
	if err != nil {
		t.Fatal(err)
	}
	if failed(t, deleted.Diagnostics) && deleted.NewState != nil {
		wantWaiting(t, value(t, schema, state), value(t, schema, deleted.NewState))
	}
}

// wantWaiting checks that events that waited still do. No sink is configured here that could take them.
func wantWaiting(t *testing.T, before, after tftypes.Value) {
	t.Helper()
	was, is := waitingIDs(undelivered(t, before)), waitingIDs(undelivered(t, after))
	for _, text := range was {
		if !slices.Contains(is, text) {
			t.Errorf("the event %q is lost; there are %q", text, is)
		}
	}
}

// waitingIDs names events by sink and id, and what is none by its text.
func waitingIDs(texts []string) []string {
	out := slices.Clone(texts)
	for i, text := range texts {
		if w, err := audit.ParseWaiting([]string{text}); err == nil {
			out[i] = w[0].Sink + " " + w[0].Event.ID
		}
	}
	return out
}

func undelivered(t *testing.T, v tftypes.Value) []string {
	t.Helper()
	var object map[string]tftypes.Value
	var list []tftypes.Value
	if err := v.As(&object); err != nil {
		t.Fatal(err)
	}
	if !object[undeliveredAttribute].IsKnown() {
		return nil
	}
	if err := object[undeliveredAttribute].As(&list); err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, element := range list {
		var text *string
		if err := element.As(&text); err != nil {
			t.Fatal(err)
		}
		if text != nil {
			out = append(out, *text)
		}
	}
	return out
}

// failed reports whether there is an error among the diagnostics. That of a panic fails the test.
func failed(t *testing.T, ds []*tfprotov6.Diagnostic) bool {
	t.Helper()
	found := false
	for _, d := range ds {
		found = found || d.Severity == tfprotov6.DiagnosticSeverityError
		if text := d.Summary + ": " + d.Detail; strings.Contains(text, "panicked") {
			t.Errorf("a panic: %s", text)
		}
	}
	return found
}

func value(t *testing.T, schema *tfprotov6.Schema, v *tfprotov6.DynamicValue) tftypes.Value {
	t.Helper()
	out, err := v.Unmarshal(schema.ValueType())
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func null(t *testing.T, schema *tfprotov6.Schema) *tfprotov6.DynamicValue {
	t.Helper()
	out, err := tfprotov6.NewDynamicValue(schema.ValueType(), tftypes.NewValue(schema.ValueType(), nil))
	if err != nil {
		t.Fatal(err)
	}
	return &out
}

// configuredServer is a provider with an empty sandbox as the platform p.
func configuredServer(t testing.TB) (tfprotov6.ProviderServer, map[string]*tfprotov6.Schema) {
	t.Helper()
	process := NewServer("test", time.Now, Hooks{})
	t.Cleanup(func() { _ = process.Close() })
	server := process.ProtocolServer()
	schemas, err := server.GetProviderSchema(t.Context(), &tfprotov6.GetProviderSchemaRequest{})
	if err != nil {
		t.Fatal(err)
	}
	objectType := must[tftypes.Object](schemas.Provider.ValueType())
	blockType := must[tftypes.Object](must[tftypes.List](objectType.AttributeTypes["sandbox"]).ElementType)
	block := filled(blockType, map[string]tftypes.Value{
		"name": tftypes.NewValue(tftypes.String, "p"), "path": tftypes.NewValue(tftypes.String, filepath.Join(t.TempDir(), "sandbox.db")),
	})
	config, err := tfprotov6.NewDynamicValue(objectType, filled(objectType, map[string]tftypes.Value{
		"stack": tftypes.NewValue(tftypes.String, "s"), "sandbox": tftypes.NewValue(tftypes.List{ElementType: blockType}, []tftypes.Value{block}),
	}))
	if err != nil {
		t.Fatal(err)
	}
	configured, err := server.ConfigureProvider(t.Context(), &tfprotov6.ConfigureProviderRequest{Config: &config})
	if err != nil || len(configured.Diagnostics) > 0 {
		t.Fatalf("%v, %+v", err, configured.Diagnostics)
	}
	return server, schemas.ResourceSchemas
}

// filled is an object with some attributes; the others are null, and lists of blocks empty.
func filled(objectType tftypes.Object, set map[string]tftypes.Value) tftypes.Value {
	attributes := map[string]tftypes.Value{}
	for name, of := range objectType.AttributeTypes {
		attributes[name] = tftypes.NewValue(of, nil)
		if list, ok := of.(tftypes.List); ok && list.ElementType.Is(tftypes.Object{}) {
			attributes[name] = tftypes.NewValue(of, []tftypes.Value{})
		}
	}
	maps.Copy(attributes, set)
	return tftypes.NewValue(objectType, attributes)
}
