// Command echoprovider is a provider with one resource, echo_file: it writes the value of a write-only argument to a
// file. It stands for every other provider that takes a secret from nhi_credential.
package main

import (
	"context"
	"log"
	"os"

	"github.com/hashicorp/terraform-plugin-framework/datasource"
	"github.com/hashicorp/terraform-plugin-framework/provider"
	"github.com/hashicorp/terraform-plugin-framework/providerserver"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/types"
)

func main() {
	err := providerserver.Serve(context.Background(), func() provider.Provider { return echo{} },
		providerserver.ServeOpts{Address: "registry.terraform.io/nhi-labs/echo"})
	if err != nil {
		log.Fatal(err)
	}
}

type echo struct{}

func (echo) Metadata(_ context.Context, _ provider.MetadataRequest, resp *provider.MetadataResponse) {
	resp.TypeName = "echo"
}
func (echo) Schema(context.Context, provider.SchemaRequest, *provider.SchemaResponse)          {}
func (echo) Configure(context.Context, provider.ConfigureRequest, *provider.ConfigureResponse) {}
func (echo) DataSources(context.Context) []func() datasource.DataSource                        { return nil }
func (echo) Resources(context.Context) []func() resource.Resource {
	return []func() resource.Resource{func() resource.Resource { return file{} }}
}

type file struct{}

type fileModel struct {
	Path    types.String `tfsdk:"path"`
	Value   types.String `tfsdk:"value_wo"`
	Version types.String `tfsdk:"value_wo_version"`
}

func (file) Metadata(_ context.Context, _ resource.MetadataRequest, resp *resource.MetadataResponse) {
	resp.TypeName = "echo_file"
}

func (file) Schema(_ context.Context, _ resource.SchemaRequest, resp *resource.SchemaResponse) {
	resp.Schema = schema.Schema{Attributes: map[string]schema.Attribute{
		"path":             schema.StringAttribute{Required: true},
		"value_wo":         schema.StringAttribute{Required: true, WriteOnly: true},
		"value_wo_version": schema.StringAttribute{Optional: true},
	}}
}

func (file) Create(ctx context.Context, req resource.CreateRequest, resp *resource.CreateResponse) {
	var config, plan fileModel
	resp.Diagnostics.Append(req.Config.Get(ctx, &config)...)
	resp.Diagnostics.Append(req.Plan.Get(ctx, &plan)...)
	if err := os.WriteFile(plan.Path.ValueString(), []byte(config.Value.ValueString()), 0o600); err != nil {
		resp.Diagnostics.AddError("Unable to write", err.Error())
	}
	resp.Diagnostics.Append(resp.State.Set(ctx, &plan)...)
}

func (file) Update(ctx context.Context, req resource.UpdateRequest, resp *resource.UpdateResponse) {
	var config, plan fileModel
	resp.Diagnostics.Append(req.Config.Get(ctx, &config)...)
	resp.Diagnostics.Append(req.Plan.Get(ctx, &plan)...)
	if err := os.WriteFile(plan.Path.ValueString(), []byte(config.Value.ValueString()), 0o600); err != nil {
		resp.Diagnostics.AddError("Unable to write", err.Error())
	}
	resp.Diagnostics.Append(resp.State.Set(ctx, &plan)...)
}

func (file) Read(context.Context, resource.ReadRequest, *resource.ReadResponse)       {}
func (file) Delete(context.Context, resource.DeleteRequest, *resource.DeleteResponse) {}
