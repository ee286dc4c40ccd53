package main

import (
	"context"
	"fmt"

	"github.com/nhi-labs/terraform-provider-nhi/internal/testenv"
	"github.com/nhi-labs/terraform-provider-nhi/tools/internal/programs"
)

// scim is SCIMMY on Node.js (scim/server.mjs).
type scim struct{}

func (scim) name() string { return "scim" }

func (scim) install(ctx context.Context) error { return installNode(ctx, programs.SCIM) }

func (scim) start(ctx context.Context, p *place, all *testenv.Servers) error {
	port, err := freePort()
	if err != nil {
		return err
	}
	all.SCIM = testenv.SCIM{URL: fmt.Sprintf("http://127.0.0.1:%d/scim/v2", port), Token: "scim-" + randomText()}
	return spawnNode(ctx, p, programs.SCIM, port, "SCIM_TOKEN="+all.SCIM.Token)
}

func (scim) health(ctx context.Context, all testenv.Servers) error {
	return httpOK(ctx, all.SCIM.URL+"/ServiceProviderConfig", "Authorization", "Bearer "+all.SCIM.Token)
}

func (scim) describe(all testenv.Servers) string { return all.SCIM.URL }
