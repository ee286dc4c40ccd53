package main

import (
	"context"
	"errors"

	"github.com/hashicorp/terraform-plugin-go/tfprotov6"

	"github.com/nhi-labs/terraform-provider-nhi/internal/provider"
)

// protocol is all that the provider serves. A wrapper that lacks one of them would answer "not implemented" for it.
type protocol interface {
	tfprotov6.ProviderServer
	tfprotov6.ListResourceServer
	tfprotov6.ActionServer
	tfprotov6.StateStoreServer
}

// counted passes a point before and after everything that can change state.
type counted struct {
	protocol
	points *points
}

func newCounted(server *provider.Server, points *points) (*counted, error) {
	p, ok := server.ProtocolServer().(protocol)
	if !ok {
		return nil, errors.New("the provider does not serve all that it used to")
	}
	return &counted{p, points}, nil
}

func (c *counted) StopProvider(ctx context.Context, req *tfprotov6.StopProviderRequest) (*tfprotov6.StopProviderResponse, error) {
	defer c.points.interrupted()
	return c.protocol.StopProvider(ctx, req)
}

func (c *counted) ConfigureProvider(ctx context.Context, req *tfprotov6.ConfigureProviderRequest) (*tfprotov6.ConfigureProviderResponse, error) {
	defer c.points.around(pointRPC, "configure")()
	return c.protocol.ConfigureProvider(ctx, req)
}

func (c *counted) ReadResource(ctx context.Context, req *tfprotov6.ReadResourceRequest) (*tfprotov6.ReadResourceResponse, error) {
	defer c.points.around(pointRPC, "read "+req.TypeName)()
	return c.protocol.ReadResource(ctx, req)
}

func (c *counted) PlanResourceChange(ctx context.Context, req *tfprotov6.PlanResourceChangeRequest) (*tfprotov6.PlanResourceChangeResponse, error) {
	defer c.points.around(pointRPC, "plan "+req.TypeName)()
	return c.protocol.PlanResourceChange(ctx, req)
}

func (c *counted) ApplyResourceChange(ctx context.Context, req *tfprotov6.ApplyResourceChangeRequest) (*tfprotov6.ApplyResourceChangeResponse, error) {
	defer c.points.around(pointRPC, "apply "+req.TypeName)()
	return c.protocol.ApplyResourceChange(ctx, req)
}

func (c *counted) ImportResourceState(ctx context.Context, req *tfprotov6.ImportResourceStateRequest) (*tfprotov6.ImportResourceStateResponse, error) {
	defer c.points.around(pointRPC, "import "+req.TypeName)()
	return c.protocol.ImportResourceState(ctx, req)
}
