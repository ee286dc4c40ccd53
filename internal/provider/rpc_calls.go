package provider

import (
	"context"
	"iter"

	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
)

// The calls of Terraform. Each differs in its answer to a panic alone.

func (s *rpcServer) GetMetadata(ctx context.Context, request *tfprotov6.GetMetadataRequest) (*tfprotov6.GetMetadataResponse, error) {
	return answer(ctx, s, "GetMetadata", request, s.protocolServer.GetMetadata,
		func(ds []*tfprotov6.Diagnostic) *tfprotov6.GetMetadataResponse {
			return &tfprotov6.GetMetadataResponse{Diagnostics: ds}
		})
}

func (s *rpcServer) GetProviderSchema(ctx context.Context, request *tfprotov6.GetProviderSchemaRequest) (*tfprotov6.GetProviderSchemaResponse, error) {
	return answer(ctx, s, "GetProviderSchema", request, s.protocolServer.GetProviderSchema,
		func(ds []*tfprotov6.Diagnostic) *tfprotov6.GetProviderSchemaResponse {
			return &tfprotov6.GetProviderSchemaResponse{Diagnostics: ds}
		})
}

func (s *rpcServer) GetResourceIdentitySchemas(ctx context.Context, request *tfprotov6.GetResourceIdentitySchemasRequest) (*tfprotov6.GetResourceIdentitySchemasResponse, error) {
	return answer(ctx, s, "GetResourceIdentitySchemas", request, s.protocolServer.GetResourceIdentitySchemas,
		func(ds []*tfprotov6.Diagnostic) *tfprotov6.GetResourceIdentitySchemasResponse {
			return &tfprotov6.GetResourceIdentitySchemasResponse{Diagnostics: ds}
		})
}

func (s *rpcServer) ValidateProviderConfig(ctx context.Context, request *tfprotov6.ValidateProviderConfigRequest) (*tfprotov6.ValidateProviderConfigResponse, error) {
	return answer(ctx, s, "ValidateProviderConfig", request, s.protocolServer.ValidateProviderConfig,
		func(ds []*tfprotov6.Diagnostic) *tfprotov6.ValidateProviderConfigResponse {
			return &tfprotov6.ValidateProviderConfigResponse{Diagnostics: ds}
		})
}

func (s *rpcServer) ConfigureProvider(ctx context.Context, request *tfprotov6.ConfigureProviderRequest) (*tfprotov6.ConfigureProviderResponse, error) {
	return answer(ctx, s, "ConfigureProvider", request, s.protocolServer.ConfigureProvider,
		func(ds []*tfprotov6.Diagnostic) *tfprotov6.ConfigureProviderResponse {
			return &tfprotov6.ConfigureProviderResponse{Diagnostics: ds}
		})
}

func (s *rpcServer) ValidateResourceConfig(ctx context.Context, request *tfprotov6.ValidateResourceConfigRequest) (*tfprotov6.ValidateResourceConfigResponse, error) {
	return answer(ctx, s, "ValidateResourceConfig", request, s.protocolServer.ValidateResourceConfig,
		func(ds []*tfprotov6.Diagnostic) *tfprotov6.ValidateResourceConfigResponse {
			return &tfprotov6.ValidateResourceConfigResponse{Diagnostics: ds}
		})
}

func (s *rpcServer) UpgradeResourceState(ctx context.Context, request *tfprotov6.UpgradeResourceStateRequest) (*tfprotov6.UpgradeResourceStateResponse, error) {
	return answer(ctx, s, "UpgradeResourceState", request, s.protocolServer.UpgradeResourceState,
		func(ds []*tfprotov6.Diagnostic) *tfprotov6.UpgradeResourceStateResponse {
			return &tfprotov6.UpgradeResourceStateResponse{Diagnostics: ds}
		})
}

