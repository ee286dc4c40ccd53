package provider

import (
	"testing"
	"time"

	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-go/tftypes"

	"github.com/nhi-labs/terraform-provider-nhi/internal/acctest/core"
)

const agentAddress = "nhi_identity.agent"

// walks plans and applies as Terraform does, each with a process of its own.
type walks struct {
	t      *testing.T
	core   *core.Core
	hooks  Hooks
	config core.Config
	state  core.State
}

func newWalks(t *testing.T, platforms core.Body) *walks {
	t.Helper()
	w := &walks{t: t, state: core.State{}, config: core.Config{Provider: platforms, Resources: map[string]core.Resource{}}}
	platforms["stack"] = "test"
	var err error
	if w.core, err = core.New(t.Context(), NewServer("test", time.Now, Hooks{}).ProtocolServer()); err != nil {
		t.Fatal(err)
	}
	return w
}

// agent declares the identity "agent", with more than it must have.
func (w *walks) agent(more core.Body) {
	body := core.Body{"name": "agent", "kind": "ai_agent", "owner": "team@example.com"}
	for name, value := range more {
		body[name] = value
	}
	w.config.Resources[agentAddress] = core.Resource{Type: "nhi_identity", Body: body}
}

func (w *walks) start() *core.Process {
	w.t.Helper()
	process, _ := w.serve()
	return process
}

// serve starts a process and also returns what it serves.
func (w *walks) serve() (*core.Process, protocolServer) {
	w.t.Helper()
	running := NewServer("test", time.Now, w.hooks)
	w.t.Cleanup(func() { _ = running.Close() })
	server := must[protocolServer](running.ProtocolServer())
	process, report := w.core.Start(w.t.Context(), server, w.config.Provider)
	if report.Failed() {
		w.t.Fatalf("the provider cannot be configured: %+v", report)
	}
	return process, server
}

// invoke invokes an action and returns the errors.
func (w *walks) invoke(action string, config map[string]tftypes.Value) (errs []string) {
	w.t.Helper()
	_, server := w.serve()
	schemas, err := server.GetProviderSchema(w.t.Context(), &tfprotov6.GetProviderSchemaRequest{})
	if err != nil {
		w.t.Fatal(err)
	}
	object := must[tftypes.Object](schemas.ActionSchemas[action].Schema.ValueType())
	value, err := tfprotov6.NewDynamicValue(object, filled(object, config))
	if err != nil {
		w.t.Fatal(err)
	}
	stream, err := server.InvokeAction(w.t.Context(), &tfprotov6.InvokeActionRequest{ActionType: action, Config: &value})
	if err != nil {
		w.t.Fatal(err)
	}
	for event := range stream.Events {
		if completed, ok := event.Type.(tfprotov6.CompletedInvokeActionEventType); ok {
			errs = append(errs, diagnosticTexts(completed.Diagnostics)...)
		}
	}
	return errs
}

// plan returns a plan that is in order.
func (w *walks) plan() *core.Plan {
	w.t.Helper()
	plan := w.start().Plan(w.t.Context(), w.config, w.state, core.PlanOptions{})
	if plan.Failed() {
		w.t.Fatalf("the plan fails: %q, violations %q", plan.Errors, plan.Violations)
	}
	return plan
}

// apply plans and applies, and returns the errors. That the provider breaks its own plan is none that a test may expect.
func (w *walks) apply() []string {
	w.t.Helper()
	state, report := w.start().Apply(w.t.Context(), w.plan(), nil)
	if len(report.Violations) > 0 {
		w.t.Fatalf("the apply: violations %q", report.Violations)
	}
	w.state = state
	return report.Errors
}

// settled fails the test unless an apply has no error and the plan after it is empty.
func (w *walks) settled() {
	w.t.Helper()
	if errs := w.apply(); len(errs) > 0 {
		w.t.Fatalf("the apply fails: %q", errs)
	}
	if plan := w.plan(); !plan.Empty() {
		w.t.Fatalf("the plan after the apply is not empty: %v", core.Plain(plan.Changes[0].Planned))
	}
}
