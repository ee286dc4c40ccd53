package provider

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/hashicorp/terraform-plugin-framework-validators/setvalidator"
	"github.com/hashicorp/terraform-plugin-framework-validators/stringvalidator"
	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/provider/schema"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/tfsdk"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/nhi-labs/terraform-provider-nhi/internal/audit"
	"github.com/nhi-labs/terraform-provider-nhi/internal/audit/ocsf"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
)

// auditKinds is the explicit list of the kinds of audit sinks. A new kind adds one line here and one file
// audit_<kind>.go.
var auditKinds = sync.OnceValue(func() []auditKind {
	return []auditKind{
		auditFileKind(),
		auditOTLPKind(),
		auditSecurityEventsKind(),
		auditSplunkKind(),
		auditSyslogKind(),
		auditWebhookKind(),
	}
})

// auditKind is one kind of audit sink as HCL sees it.
type auditKind struct {
	// name is the block's, and the default name of its sinks.
	name, description string
	attributes        map[string]schema.Attribute
	// filter is what sinks of this kind can send at all; an empty list is everything.
	filter audit.Filter
	// open makes the sink from a wholly known block. Problems go to b; what it then returns is not used.
	open func(ctx context.Context, b *blockReader, version ocsf.Version) audit.Sink
}

// commonAudit holds the attributes that every sink's block has. Models of kinds embed it.
type commonAudit struct {
	Name       types.String `tfsdk:"name"`
	Activities types.Set    `tfsdk:"activities"`
	Platforms  types.Set    `tfsdk:"platforms"`
	Outcomes   types.Set    `tfsdk:"outcomes"`
}

func commonAuditAttributes(kind string) map[string]schema.Attribute {
	return map[string]schema.Attribute{
		"name": schema.StringAttribute{
			Optional: true,
			MarkdownDescription: "Name of the sink, unique among all sinks. Events that could not be delivered wait for it under this " +
				"name. Default `" + kind + "`.",
		},
		"activities": schema.SetAttribute{
			Optional: true, ElementType: types.StringType,
			Validators:          []validator.Set{setvalidator.ValueStringsAre(stringvalidator.OneOf(texts(audit.Activities())...))},
			MarkdownDescription: "Sends these activities only: " + codes(texts(audit.Activities())) + ". Default: all.",
		},
		"platforms": schema.SetAttribute{
			Optional: true, ElementType: types.StringType,
			MarkdownDescription: "Sends events of these platforms only, by their names. Default: all.",
		},
		"outcomes": schema.SetAttribute{
			Optional: true, ElementType: types.StringType,
			Validators: []validator.Set{setvalidator.ValueStringsAre(stringvalidator.OneOf(texts(outcomes())...))},
			MarkdownDescription: "Sends events with these outcomes only: " + codes(texts(outcomes())) + ". Default: all. `failed` " +
				"takes those with the outcome `unknown` along.",
		},
	}
}

// outcomes are those that a filter names; audit.Unknown goes with audit.Failed.
func outcomes() []audit.Outcome {
	return []audit.Outcome{audit.Intended, audit.Succeeded, audit.Failed}
}

func texts[T ~string](values []T) []string {
	out := make([]string, len(values))
	for i, v := range values {
		out[i] = string(v)
	}
	return out
}

func codes(words []string) string { return "`" + strings.Join(words, "`, `") + "`" }

// auditBlock is the provider schema's part for audit.
func auditBlock() schema.Block {
	blocks := make(map[string]schema.Block)
	for _, k := range auditKinds() {
		attributes := commonAuditAttributes(k.name)
		maps.Copy(attributes, k.attributes)
		blocks[k.name] = schema.ListNestedBlock{
			MarkdownDescription: k.description, NestedObject: schema.NestedBlockObject{Attributes: attributes},
		}
	}
	return schema.SingleNestedBlock{
		MarkdownDescription: "Where the evidence of every change goes: one event before each change of an account on a platform, and " +
			"one after it. Any number of sinks of any kind; each gets every event that its filters choose.",
		Attributes: map[string]schema.Attribute{
			"required": schema.BoolAttribute{
				Optional: true,
				MarkdownDescription: "`true` makes each change wait until every sink that wants it has acknowledged that it is intended, and " +
					"changes nothing if one does not. At least one sink has to take events with the outcome `intended`, which `security_events` " +
					"does not; what no such sink takes is not held up, and a warning. Default `false`: the change is made, and what could not be " +
					"delivered goes out with the next run.",
			},
			"schema_version": schema.StringAttribute{
				Optional: true, Validators: []validator.String{stringvalidator.OneOf(texts(ocsf.Versions())...)},
				MarkdownDescription: "Version of the OCSF schema that events are written in: " + codes(texts(ocsf.Versions())) + ". Default `" +
					string(ocsf.Default) + "`.",
			},
		},
		Blocks: blocks,
	}
}