func (s *rpcServer) UpgradeResourceIdentity(ctx context.Context, request *tfprotov6.UpgradeResourceIdentityRequest) (*tfprotov6.UpgradeResourceIdentityResponse, error) {
	return answer(ctx, s, "UpgradeResourceIdentity", request, s.protocolServer.UpgradeResourceIdentity,
		func(ds []*tfprotov6.Diagnostic) *tfprotov6.UpgradeResourceIdentityResponse {
			return &tfprotov6.UpgradeResourceIdentityResponse{Diagnostics: ds}
		})
}

func (s *rpcServer) ReadResource(ctx context.Context, request *tfprotov6.ReadResourceRequest) (*tfprotov6.ReadResourceResponse, error) {
	return answer(ctx, s, "ReadResource", request, s.protocolServer.ReadResource,
		func(ds []*tfprotov6.Diagnostic) *tfprotov6.ReadResourceResponse {
			return &tfprotov6.ReadResourceResponse{
				NewState: request.CurrentState, Private: request.Private, NewIdentity: request.CurrentIdentity, Diagnostics: ds,
			}
		})
}

func (s *rpcServer) PlanResourceChange(ctx context.Context, request *tfprotov6.PlanResourceChangeRequest) (*tfprotov6.PlanResourceChangeResponse, error) {
	return answer(ctx, s, "PlanResourceChange", request, s.protocolServer.PlanResourceChange,
		func(ds []*tfprotov6.Diagnostic) *tfprotov6.PlanResourceChangeResponse {
			return &tfprotov6.PlanResourceChangeResponse{Diagnostics: ds}
		})
}

// ApplyResourceChange answers a panic with a null object. Together with an error Terraform takes that for "keep what there
// was": the prior state with its private state, identity and taint, also of a resource that was to be deleted. To return
// the prior state itself would replace the private state and the identity by those of the plan, which is all that a
// request has.
func (s *rpcServer) ApplyResourceChange(ctx context.Context, request *tfprotov6.ApplyResourceChangeRequest) (*tfprotov6.ApplyResourceChangeResponse, error) {
	return answer(ctx, s, "ApplyResourceChange", request, s.protocolServer.ApplyResourceChange,
		func(ds []*tfprotov6.Diagnostic) *tfprotov6.ApplyResourceChangeResponse {
			return &tfprotov6.ApplyResourceChangeResponse{NewState: nothing(), Diagnostics: ds}
		})
}

func (s *rpcServer) ImportResourceState(ctx context.Context, request *tfprotov6.ImportResourceStateRequest) (*tfprotov6.ImportResourceStateResponse, error) {
	return answer(ctx, s, "ImportResourceState", request, s.protocolServer.ImportResourceState,
		func(ds []*tfprotov6.Diagnostic) *tfprotov6.ImportResourceStateResponse {
			return &tfprotov6.ImportResourceStateResponse{Diagnostics: ds}
		})
}

func (s *rpcServer) MoveResourceState(ctx context.Context, request *tfprotov6.MoveResourceStateRequest) (*tfprotov6.MoveResourceStateResponse, error) {
	return answer(ctx, s, "MoveResourceState", request, s.protocolServer.MoveResourceState,
		func(ds []*tfprotov6.Diagnostic) *tfprotov6.MoveResourceStateResponse {
			return &tfprotov6.MoveResourceStateResponse{Diagnostics: ds}
		})
}

func (s *rpcServer) GenerateResourceConfig(ctx context.Context, request *tfprotov6.GenerateResourceConfigRequest) (*tfprotov6.GenerateResourceConfigResponse, error) {
	return answer(ctx, s, "GenerateResourceConfig", request, s.protocolServer.GenerateResourceConfig,
		func(ds []*tfprotov6.Diagnostic) *tfprotov6.GenerateResourceConfigResponse {
			return &tfprotov6.GenerateResourceConfigResponse{Diagnostics: ds}
		})
}

