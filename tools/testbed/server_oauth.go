package main

import (
	"context"
	"fmt"

	"github.com/nhi-labs/terraform-provider-nhi/internal/testenv"
	"github.com/nhi-labs/terraform-provider-nhi/tools/internal/programs"
)

// oauth is oidc-provider on Node.js (oauth/server.mjs).
type oauth struct{}

func (oauth) name() string { return "oauth" }

func (oauth) install(ctx context.Context) error { return installNode(ctx, programs.OAuth) }

func (oauth) start(ctx context.Context, p *place, all *testenv.Servers) error {
	port, err := freePort()
	if err != nil {
		return err
	}
	all.OAuth = testenv.OAuth{
		Issuer: fmt.Sprintf("http://127.0.0.1:%d", port), InitialAccessToken: "oauth-" + randomText(), Scopes: 200,
	}
	return spawnNode(ctx, p, programs.OAuth, port, "OAUTH_INITIAL_ACCESS_TOKEN="+all.OAuth.InitialAccessToken)
}

func (oauth) health(ctx context.Context, all testenv.Servers) error {
	return httpOK(ctx, all.OAuth.Issuer+"/.well-known/openid-configuration", "Accept", "application/json")
}

func (oauth) describe(all testenv.Servers) string { return all.OAuth.Issuer }
