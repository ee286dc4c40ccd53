// Package core drives a provider server through the plugin protocol in this process, as Terraform's core does: it
// refreshes, plans and applies resources in the order of their references, keeps state and private state as the CLI
// would after errors, interrupts and kills, and holds the provider to the rules that core enforces (what is planned is
// what is configured, what is applied is what was planned, nothing is unknown afterwards).
//
// It is for tests that need thousands of runs. It knows what these need: managed resources that refer to each other as a
// whole. It has no expressions, no deposed objects and no data sources.
package core

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-go/tftypes"
)

// Config is a configuration.
type Config struct {
	// Provider is the provider's block.
	Provider Body
	// Resources are the resource blocks, by address.
	Resources map[string]Resource
}

// Resource is one resource block.
type Resource struct {
	Type string
	Body Body
}

// Body is what a block says: attributes by their names (a string, a bool, an int, a []string for a list or a set, a
// map[string][]string or map[string]string, a Body for an object, a Ref, a Later), blocks as a Body or a []Body.
type Body map[string]any

// Ref is a reference to a whole resource by its address.
type Ref string

// Later is a string that is known only when the plan is applied, as one that another provider's resource computes.
type Later string

// needs lists the addresses that the block refers to.
func (r Resource) needs() []string {
	var out []string
	for _, v := range r.Body {
		if ref, ok := v.(Ref); ok {
			out = append(out, string(ref))
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// Object is one resource in state.
type Object struct {
	Type string
	// JSON is the object as the state file holds it.
	JSON    []byte
	Private []byte
	Tainted bool
	// Needs are the addresses that it referred to when it was last applied.
	Needs    []string
	identity *tfprotov6.ResourceIdentityData
}

// State is a state, by address. Objects in it are never changed, only replaced.
type State map[string]*Object

// Core knows a provider's schemas. It is not safe for concurrent use.
type Core struct {
	schemas *tfprotov6.GetProviderSchemaResponse
	valid   map[string]bool // provider configurations that were found valid
}

// New asks a server for the schemas.
func New(ctx context.Context, server tfprotov6.ProviderServer) (*Core, error) {
	schemas, err := server.GetProviderSchema(ctx, &tfprotov6.GetProviderSchemaRequest{})
	if err != nil {
		return nil, err
	}
	var report Report
	if report.take("provider", schemas.Diagnostics) {
		return nil, fmt.Errorf("schemas: %v", report.Errors)
	}
	return &Core{schemas: schemas, valid: make(map[string]bool)}, nil
}

func (c *Core) block(resourceType string) *tfprotov6.SchemaBlock {
	return c.schemas.ResourceSchemas[resourceType].Block
}

// Value reads an object in state.
func (c *Core) Value(o *Object) tftypes.Value {
	v, err := tfprotov6.RawState{JSON: o.JSON}.Unmarshal(c.block(o.Type).ValueType())
	if err != nil {
		panic(fmt.Sprintf("state of a %s: %v", o.Type, err)) // it was written by this package
	}
	return v
}

// Process is one provider process, which serves one walk.
type Process struct {
	core   *Core
	server tfprotov6.ProviderServer
	// Killed, if set, reports whether the process was killed: the answer of the call under way is lost, and there is no
	// other one.
	Killed func() bool
	// Interrupted, if set, reports whether the user has interrupted the walk: nothing new is begun.
	Interrupted func() bool
}

// Start configures a server. Whatever the report says, the process can be used up to its first call.
func (c *Core) Start(ctx context.Context, server tfprotov6.ProviderServer, config Body) (*Process, *Report) {
	p, report := &Process{core: c, server: server}, &Report{}
	value := dynamic(blockValue(c.schemas.Provider.Block, config, resolver{}))
	if !c.valid[string(value.MsgPack)] { // once per configuration: it asks nothing but that
		validated, err := server.ValidateProviderConfig(ctx, &tfprotov6.ValidateProviderConfigRequest{Config: value})
		if report.call("provider", err) || report.take("provider", validated.Diagnostics) {
			return p, report
		}
		c.valid[string(value.MsgPack)] = true
	}
	configured, err := server.ConfigureProvider(ctx, &tfprotov6.ConfigureProviderRequest{TerraformVersion: "1.16.0", Config: value})
	if !report.call("provider", err) {
		report.take("provider", configured.Diagnostics)
	}
	return p, report
}

func (p *Process) killed() bool      { return p.Killed != nil && p.Killed() }
func (p *Process) interrupted() bool { return p.Interrupted != nil && p.Interrupted() }

// Report is what a walk has come to.
type Report struct {
	// Errors and Warnings are the provider's, each with the address and the whole text.
	Errors, Warnings []string
	// Violations are breaches of the protocol: core would tell the user that the provider has a bug.
	Violations []string
	// Lost is set if the process was killed.
	Lost bool
}

// Failed reports whether the CLI would exit with an error.
func (r *Report) Failed() bool { return r.Lost || len(r.Errors) > 0 || len(r.Violations) > 0 }

// take notes diagnostics and reports whether there is an error among them.
func (r *Report) take(address string, diagnostics []*tfprotov6.Diagnostic) (failed bool) {
	for _, d := range diagnostics {
		text := fmt.Sprintf("%s: %s: %s", address, d.Summary, d.Detail)
		if d.Severity == tfprotov6.DiagnosticSeverityError {
			r.Errors, failed = append(r.Errors, text), true
			continue
		}
		r.Warnings = append(r.Warnings, text)
	}
	return failed
}

// call notes the error of a call itself.
func (r *Report) call(address string, err error) (failed bool) {
	if err != nil {
		r.violate(address, "the call failed: %v", err)
	}
	return err != nil
}

func (r *Report) violate(address, format string, args ...any) {
	r.Violations = append(r.Violations, address+": "+fmt.Sprintf(format, args...))
}

// Order chooses among things that may happen in any order. It gets sorted keys and returns them in the order that is
// preferred.
type Order func(keys []string) []string

// ordered returns the keys, each after those that it waits for, otherwise as order prefers.
func ordered(keys []string, waits map[string][]string, order Order) []string {
	slices.Sort(keys)
	if order != nil {
		keys = order(keys)
	}
	out, done := make([]string, 0, len(keys)), make(map[string]bool)
	for len(out) < len(keys) {
		i := slices.IndexFunc(keys, func(key string) bool {
			return !done[key] && !slices.ContainsFunc(waits[key], func(w string) bool { return !done[w] && slices.Contains(keys, w) })
		})
		if i < 0 {
			panic(fmt.Sprintf("a cycle among %v", keys))
		}
		done[keys[i]] = true
		out = append(out, keys[i])
	}
	return out
}

// Addresses lists what is in state, sorted.
func (s State) Addresses() []string { return slices.Sorted(maps.Keys(s)) }