func (s *rpcServer) ValidateDataResourceConfig(ctx context.Context, request *tfprotov6.ValidateDataResourceConfigRequest) (*tfprotov6.ValidateDataResourceConfigResponse, error) {
	return answer(ctx, s, "ValidateDataResourceConfig", request, s.protocolServer.ValidateDataResourceConfig,
		func(ds []*tfprotov6.Diagnostic) *tfprotov6.ValidateDataResourceConfigResponse {
			return &tfprotov6.ValidateDataResourceConfigResponse{Diagnostics: ds}
		})
}

func (s *rpcServer) ReadDataSource(ctx context.Context, request *tfprotov6.ReadDataSourceRequest) (*tfprotov6.ReadDataSourceResponse, error) {
	return answer(ctx, s, "ReadDataSource", request, s.protocolServer.ReadDataSource,
		func(ds []*tfprotov6.Diagnostic) *tfprotov6.ReadDataSourceResponse {
			return &tfprotov6.ReadDataSourceResponse{Diagnostics: ds}
		})
}

func (s *rpcServer) CallFunction(ctx context.Context, request *tfprotov6.CallFunctionRequest) (*tfprotov6.CallFunctionResponse, error) {
	return answer(ctx, s, "CallFunction", request, s.protocolServer.CallFunction,
		func(ds []*tfprotov6.Diagnostic) *tfprotov6.CallFunctionResponse {
			return &tfprotov6.CallFunctionResponse{Error: &tfprotov6.FunctionError{Text: ds[0].Summary + ". " + ds[0].Detail}}
		})
}

func (s *rpcServer) GetFunctions(ctx context.Context, request *tfprotov6.GetFunctionsRequest) (*tfprotov6.GetFunctionsResponse, error) {
	return answer(ctx, s, "GetFunctions", request, s.protocolServer.GetFunctions,
		func(ds []*tfprotov6.Diagnostic) *tfprotov6.GetFunctionsResponse {
			return &tfprotov6.GetFunctionsResponse{Diagnostics: ds}
		})
}

func (s *rpcServer) ValidateEphemeralResourceConfig(ctx context.Context, request *tfprotov6.ValidateEphemeralResourceConfigRequest) (*tfprotov6.ValidateEphemeralResourceConfigResponse, error) {
	return answer(ctx, s, "ValidateEphemeralResourceConfig", request, s.protocolServer.ValidateEphemeralResourceConfig,
		func(ds []*tfprotov6.Diagnostic) *tfprotov6.ValidateEphemeralResourceConfigResponse {
			return &tfprotov6.ValidateEphemeralResourceConfigResponse{Diagnostics: ds}
		})
}

func (s *rpcServer) OpenEphemeralResource(ctx context.Context, request *tfprotov6.OpenEphemeralResourceRequest) (*tfprotov6.OpenEphemeralResourceResponse, error) {
	return answer(ctx, s, "OpenEphemeralResource", request, s.protocolServer.OpenEphemeralResource,
		func(ds []*tfprotov6.Diagnostic) *tfprotov6.OpenEphemeralResourceResponse {
			return &tfprotov6.OpenEphemeralResourceResponse{Diagnostics: ds}
		})
}

func (s *rpcServer) RenewEphemeralResource(ctx context.Context, request *tfprotov6.RenewEphemeralResourceRequest) (*tfprotov6.RenewEphemeralResourceResponse, error) {
	return answer(ctx, s, "RenewEphemeralResource", request, s.protocolServer.RenewEphemeralResource,
		func(ds []*tfprotov6.Diagnostic) *tfprotov6.RenewEphemeralResourceResponse {
			return &tfprotov6.RenewEphemeralResourceResponse{Private: request.Private, Diagnostics: ds}
		})
}