// auditSink is one sink's block, not yet decoded.
type auditSink struct {
	platformBlock
	kind auditKind
}

// sinkName is the name of the sink, "" while it is not known.
func (s auditSink) sinkName() string {
	if s.name.IsNull() {
		return s.kind.name
	}
	return s.name.ValueString()
}

// auditSinks lists the configuration's sinks, in the order of the kinds and then as written.
func auditSinks(ctx context.Context, config tfsdk.Config, diags *diag.Diagnostics) []auditSink {
	if block := auditObject(ctx, config, diags); !known(block) {
		return nil
	}
	var out []auditSink
	for _, k := range auditKinds() {
		for _, b := range blocksAt(ctx, config, path.Root("audit").AtName(k.name), diags) {
			out = append(out, auditSink{b, k})
		}
	}
	return out
}

func auditObject(ctx context.Context, config tfsdk.Config, diags *diag.Diagnostics) types.Object {
	var block types.Object
	diags.Append(config.GetAttribute(ctx, path.Root("audit"), &block)...)
	return block
}

// checkAudit refuses an audit block without sinks, names and filters that cannot be, and evidence that is required of nothing.
func checkAudit(ctx context.Context, config tfsdk.Config, diags *diag.Diagnostics) {
	sinks := auditSinks(ctx, config, diags)
	block := auditObject(ctx, config, diags)
	allThere := known(block) && !slices.ContainsFunc(auditKinds(), func(k auditKind) bool { return unknownIn(block, k.name) })
	if len(sinks) == 0 && allThere {
		addErrorAt(diags, path.Root("audit"), "No audit sink", errors.New("the audit block has no sink, so no event would go anywhere: "+
			"add one, for example file { path = \"audit.jsonl\" }, or remove the block"))
	}
	platforms, complete := configuredPlatforms(ctx, config, diags)
	if required, _ := block.Attributes()["required"].(types.Bool); required.ValueBool() && len(sinks) > 0 && allThere {
		checkRequired(ctx, sinks, platforms, diags)
	}
	retired := namesIn(ctx, config, "retired_sinks", diags)
	seen := make(map[string]path.Path)
	for _, s := range sinks {
		if checkSinkName(s, seen, platforms, diags); slices.Contains(retired, s.sinkName()) {
			addErrorAt(diags, s.path.AtName("name"), "Retired sink", fmt.Errorf("the audit sink %q is listed in retired_sinks, which lets the "+
				"events that wait for it go. Remove it there, or give this sink another name", s.sinkName()))
		}
		s.checkFilter(diags)
		for _, name := range s.listed("platforms") {
			if complete && !slices.Contains(platforms, name) {
				addErrorAt(diags, s.path.AtName("platforms"), "Unknown platform",
					fmt.Errorf("no platform is named %q, so the filter would never choose an event of it%s", name, nearest(name, platforms)))
			}
		}
	}
}

// unknownIn reports whether the list of blocks has some that are not known yet.
func unknownIn(block types.Object, name string) bool {
	list, _ := block.Attributes()[name].(types.List)
	return list.IsUnknown() || slices.ContainsFunc(list.Elements(), attr.Value.IsUnknown)
}

// checkFilter refuses what sinks of this kind never send.
func (s auditSink) checkFilter(diags *diag.Diagnostics) {
	for attribute, able := range map[string][]string{"activities": texts(s.kind.filter.Activities), "outcomes": texts(s.kind.filter.Outcomes)} {
		for _, text := range s.listed(attribute) {
			if len(able) > 0 && !slices.Contains(able, text) {
				addErrorAt(diags, s.path.AtName(attribute), "Nothing to send", fmt.Errorf("a %s sink has no form for %q; it sends %s",
					s.kind.name, text, strings.Join(able, ", ")))
			}
		}
	}
}

// listed returns the known texts of a filter's list, sorted.
func (s auditSink) listed(attribute string) []string {
	set, _ := s.object.Attributes()[attribute].(types.Set)
	return knownStrings(set.Elements())
}

// checkSinkName refuses names that cannot be, are taken, or share environment variables with a platform or another sink.
func checkSinkName(s auditSink, seen map[string]path.Path, platforms []string, diags *diag.Diagnostics) {
	if s.name.IsUnknown() {
		return
	}
	name, at := s.sinkName(), s.path.AtName("name")
	if nhi.CheckPlatformName(name) != nil {
		addErrorAt(diags, at, "Invalid sink name",
			fmt.Errorf("%q cannot be the name of a sink: use 1 to 63 letters, digits, '.', '_' or '-', beginning with a letter or digit", name))
		return
	}
	if first, taken := seen[name]; taken {
		addErrorAt(diags, at, "Duplicate sink name", fmt.Errorf("two audit sinks are named %q (the other one is %s). Events that wait "+
			"refer to a sink by its name, so each needs its own: set name", name, first))
		return
	}
	for other := range seen {
		if environmentName(sinkEnvironment(other), "") == environmentName(sinkEnvironment(name), "") {
			addErrorAt(diags, at, "Ambiguous sink name", fmt.Errorf("the audit sinks %q and %q would read their secrets from the same "+
				"environment variables (%s…). Rename one of them", other, name, environmentName(sinkEnvironment(name), "")))
		}
	}
	for _, platform := range platforms {
		if environmentName(platform, "") == environmentName(sinkEnvironment(name), "") {
			addErrorAt(diags, at, "Ambiguous sink name", fmt.Errorf("the audit sink %q and the platform %q would read their secrets from "+
				"the same environment variables (%s…). Rename one of them", name, platform, environmentName(platform, "")))
		}
	}
	seen[name] = s.path
}

