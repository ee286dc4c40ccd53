package main

import (
	"context"

	"github.com/hashicorp/terraform-plugin-framework/datasource"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/provider"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/tfsdk"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"github.com/hashicorp/terraform-plugin-go/tftypes"
)

// noopProvider takes everything that is declared from the real provider and does nothing with it.
type noopProvider struct {
	shape provider.Provider
}

func (p *noopProvider) Metadata(ctx context.Context, req provider.MetadataRequest, resp *provider.MetadataResponse) {
	p.shape.Metadata(ctx, req, resp)
}

func (p *noopProvider) Schema(ctx context.Context, req provider.SchemaRequest, resp *provider.SchemaResponse) {
	p.shape.Schema(ctx, req, resp)
}

func (p *noopProvider) Configure(context.Context, provider.ConfigureRequest, *provider.ConfigureResponse) {
}

func (p *noopProvider) DataSources(context.Context) []func() datasource.DataSource { return nil }

func (p *noopProvider) Resources(ctx context.Context) []func() resource.Resource {
	var out []func() resource.Resource
	for _, shape := range p.shape.Resources(ctx) {
		out = append(out, func() resource.Resource { return &noopResource{shape: shape()} })
	}
	return out
}

// noopResource keeps in state what is planned.
type noopResource struct {
	shape resource.Resource
}

func (r *noopResource) Metadata(ctx context.Context, req resource.MetadataRequest, resp *resource.MetadataResponse) {
	r.shape.Metadata(ctx, req, resp)
}

func (r *noopResource) Schema(ctx context.Context, req resource.SchemaRequest, resp *resource.SchemaResponse) {
	r.shape.Schema(ctx, req, resp)
}

func (r *noopResource) IdentitySchema(ctx context.Context, req resource.IdentitySchemaRequest, resp *resource.IdentitySchemaResponse) {
	if shape, ok := r.shape.(resource.ResourceWithIdentity); ok {
		shape.IdentitySchema(ctx, req, resp)
	}
}

func (r *noopResource) Create(ctx context.Context, req resource.CreateRequest, resp *resource.CreateResponse) {
	raw, err := tftypes.Transform(req.Plan.Raw, known)
	if err != nil {
		resp.Diagnostics.AddError("Unable to fill the plan", err.Error())
		return
	}
	resp.State.Raw = raw
	resp.Diagnostics.Append(identify(ctx, resp.Identity)...)
}

// identify sets the texts of a resource identity to any text. Older CLIs do not keep it, so each call sets it.
func identify(ctx context.Context, identity *tfsdk.ResourceIdentity) diag.Diagnostics {
	var diags diag.Diagnostics
	for name, attribute := range identity.Schema.GetAttributes() {
		if !attribute.GetType().Equal(types.StringType) {
			continue // state keeps no list in an identity
		}
		diags.Append(identity.SetAttribute(ctx, path.Root(name), name)...)
	}
	return diags
}

// filler stands for each computed text, as long as a real one.
const filler = "00000000-0000-0000-0000-000000000000"

// known replaces what a plan does not know by something of its type.
func known(_ *tftypes.AttributePath, v tftypes.Value) (tftypes.Value, error) {
	if v.IsKnown() {
		return v, nil
	}
	return filled(v.Type()), nil
}

func filled(t tftypes.Type) tftypes.Value {
	switch t := t.(type) {
	case tftypes.Map:
		elements := make(map[string]tftypes.Value)
		if _, nested := t.ElementType.(tftypes.Object); nested { // accounts
			for _, platform := range []string{"alpha", "beta", "gamma"} {
				elements[platform] = filled(t.ElementType)
			}
		}
		return tftypes.NewValue(t, elements)
	case tftypes.List:
		return tftypes.NewValue(t, []tftypes.Value{})
	case tftypes.Object:
		attributes := make(map[string]tftypes.Value, len(t.AttributeTypes))
		for name, attribute := range t.AttributeTypes {
			attributes[name] = filled(attribute)
		}
		return tftypes.NewValue(t, attributes)
	default:
		if t.Is(tftypes.String) {
			return tftypes.NewValue(t, filler)
		}
		return tftypes.NewValue(t, nil)
	}
}

func (r *noopResource) Read(ctx context.Context, _ resource.ReadRequest, resp *resource.ReadResponse) {
	resp.Diagnostics.Append(identify(ctx, resp.Identity)...)
}

func (r *noopResource) Update(ctx context.Context, req resource.UpdateRequest, resp *resource.UpdateResponse) {
	resp.State.Raw = req.Plan.Raw
	resp.Diagnostics.Append(identify(ctx, resp.Identity)...)
}

func (r *noopResource) Delete(context.Context, resource.DeleteRequest, *resource.DeleteResponse) {}