func (s *rpcServer) CloseEphemeralResource(ctx context.Context, request *tfprotov6.CloseEphemeralResourceRequest) (*tfprotov6.CloseEphemeralResourceResponse, error) {
	return answer(ctx, s, "CloseEphemeralResource", request, s.protocolServer.CloseEphemeralResource,
		func(ds []*tfprotov6.Diagnostic) *tfprotov6.CloseEphemeralResourceResponse {
			return &tfprotov6.CloseEphemeralResourceResponse{Diagnostics: ds}
		})
}

func (s *rpcServer) ValidateListResourceConfig(ctx context.Context, request *tfprotov6.ValidateListResourceConfigRequest) (*tfprotov6.ValidateListResourceConfigResponse, error) {
	return answer(ctx, s, "ValidateListResourceConfig", request, s.protocolServer.ValidateListResourceConfig,
		func(ds []*tfprotov6.Diagnostic) *tfprotov6.ValidateListResourceConfigResponse {
			return &tfprotov6.ValidateListResourceConfigResponse{Diagnostics: ds}
		})
}

func (s *rpcServer) ValidateActionConfig(ctx context.Context, request *tfprotov6.ValidateActionConfigRequest) (*tfprotov6.ValidateActionConfigResponse, error) {
	return answer(ctx, s, "ValidateActionConfig", request, s.protocolServer.ValidateActionConfig,
		func(ds []*tfprotov6.Diagnostic) *tfprotov6.ValidateActionConfigResponse {
			return &tfprotov6.ValidateActionConfigResponse{Diagnostics: ds}
		})
}

func (s *rpcServer) PlanAction(ctx context.Context, request *tfprotov6.PlanActionRequest) (*tfprotov6.PlanActionResponse, error) {
	return answer(ctx, s, "PlanAction", request, s.protocolServer.PlanAction,
		func(ds []*tfprotov6.Diagnostic) *tfprotov6.PlanActionResponse {
			return &tfprotov6.PlanActionResponse{Diagnostics: ds}
		})
}

// nothing is the null of every type, in MessagePack.
func nothing() *tfprotov6.DynamicValue { return &tfprotov6.DynamicValue{MsgPack: []byte{0xc0}} }

// ListResource begins when its results are asked for.
func (s *rpcServer) ListResource(ctx context.Context, request *tfprotov6.ListResourceRequest) (*tfprotov6.ListResourceServerStream, error) {
	open := func(ctx context.Context) (iter.Seq[tfprotov6.ListResourceResult], error) {
		inner, err := s.protocolServer.ListResource(ctx, request)
		if err != nil {
			return nil, err
		}
		return inner.Results, nil
	}
	failed := func(ds []*tfprotov6.Diagnostic) tfprotov6.ListResourceResult {
		return tfprotov6.ListResourceResult{Diagnostics: ds}
	}
	return &tfprotov6.ListResourceServerStream{Results: func(push func(tfprotov6.ListResourceResult) bool) {
		stream(ctx, s, "ListResource", open, failed, push)
	}}, nil
}

// InvokeAction begins when its events are asked for. The framework invokes an action in a goroutine of its own, where only
// the action itself can recover.
func (s *rpcServer) InvokeAction(ctx context.Context, request *tfprotov6.InvokeActionRequest) (*tfprotov6.InvokeActionServerStream, error) {
	open := func(ctx context.Context) (iter.Seq[tfprotov6.InvokeActionEvent], error) {
		inner, err := s.protocolServer.InvokeAction(ctx, request)
		if err != nil {
			return nil, err
		}
		return inner.Events, nil
	}
	failed := func(ds []*tfprotov6.Diagnostic) tfprotov6.InvokeActionEvent {
		return tfprotov6.InvokeActionEvent{Type: tfprotov6.CompletedInvokeActionEventType{Diagnostics: ds}}
	}
	return &tfprotov6.InvokeActionServerStream{Events: func(push func(tfprotov6.InvokeActionEvent) bool) {
		stream(ctx, s, "InvokeAction", open, failed, push)
	}}, nil
}