// sinkEnvironment stands for NAME in the variables NHI_<NAME>_<ATTRIBUTE> that hold a sink's secrets.
func sinkEnvironment(name string) string { return "audit_" + name }

// configuredPlatforms lists the names of the configured platforms, and whether all of them are known.
func configuredPlatforms(ctx context.Context, config tfsdk.Config, diags *diag.Diagnostics) (names []string, complete bool) {
	complete = true
	for _, k := range kinds() {
		for _, b := range k.blocks(ctx, config, diags) {
			names = append(names, b.name.ValueString())
			complete = complete && known(b.name)
		}
	}
	return names, complete
}

func nearest(name string, names []string) string {
	if near, ok := nhi.Nearest(name, names); ok {
		return fmt.Sprintf("; did you mean %q?", near)
	}
	return ": write one of " + strings.Join(names, ", ")
}

// auditConfig decodes the audit block of a configuration that checkAudit has passed. A sink whose block holds an unknown
// value refuses every event, as does one that stands for sinks to come, and evidence may be required while that is not known: an
// apply begins when all of the provider's configuration is known, but a plan may change something, too, and has to leave room for
// the events of what it plans.
func auditConfig(ctx context.Context, config tfsdk.Config, diags *diag.Diagnostics) audit.Config {
	var out audit.Config
	block := auditObject(ctx, config, diags)
	at := path.Root("audit")
	switch {
	case block.IsNull():
		return out
	case block.IsUnknown():
		return audit.Config{Required: true, Sinks: []audit.NamedSink{{Name: "audit", Sink: unknownSink{at}}}}
	}
	required, _ := block.Attributes()["required"].(types.Bool)
	out.Required = required.ValueBool() || required.IsUnknown()
	text, _ := block.Attributes()["schema_version"].(types.String)
	version, err := ocsf.ParseVersion(text.ValueString())
	addErrorAt(diags, at.AtName("schema_version"), "Invalid schema version", err)
	for _, s := range auditSinks(ctx, config, diags) {
		out.Sinks = append(out.Sinks, s.open(ctx, version, diags))
	}
	for _, k := range auditKinds() {
		if unknownIn(block, k.name) {
			out.Sinks = append(out.Sinks, audit.NamedSink{Name: k.name, Sink: unknownSink{at.AtName(k.name)}})
		}
	}
	return out
}

func (s auditSink) open(ctx context.Context, version ocsf.Version, diags *diag.Diagnostics) audit.NamedSink {
	name := s.sinkName()
	if !whollyKnown(ctx, s.object) {
		return audit.NamedSink{Name: name, Sink: unknownSink{s.path}}
	}
	b := &blockReader{platformBlock: s.platformBlock, what: "audit sink", environment: sinkEnvironment(name), diags: diags}
	b.name = types.StringValue(name)
	sink := s.kind.open(ctx, b, version)
	if sink == nil {
		return audit.NamedSink{Name: name, Sink: unknownSink{s.path}} // Why is in diags.
	}
	return audit.NamedSink{Name: name, Sink: sink, Filter: s.filter()}
}

// filter is what the block chooses of what its kind can send.
func (s auditSink) filter() audit.Filter {
	filter := audit.Filter{Platforms: s.listed("platforms"), Activities: s.kind.filter.Activities, Outcomes: s.kind.filter.Outcomes}
	if chosen := s.listed("activities"); len(chosen) > 0 {
		filter.Activities = nil
		for _, text := range chosen {
			filter.Activities = append(filter.Activities, audit.Activity(text))
		}
	}
	if chosen := s.listed("outcomes"); len(chosen) > 0 {
		filter.Outcomes = nil
		for _, text := range chosen {
			filter.Outcomes = append(filter.Outcomes, audit.Outcome(text))
		}
	}
	return filter
}

// unknownSink stands for a sink whose configuration is not known yet.
type unknownSink struct{ path path.Path }

// Deliver implements audit.Sink.
func (s unknownSink) Deliver(context.Context, audit.Event) error {
	return fmt.Errorf("the configuration of the audit sink %s is not known yet", s.path)
}

// Close implements audit.Sink.
func (unknownSink) Close() error { return nil }
